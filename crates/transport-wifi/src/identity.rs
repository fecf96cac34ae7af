use std::sync::Arc;

use aws_lc_rs::hmac;
use bitcraps_types::PeerId;
use ed25519_dalek::{Signer as _, SigningKey};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
use zeroize::Zeroizing;

/// SubjectPublicKeyInfo of an Ed25519 key (RFC 8410) up to the 32 bytes of the key.
const SPKI_PREFIX: [u8; 12] =
    [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// PKCS #8 version 1 of an Ed25519 key (RFC 8410) up to the 32 bytes of the seed.
const PKCS8_PREFIX: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// The node's key: what it proves in every handshake and signs beacons with.
///
/// The secret is wiped from memory on drop.
#[derive(Clone)]
pub struct Identity {
    key: SigningKey,
    peer: PeerId,
}

impl Identity {
    /// From the 32-byte secret seed of RFC 8032.
    pub fn from_seed(seed: &Zeroizing<[u8; 32]>) -> Self {
        Self::from(SigningKey::from_bytes(seed))
    }

    /// The node's name: its public key.
    pub fn peer(&self) -> PeerId {
        self.peer
    }

    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.key.sign(message).to_bytes()
    }

    /// A secret of this node for one purpose: a later incarnation derives the same.
    pub(crate) fn derive(&self, purpose: &str) -> [u8; 32] {
        let seed = Zeroizing::new(self.key.to_bytes());
        let key = hmac::Key::new(hmac::HMAC_SHA256, seed.as_slice());
        let mut out = [0; 32];
        for (out, byte) in out.iter_mut().zip(hmac::sign(&key, purpose.as_bytes()).as_ref()) {
            *out = *byte;
        }
        out
    }

    /// The key as rustls wants it: a raw public key (RFC 7250) in place of a certificate.
    pub(crate) fn certified_key(
        &self,
        provider: &CryptoProvider,
    ) -> Result<Arc<CertifiedKey>, rustls::Error> {
        let mut pkcs8 = Zeroizing::new(PKCS8_PREFIX.to_vec());
        pkcs8.extend_from_slice(Zeroizing::new(self.key.to_bytes()).as_slice());
        let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pkcs8.as_slice())).clone_key();
        let key = provider.key_provider.load_private_key(der)?;
        let spki = CertificateDer::from(spki(self.peer));
        Ok(Arc::new(CertifiedKey::new(vec![spki], key)))
    }
}

impl From<SigningKey> for Identity {
    fn from(key: SigningKey) -> Self {
        let peer = PeerId::from_bytes(key.verifying_key().to_bytes());
        Self { key, peer }
    }
}

fn spki(peer: PeerId) -> Vec<u8> {
    [&SPKI_PREFIX[..], peer.as_bytes()].concat()
}

/// The peer whose raw public key this is; `None` when it is no Ed25519 key.
pub(crate) fn peer_of(spki: &[u8]) -> Option<PeerId> {
    let key = spki.strip_prefix(&SPKI_PREFIX)?;
    Some(PeerId::from_bytes(key.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_ed25519_key_names_a_peer() {
        let identity = Identity::from_seed(&Zeroizing::new([7; 32]));
        let good = spki(identity.peer());
        assert_eq!(peer_of(&good), Some(identity.peer()));
        assert_eq!(peer_of(&good[..43]), None);
        assert_eq!(peer_of(&[&good[..], &[0]].concat()), None);
        let mut other_algorithm = good;
        other_algorithm[8] = 0x6e;
        assert_eq!(peer_of(&other_algorithm), None);
    }

    #[test]
    fn secrets_differ_by_purpose_and_by_node_and_survive_a_restart() {
        let one = Identity::from_seed(&Zeroizing::new([7; 32]));
        let again = Identity::from_seed(&Zeroizing::new([7; 32]));
        let two = Identity::from_seed(&Zeroizing::new([8; 32]));
        assert_eq!(one.derive("reset"), again.derive("reset"));
        assert_ne!(one.derive("reset"), one.derive("cid"));
        assert_ne!(one.derive("reset"), two.derive("reset"));
    }
}
