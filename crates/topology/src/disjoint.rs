use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

use crate::path::Path;
use crate::{Graph, LinkIndex};

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
/// sets the one that costs least together; the cheapest first. `costs` are by number of `index`, which
/// is that of the graph; a link without a cost is not passed.
///
/// Suurballe 1974 with the potentials of Suurballe and Tarjan 1984, peers being split in two for
/// [`Disjoint::Peers`]. O(count (n + m) log n); `count` is lowered to [`MAX_DISJOINT_PATHS`].
pub fn disjoint_paths(
    (graph, index): (&Graph, &LinkIndex),
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
    let mut flow = Flow::new((graph, index), costs, (from, to), disjoint);
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

/// One unit a link and direction, and as many as it may let pass a peer. The arcs that carry them are
/// those of the graph, and what is taken of them is little: none is written down.
struct Flow<'a> {
    graph: &'a Graph,
    index: &'a LinkIndex,
    /// By link number.
    costs: &'a [Option<u64>],
    /// Where units go along links: from whom to whom.
    taken: BTreeSet<(u32, u32)>,
    /// The same the other way round.
    taken_into: BTreeSet<(u32, u32)>,
    /// Units that pass each peer, and how many may.
    through: Vec<(u8, u8)>,
    potentials: Vec<i64>,
}

const FAR: i64 = i64::MAX;

/// Costs are lowered to this, so that sums over all links hold.
const MAX_COST: u64 = 1 << 31;

/// Places that were reached.
struct Search {
    best: Vec<i64>,
    /// From which place.
    by: Vec<u32>,
    open: BinaryHeap<Reverse<(i64, u32)>>,
}

impl Search {
    fn reach(&mut self, place: u32, by: u32, cost: i64) {
        let best = &mut self.best[place as usize];
        if cost < *best {
            *best = cost;
            self.by[place as usize] = by;
            self.open.push(Reverse((cost, place)));
        }
    }
}

impl<'a> Flow<'a> {
    fn new(
        (graph, index): (&'a Graph, &'a LinkIndex),
        costs: &'a [Option<u64>],
        (from, to): (u32, u32),
        disjoint: Disjoint,
    ) -> Self {
        let most = |peer: u32| match disjoint {
            Disjoint::Peers => u8::from(peer != from && peer != to),
            // As many as there are links may pass a peer when only links are not to be shared.
            Disjoint::Links => graph.degree(peer).min(MAX_DISJOINT_PATHS as u32) as u8,
        };
        Self {
            graph,
            index,
            costs,
            taken: BTreeSet::new(),
            taken_into: BTreeSet::new(),
            through: (0..graph.peers() as u32).map(|peer| (0, most(peer))).collect(),
            potentials: vec![0; 2 * graph.peers()],
        }
    }

    /// What the link between two peers costs; `None` when there is none, or when it is not passed.
    fn cost(&self, from: u32, to: u32) -> Option<i64> {
        let number = self.index.find(self.graph, from, to)?;
        let cost = self.costs.get(number as usize).copied()??;
        Some(cost.min(MAX_COST) as i64)
    }

    /// Sends one more unit over the cheapest way that is left. Whether there was one.
    fn augment(&mut self, from: u32, to: u32) -> bool {
        let places = self.potentials.len();
        let mut search = Search {
            best: vec![FAR; places],
            by: vec![u32::MAX; places],
            open: BinaryHeap::from([Reverse((0_i64, from))]),
        };
        search.best[from as usize] = 0;
        while let Some(Reverse((cost, at))) = search.open.pop() {
            if at == to {
                break;
            }
            if cost <= search.best[at as usize] {
                self.follow(at, cost, &mut search);
            }
        }
        let reached = search.best[to as usize];
        if reached == FAR {
            return false;
        }
        for (potential, best) in self.potentials.iter_mut().zip(&search.best) {
            *potential += (*best).min(reached);
        }
        let mut at = to;
        while at != from {
            let by = search.by[at as usize];
            self.pass(by, at);
            at = by;
        }
        true
    }

    /// Reaches what is next to a place: forward where a unit may go, back where one goes already.
    fn follow(&self, at: u32, cost: i64, search: &mut Search) {
        let peer = at / 2;
        // Reduced costs are never below zero.
        let mut reach = |place: u32, step: i64| {
            let step = step + self.potentials[at as usize] - self.potentials[place as usize];
            search.reach(place, at, cost + step);
        };
        let (passing, most) = self.through[peer as usize];
        if at == entry(peer) {
            if passing < most {
                reach(at + 1, 0);
            }
            for (_, before) in self.taken_into.range((peer, 0)..=(peer, u32::MAX)) {
                if let Some(cost) = self.cost(*before, peer) {
                    reach(entry(*before) + 1, -cost);
                }
            }
            return;
        }
        if passing > 0 {
            reach(entry(peer), 0);
        }
        for next in self.graph.row(peer) {
            if let Some(cost) = self.cost(peer, *next)
                && !self.taken.contains(&(peer, *next))
            {
                reach(entry(*next), cost);
            }
        }
    }

    /// A unit goes from a place to the next, or one that went the other way does not.
    fn pass(&mut self, from: u32, to: u32) {
        let (peer, next) = (from / 2, to / 2);
        match (peer == next, from == entry(peer)) {
            (true, true) => self.through[peer as usize].0 += 1,
            (true, false) => self.through[peer as usize].0 -= 1,
            (false, false) => {
                self.taken.insert((peer, next));
                self.taken_into.insert((next, peer));
            }
            (false, true) => self.release(next, peer),
        }
    }

    fn release(&mut self, from: u32, to: u32) {
        self.taken.remove(&(from, to));
        self.taken_into.remove(&(to, from));
    }

    /// The ways that the units take.
    fn paths(&mut self, from: u32, to: u32) -> Vec<Path> {
        // Two units that pass a link in opposite directions could as well turn back before it.
        let both = |(a, b): &(u32, u32)| a < b && self.taken.contains(&(*b, *a));
        for (a, b) in self.taken.iter().copied().filter(both).collect::<Vec<_>>() {
            self.release(a, b);
            self.release(b, a);
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
        let mut at = from;
        while at != to {
            let (_, next) = *self.taken.range((at, 0)..=(at, u32::MAX)).next()?;
            self.release(at, next);
            path.cost += self.cost(at, next)? as u64;
            path.peers.push(next);
            at = next;
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
            let index = LinkIndex::new(&graph);
            for disjoint in [Disjoint::Links, Disjoint::Peers] {
                let count = rng.usize(1..5);
                let told = disjoint_paths((&graph, &index), &costs, 0, to, count, disjoint);
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
        let index = LinkIndex::new(&graph);
        let costs: Vec<_> = graph
            .link_list()
            .map(|link| Some(if [(0, 1), (1, 2), (2, 3)].contains(&link) { 1 } else { 4 }))
            .collect();
        let told = disjoint_paths((&graph, &index), &costs, 0, 3, 2, Disjoint::Peers);
        let ways: Vec<_> = told.iter().map(|path| (path.peers.clone(), path.cost)).collect();
        assert_eq!(ways, [(vec![0, 1, 3], 5), (vec![0, 2, 3], 5)]);
        assert_eq!(disjoint_paths((&graph, &index), &costs, 0, 0, 2, Disjoint::Links), []);
        assert_eq!(disjoint_paths((&graph, &index), &costs, 0, 4, 2, Disjoint::Links), []);
    }
}
