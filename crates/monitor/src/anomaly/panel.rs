use std::collections::VecDeque;

use bitcraps_types::Timestamp;

use super::change::{Change, LATE};
use super::record::Record;
use super::{Detector, Verdict, median, push};
use crate::Measure;

/// The multiplier that bounds are for.
const USUAL: f64 = 2.0;
/// Looks before anything is called unusual.
const WARM_UP: u64 = 240;
/// What a measure says is cut off at so many times what chance makes of it: nobody is convinced by a
/// single witness, however loud.
const LOUD: f64 = 1.5;
/// Alarms of chance come from moves of single measures, from their deviations that last, and from all
/// moves together: each of the first two kinds may give a quarter, the last one half.
const QUARTERS: usize = 4;
const HALVES: usize = 2;
/// The highest of a block before any was seen, in the mean and in deviation: of moves that are normal,
/// of scores of noise, and of sums of squares of what moves are of their bounds.
const MOVES: Record = Record::supposing(2.6, 0.45);
const SCORES: Record = Record::supposing(1.3, 0.3);
const SUMS: Record = Record::supposing(1.0, 0.5);
/// Moves of fewer times what a measure usually moves, or its resolution, are never unusual, and neither is
/// what strays by fewer times its resolution: in a network that has rested for long, every move is the
/// first, and of thirty messages one that is lost is no news.
const LEAST_MOVE: f64 = 4.0;
/// Looks after the beginning of an anomaly within which others belong to it.
const EPISODE: u64 = 60;

/// What watches one measure.
#[derive(Debug, Clone, PartialEq)]
struct Witness {
    /// Of its measure.
    resolution: f64,
    /// Not of what is counted: where peers come and go, counts stray for as long as they like.
    detector: Option<Detector>,
    /// Its last scores: two of three have to be high.
    late: VecDeque<f64>,
    scores: Record,
    change: Change,
    moves: Record,
    lasts: bool,
}

/// Everything that a node measures, judged together: what is unusual is unusual for one measure by far,
/// or for several at once, by what chance has made of them all in the past.
///
/// Two questions are put to each measure: whether it has moved from where it stood for the last two
/// minutes, and, unless it is counted, whether it strays for longer than it ever does from what is
/// usual at this time of the day ([`Detector`]).
#[derive(Debug, Clone, PartialEq)]
pub struct Panel {
    /// In the order of [`Measure::ALL`].
    witnesses: Vec<Witness>,
    together: Record,
    looks: u64,
    /// Whether all together are unusual.
    lasts: bool,
    began: Option<u64>,
}

impl Default for Panel {
    fn default() -> Self {
        let witness = |measure: Measure| Witness {
            resolution: measure.resolution(),
            detector: (!measure.is_count()).then(|| Detector::new(measure.resolution())),
            late: VecDeque::new(),
            scores: SCORES,
            change: Change::new(measure.resolution()),
            moves: MOVES,
            lasts: false,
        };
        let witnesses = Measure::ALL.map(witness).into();
        Self { witnesses, together: SUMS, looks: 0, lasts: false, began: None }
    }
}

impl Witness {
    /// How far the value is beyond what chance makes of one of `series`: above 1 it is unusual. What its
    /// move says of that, and what would be usual.
    fn hear(
        &mut self,
        value: f64,
        at: Timestamp,
        series: usize,
        multiplier: f64,
    ) -> (f64, f64, f64) {
        let strictness = multiplier / USUAL;
        let (mut lasting, mut expected) = (0.0, value);
        if let Some(detector) = &mut self.detector {
            let slow = detector.observe(value, at, multiplier);
            push(&mut self.late, slow.score, LATE);
            let score =
                if self.late.len() == LATE { median(self.late.iter().copied()) } else { 0.0 };
            let bound = self.scores.bound(series).max(USUAL);
            self.scores.push(score, bound);
            let strays = (value - slow.expected).abs() >= LEAST_MOVE * self.resolution;
            lasting = if strays { score / (bound * strictness) } else { 0.0 };
            expected = slow.expected;
        }
        let Some(moved) = self.change.observe(value) else { return (lasting, 0.0, expected) };
        let bound = self.moves.bound(series).max(LEAST_MOVE);
        self.moves.push(moved.far, bound);
        let sudden = moved.far / (bound * strictness);
        let expected = if sudden > lasting { moved.from } else { expected };
        (lasting.max(sudden), sudden, expected)
    }
}

impl Panel {
    /// Judges the next value of each measure, in the order of [`Measure::ALL`]; `None` where there is
    /// none, and what is no number counts as that. What is unusual, or has not ended; scores are in units
    /// of what chance makes of them in ten days, times `multiplier`, of which 2 is usual.
    pub fn observe(
        &mut self,
        values: &[Option<f64>; Measure::COUNT],
        at: Timestamp,
        multiplier: f64,
    ) -> Vec<(Measure, Verdict)> {
        self.looks += 1;
        let multiplier = multiplier.max(f64::MIN_POSITIVE);
        let series = QUARTERS * values.iter().flatten().count();
        let (mut sum, mut heard) = (0.0, Vec::new());
        for ((witness, value), measure) in self.witnesses.iter_mut().zip(values).zip(Measure::ALL) {
            let Some(value) = value.filter(|value| value.is_finite()) else {
                witness.lasts = false;
                continue;
            };
            let (beyond, sudden, expected) = witness.hear(value, at, series, multiplier);
            sum += sudden.min(LOUD).powi(2);
            heard.push((measure, beyond, expected));
        }
        let bound = self.together.bound(HALVES);
        self.together.push(sum, bound);
        let warm = self.looks > WARM_UP;
        let all = warm && sum > bound;
        // The one that has most to do with it stands for all.
        let most = heard.iter().max_by(|a, b| a.1.total_cmp(&b.1)).map(|most| most.0);
        let within = self.began.is_some_and(|began| self.looks - began <= EPISODE);
        let mut begins = !self.lasts && !within;
        let mut verdicts = Vec::new();
        for (measure, beyond, expected) in heard {
            let unusual = (warm && beyond > 1.0) || (all && most == Some(measure));
            self.witnesses[measure.index()].lasts = unusual;
            if unusual {
                let (score, severity) = (beyond * multiplier, beyond / (beyond + 1.0));
                let verdict = Verdict { score, severity, expected, begins, lasts: true };
                verdicts.push((measure, verdict));
                // One anomaly, of which others are a part.
                begins = false;
            }
        }
        self.lasts = !verdicts.is_empty();
        if verdicts.iter().any(|(_, verdict)| verdict.begins) {
            self.began = Some(self.looks);
        }
        verdicts
    }

    /// The measures whose anomaly has not ended yet.
    pub fn lasting(&self) -> impl Iterator<Item = Measure> + '_ {
        let witnesses = self.witnesses.iter().zip(Measure::ALL);
        witnesses.filter(|(witness, _)| witness.lasts).map(|(_, measure)| measure)
    }
}

#[cfg(test)]
mod tests;
