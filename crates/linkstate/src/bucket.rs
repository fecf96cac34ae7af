use std::time::Duration;

use bitcraps_types::Timestamp;

/// A token bucket that counts in time: what is taken has to pass before it is full again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bucket {
    depth: Duration,
    full_at: Timestamp,
}

impl Bucket {
    pub(crate) const fn new(depth: Duration) -> Self {
        Self { depth, full_at: Timestamp::ZERO }
    }

    /// When `cost` can be taken without exceeding the depth.
    pub(crate) fn ready_at(&self, cost: Duration) -> Timestamp {
        self.full_at + cost - self.depth
    }

    /// Takes `cost` if it is there.
    pub(crate) fn take(&mut self, cost: Duration, now: Timestamp) -> bool {
        let ready = self.ready_at(cost) <= now;
        if ready {
            self.full_at = self.full_at.max(now) + cost;
        }
        ready
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_its_depth_and_then_what_time_brings() {
        let cost = Duration::from_secs(10);
        let mut bucket = Bucket::new(4 * cost);
        let at = |s: u64| Timestamp::from_millis(1_000_000 + 1_000 * s);
        assert_eq!(
            [0, 0, 0, 0, 0].map(|s| bucket.take(cost, at(s))),
            [true, true, true, true, false]
        );
        assert_eq!(bucket.ready_at(cost), at(10));
        assert_eq!([9, 10, 10].map(|s| bucket.take(cost, at(s))), [false, true, false]);
    }
}
