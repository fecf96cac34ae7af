use bitcraps_types::{PeerId, TransportType};

/// Why a peer was not added. Nothing changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddNodeError {
    /// It is there already.
    #[error("peer {0} is in the topology already")]
    Duplicate(PeerId),
    /// There are [`Graph::MAX_PEERS`](crate::Graph::MAX_PEERS) peers.
    #[error("the topology is full; remove a peer before adding {0}")]
    Full(PeerId),
}

/// A peer that is not in the topology. Nothing changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("peer {0} is not in the topology; add it first")]
pub struct UnknownPeer(pub PeerId);

/// Why a link was not added. Nothing changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddEdgeError {
    /// Both ends are the same peer.
    #[error("peer {0} cannot be linked with itself")]
    SelfLink(PeerId),
    /// One of the ends is not there.
    #[error(transparent)]
    Unknown(#[from] UnknownPeer),
    /// The pair has a link over this transport.
    #[error("{a} and {b} are linked over {transport} already; update that link")]
    Duplicate {
        /// One end.
        a: PeerId,
        /// The other.
        b: PeerId,
        /// What carries it.
        transport: TransportType,
    },
    /// There are [`Graph::MAX_LINKS`](crate::Graph::MAX_LINKS) linked pairs, or no room
    /// for the ends that are new.
    #[error("the topology is full; remove something before adding {0} - {1}")]
    Full(PeerId, PeerId),
}

/// Why a link was neither changed nor removed. Nothing changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EdgeError {
    /// One of the ends is not there.
    #[error(transparent)]
    Unknown(#[from] UnknownPeer),
    /// The pair has no link over this transport.
    #[error("{a} and {b} are not linked over {transport}")]
    NoLink {
        /// One end.
        a: PeerId,
        /// The other.
        b: PeerId,
        /// What would carry it.
        transport: TransportType,
    },
}
