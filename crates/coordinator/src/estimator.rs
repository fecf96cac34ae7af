use std::time::Duration;

use bitcraps_types::Ratio;

/// Frames of similar size: small ones pass where large ones vanish.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SizeBucket {
    /// Up to 256 bytes: fits every link.
    Small = 0,
    /// Up to 1,280 bytes: fits one IPv6 packet.
    Packet = 1,
    /// Up to 8,192 bytes.
    Medium = 2,
    /// Larger.
    Large = 3,
}

impl SizeBucket {
    /// How many buckets there are.
    pub const COUNT: usize = 4;
    /// Every bucket, ascending.
    pub const ALL: [Self; 4] = [Self::Small, Self::Packet, Self::Medium, Self::Large];

    /// The bucket of a frame of `bytes`.
    pub const fn of(bytes: usize) -> Self {
        match bytes {
            0..=256 => Self::Small,
            257..=1_280 => Self::Packet,
            1_281..=8_192 => Self::Medium,
            _ => Self::Large,
        }
    }

    /// Position in [`Self::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Largest frame of the bucket in bytes.
    pub(crate) const fn limit(self) -> usize {
        match self {
            Self::Small => 256,
            Self::Packet => 1_280,
            Self::Medium => 8_192,
            Self::Large => usize::MAX,
        }
    }

    /// Largest frame of the bucket that a link with `max_frame` can carry, for probes.
    pub fn probe_size(self, max_frame: usize) -> usize {
        let size = match self {
            Self::Small => 64,
            Self::Packet => 1_200,
            Self::Medium => 4_096,
            Self::Large => 16_384,
        };
        size.min(max_frame)
    }
}

/// Smoothed round-trip time and its variation (RFC 6298, gains 1/8 and 1/4). Every sample is
/// unambiguous, because acknowledgements echo what they answer, so Karn's rule is not needed.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct RoundTrip {
    smoothed_us: u32,
    variation_us: u32,
    pub(crate) samples: u32,
}

impl RoundTrip {
    pub(crate) fn sample(&mut self, rtt: Duration) {
        let rtt = u32::try_from(rtt.as_micros()).unwrap_or(u32::MAX / 16).min(u32::MAX / 16);
        if self.samples == 0 {
            self.smoothed_us = rtt;
            self.variation_us = rtt / 2;
        } else {
            let error = self.smoothed_us.abs_diff(rtt);
            self.variation_us = (3 * self.variation_us + error) / 4;
            self.smoothed_us = (7 * self.smoothed_us + rtt) / 8;
        }
        self.samples = self.samples.saturating_add(1);
    }

    pub(crate) fn smoothed(&self) -> Option<Duration> {
        (self.samples > 0).then(|| Duration::from_micros(u64::from(self.smoothed_us)))
    }

    /// `srtt + 4 rttvar` in µs, 0 when unmeasured.
    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_micros(u64::from(self.smoothed_us) + 4 * u64::from(self.variation_us))
    }

    /// `srtt + 2 rttvar`: about the 95th percentile, where a hedge is due.
    pub(crate) fn late(&self) -> Duration {
        Duration::from_micros(u64::from(self.smoothed_us) + 2 * u64::from(self.variation_us))
    }
}

/// Samples after which an old outcome weighs half.
const HALF_LIFE_SAMPLES: f32 = 64.0;
/// Samples before a link is held to its reliability threshold. A link without losses passes the
/// strictest of the defaults (0.95) from here on; fewer samples could not show that.
const JUDGED_AFTER: u32 = 64;
/// How many samples a prior is worth.
const PRIOR_WEIGHT: f32 = 8.0;

/// Probability that a frame arrives: a Beta posterior with exponential forgetting, prior included.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Delivery {
    arrived: f32,
    lost: f32,
    pub(crate) samples: u32,
}

impl Delivery {
    pub(crate) fn new(prior: Ratio) -> Self {
        let prior = prior.get() as f32;
        Self { arrived: PRIOR_WEIGHT * prior, lost: PRIOR_WEIGHT * (1.0 - prior), samples: 0 }
    }

    pub(crate) fn sample(&mut self, arrived: bool) {
        // 0.5^(1/64)
        const KEEP: f32 = 0.989_228;
        const _: () = assert!(HALF_LIFE_SAMPLES == 64.0);
        self.arrived *= KEEP;
        self.lost *= KEEP;
        if arrived {
            self.arrived += 1.0;
        } else {
            self.lost += 1.0;
        }
        self.samples = self.samples.saturating_add(1);
    }

    /// A frame that was called lost has arrived after all: slow, but not lost.
    pub(crate) fn recant(&mut self) {
        let lost = self.lost.min(1.0);
        self.lost -= lost;
        self.arrived += lost;
    }

    pub(crate) fn mean(&self) -> f32 {
        self.arrived / (self.arrived + self.lost)
    }

    /// Whether there is enough evidence to hold the link to a threshold.
    pub(crate) fn is_judged(&self) -> bool {
        self.samples >= JUDGED_AFTER
    }

    /// The 5 % quantile of the posterior, by its normal approximation.
    pub(crate) fn lower_bound(&self) -> f32 {
        let weight = self.arrived + self.lost;
        let mean = self.arrived / weight;
        let deviation = (mean * (1.0 - mean) / (weight + 1.0)).sqrt();
        (mean - 1.645 * deviation).max(0.0)
    }
}

/// Goodput: acknowledged bytes over the time their flight took, the way BBR samples its delivery
/// rate. A sample taken while the sender had nothing more to send can only raise the estimate.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Goodput {
    bytes_per_ms: f32,
    pub(crate) samples: u32,
}

impl Goodput {
    pub(crate) fn new(nominal_kbps: u32) -> Self {
        Self { bytes_per_ms: nominal_kbps as f32 / 8.0, samples: 0 }
    }

    pub(crate) fn sample(&mut self, bytes: u64, over: Duration, sender_limited: bool) {
        let ms = over.as_secs_f32() * 1e3;
        if ms <= 0.0 {
            return;
        }
        let rate = (bytes as f32 / ms).max(0.001);
        if !sender_limited || rate > self.bytes_per_ms {
            self.bytes_per_ms += (rate - self.bytes_per_ms) / 8.0;
        }
        self.samples = self.samples.saturating_add(1);
    }

    pub(crate) fn nanos_per_byte(&self) -> f32 {
        1e6 / self.bytes_per_ms
    }

    pub(crate) fn kbps(&self) -> u32 {
        (self.bytes_per_ms * 8.0) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_change_at_their_bounds() {
        let at = |bytes| SizeBucket::of(bytes);
        assert_eq!([at(0), at(256)], [SizeBucket::Small; 2]);
        assert_eq!([at(257), at(1_280)], [SizeBucket::Packet; 2]);
        assert_eq!([at(1_281), at(8_192)], [SizeBucket::Medium; 2]);
        assert_eq!([at(8_193), at(usize::MAX)], [SizeBucket::Large; 2]);
        for bucket in SizeBucket::ALL {
            assert_eq!(SizeBucket::of(bucket.probe_size(usize::MAX)), bucket);
        }
    }

    #[test]
    fn round_trip_follows_rfc_6298() {
        let mut rtt = RoundTrip::default();
        assert_eq!(rtt.smoothed(), None);
        rtt.sample(Duration::from_micros(800));
        assert_eq!(rtt.timeout(), Duration::from_micros(800 + 4 * 400));
        rtt.sample(Duration::from_micros(1_600));
        // rttvar = 3/4 * 400 + 1/4 * |800 - 1600|; srtt = 7/8 * 800 + 1/8 * 1600
        assert_eq!(rtt.smoothed(), Some(Duration::from_micros(900)));
        assert_eq!(rtt.timeout(), Duration::from_micros(900 + 4 * 500));
        assert_eq!(rtt.late(), Duration::from_micros(900 + 2 * 500));
    }

    #[test]
    fn many_successes_outrank_one() {
        let mut once = Delivery::new(Ratio::clamped(0.5));
        once.sample(true);
        let mut often = Delivery::new(Ratio::clamped(0.5));
        (0..1_000).for_each(|i| often.sample(i != 500));
        assert!(often.lower_bound() > once.lower_bound());
        assert!(often.lower_bound() > 0.95, "{}", often.lower_bound());
    }

    #[test]
    fn old_failures_are_forgotten_by_half_in_64_samples() {
        let mut delivery = Delivery::new(Ratio::ONE);
        (0..400).for_each(|_| delivery.sample(false));
        assert!(delivery.mean() < 0.02);
        (0..64).for_each(|_| delivery.sample(true));
        assert!((delivery.mean() - 0.5).abs() < 0.01, "{}", delivery.mean());
    }

    #[test]
    fn an_idle_sender_cannot_lower_the_goodput() {
        let mut goodput = Goodput::new(8_000);
        goodput.sample(10, Duration::from_millis(10), true);
        assert_eq!(goodput.kbps(), 8_000);
        goodput.sample(10, Duration::from_millis(10), false);
        assert!(goodput.kbps() < 8_000);
        goodput.sample(1_000_000, Duration::from_millis(1), true);
        assert!(goodput.kbps() > 8_000);
        goodput.sample(10, Duration::ZERO, false);
        assert_eq!(goodput.samples, 3);
    }
}
