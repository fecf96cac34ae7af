use bitcraps_types::{Epoch, PeerId, TransportType};
use bitcraps_wire::Quality;
use bytes::Bytes;

/// A link that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// The end with the lower key.
    pub a: PeerId,
    /// The other end.
    pub b: PeerId,
    /// What carries it, and the worse of what both ends say of it; what this node measures where it
    /// is an end itself.
    pub quality: Quality,
    /// A session with each end was completed, or the end is this node. Links of others may be
    /// inventions of somebody who has many keys.
    pub verified: bool,
}

/// A change of what is known of the network. Whoever applies all of them has what
/// [`links`](crate::LinkDatabase::links) gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// A link is there, or is otherwise than before.
    Link(Link),
    /// A link is gone.
    LinkGone {
        /// The end with the lower key.
        a: PeerId,
        /// The other end.
        b: PeerId,
        /// What carried it.
        transport: TransportType,
    },
    /// An origin is known; it may have no link that counts.
    Peer(PeerId),
    /// An origin is forgotten.
    PeerGone(PeerId),
}

/// What cannot be true of what somebody says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Flag {
    /// It has named a link with this node for ten seconds and more that was not there for as long.
    NoSuchLink = 0,
    /// It has said of a link for a minute that it is more than eight times faster than its other end
    /// says.
    EndsDisagree = 1,
    /// It names more Bluetooth links than a radio holds.
    TooManyLinks = 2,
    /// As a neighbour, it passes on records that nobody signed.
    Forgery = 3,
    /// It is much farther away than the links that lead to it say: something relays between their
    /// ends.
    TooNear = 4,
}

impl Flag {
    /// What a peer of which it holds does, for people.
    pub const fn text(self) -> &'static str {
        match self {
            Self::NoSuchLink => "names a link with this node that is not there",
            Self::EndsDisagree => "says of a link that it is much faster than its other end says",
            Self::TooManyLinks => "names more Bluetooth links than a radio holds",
            Self::Forgery => "passes on what nobody signed",
            Self::TooNear => "is much farther away than links say",
        }
    }
}

/// What the database wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Send a body to a neighbour, over any link. It may be lost.
    Transmit {
        /// To whom.
        to: PeerId,
        /// The body.
        body: Bytes,
    },
    /// What is known has changed.
    Changed(Change),
    /// Somebody says what cannot be true; told once for each key and flag.
    Flagged {
        /// Who does.
        peer: PeerId,
        /// What it is.
        flag: Flag,
    },
    /// Records under this node's own key are about in a higher epoch: its epoch has to be raised
    /// above that one, and then the database made anew.
    RaiseEpoch {
        /// The epoch seen.
        above: Epoch,
    },
    /// Records under this node's own key and epoch are about that it did not make: another device has
    /// its key.
    KeyElsewhere,
}
