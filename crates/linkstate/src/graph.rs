mod reach;

use bitcraps_wire::Alias;
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use smallvec::SmallVec;

use self::reach::Reach;

/// No distance: not reached.
pub(crate) const FAR: u16 = u16::MAX;
/// No distance yet, but one is wanted.
const WATCHED: u16 = FAR - 1;

/// The neighbours of one origin, ascending: as many as most have are kept in place.
type Row = SmallVec<[u16; 12]>;
/// Something of each who is near.
type Near<T> = SmallVec<[T; 48]>;

/// Pairs of origins of which each says that it has a link with the other. No more of them than there
/// are origins in the table.
#[derive(Debug)]
pub(crate) struct Graph {
    slots: HashMap<Alias, u16, FixedState>,
    aliases: Vec<Alias>,
    rows: Vec<Row>,
    free: Vec<u16>,
    /// Distances from those who are near.
    reach: Reach,
    /// Pairs that were linked or parted so far.
    changes: u64,
}

impl Graph {
    /// Without pairs. `hash` keys the hash of aliases.
    pub(crate) fn new(hash: u64) -> Self {
        let slots = HashMap::with_hasher(FixedState::with_seed(hash));
        Self {
            slots,
            aliases: Vec::new(),
            rows: Vec::new(),
            free: Vec::new(),
            reach: Reach::default(),
            changes: 0,
        }
    }

    fn slot(&mut self, alias: Alias) -> Option<u16> {
        if let Some(slot) = self.slots.get(&alias) {
            return Some(*slot);
        }
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => u16::try_from(self.rows.len()).ok()?,
        };
        if usize::from(slot) == self.rows.len() {
            self.rows.push(Row::new());
            self.aliases.push(alias);
        }
        self.aliases[usize::from(slot)] = alias;
        self.slots.insert(alias, slot);
        self.reach.came(slot);
        Some(slot)
    }

    pub(crate) fn insert(&mut self, a: Alias, b: Alias) {
        let Some((a, b)) = self.slot(a).zip(self.slot(b)) else { return };
        for (from, to) in [(a, b), (b, a)] {
            let row = &mut self.rows[usize::from(from)];
            let Err(at) = row.binary_search(&to) else { return };
            row.insert(at, to);
        }
        self.changes += 1;
        self.reach.linked(&self.rows, a, b);
    }

    pub(crate) fn remove(&mut self, a: Alias, b: Alias) {
        let ends = self.slots.get(&a).copied().zip(self.slots.get(&b).copied());
        let Some((a, b)) = ends else { return };
        for (from, to) in [(a, b), (b, a)] {
            let row = &mut self.rows[usize::from(from)];
            let Ok(at) = row.binary_search(&to) else { return };
            row.remove(at);
        }
        self.changes += 1;
        self.reach.parted(&self.rows, a, b);
        for end in [a, b].map(usize::from) {
            if self.rows[end].is_empty() && self.slots.remove(&self.aliases[end]).is_some() {
                self.free.push(end as u16);
                self.reach.went(end as u16);
            }
        }
    }

    /// Distances from `origin`, as if `ends` were next to it, until all that are `watched` have theirs,
    /// and all that are no farther than they are.
    fn measure(
        &self,
        origin: Alias,
        ends: &[Alias],
        watched: impl Iterator<Item = u16>,
    ) -> Vec<u16> {
        let mut search = Search::new(self.rows.len(), watched);
        if let Some(origin) = self.slots.get(&origin) {
            search.reach(*origin, 0);
        }
        for start in ends.iter().filter_map(|end| self.slots.get(end)) {
            search.reach(*start, 1);
        }
        let mut head = 0;
        while let Some(&slot) = search.order.get(head) {
            let distance = search.distances[usize::from(slot)];
            if search.left == 0 && distance >= search.farthest {
                break;
            }
            head += 1;
            let next = (distance + 1).min(WATCHED - 1);
            for &other in &self.rows[usize::from(slot)] {
                search.reach(other, next);
            }
        }
        search.distances
    }

    /// Counts the hops from `from`, whose links lead to `ends` whether or not others confirm it. O(n +
    /// m), or O(ends) when nothing has changed since they were counted last.
    pub(crate) fn count(&self, hops: &mut Hops, from: Alias, ends: Vec<Alias>) {
        let of = Some((self.changes, ends));
        if hops.of != of
            && let Some((_, ends)) = &of
        {
            hops.distances = self.measure(from, ends, 0..self.rows.len() as u16);
            hops.of = of;
        }
    }

    /// How far away an origin is, by what was found when the hops were counted.
    pub(crate) fn distance(&self, hops: &Hops, alias: Alias) -> u16 {
        let slot = self.slots.get(&alias);
        let hops = slot.and_then(|slot| hops.distances.get(usize::from(*slot))).copied();
        hops.filter(|hops| *hops < WATCHED).unwrap_or(FAR)
    }

    /// Which of the neighbours of `me` get a record of `origin` from me, when each node gets it from
    /// one neighbour that is nearer to the origin. The origin's links lead to `ends`, as its record
    /// says. Everybody with the same graph gives the same answers, and parents are spread over
    /// candidates by a hash of both. Only `neighbours` may be asked about. O(links of neighbours) where
    /// these are few and stay the same, O(n + m), of what is nearer to the origin than they are,
    /// otherwise.
    pub(crate) fn tree<'a>(
        &'a mut self,
        origin: Alias,
        ends: &'a [Alias],
        me: Alias,
        neighbours: impl Iterator<Item = Alias>,
    ) -> Tree<'a> {
        let watched = neighbours.filter_map(|alias| self.slots.get(&alias).copied());
        let mut watched: Near<u16> = watched.collect();
        watched.sort_unstable();
        watched.dedup();
        let distances = if self.reach.around(&self.rows, &watched) {
            self.reached(origin, ends, &watched)
        } else {
            let distances = self.measure(origin, ends, watched.iter().copied());
            (0..).zip(distances).filter(|(_, distance)| *distance < WATCHED).collect()
        };
        Tree { graph: self, origin, me, distances, starts: ends }
    }

    /// What [`Self::measure`] finds, of those whose distances are kept.
    fn reached(&self, origin: Alias, ends: &[Alias], watched: &[u16]) -> Near<(u16, u16)> {
        let slot = self.slots.get(&origin).copied();
        let starts = ends.iter().filter_map(|end| self.slots.get(end).copied());
        // What is linked with the origin is next to it anyway.
        let linked = slot.map_or(&[][..], |slot| &self.rows[usize::from(slot)]);
        let starts = starts.filter(|start| linked.binary_search(start).is_err());
        let span = self.reach.from(slot, starts);
        let sources = self.reach.sources().iter();
        let mut distances: Near<(u16, u16)> =
            sources.filter_map(|(slot, column)| Some((*slot, span.get(*column)?))).collect();
        let find = |slot: &u16| {
            let at = distances.binary_search_by_key(slot, |(slot, _)| *slot).ok()?;
            Some(distances[at].1)
        };
        // Beyond the farthest of them all that matters is that it is farther.
        let farthest = watched.iter().map(find).try_fold(0, |most, d| Some(most.max(d?)));
        if let Some(farthest) = farthest {
            distances.retain(|(_, distance)| *distance <= farthest);
        }
        distances
    }

    /// Whether a pair is linked.
    #[cfg(test)]
    pub(crate) fn contains(&self, a: Alias, b: Alias) -> bool {
        let ends = self.slots.get(&a).zip(self.slots.get(&b));
        ends.is_some_and(|(a, b)| self.rows[usize::from(*a)].binary_search(b).is_ok())
    }
}

/// How far away origins are.
#[derive(Debug, Default)]
pub(crate) struct Hops {
    /// By slot.
    distances: Vec<u16>,
    /// Of which state of the graph, and of which links.
    of: Option<(u64, Vec<Alias>)>,
}

/// A search in breadth. Its room is asked for anew each time: what was used a moment ago is near.
struct Search {
    /// [`FAR`] and [`WATCHED`] where none is known.
    distances: Vec<u16>,
    order: Vec<u16>,
    /// How many of the watched have no distance yet.
    left: usize,
    /// Distance of the one that was reached last.
    farthest: u16,
}

impl Search {
    fn new(slots: usize, watched: impl Iterator<Item = u16>) -> Self {
        let (mut distances, mut left) = (vec![FAR; slots], 0);
        for slot in watched {
            let before = std::mem::replace(&mut distances[usize::from(slot)], WATCHED);
            left += usize::from(before == FAR);
        }
        Self { distances, order: Vec::with_capacity(slots), left, farthest: 0 }
    }

    fn reach(&mut self, slot: u16, distance: u16) {
        let known = &mut self.distances[usize::from(slot)];
        if *known >= WATCHED {
            if *known == WATCHED {
                self.left -= 1;
                self.farthest = distance;
            }
            *known = distance;
            self.order.push(slot);
        }
    }
}

/// The ways of a record from its origin.
pub(crate) struct Tree<'a> {
    graph: &'a Graph,
    origin: Alias,
    me: Alias,
    /// Of neighbours and what is linked with them, ascending by slot; what is not there is farther.
    distances: Near<(u16, u16)>,
    starts: &'a [Alias],
}

/// Whether a neighbour gets a record from this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Duty {
    /// From here.
    Mine,
    /// From here or from nobody, as far as is known: no way to it is, but the link with this node.
    Unknown,
    /// From somebody else, but it is told from here that there is something: it depends on nobody
    /// alone.
    Tell,
    /// From somebody else, or it is the origin.
    Others,
}

impl Tree<'_> {
    fn distance(&self, slot: u16) -> u16 {
        let at = self.distances.binary_search_by_key(&slot, |(slot, _)| *slot);
        at.map_or(FAR, |at| self.distances[at].1)
    }

    pub(crate) fn duty(&self, neighbour: Alias) -> Duty {
        if neighbour == self.origin {
            return Duty::Others;
        }
        let Some(&slot) = self.graph.slots.get(&neighbour) else {
            // Nobody confirms a link with it: it may depend on this node alone, unless the origin
            // itself names it.
            let named = self.starts.contains(&neighbour) && self.me != self.origin;
            return match named {
                true => Duty::Others,
                false if self.me == self.origin => Duty::Mine,
                false => Duty::Unknown,
            };
        };
        let distance = self.distance(slot);
        if distance == 1 && self.me == self.origin {
            return Duty::Mine;
        }
        if distance >= WATCHED {
            return Duty::Unknown;
        }
        let weight = |slot: u16| {
            let alias = self.graph.aliases[usize::from(slot)].0;
            (alias ^ self.origin.0.rotate_left(23))
                .wrapping_mul(0x9E37_79B9_7F4A_7C15)
                .rotate_left(29)
        };
        let rank = |slot: u16| (self.distance(slot), weight(slot), slot);
        // Those next to the origin have it from there, confirmed or not.
        let (mut first, mut second) = (None, None);
        for &other in &self.graph.rows[usize::from(slot)] {
            let alias = self.graph.aliases[usize::from(other)];
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
        let is_me = |rank: Option<(u16, u64, u16)>| {
            rank.is_some_and(|(_, _, slot)| self.graph.aliases[usize::from(slot)] == self.me)
        };
        match distance {
            1 if is_me(first) || is_me(second) => Duty::Tell,
            1 => Duty::Others,
            _ if is_me(first) => Duty::Mine,
            _ if first.is_none() => Duty::Unknown,
            _ if is_me(second) => Duty::Tell,
            _ => Duty::Others,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn random(rng: &mut fastrand::Rng, nodes: u64, links: usize) -> (Graph, BTreeSet<(u64, u64)>) {
        let (mut graph, mut model) = (Graph::new(7), BTreeSet::new());
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

    fn ends(model: &BTreeSet<(u64, u64)>, of: u64) -> Vec<Alias> {
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
    fn distances_that_are_kept_are_those_that_a_search_finds() {
        let mut rng = fastrand::Rng::with_seed(3);
        let (mut kept, mut searched) = (0, 0);
        for round in 0..60 {
            // Among many nodes with many links each there is no room for all that are near.
            let (nodes, links) = if round % 3 == 0 { (150, 1_500) } else { (40, 60) };
            let (mut graph, mut model) = random(&mut rng, nodes, links);
            let mut near: Vec<Alias> = (0..4).map(|_| Alias(rng.u64(0..nodes))).collect();
            for _ in 0..200 {
                let (a, b) = (rng.u64(0..nodes), rng.u64(0..nodes));
                let pair = (a.min(b), a.max(b));
                if a != b && model.remove(&pair) {
                    graph.remove(Alias(a), Alias(b));
                } else if a != b && model.len() < links {
                    model.insert(pair);
                    graph.insert(Alias(a), Alias(b));
                }
                if rng.u8(..10) == 0 {
                    near = (0..rng.usize(0..5)).map(|_| Alias(rng.u64(0..nodes))).collect();
                }
                let origin = Alias(rng.u64(0..nodes));
                let starts: Vec<_> = (0..rng.u64(0..3)).map(|_| Alias(rng.u64(0..nodes))).collect();
                let watched = near.iter().filter_map(|alias| graph.slots.get(alias).copied());
                let watched: BTreeSet<u16> = watched.collect();
                let is_asked = |slot: &u16| graph.slots.get(&origin) != Some(slot);
                if !watched.iter().any(is_asked) {
                    continue;
                }
                let expected = graph.measure(origin, &starts, watched.iter().copied());
                let distances =
                    graph.tree(origin, &starts, Alias(0), near.iter().copied()).distances;
                let row = |slot: &u16| graph.rows[usize::from(*slot)].iter().copied();
                let all: BTreeSet<u16> =
                    watched.iter().flat_map(|slot| row(slot).chain([*slot])).collect();
                let is_kept = graph.reach.sources().iter().map(|(slot, _)| slot).eq(&all);
                (kept, searched) = (kept + usize::from(is_kept), searched + usize::from(!is_kept));
                for slot in all {
                    let expected = Some(expected[usize::from(slot)]).filter(|d| *d < WATCHED);
                    let found = distances.iter().find(|(other, _)| *other == slot);
                    assert_eq!(found.map(|(_, distance)| *distance), expected, "{slot}");
                }
            }
        }
        assert!(kept > 5_000 && searched > 500, "both happen: {kept}, {searched}");
    }

    #[test]
    fn hops_are_counted_again_when_links_change_and_only_then() {
        let mut graph = Graph::new(7);
        graph.insert(Alias(1), Alias(2));
        let mut hops = Hops::default();
        graph.count(&mut hops, Alias(1), vec![Alias(2)]);
        graph.insert(Alias(2), Alias(3));
        assert_eq!(graph.distance(&hops, Alias(3)), FAR);
        graph.count(&mut hops, Alias(1), vec![Alias(2)]);
        assert_eq!(graph.distance(&hops, Alias(3)), 2);
        let before = hops.distances.as_ptr();
        graph.insert(Alias(2), Alias(3));
        graph.count(&mut hops, Alias(1), vec![Alias(2)]);
        assert_eq!(hops.distances.as_ptr(), before, "nothing is new");
        graph.count(&mut hops, Alias(1), vec![Alias(2), Alias(3)]);
        assert_eq!(graph.distance(&hops, Alias(3)), 1);
        graph.remove(Alias(2), Alias(3));
        graph.count(&mut hops, Alias(1), vec![Alias(2), Alias(3)]);
        assert_eq!(graph.distance(&hops, Alias(3)), FAR);
    }

    #[test]
    fn each_node_that_can_be_reached_has_one_parent_and_all_are_reached() {
        let mut rng = fastrand::Rng::with_seed(2);
        for _ in 0..100 {
            let (mut graph, model) = random(&mut rng, 20, 24);
            let origin = rng.u64(0..20);
            let mut reached = BTreeSet::from([origin]);
            let mut open = vec![origin];
            let (mut sends, mut tells) = (0, 0);
            while let Some(me) = open.pop() {
                let near = |of| ends(&model, of).into_iter();
                let starts = ends(&model, origin);
                let tree = graph.tree(Alias(origin), &starts, Alias(me), near(me));
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
            let mut hops = Hops::default();
            graph.count(&mut hops, Alias(origin), ends(&model, origin));
            let near = (0..20)
                .filter(|node| *node == origin || graph.distance(&hops, Alias(*node)) != FAR);
            assert_eq!(near.collect::<BTreeSet<_>>(), reached);
            assert_eq!(sends, reached.len() - 1);
            let others = reached.iter().filter(|node| **node != origin);
            let twice = others.filter(|node| ends(&model, **node).len() > 1).count();
            assert_eq!(tells, twice, "who has two neighbours hears it from two");
        }
    }

    #[test]
    fn a_neighbour_that_nobody_else_can_reach_is_this_nodes_duty_and_one_more_tells_of_it() {
        let mut graph = Graph::new(7);
        let node = |alias: u64| Alias(alias);
        for (a, b) in [(1, 2), (2, 3), (2, 4)] {
            graph.insert(node(a), node(b));
        }
        let ends = [node(2)];
        let all = || (1..=9).map(Alias);
        let tree = graph.tree(node(1), &ends, node(2), all());
        assert_eq!(tree.duty(node(3)), Duty::Mine);
        assert_eq!(tree.duty(node(9)), Duty::Unknown, "a node that no record names");
        assert_eq!(tree.duty(node(1)), Duty::Others, "the origin has its own record");
        graph.insert(node(3), node(4));
        let tree = graph.tree(node(1), &ends, node(3), all());
        assert_eq!(
            tree.duty(node(4)),
            Duty::Tell,
            "2 is nearer to the origin, nobody else is there"
        );
        graph.insert(node(2), node(5));
        graph.insert(node(5), node(4));
        let told = [3, 5].map(|me| graph.tree(node(1), &ends, node(me), all()).duty(node(4)));
        let tells = told.iter().filter(|duty| **duty == Duty::Tell).count();
        assert_eq!(tells, 1, "of the two, one: {told:?}");
        assert!(!told.contains(&Duty::Mine));
    }
}
