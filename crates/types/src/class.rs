use std::fmt;
use std::str::FromStr;

/// What a message is worth and for how long. The order is the order of service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "lowercase")
)]
pub enum TrafficClass {
    /// Worth nothing after about 150 ms (a dice roll).
    Realtime = 0,
    /// Must arrive, once (a bet).
    Critical = 1,
    /// Whenever it suits the battery (chat).
    Background = 2,
    /// Newest state wins, lowest priority (state sync).
    Bulk = 3,
}

impl TrafficClass {
    /// Every class, in the order of service.
    pub const ALL: [Self; 4] = [Self::Realtime, Self::Critical, Self::Background, Self::Bulk];
    /// How many classes there are.
    pub const COUNT: usize = 4;

    /// Position in [`Self::ALL`]; also the number on the wire.
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The class with this number on the wire, if there is one.
    pub const fn from_wire(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Realtime),
            1 => Some(Self::Critical),
            2 => Some(Self::Background),
            3 => Some(Self::Bulk),
            _ => None,
        }
    }

    /// Lower-case name, as in configs and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Realtime => "realtime",
            Self::Critical => "critical",
            Self::Background => "background",
            Self::Bulk => "bulk",
        }
    }
}

impl fmt::Display for TrafficClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A text that names no class.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown traffic class {0:?}; one of realtime, critical, background, bulk")]
pub struct ParseClassError(pub String);

impl FromStr for TrafficClass {
    type Err = ParseClassError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|c| c.name() == text);
        found.ok_or_else(|| ParseClassError(text.to_owned()))
    }
}

/// How much the destination must have done before a message counts as delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AckLevel {
    /// A link took it. Reported as sent, never as delivered.
    Accepted = 0,
    /// The destination's coordinator took custody and recorded it against duplicates.
    PeerAcked = 1,
    /// The destination's application returned success.
    Applied = 2,
}

impl AckLevel {
    /// The level with this number on the wire, if there is one.
    pub const fn from_wire(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Accepted),
            1 => Some(Self::PeerAcked),
            2 => Some(Self::Applied),
            _ => None,
        }
    }
}
