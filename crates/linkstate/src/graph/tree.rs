use bitcraps_wire::Alias;
use smallvec::SmallVec;

use super::Graph;
use super::hops::{FAR, WATCHED};

/// Something of each who is near.
type Near<T> = SmallVec<[T; 48]>;

/// The ways of a record from its origin.
pub(crate) struct Tree<'a> {
    graph: &'a Graph,
    origin: Alias,
    me: Alias,
    /// Of neighbours and what is linked with them, ascending by slot; what is not there is farther.
    pub(super) distances: Near<(u16, u16)>,
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

impl Graph {
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
