use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, PoisonError, RwLock, Weak};

use bitcraps_quic_link::{CloseCode, Exchange, PathKey, Shape, Tasks};
use bitcraps_transport_api::{
    Address, ConnectError, ConnectTarget, Hint, HintSource, LinkPath, Sink, StartError,
    TransportEvent,
};
use bitcraps_types::{EnergyProfile, LinkCapabilities, Medium, PeerId, TransportType};
use tokio::sync::watch;

use crate::accept::accept;
use crate::config::WifiConfig;
use crate::endpoint::{EndpointFactory, LocalEndpoint};
use crate::identity::Identity;
use crate::tls::Tls;

/// A peer over one pair of addresses: another pair is another link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LanPath {
    pub(crate) peer: PeerId,
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
}

impl PathKey for LanPath {
    fn peer(&self) -> PeerId {
        self.peer
    }
}

/// What the tasks of one run share.
pub(crate) struct Lan {
    pub(crate) identity: Identity,
    pub(crate) config: WifiConfig,
    pub(crate) tls: Tls,
    /// Those of the configured addresses, and of the group that there may be. Locked for a clone or a
    /// change only.
    pub(crate) endpoints: RwLock<Vec<LocalEndpoint>>,
    pub(crate) exchange: Arc<Exchange<LanPath>>,
    pub(crate) sink: Arc<dyn Sink>,
    pub(crate) tasks: Weak<Tasks>,
    pub(crate) quic_tasks: Weak<Tasks>,
    pub(crate) stop: watch::Receiver<bool>,
}

impl Lan {
    /// Resolves when the transport shuts down.
    pub(crate) async fn stopped(&self) {
        // An error means that the sender is gone, and with it the transport.
        let mut stop = self.stop.clone();
        if stop.wait_for(|stop| *stop).await.is_err() {
            tracing::debug!("transport dropped without shutdown");
        }
    }

    /// Where this node listens now.
    pub(crate) fn endpoints(&self) -> Vec<LocalEndpoint> {
        self.endpoints.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Listens on one address more.
    ///
    /// # Errors
    /// Whatever [`EndpointFactory::bind`] says; nothing has changed.
    pub(crate) fn open(
        self: &Arc<Self>,
        address: SocketAddr,
        medium: Medium,
    ) -> Result<SocketAddr, StartError> {
        let ended = || StartError::Unavailable {
            what: address.to_string(),
            why: "the transport has ended".to_owned(),
        };
        let tasks = self.tasks.upgrade().ok_or_else(ended)?;
        let quic_tasks = self.quic_tasks.upgrade().ok_or_else(ended)?;
        let factory =
            EndpointFactory { identity: &self.identity, tls: &self.tls, tasks: &quic_tasks };
        let endpoint = LocalEndpoint { medium, ..factory.bind(address)? };
        let address = endpoint.address;
        // Known before anybody can call.
        self.endpoints.write().unwrap_or_else(PoisonError::into_inner).push(endpoint.clone());
        tasks.spawn(accept(self.clone(), endpoint));
        Ok(address)
    }

    /// Listens on `address` no more; the links over it end.
    pub(crate) fn close(&self, address: SocketAddr) {
        let mut endpoints = self.endpoints.write().unwrap_or_else(PoisonError::into_inner);
        for endpoint in endpoints.extract_if(.., |endpoint| endpoint.address == address) {
            endpoint.quic.close(CloseCode::ShutDown.code().into(), b"");
        }
    }

    pub(crate) fn hint(
        &self,
        peer: PeerId,
        address: SocketAddr,
        via: Option<SocketAddr>,
        source: HintSource,
    ) {
        let target = ConnectTarget {
            transport: TransportType::WiFiDirect,
            peer,
            address: Address::new(address.to_string()),
            via: via.map(|via| Address::new(via.to_string())),
        };
        self.sink.event(TransportEvent::Discovered(Hint { target, source }));
    }

    /// What a link over `path` is.
    pub(crate) fn shape(&self, path: LanPath) -> Shape {
        let loopback = path.local.ip().is_loopback();
        let endpoints = self.endpoints();
        let endpoint = endpoints.iter().find(|endpoint| endpoint.address == path.local);
        let capabilities = LinkCapabilities {
            max_frame: self.config.max_frame,
            nominal_rate: self.config.nominal_rate,
            energy: if loopback { EnergyProfile::MAINS } else { EnergyProfile::WIFI },
            metered: false,
            prior_reliability: self.config.prior_reliability,
            medium: endpoint.map_or(Medium::Real, |endpoint| endpoint.medium),
        };
        let shown = LinkPath {
            local: path.local.to_string(),
            remote: path.remote.to_string(),
            relay: None,
        };
        Shape { capabilities, path: Box::new(move || shown.clone()), quiet_limit: None }
    }

    /// Where to dial and from which endpoint.
    pub(crate) fn plan(
        &self,
        target: &ConnectTarget,
    ) -> Result<(SocketAddr, LocalEndpoint), ConnectError> {
        let bad = |address: &Address, why: String| ConnectError::BadAddress {
            address: address.to_string(),
            why,
        };
        if target.transport != TransportType::WiFiDirect {
            let why = format!("it belongs to {}", target.transport);
            return Err(bad(&target.address, why));
        }
        if target.peer == self.identity.peer() {
            return Err(bad(&target.address, "that is this node itself".to_owned()));
        }
        let remote: SocketAddr = target.address.as_str().parse().map_err(|_| {
            let why = "expected ip:port, such as 192.0.2.7:4433 or [2001:db8::7]:4433";
            bad(&target.address, why.to_owned())
        })?;
        if remote.port() == 0 || remote.ip().is_unspecified() || remote.ip().is_multicast() {
            let why = "expected the address of one host and a port above 0";
            return Err(bad(&target.address, why.to_owned()));
        }
        let via = match &target.via {
            None => None,
            Some(via) => Some(
                Via::parse(via.as_str())
                    .ok_or_else(|| bad(via, "via: expected a local ip or ip:port".to_owned()))?,
            ),
        };
        let endpoints = self.endpoints();
        let local = endpoints.iter().map(|e| e.address);
        let Some(at) = choose(local, remote, via) else {
            let listening: Vec<_> = endpoints.iter().map(|e| e.address.to_string()).collect();
            let why = format!(
                "no endpoint here reaches it{}; this node listens on {}",
                if via.is_some() { " as asked by via" } else { "" },
                listening.join(", ")
            );
            return Err(bad(target.via.as_ref().unwrap_or(&target.address), why));
        };
        match endpoints.get(at) {
            Some(endpoint) => Ok((remote, endpoint.clone())),
            None => Err(ConnectError::NotStarted),
        }
    }
}

/// The local address a dial is to leave from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Via {
    Ip(IpAddr),
    Socket(SocketAddr),
}

impl Via {
    fn parse(text: &str) -> Option<Self> {
        let socket = text.parse().map(Self::Socket).ok();
        socket.or_else(|| text.parse().map(Self::Ip).ok())
    }

    fn is(self, local: SocketAddr) -> bool {
        match self {
            Self::Ip(ip) => local.ip() == ip,
            Self::Socket(socket) => local == socket,
        }
    }
}

/// Index of the local address to dial `remote` from: the one asked for, else the first of those
/// that share the longest prefix with it. Loopback and the rest never reach each other, nor do
/// link-local addresses reach beyond their interface.
fn choose(
    local: impl Iterator<Item = SocketAddr>,
    remote: SocketAddr,
    via: Option<Via>,
) -> Option<usize> {
    local
        .enumerate()
        .filter(|(_, local)| {
            local.is_ipv4() == remote.is_ipv4()
                && zone(*local) == zone(remote)
                && local.ip().is_loopback() == remote.ip().is_loopback()
                && via.is_none_or(|via| via.is(*local))
        })
        // `max_by_key` takes the last of equals; the reversed index makes it the first.
        .max_by_key(|(at, local)| {
            let prefix = common_prefix(local.ip(), remote.ip());
            (prefix, std::cmp::Reverse(*at))
        })
        .map(|(at, _)| at)
}

/// The interface to which a link-local IPv6 address belongs; none for all others.
fn zone(address: SocketAddr) -> Option<u32> {
    match address {
        SocketAddr::V6(v6) if v6.ip().is_unicast_link_local() => Some(v6.scope_id()),
        SocketAddr::V4(_) | SocketAddr::V6(_) => None,
    }
}

/// Leading bits that two addresses of one family share.
fn common_prefix(a: IpAddr, b: IpAddr) -> u32 {
    match (a, b) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
        (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_endpoint_asked_for_or_the_nearest_dials() {
        let local = [
            "127.0.1.1:1",
            "127.0.2.1:2",
            "127.0.2.1:3",
            "192.0.2.1:4",
            "[::1]:5",
            "[fe80::1%7]:6",
            "[fe80::1%8]:7",
        ];
        let rows = [
            ("127.0.2.9:9", None, Some(1), "longest prefix, the first of equals"),
            ("127.0.1.9:9", None, Some(0), "longest prefix"),
            ("127.9.9.9:9", None, Some(0), "all equally far"),
            ("198.51.100.1:9", None, Some(3), "not from loopback"),
            ("[::1]:9", None, Some(4), "same family"),
            ("[2001:db8::1]:9", None, None, "only loopback and single interfaces speak IPv6"),
            ("[fe80::2%8]:9", None, Some(6), "on its own interface"),
            ("[fe80::2%9]:9", None, None, "on an interface without an endpoint"),
            ("[fe80::2]:9", None, None, "on no interface"),
            ("127.0.1.9:9", Some("127.0.2.1:3"), Some(2), "asked for"),
            ("127.0.1.9:9", Some("127.0.2.1"), Some(1), "first with the ip"),
            ("127.0.1.9:9", Some("127.0.3.1"), None, "not ours"),
            ("127.0.1.9:9", Some("192.0.2.1:4"), None, "cannot reach it"),
        ];
        for (remote, via, expected, why) in rows {
            let via = via.map(|v| Via::parse(v).unwrap());
            let local = local.iter().map(|l| l.parse().unwrap());
            let got = choose(local, remote.parse().unwrap(), via);
            assert_eq!(got, expected, "{remote}: {why}");
        }
        assert_eq!(Via::parse("lo"), None);
    }
}
