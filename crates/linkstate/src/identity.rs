use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bitcraps_types::{Epoch, PeerId};
use bitcraps_wire::{Alias, Introduction, Record};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use foldhash::fast::FixedState;
use hashbrown::HashMap;
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
    /// Keys hashes of what others name, so that nobody can choose names that meet in them.
    pub(crate) hash: u64,
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
        let hash = Sha256::new().chain_update(b"bitcraps tables").chain_update(seed);
        let hash: [u8; 32] = hash.chain_update(epoch.0.to_be_bytes()).finalize().into();
        let hash = u64::from_be_bytes(*hash.first_chunk().unwrap_or(&[0; 8]));
        Self { key, introduction, alias: alias_of(&peer), hash }
    }

    pub(crate) fn sign(&self, record: &mut Record) {
        record.signature = self.key.sign(&record.signed_bytes(&self.introduction)).to_bytes();
    }
}

/// Records that were found to be signed, for databases of one process that hear the same ones: each is
/// verified once, and kept once, for all of them. A handle; clones share what is known.
#[derive(Debug, Clone, Default)]
pub struct Verified(Arc<Mutex<Records>>);

/// By a hash of each record, its origin and its signature.
type Records = HashMap<[u8; 32], Arc<Record>, FixedState>;

impl Verified {
    /// Records that are remembered: what a network of a thousand says in minutes, 20 MB. Beyond it
    /// everything is forgotten, and verified again.
    const MOST: usize = 1 << 16;

    fn lock(&self) -> MutexGuard<'_, Records> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The record, if its origin signed it. About 50 µs, or 1 µs when somebody found it before.
pub(crate) fn signed(
    record: Record,
    origin: &Introduction,
    verified: Option<&Verified>,
) -> Option<Arc<Record>> {
    let signed = record.signed_bytes(origin);
    let digest = verified.map(|verified| {
        let hash = Sha256::new().chain_update(origin.key.as_bytes());
        let hash = hash.chain_update(record.signature).chain_update(&signed);
        (verified, <[u8; 32]>::from(hash.finalize()))
    });
    let known = digest.as_ref().and_then(|(known, digest)| known.lock().get(digest).cloned());
    if known.is_some() {
        return known;
    }
    let signature = Signature::from_bytes(&record.signature);
    VerifyingKey::from_bytes(origin.key.as_bytes())
        .and_then(|key| key.verify_strict(&signed, &signature))
        .ok()?;
    let record = Arc::new(record);
    if let Some((verified, digest)) = digest {
        let mut known = verified.lock();
        if known.len() >= Verified::MOST {
            known.clear();
        }
        known.insert(digest, Arc::clone(&record));
    }
    Some(record)
}
