use std::collections::VecDeque;
use std::time::Duration;

use bitcraps_types::Timestamp;

use super::{EXPLAINED, median};

/// Parts of a day.
const PARTS: usize = 288;
/// Length of a part.
const PART: Duration = Duration::from_secs(300);
/// Days remembered.
const DAYS: usize = 7;
/// Values needed before it is judged whether the season explains anything.
const ENOUGH: usize = 200;

/// What is usual at a time of the day: medians over the last week, each with the parts beside it.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Season {
    /// Means of each part, the latest last; empty until the first value.
    parts: Vec<VecDeque<f32>>,
    /// Number of the part that is under way since the origin of time, with its sum and count.
    current: (u64, f64, u32),
}

fn number(at: Timestamp) -> u64 {
    at.as_nanos() / PART.as_nanos() as u64
}

fn part(number: u64) -> usize {
    (number % PARTS as u64) as usize
}

impl Season {
    /// What is usual at that time of the day; `None` before two days were seen.
    pub(super) fn expected(&self, at: Timestamp) -> Option<f64> {
        let here = part(number(at));
        if self.parts.get(here)?.len() < 2 {
            return None;
        }
        let near = [here + PARTS - 1, here, here + 1].map(|part| &self.parts[part % PARTS]);
        Some(median(near.into_iter().flatten().map(|mean| f64::from(*mean))))
    }

    /// Whether taking the season away leaves less than without.
    pub(super) fn is_worth_it(&self, plain: &VecDeque<f64>, seasonal: &VecDeque<f64>) -> bool {
        plain.len() > ENOUGH
            && median(seasonal.iter().copied()) < EXPLAINED * median(plain.iter().copied())
    }

    pub(super) fn learn(&mut self, value: f64, at: Timestamp) {
        let number = number(at);
        let (before, sum, count) = self.current;
        if number == before {
            self.current = (number, sum + value, count + 1);
            return;
        }
        if count > 0 {
            if self.parts.is_empty() {
                self.parts = vec![VecDeque::new(); PARTS];
            }
            let means = &mut self.parts[part(before)];
            if means.len() == DAYS {
                means.pop_front();
            }
            means.push_back((sum / f64::from(count)) as f32);
        }
        self.current = (number, value, 1);
    }
}
