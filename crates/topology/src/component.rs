use crate::{Graph, Snapshot};

/// How a network falls into parts that are connected within themselves.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Components {
    sizes: Vec<u32>,
}

impl Components {
    /// Of a snapshot, whose order of positions has them already. O(components log components).
    pub fn of(snapshot: &Snapshot) -> Self {
        let starts = snapshot.component_starts();
        Self::of_sizes(starts.windows(2).map(|ends| ends[1] - ends[0]).collect())
    }

    /// Of any graph, by union-find over its links with path halving (Tarjan and van Leeuwen 1984).
    /// O((n + m) a(n)), a being the inverse of Ackermann's function.
    pub fn of_graph(graph: &Graph) -> Self {
        let mut sets = DisjointSets::new(graph.peers());
        for (a, b) in graph.link_list() {
            sets.union(a, b);
        }
        Self::of_sizes(sets.sizes().collect())
    }

    pub(crate) fn of_sizes(mut sizes: Vec<u32>) -> Self {
        sizes.sort_unstable_by(|a, b| b.cmp(a));
        Self { sizes }
    }

    /// How many there are; 0 without peers.
    pub fn count(&self) -> usize {
        self.sizes.len()
    }

    /// How many peers each has, the largest first.
    pub fn sizes(&self) -> &[u32] {
        &self.sizes
    }

    /// Peers of the largest; 0 without peers.
    pub fn largest(&self) -> u32 {
        self.sizes.first().copied().unwrap_or(0)
    }

    /// Pairs of peers that can reach each other.
    pub fn connected_pairs(&self) -> u64 {
        self.sizes.iter().map(|size| pairs(*size)).sum()
    }
}

/// Pairs among `count`.
pub(crate) const fn pairs(count: u32) -> u64 {
    let count = count as u64;
    count * count.saturating_sub(1) / 2
}

/// Union-find: union by size, path halving. Roots hold their size with all bits flipped, so that one
/// word a peer is enough.
#[derive(Debug, Clone)]
pub(crate) struct DisjointSets {
    parents: Vec<u32>,
}

/// Sizes stay below this and their complements at or above it.
const ROOT: u32 = 1 << 31;

impl DisjointSets {
    pub(crate) fn new(peers: usize) -> Self {
        Self { parents: vec![!1; peers] }
    }

    /// Everybody alone again.
    pub(crate) fn reset(&mut self) {
        self.parents.fill(!1);
    }

    /// The representative of a peer's set.
    #[inline]
    pub(crate) fn find(&mut self, mut peer: u32) -> u32 {
        loop {
            let parent = self.parents[peer as usize];
            if parent >= ROOT {
                return peer;
            }
            let above = self.parents[parent as usize];
            if above >= ROOT {
                return parent;
            }
            self.parents[peer as usize] = above;
            peer = above;
        }
    }

    /// Size of the set of which `root` is the representative.
    #[inline]
    pub(crate) fn size(&self, root: u32) -> u32 {
        !self.parents[root as usize]
    }

    /// Joins two sets; the sizes they had when they were two.
    #[inline]
    pub(crate) fn union(&mut self, a: u32, b: u32) -> Option<(u32, u32)> {
        let (mut a, mut b) = (self.find(a), self.find(b));
        if a == b {
            return None;
        }
        let sizes = (self.size(a), self.size(b));
        if sizes.0 < sizes.1 {
            std::mem::swap(&mut a, &mut b);
        }
        self.parents[b as usize] = a;
        self.parents[a as usize] = !(sizes.0 + sizes.1);
        Some(sizes)
    }

    pub(crate) fn sizes(&self) -> impl Iterator<Item = u32> + '_ {
        self.parents.iter().filter(|parent| **parent >= ROOT).map(|parent| !parent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, floyd_warshall};
    use crate::{Snapshot, UNREACHED};

    #[test]
    fn components_are_what_reaches_each_other() {
        let mut rng = fastrand::Rng::with_seed(8);
        for _ in 0..200 {
            let peers = rng.usize(0..40);
            let graph = testing::varied(peers, &mut rng);
            let distances = floyd_warshall(&graph);
            let mut sizes = Vec::new();
            let mut reaching = 0;
            for (at, row) in distances.iter().enumerate() {
                let reached: Vec<usize> =
                    (0..peers).filter(|other| row[*other] != UNREACHED).collect();
                reaching += reached.iter().filter(|other| **other > at).count() as u64;
                if reached.first() == Some(&at) {
                    sizes.push(reached.len() as u32);
                }
            }
            sizes.sort_unstable_by(|a, b| b.cmp(a));
            let components = Components::of(&Snapshot::of(&graph));
            assert_eq!(components.sizes(), sizes);
            assert_eq!(components, Components::of_graph(&graph));
            assert_eq!(components.connected_pairs(), reaching);
            assert_eq!(
                (components.count(), components.largest()),
                (sizes.len(), sizes.first().copied().unwrap_or(0))
            );
        }
    }
}
