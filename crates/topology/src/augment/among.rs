use std::cmp::Reverse;

use super::vertex::BlockTree;
use super::{Constraints, with_links};
use crate::{Components, Cuts, Graph};

/// Work that may be spent on links that stand in for two others: a pair tried against one planned
/// link of a network counts its peers and links.
const MAX_SWAP_WORK: usize = 2_000_000;

/// How far a network is from withstanding the loss of any peer, 0 when it does: the parts beyond one
/// that the loss of each peer leaves, summed, and the number of peers and one for each part that is
/// apart now. No link makes it more. O(n + m).
pub fn weakness(graph: &Graph) -> usize {
    let alone = (0..graph.peers() as u32).filter(|peer| graph.degree(*peer) == 0).count();
    let components = Components::of_graph(graph).count();
    // A tree of blocks and articulation points has one block more than it has such parts.
    let parts = (Cuts::of(graph).blocks() + alone).saturating_sub(components);
    parts + (graph.peers() + 1) * components.saturating_sub(1)
}

/// What a link is worth: parts joined, loose ends tied up, articulation points passed.
type Worth = (bool, usize, usize);

/// Whether loose ends count more than articulation points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum First {
    LooseEnds,
    Passed,
}

/// Links out of `pairs` after which no peer's loss splits the network, as far as they go: greedily
/// along the tree of blocks, in two orders, then without those that the others make superfluous, and
/// with one in place of two where that does. The optimum is NP-hard to find (Frederickson and JaJa
/// 1981). At most `count`. O(count (n + m + pairs depth)).
pub(super) fn among(
    graph: &Graph,
    pairs: &[(u32, u32)],
    constraints: &Constraints<'_>,
    count: usize,
) -> Vec<(u32, u32)> {
    let peers = graph.peers() as u32;
    let mut pairs: Vec<(u32, u32)> = pairs
        .iter()
        .map(|(a, b)| (*a.min(b), *a.max(b)))
        .filter(|(a, b)| a != b && *b < peers && graph.row(*a).binary_search(b).is_err())
        .collect();
    pairs.sort_unstable();
    pairs.dedup();
    let plan = |first| {
        let plan = greedy(graph, pairs.clone(), constraints, count, first);
        let all = plan.len() < count;
        let plan = needed(graph, plan);
        let plan = if all { swapped(graph, &pairs, constraints, plan) } else { plan };
        (weakness(&with_links(graph, &plan)), plan.len(), plan)
    };
    let (ends, passed) = (plan(First::LooseEnds), plan(First::Passed));
    ends.min(passed).2
}

fn greedy(
    graph: &Graph,
    mut pairs: Vec<(u32, u32)>,
    constraints: &Constraints<'_>,
    count: usize,
    first: First,
) -> Vec<(u32, u32)> {
    let mut current = graph.clone();
    let mut plan = Vec::new();
    while plan.len() < count {
        let walk = Walk::of(&current);
        // What is in one block stays in one.
        pairs.retain(|(a, b)| walk.worth(*a, *b).is_some_and(|worth| worth.0 || worth.2 > 0));
        let fits = |(a, b): &&(u32, u32)| {
            constraints.has_room(current.degree(*a)) && constraints.has_room(current.degree(*b))
        };
        let key = |pair: &&(u32, u32)| {
            let (joins, ends, passed) = walk.worth(pair.0, pair.1).unwrap_or_default();
            let order = match first {
                First::LooseEnds => (ends, passed),
                First::Passed => (passed, ends),
            };
            (joins, order, Reverse(**pair))
        };
        let Some(best) = pairs.iter().filter(fits).max_by_key(key).copied() else { break };
        plan.push(best);
        current = with_links(&current, &[best]);
    }
    plan
}

/// A plan without the links that change nothing, the latest tried first.
fn needed(graph: &Graph, mut plan: Vec<(u32, u32)>) -> Vec<(u32, u32)> {
    let goal = weakness(&with_links(graph, &plan));
    for at in (0..plan.len()).rev() {
        let mut less = plan.clone();
        less.remove(at);
        if weakness(&with_links(graph, &less)) <= goal {
            plan = less;
        }
    }
    plan
}

/// A plan in which no pair tried would make two links superfluous.
fn swapped(
    graph: &Graph,
    pairs: &[(u32, u32)],
    constraints: &Constraints<'_>,
    mut plan: Vec<(u32, u32)>,
) -> Vec<(u32, u32)> {
    let mut work = 0;
    let each = plan.len() * (graph.peers() + graph.links()).max(1);
    let goal = weakness(&with_links(graph, &plan));
    let mut at = 0;
    while let Some(pair) = pairs.get(at) {
        at += 1;
        work += each;
        if plan.len() < 2 || work > MAX_SWAP_WORK {
            break;
        }
        if plan.contains(pair) {
            continue;
        }
        // The pair goes first, so that it is the last that is found superfluous.
        let mut more = vec![*pair];
        more.extend(&plan);
        let less = needed(graph, more);
        let linked = with_links(graph, &less);
        let fits = |(a, b): &(u32, u32)| {
            let most = |peer: &u32| {
                graph.degree(*peer) == linked.degree(*peer)
                    || constraints.max_degree.is_none_or(|most| linked.degree(*peer) <= most)
            };
            most(a) && most(b)
        };
        if less.len() < plan.len() && less.iter().all(fits) && weakness(&linked) <= goal {
            plan = less;
            at = 0;
        }
    }
    plan
}

/// The tree of blocks and articulation points, to be walked from any peer to the root.
struct Walk {
    /// The node of the tree that a peer is: its own when it is an articulation point, else its block.
    of_peer: Vec<u32>,
    parents: Vec<u32>,
    depths: Vec<u32>,
    trees: Vec<u32>,
    /// Nodes from here on are articulation points.
    points: u32,
    leaf: Vec<bool>,
}

impl Walk {
    fn of(graph: &Graph) -> Self {
        let tree = BlockTree::of(graph);
        let points = tree.peers.len() as u32;
        let mut of_peer = vec![u32::MAX; graph.peers()];
        for (block, members) in tree.peers.iter().enumerate() {
            members.iter().for_each(|member| of_peer[*member as usize] = block as u32);
        }
        for (at, peer) in tree.points.iter().enumerate() {
            of_peer[*peer as usize] = points + at as u32;
        }
        let nodes = tree.rows.len();
        let (mut parents, mut depths) = (vec![u32::MAX; nodes], vec![0; nodes]);
        for root in 0..nodes {
            if parents[root] != u32::MAX {
                continue;
            }
            parents[root] = root as u32;
            let mut open = vec![root];
            while let Some(node) = open.pop() {
                for next in &tree.rows[node] {
                    if parents[*next as usize] == u32::MAX {
                        parents[*next as usize] = node as u32;
                        depths[*next as usize] = depths[node] + 1;
                        open.push(*next as usize);
                    }
                }
            }
        }
        let leaf = (0..nodes).map(|node| node < points as usize && tree.rows[node].len() <= 1);
        Self { of_peer, parents, depths, leaf: leaf.collect(), trees: tree.trees, points }
    }

    /// What a link between two peers is worth; `None` when there is no such peer. O(depth).
    fn worth(&self, a: u32, b: u32) -> Option<Worth> {
        let (from, to) = (*self.of_peer.get(a as usize)?, *self.of_peer.get(b as usize)?);
        let ends = usize::from(*self.leaf.get(from as usize)?)
            + usize::from(*self.leaf.get(to as usize)? && from != to);
        if self.trees.get(from as usize)? != self.trees.get(to as usize)? {
            return Some((true, ends, 0));
        }
        let (mut x, mut y) = (from, to);
        let mut passed = 0;
        let inner = |node: u32| usize::from(node >= self.points && node != from && node != to);
        while x != y {
            let deeper =
                if self.depths[x as usize] >= self.depths[y as usize] { &mut x } else { &mut y };
            passed += inner(*deeper);
            *deeper = self.parents[*deeper as usize];
        }
        passed += inner(x);
        Some((false, if passed > 0 { ends } else { 0 }, passed))
    }
}
