//! Nodes of the product, as an application would set them up.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bitcraps_coordinator::{Config, MultiTransportCoordinator, Tier};
use bitcraps_transport_api::Transport;
use bitcraps_transport_wifi::{Identity, WifiConfig, WifiTransport};
use bitcraps_types::{Address, ConnectTarget, Epoch, LinkId, PeerId, TransportType};
use zeroize::Zeroizing;

use crate::Failure;

/// How long links may take to come up or to recover before a measurement is given up.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);
/// How often standings are looked at while waiting.
pub(super) const LOOK: Duration = Duration::from_millis(5);

pub(super) struct Settings {
    pub(super) hedging: bool,
    /// Upper bound of a frame in bytes, for the coordinator and the transport alike.
    pub(super) max_packet_size: Option<usize>,
    pub(super) seed: u64,
}

/// A coordinator over the LAN transport, the internet transport or both.
pub(super) struct Node {
    pub(super) coordinator: MultiTransportCoordinator,
    wifi: Option<Arc<WifiTransport>>,
    pub(super) peer: PeerId,
}

impl Node {
    /// Listens on one port of each address. Call within a tokio runtime.
    pub(super) async fn start(
        key: u8,
        listen: &[IpAddr],
        settings: &Settings,
    ) -> Result<Self, Failure> {
        let mut node = Self::bare(key, settings);
        let mut lan = WifiConfig::new(listen.iter().map(|ip| SocketAddr::new(*ip, 0)).collect());
        if let Some(most) = settings.max_packet_size {
            lan.max_frame = most;
        }
        let wifi = WifiTransport::new(lan, Identity::from_seed(&Zeroizing::new([key; 32])));
        let wifi = Arc::new(wifi.map_err(|e| Failure::broken("LAN transport", e))?);
        node.add(wifi.clone()).await?;
        node.wifi = Some(wifi);
        Ok(node)
    }

    /// Without a transport. Call within a tokio runtime.
    pub(super) fn bare(key: u8, settings: &Settings) -> Self {
        let peer = Identity::from_seed(&Zeroizing::new([key; 32])).peer();
        let mut config = Config::new(peer, Epoch(1), settings.seed ^ u64::from(key));
        config.hedging = settings.hedging;
        if let Some(most) = settings.max_packet_size {
            config.transports[TransportType::WiFiDirect.index()].max_packet_size = most;
        }
        Self { coordinator: MultiTransportCoordinator::new(config), wifi: None, peer }
    }

    /// Starts a transport and uses its links.
    pub(super) async fn add(&self, transport: Arc<dyn Transport>) -> Result<(), Failure> {
        let registered = self.coordinator.register_transport(transport).await;
        registered.map_err(|e| Failure::broken("node", e))
    }

    /// Where it listens on the LAN, in the order it was told to.
    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        self.wifi.as_ref().map(|wifi| wifi.local_addresses()).unwrap_or_default()
    }

    /// Opens a link over the LAN to `peer` at `address` from the local address `via`.
    pub(super) async fn dial(
        &self,
        peer: PeerId,
        address: SocketAddr,
        via: SocketAddr,
    ) -> Result<LinkId, Failure> {
        let target = ConnectTarget {
            transport: TransportType::WiFiDirect,
            peer,
            address: Address::new(address.to_string()),
            via: Some(Address::new(via.to_string())),
        };
        self.coordinator.connect(target).await.map_err(|e| Failure::broken("dial", e))
    }

    /// Waits until `count` links to `peer` are trusted.
    pub(super) async fn trusts(&self, peer: PeerId, count: usize) -> Result<(), Failure> {
        let trusted = || {
            let peers = self.coordinator.peers();
            let links = peers.iter().filter(|p| p.peer == peer).flat_map(|p| &p.links);
            links.filter(|l| l.ready && l.tier == Tier::Good).count()
        };
        let waited = tokio::time::timeout(PATIENCE, async {
            while trusted() < count {
                tokio::time::sleep(LOOK).await;
            }
        });
        waited.await.map_err(|_| {
            Failure::Broken(format!("{} of {count} links trusted after {PATIENCE:?}", trusted()))
        })
    }

    pub(super) async fn shut_down(&self) {
        self.coordinator.shutdown().await;
    }
}

/// Two nodes with one link between them over 127.0.0.1.
pub(super) async fn pair(settings: &Settings) -> Result<[Node; 2], Failure> {
    let loopback = [IpAddr::from([127, 0, 0, 1])];
    let near = Node::start(1, &loopback, settings).await?;
    let far = Node::start(2, &loopback, settings).await?;
    let (Some(from), Some(to)) =
        (near.addresses().first().copied(), far.addresses().first().copied())
    else {
        return Err(Failure::Broken("a node listens nowhere".to_owned()));
    };
    near.dial(far.peer, to, from).await?;
    near.trusts(far.peer, 1).await?;
    far.trusts(near.peer, 1).await?;
    Ok([near, far])
}
