use std::collections::VecDeque;
use std::time::Duration;

use bitcraps_types::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{HealthMetrics, Measure};

/// How finely the past is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grain {
    /// The last hour, in steps of 5 s.
    FiveSeconds,
    /// The last day, in steps of a minute.
    Minute,
    /// The last 30 days, in steps of an hour.
    Hour,
}

impl Grain {
    /// From the finest on.
    pub const ALL: [Self; 3] = [Self::FiveSeconds, Self::Minute, Self::Hour];

    /// Length of a step.
    pub const fn step(self) -> Duration {
        match self {
            Self::FiveSeconds => Duration::from_secs(5),
            Self::Minute => Duration::from_secs(60),
            Self::Hour => Duration::from_secs(3_600),
        }
    }

    /// Number since 1970 of the step that is under way at this time.
    pub const fn number(self, since_1970: Duration) -> u64 {
        (since_1970.as_nanos() / self.step().as_nanos()) as u64
    }

    /// Steps kept at most: about 0.3 KiB each.
    pub const fn steps(self) -> usize {
        match self {
            Self::FiveSeconds => 720,
            Self::Minute => 1_440,
            Self::Hour => 720,
        }
    }
}

/// What a measure was during a step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Range {
    /// Its mean over the ticks of the step.
    pub mean: f32,
    /// The least.
    pub min: f32,
    /// The greatest.
    pub max: f32,
    /// Over how many ticks.
    pub ticks: u32,
}

impl Range {
    const fn of(value: f32) -> Self {
        Self { mean: value, min: value, max: value, ticks: 1 }
    }

    /// Whether it can be of anything that was measured.
    fn makes_sense(&self) -> bool {
        let finite = [self.min, self.mean, self.max].iter().all(|value| value.is_finite());
        finite && self.ticks > 0 && self.min <= self.max
    }

    fn add(&mut self, value: f32) {
        self.ticks = self.ticks.saturating_add(1);
        self.mean += (value - self.mean) / self.ticks as f32;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
    }
}

/// One step of the past.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// How long it is.
    pub grain: Grain,
    /// Its number: steps of this length since 1970.
    pub number: u64,
    /// What each measure was, in the order of [`Measure::ALL`].
    pub ranges: [Option<Range>; Measure::COUNT],
}

impl Step {
    /// When it began, in seconds since 1970.
    pub const fn begins(&self) -> u64 {
        self.number.saturating_mul(self.grain.step().as_secs())
    }
}

/// The measures of the past, the older the coarser. At most 2,880 steps, about 0.9 MiB.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct History {
    /// Time from 1970 to the origin of the clock that ticks come with.
    origin: Duration,
    rings: [VecDeque<Step>; Grain::ALL.len()],
}

impl History {
    /// Goes on with `steps` of an earlier time, in any order, for a clock whose zero is `origin` after
    /// 1970. Steps that begin after `now`, as when the clock on the wall was set back, are left out, and
    /// so is what is too old for its grain and what nobody can have measured. O(n log n).
    pub fn recalled(
        origin: Duration,
        steps: impl IntoIterator<Item = Step>,
        now: Timestamp,
    ) -> Self {
        let mut history = Self { origin, ..Self::default() };
        let mut steps: Vec<Step> = steps.into_iter().collect();
        steps.sort_by_key(|step| (step.grain, step.number));
        steps.dedup_by_key(|step| (step.grain, step.number));
        for step in steps {
            let present = step.grain.number(origin + now.since(Timestamp::ZERO));
            let oldest = present.saturating_sub(step.grain.steps() as u64 - 1);
            let sound = step.ranges.iter().flatten().all(Range::makes_sense);
            if sound && (oldest..=present).contains(&step.number) {
                history.rings[step.grain as usize].push_back(step);
            }
        }
        history
    }

    /// Steps with these numbers or later ones, by grain: what may have changed since they were the last.
    pub fn steps_from(&self, numbers: [u64; Grain::ALL.len()]) -> Vec<Step> {
        let changed = self.rings.iter().zip(numbers).flat_map(|(ring, from)| {
            let first = ring.partition_point(|step| step.number < from);
            ring.range(first..).cloned()
        });
        changed.collect()
    }

    /// Takes up a tick. One before the last is left out.
    pub(crate) fn push(&mut self, health: &HealthMetrics, now: Timestamp) {
        let since_1970 = self.origin + now.since(Timestamp::ZERO);
        for (grain, ring) in Grain::ALL.into_iter().zip(&mut self.rings) {
            let number = grain.number(since_1970);
            match ring.back() {
                Some(last) if last.number > number => continue,
                Some(last) if last.number == number => {}
                _ => {
                    if ring.len() == grain.steps() {
                        ring.pop_front();
                    }
                    ring.push_back(Step { grain, number, ranges: [None; Measure::COUNT] });
                }
            }
            let Some(step) = ring.back_mut() else { continue };
            for measure in Measure::ALL {
                let Some(value) = health.value(measure) else { continue };
                match &mut step.ranges[measure.index()] {
                    Some(range) => range.add(value as f32),
                    empty => *empty = Some(Range::of(value as f32)),
                }
            }
        }
    }

    /// Every step of a grain, oldest first.
    pub fn steps(&self, grain: Grain) -> impl Iterator<Item = &Step> + '_ {
        self.rings[grain as usize].iter()
    }

    /// What a measure was, oldest first: when each step began, in seconds since 1970, and its range.
    /// Steps without a value are left out.
    pub fn series(
        &self,
        measure: Measure,
        grain: Grain,
    ) -> impl Iterator<Item = (u64, Range)> + '_ {
        let of = move |step: &Step| Some((step.begins(), step.ranges[measure.index()]?));
        self.steps(grain).filter_map(of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> Timestamp {
        Timestamp::from_millis(second * 1_000)
    }

    fn health(peers: u64) -> HealthMetrics {
        HealthMetrics { peers, ..HealthMetrics::default() }
    }

    #[test]
    fn ticks_of_a_step_are_one_range() {
        let mut history = History::default();
        for (second, peers) in [(60, 4), (62, 10), (65, 1), (119, 5), (120, 7)] {
            history.push(&health(peers), at(second));
        }
        history.push(&health(99), at(3));
        let of = |grain| -> Vec<_> {
            let series = history.series(Measure::Peers, grain);
            series.map(|(at, r)| (at, r.mean, r.min, r.max)).collect()
        };
        assert_eq!(
            of(Grain::FiveSeconds),
            [(60, 7.0, 4.0, 10.0), (65, 1.0, 1.0, 1.0), (115, 5.0, 5.0, 5.0), (120, 7.0, 7.0, 7.0)]
        );
        assert_eq!(of(Grain::Minute), [(60, 5.0, 1.0, 10.0), (120, 7.0, 7.0, 7.0)]);
        assert_eq!(of(Grain::Hour).len(), 1);
        assert_eq!(history.series(Measure::BridgeLoad, Grain::Hour).count(), 0);
    }

    #[test]
    fn each_grain_forgets_what_is_too_old_for_it() {
        let mut history = History::default();
        for second in (0..7_205).step_by(5) {
            history.push(&health(second), at(second));
        }
        let fine: Vec<_> = history.series(Measure::Peers, Grain::FiveSeconds).collect();
        assert_eq!(fine.len(), Grain::FiveSeconds.steps());
        assert_eq!(fine[0].0, 7_200 - 719 * 5);
        assert_eq!(history.series(Measure::Peers, Grain::Minute).count(), 121);
        assert_eq!(history.series(Measure::Peers, Grain::Hour).count(), 3);
    }

    const NINETY_NINE: Duration = Duration::from_secs(99 * 86_400);

    #[test]
    fn what_was_kept_goes_on_as_if_nothing_had_happened() {
        let mut whole = History { origin: NINETY_NINE, ..History::default() };
        for second in (0..7_205).step_by(5) {
            whole.push(&health(second), at(second));
        }
        // The machine was started anew 7,000 s after the clock began that came before.
        let mut first = History { origin: NINETY_NINE, ..History::default() };
        for second in (0..7_000).step_by(5) {
            first.push(&health(second), at(second));
        }
        let mut kept = first.steps_from([0; 3]);
        kept.reverse();
        let origin = NINETY_NINE + Duration::from_secs(7_000);
        let mut second = History::recalled(origin, kept, at(0));
        for second_of in (0..205).step_by(5) {
            second.push(&health(7_000 + second_of), at(second_of));
        }
        assert!(second.rings == whole.rings);
        let series = |history: &History| -> Vec<_> {
            history
                .series(Measure::Peers, Grain::Hour)
                .map(|(at, range)| (at, range.ticks))
                .collect()
        };
        let day = NINETY_NINE.as_secs();
        assert_eq!(series(&second), [(day, 720), (day + 3_600, 720), (day + 7_200, 1)]);
    }

    #[test]
    fn what_cannot_be_is_not_recalled() {
        let step = |number, ranges: Option<Range>| {
            let mut all = [None; Measure::COUNT];
            all[0] = ranges;
            Step { grain: Grain::Minute, number, ranges: all }
        };
        let sound = Range { mean: 2.0, min: 1.0, max: 3.0, ticks: 4 };
        let recalled = |steps: &[Step]| {
            let now = Timestamp::ZERO + Duration::from_secs(60 * 2_000 + 59);
            let history = History::recalled(Duration::ZERO, steps.to_vec(), now);
            history.steps(Grain::Minute).map(|step| step.number).collect::<Vec<_>>()
        };
        let of = |number| step(number, Some(sound));
        // The oldest that its ring has room for, the present one, and none beside.
        assert_eq!(recalled(&[of(560), of(561), of(2_000), of(2_001)]), [561, 2_000]);
        assert_eq!(recalled(&[of(700), of(700)]), [700]);
        for wrong in [
            Range { ticks: 0, ..sound },
            Range { mean: f32::NAN, ..sound },
            Range { max: f32::INFINITY, ..sound },
            Range { min: 4.0, ..sound },
        ] {
            assert_eq!(recalled(&[step(700, Some(wrong)), of(701)]), [701], "{wrong:?}");
        }
        assert_eq!(recalled(&[step(700, None)]), [700]);
    }

    #[test]
    fn changes_begin_with_the_step_that_was_under_way() {
        let mut history = History::default();
        for second in [0, 5, 60, 65, 70] {
            history.push(&health(1), at(second));
        }
        let changed = |from| -> Vec<_> {
            history.steps_from(from).iter().map(|step| (step.grain, step.number)).collect()
        };
        assert_eq!(changed([0; 3]).len(), 5 + 2 + 1);
        assert_eq!(
            changed([13, 1, 0]),
            [
                (Grain::FiveSeconds, 13),
                (Grain::FiveSeconds, 14),
                (Grain::Minute, 1),
                (Grain::Hour, 0)
            ]
        );
        assert_eq!(changed([15, 2, 1]), []);
    }
}
