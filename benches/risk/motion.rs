//! How crowds move: where every peer of a crowd is, second by second.

use std::f64::consts::{PI, TAU};

use fastrand::Rng;

/// A place or a way, in metres.
pub(crate) type Place = (f64, f64);

/// Side of the square in which simulated crowds move, in metres.
pub(crate) const SIDE: f64 = 1_000.0;
/// Seconds before anything counts: random waypoints start uniformly and only then gather in the
/// middle (Bettstetter, Resta and Santi 2003).
const SETTLING: usize = 200;

/// Where each peer is, one row a second.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Crowd {
    pub(crate) seconds: Vec<Vec<Place>>,
}

/// A model of motion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Motion {
    /// Straight to a random place at a random speed, then to the next (Johnson and Maltz 1996).
    RandomWaypoint,
    /// Speed and direction wander about their means and forget slowly (Liang and Haas 1999).
    GaussMarkov,
    /// Groups whose centres follow random waypoints, members wandering about the centre (Hong et
    /// al. 1999).
    Group,
}

impl Motion {
    /// A crowd of `peers`, for so many seconds.
    pub(crate) fn crowd(self, peers: usize, seconds: usize, rng: &mut Rng) -> Crowd {
        let mut walkers: Vec<Walker> = (0..peers).map(|_| Walker::somewhere(SIDE, rng)).collect();
        let mut drifters: Vec<Drifter> = (0..peers).map(|_| Drifter::somewhere(rng)).collect();
        let mut around: Vec<Walker> = (0..peers).map(|_| Walker::slow(rng)).collect();
        let mut rows = Vec::with_capacity(seconds);
        for second in 0..SETTLING + seconds {
            let row = match self {
                Self::RandomWaypoint => walkers.iter_mut().map(|one| one.step(rng)).collect(),
                Self::GaussMarkov => drifters.iter_mut().map(|one| one.step(rng)).collect(),
                Self::Group => {
                    let groups = peers.div_ceil(GROUP);
                    let centres: Vec<Place> =
                        walkers[..groups].iter_mut().map(|one| one.step(rng)).collect();
                    let member = |(peer, one): (usize, &mut Walker)| {
                        let (centre, place) = (centres[peer / GROUP], one.step(rng));
                        let half = GROUP_SIDE / 2.0;
                        (centre.0 + place.0 - half, centre.1 + place.1 - half)
                    };
                    around.iter_mut().enumerate().map(member).collect()
                }
            };
            if second >= SETTLING {
                rows.push(row);
            }
        }
        Crowd { seconds: rows }
    }
}

/// Members of a group.
const GROUP: usize = 5;
/// Side of the square within which a group keeps, in metres.
const GROUP_SIDE: f64 = 150.0;

/// Goes straight to where it wants to be.
#[derive(Debug, Clone)]
struct Walker {
    at: Place,
    goal: Place,
    /// In metres a second.
    speed: f64,
    slowest: f64,
    fastest: f64,
    side: f64,
}

impl Walker {
    fn somewhere(side: f64, rng: &mut Rng) -> Self {
        let (slowest, fastest) = (1.0, 6.0);
        let mut walker =
            Self { at: (0.0, 0.0), goal: (0.0, 0.0), speed: 0.0, slowest, fastest, side };
        walker.choose(rng);
        walker.at = walker.goal;
        walker.choose(rng);
        walker
    }

    /// A member, relative to its group.
    fn slow(rng: &mut Rng) -> Self {
        let mut walker = Self::somewhere(GROUP_SIDE, rng);
        (walker.slowest, walker.fastest) = (0.2, 1.5);
        walker.choose(rng);
        walker
    }

    fn choose(&mut self, rng: &mut Rng) {
        self.goal = (rng.f64() * self.side, rng.f64() * self.side);
        self.speed = self.slowest + (self.fastest - self.slowest) * rng.f64();
    }

    fn step(&mut self, rng: &mut Rng) -> Place {
        let mut time = 1.0;
        loop {
            let way = (self.goal.0 - self.at.0, self.goal.1 - self.at.1);
            let left = way.0.hypot(way.1);
            let stride = self.speed * time;
            if left > stride {
                self.at.0 += way.0 / left * stride;
                self.at.1 += way.1 / left * stride;
                return self.at;
            }
            self.at = self.goal;
            time -= left / self.speed;
            self.choose(rng);
        }
    }
}

/// Remembers a second's speed and direction with this weight.
const MEMORY: f64 = 0.9;

/// Wanders.
#[derive(Debug, Clone)]
struct Drifter {
    at: Place,
    speed: f64,
    direction: f64,
    mean_direction: f64,
}

impl Drifter {
    const MEAN_SPEED: f64 = 3.0;
    const SPEED_DEVIATION: f64 = 1.0;
    const DIRECTION_DEVIATION: f64 = 0.6;
    /// Nearer than this to an edge, in metres, its mean direction is back to the middle.
    const EDGE: f64 = 100.0;

    fn somewhere(rng: &mut Rng) -> Self {
        let direction = TAU * rng.f64();
        let at = (rng.f64() * SIDE, rng.f64() * SIDE);
        Self { at, speed: Self::MEAN_SPEED, direction, mean_direction: direction }
    }

    fn step(&mut self, rng: &mut Rng) -> Place {
        let near = |x: f64| !(Self::EDGE..=SIDE - Self::EDGE).contains(&x);
        if near(self.at.0) || near(self.at.1) {
            let inwards = (SIDE / 2.0 - self.at.1).atan2(SIDE / 2.0 - self.at.0);
            // The nearest of the angles that mean the same.
            let turn = (inwards - self.direction + PI).rem_euclid(TAU) - PI;
            self.mean_direction = self.direction + turn;
        }
        let fresh = (1.0 - MEMORY * MEMORY).sqrt();
        let wander = |before: f64, mean: f64, deviation: f64, rng: &mut Rng| {
            MEMORY * before + (1.0 - MEMORY) * mean + fresh * deviation * normal(rng)
        };
        self.speed = wander(self.speed, Self::MEAN_SPEED, Self::SPEED_DEVIATION, rng).max(0.0);
        self.direction =
            wander(self.direction, self.mean_direction, Self::DIRECTION_DEVIATION, rng);
        self.at.0 = (self.at.0 + self.speed * self.direction.cos()).clamp(0.0, SIDE);
        self.at.1 = (self.at.1 + self.speed * self.direction.sin()).clamp(0.0, SIDE);
        self.at
    }
}

/// Of mean 0 and deviation 1 (Box and Muller 1958).
fn normal(rng: &mut Rng) -> f64 {
    (-2.0 * (1.0 - rng.f64()).ln()).sqrt() * (TAU * rng.f64()).cos()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_moves_within_the_square_and_no_faster_than_it_may() {
        for (motion, fastest) in
            [(Motion::RandomWaypoint, 6.0), (Motion::GaussMarkov, 10.0), (Motion::Group, 7.5)]
        {
            let crowd = motion.crowd(12, 300, &mut Rng::with_seed(3));
            assert_eq!((crowd.seconds.len(), crowd.seconds[0].len()), (300, 12));
            let margin = if motion == Motion::Group { GROUP_SIDE / 2.0 } else { 0.0 };
            let inside = |x: f64| (-margin..=SIDE + margin).contains(&x);
            assert!(crowd.seconds.iter().flatten().all(|at| inside(at.0) && inside(at.1)));
            let mut way = 0.0;
            for pair in crowd.seconds.windows(2) {
                for (a, b) in pair[0].iter().zip(&pair[1]) {
                    let step = (a.0 - b.0).hypot(a.1 - b.1);
                    assert!(step <= fastest + 1e-9, "{motion:?}: {step} m in a second");
                    way += step;
                }
            }
            assert!(way / (300.0 * 12.0) > 0.5, "{motion:?} hardly moves");
            assert_eq!(crowd, motion.crowd(12, 300, &mut Rng::with_seed(3)));
        }
    }

    #[test]
    fn members_stay_with_their_group() {
        let crowd = Motion::Group.crowd(2 * GROUP, 50, &mut Rng::with_seed(4));
        for row in &crowd.seconds {
            for group in row.chunks(GROUP) {
                let apart = |at: &Place| (at.0 - group[0].0).hypot(at.1 - group[0].1);
                assert!(group.iter().map(apart).fold(0.0, f64::max) <= GROUP_SIDE * 1.5);
            }
        }
    }
}
