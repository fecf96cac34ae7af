//! What is unusual in a series, judged by its own past as it comes, and in all of them together.
//!
//! Three steps, after Lavin and Ahmad (2015) and Hochenbaum, Vallis and Kejariwal (2017): what the time
//! of day explains is taken away; what is left is measured in robust deviations; and how large those
//! are of late is compared with how large they have been for long. Raw deviations do not transfer from
//! one series to another, the comparison with a series' own past does. A single deviation counts as far
//! as it is new: spikes that come now and then are what the series does.

mod change;
mod novelty;
mod panel;
mod record;
mod season;
mod share;

use std::collections::VecDeque;

use bitcraps_types::Timestamp;
use novelty::Novelty;
pub use panel::Panel;
use season::Season;
pub(crate) use share::Share;

/// Values that say what is usual: a week of five-minute means, 2.8 hours of ticks.
const RECENT: usize = 2_016;
/// Deviations that say how far values usually stray: longer than an anomaly lasts.
const LONG: usize = 3_000;
/// Deviations of late.
const SHORT: usize = 8;
/// How many times the threshold a single deviation has to reach, and to be new by as much, to count
/// without waiting for others.
const SUDDEN: f64 = 2.0;
/// What is usual of late strays by so many of its own standard deviations before it counts as straying
/// by more than single deviations do: where each value resembles the one before.
const WANDERING: f64 = 2.5;
/// Values between two times that medians are taken anew, which is what costs.
const REFRESH: u64 = 12;
/// Until so many values were seen, medians are taken anew for each.
const EARLY: u64 = 50;
/// Values before anything is called unusual, at first and when the season begins to be used.
const WARM_UP: u64 = 120;
/// Values after the beginning of an anomaly within which others belong to it.
const EPISODE: u64 = 72;
/// Least scale of deviations: series that hardly stray at all.
const LEAST_SPREAD: f64 = 0.05;
/// The season is used when no more than this share of the median deviation is left with it.
const EXPLAINED: f64 = 0.8;
/// A median absolute deviation as a standard deviation of a normal distribution.
const MAD: f64 = 1.482_6;

/// What a value is, in the light of those before.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Verdict {
    /// How unusual the last values are, in standard deviations of their deviations' past; 0 while
    /// warming up.
    pub score: f64,
    /// The same within 0 to 1: a half at the threshold.
    pub severity: f64,
    /// What would have been usual.
    pub expected: f64,
    /// Whether an anomaly begins here.
    pub begins: bool,
    /// Whether one that began has not ended yet.
    pub lasts: bool,
}

/// Watches one series. Bounded: at most 232 KiB.
#[derive(Debug, Clone, PartialEq)]
pub struct Detector {
    /// Deviations below this mean nothing: the resolution of the series.
    resolution: f64,
    seen: u64,
    values: VecDeque<f64>,
    season: Season,
    /// Absolute deviations without and with the season taken away, while it is known.
    plain: VecDeque<f64>,
    seasonal: VecDeque<f64>,
    /// What was left of the last values, with the season taken away or not.
    residuals: VecDeque<f64>,
    /// Logarithms of residuals in units of their scale.
    strange: Moments,
    /// Means of the last [`SHORT`] of those.
    lates: Moments,
    novelty: Novelty,
    centre: f64,
    scale: f64,
    uses_season: bool,
    began: Option<u64>,
    lasts: bool,
}

impl Detector {
    /// Has seen nothing. Deviations smaller than `resolution` mean nothing, whatever the past says.
    pub fn new(resolution: f64) -> Self {
        Self {
            resolution: resolution.max(f64::MIN_POSITIVE),
            seen: 0,
            values: VecDeque::new(),
            season: Season::default(),
            plain: VecDeque::new(),
            seasonal: VecDeque::new(),
            residuals: VecDeque::new(),
            strange: Moments::default(),
            lates: Moments::default(),
            novelty: Novelty::default(),
            centre: 0.0,
            scale: 1.0,
            uses_season: false,
            began: None,
            lasts: false,
        }
    }

    /// Judges a value; `multiplier` is the score above which it is unusual. What is no number is
    /// left out and judged like nothing. O(1) but for every twelfth, which is O(window).
    pub fn observe(&mut self, value: f64, at: Timestamp, multiplier: f64) -> Verdict {
        let fresh = self.seen < EARLY || self.seen.is_multiple_of(REFRESH);
        if !value.is_finite() {
            return self.verdict(0.0, multiplier, self.centre);
        }
        if fresh {
            self.centre = median(self.values.iter().copied());
        }
        let seasonal = self.season.expected(at);
        if let Some(expected) = seasonal {
            push(&mut self.plain, (value - self.centre).abs(), RECENT);
            push(&mut self.seasonal, (value - expected).abs(), RECENT);
        }
        if fresh {
            let uses = self.season.is_worth_it(&self.plain, &self.seasonal);
            if uses && !self.uses_season {
                // What was strange by another yardstick says nothing by this one.
                self.residuals = self.seasonal.clone();
                (self.strange, self.lates) = (Moments::default(), Moments::default());
            }
            self.uses_season = uses;
        }
        let expected = seasonal.filter(|_| self.uses_season).unwrap_or(self.centre);
        push(&mut self.residuals, value - expected, RECENT);
        if fresh {
            self.scale = spread(&self.residuals).max(self.resolution);
        }
        let strangeness = ((value - expected).abs() / self.scale).ln_1p();
        let new = self.novelty.observe(value, self.resolution, fresh);
        let score = self.score(strangeness, new);
        push(&mut self.values, value, RECENT);
        self.season.learn(value, at);
        self.seen += 1;
        self.verdict(score, multiplier, expected)
    }

    fn score(&mut self, strangeness: f64, new: f64) -> f64 {
        self.strange.push(strangeness);
        let mean = self.strange.mean();
        let spread = self.strange.deviation().max(LEAST_SPREAD);
        let of_late = self.strange.values.iter().rev().take(SHORT);
        let late = of_late.clone().sum::<f64>() / of_late.count() as f64;
        let wandering = spread.max(WANDERING * self.lates.deviation());
        self.lates.push(late);
        let sudden = strangeness.min(new);
        ((late - mean) / wandering).max((sudden - mean) / spread / SUDDEN)
    }

    fn verdict(&mut self, score: f64, multiplier: f64, expected: f64) -> Verdict {
        let warm = self.strange.values.len() as u64 > WARM_UP;
        let unusual = warm && score > multiplier;
        let within = self.began.is_some_and(|began| self.seen - began <= EPISODE);
        let begins = unusual && !within;
        if begins {
            self.began = Some(self.seen);
        }
        self.lasts = begins || (self.lasts && unusual);
        let score = if warm { score.max(0.0) } else { 0.0 };
        let severity = score / (score + multiplier.max(f64::MIN_POSITIVE));
        Verdict { score, severity, expected, begins, lasts: self.lasts }
    }
}

/// The last [`LONG`] values, with their mean and deviation at hand.
#[derive(Debug, Clone, PartialEq, Default)]
struct Moments {
    values: VecDeque<f64>,
    sum: f64,
    squares: f64,
}

impl Moments {
    fn push(&mut self, value: f64) {
        if self.values.len() == LONG {
            let oldest = self.values.pop_front().unwrap_or_default();
            self.sum -= oldest;
            self.squares -= oldest * oldest;
        }
        self.values.push_back(value);
        self.sum += value;
        self.squares += value * value;
    }

    fn mean(&self) -> f64 {
        self.sum / self.values.len().max(1) as f64
    }

    /// Standard deviation; what rounding leaves of none is none.
    fn deviation(&self) -> f64 {
        let mean = self.mean();
        (self.squares / self.values.len().max(1) as f64 - mean * mean).max(0.0).sqrt()
    }
}

/// Adds to a window of bounded length.
fn push(window: &mut VecDeque<f64>, value: f64, most: usize) {
    if window.len() == most {
        window.pop_front();
    }
    window.push_back(value);
}

/// The upper median; 0 of nothing. O(n).
fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    let middle = values.len() / 2;
    if values.is_empty() {
        return 0.0;
    }
    *values.select_nth_unstable_by(middle, f64::total_cmp).1
}

/// Robust scale about zero, but no less than a tenth of the root mean square: a series that rests and
/// then jumps now and then has no median deviation to speak of.
fn spread(residuals: &VecDeque<f64>) -> f64 {
    let square = residuals.iter().map(|r| r * r).sum::<f64>() / residuals.len().max(1) as f64;
    (MAD * median(residuals.iter().map(|r| r.abs()))).max(0.1 * square.sqrt())
}

#[cfg(test)]
mod tests;
