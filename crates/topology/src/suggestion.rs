use crate::augment::with_links;
use crate::cut::Criticality;
use crate::{Graph, UNREACHED};

/// A link worth adding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Suggestion {
    /// The lower end.
    pub a: u32,
    /// The other.
    pub b: u32,
    /// How many pairs fewer single failures cost, summed over all peers and links that could fail.
    pub effect: u64,
}

/// Critical peers that a link is looked for round, the worst first.
const MAX_ROUND: usize = 6;
/// Parts of the network round one of them, the largest first.
const MAX_PARTS: usize = 3;
/// Work for one suggestion: peers and links looked at.
const MAX_WORK: usize = 40_000_000;

/// Up to `count` links, each the one that takes most from what single failures cost, among those
/// between the far ends of the parts that the worst peers hold together. Ends when none helps.
///
/// For plans of a guaranteed size see [`two_vertex_connected`](crate::two_vertex_connected).
pub fn suggested_links(graph: &Graph, count: usize) -> Vec<Suggestion> {
    let mut current = graph.clone();
    let mut found = Vec::new();
    let mut cost = Cost::of(&current);
    while found.len() < count && cost.sum > 0 {
        let tries = (MAX_WORK / (current.peers() + current.links()).max(1)).max(1);
        let best = candidates(&current, &cost.worst)
            .into_iter()
            .take(tries)
            .map(|pair| {
                let graph = with_links(&current, &[pair]);
                let cost = Cost::of(&graph);
                (pair, graph, cost)
            })
            .min_by_key(|(pair, _, cost)| (cost.sum, *pair));
        let Some(((a, b), graph, less)) = best.filter(|best| best.2.sum < cost.sum) else { break };
        // Half a unit of pairs at most is lost in what fits 64 bits.
        let effect = u64::try_from(cost.sum - less.sum).unwrap_or(u64::MAX);
        found.push(Suggestion { a, b, effect });
        current = graph;
        cost = less;
    }
    found
}

/// What single failures cost.
struct Cost {
    sum: u128,
    worst: Vec<u32>,
}

impl Cost {
    fn of(graph: &Graph) -> Self {
        let criticality = Criticality::of(graph);
        let peers = criticality.peers.iter().map(|c| u128::from(c.pairs_lost));
        let links = criticality.links.iter().map(|c| u128::from(c.pairs_lost));
        let mut worst: Vec<u32> =
            criticality.peers.iter().take(MAX_ROUND).map(|critical| critical.what).collect();
        // A bridge between two groups may have no peer that is worse than others.
        worst.extend(criticality.links.iter().take(1).map(|critical| critical.what.0));
        Self { sum: peers.chain(links).sum(), worst }
    }
}

fn candidates(graph: &Graph, worst: &[u32]) -> Vec<(u32, u32)> {
    let mut pairs = Vec::new();
    for &peer in worst {
        let ends = far_ends(graph, peer);
        for (at, a) in ends.iter().enumerate() {
            for b in &ends[at + 1..] {
                if graph.row(*a).binary_search(b).is_err() {
                    pairs.push((*a.min(b), *a.max(b)));
                }
            }
        }
    }
    pairs
}

/// The peer farthest from `peer` in each part that its loss would leave, the largest parts first.
fn far_ends(graph: &Graph, peer: u32) -> Vec<u32> {
    let mut seen = vec![false; graph.peers()];
    seen[peer as usize] = true;
    let mut parts: Vec<(usize, u32)> = Vec::new();
    for &first in graph.row(peer) {
        if seen[first as usize] {
            continue;
        }
        seen[first as usize] = true;
        let mut queue = vec![first];
        let mut head = 0;
        while let Some(&at) = queue.get(head) {
            head += 1;
            for &next in graph.row(at) {
                if !std::mem::replace(&mut seen[next as usize], true) {
                    queue.push(next);
                }
            }
        }
        // The last one reached is as far as any from the first.
        let far = queue.last().copied().unwrap_or(UNREACHED);
        parts.push((queue.len(), far));
    }
    parts.sort_unstable_by(|a, b| b.cmp(a));
    parts.into_iter().take(MAX_PARTS).map(|(_, far)| far).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, graph};

    #[test]
    fn a_path_is_closed_to_a_ring_first() {
        let path = graph(6, &[(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)]);
        // Each peer at distance k from an end costs k (5 - k) pairs, each link k (6 - k).
        let whole = 2 * (4 + 6) + 5 + 8 + 9 + 8 + 5;
        let expected = Suggestion { a: 0, b: 5, effect: whole };
        assert_eq!(suggested_links(&path, 4), [expected]);
        assert_eq!(suggested_links(&path, 0), []);
    }

    #[test]
    fn every_suggestion_takes_what_it_says() {
        let mut rng = fastrand::Rng::with_seed(95);
        let mut told = 0;
        for _ in 0..60 {
            let peers = rng.usize(3..50);
            let mut net = testing::varied(peers, &mut rng);
            for Suggestion { a, b, effect } in suggested_links(&net, 5) {
                let before = Cost::of(&net).sum;
                net = with_links(&net, &[(a, b)]);
                assert_eq!(before - Cost::of(&net).sum, u128::from(effect));
                assert!(effect > 0);
                told += 1;
            }
        }
        assert!(told > 50);
    }
}
