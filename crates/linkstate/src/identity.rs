use bitcraps_types::{Epoch, PeerId};
use bitcraps_wire::{Alias, Introduction, Record};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// What a node tells the network about its links.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Privacy {
    /// Its links, under its own key: everybody sees who is next to whom.
    #[default]
    Neighbours,
    /// Its links, under a key that is new in each epoch: only neighbours know whose it is.
    Pseudonym,
    /// Nothing, and neighbours name it neither: nobody can reach it but through them.
    Nothing,
}

/// The alias of a key. Eight bytes: two keys of one alias are found after 2^32 tries, and harm only
/// whoever has both; one for the alias of somebody else after 2^64.
pub fn alias_of(key: &PeerId) -> Alias {
    let hash = Sha256::new().chain_update(b"bitcraps alias").chain_update(key.as_bytes());
    let hash: [u8; 32] = hash.finalize().into();
    Alias(u64::from_be_bytes(*hash.first_chunk().unwrap_or(&[0; 8])))
}

/// The key of the node with this Ed25519 seed.
pub fn peer_of(seed: &[u8; 32]) -> PeerId {
    PeerId::from_bytes(SigningKey::from_bytes(seed).verifying_key().to_bytes())
}

/// The key under which a node publishes.
pub(crate) struct Publisher {
    key: SigningKey,
    pub(crate) introduction: Introduction,
    pub(crate) alias: Alias,
}

impl Publisher {
    pub(crate) fn new(seed: &[u8; 32], epoch: Epoch, privacy: Privacy) -> Self {
        let key = match privacy {
            Privacy::Neighbours | Privacy::Nothing => SigningKey::from_bytes(seed),
            Privacy::Pseudonym => {
                let hash = Sha256::new()
                    .chain_update(b"bitcraps pseudonym")
                    .chain_update(seed)
                    .chain_update(epoch.0.to_be_bytes());
                let seed = Zeroizing::new(hash.finalize().into());
                SigningKey::from_bytes(&seed)
            }
        };
        let peer = PeerId::from_bytes(key.verifying_key().to_bytes());
        let introduction = Introduction { key: peer, epoch };
        Self { key, introduction, alias: alias_of(&peer) }
    }

    pub(crate) fn sign(&self, record: &mut Record) {
        record.signature = self.key.sign(&record.signed_bytes(&self.introduction)).to_bytes();
    }
}

/// Whether the origin signed the record. About 50 µs.
pub(crate) fn is_signed(record: &Record, origin: &Introduction) -> bool {
    let signature = Signature::from_bytes(&record.signature);
    VerifyingKey::from_bytes(origin.key.as_bytes())
        .and_then(|key| key.verify_strict(&record.signed_bytes(origin), &signature))
        .is_ok()
}
