use std::time::Duration;

use bitcraps_types::Timestamp;

/// A token bucket that also fills with use: retries and hedges may cost a share of what is sent,
/// plus a trickle, so that a failing network is never buried under repeats of itself.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    tokens: f64,
    burst: f64,
    per_second: f64,
    share: f64,
    refilled: Timestamp,
}

impl Budget {
    /// `share` of a token for each unit sent, `per_second` tokens beside, at most `burst` saved.
    pub const fn new(share: f64, per_second: f64, burst: f64) -> Self {
        Self { tokens: burst, burst, per_second, share, refilled: Timestamp::ZERO }
    }

    /// `units` were sent for the first time.
    pub fn earn(&mut self, units: f64) {
        self.tokens = (self.tokens + self.share * units).min(self.burst);
    }

    /// Takes `cost` tokens, down to `-credit`, or nothing.
    pub fn take(&mut self, cost: f64, credit: f64, now: Timestamp) -> bool {
        self.refill(now);
        let enough = self.tokens + credit >= cost;
        if enough {
            self.tokens -= cost;
        }
        enough
    }

    /// Whether [`Self::take`] would succeed.
    pub fn has(&mut self, cost: f64, credit: f64, now: Timestamp) -> bool {
        self.refill(now);
        self.tokens + credit >= cost
    }

    fn refill(&mut self, now: Timestamp) {
        let gained = now.since(self.refilled).min(Duration::from_secs(3_600)).as_secs_f64();
        self.tokens = (self.tokens + gained * self.per_second).min(self.burst);
        self.refilled = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fills_with_use_and_with_time_up_to_its_burst() {
        let t = Timestamp::from_millis;
        let mut budget = Budget::new(0.2, 10.0, 2.0);
        assert!(budget.take(1.0, 0.0, t(0)) && budget.take(1.0, 0.0, t(0)));
        assert!(!budget.take(1.0, 0.0, t(0)));
        budget.earn(4.0);
        assert!(!budget.take(1.0, 0.0, t(0)), "0.8 tokens are not enough");
        budget.earn(1.0);
        assert!(budget.take(1.0, 0.0, t(0)));
        assert!(!budget.has(1.0, 0.0, t(99)));
        assert!(budget.take(1.0, 0.0, t(100)));
        assert!(budget.take(1.0, 1.0, t(100)), "credit may be drawn");
        assert!(!budget.take(1.0, 1.0, t(100)), "and is bounded");
        assert!(budget.has(2.0, 0.0, t(100_000)) && !budget.has(2.1, 0.0, t(200_000)));
    }
}
