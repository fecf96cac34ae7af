//! TLS 1.3 between two keys: each end shows its Ed25519 key as a raw public key (RFC 7250), the
//! caller accepts only the key it asked for, the called learns who calls.

use std::sync::{Arc, OnceLock};

use bitcraps_types::PeerId;
use quinn::crypto::rustls::{NoInitialCipherSuite, QuicClientConfig, QuicServerConfig};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{AlwaysResolvesClientRawPublicKeys, Resumption};
use rustls::crypto::{CryptoProvider, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{AlwaysResolvesServerRawPublicKeys, NoServerSessionStorage};
use rustls::version::TLS13;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, PeerMisbehaved,
    SignatureScheme,
};

use crate::identity::{Identity, peer_of};

/// Protocol spoken inside: greeting and framing of this crate, version 1.
const ALPN: &[u8] = b"bitcraps/1";

/// Not sent; the interface of TLS wants one.
pub(crate) const SERVER_NAME: &str = "bitcraps";

/// Why the TLS configuration could not be made: a defect of this build, not of any input.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    #[error(transparent)]
    Rustls(#[from] Error),
    #[error(transparent)]
    Suite(#[from] NoInitialCipherSuite),
}

/// Makes the TLS side of every handshake of one node.
pub(crate) struct Tls {
    provider: Arc<CryptoProvider>,
    key: Arc<rustls::sign::CertifiedKey>,
}

impl Tls {
    pub(crate) fn new(identity: &Identity, provider: CryptoProvider) -> Result<Self, TlsError> {
        let key = identity.certified_key(&provider)?;
        Ok(Self { provider: Arc::new(provider), key })
    }

    /// For calls that come in: any Ed25519 key is let in, and proved.
    pub(crate) fn server(&self) -> Result<QuicServerConfig, TlsError> {
        Ok(QuicServerConfig::try_from(self.rustls_server()?)?)
    }

    /// For a call to the owner of `expected`, and nobody else.
    pub(crate) fn client(&self, expected: Arc<Expected>) -> Result<QuicClientConfig, TlsError> {
        Ok(QuicClientConfig::try_from(self.rustls_client(expected)?)?)
    }

    fn rustls_server(&self) -> Result<rustls::ServerConfig, Error> {
        let mut config = rustls::ServerConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&TLS13])?
            .with_client_cert_verifier(Arc::new(AnyPeer(self.provider.clone())))
            .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(self.key.clone())));
        config.alpn_protocols = vec![ALPN.to_vec()];
        // A resumed session would skip the proof of the keys.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(config)
    }

    fn rustls_client(&self, expected: Arc<Expected>) -> Result<rustls::ClientConfig, Error> {
        let verifier = OnePeer { expected, provider: self.provider.clone() };
        let mut config = rustls::ClientConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(
                self.key.clone(),
            )));
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.enable_sni = false;
        config.resumption = Resumption::disabled();
        Ok(config)
    }
}

/// The key a dial asks for, and the key it was shown.
#[derive(Debug)]
pub(crate) struct Expected {
    peer: PeerId,
    shown: OnceLock<Option<PeerId>>,
}

impl Expected {
    pub(crate) fn new(peer: PeerId) -> Self {
        Self { peer, shown: OnceLock::new() }
    }

    /// What was shown in place of the key asked for, in words; `None` when the right key was shown
    /// or none yet.
    pub(crate) fn shown_instead(&self) -> Option<String> {
        match self.shown.get()? {
            Some(peer) if *peer == self.peer => None,
            Some(peer) => Some(format!("it showed the key of {}", peer.short())),
            None => Some("it showed no Ed25519 key".to_owned()),
        }
    }
}

fn refuse_tls12() -> Result<HandshakeSignatureValid, Error> {
    Err(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme.into())
}

fn verify(
    provider: &CryptoProvider,
    message: &[u8],
    key: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, Error> {
    let key = SubjectPublicKeyInfoDer::from(key.as_ref());
    let algorithms = &provider.signature_verification_algorithms;
    verify_tls13_signature_with_raw_key(message, &key, signed, algorithms)
}

#[derive(Debug)]
struct OnePeer {
    expected: Arc<Expected>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for OnePeer {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let shown = *self.expected.shown.get_or_init(|| peer_of(end_entity));
        match shown {
            Some(peer) if peer == self.expected.peer => Ok(ServerCertVerified::assertion()),
            Some(_) => Err(CertificateError::ApplicationVerificationFailure.into()),
            None => Err(CertificateError::BadEncoding.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        refuse_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify(&self.provider, message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

#[derive(Debug)]
struct AnyPeer(Arc<CryptoProvider>);

impl ClientCertVerifier for AnyPeer {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        match peer_of(end_entity) {
            Some(_) => Ok(ClientCertVerified::assertion()),
            None => Err(CertificateError::BadEncoding.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        refuse_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify(&self.0, message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

/// The key that the other end of `connection` has proved to own.
pub(crate) fn proved_peer(connection: &quinn::Connection) -> Option<PeerId> {
    let shown = connection.peer_identity()?;
    let keys = shown.downcast_ref::<Vec<CertificateDer<'static>>>()?;
    peer_of(keys.first()?)
}

#[cfg(test)]
mod tests;
