use crate::Graph;

/// The distance to what cannot be reached.
pub const UNREACHED: u32 = u32::MAX;

/// Hops from `source` to every peer, [`UNREACHED`] where there is no way; all of them when there is
/// no such source. Breadth-first search, O(n + m).
pub fn hop_distances(graph: &Graph, source: u32) -> Vec<u32> {
    let mut search = Search::new(graph.peers());
    if (source as usize) < graph.peers() {
        search.run(graph, source, 0);
    }
    search.hops
}

/// Breadth-first searches one after another in the same memory, over peers from `base` on.
#[derive(Debug)]
pub(crate) struct Search {
    /// Distance of each peer, less `base`.
    pub(crate) hops: Vec<u32>,
    /// Peers in the order in which they were reached.
    pub(crate) queue: Vec<u32>,
}

impl Search {
    pub(crate) fn new(peers: usize) -> Self {
        Self { hops: vec![UNREACHED; peers], queue: Vec::with_capacity(peers) }
    }

    /// Searches from `source`, and gives the greatest distance. The component of `source` must lie
    /// in `base..base + hops.len()`.
    pub(crate) fn run(&mut self, graph: &Graph, source: u32, base: u32) -> u32 {
        let Self { hops, queue } = self;
        hops.fill(UNREACHED);
        queue.clear();
        hops[(source - base) as usize] = 0;
        queue.push(source);
        let mut head = 0;
        let mut hop = 0;
        while let Some(&peer) = queue.get(head) {
            head += 1;
            hop = hops[(peer - base) as usize];
            for &next in graph.row(peer) {
                let known = &mut hops[(next - base) as usize];
                if *known == UNREACHED {
                    *known = hop + 1;
                    queue.push(next);
                }
            }
        }
        hop
    }

    /// The peer reached last, which is one of the farthest.
    pub(crate) fn farthest(&self) -> Option<u32> {
        self.queue.last().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, floyd_warshall};

    #[test]
    fn distances_are_those_of_floyd_and_warshall() {
        let mut rng = fastrand::Rng::with_seed(4);
        for _ in 0..100 {
            let peers = rng.usize(1..25);
            let graph = testing::varied(peers, &mut rng);
            let expected = floyd_warshall(&graph);
            for source in 0..peers as u32 {
                assert_eq!(hop_distances(&graph, source), expected[source as usize]);
            }
            assert_eq!(hop_distances(&graph, peers as u32), vec![UNREACHED; peers]);
        }
    }
}
