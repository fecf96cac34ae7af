use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::blocks::Upkeep;
use super::parts::Parts;
use crate::Snapshot;
use crate::diameter::{Kept, proof};
use crate::topology::Topology;

/// Columns of a line: as many as fit in half a cache line.
const COLUMNS: usize = 16;
/// Distances above this are not certified: bounds may grow, and must stay below 2^16.
const MAX_DISTANCE: u32 = 20_000;
/// Slots whose bound may be raised one by one before a column is searched anew.
const MAX_RAISED: usize = 20000;
/// Searches for one change before everything is computed anew.
const MAX_SEARCHES: usize = 6;

type Line = [u16; COLUMNS];

/// Why the diameter of the largest component is what it is, kept through changes.
///
/// Column 0 is a lower bound on the distance from one peer: it differs by at most 1 across every
/// link, so that its highest value is a distance that exists. Deletions leave it valid.
///
/// The others are upper bounds on the distances from a source each: every peer but the source has a
/// neighbour with a lower value. Insertions leave them valid. With the greatest value of a column,
/// its reach, `reach + value` bounds the eccentricity of a peer. A peer is closed when one of those
/// bounds is not above the diameter, or when it is within half a diameter of the centre: of two
/// peers that are not closed by a bound, the ways through the centre add up to no more than the
/// diameter. While all are closed, the diameter is exact.
#[derive(Debug, Clone)]
pub(super) struct Certificate {
    label: u32,
    lines: Vec<Line>,
    sources: Vec<u32>,
    reach: Line,
    centre: usize,
    /// How many slots have each value in column 0.
    levels: Vec<u32>,
    diameter: u16,
    /// Whether bounds are kept, and peers closed at the end of many changes only.
    deferred: bool,
    /// Slots met in the current search, by its number.
    marks: Vec<u32>,
    round: u32,
    queue: Vec<u32>,
}

/// The certificate does not hold any more, and a few searches did not mend it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Lost;

impl Certificate {
    /// Of the largest component, when one is larger than all others and few searches prove its
    /// diameter.
    pub(super) fn of(topology: &Topology, snapshot: &Snapshot, parts: &Parts) -> Option<Self> {
        let starts = snapshot.component_starts();
        let ends = starts.windows(2).max_by_key(|ends| ends[1] - ends[0])?;
        let slot = |position| snapshot.slot(position).map(|slot| slot.0);
        let label = parts.label(slot(ends[0])?);
        if !parts.is_the_largest(label) || ends[1] - ends[0] < 4 {
            return None;
        }
        let kept = proof(snapshot.graph(), ends[0], ends[1])?;
        let far = kept.iter().flat_map(|kept| &kept.hops).copied().max()?;
        if far > MAX_DISTANCE {
            return None;
        }
        let mut certificate = Self {
            label,
            lines: vec![[0; COLUMNS]; topology.slot_bound()],
            sources: Vec::new(),
            reach: [0; COLUMNS],
            centre: 1,
            levels: Vec::new(),
            diameter: 0,
            deferred: false,
            marks: vec![0; topology.slot_bound()],
            round: 0,
            queue: Vec::new(),
        };
        // The first is the lower bound, and an upper bound as well.
        for Kept { source, hops } in kept.iter().take(1).chain(&kept).take(COLUMNS) {
            let column = certificate.sources.len();
            certificate.sources.push(slot(*source)?);
            for (at, hops) in hops.iter().enumerate() {
                // Checked above.
                let hops = *hops as u16;
                let slot = slot(ends[0] + at as u32)? as usize;
                certificate.lines[slot][column] = hops;
                certificate.reach[column] = certificate.reach[column].max(hops);
            }
        }
        certificate.relevel(topology, parts);
        certificate.settle(topology, parts).ok()?;
        Some(certificate)
    }

    pub(super) fn diameter(&self) -> u32 {
        u32::from(self.diameter)
    }

    pub(super) fn label(&self) -> u32 {
        self.label
    }

    /// Begins many changes: until [`Self::conclude`] only the bounds are kept.
    pub(super) fn defer(&mut self) {
        self.deferred = true;
    }

    /// Ends many changes.
    pub(super) fn conclude(&mut self, topology: &Topology, parts: &Parts) -> Result<(), Lost> {
        self.deferred = false;
        self.settle(topology, parts)
    }

    /// Room for slots up to this one.
    pub(super) fn add(&mut self, slot: u32) {
        let slots = slot as usize + 1;
        if self.lines.len() < slots {
            self.lines.resize(slots, [0; COLUMNS]);
            self.marks.resize(slots, 0);
        }
    }

    fn members<'a>(
        &self,
        topology: &Topology,
        parts: &'a Parts,
    ) -> impl Iterator<Item = u32> + use<'a> {
        let label = self.label;
        (0..topology.slot_bound() as u32).filter(move |slot| parts.label(*slot) == label)
    }

    fn relevel(&mut self, topology: &Topology, parts: &Parts) {
        self.levels.clear();
        for slot in self.members(topology, parts) {
            self.count(self.lines[slot as usize][0], 1);
        }
    }

    fn count(&mut self, level: u16, change: i32) {
        let at = usize::from(level);
        if at >= self.levels.len() {
            self.levels.resize(at + 1, 0);
        }
        self.levels[at] = self.levels[at].wrapping_add_signed(change);
    }

    /// The greatest distance that column 0 shows to exist.
    fn top(&mut self) -> u16 {
        while self.levels.last() == Some(&0) {
            self.levels.pop();
        }
        self.levels.len().saturating_sub(1) as u16
    }

    fn is_bounded(&self, line: &Line) -> bool {
        let columns = 1..self.sources.len();
        columns.into_iter().any(|c| self.reach[c].saturating_add(line[c]) <= self.diameter)
    }

    fn is_closed(&self, slot: u32) -> bool {
        let line = &self.lines[slot as usize];
        line[self.centre] <= self.diameter / 2 || self.is_bounded(line)
    }

    /// Makes the diameter what column 0 shows, and closes every peer, with searches from those that
    /// are not.
    fn settle(&mut self, topology: &Topology, parts: &Parts) -> Result<(), Lost> {
        if self.deferred {
            return Ok(());
        }
        for _ in 0..MAX_SEARCHES {
            self.diameter = self.top();
            // The centre is the source that leaves the fewest.
            let mut left = [0_usize; COLUMNS];
            let mut worst = [(0, u32::MAX); COLUMNS];
            for slot in self.members(topology, parts) {
                let line = &self.lines[slot as usize];
                if self.is_bounded(line) {
                    continue;
                }
                for column in 1..self.sources.len() {
                    if line[column] > self.diameter / 2 {
                        left[column] += 1;
                        worst[column] = worst[column].max((line[column], slot));
                    }
                }
            }
            let best = (1..self.sources.len()).min_by_key(|column| left[*column]);
            let Some(best) = best else { return Err(Lost) };
            self.centre = best;
            if left[best] == 0 {
                return Ok(());
            }
            self.search(topology, parts, worst[best].1)?;
        }
        Err(Lost)
    }

    /// Makes a column of the distances from a peer.
    fn search(&mut self, topology: &Topology, parts: &Parts, source: u32) -> Result<(), Lost> {
        let column = if self.sources.len() < COLUMNS {
            self.sources.push(source);
            self.sources.len() - 1
        } else {
            let spare = self.spare(topology, parts);
            self.sources[spare] = source;
            spare
        };
        self.fill(topology, column)?;
        if self.reach[column] > self.diameter {
            for slot in self.members(topology, parts) {
                let line = &mut self.lines[slot as usize];
                line[0] = line[column];
            }
            self.sources[0] = source;
            self.relevel(topology, parts);
        }
        Ok(())
    }

    /// The column that the fewest peers need to be closed.
    fn spare(&self, topology: &Topology, parts: &Parts) -> usize {
        let mut needed = [0_u32; COLUMNS];
        needed[self.centre] = u32::MAX;
        for slot in self.members(topology, parts) {
            let line = &self.lines[slot as usize];
            if line[self.centre] <= self.diameter / 2 {
                continue;
            }
            let closes =
                |column: &usize| self.reach[*column].saturating_add(line[*column]) <= self.diameter;
            let mut closing = (1..COLUMNS).filter(closes);
            if let (Some(only), None) = (closing.next(), closing.next()) {
                needed[only] = needed[only].saturating_add(1);
            }
        }
        (1..COLUMNS).min_by_key(|column| needed[*column]).unwrap_or(1)
    }

    /// Exact distances from a column's source.
    fn fill(&mut self, topology: &Topology, column: usize) -> Result<(), Lost> {
        self.round += 1;
        let Self { lines, marks, round, queue, sources, .. } = self;
        queue.clear();
        queue.push(sources[column]);
        marks[sources[column] as usize] = *round;
        lines[sources[column] as usize][column] = 0;
        let mut head = 0;
        let mut far = 0;
        while let Some(&slot) = queue.get(head) {
            head += 1;
            far = lines[slot as usize][column];
            if u32::from(far) > MAX_DISTANCE {
                return Err(Lost);
            }
            for other in topology.row(slot).slots() {
                if marks[other as usize] != *round {
                    marks[other as usize] = *round;
                    lines[other as usize][column] = far + 1;
                    queue.push(other);
                }
            }
        }
        self.reach[column] = far;
        Ok(())
    }

    /// Two of its peers were linked.
    pub(super) fn linked(
        &mut self,
        topology: &Topology,
        parts: &Parts,
        a: u32,
        b: u32,
    ) -> Result<Upkeep, Lost> {
        let value = |slot: u32| self.lines[slot as usize][0];
        let (low, high) = if value(a) <= value(b) { (a, b) } else { (b, a) };
        if value(high) - value(low) <= 1 {
            return Ok(Upkeep::Certified);
        }
        self.lower(topology, high, value(low) + 1);
        if self.top() < self.diameter {
            self.settle(topology, parts)?;
        }
        Ok(Upkeep::Repaired)
    }

    /// Lowers column 0 at a slot, and around it wherever a step would be more than 1.
    fn lower(&mut self, topology: &Topology, slot: u32, value: u16) {
        let mut queue = std::mem::take(&mut self.queue);
        queue.clear();
        self.set_lower(slot, value);
        queue.push(slot);
        let mut head = 0;
        while let Some(&slot) = queue.get(head) {
            head += 1;
            let next = self.lines[slot as usize][0] + 1;
            for other in topology.row(slot).slots() {
                if self.lines[other as usize][0] > next {
                    self.set_lower(other, next);
                    queue.push(other);
                }
            }
        }
        self.queue = queue;
    }

    fn set_lower(&mut self, slot: u32, value: u16) {
        let before = std::mem::replace(&mut self.lines[slot as usize][0], value);
        self.count(before, -1);
        self.count(value, 1);
    }

    /// Two of its peers were unlinked that still reach each other.
    pub(super) fn unlinked(
        &mut self,
        topology: &Topology,
        parts: &Parts,
        a: u32,
        b: u32,
    ) -> Result<Upkeep, Lost> {
        let reach = self.reach;
        let mut raised = Vec::new();
        for (slot, other) in [(a, b), (b, a)] {
            let (own, gone) = (self.lines[slot as usize], self.lines[other as usize]);
            if own[1..self.sources.len()].iter().zip(&gone[1..]).all(|(own, gone)| gone >= own) {
                continue;
            }
            let mut least = [u16::MAX; COLUMNS];
            for neighbour in topology.row(slot).slots() {
                for (least, value) in least.iter_mut().zip(&self.lines[neighbour as usize]) {
                    *least = (*least).min(*value);
                }
            }
            // Columns in which the other end was below, and nobody else is.
            for column in 1..self.sources.len() {
                if gone[column] < own[column] && least[column] >= own[column] {
                    self.raise(topology, column, slot, &mut raised)?;
                }
            }
        }
        if raised.is_empty() && reach == self.reach {
            return Ok(Upkeep::Certified);
        }
        let whole = reach != self.reach;
        if whole || raised.iter().any(|slot| !self.is_closed(*slot)) {
            self.settle(topology, parts)?;
        }
        Ok(Upkeep::Repaired)
    }

    /// Raises a column where nobody around is below any more.
    fn raise(
        &mut self,
        topology: &Topology,
        column: usize,
        slot: u32,
        raised: &mut Vec<u32>,
    ) -> Result<(), Lost> {
        self.round += 1;
        let round = self.round;
        let begin = raised.len();
        let mut open = BinaryHeap::from([Reverse((self.lines[slot as usize][column], slot))]);
        while let Some(Reverse((value, slot))) = open.pop() {
            if self.marks[slot as usize] == round {
                continue;
            }
            let mut around = topology.row(slot).slots();
            let stands = around.any(|other| {
                self.marks[other as usize] != round && self.lines[other as usize][column] < value
            });
            if stands {
                continue;
            }
            self.marks[slot as usize] = round;
            raised.push(slot);
            if raised.len() - begin > MAX_RAISED {
                // Too many: their bounds are searched anew, and all are to be looked at.
                self.fill(topology, column)?;
                self.reach[column] = self.reach[column].saturating_add(1);
                raised.truncate(begin);
                return Ok(());
            }
            for other in topology.row(slot).slots() {
                let above = self.lines[other as usize][column];
                if above > value && self.marks[other as usize] != round {
                    open.push(Reverse((above, other)));
                }
            }
        }
        open.clear();
        for &slot in &raised[begin..] {
            let around = topology.row(slot).slots();
            let known = around.filter(|other| self.marks[*other as usize] != round);
            let least = known.map(|other| self.lines[other as usize][column]).min();
            if let Some(least) = least {
                open.push(Reverse((least + 1, slot)));
            }
        }
        while let Some(Reverse((value, slot))) = open.pop() {
            if self.marks[slot as usize] != round {
                continue;
            }
            if u32::from(value) > MAX_DISTANCE {
                return Err(Lost);
            }
            self.marks[slot as usize] = round - 1;
            self.lines[slot as usize][column] = value;
            self.reach[column] = self.reach[column].max(value);
            for other in topology.row(slot).slots() {
                if self.marks[other as usize] == round {
                    open.push(Reverse((value + 1, other)));
                }
            }
        }
        Ok(())
    }

    /// Slots joined the component through a new link from `anchor` to the first of them; each comes
    /// after a neighbour.
    pub(super) fn joined(
        &mut self,
        topology: &Topology,
        parts: &Parts,
        anchor: u32,
        moved: &[u32],
    ) -> Result<Upkeep, Lost> {
        self.round += 2;
        let (fresh, done) = (self.round - 1, self.round);
        for slot in moved {
            self.marks[*slot as usize] = fresh;
        }
        let reach = self.reach;
        let mut from = anchor;
        for (at, &slot) in moved.iter().enumerate() {
            if at == 0 {
                self.follow(slot, from, done)?;
            }
            from = slot;
            for other in topology.row(from).slots() {
                if self.marks[other as usize] == fresh {
                    self.follow(other, from, done)?;
                }
            }
        }
        let whole = self.top() != self.diameter || reach != self.reach;
        if whole || moved.iter().any(|slot| !self.is_closed(*slot)) {
            self.settle(topology, parts)?;
        }
        Ok(Upkeep::Repaired)
    }

    /// One farther than `from` in every column.
    fn follow(&mut self, slot: u32, from: u32, done: u32) -> Result<(), Lost> {
        let line = self.lines[from as usize].map(|value| value + 1);
        for (reach, value) in self.reach[..self.sources.len()].iter_mut().zip(line).skip(1) {
            if u32::from(value) > MAX_DISTANCE {
                return Err(Lost);
            }
            *reach = value.max(*reach);
        }
        self.lines[slot as usize] = line;
        self.marks[slot as usize] = done;
        self.count(line[0], 1);
        Ok(())
    }

    /// Slots left the component, as the label in `parts` says already.
    pub(super) fn parted(
        &mut self,
        topology: &Topology,
        parts: &Parts,
        left: &[u32],
    ) -> Result<Upkeep, Lost> {
        if self.sources.iter().any(|source| parts.label(*source) != self.label) {
            return Err(Lost);
        }
        for slot in left {
            self.count(self.lines[*slot as usize][0], -1);
        }
        if self.top() != self.diameter {
            self.settle(topology, parts)?;
        }
        Ok(Upkeep::Repaired)
    }
}
