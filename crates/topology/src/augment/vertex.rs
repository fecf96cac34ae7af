use super::among::among;
use super::{Constraints, with_links};
use crate::lowlink::Lowlink;
use crate::{Cuts, Graph};

/// Pairs of leaves that are tried for one link before the best of them is taken.
const MAX_TRIED: usize = 4_096;

/// Links after which no peer's loss splits the network, at most `count` of them: the fewest, as
/// Hsu and Ramachandran (1993) show that there are, each chosen so that one fewer is needed after
/// it. O(count (n + m + leaves^2)).
///
/// Where only some pairs are feasible, links that remove most articulation points and components, as
/// far as that goes. Networks of fewer than three peers have no such plan, and none is given.
pub fn two_vertex_connected(
    graph: &Graph,
    count: usize,
    constraints: &Constraints<'_>,
) -> Vec<(u32, u32)> {
    if graph.peers() < 3 {
        return Vec::new();
    }
    if let Some(feasible) = constraints.feasible {
        return among(graph, feasible, constraints, count.min(feasible.len()));
    }
    let mut current = graph.clone();
    let mut plan = Vec::new();
    while plan.len() < count {
        let tree = BlockTree::of(&current);
        let Some((a, b)) = tree.next(&current, constraints) else { break };
        plan.push((a.min(b), a.max(b)));
        current = with_links(&current, &[(a, b)]);
    }
    plan
}

/// Blocks and the peers in which they meet. A peer without links is a block of its own.
pub(super) struct BlockTree {
    /// Peers of each block.
    pub(super) peers: Vec<Vec<u32>>,
    /// Articulation points, ascending.
    pub(super) points: Vec<u32>,
    /// Nodes of the tree next to each: blocks first, then articulation points.
    pub(super) rows: Vec<Vec<u32>>,
    /// The tree that each node is in.
    pub(super) trees: Vec<u32>,
    count: usize,
}

impl BlockTree {
    pub(super) fn of(graph: &Graph) -> Self {
        let lowlink = Lowlink::new(graph);
        let peers = graph.peers();
        let mut blocks: Vec<Vec<u32>> = Vec::new();
        let mut of_place = vec![0_usize; peers];
        for place in 0..peers {
            let peer = lowlink.order[place];
            match lowlink.parent(place) {
                Some(parent) if lowlink.begins_block(place) => {
                    of_place[place] = blocks.len();
                    blocks.push(vec![lowlink.order[parent], peer]);
                }
                Some(parent) => {
                    of_place[place] = of_place[parent];
                    blocks[of_place[place]].push(peer);
                }
                None if graph.degree(peer) == 0 => blocks.push(vec![peer]),
                None => {}
            }
        }
        let points = Cuts::of_lowlink(&lowlink);
        let points = points.articulation_points();
        let mut rows = vec![Vec::new(); blocks.len() + points.len()];
        for (block, members) in blocks.iter().enumerate() {
            for member in members {
                if let Ok(point) = points.binary_search(member) {
                    let node = blocks.len() + point;
                    rows[block].push(node as u32);
                    rows[node].push(block as u32);
                }
            }
        }
        let mut trees = vec![u32::MAX; rows.len()];
        let mut count = 0;
        for root in 0..rows.len() {
            if trees[root] != u32::MAX {
                continue;
            }
            let mut open = vec![root];
            trees[root] = count;
            while let Some(node) = open.pop() {
                for next in &rows[node] {
                    if std::mem::replace(&mut trees[*next as usize], count) == u32::MAX {
                        open.push(*next as usize);
                    }
                }
            }
            count += 1;
        }
        Self { peers: blocks, points: points.to_vec(), rows, trees, count: count as usize }
    }

    fn leaves(&self) -> Vec<u32> {
        let blocks = 0..self.peers.len() as u32;
        blocks.filter(|block| self.rows[*block as usize].len() <= 1).collect()
    }

    /// A peer of a leaf that is in no other block, not linked with `apart`, and may have more links.
    fn inner(
        &self,
        graph: &Graph,
        constraints: &Constraints<'_>,
        block: u32,
        apart: u32,
    ) -> Option<u32> {
        let points = self.rows[block as usize].iter();
        let near = points.flat_map(|point| &self.rows[*point as usize]);
        let others: Vec<u32> = near.copied().filter(|other| *other != block).collect();
        let alone = |peer: u32| !others.iter().any(|o| self.peers[*o as usize].contains(&peer));
        let fits = |peer: u32| {
            peer != apart
                && constraints.has_room(graph.degree(peer))
                && graph.row(peer).binary_search(&apart).is_err()
        };
        self.peers[block as usize].iter().copied().find(|peer| alone(*peer) && fits(*peer))
    }

    /// The next link, or `None` when there is one block alone.
    fn next(&self, graph: &Graph, constraints: &Constraints<'_>) -> Option<(u32, u32)> {
        let leaves = self.leaves();
        if self.peers.len() <= 1 {
            return None;
        }
        let linked = |a: u32, b: u32| {
            let second = self.inner(graph, constraints, b, u32::MAX)?;
            let first = self.inner(graph, constraints, a, second)?;
            (first != second).then_some((first, second))
        };
        if self.count > 1 {
            // Two trees become one: both terms of the bound fall.
            let apart = |(a, b): &(u32, u32)| self.trees[*a as usize] != self.trees[*b as usize];
            let pairs = leaves.iter().flat_map(|a| leaves.iter().map(move |b| (*a, *b)));
            return pairs.filter(apart).take(MAX_TRIED).find_map(|(a, b)| linked(a, b));
        }
        let mut best: Option<(usize, (u32, u32))> = None;
        let half = leaves.len() / 2;
        let opposite = (0..half).map(|at| (leaves[at], leaves[at + half]));
        let all = leaves
            .iter()
            .enumerate()
            .flat_map(|(at, a)| leaves[at + 1..].iter().map(move |b| (*a, *b)));
        let needed = self.needed(None);
        for (a, b) in opposite.chain(all).take(MAX_TRIED) {
            let left = self.needed(Some((a, b)));
            if best.is_none_or(|(best, _)| left < best)
                && let Some(pair) = linked(a, b)
            {
                best = Some((left, pair));
                if left < needed {
                    break;
                }
            }
        }
        best.map(|(_, pair)| pair)
    }

    /// How many links one tree needs: max(d - 1, ceil(leaves / 2)), where the loss of some peer
    /// leaves d parts; after two leaves were linked, when they are given.
    fn needed(&self, linked: Option<(u32, u32)>) -> usize {
        let way = linked.map_or_else(Vec::new, |(a, b)| self.way(a, b));
        let mut on_way = vec![false; self.rows.len()];
        way.iter().for_each(|node| on_way[*node as usize] = true);
        let blocks = self.peers.len();
        let mut parts = 1;
        // Articulation points that the merged block meets.
        let mut met = 0;
        for point in blocks..self.rows.len() {
            let mut degree = self.rows[point].len();
            if on_way[point] {
                degree -= 1;
                met += usize::from(degree > 1);
            } else {
                met += usize::from(self.rows[point].iter().any(|block| on_way[*block as usize]));
            }
            parts = parts.max(degree);
        }
        let mut leaves =
            (0..blocks).filter(|block| !on_way[*block] && self.rows[*block].len() <= 1).count();
        leaves += usize::from(!way.is_empty() && met == 1);
        if leaves < 2 { 0 } else { (parts - 1).max(leaves.div_ceil(2)) }
    }

    /// The nodes from one to another.
    fn way(&self, from: u32, to: u32) -> Vec<u32> {
        let mut before = vec![u32::MAX; self.rows.len()];
        before[to as usize] = to;
        let mut open = vec![to];
        while let Some(node) = open.pop() {
            for next in &self.rows[node as usize] {
                if before[*next as usize] == u32::MAX {
                    before[*next as usize] = node;
                    open.push(*next);
                }
            }
        }
        let mut way = vec![from];
        let mut at = from;
        while at != to && before[at as usize] != u32::MAX {
            at = before[at as usize];
            way.push(at);
        }
        way
    }
}
