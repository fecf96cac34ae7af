use std::fmt;
use std::time::Duration;

/// Why a number is not the unit it was meant to be.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum UnitError {
    /// Not within 0 to 1, or not a number.
    #[error("a ratio lies between 0 and 1, got {0}")]
    Ratio(f64),
    /// Not above zero.
    #[error("a rate is above 0 kbit/s")]
    ZeroRate,
}

/// A number within 0 to 1, both included; never NaN.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Ratio(f64);

impl Ratio {
    /// 0.
    pub const ZERO: Self = Self(0.0);
    /// 1.
    pub const ONE: Self = Self(1.0);

    /// Checks that `value` lies within 0 to 1.
    ///
    /// # Errors
    /// [`UnitError::Ratio`] with the value when it does not, NaN included.
    pub fn new(value: f64) -> Result<Self, UnitError> {
        // Adding zero turns -0.0 into 0.0, so that equal ratios have equal bits.
        if (0.0..=1.0).contains(&value) {
            Ok(Self(value + 0.0))
        } else {
            Err(UnitError::Ratio(value))
        }
    }

    /// The nearest ratio to `value`; NaN becomes 0.
    pub fn clamped(value: f64) -> Self {
        Self(if value.is_nan() { 0.0 } else { value.clamp(0.0, 1.0) })
    }

    /// The number.
    pub const fn get(self) -> f64 {
        self.0
    }
}

// Lawful because a ratio is never NaN.
impl Eq for Ratio {}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A data rate in kilobit (1,000 bit) a second, above zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kbps(u32);

impl Kbps {
    /// Checks that `kbps` is above zero.
    ///
    /// # Errors
    /// [`UnitError::ZeroRate`] for zero.
    pub const fn new(kbps: u32) -> Result<Self, UnitError> {
        if kbps == 0 { Err(UnitError::ZeroRate) } else { Ok(Self(kbps)) }
    }

    /// The rate, with zero raised to 1 kbit/s.
    pub const fn at_least_one(kbps: u32) -> Self {
        Self(if kbps == 0 { 1 } else { kbps })
    }

    /// Kilobit a second.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// Time that `bytes` take at this rate. Saturates at about 584 years.
    pub const fn air_time(self, bytes: usize) -> Duration {
        let nanos = (bytes as u128 * 8_000_000) / self.0 as u128;
        Duration::from_nanos(if nanos > u64::MAX as u128 { u64::MAX } else { nanos as u64 })
    }
}

impl fmt::Display for Kbps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} kbit/s", self.0)
    }
}

#[cfg(feature = "serde")]
mod as_number {
    use super::{Kbps, Ratio};
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    impl Serialize for Ratio {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_f64(self.get())
        }
    }

    impl<'de> Deserialize<'de> for Ratio {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            Self::new(f64::deserialize(deserializer)?).map_err(D::Error::custom)
        }
    }

    impl Serialize for Kbps {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_u32(self.get())
        }
    }

    impl<'de> Deserialize<'de> for Kbps {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            Self::new(u32::deserialize(deserializer)?).map_err(D::Error::custom)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratio_takes_the_closed_interval_and_nothing_else() {
        for good in [0.0, -0.0, 0.5, 1.0] {
            assert_eq!(Ratio::new(good).unwrap().get().to_bits(), (good + 0.0).to_bits());
        }
        for bad in [-f64::MIN_POSITIVE, 1.0 + f64::EPSILON, f64::INFINITY] {
            assert_eq!(Ratio::new(bad), Err(UnitError::Ratio(bad)));
        }
        assert!(Ratio::new(f64::NAN).is_err());
        assert_eq!(Ratio::clamped(f64::NAN), Ratio::ZERO);
        assert_eq!(Ratio::clamped(7.0), Ratio::ONE);
    }

    #[test]
    fn air_time_is_bits_over_rate() {
        assert_eq!(Kbps::new(0), Err(UnitError::ZeroRate));
        assert_eq!(Kbps::new(300).unwrap().air_time(244), Duration::from_nanos(6_506_666));
        assert_eq!(Kbps::new(1).unwrap().air_time(usize::MAX), Duration::from_nanos(u64::MAX));
    }
}
