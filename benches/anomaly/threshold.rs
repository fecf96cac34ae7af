//! What detectors earn at thresholds that are chosen without the series they are judged on, and at the
//! best ones afterwards.

use super::series::{Score, Series};

/// Values after an alert that belong to it, as the monitor's detector has it: six hours of five minutes.
const EPISODE: usize = 72;

/// What counts as an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Telling {
    /// Every value above the threshold, as NAB counts.
    Each,
    /// The first of an episode, as people are told.
    Once,
}

impl Telling {
    pub(super) const ALL: [Self; 2] = [Self::Each, Self::Once];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Each => "each find counts",
            Self::Once => "told once",
        }
    }

    /// Which values are alerts.
    pub(super) fn alerts(self, scores: &[f64], threshold: f64) -> Vec<bool> {
        let mut last: Option<usize> = None;
        let alert = |(place, score): (usize, &f64)| {
            let within = self == Self::Once && last.is_some_and(|last| place - last <= EPISODE);
            let alerts = *score > threshold && !within;
            if alerts {
                last = Some(place);
            }
            alerts
        };
        scores.iter().enumerate().map(alert).collect()
    }
}

/// NAB's standard scores by how the threshold was found.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Standards {
    /// Fixed before any series was seen.
    pub(super) fixed: f64,
    /// For each series, the best one for all others.
    pub(super) others: f64,
    /// The best one for these very series.
    pub(super) best: f64,
}

impl Standards {
    /// The mean of several.
    pub(super) fn mean(all: &[Self]) -> Self {
        let mean = |of: fn(&Self) -> f64| all.iter().map(of).sum::<f64>() / all.len().max(1) as f64;
        Self { fixed: mean(|s| s.fixed), others: mean(|s| s.others), best: mean(|s| s.best) }
    }

    /// Of series with the scores of each value; `thresholds` are tried in turn, of equal ones the first
    /// is taken.
    pub(super) fn of(
        series: &[Series],
        scores: &[Vec<f64>],
        telling: Telling,
        thresholds: &[f64],
        fixed: f64,
    ) -> Self {
        let at = |threshold: f64| -> Vec<Score> {
            let judged = series.iter().zip(scores);
            judged.map(|(s, scores)| s.score(&telling.alerts(scores, threshold))).collect()
        };
        let earned: Vec<Vec<Score>> = thresholds.iter().map(|threshold| at(*threshold)).collect();
        let without = |scores: &[Score], left_out: Option<usize>| -> f64 {
            let kept = scores.iter().enumerate().filter(|(place, _)| Some(*place) != left_out);
            kept.map(|(_, score)| *score).sum::<Score>().standard()
        };
        let best = |left_out: Option<usize>| -> Option<&Vec<Score>> {
            let rising = |a: &&Vec<Score>, b: &&Vec<Score>| {
                without(a, left_out).total_cmp(&without(b, left_out))
            };
            // Of equal ones the last would be taken.
            earned.iter().rev().max_by(rising)
        };
        let others = (0..series.len()).filter_map(|place| Some(best(Some(place))?[place]));
        Self {
            fixed: without(&at(fixed), None),
            others: others.sum::<Score>().standard(),
            best: best(None).map_or(f64::NAN, |scores| without(scores, None)),
        }
    }
}

/// The lowest threshold at which noise makes no more alerts than that; the highest when none is.
pub(super) fn calm(noise: &[Vec<f64>], thresholds: &[f64], most: usize) -> f64 {
    let alerts = |threshold: f64| -> usize {
        let told = noise.iter().map(|scores| Telling::Once.alerts(scores, threshold));
        told.map(|alerts| alerts.into_iter().filter(|alert| *alert).count()).sum()
    };
    let calm = thresholds.iter().copied().find(|threshold| alerts(*threshold) <= most);
    calm.or(thresholds.last().copied()).unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_episode_is_told_once_and_each_find_counts_otherwise() {
        let mut scores = vec![0.0; 200];
        for place in [10, 11, 82, 83, 150] {
            scores[place] = 3.0;
        }
        let places = |telling: Telling, threshold| -> Vec<usize> {
            let alerts = telling.alerts(&scores, threshold);
            (0..200).filter(|place| alerts[*place]).collect()
        };
        assert_eq!(places(Telling::Each, 2.0), [10, 11, 82, 83, 150]);
        assert_eq!(places(Telling::Once, 2.0), [10, 83]);
        assert!(places(Telling::Once, 3.0).is_empty());
    }

    #[test]
    fn the_lowest_threshold_that_is_calm_is_taken() {
        let noise = vec![vec![1.0, 2.0], vec![3.0]];
        let thresholds = [0.5, 1.5, 2.5, 3.5];
        assert_eq!([0, 1, 2].map(|most| calm(&noise, &thresholds, most)), [3.5, 2.5, 0.5]);
        assert_eq!(calm(&noise, &thresholds[..2], 0), 1.5);
    }

    #[test]
    fn no_series_has_a_say_in_the_threshold_it_is_judged_at() {
        // Two whose anomaly scores 5, with chance up to 3, and one with an anomaly of 2 and no chance.
        let loud = Series::flat(100, &[(50, 59)]);
        let (mut scores, mut quiet) = (vec![0.0; 100], vec![0.0; 100]);
        (scores[50], scores[80], quiet[50]) = (5.0, 3.0, 2.0);
        let series = [loud.clone(), loud.clone(), loud];
        let scores = [scores.clone(), scores, quiet];
        let of = |fixed| Standards::of(&series, &scores, Telling::Each, &[1.0, 2.5, 4.0], fixed);
        let earned = of(4.0);
        // At 1, all are found and 3 has no cost but near the end of the window: 80 is beyond its reach.
        assert!((earned.best - (100.0 - 2.0 * 100.0 * 0.11 / 6.0)).abs() < 0.1, "{earned:?}");
        assert!((earned.fixed - 100.0 * 2.0 / 3.0).abs() < 0.1, "{earned:?}");
        // The quiet one is judged at what is best for the loud ones, and missed.
        assert!(earned.others < earned.best - 20.0, "{earned:?}");
        assert_eq!(of(1.0).fixed, earned.best);
    }
}
