use std::time::Duration;

use bitcraps_types::{
    AckLevel, ConnectTarget, Epoch, LinkId, MessageId, PeerId, TrafficClass, TransportType,
};
use bytes::Bytes;

use crate::record::Batch;
use crate::{Outcome, Standing, Ticket};

/// A message handed to the application. The coordinator has custody: it is acknowledged and never
/// handed over again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Its identity.
    pub id: MessageId,
    /// Its bytes.
    pub payload: Bytes,
    /// What its sender waits for; [`AckLevel::Applied`] needs the application's answer.
    pub ack: AckLevel,
    /// The link that brought the last part of it; 0 when it came in a former incarnation.
    pub link: LinkId,
}

impl Delivery {
    /// Who sent it.
    pub fn source(&self) -> PeerId {
        self.id.source
    }

    /// Its class.
    pub fn class(&self) -> TrafficClass {
        self.id.class
    }
}

/// What the shell is to do. Commands leave in the order they were made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Hand `frame` to `link` at once; on an error tell
    /// [`Core::transmit_failed`](crate::Core::transmit_failed) with `seq`.
    Transmit {
        /// The link.
        link: LinkId,
        /// The frame's number on the link, if it has one.
        seq: Option<u32>,
        /// The bytes.
        frame: Bytes,
    },
    /// Hand a message to the application.
    Deliver(Delivery),
    /// The one outcome of a ticket; the ticket may be used for another message after it.
    Settle {
        /// Which.
        ticket: Ticket,
        /// How it ended.
        outcome: Outcome,
    },
    /// Close a link that is of no use.
    Close {
        /// Which.
        link: LinkId,
        /// Why.
        why: CloseReason,
    },
    /// Dial; tell the result with
    /// [`Machine::connected`](crate::Machine::connected). The core never dials, a machine around it
    /// may.
    Connect(ConnectTarget),
    /// Make these changes durable together, then tell [`Core::committed`](crate::Core::committed),
    /// or [`Core::store_failed`](crate::Core::store_failed). One at a time, and only after
    /// [`Core::recall`](crate::Core::recall).
    Persist(Batch),
    /// Tell whoever wants to know.
    Notice(Notice),
}

/// Why a link is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CloseReason {
    /// The peer has as many links as it may.
    #[error("too many links to one peer")]
    TooManyLinks,
    /// No hello came within the connection timeout.
    #[error("no hello within {0:?}")]
    NoHello(Duration),
    /// The other end is a former incarnation of the peer.
    #[error("a former incarnation of the peer")]
    StaleIncarnation,
    /// It was made to heal the network, and is needed no more.
    #[error("made to heal the network, and needed no more")]
    Healed,
    /// The peer table is full.
    #[error("peer table is full")]
    TooManyPeers,
    /// The other end has this node's own key.
    #[error("the other end has this node's own key")]
    OwnKey,
    /// The peer is blocked.
    #[error("the peer is blocked")]
    Blocked,
    /// Strangers hold as many links as they may, or come too often.
    #[error("no room for another stranger")]
    NoRoomForStrangers,
    /// A newer stranger took its place.
    #[error("a newer stranger took its place")]
    Evicted,
    /// Another device uses the peer's key, and was there before.
    #[error("another device uses the peer's key")]
    KeyConflict,
}

/// Something happened that people or other machines may want to know. At most one for each change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// Both ends have greeted each other; the link carries data.
    LinkReady {
        /// The peer.
        peer: PeerId,
        /// The link.
        link: LinkId,
        /// Its family.
        transport: TransportType,
    },
    /// A link is gone.
    LinkGone {
        /// The peer.
        peer: PeerId,
        /// The link.
        link: LinkId,
        /// Its family.
        transport: TransportType,
    },
    /// A link's standing changed.
    LinkChanged {
        /// The peer.
        peer: PeerId,
        /// The link.
        link: LinkId,
        /// Its family.
        transport: TransportType,
        /// How.
        change: LinkChange,
    },
    /// A message moved to another link after a timeout or an error.
    Failover {
        /// The peer.
        peer: PeerId,
        /// The message's class.
        class: TrafficClass,
        /// Where it was.
        from: LinkId,
        /// Where it is.
        to: LinkId,
        /// From its first transmission to this one.
        after: Duration,
    },
    /// The peer is there for the first time, or in a new incarnation.
    PeerIncarnation {
        /// The peer.
        peer: PeerId,
        /// Its epoch.
        epoch: Epoch,
        /// Whether it was known in a former one.
        restarted: bool,
    },
    /// What must be durable cannot be any more: it is refused from now on.
    StoreFailed {
        /// What went wrong.
        why: String,
    },
    /// No link to the peer is left.
    PeerUnreachable {
        /// The peer.
        peer: PeerId,
    },
    /// Nothing is known of a peer any more: it had no link for long, and nobody named it.
    PeerForgotten {
        /// The peer.
        peer: PeerId,
    },
    /// What a peer may do has changed.
    PeerStanding {
        /// The peer.
        peer: PeerId,
        /// What it may do now.
        standing: Standing,
    },
    /// This node's own key was seen, signed, in a higher epoch: this life is over as soon as another
    /// one can begin, above that epoch.
    EpochOutran {
        /// The epoch seen.
        above: Epoch,
    },
    /// An invitation was proved to this node, or one that this node proves was answered.
    Admission {
        /// The other end.
        peer: PeerId,
    },
    /// The network's health is to be looked at, by whoever does that.
    LookDue,
    /// Two devices use one key: both answered at the same time. Told once for each that is shut out.
    KeyConflict {
        /// The key.
        peer: PeerId,
        /// The incarnation that goes on.
        epoch: Epoch,
        /// The incarnation that is shut out.
        shut_out: Epoch,
    },
}

/// How a link's standing changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkChange {
    /// It missed acknowledgements; it is ranked last and probed.
    Suspect,
    /// It fell out of favour again and again; its hold grows. Told once an episode.
    Flapping,
    /// It answers nothing.
    Down,
    /// It is trusted again.
    Recovered,
}
