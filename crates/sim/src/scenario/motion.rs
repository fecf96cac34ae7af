use std::f64::consts::TAU;
use std::time::Duration;

use super::Scenario;

/// Where nodes are, and where they go: each to a place drawn evenly from the area, at a speed drawn
/// for the way there, then a pause (random waypoint).
pub(super) struct Motion {
    pub(super) places: Vec<[f64; 2]>,
    ways: Vec<Way>,
    rng: fastrand::Rng,
}

#[derive(Clone, Copy)]
struct Way {
    to: [f64; 2],
    speed: f64,
    pause: f64,
}

impl Motion {
    pub(super) fn new(scenario: &Scenario, seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut places = Vec::with_capacity(scenario.nodes());
        for group in &scenario.groups {
            for _ in 0..group.count {
                places.push(match group.at {
                    None => anywhere(&mut rng, scenario.area),
                    Some(centre) => {
                        let (turn, far) = (rng.f64() * TAU, rng.f64().sqrt() * group.spread);
                        let at = [centre[0] + far * turn.cos(), centre[1] + far * turn.sin()];
                        [at[0].clamp(0.0, scenario.area[0]), at[1].clamp(0.0, scenario.area[1])]
                    }
                });
            }
        }
        let ways = places.iter().map(|at| Way { to: *at, speed: 0.0, pause: 0.0 }).collect();
        Self { places, ways, rng }
    }

    /// Everybody goes on for that long. O(nodes).
    pub(super) fn step(&mut self, scenario: &Scenario, time: Duration) {
        for group in &scenario.groups {
            let Some([least, most]) = group.speed else { continue };
            for node in group.first..group.first + group.count {
                let (place, way) = (&mut self.places[node], &mut self.ways[node]);
                let mut left = time.as_secs_f64();
                if way.pause > 0.0 {
                    let rest = way.pause.min(left);
                    way.pause -= rest;
                    left -= rest;
                }
                if left <= 0.0 {
                    continue;
                }
                let (dx, dy) = (way.to[0] - place[0], way.to[1] - place[1]);
                let far = dx.hypot(dy);
                let step = way.speed * left;
                if far > step && step > 0.0 {
                    *place = [place[0] + dx * step / far, place[1] + dy * step / far];
                    continue;
                }
                *place = way.to;
                let speed = least + (most - least) * self.rng.f64();
                // What comes to stand at a speed of nothing would never go on.
                let speed = speed.max(most / 1e3);
                let to = anywhere(&mut self.rng, scenario.area);
                *way = Way { to, speed, pause: group.pause.as_secs_f64() };
            }
        }
    }
}

fn anywhere(rng: &mut fastrand::Rng, [width, height]: [f64; 2]) -> [f64; 2] {
    [rng.f64() * width, rng.f64() * height]
}

/// Pairs of points that are no farther apart than `range`, the lower number first, nearest first;
/// `None` when there are more than `most`. O(n log n) for points of bounded density: only
/// neighbouring cells of a grid are looked at.
pub(super) fn near(
    places: &[[f64; 2]],
    among: &[usize],
    range: f64,
    most: usize,
) -> Option<Vec<(usize, usize)>> {
    let cell_of = |at: &[f64; 2]| ((at[0] / range) as i64, (at[1] / range) as i64);
    let mut cells: Vec<((i64, i64), usize)> =
        among.iter().map(|node| (cell_of(&places[*node]), *node)).collect();
    cells.sort_unstable();
    let inside = |cell: (i64, i64)| {
        let begin = cells.partition_point(|(other, _)| *other < cell);
        cells[begin..].iter().take_while(move |(other, _)| *other == cell)
    };
    let mut found = Vec::new();
    for (cell, node) in &cells {
        for dx in -1..=1 {
            for dy in -1..=1 {
                for (_, other) in inside((cell.0 + dx, cell.1 + dy)) {
                    let ([x, y], [u, v]) = (places[*node], places[*other]);
                    let far = (x - u).hypot(y - v);
                    if node < other && far <= range {
                        if found.len() == most {
                            return None;
                        }
                        found.push((far, *node, *other));
                    }
                }
            }
        }
    }
    found.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then((a.1, a.2).cmp(&(b.1, b.2))));
    Some(found.into_iter().map(|(_, a, b)| (a, b)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_pairs_are_those_of_every_pair() {
        let mut rng = fastrand::Rng::with_seed(4);
        let places: Vec<[f64; 2]> = (0..200).map(|_| anywhere(&mut rng, [90.0, 40.0])).collect();
        let among: Vec<usize> = (0..200).filter(|node| node % 5 != 0).collect();
        let far = |(a, b): (usize, usize)| {
            (places[a][0] - places[b][0]).hypot(places[a][1] - places[b][1])
        };
        let found = near(&places, &among, 7.0, 10_000).unwrap();
        assert!(found.windows(2).all(|pair| far(pair[0]) <= far(pair[1])));
        let mut found = found;
        found.sort_unstable();
        let mut all = Vec::new();
        for a in &among {
            all.extend(among.iter().map(|b| (*a, *b)).filter(|(a, b)| a < b));
        }
        all.retain(|pair| far(*pair) <= 7.0);
        assert!(all.len() > 50, "{}", all.len());
        assert_eq!(found, all);
        assert_eq!(near(&places, &among, 7.0, all.len()).map(|pairs| pairs.len()), Some(all.len()));
        assert_eq!(near(&places, &among, 7.0, all.len() - 1), None);
    }
}
