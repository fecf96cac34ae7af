//! Two or more transports of this crate over real sockets on loopback, and a relay among them.

#![expect(clippy::unwrap_used, reason = "the lint knows test functions only, not what they call")]

mod conformance;
mod faults;
mod forwarder;
mod pairing;
mod relayed;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use bitcraps_transport_api::conformance::Recorder;
use bitcraps_transport_api::{Address, ConnectTarget, Link, Transport as _};
use bitcraps_transport_inet::{
    Identity, InetConfig, InetTransport, RelayServer, RelayServerConfig,
};
use bitcraps_types::{PeerId, TransportType};
use bytes::Bytes;

fn identity(seed: u8) -> Identity {
    Identity::from_seed(&[seed; 32].into())
}

fn peer(seed: u8) -> PeerId {
    identity(seed).peer()
}

fn config(listen: &[&str]) -> InetConfig {
    let mut config = InetConfig::new(listen.iter().map(|text| text.parse().unwrap()).collect());
    config.connection_timeout = Duration::from_secs(20);
    config
}

fn target(peer: PeerId, address: impl ToString) -> ConnectTarget {
    let address = Address::new(address.to_string());
    ConnectTarget { transport: TransportType::Internet, peer, address, via: None }
}

async fn relay() -> RelayServer {
    let mut config = RelayServerConfig::new("127.0.0.1:0".parse().unwrap());
    config.client_rate = NonZeroU32::MAX;
    RelayServer::start(config).await.unwrap()
}

/// A transport and what it told.
struct Node {
    transport: InetTransport,
    told: Arc<Recorder>,
}

impl Node {
    async fn start(seed: u8, config: InetConfig) -> Self {
        let transport = InetTransport::new(config, identity(seed)).unwrap();
        let told = Arc::new(Recorder::default());
        transport.start(told.clone()).await.unwrap();
        Self { transport, told }
    }

    /// One that is reached through `relay` only, where others have no socket of the family it listens
    /// with.
    async fn behind(relay: &RelayServer, seed: u8, mut config: InetConfig) -> Self {
        config.relays = vec![relay.relay().clone()];
        let node = Self::start(seed, config).await;
        assert_eq!(node.transport.relay_connected().await.as_ref(), Some(relay.relay()));
        node
    }

    fn target(&self) -> ConnectTarget {
        target(self.transport.peer(), self.transport.address().unwrap())
    }

    /// Dials `target`, which is `to`; both ends of the link.
    async fn link(&self, to: &Node, target: ConnectTarget) -> [Arc<dyn Link>; 2] {
        let id = self.transport.connect(target).await.unwrap();
        let [near, far] = [self.only_link().await, to.only_link().await];
        assert_eq!(near.id(), id);
        [near, far]
    }

    async fn only_link(&self) -> Arc<dyn Link> {
        self.told.standing(1).await.unwrap().remove(0)
    }
}

/// Sends `text` over `link` until it arrives at `far`, which is the other end: datagrams get lost.
/// False when either end is down.
async fn passes(link: &dyn Link, to: &Node, far: &dyn Link, text: &str) -> bool {
    let frame = Bytes::from(text.to_owned());
    let before = to.told.arrived(far.id());
    loop {
        if link.try_send(frame.clone()).is_err() || to.told.down(far.id()).is_some() {
            return false;
        }
        let arrival = to.told.arrivals(far.id(), before + 1);
        if let Ok(arrived) = tokio::time::timeout(Duration::from_millis(200), arrival).await {
            return arrived.unwrap()[before..].contains(&frame);
        }
    }
}

/// A frame each way; false when it does not get through.
async fn exchanges(one: &Node, two: &Node, [near, far]: &[Arc<dyn Link>; 2], text: &str) -> bool {
    passes(near.as_ref(), two, far.as_ref(), text).await
        && passes(far.as_ref(), one, near.as_ref(), text).await
}

async fn exchange(one: &Node, two: &Node, link: &[Arc<dyn Link>; 2], text: &str) {
    assert!(exchanges(one, two, link, text).await, "{text}: a link went down");
}
