use std::collections::VecDeque;
use std::time::Duration;

use bitcraps_types::Timestamp;

/// How long a former root is remembered: two probes.
const MEMORY: Duration = Duration::from_secs(2);
/// Former roots remembered; more change in two seconds only while databases are compared anyway.
const MAX_ROOTS: usize = 64;

/// What the root of the database is, and was a moment ago.
#[derive(Debug, Default)]
pub(crate) struct Roots {
    latest: u64,
    /// Until when each was the root, oldest first.
    former: VecDeque<(Timestamp, u64)>,
}

impl Roots {
    pub(crate) const fn latest(&self) -> u64 {
        self.latest
    }

    pub(crate) fn set(&mut self, root: u64, now: Timestamp) {
        if self.latest != root {
            if self.former.len() == MAX_ROOTS {
                self.former.pop_front();
            }
            self.former.push_back((now, self.latest));
            self.latest = root;
        }
    }

    /// Whether so much changes that what comes next says more than a comparison.
    pub(crate) fn are_many(&self, now: Timestamp) -> bool {
        self.former.len() == MAX_ROOTS
            && self.former.front().is_some_and(|(until, _)| now.since(*until) < MEMORY)
    }

    /// Whether it was the root less than two seconds ago.
    pub(crate) fn was(&self, root: u64, now: Timestamp) -> bool {
        let recent = self.former.iter().rev().take_while(|(until, _)| now.since(*until) < MEMORY);
        recent.map(|(_, former)| *former).any(|former| former == root)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn former_roots_are_remembered_for_two_seconds() {
        let mut roots = Roots::default();
        let at = |ms: u64| Timestamp::from_millis(10_000 + ms);
        roots.set(1, at(0));
        roots.set(2, at(500));
        assert_eq!(roots.latest(), 2);
        assert!(!roots.was(2, at(500)), "it is");
        assert!(roots.was(1, at(2_499)) && !roots.was(1, at(2_500)));
        assert!(roots.was(0, at(1_999)) && !roots.was(0, at(2_000)));
        assert!(!roots.was(7, at(500)));
        for root in 0..=MAX_ROOTS as u64 {
            assert!(!roots.are_many(at(600)) || root + 3 > MAX_ROOTS as u64);
            roots.set(100 + root, at(600));
        }
        assert!(roots.are_many(at(2_599)) && !roots.are_many(at(2_600)));
        assert!(!roots.was(2, at(600)) && roots.was(100, at(600)));
    }
}
