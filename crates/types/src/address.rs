use std::fmt;

use crate::{PeerId, TransportType};

/// Where a peer listens, in the words of one transport (for QUIC `ip:port`). Opaque to everyone
/// else.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(String);

impl Address {
    /// Wraps a transport's own notation.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The transport's own notation.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// How a hint came to be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HintSource {
    /// Written in the config.
    Static,
    /// A signed beacon.
    Beacon,
    /// Multicast DNS.
    Mdns,
    /// A radio advertisement.
    Advertisement,
}

/// A place where a peer can probably be reached. A claim, not a fact, until a dial authenticates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hint {
    /// Whom to ask and where.
    pub target: ConnectTarget,
    /// How it is known.
    pub source: HintSource,
}

/// What to dial.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectTarget {
    /// The transport to dial with.
    pub transport: TransportType,
    /// The peer to expect; any other key is refused.
    pub peer: PeerId,
    /// Where it listens.
    pub address: Address,
    /// The local address to dial from; the transport chooses when absent.
    pub via: Option<Address>,
}

/// Why a link went down.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DownReason {
    /// This end closed it.
    #[error("closed here")]
    ClosedHere,
    /// The other end closed it.
    #[error("closed by the peer")]
    ClosedByPeer,
    /// The carrier gave up waiting for a sign of life.
    #[error("timed out")]
    TimedOut,
    /// A newer link over the same path took its place.
    #[error("replaced by a newer link")]
    Replaced,
    /// The carrier failed.
    #[error("failed: {0}")]
    Failed(String),
}
