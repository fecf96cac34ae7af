use bitcraps_types::{Epoch, PeerId};

use crate::{Suite, Tag};

/// Why no handshake was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// The id is not the key of anybody.
    #[error("peer {0} is not a key that can be agreed with")]
    Key(PeerId),
    /// It is this node.
    #[error("peer {0} is this node")]
    Own(PeerId),
    /// A later incarnation of the peer is known.
    #[error("epoch {} of the peer is over, {} is known", asked.0, known.0)]
    Stale {
        /// The incarnation asked for.
        asked: Epoch,
        /// The latest one that proved itself.
        known: Epoch,
    },
    /// As many peers as there is room for have a session in use.
    #[error("{0} peers have a session in use; try again later")]
    Full(usize),
}

/// Why a handshake message was dropped. Nothing changed but what the variant says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// The sender cannot have a session.
    #[error(transparent)]
    Peer(#[from] ConnectError),
    /// It has no length that such a message has.
    #[error("a handshake message of {0} bytes")]
    Length(usize),
    /// It is no kind of handshake message.
    #[error("unknown kind {0} of handshake message")]
    Kind(u8),
    /// The kind of handshake is not the one that this node speaks.
    #[error("the peer offers {offered}, this node speaks {spoken}")]
    Suite {
        /// Theirs.
        offered: Suite,
        /// Ours.
        spoken: Suite,
    },
    /// It was not made by that peer, not for this node in this incarnation, or was changed.
    #[error("authentication failed")]
    Authentication,
    /// An initiation as old as one that was answered.
    #[error("initiation {counter} is a replay, {newest} was answered")]
    Replay {
        /// Its number.
        counter: u64,
        /// The newest number answered.
        newest: u64,
    },
    /// It answers nothing that is under way.
    #[error("no handshake has {0}")]
    Unexpected(Tag),
    /// More handshakes came than are answered in this time; a later one will be.
    #[error("too many handshakes at once")]
    Busy,
}

/// Why a message was not sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// No session is established with the destination.
    #[error("no session with {0}; connect first")]
    NoSession(PeerId),
    /// The message names another source than this node.
    #[error("the message is of {0}, not of this node")]
    Source(PeerId),
    /// It is longer than is ever sealed.
    #[error("{len} bytes, at most {bound} are sealed")]
    TooLarge {
        /// Length in bytes.
        len: usize,
        /// The bound in bytes.
        bound: usize,
    },
}

/// Why a sealed message was not opened. Nothing changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Shorter than a seal.
    #[error("{0} bytes are no sealed message")]
    Length(usize),
    /// No session with the sender has this tag, or not any more. The sender was told.
    #[error("no session has {0}")]
    NoSession(Tag),
    /// It was not sealed by that peer under that identity and generation, or was changed.
    #[error("authentication failed")]
    Authentication,
    /// It was opened before, or is too old to tell.
    #[error("acknowledgement {0} is a replay")]
    Replay(u64),
}
