use std::fmt;

use bitcraps_types::{Epoch, Timestamp};
use rand_core::CryptoRng;

use crate::handshake::Keys;
use crate::replay::ReplayWindow;
use crate::seal::Key;

/// What names a session in what is sealed under it: four random bytes chosen by whoever opens it.
/// They select a key and prove nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(pub [u8; Self::LEN]);

impl Tag {
    /// Length in bytes.
    pub const LEN: usize = 4;

    pub(crate) fn random(rng: &mut (impl CryptoRng + ?Sized)) -> Self {
        let mut tag = [0; Self::LEN];
        rng.fill_bytes(&mut tag);
        Self(tag)
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tag {:08x}", u32::from_be_bytes(self.0))
    }
}

/// One established session, from this end.
pub(crate) struct Session {
    /// Chosen here; what comes in carries it.
    pub(crate) own_tag: Tag,
    /// Chosen by the peer; what goes out carries it.
    pub(crate) peer_tag: Tag,
    pub(crate) peer_epoch: Epoch,
    pub(crate) sealing: Key,
    pub(crate) opening: Key,
    /// Number of the next acknowledgement.
    pub(crate) next_ack: u64,
    pub(crate) acks: ReplayWindow,
    pub(crate) established: Timestamp,
    pub(crate) initiated_here: bool,
}

impl Session {
    pub(crate) fn new(
        keys: &Keys,
        tags: (Tag, Tag),
        peer_epoch: Epoch,
        initiated_here: bool,
        now: Timestamp,
    ) -> Self {
        let (sealing, opening) = match initiated_here {
            true => (&keys.to_responder, &keys.to_initiator),
            false => (&keys.to_initiator, &keys.to_responder),
        };
        Self {
            own_tag: tags.0,
            peer_tag: tags.1,
            peer_epoch,
            sealing: Key::new(sealing),
            opening: Key::new(opening),
            next_ack: 0,
            acks: ReplayWindow::default(),
            established: now,
            initiated_here,
        }
    }
}
