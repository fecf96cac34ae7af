use std::collections::VecDeque;
use std::time::Duration;

use bitcraps_types::Timestamp;
use serde::{Deserialize, Serialize};

/// Over which relayed bytes are counted.
const WINDOW: Duration = Duration::from_secs(60);
/// Readings kept at most: one a second over the window, and one before it.
const MAX_READINGS: usize = 61;

/// Where the load of an articulation point is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// Bytes relayed in the last minute over what could have been.
    Measured,
    /// Share of the pairs of peers whose every way leads through it: what it would carry if all pairs
    /// talked alike.
    PairsThrough,
}

/// Bytes relayed in the last minute.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RelayMeter {
    /// When, and how many until then; ascending.
    readings: VecDeque<(Timestamp, u64)>,
}

impl RelayMeter {
    /// The share of `capacity`, in bytes a second, that was used in the minute before `now`, when
    /// `total` bytes had been relayed; `None` before there are two readings, or when nothing is known
    /// of the capacity. Readings less than a second apart are one.
    pub fn load(&mut self, total: u64, capacity: f64, now: Timestamp) -> Option<f64> {
        let start = now - WINDOW;
        while self.readings.get(1).is_some_and(|(at, _)| *at <= start) {
            self.readings.pop_front();
        }
        let fresh = self.readings.back().is_none_or(|(at, _)| now.since(*at).as_secs() >= 1);
        if fresh {
            if self.readings.len() == MAX_READINGS {
                self.readings.pop_front();
            }
            self.readings.push_back((now, total));
        }
        let (first, before) = *self.readings.front()?;
        let seconds = now.since(first).as_secs_f64();
        let known = capacity > 0.0 && capacity.is_finite() && seconds >= 1.0;
        known.then(|| (total.saturating_sub(before) as f64 / seconds / capacity).min(1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn load_is_that_of_the_last_minute() {
        let mut meter = RelayMeter::default();
        let at = |second: u64| Timestamp::from_millis(second * 1_000);
        assert_eq!(meter.load(0, 100.0, at(0)), None);
        assert_eq!(meter.load(500, 100.0, at(10)), Some(0.5));
        assert_eq!(meter.load(500, 0.0, at(10)), None);
        // Ten seconds of 50 bytes a second, then none: what is more than a minute ago is gone.
        for second in (15..=70).step_by(5) {
            meter.load(500, 100.0, at(second));
        }
        assert_eq!(meter.load(500, 100.0, at(70)), Some(0.0));
        assert_eq!(meter.load(1_000_000, 100.0, at(80)), Some(1.0));
    }

    #[test]
    fn readings_are_bounded() {
        let mut meter = RelayMeter::default();
        for milli in 0..200_000 {
            meter.load(milli, 1.0, Timestamp::from_millis(milli));
        }
        assert!(meter.readings.len() <= MAX_READINGS);
    }
}
