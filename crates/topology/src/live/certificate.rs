mod columns;

use std::cmp::Ordering;

use super::blocks::Upkeep;
use super::parts::Parts;
use crate::Snapshot;
use crate::diameter::{Kept, proof};
use crate::topology::Topology;

/// Columns of a line: as many as fit in a cache line with what goes with them.
const COLUMNS: usize = 16;
/// Distances above this are not certified: they may grow, and must stay below 2^16.
const MAX_DISTANCE: u32 = 20_000;
/// Searches for one change before everything is computed anew.
const MAX_SEARCHES: usize = 6;
/// So many nearer neighbours, or more: they are counted when one goes.
const MANY: u8 = u8::MAX;

/// What is known of the distances of a peer, by column.
#[derive(Debug, Clone, Copy, Default)]
#[repr(align(64))]
struct Line {
    hops: [u16; COLUMNS],
    /// Neighbours that are nearer.
    nearer: [u8; COLUMNS],
}

/// Why the diameter of the largest component is what it is, kept through changes.
///
/// Each column has the exact distances from a source: every peer but the source has a neighbour that
/// is one nearer, and none that is farther from it in more than one step. The greatest of a column,
/// its reach, is a distance that exists, and `reach + distance` bounds the eccentricity of a peer. A
/// peer is closed when one of those bounds is not above the greatest reach, or when it is within
/// half of that of the centre: of two peers that are not closed by a bound, the ways through the
/// centre add up to no more. While all are closed, the greatest reach is the diameter.
#[derive(Debug, Clone)]
pub(super) struct Certificate {
    label: u32,
    lines: Vec<Line>,
    sources: [u32; COLUMNS],
    /// Columns that are kept, a bit each: those that some peer needs to be closed.
    kept: u16,
    /// How many slots have each distance, by column; the last number is not 0.
    levels: [Vec<u32>; COLUMNS],
    centre: usize,
    diameter: u16,
    /// Whether distances are mended, and peers closed, at the end of many changes only.
    deferred: bool,
    /// Slots that lost their last nearer neighbour meanwhile, with the column.
    loose: Vec<(usize, u32)>,
    /// Slots met in the current search, by its number.
    marks: Vec<u32>,
    round: u32,
    queue: Vec<u32>,
}

/// The certificate does not hold any more, and a few searches did not mend it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Lost;

/// The columns of which `bits` has the bit.
fn columns(bits: u16) -> impl Iterator<Item = usize> {
    (0..COLUMNS).filter(move |column| bits & (1 << column) != 0)
}

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
        let found = proof(snapshot.graph(), ends[0], ends[1])?;
        let far = found.iter().flat_map(|kept| &kept.hops).copied().max()?;
        if far > MAX_DISTANCE {
            return None;
        }
        let mut certificate = Self {
            label,
            lines: vec![Line::default(); topology.slot_bound()],
            sources: [0; COLUMNS],
            kept: 0,
            levels: Default::default(),
            centre: 0,
            diameter: 0,
            deferred: false,
            loose: Vec::new(),
            marks: vec![0; topology.slot_bound()],
            round: 0,
            queue: Vec::new(),
        };
        for (column, Kept { source, hops }) in found.iter().take(COLUMNS).enumerate() {
            certificate.sources[column] = slot(*source)?;
            certificate.kept |= 1 << column;
            for (at, own) in hops.iter().enumerate() {
                let position = ends[0] + at as u32;
                let around = snapshot.graph().row(position).iter();
                let nearer =
                    around.filter(|other| hops[(**other - ends[0]) as usize] < *own).count();
                let line = &mut certificate.lines[slot(position)? as usize];
                // Checked above.
                line.hops[column] = *own as u16;
                line.nearer[column] = nearer.min(usize::from(MANY)) as u8;
                certificate.count(column, *own as u16, 1);
            }
        }
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
        let mut loose = std::mem::take(&mut self.loose);
        loose.sort_unstable();
        loose.dedup();
        for of_column in loose.chunk_by(|a, b| a.0 == b.0) {
            let column = of_column[0].0;
            let slots = of_column.iter().map(|(_, slot)| *slot);
            // What was linked again since, or went, is not to be raised.
            let slots = slots.filter(|slot| {
                parts.label(*slot) == self.label && self.lines[*slot as usize].nearer[column] == 0
            });
            let mut raised: Vec<u32> = slots.collect();
            self.raise(topology, column, &mut raised)?;
        }
        self.settle(topology, parts)
    }

    /// Room for slots up to this one.
    pub(super) fn add(&mut self, slot: u32) {
        let slots = slot as usize + 1;
        if self.lines.len() < slots {
            self.lines.resize(slots, Line::default());
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

    fn count(&mut self, column: usize, hops: u16, change: i32) {
        let levels = &mut self.levels[column];
        let at = usize::from(hops);
        if at >= levels.len() {
            levels.resize(at + 1, 0);
        }
        levels[at] = levels[at].wrapping_add_signed(change);
        while levels.last() == Some(&0) {
            levels.pop();
        }
    }

    /// The greatest distance in a column.
    fn reach(&self, column: usize) -> u16 {
        self.levels[column].len().saturating_sub(1) as u16
    }

    fn reaches(&self) -> [u16; COLUMNS] {
        std::array::from_fn(|column| self.reach(column))
    }

    /// The greatest distance that is known to exist.
    fn farthest(&self) -> u16 {
        columns(self.kept).map(|column| self.reach(column)).max().unwrap_or(0)
    }

    /// Columns by which the peer of a line is closed, a bit each.
    fn closing(&self, line: &Line) -> u16 {
        let closes = |column: &usize| {
            self.reach(*column).saturating_add(line.hops[*column]) <= self.diameter
        };
        columns(self.kept).filter(closes).fold(0, |bits, column| bits | 1 << column)
    }

    fn is_closed(&self, slot: u32) -> bool {
        let line = &self.lines[slot as usize];
        line.hops[self.centre] <= self.diameter / 2 || self.closing(line) != 0
    }

    /// Makes the diameter the farthest that is known, and closes every peer, with searches from those
    /// that are not.
    fn settle(&mut self, topology: &Topology, parts: &Parts) -> Result<(), Lost> {
        if self.deferred {
            return Ok(());
        }
        for _ in 0..MAX_SEARCHES {
            self.diameter = self.farthest();
            // The centre is the source that leaves the fewest.
            let mut left = [0_usize; COLUMNS];
            let mut worst = [(0, u32::MAX); COLUMNS];
            for slot in self.members(topology, parts) {
                let line = &self.lines[slot as usize];
                if self.closing(line) != 0 {
                    continue;
                }
                for column in columns(self.kept) {
                    if line.hops[column] > self.diameter / 2 {
                        left[column] += 1;
                        worst[column] = worst[column].max((line.hops[column], slot));
                    }
                }
            }
            let best = columns(self.kept).min_by_key(|column| left[*column]);
            let Some(best) = best else { return Err(Lost) };
            self.centre = best;
            if left[best] == 0 {
                self.keep_needed(topology, parts);
                return Ok(());
            }
            self.search(topology, parts, worst[best].1)?;
        }
        Err(Lost)
    }

    /// The columns by which each peer that is far from the centre is closed.
    fn closed_by(&self, topology: &Topology, parts: &Parts) -> Vec<u16> {
        let lines = self.members(topology, parts).map(|slot| &self.lines[slot as usize]);
        let far = lines.filter(|line| line.hops[self.centre] > self.diameter / 2);
        far.map(|line| self.closing(line)).collect()
    }

    /// Drops columns without which every peer is closed all the same: a column costs something at
    /// every change.
    fn keep_needed(&mut self, topology: &Topology, parts: &Parts) {
        let closed = self.closed_by(topology, parts);
        for column in columns(self.kept).filter(|column| *column != self.centre) {
            let rest = self.kept & !(1 << column);
            let farthest = columns(rest).map(|column| self.reach(column)).max();
            if farthest == Some(self.diameter) && closed.iter().all(|bits| bits & rest != 0) {
                self.kept = rest;
            }
        }
    }

    /// Makes a column of the distances from a peer.
    fn search(&mut self, topology: &Topology, parts: &Parts, source: u32) -> Result<(), Lost> {
        let free = (0..COLUMNS).find(|column| self.kept & (1 << column) == 0);
        let column = free.unwrap_or_else(|| self.spare(topology, parts));
        self.kept |= 1 << column;
        self.sources[column] = source;
        self.fill(topology, column)
    }

    /// The column that the fewest peers need to be closed.
    fn spare(&self, topology: &Topology, parts: &Parts) -> usize {
        let mut needed = [0_u32; COLUMNS];
        needed[self.centre] = u32::MAX;
        for bits in
            self.closed_by(topology, parts).into_iter().filter(|bits| bits.count_ones() == 1)
        {
            let only = bits.trailing_zeros() as usize;
            needed[only] = needed[only].saturating_add(1);
        }
        (0..COLUMNS).min_by_key(|column| needed[*column]).unwrap_or(0)
    }

    /// The farther of two slots and the nearer, when they are not equally far.
    fn farther(&self, column: usize, a: u32, b: u32) -> Option<(u32, u32)> {
        let hops = |slot: u32| self.lines[slot as usize].hops[column];
        match hops(a).cmp(&hops(b)) {
            Ordering::Less => Some((b, a)),
            Ordering::Equal => None,
            Ordering::Greater => Some((a, b)),
        }
    }

    /// Two of its peers were linked.
    pub(super) fn linked(
        &mut self,
        topology: &Topology,
        parts: &Parts,
        a: u32,
        b: u32,
    ) -> Result<Upkeep, Lost> {
        let mut upkeep = Upkeep::Certified;
        for column in columns(self.kept) {
            let Some((far, near)) = self.farther(column, a, b) else { continue };
            let hops = self.lines[near as usize].hops[column] + 1;
            let line = &mut self.lines[far as usize];
            if line.hops[column] == hops {
                line.nearer[column] = line.nearer[column].saturating_add(1);
            } else {
                self.lower(topology, column, far, hops)?;
                upkeep = Upkeep::Repaired;
            }
        }
        if self.farthest() != self.diameter {
            self.settle(topology, parts)?;
        }
        Ok(upkeep)
    }

    /// Two of its peers were unlinked that still reach each other.
    pub(super) fn unlinked(
        &mut self,
        topology: &Topology,
        parts: &Parts,
        a: u32,
        b: u32,
    ) -> Result<Upkeep, Lost> {
        let begin = self.loose.len();
        for column in columns(self.kept) {
            if let Some((far, _)) = self.farther(column, a, b)
                && self.loses_one(topology, column, far)
            {
                self.loose.push((column, far));
            }
        }
        if self.deferred || self.loose.len() == begin {
            return Ok(Upkeep::Certified);
        }
        let mut open = false;
        while let Some((column, slot)) = self.loose.pop() {
            let reach = self.reach(column);
            let mut raised = vec![slot];
            let whole = self.raise(topology, column, &mut raised)?;
            open |= whole || self.reach(column) > reach;
            open |= raised.iter().any(|slot| !self.is_closed(*slot));
        }
        if open || self.farthest() != self.diameter {
            self.settle(topology, parts)?;
        }
        Ok(Upkeep::Repaired)
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
        let reach = self.reaches();
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
        for &slot in moved {
            columns(self.kept).for_each(|column| self.recount(topology, column, slot, |_| true));
        }
        if self.reaches() != reach || moved.iter().any(|slot| !self.is_closed(*slot)) {
            self.settle(topology, parts)?;
        }
        Ok(Upkeep::Repaired)
    }

    /// One farther than `from` in every column.
    fn follow(&mut self, slot: u32, from: u32, done: u32) -> Result<(), Lost> {
        let hops = self.lines[from as usize].hops.map(|hops| hops.saturating_add(1));
        for column in columns(self.kept) {
            if u32::from(hops[column]) > MAX_DISTANCE {
                return Err(Lost);
            }
            self.count(column, hops[column], 1);
        }
        self.lines[slot as usize].hops = hops;
        self.marks[slot as usize] = done;
        Ok(())
    }

    /// Slots left the component, as the label in `parts` says already, with the link of `ends`.
    pub(super) fn parted(
        &mut self,
        topology: &Topology,
        parts: &Parts,
        ends: [u32; 2],
        left: &[u32],
    ) -> Result<Upkeep, Lost> {
        let before = self.kept;
        let gone = columns(self.kept).filter(|c| parts.label(self.sources[*c]) != self.label);
        self.kept &= !gone.fold(0, |bits, column| bits | 1 << column);
        if self.kept == 0 {
            return Err(Lost);
        }
        for slot in left {
            for column in columns(self.kept) {
                self.count(column, self.lines[*slot as usize].hops[column], -1);
            }
        }
        // The way to a source is on this side, but where a distance waits to be mended.
        let staying = if parts.label(ends[0]) == self.label { ends[0] } else { ends[1] };
        for column in columns(if self.deferred { self.kept } else { 0 }) {
            self.recount(topology, column, staying, |_| true);
            if staying != self.sources[column] {
                self.loose.push((column, staying));
            }
        }
        if self.kept != before || self.farthest() != self.diameter {
            self.settle(topology, parts)?;
        }
        Ok(Upkeep::Repaired)
    }
}
