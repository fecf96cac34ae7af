//! One QUIC endpoint on one local address, and how QUIC is set for a local network.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use bitcraps_quic_link::{MAX_READERS, Tasks};
use bitcraps_transport_api::StartError;
use bitcraps_types::Medium;
use quinn::congestion::CubicConfig;
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{
    ClientConfig, Endpoint, EndpointConfig, IdleTimeout, MtuDiscoveryConfig, ServerConfig,
    TransportConfig, VarInt,
};
use quinn_proto::HashedConnectionIdGenerator;
use socket2::{Domain, Protocol, Socket, Type};

use crate::identity::Identity;
use crate::runtime::TrackedRuntime;
use crate::tls::{Expected, SERVER_NAME, Tls, TlsError};

/// Silence after which QUIC gives a connection up, in milliseconds. Long, because finding a dead
/// link is the coordinator's business, and one that went silent may come back.
const IDLE_MILLIS: u32 = 30_000;

/// How often QUIC says something on a silent connection: five chances within the idle time.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// Round trip to reckon with before the first measurement: generous for a Wi-Fi, and a handshake
/// packet that was lost is sent again after thrice this, not after a second.
const INITIAL_RTT: Duration = Duration::from_millis(50);

/// Bytes that may be on the way before the first acknowledgement.
const INITIAL_WINDOW: u64 = 64 * 1024;

/// Bytes that QUIC holds for datagrams not yet sent. What is in there counts as written, so it is
/// kept to what a slow Wi-Fi sends within some tens of milliseconds.
const DATAGRAM_SEND_BUFFER: usize = 256 * 1024;

/// Bytes that QUIC holds for datagrams not yet read; beyond them it drops the oldest. A driver that
/// is not scheduled for 10 ms at 400 MB/s still loses none.
const DATAGRAM_RECEIVE_BUFFER: usize = 4 * 1024 * 1024;

/// Bytes that QUIC holds of streams not yet acknowledged, to begin with; see [`send_window`].
const SEND_WINDOW: u64 = 1024 * 1024;

/// Bytes that QUIC should hold of streams not yet acknowledged, when the path carries `congestion`
/// bytes at a time: as much again, so that it never runs dry, and no more, because what is in there
/// counts as written and waits unseen.
pub(crate) fn send_window(congestion: u64) -> u64 {
    const LEAST: u64 = 256 * 1024;
    const MOST: u64 = 4 * 1024 * 1024;
    congestion.saturating_mul(2).clamp(LEAST, MOST)
}

/// Bytes of one stream that the peer may send ahead: the streams of this crate whole.
const STREAM_WINDOW: u32 = 2 * 1024 * 1024;

/// Bytes of all streams that the peer may send ahead: bounds what an unread link holds.
const RECEIVE_WINDOW: u32 = 8 * 1024 * 1024;

/// Largest UDP payload tried on loopback. Ten of these are what QUIC hands to the kernel at a time,
/// and the kernel takes 65,507 bytes.
const LOOPBACK_MTU: u16 = 6_400;

/// Kernel buffers of a socket, in bytes: the system grants less when its limit is lower.
const SOCKET_BUFFER: usize = 4 * 1024 * 1024;

/// Calls that wait to be taken up, in the kernel's manner of a backlog.
const MAX_INCOMING: usize = 64;

/// Bytes of one call that are kept until it is taken up: its first flight.
const INCOMING_BUFFER: u64 = 64 * 1024;

/// An endpoint and the address it is really bound to.
#[derive(Clone)]
pub(crate) struct LocalEndpoint {
    pub(crate) quic: Endpoint,
    pub(crate) address: SocketAddr,
    /// What the frames of its links go through.
    pub(crate) medium: Medium,
}

/// What endpoints are made of.
pub(crate) struct EndpointFactory<'a> {
    pub(crate) identity: &'a Identity,
    pub(crate) tls: &'a Tls,
    pub(crate) tasks: &'a Arc<Tasks>,
}

fn unavailable(what: impl ToString, why: impl ToString) -> StartError {
    StartError::Unavailable { what: what.to_string(), why: why.to_string() }
}

fn bind(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    // The kernel grants what it may; a smaller buffer is slower, not wrong.
    for set in [Socket::set_send_buffer_size, Socket::set_recv_buffer_size] {
        if let Err(error) = set(&socket, SOCKET_BUFFER) {
            tracing::debug!(%address, %error, "socket buffer stays as it is");
        }
    }
    socket.bind(&address.into())?;
    Ok(socket)
}

impl EndpointFactory<'_> {
    pub(crate) fn bind(&self, address: SocketAddr) -> Result<LocalEndpoint, StartError> {
        let refused = |error: io::Error| match error.kind() {
            io::ErrorKind::AddrInUse => {
                StartError::InUse { what: address.to_string(), why: error.to_string() }
            }
            io::ErrorKind::AddrNotAvailable => unavailable(
                address,
                format!("{error}; listen on an address that an interface of this machine has"),
            ),
            _ => unavailable(address, error),
        };
        let socket = std::net::UdpSocket::from(bind(address).map_err(refused)?);
        // With the port that the system chose, where it was asked to.
        let address = socket.local_addr().map_err(refused)?;
        let broken = |error: TlsError| unavailable("TLS", error);
        let server = self.server(address, self.tls.server().map_err(broken)?);
        let config = self.config(address)?;
        let runtime = Arc::new(TrackedRuntime::new(self.tasks));
        let quic = Endpoint::new(config, Some(server), socket, runtime).map_err(refused)?;
        let medium = if address.ip().is_loopback() { Medium::Loopback } else { Medium::Real };
        Ok(LocalEndpoint { quic, address, medium })
    }

    /// Keys that outlive a restart let the next incarnation tell the peers of the former one that
    /// their connections are gone. They differ by address, or one endpoint could be made to reset
    /// the connections of another.
    fn config(&self, address: SocketAddr) -> Result<EndpointConfig, StartError> {
        let secret = |what| self.identity.derive(&format!("bitcraps/1 {what} {address}"));
        let reset = hmac::Key::new(hmac::HMAC_SHA256, &secret("stateless reset"));
        let mut config = EndpointConfig::new(Arc::new(reset));
        let [a, b, c, d, e, f, g, h, ..] = secret("connection id");
        let cid_key = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
        config.cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(cid_key)));
        if address.ip().is_loopback() {
            config
                .max_udp_payload_size(LOOPBACK_MTU)
                .map_err(|error| unavailable("QUIC", error))?;
        }
        Ok(config)
    }

    fn server(&self, address: SocketAddr, tls: QuicServerConfig) -> ServerConfig {
        let mut server = ServerConfig::with_crypto(Arc::new(tls));
        server
            .transport_config(transport(address.ip()))
            // A link is one path; on another address it is another link.
            .migration(false)
            .max_incoming(MAX_INCOMING)
            .incoming_buffer_size(INCOMING_BUFFER)
            .incoming_buffer_size_total(MAX_INCOMING as u64 * INCOMING_BUFFER);
        server
    }
}

impl LocalEndpoint {
    /// Begins a call to `remote`, which must prove to be the one expected.
    pub(crate) fn call(
        &self,
        remote: SocketAddr,
        tls: &Tls,
        expected: Arc<Expected>,
    ) -> Result<quinn::Connecting, CallError> {
        let mut config = ClientConfig::new(Arc::new(tls.client(expected)?));
        config.transport_config(transport(self.address.ip()));
        Ok(self.quic.connect_with(config, remote, SERVER_NAME)?)
    }
}

/// Why a call did not even begin.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Quic(#[from] quinn::ConnectError),
}

fn transport(local: IpAddr) -> Arc<TransportConfig> {
    let mut congestion = CubicConfig::default();
    congestion.initial_window(INITIAL_WINDOW);
    let mut config = TransportConfig::default();
    config
        .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(IDLE_MILLIS))))
        .keep_alive_interval(Some(KEEP_ALIVE))
        .initial_rtt(INITIAL_RTT)
        .congestion_controller_factory(Arc::new(congestion))
        .max_concurrent_bidi_streams(VarInt::from_u32(1))
        .max_concurrent_uni_streams(VarInt::from_u32(2 * MAX_READERS as u32))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .receive_window(VarInt::from_u32(RECEIVE_WINDOW))
        .send_window(SEND_WINDOW)
        // Streams are finished in the order in which they were begun.
        .send_fairness(false)
        .datagram_send_buffer_size(DATAGRAM_SEND_BUFFER)
        .datagram_receive_buffer_size(Some(DATAGRAM_RECEIVE_BUFFER));
    if local.is_loopback() {
        // Found by probing, so that whatever stands between may pass less.
        let mut discovery = MtuDiscoveryConfig::default();
        discovery.upper_bound(LOOPBACK_MTU);
        config.mtu_discovery_config(Some(discovery));
    }
    Arc::new(config)
}
