use super::{Constraints, with_links};
use crate::{Diameters, Graph, Snapshot, UNREACHED, hop_distances};

/// Ends of longest ways that are tried for one shortcut.
const MAX_TRIED: usize = 16;

/// Up to `count` links that shorten the longest way within the largest component, each chosen so
/// that the exact diameter after it is least: the ends of a longest way and peers near them. Ends
/// when no link tried shortens it. O(count) exact diameters.
pub fn shortcuts(graph: &Graph, count: usize, constraints: &Constraints<'_>) -> Vec<(u32, u32)> {
    let mut current = graph.clone();
    let mut plan = Vec::new();
    let mut diameter = Diameters::of_largest(&Snapshot::of(&current));
    while plan.len() < count && diameter > 2 {
        let tried = candidates(&current, diameter, constraints).into_iter().map(|pair| {
            let graph = with_links(&current, &[pair]);
            (Diameters::of_largest(&Snapshot::of(&graph)), pair, graph)
        });
        let best = tried.min_by_key(|(diameter, pair, _)| (*diameter, *pair));
        let Some((less, pair, graph)) = best.filter(|best| best.0 < diameter) else { break };
        plan.push(pair);
        current = graph;
        diameter = less;
    }
    plan
}

fn candidates(graph: &Graph, diameter: u32, constraints: &Constraints<'_>) -> Vec<(u32, u32)> {
    let fits = |pair: &(u32, u32)| {
        let (a, b) = *pair;
        a != b
            && constraints.has_room(graph.degree(a))
            && constraints.has_room(graph.degree(b))
            && graph.row(a).binary_search(&b).is_err()
    };
    if let Some(feasible) = constraints.feasible {
        let peers = graph.peers() as u32;
        let inside =
            feasible.iter().map(|(a, b)| (*a.min(b), *a.max(b))).filter(|(_, b)| *b < peers);
        return inside.filter(|pair| fits(pair)).take(MAX_TRIED * MAX_TRIED).collect();
    }
    let Some((from, distances)) = longest(graph, diameter) else { return Vec::new() };
    let Some(to) = distances.iter().position(|hops| *hops == diameter) else { return Vec::new() };
    // Between the quarters of a longest way, a link halves it; its ends need not be the best.
    let near = |end: u32, hops: u32| {
        let around = hop_distances(graph, end);
        let other = if end == from { to as u32 } else { from };
        let rest = hop_distances(graph, other);
        let on_way = (0..graph.peers() as u32).filter(move |peer| {
            let (here, there) = (around[*peer as usize], rest[*peer as usize]);
            here != UNREACHED && there != UNREACHED && here + there == diameter && here == hops
        });
        on_way.take(2).collect::<Vec<u32>>()
    };
    let mut pairs = Vec::new();
    for hops in [0, diameter / 6, diameter / 4] {
        for a in near(from, hops) {
            for b in near(to as u32, hops) {
                pairs.push((a.min(b), a.max(b)));
            }
        }
    }
    pairs.retain(|pair| fits(pair));
    pairs.truncate(MAX_TRIED);
    pairs
}

/// A peer from which the longest way begins, and the distances from it.
fn longest(graph: &Graph, diameter: u32) -> Option<(u32, Vec<u32>)> {
    /// Peers tried: each search starts from the farthest peer of the one before.
    const SWEEPS: usize = 8;
    let snapshot = Snapshot::of(graph);
    let starts = snapshot.component_starts();
    let largest = starts.windows(2).max_by_key(|ends| ends[1] - ends[0])?;
    let mut at = snapshot.slot(largest[0])?.0;
    for _ in 0..SWEEPS {
        let distances = hop_distances(graph, at);
        let (far, hops) = farthest(&distances)?;
        if hops == diameter {
            return Some((at, distances));
        }
        at = far;
    }
    // The sweeps did not find a longest way, so that every peer is tried in turn.
    let all = (0..graph.peers() as u32).map(|peer| (peer, hop_distances(graph, peer)));
    all.into_iter()
        .find(|(_, distances)| farthest(distances).is_some_and(|(_, hops)| hops == diameter))
}

fn farthest(distances: &[u32]) -> Option<(u32, u32)> {
    let reached = distances.iter().enumerate().filter(|(_, hops)| **hops != UNREACHED);
    reached.max_by_key(|(_, hops)| **hops).map(|(peer, hops)| (peer as u32, *hops))
}
