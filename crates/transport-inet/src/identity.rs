use bitcraps_types::PeerId;
use ed25519_dalek::SigningKey;
use iroh::{EndpointId, SecretKey};

/// The node's key: what it proves in every handshake. A peer's id is iroh's endpoint id.
///
/// The secret is wiped from memory on drop.
#[derive(Clone)]
pub struct Identity(SecretKey);

impl Identity {
    /// From the 32-byte secret seed of RFC 8032.
    pub fn from_seed(seed: &zeroize::Zeroizing<[u8; 32]>) -> Self {
        Self(SecretKey::from_bytes(seed))
    }

    /// The node's name: its public key.
    pub fn peer(&self) -> PeerId {
        peer_of(self.0.public())
    }

    pub(crate) fn secret(&self) -> SecretKey {
        self.0.clone()
    }
}

impl From<SigningKey> for Identity {
    fn from(key: SigningKey) -> Self {
        Self(SecretKey::from_bytes(key.as_bytes()))
    }
}

pub(crate) fn peer_of(id: EndpointId) -> PeerId {
    PeerId::from_bytes(*id.as_bytes())
}

/// `None` when no secret key can exist to this public one.
pub(crate) fn endpoint_of(peer: PeerId) -> Option<EndpointId> {
    EndpointId::from_bytes(peer.as_bytes()).ok()
}
