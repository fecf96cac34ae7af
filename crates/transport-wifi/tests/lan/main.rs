//! Two or more transports of this crate over real sockets on loopback.

#![expect(clippy::unwrap_used, reason = "the lint knows test functions only, not what they call")]

mod conformance;
mod discovery;
mod flow;
mod rivals;
mod told;

use std::net::SocketAddr;
use std::sync::Arc;

use bitcraps_transport_api::{Address, ConnectTarget, Link, Transport as _};
use bitcraps_transport_wifi::{Identity, WifiConfig, WifiTransport};
use bitcraps_types::{PeerId, TransportType};
use told::Told;

/// A transport and what it told.
struct Node {
    transport: WifiTransport,
    told: Arc<Told>,
}

fn identity(seed: u8) -> Identity {
    Identity::from_seed(&[seed; 32].into())
}

fn peer(seed: u8) -> PeerId {
    identity(seed).peer()
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn config(listen: &str) -> WifiConfig {
    WifiConfig::new(vec![address(listen)])
}

impl Node {
    async fn start(seed: u8, config: WifiConfig) -> Self {
        let transport = WifiTransport::new(config, identity(seed)).unwrap();
        let told = Arc::new(Told::default());
        transport.start(told.clone()).await.unwrap();
        Self { transport, told }
    }

    fn address(&self) -> SocketAddr {
        self.transport.local_addresses()[0]
    }

    fn target(&self) -> ConnectTarget {
        ConnectTarget {
            transport: TransportType::WiFiDirect,
            peer: self.transport.peer(),
            address: Address::new(self.address().to_string()),
            via: None,
        }
    }

    /// Dials `to`; the link's two ends.
    async fn link(&self, to: &Node) -> [Arc<dyn Link>; 2] {
        let before = to.told.ups().len();
        let id = self.transport.connect(to.target()).await.unwrap();
        let near = self.told.up(id).await;
        let far = to.told.nth_up(before).await;
        [near, far]
    }
}
