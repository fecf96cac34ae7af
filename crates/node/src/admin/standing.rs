//! What the node answers about who may do what.

use std::fmt;

use bitcraps_types::{Address, PeerId, TransportType};
use serde::{Deserialize, Serialize};

/// What a peer may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Nothing.
    Blocked,
    /// Link and be greeted; its messages are refused.
    Stranger,
    /// Exchange messages.
    Admitted,
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Blocked => "blocked",
            Self::Stranger => "stranger",
            Self::Admitted => "admitted",
        })
    }
}

/// A place where peers may dial the node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListeningReport {
    /// The transport to dial with.
    pub transport: TransportType,
    /// Where.
    pub address: String,
}

/// An invitation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InviteReport {
    /// What to pass on.
    pub code: String,
    /// How long it is good for, in milliseconds.
    pub life_ms: u64,
    /// How many peers it admits.
    pub uses: u32,
    /// Where the invited will look for the node.
    pub addresses: Vec<ListeningReport>,
}

/// What became of a decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StandingReport {
    /// The peer.
    pub peer: PeerId,
    /// What it could do before.
    pub was: Standing,
    /// What it may do now.
    pub standing: Standing,
}

impl From<(TransportType, Address)> for ListeningReport {
    fn from((transport, address): (TransportType, Address)) -> Self {
        Self { transport, address: address.to_string() }
    }
}

impl From<bitcraps_coordinator::Standing> for Standing {
    fn from(standing: bitcraps_coordinator::Standing) -> Self {
        match standing {
            bitcraps_coordinator::Standing::Blocked => Self::Blocked,
            bitcraps_coordinator::Standing::Stranger => Self::Stranger,
            bitcraps_coordinator::Standing::Admitted => Self::Admitted,
        }
    }
}
