//! One second of a crowd: who is in range of whom, now and through the horizon.

use bitcraps_topology::{BuildGraphError, Graph};

use super::motion::{Crowd, Place};

/// Seconds ahead.
pub(super) const HORIZON: usize = 5;
/// Peers outside of the largest component that make a split material.
pub(super) const MATERIAL: u32 = 4;

/// A second of a crowd whose peers hear each other up to `range` metres.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment<'a> {
    crowd: &'a Crowd,
    second: usize,
    range: f64,
}

impl<'a> Moment<'a> {
    /// Every [`HORIZON`] seconds, each with a second before it and the whole horizon behind it.
    pub(super) fn all(crowd: &'a Crowd, range: f64) -> impl Iterator<Item = Moment<'a>> {
        let last = crowd.seconds.len().saturating_sub(HORIZON);
        (1..last).step_by(HORIZON).map(move |second| Self { crowd, second, range })
    }

    /// Places at this second.
    pub(super) fn places(&self) -> &'a [Place] {
        &self.crowd.seconds[self.second]
    }

    /// Places a second before.
    pub(super) fn places_before(&self) -> &'a [Place] {
        &self.crowd.seconds[self.second - 1]
    }

    /// Places in each second of the horizon.
    pub(super) fn future(&self) -> &'a [Vec<Place>] {
        &self.crowd.seconds[self.second + 1..=self.second + HORIZON]
    }

    pub(super) fn range(&self) -> f64 {
        self.range
    }

    /// Whether too many are outside already.
    pub(super) fn is_split(&self) -> bool {
        outside_of_largest(self.places(), self.range) >= MATERIAL
    }

    /// Whether too many are outside at some second of the horizon.
    pub(super) fn will_split(&self) -> bool {
        self.future().iter().any(|places| outside_of_largest(places, self.range) >= MATERIAL)
    }

    /// Who hears whom now.
    pub(super) fn graph(&self) -> Result<Graph, BuildGraphError> {
        let links: Vec<(u32, u32)> = self.linked().map(|(a, b)| (a as u32, b as u32)).collect();
        Graph::from_links(self.places().len(), &links)
    }

    /// Pairs that hear each other now.
    pub(super) fn linked(&self) -> impl Iterator<Item = (usize, usize)> + use<'a> {
        let (places, range) = (self.places(), self.range);
        let pairs = (0..places.len()).flat_map(|a| (a + 1..places.len()).map(move |b| (a, b)));
        pairs.filter(move |(a, b)| distance(places[*a], places[*b]) <= range)
    }
}

pub(super) fn distance(a: Place, b: Place) -> f64 {
    (a.0 - b.0).hypot(a.1 - b.1)
}

/// Peers, 64 at most, that are not in the largest component.
pub(super) fn outside_of_largest(places: &[Place], range: f64) -> u32 {
    let near = |a: Place, b: Place| {
        let (x, y) = (a.0 - b.0, a.1 - b.1);
        x * x + y * y <= range * range
    };
    let mut rows = [0_u64; 64];
    for (a, place) in places.iter().enumerate() {
        for (b, other) in places.iter().enumerate().skip(a + 1) {
            if near(*place, *other) {
                rows[a] |= 1 << b;
                rows[b] |= 1 << a;
            }
        }
    }
    let mut left = u64::MAX >> (64 - places.len());
    let mut largest = 0;
    while left != 0 {
        let mut reached = left & left.wrapping_neg();
        let mut fresh = reached;
        while fresh != 0 {
            let peer = fresh.trailing_zeros() as usize;
            fresh &= fresh - 1;
            let found = rows[peer] & !reached;
            reached |= found;
            fresh |= found;
        }
        left &= !reached;
        largest = largest.max(reached.count_ones());
    }
    places.len() as u32 - largest
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Eight peers in a row, 10 m apart; after the second 3 the last four walk off.
    fn row() -> Crowd {
        let place = |second: usize, peer: usize| {
            let off = if peer >= 4 { 5.0 * second.saturating_sub(3) as f64 } else { 0.0 };
            (10.0 * peer as f64 + off, 0.0)
        };
        Crowd { seconds: (0..12).map(|s| (0..8).map(|p| place(s, p)).collect()).collect() }
    }

    #[test]
    fn a_split_is_seen_when_four_are_outside() {
        let crowd = row();
        assert_eq!(outside_of_largest(&crowd.seconds[3], 10.0), 0);
        assert_eq!(outside_of_largest(&crowd.seconds[4], 10.0), 4);
        assert_eq!(outside_of_largest(&crowd.seconds[4], 9.0), 7);
        let moments: Vec<_> = Moment::all(&crowd, 10.0).collect();
        assert_eq!(moments.len(), 2);
        assert_eq!((moments[0].is_split(), moments[0].will_split()), (false, true));
        assert_eq!((moments[1].is_split(), moments[1].will_split()), (true, true));
        let wide = Moment::all(&crowd, 25.0).next().unwrap();
        assert!(!wide.will_split());
        assert_eq!(Moment::all(&crowd, 26.0).next().unwrap().graph().unwrap().links(), 7 + 6);
    }
}
