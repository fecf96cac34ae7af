use std::fmt;
use std::time::Duration;

use bitcraps_types::{AckLevel, LinkId, PeerId, TransportType};

use crate::config::bounds;

/// Names a message between `send` and its outcome. Never used twice for different messages while
/// either is unsettled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

/// A link that a message was tried on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TriedLink {
    /// The link.
    pub link: LinkId,
    /// Its family.
    pub transport: TransportType,
}

/// How a message ended. Exactly one for each ticket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The destination acknowledged it.
    Delivered {
        /// At which level.
        level: AckLevel,
        /// The link that carried the acknowledged copy.
        link: TriedLink,
        /// Transmissions of the message, copies included, fragments not counted.
        attempts: u16,
        /// From `send` to the acknowledgement.
        latency: Duration,
    },
    /// A link took it, and no more was asked for. Not delivered, as far as anyone knows.
    Sent {
        /// The link.
        link: TriedLink,
    },
    /// Certain: no whole copy was handed to a link, or the destination refused it as late.
    Expired {
        /// Links it was tried on.
        tried: Vec<TriedLink>,
    },
    /// It will not be sent, or the destination refused it for good.
    Rejected {
        /// Why.
        why: RejectReason,
    },
    /// A copy left and no answer came in time, or the destination restarted. Also a message of the
    /// outbox when the node stops, which goes on when it starts again.
    Unknown {
        /// Links it was tried on.
        tried: Vec<TriedLink>,
    },
}

/// Why a message will not be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RejectReason {
    /// A newer message of the same conflation key took its place.
    #[error("superseded by a newer message of the same key")]
    Superseded,
    /// Its receipt was cancelled before a copy left.
    #[error("cancelled before it was sent")]
    Cancelled,
    /// The destination's application refused it.
    #[error("refused by the destination's application")]
    Refused,
    /// The destination has not admitted this node, or this node no longer admits the destination.
    #[error("one of the two nodes has not admitted the other")]
    NotAdmitted,
    /// The destination cannot tell any more whether it had it.
    #[error("too old for the destination's duplicate window")]
    TooOld,
    /// The destination has a store, and it is out of order: it takes nothing that has to be recorded.
    #[error("the destination cannot record it: its store is out of order")]
    Unrecorded,
    /// The node is shutting down.
    #[error("the node shut down")]
    ShutDown,
}

/// Where a peer was looked for that is nowhere to be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sought {
    /// Peers that are known by their links, by an address or by name, none of which it is.
    pub known: usize,
    /// Peers of the network as this node sees it, none of which it is; `None` when it sees none.
    pub network: Option<usize>,
}

impl fmt::Display for Sought {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no link with it was ever up and no address of it is known (")?;
        match self.known {
            1 => write!(f, "1 other peer is)")?,
            known => write!(f, "{known} other peers are)")?,
        }
        match self.network {
            None => write!(f, ", and this node does not see the network behind its links"),
            Some(peers) => write!(f, ", and it is none of the {peers} peers of the network"),
        }
    }
}

/// Why `send` took nothing. No state has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// Nothing is known by which the peer could be reached.
    #[error("no route to {}: {sought}", to.short())]
    NoRoute {
        /// The peer.
        to: PeerId,
        /// Where it was looked for.
        sought: Sought,
    },
    /// The peer was forgotten since its handle was taken.
    #[error("the peer was forgotten; take its handle anew")]
    Forgotten,
    /// The peer is not admitted here.
    #[error(
        "{} is not admitted by this node; admit it, or join it by an invitation of its",
        .0.short()
    )]
    NotAdmitted(PeerId),
    /// The message is too large.
    #[error("message of {len} bytes exceeds the largest of {max}")]
    TooLarge {
        /// Its length in bytes.
        len: usize,
        /// The largest allowed.
        max: usize,
    },
    /// Too much waits for this peer in this class; other classes are not affected.
    #[error("the {class} queue to the peer is full ({messages} messages, {bytes} bytes)")]
    QueueFull {
        /// The class.
        class: bitcraps_types::TrafficClass,
        /// Messages unsettled in it.
        messages: usize,
        /// Bytes unsettled in it.
        bytes: usize,
    },
    /// The store is out of order, and the message would have to outlive this process.
    #[error(
        "the store is out of order, and this message would have to be in it; see `bitcraps status`"
    )]
    StoreFailed,
    /// The store holds as much as it may.
    #[error("the store is full: {bytes} of {most} bytes; raise store.max_bytes or wait")]
    StoreFull {
        /// Bytes reckoned for what it holds.
        bytes: usize,
        /// Most that may be.
        most: usize,
    },
    /// The deadline is beyond what can be promised.
    #[error("deadline of {0:?} exceeds the longest of {max:?}", max = bounds::MAX_DEADLINE)]
    DeadlineTooFar(Duration),
    /// The node is shutting down.
    #[error("the node is shutting down")]
    ShutDown,
}

/// Where an unsettled message stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Waits for a link, for room, or for its predecessor.
    Queued,
    /// At least one copy is on its way.
    InFlight {
        /// Transmissions so far.
        attempts: u16,
    },
    /// The destination has it; its application has not answered yet.
    PeerAcked {
        /// Transmissions so far.
        attempts: u16,
    },
}
