use std::time::Duration;

use bitcraps_types::Timestamp;

/// A token bucket: `burst` at once, one more each `interval`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bucket {
    interval: Duration,
    burst: u32,
    /// When the bucket would be full; ahead of now by `interval` for each token taken.
    full_at: Timestamp,
}

impl Bucket {
    pub(crate) const fn new(burst: u32, interval: Duration) -> Self {
        Self { interval, burst, full_at: Timestamp::ZERO }
    }

    pub(crate) fn take(&mut self, now: Timestamp) -> bool {
        let full_at = self.full_at.max(now) + self.interval;
        let fits = full_at.since(now) <= self.interval.saturating_mul(self.burst);
        if fits {
            self.full_at = full_at;
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_its_burst_and_then_one_each_interval() {
        let mut bucket = Bucket::new(3, Duration::from_millis(10));
        let at = |ms: u64| Timestamp::from_millis(1_000 + ms);
        assert_eq!([0, 0, 0, 0].map(|ms| bucket.take(at(ms))), [true, true, true, false]);
        assert_eq!([9, 10, 10].map(|ms| bucket.take(at(ms))), [false, true, false]);
        assert_eq!([500, 500, 500, 500].map(|ms| bucket.take(at(ms))), [true, true, true, false]);
    }
}
