use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::{EnergyProfile, Kbps, Ratio};

/// Which family of link carries a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
pub enum TransportType {
    /// Bluetooth LE.
    Bluetooth = 0,
    /// Wi-Fi Direct and any LAN.
    #[cfg_attr(feature = "serde", serde(rename = "wifi"))]
    WiFiDirect = 1,
    /// Anything beyond the local network.
    Internet = 2,
}

impl TransportType {
    /// Every type.
    pub const ALL: [Self; 3] = [Self::Bluetooth, Self::WiFiDirect, Self::Internet];
    /// How many types there are.
    pub const COUNT: usize = 3;

    /// Position in [`Self::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Lower-case name, as in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bluetooth => "bluetooth",
            Self::WiFiDirect => "wifi",
            Self::Internet => "internet",
        }
    }

    /// The least retransmission timeout: 60 ms on Bluetooth LE (two connection intervals), 10 ms
    /// elsewhere.
    pub const fn timeout_floor(self) -> Duration {
        match self {
            Self::Bluetooth => Duration::from_millis(60),
            Self::WiFiDirect | Self::Internet => Duration::from_millis(10),
        }
    }

    /// Retransmission timeout before the first measurement.
    pub const fn cold_timeout(self) -> Duration {
        match self {
            Self::Bluetooth => Duration::from_millis(400),
            Self::WiFiDirect => Duration::from_millis(200),
            Self::Internet => Duration::from_millis(1_000),
        }
    }
}

impl fmt::Display for TransportType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A text that names no transport.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown transport {0:?}; one of bluetooth, wifi, internet")]
pub struct ParseTransportError(pub String);

impl FromStr for TransportType {
    type Err = ParseTransportError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|t| t.name() == text);
        found.ok_or_else(|| ParseTransportError(text.to_owned()))
    }
}

/// What a link really runs over; shown wherever the link is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "lowercase")
)]
pub enum Medium {
    /// A network interface or radio of this machine.
    Real,
    /// Real sockets that stay on this machine.
    Loopback,
    /// A model of a radio; no radio is involved.
    Emulated,
}

impl fmt::Display for Medium {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Real => "real",
            Self::Loopback => "loopback",
            Self::Emulated => "emulated",
        })
    }
}

/// What a link can do, told by its driver when the link comes up and constant for its life.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LinkCapabilities {
    /// Upper bound of one frame in bytes, hop header included. At least [`Self::MIN_FRAME`].
    pub max_frame: usize,
    /// Rate to reckon with before anything was measured.
    pub nominal_rate: Kbps,
    /// What the radio costs.
    pub energy: EnergyProfile,
    /// Whether bytes cost money; a metered link is never probed periodically.
    pub metered: bool,
    /// Delivery probability to assume before anything was measured.
    pub prior_reliability: Ratio,
    /// What it really runs over.
    pub medium: Medium,
}

impl LinkCapabilities {
    /// Least `max_frame` a link may have: room for every header and a useful payload.
    pub const MIN_FRAME: usize = 256;
}
