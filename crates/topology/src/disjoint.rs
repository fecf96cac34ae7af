use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::Graph;
use crate::path::Path;

/// What several ways may not share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disjoint {
    /// No link.
    Links,
    /// No peer but the two ends.
    Peers,
}

/// Most ways asked for: no message goes more ways than that.
pub const MAX_DISJOINT_PATHS: usize = 16;

/// Up to `count` ways from `from` to `to` that share nothing, as many as there are, and of all such
/// sets the one that costs least together; the cheapest first. `costs` are by link number; a link
/// without a cost is not passed.
///
/// Suurballe 1974 with the potentials of Suurballe and Tarjan 1984, peers being split in two for
/// [`Disjoint::Peers`]. O(count (n + m) log n); `count` is lowered to [`MAX_DISJOINT_PATHS`].
pub fn disjoint_paths(
    graph: &Graph,
    costs: &[Option<u64>],
    from: u32,
    to: u32,
    count: usize,
    disjoint: Disjoint,
) -> Vec<Path> {
    let peers = graph.peers();
    if from == to || from as usize >= peers || to as usize >= peers {
        return Vec::new();
    }
    let mut flow = Flow::new(graph, costs, from, to, disjoint);
    for _ in 0..count.min(MAX_DISJOINT_PATHS) {
        if !flow.augment(entry(from) + 1, entry(to)) {
            break;
        }
    }
    flow.paths(from, to)
}

/// Where a peer is entered; it is left one above.
fn entry(peer: u32) -> u32 {
    2 * peer
}

/// An arc that can carry one unit, followed by its way back.
#[derive(Debug, Clone, Copy)]
struct Arc {
    to: u32,
    cost: i64,
    free: bool,
}

struct Flow {
    arcs: Vec<Arc>,
    /// From here on four arcs are a link: one way with its way back, then the other.
    first_link: usize,
    /// Numbers of the arcs out of each place, ascending, one row after the other.
    rows: Vec<u32>,
    /// Where the row of each place begins, and where the last one ends.
    starts: Vec<u32>,
    potentials: Vec<i64>,
}

const FAR: i64 = i64::MAX;

/// Costs are lowered to this, so that sums over all links hold.
const MAX_COST: u64 = 1 << 31;

impl Flow {
    fn new(graph: &Graph, costs: &[Option<u64>], from: u32, to: u32, disjoint: Disjoint) -> Self {
        let mut flow = Self {
            arcs: Vec::with_capacity(2 * graph.peers() + 4 * graph.links()),
            first_link: 0,
            rows: Vec::new(),
            starts: vec![0; 2 * graph.peers() + 1],
            potentials: vec![0; 2 * graph.peers()],
        };
        for peer in 0..graph.peers() as u32 {
            // As many as there are links may pass a peer when only links are not to be shared.
            let times = match disjoint {
                Disjoint::Peers if peer != from && peer != to => 1,
                Disjoint::Peers => 0,
                Disjoint::Links => graph.degree(peer).min(MAX_DISJOINT_PATHS as u32),
            };
            (0..times).for_each(|_| flow.add(entry(peer), entry(peer) + 1, 0));
        }
        flow.first_link = flow.arcs.len();
        for ((a, b), cost) in graph.link_list().zip(costs) {
            let Some(cost) = *cost else { continue };
            let cost = cost.min(MAX_COST) as i64;
            flow.add(entry(a) + 1, entry(b), cost);
            flow.add(entry(b) + 1, entry(a), cost);
        }
        flow.sort();
        flow
    }

    /// Puts the numbers of arcs into rows.
    fn sort(&mut self) {
        let mut sum = 0;
        for start in &mut self.starts {
            sum += std::mem::replace(start, sum);
        }
        self.rows = vec![0; self.arcs.len()];
        let mut next = self.starts.clone();
        for number in 0..self.arcs.len() {
            let from = self.arcs[number ^ 1].to as usize;
            self.rows[next[from] as usize] = number as u32;
            next[from] += 1;
        }
    }

    fn row(&self, at: u32) -> &[u32] {
        &self.rows[self.starts[at as usize] as usize..self.starts[at as usize + 1] as usize]
    }

    fn add(&mut self, from: u32, to: u32, cost: i64) {
        self.arcs.push(Arc { to, cost, free: true });
        self.arcs.push(Arc { to: from, cost: -cost, free: false });
        self.starts[from as usize] += 1;
        self.starts[to as usize] += 1;
    }

    /// Sends one more unit over the cheapest way that is left. Whether there was one.
    fn augment(&mut self, from: u32, to: u32) -> bool {
        let mut best = vec![FAR; self.potentials.len()];
        let mut by = vec![u32::MAX; self.potentials.len()];
        let mut open = BinaryHeap::from([Reverse((0_i64, from))]);
        best[from as usize] = 0;
        while let Some(Reverse((cost, at))) = open.pop() {
            if at == to {
                break;
            }
            if cost > best[at as usize] {
                continue;
            }
            for &number in self.row(at) {
                let arc = self.arcs[number as usize];
                // Reduced costs are never below zero.
                let step =
                    arc.cost + self.potentials[at as usize] - self.potentials[arc.to as usize];
                if arc.free && cost + step < best[arc.to as usize] {
                    best[arc.to as usize] = cost + step;
                    by[arc.to as usize] = number;
                    open.push(Reverse((cost + step, arc.to)));
                }
            }
        }
        let reached = best[to as usize];
        if reached == FAR {
            return false;
        }
        for (potential, best) in self.potentials.iter_mut().zip(&best) {
            *potential += (*best).min(reached);
        }
        let mut at = to;
        while at != from {
            let number = by[at as usize];
            self.arcs[number as usize].free = false;
            self.arcs[number as usize ^ 1].free = true;
            at = self.arcs[number as usize ^ 1].to;
        }
        true
    }

    /// The ways that the units take.
    fn paths(&mut self, from: u32, to: u32) -> Vec<Path> {
        // Two units that pass a link in opposite directions could as well turn back before it.
        for link in self.arcs[self.first_link..].chunks_exact_mut(4) {
            if !link[0].free && !link[2].free {
                (link[0].free, link[2].free) = (true, true);
            }
        }
        let mut paths = Vec::new();
        while let Some(path) = self.take(from, to) {
            paths.push(path);
        }
        paths.sort_by(|a, b| (a.cost, &a.peers).cmp(&(b.cost, &b.peers)));
        paths
    }

    /// Takes one unit out and follows it.
    fn take(&mut self, from: u32, to: u32) -> Option<Path> {
        let mut path = Path { peers: vec![from], cost: 0 };
        let mut at = entry(from) + 1;
        while at != entry(to) {
            let used =
                |number: &&u32| number.is_multiple_of(2) && !self.arcs[**number as usize].free;
            let number = *self.row(at).iter().find(used)?;
            self.arcs[number as usize].free = true;
            let arc = self.arcs[number as usize];
            path.cost += arc.cost as u64;
            if arc.to.is_multiple_of(2) {
                path.peers.push(arc.to / 2);
            }
            at = arc.to;
        }
        // A way that comes back to a peer is cut short.
        let mut at = 0;
        while at < path.peers.len() {
            let last = path.peers.iter().rposition(|peer| *peer == path.peers[at]).unwrap_or(at);
            path.peers.drain(at..last);
            at += 1;
        }
        Some(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, simple_paths};

    /// The most ways that share nothing, and the least that so many cost, by trying all sets.
    fn best(all: &[(Vec<u32>, u64)], count: usize, disjoint: Disjoint) -> (usize, u64) {
        fn shares(a: &[u32], b: &[u32], disjoint: Disjoint) -> bool {
            match disjoint {
                Disjoint::Peers => {
                    let inner = |path: &[u32]| path[1..path.len() - 1].to_vec();
                    let direct = a.len() == 2 && b.len() == 2;
                    direct || inner(a).iter().any(|peer| inner(b).contains(peer))
                }
                Disjoint::Links => a.windows(2).any(|x| {
                    b.windows(2)
                        .any(|y| (x[0], x[1]) == (y[0], y[1]) || (x[0], x[1]) == (y[1], y[0]))
                }),
            }
        }
        fn more(
            all: &[(Vec<u32>, u64)],
            chosen: &mut Vec<usize>,
            count: usize,
            disjoint: Disjoint,
            found: &mut (usize, u64),
        ) {
            let cost = chosen.iter().map(|at| all[*at].1).sum();
            if chosen.len() > found.0 || (chosen.len() == found.0 && cost < found.1) {
                *found = (chosen.len(), cost);
            }
            let next = chosen.last().map_or(0, |at| at + 1);
            for at in next..all.len() {
                let fits = chosen.iter().all(|c| !shares(&all[*c].0, &all[at].0, disjoint));
                if chosen.len() < count && fits {
                    chosen.push(at);
                    more(all, chosen, count, disjoint, found);
                    chosen.pop();
                }
            }
        }
        let mut found = (0, 0);
        more(all, &mut Vec::new(), count, disjoint, &mut found);
        found
    }

    #[test]
    fn no_set_of_ways_is_larger_or_cheaper() {
        let mut rng = fastrand::Rng::with_seed(52);
        for _ in 0..400 {
            let peers = rng.usize(2..7);
            let graph = testing::random(peers, 0.3 + 0.5 * rng.f64(), &mut rng);
            let cost = |_| (rng.u32(0..9) > 0).then(|| rng.u64(0..9));
            let costs: Vec<Option<u64>> = (0..graph.links()).map(cost).collect();
            let to = peers as u32 - 1;
            let all = simple_paths(&graph, &costs, 0, to);
            for disjoint in [Disjoint::Links, Disjoint::Peers] {
                let count = rng.usize(1..5);
                let told = disjoint_paths(&graph, &costs, 0, to, count, disjoint);
                let cost: u64 = told.iter().map(|path| path.cost).sum();
                let expected = best(&all, count, disjoint);
                assert_eq!((told.len(), cost), expected, "{disjoint:?} {graph:?} {costs:?}");
                for path in &told {
                    assert!(all.contains(&(path.peers.clone(), path.cost)), "{path:?}");
                }
            }
        }
    }

    #[test]
    fn the_trap_of_the_greedy_way_is_avoided() {
        // The cheapest way 0 1 2 3 uses what both disjoint ones need.
        let links = [(0, 1), (1, 2), (2, 3), (0, 2), (1, 3)];
        let graph = testing::graph(4, &links);
        let costs: Vec<_> = graph
            .link_list()
            .map(|link| Some(if [(0, 1), (1, 2), (2, 3)].contains(&link) { 1 } else { 4 }))
            .collect();
        let told = disjoint_paths(&graph, &costs, 0, 3, 2, Disjoint::Peers);
        let ways: Vec<_> = told.iter().map(|path| (path.peers.clone(), path.cost)).collect();
        assert_eq!(ways, [(vec![0, 1, 3], 5), (vec![0, 2, 3], 5)]);
        assert_eq!(disjoint_paths(&graph, &costs, 0, 0, 2, Disjoint::Links), []);
        assert_eq!(disjoint_paths(&graph, &costs, 0, 4, 2, Disjoint::Links), []);
    }
}
