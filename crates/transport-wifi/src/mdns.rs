//! Multicast DNS: answers `_bitcraps._udp.local.` with the node's key and endpoints, and takes what
//! others answer as hints.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bitcraps_transport_api::StartError;
use bitcraps_types::PeerId;
use mdns_sd::{IfKind, Receiver, ResolvedService, ServiceDaemon, ServiceEvent, ServiceInfo};

use crate::beacon::is_dialable;
use crate::config::MdnsConfig;

const SERVICE: &str = "_bitcraps._udp.local.";

/// TXT key under which the 64 digits of the peer's key stand.
const PEER_KEY: &str = "peer";

/// How long the library's thread may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(1);

/// A running responder and browser.
pub(crate) struct Mdns {
    daemon: ServiceDaemon,
    pub(crate) events: Receiver<ServiceEvent>,
}

fn unavailable(error: &mdns_sd::Error) -> StartError {
    StartError::Unavailable { what: "mDNS".to_owned(), why: error.to_string() }
}

impl Mdns {
    /// Speaks and listens on the interfaces of `listening` only.
    pub(crate) fn start(
        peer: PeerId,
        listening: &[SocketAddr],
        config: MdnsConfig,
    ) -> Result<Self, StartError> {
        Self::start_inner(peer, listening, config).map_err(|error| unavailable(&error))
    }

    fn start_inner(
        peer: PeerId,
        listening: &[SocketAddr],
        config: MdnsConfig,
    ) -> Result<Self, mdns_sd::Error> {
        let daemon = ServiceDaemon::new_with_port(config.port)?;
        daemon.disable_interface(IfKind::All)?;
        let interfaces: Vec<IfKind> = listening.iter().map(|a| interface(a.ip())).collect();
        daemon.enable_interface(interfaces.clone())?;
        let key = peer.to_string();
        for (at, address) in listening.iter().enumerate() {
            // A DNS label has 63 characters at most, one less than the key.
            let name = format!("{}-{at}", &key[..32]);
            let host = format!("{name}.local.");
            let text = [(PEER_KEY, key.as_str())];
            let ip = address.ip();
            let mut service =
                ServiceInfo::new(SERVICE, &name, &host, ip, address.port(), &text[..])?;
            // The name is the key: nobody else has it.
            service.set_requires_probe(false);
            service.set_interfaces(vec![interface(ip)]);
            daemon.register(service)?;
        }
        let events = daemon.browse(SERVICE)?;
        Ok(Self { daemon, events })
    }

    /// Says goodbye and ends the library's thread.
    pub(crate) async fn shut_down(self) {
        match self.daemon.shutdown() {
            Ok(done) => {
                if tokio::time::timeout(GOODBYE, done.recv_async()).await.is_err() {
                    tracing::warn!("mDNS did not end within {GOODBYE:?}");
                }
            }
            Err(error) => tracing::debug!(%error, "mDNS had ended before"),
        }
    }
}

/// The library knows interfaces by their first address; any loopback address means loopback.
fn interface(ip: IpAddr) -> IfKind {
    match ip {
        IpAddr::V4(ip) if ip.is_loopback() => IfKind::LoopbackV4,
        IpAddr::V6(ip) if ip.is_loopback() => IfKind::LoopbackV6,
        ip => IfKind::Addr(ip),
    }
}

/// Whom an answer is about and where it claims to listen; addresses that cannot be dialled from
/// where this node listens are left out.
pub(crate) fn answer(
    service: &ResolvedService,
    loopback: bool,
) -> Option<(PeerId, Vec<SocketAddr>)> {
    let peer = service.get_property_val_str(PEER_KEY)?.parse().ok()?;
    let port = service.get_port();
    let mut addresses: Vec<_> = service
        .get_addresses()
        .iter()
        .map(|ip| ip.to_ip_addr())
        .filter(|ip| is_dialable(*ip, port, loopback))
        .map(|ip| SocketAddr::new(ip, port))
        .collect();
    addresses.sort_unstable();
    Some((peer, addresses))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(text: &[(&str, &str)], ip: &str) -> ResolvedService {
        let service = ServiceInfo::new(SERVICE, "name", "host.local.", ip, 7, text);
        service.unwrap().as_resolved_service()
    }

    #[test]
    fn an_answer_names_a_peer_and_where_it_can_be_dialled() {
        let peer = PeerId::from_bytes([0xab; 32]);
        let key = peer.to_string();
        let service = resolved(&[(PEER_KEY, &key)], "127.0.0.5,192.0.2.7,127.0.0.4");
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        let on_loopback = vec![at("127.0.0.4:7"), at("127.0.0.5:7")];
        assert_eq!(answer(&service, true), Some((peer, on_loopback)));
        assert_eq!(answer(&service, false), Some((peer, vec![at("192.0.2.7:7")])));
    }

    #[test]
    fn an_answer_without_a_key_is_none() {
        for text in [&[][..], &[(PEER_KEY, "ab")], &[("pear", "ab")]] {
            assert_eq!(answer(&resolved(text, "127.0.0.1"), true), None);
        }
    }
}
