//! Two or more transports of this crate over real sockets on loopback, and a relay among them.

#![expect(clippy::unwrap_used, reason = "the lint knows test functions only, not what they call")]

mod conformance;

use std::time::Duration;

use bitcraps_transport_api::{Address, ConnectTarget};
use bitcraps_transport_inet::{Identity, InetConfig};
use bitcraps_types::{PeerId, TransportType};

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
