//! The distances of a column, mended where a change made them longer or shorter.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::{Certificate, Lost, MANY, MAX_DISTANCE};
use crate::topology::Topology;

/// Slots up to which a column is mended one by one, however few there are in all.
const FEW_MENDED: usize = 256;
/// Above one in so many slots, a search anew costs less than mending them one by one.
const MENDED_SHARE: usize = 16;

impl Certificate {
    /// Searches from a column's source. In arrays of its own: lines are far apart.
    pub(super) fn fill(&mut self, topology: &Topology, column: usize) -> Result<(), Lost> {
        const UNMET: u16 = u16::MAX;
        let Self { lines, queue, sources, levels, .. } = self;
        let levels = &mut levels[column];
        levels.clear();
        let mut found = vec![(UNMET, 0_u8); lines.len()];
        queue.clear();
        queue.push(sources[column]);
        found[sources[column] as usize] = (0, 0);
        let mut head = 0;
        while let Some(&slot) = queue.get(head) {
            head += 1;
            let next = found[slot as usize].0 + 1;
            if u32::from(next) > MAX_DISTANCE {
                return Err(Lost);
            }
            for other in topology.row(slot).slots() {
                let (hops, nearer) = &mut found[other as usize];
                if *hops == UNMET {
                    *hops = next;
                    queue.push(other);
                }
                *nearer = nearer.saturating_add(u8::from(*hops == next));
            }
        }
        for (line, (hops, nearer)) in lines.iter_mut().zip(found) {
            if hops != UNMET {
                (line.hops[column], line.nearer[column]) = (hops, nearer);
                let at = usize::from(hops);
                if at >= levels.len() {
                    levels.resize(at + 1, 0);
                }
                levels[at] += 1;
            }
        }
        Ok(())
    }

    /// Lowers a column at a slot, and around it wherever a step would be more than 1.
    pub(super) fn lower(
        &mut self,
        topology: &Topology,
        column: usize,
        slot: u32,
        hops: u16,
    ) -> Result<(), Lost> {
        self.round += 1;
        let round = self.round;
        self.marks[slot as usize] = round;
        let mut lowered = vec![(slot, self.set(column, slot, hops))];
        let mut head = 0;
        while let Some(&(slot, _)) = lowered.get(head) {
            head += 1;
            let next = self.lines[slot as usize].hops[column] + 1;
            for other in topology.row(slot).slots() {
                if self.lines[other as usize].hops[column] > next {
                    self.marks[other as usize] = round;
                    lowered.push((other, self.set(column, other, next)));
                }
            }
            if lowered.len() > self.most_mended() {
                return self.fill(topology, column);
            }
        }
        for (slot, before) in lowered {
            self.recount(topology, column, slot, |_| true);
            let now = self.lines[slot as usize].hops[column];
            for other in topology.row(slot).slots() {
                let line = &mut self.lines[other as usize];
                let gains = (now + 1..=before).contains(&line.hops[column]);
                if gains && self.marks[other as usize] != round {
                    line.nearer[column] = line.nearer[column].saturating_add(1);
                }
            }
        }
        Ok(())
    }

    /// Slots above which a search anew costs less than mending one by one.
    fn most_mended(&self) -> usize {
        FEW_MENDED.max(self.lines.len() / MENDED_SHARE)
    }

    /// Gives what was there before.
    fn set(&mut self, column: usize, slot: u32, hops: u16) -> u16 {
        let before = std::mem::replace(&mut self.lines[slot as usize].hops[column], hops);
        self.count(column, hops, 1);
        self.count(column, before, -1);
        before
    }

    /// A neighbour nearer than `slot` went; whether none is left.
    pub(super) fn loses_one(&mut self, topology: &Topology, column: usize, slot: u32) -> bool {
        if self.lines[slot as usize].nearer[column] == MANY {
            self.recount(topology, column, slot, |_| true);
        } else {
            self.lines[slot as usize].nearer[column] -= 1;
        }
        self.lines[slot as usize].nearer[column] == 0
    }

    /// Counts the nearer neighbours, of those that count.
    pub(super) fn recount(
        &mut self,
        topology: &Topology,
        column: usize,
        slot: u32,
        counts: impl Fn(u32) -> bool,
    ) {
        let own = self.lines[slot as usize].hops[column];
        let around = topology.row(slot).slots().filter(|other| counts(*other));
        let nearer = around.filter(|other| self.lines[*other as usize].hops[column] < own);
        self.lines[slot as usize].nearer[column] = nearer.count().min(usize::from(MANY)) as u8;
    }

    /// Raises a column at slots that have no nearer neighbour any more, and at those that had only
    /// these: all of them are in `raised` then, unless the whole column was searched anew, which is
    /// returned.
    pub(super) fn raise(
        &mut self,
        topology: &Topology,
        column: usize,
        raised: &mut Vec<u32>,
    ) -> Result<bool, Lost> {
        self.round += 1;
        let round = self.round;
        let mut head = 0;
        while let Some(&slot) = raised.get(head) {
            head += 1;
            self.marks[slot as usize] = round;
            if raised.len() > self.most_mended() {
                self.fill(topology, column)?;
                return Ok(true);
            }
            let value = self.lines[slot as usize].hops[column];
            for other in topology.row(slot).slots() {
                let line = &mut self.lines[other as usize];
                if line.hops[column] <= value {
                    continue;
                }
                if line.nearer[column] == MANY {
                    let marks = std::mem::take(&mut self.marks);
                    self.recount(topology, column, other, |low| marks[low as usize] != round);
                    self.marks = marks;
                } else {
                    line.nearer[column] -= 1;
                }
                if self.lines[other as usize].nearer[column] == 0 {
                    raised.push(other);
                }
            }
        }
        let mut open = BinaryHeap::new();
        for &slot in raised.iter() {
            let around = topology.row(slot).slots();
            let known = around.filter(|other| self.marks[*other as usize] != round);
            let least = known.map(|other| self.lines[other as usize].hops[column]).min();
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
            self.marks[slot as usize] = 0;
            self.set(column, slot, value);
            for other in topology.row(slot).slots() {
                if self.marks[other as usize] == round {
                    open.push(Reverse((value + 1, other)));
                }
            }
        }
        raised.iter().for_each(|slot| self.marks[*slot as usize] = round);
        for &slot in raised.iter() {
            self.recount(topology, column, slot, |_| true);
            let value = self.lines[slot as usize].hops[column];
            for other in topology.row(slot).slots() {
                let line = &mut self.lines[other as usize];
                if self.marks[other as usize] != round && line.hops[column] > value {
                    line.nearer[column] = line.nearer[column].saturating_add(1);
                }
            }
        }
        Ok(false)
    }
}
