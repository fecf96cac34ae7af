//! A forecast by one that sees where everybody is and how everybody moves, which no peer can.

use fastrand::Rng;

use super::moment::{HORIZON, MATERIAL, Moment, outside_of_largest};
use super::motion::Place;

/// Ways kept of how peers leave the straight line.
const MOST_DETOURS: usize = 1 << 16;

/// Lets everybody go straight on, but for a detour that somebody took before.
#[derive(Debug, Clone)]
pub(super) struct Oracle {
    /// What was added to the straight line in each second of the horizon: along the way, and to its
    /// left.
    detours: Vec<[Place; HORIZON]>,
}

fn velocity(moment: &Moment<'_>, peer: usize) -> Place {
    let (now, before) = (moment.places()[peer], moment.places_before()[peer]);
    (now.0 - before.0, now.1 - before.1)
}

/// The direction of a way; that of x for one that leads nowhere.
fn direction(way: Place) -> Place {
    let length = way.0.hypot(way.1);
    if length > 0.0 { (way.0 / length, way.1 / length) } else { (1.0, 0.0) }
}

impl Oracle {
    /// From everybody's ways in many moments, evenly thinned.
    pub(super) fn fitted(moments: &[Moment<'_>]) -> Self {
        let ways: usize = moments.iter().map(|moment| moment.places().len()).sum();
        let every = ways.div_ceil(MOST_DETOURS).max(1);
        let all = moments.iter().flat_map(|m| (0..m.places().len()).map(move |peer| (m, peer)));
        let detour = |(moment, peer): (&Moment<'_>, usize)| {
            let (at, way) = (moment.places()[peer], velocity(moment, peer));
            let ahead = direction(way);
            std::array::from_fn(|second| {
                let then = moment.future()[second][peer];
                let time = (second + 1) as f64;
                let off = (then.0 - at.0 - way.0 * time, then.1 - at.1 - way.1 * time);
                (off.0 * ahead.0 + off.1 * ahead.1, off.1 * ahead.0 - off.0 * ahead.1)
            })
        };
        Self { detours: all.step_by(every).map(detour).collect() }
    }

    /// Share of `samples` futures with a material split.
    pub(super) fn forecast(&self, moment: &Moment<'_>, samples: u32, rng: &mut Rng) -> f64 {
        let starts: Vec<(Place, Place)> = (0..moment.places().len())
            .map(|peer| (moment.places()[peer], velocity(moment, peer)))
            .collect();
        let mut places = vec![(0.0, 0.0); starts.len()];
        let mut splits = 0;
        for _ in 0..samples {
            let chosen: Vec<&[Place; HORIZON]> =
                starts.iter().filter_map(|_| rng.choice(&self.detours)).collect();
            let split = (0..HORIZON).any(|second| {
                let time = (second + 1) as f64;
                for ((place, (at, way)), detour) in places.iter_mut().zip(&starts).zip(&chosen) {
                    let (ahead, (along, left)) = (direction(*way), detour[second]);
                    place.0 = at.0 + way.0 * time + along * ahead.0 - left * ahead.1;
                    place.1 = at.1 + way.1 * time + along * ahead.1 + left * ahead.0;
                }
                outside_of_largest(&places, moment.range()) >= MATERIAL
            });
            splits += u32::from(split);
        }
        f64::from(splits) / f64::from(samples.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::super::motion::Crowd;
    use super::*;

    #[test]
    fn what_goes_straight_is_foreseen_without_doubt() {
        // Two groups of four that part, at 2 m a second.
        let place = |second: usize, peer: usize| match peer {
            0..4 => (0.0, peer as f64),
            _ => (2.0 * second as f64, peer as f64),
        };
        let rows = (0..30).map(|s| (0..8).map(|p| place(s, p)).collect()).collect();
        let crowd = Crowd { seconds: rows };
        let oracle = Oracle::fitted(&Moment::all(&crowd, 30.0).collect::<Vec<_>>());
        let mut rng = Rng::with_seed(1);
        for moment in Moment::all(&crowd, 30.0) {
            let expected = f64::from(moment.will_split());
            assert_eq!(oracle.forecast(&moment, 8, &mut rng), expected);
        }
        assert!(Moment::all(&crowd, 30.0).any(|moment| moment.will_split()));
        assert!(!Moment::all(&crowd, 30.0).all(|moment| moment.will_split()));
    }
}
