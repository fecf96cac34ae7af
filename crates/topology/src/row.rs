use smallvec::SmallVec;

/// Neighbours of a peer, sorted by slot, each with the number of its edge. The common degree of a
/// mesh fits without an allocation.
#[derive(Debug, Clone, Default)]
pub(crate) struct Row(SmallVec<[u64; 10]>);

fn packed(slot: u32, edge: u32) -> u64 {
    u64::from(slot) << 32 | u64::from(edge)
}

fn slot_of(entry: u64) -> u32 {
    (entry >> 32) as u32
}

impl Row {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    fn at(&self, slot: u32) -> Result<usize, usize> {
        self.0.binary_search_by_key(&slot, |entry| slot_of(*entry))
    }

    /// Number of the edge to `slot`.
    pub(crate) fn edge(&self, slot: u32) -> Option<u32> {
        // The lower half of an entry is the edge.
        self.at(slot).ok().map(|at| self.0[at] as u32)
    }

    /// Adds a neighbour that is not there yet.
    pub(crate) fn insert(&mut self, slot: u32, edge: u32) {
        if let Err(at) = self.at(slot) {
            self.0.insert(at, packed(slot, edge));
        }
    }

    pub(crate) fn remove(&mut self, slot: u32) {
        if let Ok(at) = self.at(slot) {
            self.0.remove(at);
        }
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Slots in ascending order.
    pub(crate) fn slots(&self) -> impl ExactSizeIterator<Item = u32> + Clone + '_ {
        self.0.iter().map(|entry| slot_of(*entry))
    }

    /// Slots with their edges, in ascending order of the slots.
    pub(crate) fn entries(&self) -> impl ExactSizeIterator<Item = (u32, u32)> + '_ {
        self.0.iter().map(|entry| (slot_of(*entry), *entry as u32))
    }

    /// Calls `found` with each slot that is in both rows. O(d + d'), or O(d log d') when one of
    /// them is much shorter.
    pub(crate) fn intersect(&self, other: &Self, mut found: impl FnMut(u32)) {
        /// Above this ratio of the lengths a binary search for each entry wins over a merge.
        const SEARCH_RATIO: usize = 16;
        let (short, long) = if self.len() <= other.len() { (self, other) } else { (other, self) };
        if long.len() / SEARCH_RATIO > short.len() {
            short.slots().filter(|slot| long.at(*slot).is_ok()).for_each(found);
            return;
        }
        let (mut a, mut b) = (short.0.iter(), long.0.iter());
        let (mut x, mut y) = (a.next(), b.next());
        while let (Some(left), Some(right)) = (x, y) {
            let (left, right) = (slot_of(*left), slot_of(*right));
            if left == right {
                found(left);
            }
            if left <= right {
                x = a.next();
            }
            if right <= left {
                y = b.next();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn a_row_is_a_sorted_map() {
        let mut rng = fastrand::Rng::with_seed(1);
        let (mut row, mut model) = (Row::default(), BTreeMap::new());
        for edge in 0..2_000 {
            let slot = rng.u32(0..40);
            if rng.bool() {
                row.insert(slot, edge);
                model.entry(slot).or_insert(edge);
            } else {
                row.remove(slot);
                model.remove(&slot);
            }
            assert!(row.entries().eq(model.iter().map(|(slot, edge)| (*slot, *edge))));
            assert_eq!(row.edge(slot), model.get(&slot).copied());
        }
    }

    #[test]
    fn both_ways_of_intersecting_agree() {
        let row = |slots: &[u32]| {
            let mut row = Row::default();
            slots.iter().for_each(|slot| row.insert(*slot, 0));
            row
        };
        let long: Vec<u32> = (0..200).map(|i| 3 * i).collect();
        for (few, expected) in [
            (vec![2, 3, 6, 597, 600], vec![3, 6, 597]),
            ((0..50).collect(), (0..17).map(|i| 3 * i).collect()),
        ] {
            for (a, b) in [(row(&few), row(&long)), (row(&long), row(&few))] {
                let mut found = Vec::new();
                a.intersect(&b, |slot| found.push(slot));
                assert_eq!(found, expected);
            }
        }
    }
}
