use std::collections::VecDeque;
use std::time::Duration;

use bitcraps_types::Timestamp;
use serde::{Deserialize, Serialize};

/// Forecasts that wait for their outcome, at most: one a tick through the longest horizon.
const MAX_WAITING: usize = 1_024;
/// How far one outcome moves the map.
const RATE: f64 = 0.03;
/// How strongly the map is drawn back to leaving forecasts as they are.
const RETURN: f64 = 0.000_05;
/// Weight of the latest outcome in the running scores.
const LATEST: f64 = 0.01;
/// Odds beyond this, as a logarithm, are not told apart.
const SURE: f64 = 7.0;

fn logit(probability: f64) -> f64 {
    let probability = probability.clamp(1e-9, 1.0 - 1e-9);
    (probability / (1.0 - probability)).ln().clamp(-SURE, SURE)
}

fn logistic(odds: f64) -> f64 {
    1.0 / (1.0 + (-odds).exp())
}

/// How good forecasts have been.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Skill {
    /// Forecasts whose outcome is known.
    pub judged: u64,
    /// Share of them in which the split came.
    pub frequency: f64,
    /// Mean squared error, the latest counting most (Brier 1950).
    pub brier: f64,
    /// The same of always saying how often it came so far.
    pub climatology: f64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Waiting {
    due: Timestamp,
    odds: f64,
    told: f64,
    split: bool,
}

/// A map from the probabilities of a model to those that come true, learned as outcomes come: Platt's
/// (1999), by stochastic gradient descent on the logarithmic loss.
#[derive(Debug, Clone, PartialEq)]
pub struct Calibration {
    offset: f64,
    slope: f64,
    waiting: VecDeque<Waiting>,
    skill: Skill,
}

impl Default for Calibration {
    fn default() -> Self {
        Self { offset: 0.0, slope: 1.0, waiting: VecDeque::new(), skill: Skill::default() }
    }
}

impl Calibration {
    /// The probability that is to be told for one that a model gives.
    pub fn of(&self, probability: f64) -> f64 {
        if self.skill.judged == 0 {
            return probability;
        }
        logistic(self.offset + self.slope * logit(probability))
    }

    /// A model gave a probability that the network splits within `horizon`. When as many wait as may,
    /// it is not judged.
    pub fn forecast(&mut self, probability: f64, horizon: Duration, now: Timestamp) {
        if self.waiting.len() < MAX_WAITING {
            let (odds, told) = (logit(probability), self.of(probability));
            self.waiting.push_back(Waiting { due: now + horizon, odds, told, split: false });
        }
    }

    /// Whether the network is split at `now`. O(waiting).
    pub fn observe(&mut self, split: bool, now: Timestamp) {
        while let Some(waiting) = self.waiting.front().copied().filter(|waiting| waiting.due < now)
        {
            self.waiting.pop_front();
            self.judge(waiting);
        }
        if split {
            self.waiting.iter_mut().for_each(|waiting| waiting.split = true);
        }
    }

    fn judge(&mut self, Waiting { odds, told, split, .. }: Waiting) {
        let outcome = f64::from(split);
        let skill = &mut self.skill;
        let weight = LATEST.max(1.0 / (skill.judged + 1) as f64);
        let blend = |mean: &mut f64, value: f64| *mean += weight * (value - *mean);
        let before = if skill.judged == 0 { 0.5 } else { skill.frequency };
        blend(&mut skill.brier, (told - outcome).powi(2));
        blend(&mut skill.climatology, (before - outcome).powi(2));
        blend(&mut skill.frequency, outcome);
        skill.judged += 1;
        let error = outcome - logistic(self.offset + self.slope * odds);
        self.offset += RATE * error - RETURN * self.offset;
        self.slope += RATE * error * odds / SURE - RETURN * (self.slope - 1.0);
        // A map that falls would call what is likely unlikely.
        self.slope = self.slope.max(0.0);
    }

    /// How good it has been.
    pub const fn skill(&self) -> Skill {
        self.skill
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds forecasts of a model to a calibration, when the event comes with `truth(forecast)`.
    fn learned(truth: impl Fn(f64) -> f64) -> Calibration {
        let mut calibration = Calibration::default();
        let mut rng = fastrand::Rng::with_seed(41);
        for tick in 0..20_000_u64 {
            let now = Timestamp::from_millis(tick * 1_000);
            let probability = [0.05, 0.2, 0.5, 0.8][rng.usize(..4)];
            calibration.forecast(probability, Duration::from_millis(500), now);
            let split = rng.f64() < truth(probability);
            calibration.observe(split, now + Duration::from_millis(500));
            calibration.observe(false, now + Duration::from_millis(900));
        }
        calibration
    }

    #[test]
    fn what_is_right_stays_and_what_is_too_high_comes_down() {
        let right = learned(|probability| probability);
        let high = learned(|probability| probability / 4.0);
        for probability in [0.05, 0.2, 0.5, 0.8] {
            let told = right.of(probability);
            assert!((told - probability).abs() < 0.07, "{probability}: {told}");
        }
        assert!((high.of(0.8) - 0.2).abs() < 0.12, "{}", high.of(0.8));
        assert!(high.of(0.2) < 0.1 && high.of(0.2) < high.of(0.5));
        let skill = right.skill();
        assert_eq!(skill.judged, 20_000);
        assert!(skill.brier < skill.climatology, "{skill:?}");
    }

    #[test]
    fn before_any_outcome_a_forecast_is_told_as_it_is() {
        let mut calibration = Calibration::default();
        assert_eq!(calibration.of(0.25), 0.25);
        let at = |second: u64| Timestamp::from_millis(second * 1_000);
        calibration.forecast(0.25, Duration::from_secs(10), at(0));
        calibration.observe(false, at(10));
        assert_eq!(calibration.skill().judged, 0, "the horizon is not over");
        calibration.observe(true, at(11));
        let skill = calibration.skill();
        assert_eq!((skill.judged, skill.frequency, skill.brier), (1, 0.0, 0.0625));
    }

    #[test]
    fn a_split_within_the_horizon_counts_at_its_last_moment_too() {
        let mut calibration = Calibration::default();
        let at = |second: u64| Timestamp::from_millis(second * 1_000);
        calibration.forecast(0.5, Duration::from_secs(10), at(0));
        calibration.observe(true, at(10));
        calibration.observe(false, at(20));
        assert_eq!(calibration.skill().frequency, 1.0);
    }

    #[test]
    fn waiting_forecasts_are_bounded() {
        let mut calibration = Calibration::default();
        for _ in 0..5_000 {
            calibration.forecast(0.5, Duration::from_secs(10), Timestamp::ZERO);
        }
        assert_eq!(calibration.waiting.len(), MAX_WAITING);
    }
}
