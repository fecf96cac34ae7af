use std::time::Duration;

use bitcraps_session::link::RECORD_OVERHEAD;
use bitcraps_types::{EnergyProfile, Kbps, LinkCapabilities, Medium, Ratio};

use crate::neighbourhood::LOOK;
use crate::radio::MAX_SDU;
use crate::record::KIND;

/// Largest frame that fits a channel, in bytes.
const MAX_FRAME: usize = MAX_SDU - RECORD_OVERHEAD - KIND;

/// Links that a controller holds at once: what most chips do, of their 7 to 10.
const MAX_LINKS: usize = 7;

/// Longest time between looks: longer than people stay where they meet.
const LOOK_EVERY_MAX: Duration = Duration::from_secs(3_600);

/// What a Bluetooth transport is to be like.
#[derive(Debug, Clone, PartialEq)]
pub struct BleConfig {
    /// Whether nodes that are seen are dialled without being asked for.
    pub discover: bool,
    /// Links at once, 1 to 7.
    pub max_links: usize,
    /// From one look for others to the next, once nothing was lost or begun for half a minute; 6 s to 1 h. A
    /// look takes 6 s, of which the receiver is on for 4.5 s: with 60 s that is 7.5 % of the time, because a
    /// receiver that is always on costs more than everything else. Whoever is new looks eagerly itself.
    pub look_every: Duration,
    /// Largest frame of a link in bytes, 256 to 1,263. Must be equal at both ends: a longer frame
    /// than this end's closes the link.
    pub max_frame: usize,
    /// How long a dial may take, handshake included, and how long a caller may take to prove who it
    /// is. Above zero.
    pub connection_timeout: Duration,
    /// Rate to reckon with before anything was measured.
    pub nominal_rate: Kbps,
    /// Delivery probability to assume before anything was measured.
    pub prior_reliability: Ratio,
}

impl Default for BleConfig {
    fn default() -> Self {
        Self {
            discover: true,
            max_links: MAX_LINKS,
            look_every: Duration::from_secs(60),
            max_frame: 1_024,
            connection_timeout: Duration::from_secs(10),
            // What a channel carries at a connection interval of 30 ms with data length extension.
            nominal_rate: Kbps::at_least_one(250),
            prior_reliability: Ratio::clamped(0.85),
        }
    }
}

impl BleConfig {
    /// Checks every relation stated at the fields.
    ///
    /// # Errors
    /// [`ConfigError`] with the first value that is wrong.
    pub fn check(&self) -> Result<(), ConfigError> {
        if !(LinkCapabilities::MIN_FRAME..=MAX_FRAME).contains(&self.max_frame) {
            return Err(ConfigError::MaxFrame(self.max_frame));
        }
        if !(1..=MAX_LINKS).contains(&self.max_links) {
            return Err(ConfigError::MaxLinks(self.max_links));
        }
        if !(LOOK..=LOOK_EVERY_MAX).contains(&self.look_every) {
            return Err(ConfigError::LookEvery(self.look_every));
        }
        if self.connection_timeout.is_zero() {
            return Err(ConfigError::Timeout);
        }
        Ok(())
    }

    pub(crate) fn capabilities(&self, medium: Medium) -> LinkCapabilities {
        LinkCapabilities {
            max_frame: self.max_frame,
            nominal_rate: self.nominal_rate,
            energy: EnergyProfile::BLUETOOTH_LE,
            metered: false,
            prior_reliability: self.prior_reliability,
            medium,
        }
    }
}

/// Why a [`BleConfig`] was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A frame size that no link can have.
    #[error("max_frame: {0} bytes, it lies between {min} and {MAX_FRAME}", min = LinkCapabilities::MIN_FRAME)]
    MaxFrame(usize),
    /// A number of links that no radio holds.
    #[error("max_links: {0}, it lies between 1 and {MAX_LINKS}")]
    MaxLinks(usize),
    /// A time between looks that no look fits in, or in which nobody is found.
    #[error("look_every: {0:?}, it lies between {LOOK:?} and {LOOK_EVERY_MAX:?}")]
    LookEvery(Duration),
    /// No dial could succeed.
    #[error("connection_timeout: must be above zero")]
    Timeout,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_relation_is_checked_on_both_sides() {
        let with = |change: fn(&mut BleConfig)| {
            let mut config = BleConfig::default();
            change(&mut config);
            config.check()
        };
        assert_eq!(with(|_| {}), Ok(()));
        assert_eq!(with(|c| c.max_frame = 256), Ok(()));
        assert_eq!(with(|c| c.max_frame = 255), Err(ConfigError::MaxFrame(255)));
        assert_eq!(with(|c| c.max_frame = 1_263), Ok(()));
        assert_eq!(with(|c| c.max_frame = 1_264), Err(ConfigError::MaxFrame(1_264)));
        assert_eq!(with(|c| c.max_links = 1), Ok(()));
        assert_eq!(with(|c| c.max_links = 0), Err(ConfigError::MaxLinks(0)));
        assert_eq!(with(|c| c.max_links = 8), Err(ConfigError::MaxLinks(8)));
        assert_eq!(with(|c| c.look_every = Duration::from_secs(6)), Ok(()));
        let refused = |millis| Err(ConfigError::LookEvery(Duration::from_millis(millis)));
        assert_eq!(with(|c| c.look_every = Duration::from_millis(5_999)), refused(5_999));
        assert_eq!(with(|c| c.look_every = Duration::from_secs(3_600)), Ok(()));
        assert_eq!(with(|c| c.look_every = Duration::from_millis(3_600_001)), refused(3_600_001));
        assert_eq!(with(|c| c.connection_timeout = Duration::ZERO), Err(ConfigError::Timeout));
    }
}
