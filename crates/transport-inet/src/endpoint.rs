//! One iroh endpoint, and how it is set so that nobody is contacted who was not named.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bitcraps_quic_link::{MAX_READERS, crypto_provider};
use bitcraps_transport_api::StartError;
use iroh::dns::DnsResolver;
use iroh::endpoint::{
    BindError, BindOpts, Builder, NetReportConfig, PortmapperConfig, QuicTransportConfig, VarInt,
    presets,
};
use iroh::tls::CaTlsConfig;
use iroh::{Endpoint, RelayConfig, RelayMap, RelayMode};

use crate::config::InetConfig;
use crate::identity::Identity;

/// Protocol spoken inside: greeting and framing of `bitcraps-quic-link`, version 1.
pub(crate) const ALPN: &[u8] = b"bitcraps-inet/1";

/// Silence after which a direct path is given up; iroh keeps a relay's longer. Not lower: with 150 ms
/// the spare path was found gone before the one in use died.
const PATH_IDLE: Duration = Duration::from_secs(1);

/// How often something is said on each silent path: three chances within [`PATH_IDLE`].
const PATH_KEEP_ALIVE: Duration = Duration::from_millis(300);

/// Round trip to reckon with before the first measurement: a handshake packet that was lost is sent
/// again after thrice this.
const INITIAL_RTT: Duration = Duration::from_millis(100);

/// Bytes that QUIC holds for datagrams not yet sent. What is in there counts as written, so it is
/// kept to what a home's way up sends within some hundred milliseconds.
const DATAGRAM_SEND_BUFFER: usize = 256 * 1024;

/// Bytes that QUIC holds for datagrams not yet read; beyond them it drops the oldest.
const DATAGRAM_RECEIVE_BUFFER: usize = 4 * 1024 * 1024;

/// Bytes that QUIC holds of streams not yet acknowledged: 80 Mbit/s over a round trip of 100 ms.
/// What is in there counts as written and waits unseen.
const SEND_WINDOW: u64 = 1024 * 1024;

/// Bytes of one stream that the peer may send ahead: the streams of this project whole.
const STREAM_WINDOW: u32 = 2 * 1024 * 1024;

/// Bytes of all streams that the peer may send ahead: bounds what an unread link holds.
const RECEIVE_WINDOW: u32 = 8 * 1024 * 1024;

/// TLS sessions remembered. None is ever resumed: every link proves its key anew.
const TLS_TICKETS: usize = 0;

fn quic() -> QuicTransportConfig {
    QuicTransportConfig::builder()
        .default_path_max_idle_timeout(PATH_IDLE)
        .default_path_keep_alive_interval(PATH_KEEP_ALIVE)
        .initial_rtt(INITIAL_RTT)
        .max_concurrent_bidi_streams(VarInt::from_u32(1))
        .max_concurrent_uni_streams(VarInt::from_u32(2 * MAX_READERS as u32))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .receive_window(VarInt::from_u32(RECEIVE_WINDOW))
        .send_window(SEND_WINDOW)
        // Streams are finished in the order in which they were begun.
        .send_fairness(false)
        .datagram_send_buffer_size(DATAGRAM_SEND_BUFFER)
        .datagram_receive_buffer_size(Some(DATAGRAM_RECEIVE_BUFFER))
        .build()
}

fn relays(config: &InetConfig) -> RelayMap {
    let relays = config.relays.iter().map(|relay| {
        // A relay without TLS cannot tell over QUIC how it sees this node's address.
        let quic = relay.is_tls().then(Default::default);
        RelayConfig::new(relay.url().clone(), quic)
    });
    relays.collect()
}

/// Leading bits of the network of the interface that has `ip`; only `ip` itself when none has.
fn prefix(ip: IpAddr, interfaces: &[if_addrs::Interface]) -> u8 {
    let found = interfaces.iter().find(|interface| interface.ip() == ip);
    match (found.map(|interface| &interface.addr), ip) {
        (Some(if_addrs::IfAddr::V4(net)), _) => net.prefixlen,
        (Some(if_addrs::IfAddr::V6(net)), _) => net.prefixlen,
        (None, IpAddr::V4(_)) => 32,
        (None, IpAddr::V6(_)) => 128,
    }
}

/// The first address of each family also leads to where no other one belongs.
fn bind(mut builder: Builder, listen: &[SocketAddr]) -> Result<Builder, StartError> {
    let interfaces = if_addrs::get_if_addrs()
        .map_err(|error| unavailable("the list of network interfaces", error))?;
    let addresses = listen.iter().enumerate().map(|(at, address)| {
        (!listen[..at].iter().any(|other| other.is_ipv4() == address.is_ipv4()), address)
    });
    // Those last: after one that leads everywhere iroh takes no other of its family.
    let mut addresses: Vec<_> = addresses.collect();
    addresses.sort_by_key(|(first, _)| *first);
    for (first, address) in addresses {
        let ip = address.ip();
        let prefix = if ip.is_unspecified() { 0 } else { prefix(ip, &interfaces) };
        let options = BindOpts::default().set_prefix_len(prefix).set_is_default_route(first);
        builder = builder
            .bind_addr_with_opts(*address, options)
            .map_err(|error| unavailable(address, error))?;
    }
    Ok(builder)
}

/// Binds every address of the config.
pub(crate) async fn open(identity: &Identity, config: &InetConfig) -> Result<Endpoint, StartError> {
    let names = DnsResolver::builder().with_system_defaults().disable_fallback().build();
    let mut reports = NetReportConfig::default();
    reports.captive_portal_check = false;
    let builder = Endpoint::builder(presets::Minimal)
        .secret_key(identity.secret())
        .alpns(vec![ALPN.to_vec()])
        .crypto_provider(Arc::new(crypto_provider()))
        .max_tls_tickets(TLS_TICKETS)
        .transport_config(quic())
        // Also without a relay of its own: a peer's relay can then be dialled.
        .ca_tls_config(CaTlsConfig::embedded().with_extra_roots(config.relay_roots.clone()))
        .relay_mode(RelayMode::Custom(relays(config)))
        .dns_resolver(names)
        .clear_address_lookup()
        .portmapper_config(PortmapperConfig::Disabled)
        .net_report_config(reports)
        .clear_ip_transports();
    let builder = config.public.iter().fold(builder, |builder, at| builder.external_addr(*at));
    let bound = bind(builder, &config.listen)?.bind().await;
    bound.map_err(|error| refused(&error, &config.listen))
}

fn refused(error: &BindError, listen: &[SocketAddr]) -> StartError {
    let listen: Vec<_> = listen.iter().map(ToString::to_string).collect();
    let what = listen.join(", ");
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    let mut why = error.to_string();
    while let Some(error) = source {
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            why = io.to_string();
            if io.kind() == std::io::ErrorKind::AddrInUse {
                return StartError::InUse { what, why };
            }
        }
        source = error.source();
    }
    StartError::Unavailable { what, why }
}

fn unavailable(what: impl ToString, why: impl ToString) -> StartError {
    StartError::Unavailable { what: what.to_string(), why: why.to_string() }
}
