use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bitcraps_coordinator::Machine as _;
use bitcraps_node::transport_wifi::{Identity as LinkIdentity, WifiConfig, WifiTransport};
use bitcraps_node::{Identity, Node, Store};
use bitcraps_types::{Address, ConnectTarget, Epoch, Hint, HintSource, PeerId, TransportType};

use crate::Failure;

/// Most bytes of messages in a store.
const MOST_BYTES: usize = 64 << 20;
/// How long the nodes may take to meet.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(5);

/// A whole node on loopback, and where it listens.
pub(crate) struct Keeper {
    pub(crate) node: Node,
    address: SocketAddr,
}

impl Keeper {
    /// Two that reach each other, each with a store or without. Call within a tokio runtime.
    pub(crate) async fn pair(stores: [Option<Store>; 2]) -> Result<[Self; 2], Failure> {
        let [first, second] = stores;
        let (near, far) = (Self::start(1, first).await?, Self::start(2, second).await?);
        near.meet(&far);
        far.meet(&near);
        near.reaches(far.node.id()).await?;
        far.reaches(near.node.id()).await?;
        Ok([near, far])
    }

    /// An empty store of a node.
    pub(super) fn store(key: u8, directory: &Path) -> Result<Store, Failure> {
        let identity = Identity::from_seed(&[key; 32]);
        let path = directory.join(format!("store-{key}.redb"));
        let opened = Store::open(&path, &identity, Epoch(1), MOST_BYTES);
        opened.map(|(store, _)| store).map_err(|e| Failure::broken("store", e))
    }

    async fn start(key: u8, store: Option<Store>) -> Result<Self, Failure> {
        let identity = Identity::from_seed(&[key; 32]);
        let config = WifiConfig::new(vec![(Ipv4Addr::LOCALHOST, 0).into()]);
        let lan = WifiTransport::new(config, LinkIdentity::from(identity.signing_key().clone()));
        let lan = Arc::new(lan.map_err(|e| Failure::broken("LAN transport", e))?);
        let mut node = Node::builder(&identity, Epoch(1)).transport(Arc::clone(&lan) as _);
        if let Some(store) = store {
            node = node.store(store);
        }
        let node = node.start().await.map_err(|e| Failure::broken("node", e))?;
        let address = lan.local_addresses().first().copied();
        let address = address.ok_or(Failure::Broken("a node listens nowhere".to_owned()))?;
        Ok(Self { node, address })
    }

    fn meet(&self, other: &Self) {
        let address = Address::new(other.address.to_string());
        let transport = TransportType::WiFiDirect;
        let target = ConnectTarget { transport, peer: other.node.id(), address, via: None };
        let hint = Hint { target, source: HintSource::Static };
        self.node.with(|engine, now| engine.discovered(hint, now));
    }

    async fn reaches(&self, peer: PeerId) -> Result<(), Failure> {
        let ready = || {
            let peers = self.node.peers();
            peers.iter().any(|p| p.peer == peer && p.links.iter().any(|link| link.ready))
        };
        let met = tokio::time::timeout(PATIENCE, async {
            while !ready() {
                tokio::time::sleep(LOOK).await;
            }
        });
        met.await.map_err(|_| Failure::Broken("two nodes do not meet".to_owned()))
    }
}
