use std::fmt;
use std::time::Duration;

/// An amount of energy in microjoule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Microjoules(pub u64);

impl fmt::Display for Microjoules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} µJ", self.0)
    }
}

/// What a radio costs: waking it, each byte, each frame, and the tail in which it stays awake.
///
/// The marginal energy of a packet depends on the radio's state, and by four orders of magnitude:
/// the presets are phone-level figures for a 64-byte packet from Huang et al., MobiSys 2012, and
/// the AOSP power profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EnergyProfile {
    /// Cost of leaving the idle state, in µJ.
    pub wake: Microjoules,
    /// Cost of each byte on air, in nanojoule.
    pub nanojoules_per_byte: u64,
    /// Fixed cost of each frame, in µJ.
    pub per_frame: Microjoules,
    /// How long the radio stays awake after the last frame.
    pub tail: Duration,
    /// Power drawn in the tail, in mW. A frame in the tail prolongs it by the time since the last.
    pub tail_milliwatts: u32,
}

impl EnergyProfile {
    /// A connected Bluetooth LE link: about 0.15 mJ for 64 bytes, no tail to speak of.
    pub const BLUETOOTH_LE: Self = Self {
        wake: Microjoules(0),
        nanojoules_per_byte: 900,
        per_frame: Microjoules(100),
        tail: Duration::ZERO,
        tail_milliwatts: 0,
    };
    /// Wi-Fi with power save: 0.6 mJ awake, 38 mJ from sleep (promotion 79 ms at 124 mW, tail
    /// 238 ms at 119 mW).
    pub const WIFI: Self = Self {
        wake: Microjoules(9_800),
        nanojoules_per_byte: 800,
        per_frame: Microjoules(550),
        tail: Duration::from_millis(238),
        tail_milliwatts: 119,
    };
    /// LTE: 12.6 J from idle (promotion 260 ms at 1,211 mW, tail 11.6 s at 1,060 mW).
    pub const CELLULAR: Self = Self {
        wake: Microjoules(315_000),
        nanojoules_per_byte: 3_500,
        per_frame: Microjoules(1_000),
        tail: Duration::from_millis(11_576),
        tail_milliwatts: 1_060,
    };
    /// Mains power: nothing counts.
    pub const MAINS: Self = Self {
        wake: Microjoules(0),
        nanojoules_per_byte: 0,
        per_frame: Microjoules(0),
        tail: Duration::ZERO,
        tail_milliwatts: 0,
    };

    /// Energy that sending `bytes` in `frames` frames adds, when the radio was last active
    /// `since_last` ago (`None`: never). O(1), saturating.
    pub fn marginal(&self, bytes: usize, frames: u32, since_last: Option<Duration>) -> Microjoules {
        self.marginal_energy().after(since_last.map_or(u64::MAX, nanos), bytes, frames)
    }

    /// The profile prepared for one question after another.
    pub const fn marginal_energy(&self) -> MarginalEnergy {
        let tail_nanos = at_most(nanos(self.tail), MarginalEnergy::TAIL_MAX);
        // A milliwatt is a nanojoule each microsecond.
        let tail = tail_nanos / 1_000 * self.tail_milliwatts as u64;
        let asleep = self.wake.0.saturating_mul(1_000).saturating_add(tail);
        let per_frame = self.per_frame.0.saturating_mul(1_000);
        MarginalEnergy {
            asleep: at_most(asleep, MarginalEnergy::ASLEEP_MAX),
            tail_nanos,
            tail_milliwatts: self.tail_milliwatts,
            per_byte: at_most(self.nanojoules_per_byte, u32::MAX as u64) as u32,
            per_frame: at_most(per_frame, u32::MAX as u64) as u32,
        }
    }
}

/// What an [`EnergyProfile`] says about the next packet, worked out beforehand as far as it can be,
/// because the rest is in the way of every packet. In nanojoules: costs of a byte and of a frame
/// count up to 4 J, tails up to 18 minutes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MarginalEnergy {
    asleep: u64,
    tail_nanos: u64,
    tail_milliwatts: u32,
    per_byte: u32,
    per_frame: u32,
}

impl MarginalEnergy {
    /// With it no product below exceeds 64 bits.
    const TAIL_MAX: u64 = 1 << 40;
    const ASLEEP_MAX: u64 = 1 << 62;

    /// Energy that sending `bytes` in `frames` frames adds, when the radio was last active
    /// `idle_nanos` ago ([`u64::MAX`]: never). O(1), saturating.
    #[inline]
    pub fn after(&self, idle_nanos: u64, bytes: usize, frames: u32) -> Microjoules {
        let state = if idle_nanos < self.tail_nanos {
            idle_nanos / 1_000 * u64::from(self.tail_milliwatts)
        } else {
            self.asleep
        };
        let bytes = (bytes as u64).min(u64::from(u32::MAX));
        let air = bytes * u64::from(self.per_byte);
        let fixed = u64::from(self.per_frame) * u64::from(frames);
        Microjoules(state.saturating_add(air).saturating_add(fixed) / 1_000)
    }
}

/// In 64 bits: 584 years are never.
const fn nanos(duration: Duration) -> u64 {
    let nanos = duration.as_nanos();
    if nanos > u64::MAX as u128 { u64::MAX } else { nanos as u64 }
}

const fn at_most(value: u64, most: u64) -> u64 {
    if value < most { value } else { most }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sleeping_cellular_radio_costs_four_orders_more_than_bluetooth() {
        let asleep = EnergyProfile::CELLULAR.marginal(64, 1, None);
        assert_eq!(asleep, Microjoules(315_000 + 12_270_560 + 224 + 1_000));
        assert_eq!(EnergyProfile::BLUETOOTH_LE.marginal(64, 1, None), Microjoules(157));
    }

    #[test]
    fn the_tail_ends_at_its_length_exactly() {
        let wifi = EnergyProfile::WIFI;
        let inside = wifi.marginal(0, 1, Some(wifi.tail - Duration::from_micros(1_000)));
        let outside = wifi.marginal(0, 1, Some(wifi.tail));
        assert_eq!(inside, Microjoules(237 * 119 + 550));
        assert_eq!(outside, Microjoules(9_800 + 238 * 119 + 550));
        assert_eq!(wifi.marginal(0, 1, None), outside);
    }

    #[test]
    fn absurd_profiles_saturate() {
        let absurd = EnergyProfile {
            wake: Microjoules(u64::MAX),
            nanojoules_per_byte: u64::MAX,
            per_frame: Microjoules(u64::MAX),
            tail: Duration::MAX,
            tail_milliwatts: u32::MAX,
        };
        assert_eq!(absurd.marginal(usize::MAX, u32::MAX, None), Microjoules(u64::MAX / 1_000));
        let awake = absurd.marginal(0, 0, Some(Duration::from_secs(1)));
        assert_eq!(awake, Microjoules(1_000 * u64::from(u32::MAX)));
    }
}
