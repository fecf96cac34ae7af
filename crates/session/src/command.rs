use bitcraps_types::{Epoch, PeerId};
use bytes::Bytes;

use crate::Tag;

/// What the machine wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Send a handshake message to a peer, however many hops away. It may be lost.
    Transmit {
        /// Where to.
        to: PeerId,
        /// The incarnation it is meant for; `None` when none has proved itself.
        epoch: Option<Epoch>,
        /// At most 1,253 bytes.
        bytes: Bytes,
    },
    /// A session is established, or has replaced another: [`seal`](crate::Sessions::seal) works. What
    /// was sealed under a tag that [`holds`](crate::Sessions::holds) no longer can be sealed again.
    Established {
        /// With whom.
        peer: PeerId,
        /// Which of its incarnations.
        epoch: Epoch,
        /// What names the session in what is sealed from now on.
        tag: Tag,
    },
    /// The peer did not answer, and is not asked any more until
    /// [`connect`](crate::Sessions::connect) is called again.
    Failed {
        /// Who did not.
        peer: PeerId,
    },
}
