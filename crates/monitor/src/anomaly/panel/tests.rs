use std::time::Duration;

use super::*;

type Values = [Option<f64>; Measure::COUNT];

/// Of mean 0 and deviation 1 (Box and Muller 1958).
fn normal(rng: &mut fastrand::Rng) -> f64 {
    (-2.0 * (1.0 - rng.f64()).ln()).sqrt() * (std::f64::consts::TAU * rng.f64()).cos()
}

/// Every measure noise about ten, in units of ten times its resolution; counts walk about.
struct Node {
    rng: fastrand::Rng,
    at: Timestamp,
    counts: [f64; Measure::COUNT],
}

impl Node {
    fn new(seed: u64) -> Self {
        let counts = [20.0; Measure::COUNT];
        Self { rng: fastrand::Rng::with_seed(seed), at: Timestamp::ZERO, counts }
    }

    fn look(&mut self) -> (Timestamp, Values) {
        self.at += Duration::from_secs(5);
        let values = Measure::ALL.map(|measure| {
            if !measure.is_count() {
                return Some((10.0 + normal(&mut self.rng)) * 10.0 * measure.resolution());
            }
            let count = &mut self.counts[measure.index()];
            if self.rng.u8(..50) == 0 {
                *count += if self.rng.f64() < 0.5 + (20.0 - *count) / 20.0 { 1.0 } else { -1.0 };
            }
            Some(*count)
        });
        (self.at, values)
    }
}

/// Looks in which an anomaly begins, when `change` changes what is seen.
fn begins(
    seed: u64,
    looks: usize,
    multiplier: f64,
    change: impl Fn(usize, &mut Values),
) -> Vec<(usize, Measure)> {
    let (mut node, mut panel) = (Node::new(seed), Panel::default());
    let mut found = Vec::new();
    for look in 0..looks {
        let (at, mut values) = node.look();
        change(look, &mut values);
        let unusual = panel.observe(&values, at, multiplier);
        let begin = unusual.iter().filter(|(_, verdict)| verdict.begins);
        found.extend(begin.map(|(measure, _)| (look, *measure)));
    }
    found
}

#[test]
fn a_node_that_nothing_ails_tells_nothing_for_two_days() {
    assert_eq!(begins(51, 2 * 17_280, 2.0, |_, _| {}), []);
}

#[test]
fn what_breaks_at_once_is_found_in_its_second_look_and_told_once() {
    let latency = Measure::LinkLatency;
    let slow = |look: usize, values: &mut Values| {
        if look >= 1_000 {
            values[latency.index()] = Some(30.0 * 10.0 * latency.resolution());
        }
    };
    assert_eq!(begins(52, 1_300, 2.0, slow), [(1_001, latency)]);
    // In one look alone it is nothing.
    let once = |look: usize, values: &mut Values| {
        if look == 1_000 {
            slow(look, values);
        }
    };
    assert_eq!(begins(52, 1_300, 2.0, once), []);
    // And nothing to who asks for more.
    assert_eq!(begins(52, 1_300, 20.0, slow), []);
}

/// When an anomaly begins, of so many measures that stray by so many deviations from look 1,000 on.
fn strayed(seed: u64, measures: usize, deviations: f64, looks: usize) -> Vec<(usize, Measure)> {
    begins(seed, looks, 2.0, |look, values| {
        if look >= 1_000 {
            let some = Measure::ALL.into_iter().filter(|measure| !measure.is_count());
            for measure in some.take(measures) {
                let value = &mut values[measure.index()];
                *value = value.map(|value| value + deviations * 10.0 * measure.resolution());
            }
        }
    })
}

/// Noise of its own each.
const SEEDS: std::ops::Range<u64> = 60..85;

#[test]
fn what_no_measure_shows_by_itself_all_of_them_show_together() {
    for seed in SEEDS {
        assert_eq!(strayed(seed, 1, 4.0, 1_004), []);
        let together = strayed(seed, 12, 4.0, 1_004);
        assert!(matches!(together[..], [(1_001..=1_003, _)]), "{seed}: {together:?}");
    }
}

#[test]
fn what_few_looks_show_is_found_more_often_when_it_lasts() {
    let found = |looks| {
        let found = SEEDS.map(|seed| strayed(seed, 1, 5.0, looks));
        let found: Vec<_> = found.filter(|found| !found.is_empty()).collect();
        let right = |found: &Vec<_>| matches!(found[..], [(1_001.., Measure::Clustering)]);
        assert!(found.iter().all(right), "{found:?}");
        found.len()
    };
    let (soon, later) = (found(1_004), found(1_020));
    assert!(soon <= 12 && later >= soon + 4, "{soon} and {later} of 25");
}

#[test]
fn a_count_that_never_moved_may_move_by_a_few() {
    let grows = |by: f64| {
        begins(55, 1_100, 2.0, move |look, values| {
            let peers = if look >= 1_000 { 12.0 + by } else { 12.0 };
            values[Measure::Peers.index()] = Some(peers);
        })
    };
    assert_eq!(grows(3.0), []);
    assert_eq!(grows(25.0), [(1_001, Measure::Peers)]);
}

#[test]
fn a_share_that_rested_may_fall_by_what_nobody_minds() {
    let falls = |by: f64| {
        let found = begins(58, 1_100, 2.0, move |look, values| {
            let share = if look >= 1_000 { 1.0 - by } else { 1.0 };
            values[Measure::DeliveryRealtime.index()] = Some(share);
        });
        found.into_iter().map(|(_, measure)| measure).collect::<Vec<_>>()
    };
    // Of thirty messages two.
    assert_eq!(falls(0.067), []);
    assert_eq!(falls(0.4), [Measure::DeliveryRealtime]);
}

#[test]
fn nothing_is_told_while_warming_up_nor_of_what_is_no_number() {
    let at = |first: usize| {
        move |look: usize, values: &mut Values| {
            if look >= first {
                values[Measure::LinkReliability.index()] = Some(9e9);
            }
        }
    };
    let warm = WARM_UP as usize;
    assert_eq!(begins(56, warm, 2.0, at(warm - 20)), []);
    assert_eq!(begins(56, warm + 20, 2.0, at(warm)), [(warm + 1, Measure::LinkReliability)]);
    let holes = begins(57, 600, 2.0, |look, values| {
        if look % 2 == 0 {
            *values = [Some(f64::NAN); Measure::COUNT];
        }
    });
    assert_eq!(holes, []);
}
