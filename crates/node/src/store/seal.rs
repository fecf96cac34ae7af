//! How payloads are sealed at rest: XChaCha20-Poly1305 under a key derived from the node's own
//! (HKDF-SHA-256, RFC 5869), bound to the key of their row.
//!
//! A nonce has 24 bytes: 16 drawn from the operating system each time the store is opened, and a
//! count of 8. A count never repeats in a process, and 16 random bytes do not repeat between
//! processes, not even when an older copy of the whole data directory is put back.

use std::sync::atomic::{AtomicU64, Ordering};

use chacha20poly1305::aead::AeadInPlace;
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::StoreError;
use crate::Identity;

const NONCE: usize = 24;
const DRAWN: usize = 16;
const PURPOSE: &[u8] = b"bitcraps store: payloads at rest, 1";

/// Seals and opens.
pub(super) struct Sealer {
    cipher: XChaCha20Poly1305,
    drawn: [u8; DRAWN],
    count: AtomicU64,
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sealer").finish_non_exhaustive()
    }
}

impl Sealer {
    pub(super) fn new(identity: &Identity) -> Result<Self, StoreError> {
        let mut drawn = [0; DRAWN];
        getrandom::fill(&mut drawn).map_err(|e| StoreError::Randomness(e.to_string()))?;
        let secret = Zeroizing::new(identity.signing_key().to_bytes());
        let mut key = Zeroizing::new([0; 32]);
        // 32 bytes are never more than the function can give.
        Hkdf::<Sha256>::new(None, secret.as_slice())
            .expand(PURPOSE, key.as_mut_slice())
            .map_err(|e| StoreError::Randomness(e.to_string()))?;
        let cipher = XChaCha20Poly1305::new(key.as_ref().into());
        Ok(Self { cipher, drawn, count: AtomicU64::new(0) })
    }

    /// Seals `plain`, bound to `of`: the nonce, then the sealed bytes, 40 bytes more than `plain`.
    pub(super) fn seal(&self, of: &[&[u8]], mut plain: Vec<u8>) -> Vec<u8> {
        let mut nonce = [0; NONCE];
        nonce[..DRAWN].copy_from_slice(&self.drawn);
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        nonce[DRAWN..].copy_from_slice(&count.to_be_bytes());
        // Fails for more than 256 GiB only; a message has 16 MiB at most.
        let sealed = self.cipher.encrypt_in_place(&XNonce::from(nonce), &of.concat(), &mut plain);
        debug_assert!(sealed.is_ok());
        [nonce.as_slice(), &plain].concat()
    }

    /// Opens what [`Self::seal`] made of the same place; `None` for anything else.
    pub(super) fn open(&self, of: &[&[u8]], sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE>()?;
        let mut plain = sealed.to_vec();
        let opened = self.cipher.decrypt_in_place(&XNonce::from(*nonce), &of.concat(), &mut plain);
        opened.is_ok().then_some(plain)
    }
}
