use std::collections::VecDeque;
use std::time::Duration;

use bitcraps_types::Timestamp;
use serde::Serialize;

use crate::{HealthMetrics, Measure};

/// How finely the past is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
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
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Range {
    /// Its mean over the ticks of the step.
    pub mean: f32,
    /// The least.
    pub min: f32,
    /// The greatest.
    pub max: f32,
    ticks: u32,
}

impl Range {
    const fn of(value: f32) -> Self {
        Self { mean: value, min: value, max: value, ticks: 1 }
    }

    fn add(&mut self, value: f32) {
        self.ticks += 1;
        self.mean += (value - self.mean) / self.ticks as f32;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
    }
}

/// One step.
#[derive(Debug, Clone, PartialEq)]
struct Bucket {
    /// Number of the step since the origin of time.
    number: u64,
    ranges: [Option<Range>; Measure::COUNT],
}

/// The measures of the past, the older the coarser. At most 2,880 steps, about 0.9 MiB.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct History {
    rings: [VecDeque<Bucket>; Grain::ALL.len()],
}

impl History {
    /// Takes up a tick. One before the last is left out.
    pub(crate) fn push(&mut self, health: &HealthMetrics, now: Timestamp) {
        for (grain, ring) in Grain::ALL.into_iter().zip(&mut self.rings) {
            let number = now.as_nanos() / grain.step().as_nanos() as u64;
            match ring.back() {
                Some(last) if last.number > number => continue,
                Some(last) if last.number == number => {}
                _ => {
                    if ring.len() == grain.steps() {
                        ring.pop_front();
                    }
                    ring.push_back(Bucket { number, ranges: [None; Measure::COUNT] });
                }
            }
            let Some(bucket) = ring.back_mut() else { continue };
            for measure in Measure::ALL {
                let Some(value) = health.value(measure) else { continue };
                match &mut bucket.ranges[measure.index()] {
                    Some(range) => range.add(value as f32),
                    empty => *empty = Some(Range::of(value as f32)),
                }
            }
        }
    }

    /// What a measure was, oldest first: the start of each step, and its range. Steps without a
    /// value are left out.
    pub fn series(
        &self,
        measure: Measure,
        grain: Grain,
    ) -> impl Iterator<Item = (Timestamp, Range)> + '_ {
        let ring = &self.rings[grain as usize];
        ring.iter().filter_map(move |bucket| {
            let start = bucket.number.saturating_mul(grain.step().as_nanos() as u64);
            Some((Timestamp::from_nanos(start), bucket.ranges[measure.index()]?))
        })
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
            series.map(|(at, r)| (at.as_nanos() / 1_000_000_000, r.mean, r.min, r.max)).collect()
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
        assert_eq!(fine[0].0, at(7_200 - 719 * 5));
        assert_eq!(history.series(Measure::Peers, Grain::Minute).count(), 121);
        assert_eq!(history.series(Measure::Peers, Grain::Hour).count(), 3);
    }
}
