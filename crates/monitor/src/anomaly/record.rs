/// Values in a row of which the highest counts: three minutes of looks.
const BLOCK: u32 = 36;
/// Blocks that are remembered, as a mean: a week of looks.
const MEMORY: f64 = 3_360.0;
/// Blocks that what is supposed before any was seen is worth.
const SUPPOSED: f64 = 20.0;
/// Blocks in which one alone may be called unusual by chance once: ten days of looks.
const CHANCE: f64 = 4_800.0;
/// Euler's constant.
const EULER: f64 = 0.577_215_664_901_532_9;

/// How high values have been: the highest of each block, and what that says of those that are still
/// higher by chance. Highest values are distributed as Gumbel's (1958), fitted by moments.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Record {
    highest: f64,
    seen: u32,
    mean: f64,
    variance: f64,
    blocks: f64,
}

impl Record {
    /// Supposes that the highest of a block is `mean` on average, and strays by `deviation`.
    pub(super) const fn supposing(mean: f64, deviation: f64) -> Self {
        Self { highest: 0.0, seen: 0, mean, variance: deviation * deviation, blocks: SUPPOSED }
    }

    /// What chance exceeds in one of `series` in ten days of looks.
    pub(super) fn bound(&self, series: usize) -> f64 {
        let scale = self.variance.sqrt() * 6.0_f64.sqrt() / std::f64::consts::PI;
        self.mean + scale * ((CHANCE * series.max(1) as f64).ln() - EULER)
    }

    /// Takes up a value; one above `bound` counts as that, so that an anomaly does not hide the next.
    pub(super) fn push(&mut self, value: f64, bound: f64) {
        self.highest = self.highest.max(value.min(bound));
        self.seen += 1;
        if self.seen < BLOCK {
            return;
        }
        self.blocks = (self.blocks + 1.0).min(MEMORY);
        let (weight, off) = (1.0 / self.blocks, self.highest - self.mean);
        self.mean += weight * off;
        self.variance = (1.0 - weight) * (self.variance + weight * off * off);
        (self.highest, self.seen) = (0.0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_is_exceeded_as_often_as_it_says() {
        // Highest values of a block are Gumbel's with location 5 and scale 1.
        let mut rng = fastrand::Rng::with_seed(41);
        let mut record = Record::supposing(0.0, 1.0);
        let mut highest = || 5.0 - (-(1.0 - rng.f64()).ln()).ln();
        for _ in 0..20_000 {
            let value = highest();
            (0..BLOCK).for_each(|_| record.push(value, f64::MAX));
        }
        let bound = record.bound(1);
        // The location, and what one of 4,800 exceeds: ln 4800 = 8.5.
        assert!((bound - 13.5).abs() < 0.6, "{bound}");
        assert!((record.bound(10) - bound - 10.0_f64.ln()).abs() < 0.2, "ten of them");
        let above = (0..1_000_000).filter(|_| highest() > bound).count();
        assert!((100..450).contains(&above), "{above} of a million, about 208 are due");
    }

    #[test]
    fn what_is_unusual_raises_the_bound_no_more_than_the_bound() {
        let mut record = Record::supposing(2.6, 0.45);
        let before = record.bound(1);
        for _ in 0..BLOCK {
            record.push(1e9, record.bound(1));
        }
        assert!(record.bound(1) < 1.5 * before, "{} after {before}", record.bound(1));
    }
}
