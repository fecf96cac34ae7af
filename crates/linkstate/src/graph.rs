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

    /// Counts the hops from `from`, whose links lead to `ends` whether or not others confirm it; whether
    /// something has changed since they were counted last. O(n + m), or O(ends) when nothing has.
    pub(crate) fn count(
        &self,
        hops: &mut Hops,
        from: Alias,
        ends: impl Iterator<Item = Alias> + Clone,
    ) -> bool {
        if hops.changes == self.changes && hops.ends.iter().copied().eq(ends.clone()) {
            return false;
        }
        hops.ends = ends.collect();
        hops.changes = self.changes;
        hops.distances = self.measure(from, &hops.ends, 0..self.rows.len() as u16);
        true
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
    /// Of which state of the graph.
    changes: u64,
    /// Whom the links of this node led to.
    ends: Vec<Alias>,
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
mod tests;
