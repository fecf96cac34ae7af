use std::collections::BTreeMap;

use crate::Snapshot;
use crate::topology::Topology;

/// No component: there is no peer.
const NOBODY: u32 = u32::MAX;

/// The component of each slot, and how large each is.
#[derive(Debug, Clone, Default)]
pub(super) struct Parts {
    labels: Vec<u32>,
    sizes: Vec<u32>,
    free: Vec<u32>,
    /// How many components have each size.
    by_size: BTreeMap<u32, u32>,
    /// Marks of the search that comes from either side, by slot.
    marks: Vec<(u32, bool)>,
    round: u32,
}

/// A component that fell in two.
#[derive(Debug)]
pub(super) struct Parting {
    /// The slots of the part that has a new label.
    pub(super) left: Vec<u32>,
}

impl Parts {
    pub(super) fn of(snapshot: &Snapshot, slots: usize) -> Self {
        let mut parts =
            Self { labels: vec![NOBODY; slots], marks: vec![(0, false); slots], ..Self::default() };
        for ends in snapshot.component_starts().windows(2) {
            let label = parts.fresh(ends[1] - ends[0]);
            for slot in (ends[0]..ends[1]).filter_map(|position| snapshot.slot(position)) {
                parts.labels[slot.0 as usize] = label;
            }
        }
        parts
    }

    pub(super) fn count(&self) -> usize {
        self.sizes.len() - self.free.len()
    }

    pub(super) fn largest(&self) -> u32 {
        self.by_size.last_key_value().map_or(0, |(size, _)| *size)
    }

    pub(super) fn label(&self, slot: u32) -> u32 {
        self.labels[slot as usize]
    }

    /// Whether this component is larger than every other.
    pub(super) fn is_the_largest(&self, label: u32) -> bool {
        let size = self.sizes.get(label as usize).copied().unwrap_or(0);
        size == self.largest() && self.by_size.get(&size) == Some(&1)
    }

    /// A peer without links.
    pub(super) fn add(&mut self, slot: u32) {
        let at = slot as usize;
        if at >= self.labels.len() {
            self.labels.resize(at + 1, NOBODY);
            self.marks.resize(at + 1, (0, false));
        }
        let label = self.fresh(1);
        self.labels[at] = label;
    }

    /// Takes a peer without links out.
    pub(super) fn remove(&mut self, slot: u32) {
        let label = std::mem::replace(&mut self.labels[slot as usize], NOBODY);
        self.resize(label, 0);
    }

    fn fresh(&mut self, size: u32) -> u32 {
        let label = self.free.pop().unwrap_or_else(|| {
            self.sizes.push(0);
            self.sizes.len() as u32 - 1
        });
        self.sizes[label as usize] = size;
        *self.by_size.entry(size).or_insert(0) += 1;
        label
    }

    fn resize(&mut self, label: u32, size: u32) {
        let before = std::mem::replace(&mut self.sizes[label as usize], size);
        if let Some(count) = self.by_size.get_mut(&before) {
            *count -= 1;
            if *count == 0 {
                self.by_size.remove(&before);
            }
        }
        if size > 0 {
            *self.by_size.entry(size).or_insert(0) += 1;
        } else {
            self.free.push(label);
        }
    }

    /// Joins the components of two slots that were just linked; the slots that changed their label,
    /// in breadth-first order from the new link. O(the smaller one).
    pub(super) fn join(&mut self, topology: &Topology, a: u32, b: u32) -> Vec<u32> {
        let size = |slot: u32| self.sizes[self.labels[slot as usize] as usize];
        let (keep, lose) = if size(a) >= size(b) { (a, b) } else { (b, a) };
        let (kept, lost) = (self.label(keep), self.label(lose));
        let both = self.sizes[kept as usize] + self.sizes[lost as usize];
        let mut moved = vec![lose];
        self.labels[lose as usize] = kept;
        let mut head = 0;
        while let Some(&slot) = moved.get(head) {
            head += 1;
            for other in topology.row(slot).slots() {
                if self.labels[other as usize] == lost {
                    self.labels[other as usize] = kept;
                    moved.push(other);
                }
            }
        }
        self.resize(lost, 0);
        self.resize(kept, both);
        moved
    }

    /// Parts the component of two slots between which the last way was just cut. O(the smaller one):
    /// two searches, one step of each in turn, until one is at its end.
    pub(super) fn part(&mut self, topology: &Topology, a: u32, b: u32) -> Parting {
        self.round += 1;
        let mut queues = [vec![a], vec![b]];
        let mut heads = [0, 0];
        for (side, slot) in [(false, a), (true, b)] {
            self.marks[slot as usize] = (self.round, side);
        }
        let side = 'ended: loop {
            for side in [false, true] {
                let at = usize::from(side);
                let Some(&slot) = queues[at].get(heads[at]) else { break 'ended at };
                heads[at] += 1;
                for other in topology.row(slot).slots() {
                    let mark = &mut self.marks[other as usize];
                    if mark.0 != self.round {
                        *mark = (self.round, side);
                        queues[at].push(other);
                    }
                }
            }
        };
        let left = std::mem::take(&mut queues[side]);
        let old = self.label(a);
        let rest = self.sizes[old as usize] - left.len() as u32;
        let new = self.fresh(left.len() as u32);
        for slot in &left {
            self.labels[*slot as usize] = new;
        }
        self.resize(old, rest);
        Parting { left }
    }
}
