use bitcraps_wire::Alias;

use super::Graph;

/// No distance: not reached.
pub(crate) const FAR: u16 = u16::MAX;
/// No distance yet, but one is wanted.
pub(super) const WATCHED: u16 = FAR - 1;

/// How far away origins are.
#[derive(Debug, Default)]
pub(crate) struct Hops {
    /// By slot.
    distances: Vec<u16>,
    /// Of which state of the graph.
    changes: u64,
    /// Whom the links of this node led to.
    ends: Vec<Alias>,
}

impl Graph {
    /// Counts the hops from `from`, whose links lead to `ends` whether or not others confirm it; whether
    /// something has changed since they were counted last. O(n + m), or O(ends) when nothing has.
    pub(crate) fn count(
        &self,
        hops: &mut Hops,
        from: Alias,
        ends: impl Iterator<Item = Alias> + Clone,
    ) -> bool {
        if hops.changes == self.changes && hops.ends.iter().copied().eq(ends.clone()) {
            return false;
        }
        hops.ends = ends.collect();
        hops.changes = self.changes;
        hops.distances = self.measure(from, &hops.ends, 0..self.rows.len() as u16);
        true
    }

    /// How far away an origin is, by what was found when the hops were counted.
    pub(crate) fn distance(&self, hops: &Hops, alias: Alias) -> u16 {
        let slot = self.slots.get(&alias);
        let hops = slot.and_then(|slot| hops.distances.get(usize::from(*slot))).copied();
        hops.filter(|hops| *hops < WATCHED).unwrap_or(FAR)
    }

    /// Distances from `origin`, as if `ends` were next to it, until all that are `watched` have theirs,
    /// and all that are no farther than they are.
    pub(super) fn measure(
        &self,
        origin: Alias,
        ends: &[Alias],
        watched: impl Iterator<Item = u16>,
    ) -> Vec<u16> {
        let mut search = Search::new(self.rows.len(), watched);
        if let Some(origin) = self.slots.get(&origin) {
            search.reach(*origin, 0);
        }
        for start in ends.iter().filter_map(|end| self.slots.get(end)) {
            search.reach(*start, 1);
        }
        let mut head = 0;
        while let Some(&slot) = search.order.get(head) {
            let distance = search.distances[usize::from(slot)];
            if search.left == 0 && distance >= search.farthest {
                break;
            }
            head += 1;
            let next = (distance + 1).min(WATCHED - 1);
            for &other in &self.rows[usize::from(slot)] {
                search.reach(other, next);
            }
        }
        search.distances
    }
}

/// A search in breadth. Its room is asked for anew each time: what was used a moment ago is near.
struct Search {
    /// [`FAR`] and [`WATCHED`] where none is known.
    distances: Vec<u16>,
    order: Vec<u16>,
    /// How many of the watched have no distance yet.
    left: usize,
    /// Distance of the one that was reached last.
    farthest: u16,
}

impl Search {
    fn new(slots: usize, watched: impl Iterator<Item = u16>) -> Self {
        let (mut distances, mut left) = (vec![FAR; slots], 0);
        for slot in watched {
            let before = std::mem::replace(&mut distances[usize::from(slot)], WATCHED);
            left += usize::from(before == FAR);
        }
        Self { distances, order: Vec::with_capacity(slots), left, farthest: 0 }
    }

    fn reach(&mut self, slot: u16, distance: u16) {
        let known = &mut self.distances[usize::from(slot)];
        if *known >= WATCHED {
            if *known == WATCHED {
                self.left -= 1;
                self.farthest = distance;
            }
            *known = distance;
            self.order.push(slot);
        }
    }
}
