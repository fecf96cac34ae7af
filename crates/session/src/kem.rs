//! ML-KEM-768 (FIPS 203), its randomness passed in.

use ml_kem::array::Array;
use ml_kem::kem::{Decapsulate, KeyExport};
use ml_kem::ml_kem_768::{DecapsulationKey, EncapsulationKey};
use rand_core::CryptoRng;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

pub(crate) const ENCAPSULATION_KEY: usize = 1_184;
pub(crate) const CIPHERTEXT: usize = 1_088;

pub(crate) struct Secret(DecapsulationKey);

/// A fresh secret, and the key under which it is reached.
pub(crate) fn generate(rng: &mut (impl CryptoRng + ?Sized)) -> (Secret, [u8; ENCAPSULATION_KEY]) {
    let mut seed = Zeroizing::new([0; 64]);
    rng.fill_bytes(seed.as_mut_slice());
    let secret = DecapsulationKey::from_seed(Array::from(*seed));
    let public = secret.encapsulation_key().to_bytes();
    (Secret(secret), public.into())
}

/// A shared key, and the ciphertext that carries it; `None` when the key is none.
pub(crate) fn encapsulate(
    key: &[u8; ENCAPSULATION_KEY],
    rng: &mut (impl CryptoRng + ?Sized),
) -> Option<(Vec<u8>, Zeroizing<[u8; 32]>)> {
    let to = EncapsulationKey::new(&Array::from(*key)).ok()?;
    let mut random = Zeroizing::new([0; 32]);
    rng.fill_bytes(random.as_mut_slice());
    let (ciphertext, shared) = to.encapsulate_deterministic(&Array::from(*random));
    Some((ciphertext.to_vec(), mixed(&shared, &ciphertext, key)))
}

impl Secret {
    /// The key that a ciphertext carries. A changed ciphertext carries another key, and the
    /// handshake fails on it.
    pub(crate) fn decapsulate(&self, ciphertext: &[u8; CIPHERTEXT]) -> Zeroizing<[u8; 32]> {
        let ciphertext = Array::from(*ciphertext);
        let shared = self.0.decapsulate(&ciphertext);
        mixed(&shared, &ciphertext, &self.0.encapsulation_key().to_bytes())
    }
}

/// Binds the shared key to what carried it.
fn mixed(shared: &[u8], ciphertext: &[u8], key: &[u8]) -> Zeroizing<[u8; 32]> {
    let hash = Sha256::new()
        .chain_update(b"bitcraps session ML-KEM-768")
        .chain_update(shared)
        .chain_update(ciphertext)
        .chain_update(key);
    Zeroizing::new(hash.finalize().into())
}
