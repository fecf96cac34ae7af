use std::fmt;

use bitcraps_types::PeerId;
use ed25519_dalek::{SigningKey, VerifyingKey};
use zeroize::Zeroizing;

/// Who this node is: its [`PeerId`], and the secret behind it in the form that key agreement uses.
///
/// The X25519 secret is the scalar of the Ed25519 key, and the public keys correspond (RFC 7748,
/// section 4.1), so that no second key has to be certified. Using one key for both is sound as long
/// as signatures and agreements hash what they cover with different labels, as here (E. Thormarker,
/// "On using the same key pair for Ed25519 and an X25519 based KEM", 2021).
pub struct Identity {
    peer: PeerId,
    scalar: Zeroizing<[u8; 32]>,
}

impl Identity {
    /// The identity of an Ed25519 seed (RFC 8032's private key). One scalar multiplication.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let key = SigningKey::from_bytes(seed);
        let peer = PeerId::from_bytes(key.verifying_key().to_bytes());
        Self { peer, scalar: Zeroizing::new(key.to_scalar_bytes()) }
    }

    /// The public half.
    pub const fn peer(&self) -> PeerId {
        self.peer
    }

    pub(crate) fn secret(&self) -> &[u8; 32] {
        &self.scalar
    }

    /// Says that it is `peer`, whose secret it does not have.
    #[cfg(all(test, feature = "hybrid"))]
    pub(crate) fn claim(&mut self, peer: PeerId) {
        self.peer = peer;
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("peer", &self.peer).finish_non_exhaustive()
    }
}

/// The X25519 public key of a peer; `None` when the id is no point of the curve, or one of small
/// order, with which every agreement has the same result.
pub(crate) fn agreement_key(peer: &PeerId) -> Option<[u8; 32]> {
    let key = VerifyingKey::from_bytes(peer.as_bytes()).ok()?;
    (!key.is_weak()).then(|| key.to_montgomery().to_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_are_no_keys_have_no_agreement_key() {
        let identity = Identity::from_seed(&[7; 32]);
        assert!(agreement_key(&identity.peer()).is_some());
        let mut small = [0; 32];
        small[0] = 1;
        assert_eq!(agreement_key(&PeerId::from_bytes(small)), None, "the neutral element");
        assert_eq!(agreement_key(&PeerId::from_bytes([0; 32])), None, "order four");
        let mut none = [0; 32];
        none[0] = 2;
        assert_eq!(agreement_key(&PeerId::from_bytes(none)), None, "not on the curve");
    }

    #[test]
    fn a_secret_is_not_shown() {
        let identity = Identity::from_seed(&[7; 32]);
        let shown = format!("{identity:?}");
        assert_eq!(shown, format!("Identity {{ peer: {:?}, .. }}", identity.peer()));
    }
}
