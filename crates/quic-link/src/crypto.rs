use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{default_provider, kx_group};

/// The cryptography of every link over QUIC: AWS-LC, with the post-quantum hybrid first and X25519
/// for those who cannot.
pub fn crypto_provider() -> CryptoProvider {
    let kx_groups = vec![kx_group::X25519MLKEM768, kx_group::X25519];
    CryptoProvider { kx_groups, ..default_provider() }
}
