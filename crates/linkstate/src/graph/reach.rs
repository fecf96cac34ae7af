use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use super::Row;

/// Peers whose distances are kept: those within two links of most peers. With 128 bytes a peer a
/// change of a link is two of them compared.
const COLUMNS: usize = 64;
/// Not reached. Distances are below the number of slots, of which there are fewer.
const NEVER: i16 = i16::MAX;

/// Distances of every peer from some, the sources. They follow the links that come and go: what a
/// link does not change, it does not touch.
#[derive(Debug, Default)]
pub(super) struct Reach {
    /// The slots around which sources are kept, ascending.
    centres: Vec<u16>,
    /// The centres and what is linked with them, ascending, each with its column; none when they are
    /// too many.
    sources: Vec<(u16, u8)>,
    /// Links of centres have changed since.
    stale: bool,
    /// By slot, then by column. A column that is nobody's says [`NEVER`].
    distances: Vec<[i16; COLUMNS]>,
}

impl Reach {
    /// From now on the sources are `centres` and what is linked with them, unless they are too many:
    /// whether they are sources. O(1) when nothing has changed around them, O(n + m) for each that was
    /// no source before.
    pub(super) fn around(&mut self, rows: &[Row], centres: &[u16]) -> bool {
        if self.stale || self.centres != centres {
            (self.stale, self.centres) = (false, centres.to_vec());
            let near = centres.iter().flat_map(|centre| &rows[usize::from(*centre)]);
            let mut wanted: Vec<u16> = centres.iter().chain(near).copied().collect();
            wanted.sort_unstable();
            wanted.dedup();
            self.keep(rows, &wanted);
        }
        !self.sources.is_empty()
    }

    /// Slots and columns of the sources, ascending.
    pub(super) fn sources(&self) -> &[(u16, u8)] {
        &self.sources
    }

    fn keep(&mut self, rows: &[Row], wanted: &[u16]) {
        let wanted = if wanted.len() <= COLUMNS { wanted } else { &[] };
        let before = std::mem::take(&mut self.sources);
        let mut free = [true; COLUMNS];
        for (slot, column) in before {
            if wanted.binary_search(&slot).is_ok() {
                free[usize::from(column)] = false;
                self.sources.push((slot, column));
            } else {
                self.distances.iter_mut().for_each(|row| row[usize::from(column)] = NEVER);
            }
        }
        if self.sources.is_empty() {
            self.distances.clear();
        }
        if wanted.is_empty() {
            return;
        }
        self.distances.resize(rows.len(), [NEVER; COLUMNS]);
        let mut free = (0..COLUMNS as u8).filter(|column| free[usize::from(*column)]);
        let kept = self.sources.len();
        for slot in wanted {
            if self.sources[..kept].binary_search_by_key(slot, |(slot, _)| *slot).is_err()
                && let Some(column) = free.next()
            {
                self.sources.push((*slot, column));
                self.measure(rows, *slot, usize::from(column));
            }
        }
        self.sources.sort_unstable();
    }

    /// A search in breadth, for a column that is nobody's.
    fn measure(&mut self, rows: &[Row], source: u16, column: usize) {
        self.distances[usize::from(source)][column] = 0;
        let mut order = VecDeque::from([source]);
        while let Some(slot) = order.pop_front() {
            let next = self.distances[usize::from(slot)][column] + 1;
            for other in &rows[usize::from(slot)] {
                let distance = &mut self.distances[usize::from(*other)][column];
                if *distance == NEVER {
                    *distance = next;
                    order.push_back(*other);
                }
            }
        }
    }

    /// A slot was given to a peer; no link leads to it yet.
    pub(super) fn came(&mut self, slot: u16) {
        if !self.sources.is_empty() && usize::from(slot) == self.distances.len() {
            self.distances.push([NEVER; COLUMNS]);
        }
        self.touched(slot);
    }

    /// The last link of a slot is gone, and the slot with it.
    pub(super) fn went(&mut self, slot: u16) {
        if let Ok(at) = self.sources.binary_search_by_key(&slot, |(slot, _)| *slot) {
            // Nobody else was reached from it any more.
            let (_, column) = self.sources.remove(at);
            self.distances[usize::from(slot)][usize::from(column)] = NEVER;
            self.stale = true;
        }
        self.touched(slot);
    }

    fn touched(&mut self, slot: u16) {
        self.stale |= self.centres.binary_search(&slot).is_ok();
    }

    /// Two were linked; the rows say so already.
    pub(super) fn linked(&mut self, rows: &[Row], a: u16, b: u16) {
        [a, b].into_iter().for_each(|end| self.touched(end));
        if self.sources.is_empty() {
            return;
        }
        let mut nearer: VecDeque<u16> = VecDeque::new();
        for (from, to) in [(a, b), (b, a)] {
            if self.relax(from, to) {
                nearer.push_back(to);
            }
        }
        while let Some(from) = nearer.pop_front() {
            for to in &rows[usize::from(from)] {
                if self.relax(from, *to) {
                    nearer.push_back(*to);
                }
            }
        }
    }

    /// Takes the way over `from` to `to` from each source from which it is shorter; whether it is from
    /// any.
    fn relax(&mut self, from: u16, to: u16) -> bool {
        let by = self.distances[usize::from(from)];
        let here = &mut self.distances[usize::from(to)];
        let mut shorter = 0;
        for (here, by) in here.iter_mut().zip(by) {
            let way = by.saturating_add(1);
            shorter |= i16::from(way < *here);
            *here = way.min(*here);
        }
        shorter != 0
    }

    /// Two were parted; the rows say so already.
    pub(super) fn parted(&mut self, rows: &[Row], a: u16, b: u16) {
        [a, b].into_iter().for_each(|end| self.touched(end));
        for at in 0..self.sources.len() {
            let column = usize::from(self.sources[at].1);
            let [from_a, from_b] = [a, b].map(|end| self.distances[usize::from(end)][column]);
            let farther = if from_a < from_b { b } else { a };
            // What is as far from both ends is not reached over their link.
            if from_a != from_b && !self.has_way(rows, farther, column) {
                self.reroute(rows, farther, column);
            }
        }
    }

    /// Whether a slot has a neighbour that is one nearer to the source, or is the source.
    fn has_way(&self, rows: &[Row], slot: u16, column: usize) -> bool {
        let distance = |slot: u16| self.distances[usize::from(slot)][column];
        let here = distance(slot);
        here == 0 || rows[usize::from(slot)].iter().any(|other| distance(*other) == here - 1)
    }

    /// Finds other ways to a slot that has lost its last shortest one, and to whoever had theirs over
    /// it alone (Ramalingam and Reps 1996).
    fn reroute(&mut self, rows: &[Row], first: u16, column: usize) {
        let mut lost = vec![(first, self.distances[usize::from(first)][column])];
        self.distances[usize::from(first)][column] = NEVER;
        let mut head = 0;
        while let Some(&(slot, before)) = lost.get(head) {
            head += 1;
            for other in &rows[usize::from(slot)] {
                let distance = self.distances[usize::from(*other)][column];
                if distance == before + 1 && !self.has_way(rows, *other, column) {
                    self.distances[usize::from(*other)][column] = NEVER;
                    lost.push((*other, distance));
                }
            }
        }
        let mut open = BinaryHeap::new();
        for (slot, _) in lost {
            let near = rows[usize::from(slot)].iter();
            let best = near.map(|other| self.distances[usize::from(*other)][column]).min();
            if let Some(best) = best.filter(|best| *best != NEVER) {
                open.push(Reverse((best + 1, slot)));
            }
        }
        while let Some(Reverse((distance, slot))) = open.pop() {
            let known = &mut self.distances[usize::from(slot)][column];
            if *known <= distance {
                continue;
            }
            *known = distance;
            for other in &rows[usize::from(slot)] {
                if self.distances[usize::from(*other)][column] > distance + 1 {
                    open.push(Reverse((distance + 1, *other)));
                }
            }
        }
    }

    /// How far each source is from an origin, in the order of columns, as if `starts` were next to the
    /// origin.
    pub(super) fn from(&self, origin: Option<u16>, starts: impl Iterator<Item = u16>) -> Span {
        let mut span = [NEVER; COLUMNS];
        if let Some(origin) = origin {
            span = self.distances[usize::from(origin)];
        }
        for start in starts {
            for (here, by) in span.iter_mut().zip(self.distances[usize::from(start)]) {
                *here = (*here).min(by.saturating_add(1));
            }
        }
        Span(span)
    }
}

/// Distances by column.
pub(super) struct Span([i16; COLUMNS]);

impl Span {
    pub(super) fn get(&self, column: u8) -> Option<u16> {
        let distance = self.0[usize::from(column)];
        u16::try_from(distance).ok().filter(|_| distance != NEVER)
    }
}
