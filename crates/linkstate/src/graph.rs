use std::collections::{BTreeMap, BTreeSet};

use bitcraps_wire::Alias;

/// No distance: not reached.
pub(crate) const FAR: u16 = u16::MAX;

/// Pairs of origins of which each says that it has a link with the other.
#[derive(Debug, Default)]
pub(crate) struct Graph {
    slots: BTreeMap<Alias, u32>,
    aliases: Vec<Alias>,
    rows: Vec<Vec<u32>>,
    free: Vec<u32>,
}

impl Graph {
    fn slot(&mut self, alias: Alias) -> u32 {
        if let Some(slot) = self.slots.get(&alias) {
            return *slot;
        }
        let slot = self.free.pop().unwrap_or(self.rows.len() as u32);
        if slot as usize == self.rows.len() {
            self.rows.push(Vec::new());
            self.aliases.push(alias);
        }
        self.aliases[slot as usize] = alias;
        self.slots.insert(alias, slot);
        slot
    }

    pub(crate) fn insert(&mut self, a: Alias, b: Alias) {
        let (a, b) = (self.slot(a), self.slot(b));
        for (from, to) in [(a, b), (b, a)] {
            let row = &mut self.rows[from as usize];
            if let Err(at) = row.binary_search(&to) {
                row.insert(at, to);
            }
        }
    }

    pub(crate) fn remove(&mut self, a: Alias, b: Alias) {
        let ends = self.slots.get(&a).copied().zip(self.slots.get(&b).copied());
        let Some((a, b)) = ends else { return };
        for (from, to) in [(a, b), (b, a)] {
            let row = &mut self.rows[from as usize];
            if let Ok(at) = row.binary_search(&to) {
                row.remove(at);
            }
            if row.is_empty() && self.slots.remove(&self.aliases[from as usize]).is_some() {
                self.free.push(from);
            }
        }
    }

    /// Distance of every slot from the nearest of `starts`, as if each were next to `origin`.
    fn distances(&self, origin: Option<u32>, starts: impl Iterator<Item = u32>) -> Vec<u16> {
        let mut distances = vec![FAR; self.rows.len()];
        let mut order = Vec::with_capacity(self.rows.len());
        if let Some(origin) = origin {
            distances[origin as usize] = 0;
            order.push(origin);
        }
        for start in starts {
            if distances[start as usize] == FAR {
                distances[start as usize] = 1;
                order.push(start);
            }
        }
        let mut head = 0;
        while let Some(&slot) = order.get(head) {
            head += 1;
            let next = distances[slot as usize].saturating_add(1);
            for &other in &self.rows[slot as usize] {
                if distances[other as usize] == FAR {
                    distances[other as usize] = next;
                    order.push(other);
                }
            }
        }
        distances
    }

    /// Hops from `from`, whose links lead to `ends` whether or not others confirm it. O(n + m).
    pub(crate) fn hops(&self, from: Alias, ends: &BTreeSet<Alias>) -> Hops {
        let starts = ends.iter().filter_map(|end| self.slots.get(end).copied());
        let distances = self.distances(self.slots.get(&from).copied(), starts);
        let named = self.slots.iter().map(|(alias, slot)| (*alias, distances[*slot as usize]));
        Hops(named.filter(|(_, hops)| *hops != FAR).collect())
    }

    /// Which of the neighbours of `me` get a record of `origin` from me, when each node gets it from
    /// one neighbour that is nearer to the origin. The origin's links lead to `ends`, as its record
    /// says. Everybody with the same graph gives the same answers, and parents are spread over
    /// candidates by a hash of both. O(n + m).
    pub(crate) fn tree(&self, origin: Alias, ends: &BTreeSet<Alias>, me: Alias) -> Tree<'_> {
        let starts = ends.iter().filter_map(|end| self.slots.get(end).copied());
        let root = self.slots.get(&origin).copied();
        let distances = self.distances(root, starts);
        Tree { graph: self, origin, me, distances, starts: ends.clone() }
    }

    /// Whether a pair is linked.
    #[cfg(test)]
    pub(crate) fn contains(&self, a: Alias, b: Alias) -> bool {
        let ends = self.slots.get(&a).zip(self.slots.get(&b));
        ends.is_some_and(|(a, b)| self.rows[*a as usize].binary_search(b).is_ok())
    }
}

/// How far away origins are.
#[derive(Debug, Default)]
pub(crate) struct Hops(BTreeMap<Alias, u16>);

impl Hops {
    pub(crate) fn to(&self, alias: Alias) -> u16 {
        self.0.get(&alias).copied().unwrap_or(FAR)
    }
}

/// The ways of a record from its origin.
pub(crate) struct Tree<'a> {
    graph: &'a Graph,
    origin: Alias,
    me: Alias,
    distances: Vec<u16>,
    starts: BTreeSet<Alias>,
}

/// Whether a neighbour gets a record from this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Duty {
    /// From here, or from nobody.
    Mine,
    /// From somebody else, but it is told from here that there is something: it depends on nobody
    /// alone.
    Tell,
    /// From somebody else, or it is the origin.
    Others,
}

impl Tree<'_> {
    pub(crate) fn duty(&self, neighbour: Alias) -> Duty {
        if neighbour == self.origin {
            return Duty::Others;
        }
        let Some(&slot) = self.graph.slots.get(&neighbour) else {
            // Nobody confirms a link with it: it may depend on this node alone, unless the origin
            // itself names it.
            let named = self.starts.contains(&neighbour) && self.me != self.origin;
            return if named { Duty::Others } else { Duty::Mine };
        };
        let distance = self.distances[slot as usize];
        if distance == FAR || distance == 1 && self.me == self.origin {
            return Duty::Mine;
        }
        let weight = |slot: u32| {
            let alias = self.graph.aliases[slot as usize].0;
            (alias ^ self.origin.0.rotate_left(23))
                .wrapping_mul(0x9E37_79B9_7F4A_7C15)
                .rotate_left(29)
        };
        let rank = |slot: u32| (self.distances[slot as usize], weight(slot), slot);
        // Those next to the origin have it from there, confirmed or not.
        let (mut first, mut second) = (None, None);
        for &other in &self.graph.rows[slot as usize] {
            let alias = self.graph.aliases[other as usize];
            let rank = Some(if distance == 1 && alias == self.origin {
                (0, 0, other)
            } else {
                rank(other)
            });
            if first.is_none() || rank < first {
                (first, second) = (rank, first);
            } else if second.is_none() || rank < second {
                second = rank;
            }
        }
        let is_me = |rank: Option<(u16, u64, u32)>| {
            rank.is_some_and(|(_, _, slot)| self.graph.aliases[slot as usize] == self.me)
        };
        match distance {
            1 if is_me(first) || is_me(second) => Duty::Tell,
            1 => Duty::Others,
            _ if first.is_none() || is_me(first) => Duty::Mine,
            _ if is_me(second) => Duty::Tell,
            _ => Duty::Others,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random(rng: &mut fastrand::Rng, nodes: u64, links: usize) -> (Graph, BTreeSet<(u64, u64)>) {
        let (mut graph, mut model) = (Graph::default(), BTreeSet::new());
        for _ in 0..links * 2 {
            let (a, b) = (rng.u64(0..nodes), rng.u64(0..nodes));
            let (a, b) = (a.min(b), a.max(b));
            if a == b {
                continue;
            }
            if model.len() > links && rng.bool() {
                model.remove(&(a, b));
                graph.remove(Alias(a), Alias(b));
            } else {
                model.insert((a, b));
                graph.insert(Alias(b), Alias(a));
            }
        }
        (graph, model)
    }

    fn ends(model: &BTreeSet<(u64, u64)>, of: u64) -> BTreeSet<Alias> {
        let other = |(a, b): &(u64, u64)| match of {
            _ if *a == of => Some(Alias(*b)),
            _ if *b == of => Some(Alias(*a)),
            _ => None,
        };
        model.iter().filter_map(other).collect()
    }

    #[test]
    fn the_graph_agrees_with_a_set_of_pairs() {
        let mut rng = fastrand::Rng::with_seed(1);
        for _ in 0..50 {
            let (graph, model) = random(&mut rng, 12, 20);
            for a in 0..12 {
                for b in 0..12 {
                    let linked = model.contains(&(a.min(b), a.max(b)));
                    assert_eq!(graph.contains(Alias(a), Alias(b)), linked && a != b);
                }
            }
        }
    }

    #[test]
    fn each_node_that_can_be_reached_has_one_parent_and_all_are_reached() {
        let mut rng = fastrand::Rng::with_seed(2);
        for _ in 0..100 {
            let (graph, model) = random(&mut rng, 20, 24);
            let origin = rng.u64(0..20);
            let mut reached = BTreeSet::from([origin]);
            let mut open = vec![origin];
            let (mut sends, mut tells) = (0, 0);
            while let Some(me) = open.pop() {
                let tree = graph.tree(Alias(origin), &ends(&model, origin), Alias(me));
                for Alias(neighbour) in ends(&model, me) {
                    let duty = tree.duty(Alias(neighbour));
                    tells += usize::from(duty == Duty::Tell);
                    if duty == Duty::Mine {
                        sends += 1;
                        assert!(reached.insert(neighbour), "{neighbour} is sent it twice");
                        open.push(neighbour);
                    }
                }
            }
            let hops = graph.hops(Alias(origin), &ends(&model, origin));
            let near = (0..20).filter(|node| *node == origin || hops.to(Alias(*node)) != FAR);
            assert_eq!(near.collect::<BTreeSet<_>>(), reached);
            assert_eq!(sends, reached.len() - 1);
            let others = reached.iter().filter(|node| **node != origin);
            let twice = others.filter(|node| ends(&model, **node).len() > 1).count();
            assert_eq!(tells, twice, "who has two neighbours hears it from two");
        }
    }

    #[test]
    fn a_neighbour_that_nobody_else_can_reach_is_this_nodes_duty_and_one_more_tells_of_it() {
        let mut graph = Graph::default();
        let node = |alias: u64| Alias(alias);
        for (a, b) in [(1, 2), (2, 3), (2, 4)] {
            graph.insert(node(a), node(b));
        }
        let ends = BTreeSet::from([node(2)]);
        let tree = graph.tree(node(1), &ends, node(2));
        assert_eq!(tree.duty(node(3)), Duty::Mine);
        assert_eq!(tree.duty(node(9)), Duty::Mine, "a node that no record names");
        assert_eq!(tree.duty(node(1)), Duty::Others, "the origin has its own record");
        graph.insert(node(3), node(4));
        let tree = graph.tree(node(1), &ends, node(3));
        assert_eq!(
            tree.duty(node(4)),
            Duty::Tell,
            "2 is nearer to the origin, nobody else is there"
        );
        graph.insert(node(2), node(5));
        graph.insert(node(5), node(4));
        let told = [3, 5].map(|me| graph.tree(node(1), &ends, node(me)).duty(node(4)));
        let tells = told.iter().filter(|duty| **duty == Duty::Tell).count();
        assert_eq!(tells, 1, "of the two, one: {told:?}");
        assert!(!told.contains(&Duty::Mine));
    }
}
