use super::{Constraints, greedily};
use crate::lowlink::Lowlink;
use crate::{Components, Cuts, Graph};

/// The fewest links after which no link's loss splits the network: half the leaves of the forest of
/// bridges, rounded up, and one for each isolated part (Eswaran and Tarjan 1976). O(n + m).
///
/// With constraints, links that remove most bridges and components, as far as that goes. A network
/// of two peers has no such plan, and none is given.
pub fn two_edge_connected(graph: &Graph, constraints: &Constraints<'_>) -> Vec<(u32, u32)> {
    if !constraints.is_free() {
        let faults = |graph: &Graph| {
            Cuts::of(graph).bridges().len() + 2 * (Components::of_graph(graph).count() - 1)
        };
        return if graph.peers() < 3 {
            Vec::new()
        } else {
            greedily(graph, constraints, graph.peers(), faults)
        };
    }
    if graph.peers() < 3 {
        return Vec::new();
    }
    let forest = Forest::of(graph);
    let trees = forest.leaves();
    // A chain of all trees, from the last leaf of one to the first of the next; what is left of
    // their leaves is a ring in which each is joined with the one half way round.
    let mut plan = Vec::new();
    let mut open: Vec<u32> = Vec::new();
    let mut last: Option<u32> = None;
    let count = trees.len();
    for (at, mut leaves) in trees.into_iter().enumerate() {
        if leaves.len() == 1 {
            // An isolated part has two loose ends, or none when it is the whole network.
            if count == 1 {
                return Vec::new();
            }
            leaves.push(leaves[0]);
        }
        if let Some(before) = last.take() {
            plan.push(forest.pair(graph, before, leaves[0], &plan));
            leaves.remove(0);
        }
        if at + 1 < count {
            last = leaves.pop();
        }
        open.extend(leaves);
    }
    let half = open.len() / 2;
    let ring = (0..half).map(|at| (open[at], open[at + half]));
    let odd = (open.len() % 2 == 1).then(|| (open[2 * half], open[0]));
    for (a, b) in ring.chain(odd) {
        let pair = forest.pair(graph, a, b, &plan);
        plan.push(pair);
    }
    plan
}

/// Parts that no link's loss splits, and the bridges between them.
struct Forest {
    /// Part of each peer.
    of_peer: Vec<u32>,
    /// Peers of each part.
    peers: Vec<Vec<u32>>,
    rows: Vec<Vec<u32>>,
}

impl Forest {
    fn of(graph: &Graph) -> Self {
        let lowlink = Lowlink::new(graph);
        let mut of_place: Vec<u32> = Vec::with_capacity(graph.peers());
        let mut of_peer = vec![0; graph.peers()];
        let mut peers: Vec<Vec<u32>> = Vec::new();
        let mut rows: Vec<Vec<u32>> = Vec::new();
        for place in 0..graph.peers() {
            let parent = lowlink.parent(place).map(|parent| of_place[parent]);
            let part = match parent {
                Some(part) if !lowlink.is_bridge(place) => part,
                Some(_) | None => {
                    peers.push(Vec::new());
                    rows.push(Vec::new());
                    peers.len() as u32 - 1
                }
            };
            if let Some(above) = parent.filter(|above| *above != part) {
                rows[above as usize].push(part);
                rows[part as usize].push(above);
            }
            of_place.push(part);
            of_peer[lowlink.order[place] as usize] = part;
            peers[part as usize].push(lowlink.order[place]);
        }
        Self { of_peer, peers, rows }
    }

    /// The leaves of each tree in the order of a walk along it; of a tree of one part, that part.
    fn leaves(&self) -> Vec<Vec<u32>> {
        let parts = self.rows.len();
        let mut seen = vec![false; parts];
        let mut trees = Vec::new();
        // Parts are numbered in the order of a walk, so that the first of a tree is its root; from
        // a leaf the walk would go on to a neighbour first, and that changes nothing.
        for root in 0..parts {
            if seen[root] {
                continue;
            }
            let mut leaves = Vec::new();
            let mut open = vec![root as u32];
            seen[root] = true;
            while let Some(part) = open.pop() {
                let row = &self.rows[part as usize];
                if row.len() <= 1 {
                    leaves.push(part);
                }
                for next in row.iter().rev() {
                    if !std::mem::replace(&mut seen[*next as usize], true) {
                        open.push(*next);
                    }
                }
            }
            trees.push(leaves);
        }
        trees
    }

    /// Peers of two parts that are not linked yet.
    fn pair(&self, graph: &Graph, a: u32, b: u32, plan: &[(u32, u32)]) -> (u32, u32) {
        let (first, second) = (&self.peers[a as usize], &self.peers[b as usize]);
        let fits = |pair: &(u32, u32)| {
            let pair = (pair.0.min(pair.1), pair.0.max(pair.1));
            pair.0 != pair.1
                && graph.row(pair.0).binary_search(&pair.1).is_err()
                && !plan.contains(&pair)
        };
        // At most one bridge and one planned link join two parts, so that a few peers are enough.
        let tried = first.iter().take(3).flat_map(|x| second.iter().take(3).map(|y| (*x, *y)));
        let beyond = self.beyond(a, b).map(|y| (first[0], y));
        let (x, y) = tried.chain(beyond).find(fits).unwrap_or((first[0], second[0]));
        (x.min(y), x.max(y))
    }

    /// Peers of the parts next to `b`, for two parts of a peer each that are linked.
    fn beyond(&self, a: u32, b: u32) -> impl Iterator<Item = u32> + '_ {
        let next = self.rows[b as usize].iter().chain(&self.rows[a as usize]);
        let other = next.flat_map(|part| &self.peers[*part as usize]).copied();
        other.filter(move |peer| self.of_peer[*peer as usize] != a)
    }
}
