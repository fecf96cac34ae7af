//! The rival: quinn with the crypto and key exchange of the LAN transport, and nothing above it.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use bitcraps_transport_wifi::Identity;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{
    ClientConfig, Connection, Endpoint, EndpointConfig, MtuDiscoveryConfig, ServerConfig,
    TokioRuntime, TransportConfig,
};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::kx_group;
use rustls::crypto::{CryptoProvider, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{
    CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer,
    UnixTime,
};
use rustls::server::AlwaysResolvesServerRawPublicKeys;
use rustls::sign::CertifiedKey;
use rustls::version::TLS13;
use rustls::{DigitallySignedStruct, Error, PeerMisbehaved, SignatureScheme};
use socket2::{Domain, Protocol, Socket, Type};
use zeroize::Zeroizing;

use crate::Failure;

const ALPN: &[u8] = b"rival/1";
/// Largest UDP payload, as the LAN transport has it on loopback.
const MTU: u16 = 6_400;
/// Kernel buffers, as the LAN transport asks for.
const SOCKET_BUFFER: usize = 4 * 1024 * 1024;
/// Bytes of datagrams not yet read, as the LAN transport has it.
const DATAGRAM_BUFFER: usize = 4 * 1024 * 1024;
/// SubjectPublicKeyInfo of an Ed25519 key (RFC 8410) up to the key.
const SPKI_PREFIX: [u8; 12] =
    [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
/// PKCS #8 of an Ed25519 key (RFC 8410) up to the seed.
const PKCS8_PREFIX: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];
const SEED: [u8; 32] = [9; 32];

/// How the rival is set beside its crypto.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Tuning {
    /// As quinn comes.
    Plain,
    /// With the packet size, the initial round trip and the buffers of the LAN transport.
    Alike,
}

/// Two ends of one connection over 127.0.0.1.
pub(super) struct Rival {
    pub(super) near: Connection,
    pub(super) far: Connection,
    endpoints: [Endpoint; 2],
}

impl Rival {
    /// Connects. Call within a tokio runtime.
    pub(super) async fn connect(tuning: Tuning) -> Result<Self, Failure> {
        let provider = Arc::new(CryptoProvider {
            kx_groups: vec![kx_group::X25519MLKEM768, kx_group::X25519],
            ..rustls::crypto::aws_lc_rs::default_provider()
        });
        let server = endpoint(Some(server(&provider, tuning)?), tuning)?;
        let client = endpoint(None, tuning)?;
        let address = server.local_addr().map_err(Failure::io("rival"))?;
        let connecting = client
            .connect_with(self::client(&provider, tuning)?, address, "rival")
            .map_err(|e| Failure::broken("rival", e))?;
        let accepted = async {
            let none = || Failure::Broken("rival: nobody called".to_owned());
            let incoming = server.accept().await.ok_or_else(none)?;
            incoming.await.map_err(|e| Failure::broken("rival", e))
        };
        let called = async { connecting.await.map_err(|e| Failure::broken("rival", e)) };
        let (near, far) = tokio::try_join!(called, accepted)?;
        Ok(Self { near, far, endpoints: [client, server] })
    }

    pub(super) async fn shut_down(self) {
        self.near.close(0_u32.into(), b"");
        self.far.close(0_u32.into(), b"");
        for endpoint in &self.endpoints {
            endpoint.wait_idle().await;
        }
    }
}

fn endpoint(server: Option<ServerConfig>, tuning: Tuning) -> Result<Endpoint, Failure> {
    let address = SocketAddr::from(([127, 0, 0, 1], 0));
    let bind = || {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_nonblocking(true)?;
        if tuning == Tuning::Alike {
            // The kernel grants what it may, to both sides of the comparison.
            socket.set_send_buffer_size(SOCKET_BUFFER)?;
            socket.set_recv_buffer_size(SOCKET_BUFFER)?;
        }
        socket.bind(&address.into())?;
        Ok(UdpSocket::from(socket))
    };
    let socket = bind().map_err(Failure::io("rival"))?;
    let mut config = EndpointConfig::default();
    if tuning == Tuning::Alike {
        config.max_udp_payload_size(MTU).map_err(|e| Failure::broken("rival", e))?;
    }
    Endpoint::new(config, server, socket, Arc::new(TokioRuntime)).map_err(Failure::io("rival"))
}

fn transport(tuning: Tuning) -> Arc<TransportConfig> {
    let mut config = TransportConfig::default();
    if tuning == Tuning::Alike {
        let mut discovery = MtuDiscoveryConfig::default();
        discovery.upper_bound(MTU);
        config
            .mtu_discovery_config(Some(discovery))
            .initial_rtt(Duration::from_millis(50))
            .datagram_receive_buffer_size(Some(DATAGRAM_BUFFER));
    }
    Arc::new(config)
}

fn spki() -> CertificateDer<'static> {
    let peer = Identity::from_seed(&Zeroizing::new(SEED)).peer();
    CertificateDer::from([&SPKI_PREFIX[..], peer.as_bytes()].concat())
}

fn server(provider: &Arc<CryptoProvider>, tuning: Tuning) -> Result<ServerConfig, Failure> {
    let tls = || {
        let pkcs8 = [&PKCS8_PREFIX[..], &SEED].concat();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pkcs8));
        let key = provider.key_provider.load_private_key(key)?;
        let shown = Arc::new(CertifiedKey::new(vec![spki()], key));
        let mut config = rustls::ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&TLS13])?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(shown)));
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok::<_, Error>(config)
    };
    let tls = tls().map_err(|e| Failure::broken("rival", e))?;
    let quic = QuicServerConfig::try_from(tls).map_err(|e| Failure::broken("rival", e))?;
    let mut config = ServerConfig::with_crypto(Arc::new(quic));
    config.transport_config(transport(tuning));
    Ok(config)
}

fn client(provider: &Arc<CryptoProvider>, tuning: Tuning) -> Result<ClientConfig, Failure> {
    let tls = || {
        let mut config = rustls::ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(OneKey(provider.clone())))
            .with_no_client_auth();
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok::<_, Error>(config)
    };
    let tls = tls().map_err(|e| Failure::broken("rival", e))?;
    let quic = QuicClientConfig::try_from(tls).map_err(|e| Failure::broken("rival", e))?;
    let mut config = ClientConfig::new(Arc::new(quic));
    config.transport_config(transport(tuning));
    Ok(config)
}

/// Accepts the rival's own key and no other.
#[derive(Debug)]
struct OneKey(Arc<CryptoProvider>);

impl ServerCertVerifier for OneKey {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if *end_entity == spki() {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(rustls::CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let key = SubjectPublicKeyInfoDer::from(cert.as_ref());
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature_with_raw_key(message, &key, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}
