use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::{Graph, LinkIndex, LinkWeight};

/// What a way through the network should have least of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metric {
    /// Links.
    Hops,
    /// Sum of the latencies, in microseconds.
    Latency,
    /// Probability that one of the links fails, failures being independent: the cost of a link is
    /// `-ln(reliability)` in units of 10^-9.
    Unreliability,
}

/// `-ln(reliability)` is kept in this fraction, as an integer, so that sums are exact.
const NEPERS: f64 = 1e9;

impl Metric {
    /// The cost of a link; `None` when nothing can pass it.
    pub fn cost(self, weight: &LinkWeight) -> Option<u64> {
        match self {
            Self::Hops => Some(1),
            // An hour at most.
            Self::Latency => Some(weight.latency.as_micros() as u64),
            Self::Unreliability => {
                let reliability = weight.reliability.get();
                (reliability > 0.0).then(|| (-reliability.ln() * NEPERS).round() as u64)
            }
        }
    }

    /// The costs of all links of a snapshot, in the order of their numbers.
    pub fn costs(self, weights: &[LinkWeight]) -> Vec<Option<u64>> {
        weights.iter().map(|weight| self.cost(weight)).collect()
    }
}

/// A way from one peer to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    /// Positions of the peers, both ends included.
    pub peers: Vec<u32>,
    /// Sum of the costs of its links.
    pub cost: u64,
}

/// The cheapest way from `from` to `to`; of two that cost the same, the one whose peers have lower
/// positions. `None` when there is no way, or no such peer. `costs` are by link number; a link
/// without a cost is not passed.
///
/// Dijkstra 1959 with a binary heap, O((n + m) log n). One hop costs less than 2^62 for sums to
/// hold.
pub fn shortest_path(graph: &Graph, costs: &[Option<u64>], from: u32, to: u32) -> Option<Path> {
    if (from as usize) >= graph.peers() || (to as usize) >= graph.peers() {
        return None;
    }
    let arcs = LinkIndex::of_arcs(graph);
    let mut best = vec![u64::MAX; graph.peers()];
    let mut before = vec![u32::MAX; graph.peers()];
    let mut open = BinaryHeap::from([Reverse((0_u64, from))]);
    best[from as usize] = 0;
    while let Some(Reverse((cost, peer))) = open.pop() {
        if peer == to {
            break;
        }
        if cost > best[peer as usize] {
            continue;
        }
        let begin = graph.offsets()[peer as usize] as usize;
        for (other, link) in graph.row(peer).iter().zip(&arcs[begin..]) {
            let Some(step) = costs.get(*link as usize).copied().flatten() else { continue };
            let reached = cost.saturating_add(step);
            let at = *other as usize;
            if reached < best[at] {
                best[at] = reached;
                before[at] = peer;
                open.push(Reverse((reached, *other)));
            } else if reached == best[at] && step > 0 && peer < before[at] {
                before[at] = peer;
            }
        }
    }
    if best[to as usize] == u64::MAX {
        return None;
    }
    let mut peers = vec![to];
    let mut at = to;
    while at != from {
        at = before[at as usize];
        peers.push(at);
    }
    peers.reverse();
    Some(Path { peers, cost: best[to as usize] })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, graph, simple_paths};
    use bitcraps_types::Ratio;
    use std::time::Duration;

    #[test]
    fn no_simple_path_is_cheaper() {
        let mut rng = fastrand::Rng::with_seed(51);
        for _ in 0..300 {
            let peers = rng.usize(2..8);
            let graph = testing::varied(peers, &mut rng);
            let cost = |_| (rng.u32(0..9) > 0).then(|| rng.u64(0..6));
            let costs: Vec<Option<u64>> = (0..graph.links()).map(cost).collect();
            for to in 0..peers as u32 {
                let all = simple_paths(&graph, &costs, 0, to);
                let least = all.iter().map(|(_, cost)| *cost).min();
                let told = shortest_path(&graph, &costs, 0, to);
                assert_eq!(told.as_ref().map(|path| path.cost), least);
                if let Some(path) = told {
                    assert!(all.contains(&(path.peers, path.cost)));
                }
            }
        }
    }

    #[test]
    fn each_metric_prefers_its_own_way() {
        // 0 - 3 directly, over 1, or over 2 and 4.
        let net = graph(5, &[(0, 3), (0, 1), (1, 3), (0, 2), (2, 4), (3, 4)]);
        let weights: Vec<LinkWeight> = net
            .link_list()
            .map(|link| {
                let (millis, reliability) = match link {
                    (0, 3) => (50, 0.5),
                    (0, 1) | (1, 3) => (10, 0.8),
                    _ => (30, 0.99),
                };
                let latency = Duration::from_millis(millis);
                LinkWeight { reliability: Ratio::clamped(reliability), latency }
            })
            .collect();
        let by = |metric: Metric| shortest_path(&net, &metric.costs(&weights), 0, 3).unwrap();
        assert_eq!(by(Metric::Hops), Path { peers: vec![0, 3], cost: 1 });
        assert_eq!(by(Metric::Latency), Path { peers: vec![0, 1, 3], cost: 20_000 });
        let reliable = by(Metric::Unreliability);
        assert_eq!(reliable.peers, [0, 2, 4, 3]);
        assert!((reliable.cost as f64 / 1e9 + 3.0 * 0.99_f64.ln()).abs() < 1e-8);
        let dead = LinkWeight { reliability: Ratio::ZERO, latency: Duration::ZERO };
        assert_eq!(Metric::Unreliability.cost(&dead), None);
        assert_eq!(shortest_path(&net, &[], 0, 9), None);
        assert_eq!(shortest_path(&net, &[], 2, 2), Some(Path { peers: vec![2], cost: 0 }));
    }
}
