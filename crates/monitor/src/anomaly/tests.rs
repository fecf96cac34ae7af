use std::time::Duration;

use super::*;

const TICK: Duration = Duration::from_secs(5);

const NONE: [usize; 0] = [];

/// Of mean 0 and deviation 1 (Box and Muller 1958).
fn normal(rng: &mut fastrand::Rng) -> f64 {
    (-2.0 * (1.0 - rng.f64()).ln()).sqrt() * (std::f64::consts::TAU * rng.f64()).cos()
}

/// Begins of anomalies in a series of ticks, by their number.
fn begins(multiplier: f64, step: Duration, values: impl Iterator<Item = f64>) -> Vec<usize> {
    let mut detector = Detector::new(1e-9);
    let mut at = Timestamp::ZERO;
    let verdicts = values.map(|value| {
        at += step;
        detector.observe(value, at, multiplier)
    });
    verdicts.enumerate().filter(|(_, verdict)| verdict.begins).map(|(number, _)| number).collect()
}

#[test]
fn noise_of_any_colour_is_no_anomaly() {
    for memory in [0.0, 0.5, 0.9] {
        let mut rng = fastrand::Rng::with_seed(31);
        let mut state = 0.0;
        let noise = (0..3 * 17_280).map(|_| {
            state = memory * state + (1.0_f64 - memory * memory).sqrt() * normal(&mut rng);
            10.0 + state
        });
        assert_eq!(begins(2.0, TICK, noise), NONE, "memory {memory}");
    }
}

#[test]
fn a_shift_is_found_within_three_ticks_and_told_once() {
    for shift in [8.0, -8.0] {
        let mut rng = fastrand::Rng::with_seed(32);
        let series = (0..600).map(|tick| normal(&mut rng) + if tick >= 500 { shift } else { 0.0 });
        let found = begins(2.0, TICK, series);
        assert!(matches!(found[..], [500..=502]), "{shift}: {found:?}");
    }
}

#[test]
fn a_slow_shift_is_found_that_no_single_value_shows() {
    let mut rng = fastrand::Rng::with_seed(33);
    let noise: Vec<f64> = (0..1_200).map(|_| normal(&mut rng)).collect();
    let shifted = noise.iter().enumerate().map(|(t, x)| if t >= 1_000 { x + 3.5 } else { *x });
    let found = begins(2.0, TICK, shifted);
    assert!(matches!(found[..], [1_000..=1_012]), "{found:?}");
}

#[test]
fn a_daily_course_is_usual_and_its_absence_is_not() {
    let mut rng = fastrand::Rng::with_seed(34);
    let step = Duration::from_secs(300);
    let day = |tick: usize| if (108..216).contains(&(tick % 288)) { 80.0 } else { 20.0 };
    let noise: Vec<f64> = (0..10 * 288).map(|_| 3.0 * normal(&mut rng)).collect();
    let usual = noise.iter().enumerate().map(|(tick, noise)| day(tick) + noise);
    let found = begins(2.0, step, usual);
    assert!(found.iter().all(|tick| *tick < 2 * 288 + 60), "{found:?}");
    // On the ninth day nothing happens.
    let idle = 8 * 288..9 * 288;
    let unusual = noise
        .iter()
        .enumerate()
        .map(|(tick, noise)| if idle.contains(&tick) { 20.0 + noise } else { day(tick) + noise });
    let found: Vec<usize> =
        begins(2.0, step, unusual).into_iter().filter(|t| *t > 7 * 288).collect();
    assert!(
        found.first().is_some_and(|tick| (8 * 288 + 108..8 * 288 + 120).contains(tick)),
        "{found:?}"
    );
}

#[test]
fn the_multiplier_is_obeyed() {
    let series = || {
        let mut rng = fastrand::Rng::with_seed(35);
        (0..5_000).map(move |_| normal(&mut rng)).collect::<Vec<_>>()
    };
    let count = |multiplier| begins(multiplier, TICK, series().into_iter()).len();
    assert!(count(1.0) > count(1.5), "{} and {}", count(1.0), count(1.5));
    assert_eq!(count(100.0), 0);
}

#[test]
fn nothing_is_told_while_warming_up_nor_of_what_is_no_number() {
    let spike = |at: u64| (0..400).map(move |tick| if tick == at { 100.0 } else { 0.0 });
    assert_eq!(begins(2.0, TICK, spike(WARM_UP - 10)), NONE);
    assert_eq!(begins(2.0, TICK, spike(WARM_UP)), [WARM_UP as usize]);
    let holes = (0..1_000).map(|tick| if tick % 3 == 0 { f64::NAN } else { 1.0 });
    assert_eq!(begins(2.0, TICK, holes), NONE);
}

#[test]
fn deviations_below_the_resolution_mean_nothing() {
    let series = |height: f64| (0..400).map(move |tick| if tick >= 300 { height } else { 0.0 });
    let found = |height| {
        let mut detector = Detector::new(1.0);
        let verdicts = series(height).map(|value| detector.observe(value, Timestamp::ZERO, 2.0));
        verdicts.filter(|verdict| verdict.begins).count()
    };
    assert_eq!((found(0.1), found(3.0)), (0, 1));
}

#[test]
fn severity_is_bounded_and_a_half_at_the_threshold() {
    let mut detector = Detector::new(1e-9);
    for tick in 0..500 {
        let value = if tick == 499 { f64::MAX / 4.0 } else { f64::from(tick % 7) };
        let verdict = detector.observe(value, Timestamp::ZERO, 2.0);
        assert!((0.0..=1.0).contains(&verdict.severity), "{verdict:?}");
        assert_eq!(verdict.score > 2.0, verdict.severity > 0.5);
    }
}

#[test]
fn windows_are_bounded() {
    let mut detector = Detector::new(1e-9);
    for tick in 0..20_000_u64 {
        let at = Timestamp::from_millis(tick * 60_000);
        detector.observe((tick % 13) as f64, at, 2.0);
    }
    assert_eq!(detector.values.len(), RECENT);
    assert_eq!((detector.plain.len(), detector.seasonal.len()), (RECENT, RECENT));
    assert_eq!((detector.strange.values.len(), detector.lates.values.len()), (LONG, LONG));
    // Sums that are carried on are those of the window.
    let sum: f64 = detector.strange.values.iter().sum();
    assert!((sum - detector.strange.sum).abs() < 1e-6);
}
