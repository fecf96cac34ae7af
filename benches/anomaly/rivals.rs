//! Other detectors: the first design's, what is usual in monitoring, NAB's baseline and random cuts.

use std::collections::VecDeque;

use bitcraps_types::Timestamp;
use fastrand::Rng;
use krcf::{RandomCutForest, RandomCutForestOptions};

use super::cuts::Forest;

/// Values that random cuts look at together.
const SHINGLE: usize = 4;

type Values = [(Timestamp, f64)];
/// Name, scores of a series, and the thresholds that are tried.
type Rival = (&'static str, Box<dyn Fn(&Values) -> Vec<f64>>, Vec<f64>);

pub(super) fn all(seed: u64) -> Vec<Rival> {
    let steps = |from: f64, by: f64, count: u32| -> Vec<f64> {
        (0..count).map(|step| from + by * f64::from(step)).collect()
    };
    let deviations = steps(1.0, 0.25, 60);
    let cuts = Box::new(move |values: &Values| forest(values, &mut Rng::with_seed(seed)));
    let published = Box::new(move |values: &Values| krcf(values, seed));
    vec![
        ("2-sigma, window 60", Box::new(|values: &Values| sigma(values, 60)), vec![2.0]),
        ("sigma, window 60", Box::new(|values: &Values| sigma(values, 60)), deviations.clone()),
        ("EWMA 0.05", Box::new(ewma), deviations.clone()),
        ("windowed Gaussian", Box::new(gaussian), deviations),
        ("random cuts of 4 values", cuts, steps(0.4, 0.005, 100)),
        ("krcf 0.4, random cut forest", published, steps(0.5, 0.05, 100)),
    ]
}

/// Of mean 0 and deviation 1 (Box and Muller 1958).
pub(super) fn normal(rng: &mut Rng) -> f64 {
    (-2.0 * (1.0 - rng.f64()).ln()).sqrt() * (std::f64::consts::TAU * rng.f64()).cos()
}

fn moments<'a>(values: impl Iterator<Item = &'a f64> + Clone) -> (f64, f64) {
    let count = values.clone().count().max(1) as f64;
    let mean = values.clone().sum::<f64>() / count;
    let variance = values.map(|value| (value - mean).powi(2)).sum::<f64>() / count;
    (mean, variance.sqrt().max(1e-6))
}

/// Deviations from the mean of the last values.
fn sigma(values: &Values, window: usize) -> Vec<f64> {
    let mut last: VecDeque<f64> = VecDeque::new();
    let score = |(_, value): &(Timestamp, f64)| {
        let (mean, deviation) = moments(last.iter());
        let score = if last.is_empty() { 0.0 } else { (value - mean).abs() / deviation };
        if last.len() == window {
            last.pop_front();
        }
        last.push_back(*value);
        score
    };
    values.iter().map(score).collect()
}

/// Deviations from an exponentially weighted mean, in units of the weighted deviation.
fn ewma(values: &Values) -> Vec<f64> {
    const WEIGHT: f64 = 0.05;
    let mut state: Option<(f64, f64)> = None;
    let score = |(_, value): &(Timestamp, f64)| {
        let Some((mean, variance)) = &mut state else {
            state = Some((*value, 0.0));
            return 0.0;
        };
        let off = value - *mean;
        let score = off.abs() / variance.sqrt().max(1e-6);
        *mean += WEIGHT * off;
        *variance = (1.0 - WEIGHT) * (*variance + WEIGHT * off * off);
        score
    };
    values.iter().map(score).collect()
}

/// NAB's baseline: a window of 6,400 that moves on by 100. Deviations, of which its likelihood is a
/// rising function.
fn gaussian(values: &Values) -> Vec<f64> {
    let mut window: Vec<f64> = Vec::new();
    let mut waiting: Vec<f64> = Vec::new();
    let mut known = (0.0, 1.0);
    let score = |(_, value): &(Timestamp, f64)| {
        let score = if window.is_empty() { 0.0 } else { (value - known.0).abs() / known.1 };
        if window.len() < 6_400 {
            window.push(*value);
            known = moments(window.iter());
        } else {
            waiting.push(*value);
            if waiting.len() == 100 {
                window.drain(..100);
                window.append(&mut waiting);
                known = moments(window.iter());
            }
        }
        score
    };
    values.iter().map(score).collect()
}

/// How easily random cuts tell the last four values from those before.
fn forest(values: &Values, rng: &mut Rng) -> Vec<f64> {
    const EVERY: usize = 64;
    let shingles: Vec<[f64; SHINGLE]> = (0..values.len())
        .map(|at| std::array::from_fn(|back| values[at.saturating_sub(back)].1))
        .collect();
    let mut forest = None;
    let score = |(at, shingle): (usize, &[f64; SHINGLE])| {
        if at >= EVERY && at.is_multiple_of(EVERY) {
            forest = Some(Forest::grown(&shingles[..at], rng));
        }
        forest.as_ref().map_or(0.0, |forest| forest.score(shingle))
    };
    shingles.iter().enumerate().map(score).collect()
}

/// The published forest, as it comes: shingles of 4 values, 50 trees of 256. A score is of the value
/// before it is learned; 0 before the forest is ready.
fn krcf(values: &Values, seed: u64) -> Vec<f64> {
    let options = RandomCutForestOptions {
        dimensions: 1,
        shingle_size: SHINGLE,
        num_trees: Some(50),
        sample_size: Some(256),
        output_after: Some(256),
        random_seed: Some(seed),
        internal_shingling: Some(true),
        ..RandomCutForestOptions::default()
    };
    let Ok(mut forest) = RandomCutForest::new(options) else { return vec![f64::NAN; values.len()] };
    let score = |(_, value): &(Timestamp, f64)| {
        let point = [*value as f32];
        let score = forest.score(&point).unwrap_or(f64::NAN);
        forest.update(&point).map_or(f64::NAN, |()| score)
    };
    values.iter().map(score).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rival_sees_a_spike() {
        let mut rng = Rng::with_seed(5);
        let mut values: Vec<(Timestamp, f64)> =
            (0..1_000).map(|_| (Timestamp::ZERO, normal(&mut rng))).collect();
        values[900].1 = 50.0;
        for (name, scorer, thresholds) in all(1) {
            let scores = scorer(&values);
            // The first values have nothing to be held against.
            let highest = (100..1_000).max_by(|a, b| scores[*a].total_cmp(&scores[*b]));
            assert!((900..904).contains(&highest.unwrap()), "{name}");
            assert!(thresholds.iter().any(|threshold| scores[900] > *threshold), "{name}");
        }
    }
}
