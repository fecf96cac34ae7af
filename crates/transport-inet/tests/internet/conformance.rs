use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bitcraps_transport_api::Address;
use bitcraps_transport_api::conformance::{Ends, Fixture, run_all};
use bitcraps_transport_inet::{InetTransport, RelayServer};
use bitcraps_types::Ratio;

use crate::{config, identity, peer, relay, target};

/// What is on its way as datagrams is lost when iroh moves from one path to another, as it does
/// once or twice at the beginning of a connection.
const MOST: f64 = 0.98;

struct Direct;

#[async_trait]
impl Fixture for Direct {
    async fn ends(&self) -> Ends {
        let make = |seed| {
            let mut config = config(&["127.0.0.1:0"]);
            config.connection_timeout = Duration::from_secs(3);
            Arc::new(InetTransport::new(config, identity(seed)).unwrap())
        };
        let (near, far) = (make(1), make(2));
        let listening = far.clone();
        let last_known = std::sync::Mutex::new(None);
        let address = move || {
            let mut known = last_known.lock().unwrap();
            *known = listening.address().or(known.take());
            target(peer(2), known.clone().unwrap())
        };
        Ends {
            near,
            far,
            near_peer: peer(1),
            far_peer: peer(2),
            target: Box::new(address),
            dead: Some(Address::new("127.0.0.1:9")),
            bad: Some(Address::new("localhost")),
            stall: None,
        }
    }

    fn one_link_per_peer(&self) -> bool {
        true
    }

    fn least_delivery(&self) -> Ratio {
        Ratio::clamped(MOST)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_contract_holds_directly() {
    if let Err(failures) = run_all(&Direct).await {
        panic!("{failures}");
    }
}

/// Ends on addresses that do not reach each other.
struct Relayed(RelayServer);

#[async_trait]
impl Fixture for Relayed {
    async fn ends(&self) -> Ends {
        let make = |seed, listen| {
            let mut config = config(&[listen]);
            config.relays = vec![self.0.relay().clone()];
            // Thousands of frames through a websocket: smaller ones, or they take minutes.
            config.max_frame = 4_096;
            config.connection_timeout = Duration::from_secs(5);
            Arc::new(InetTransport::new(config, identity(seed)).unwrap())
        };
        let relay = self.0.relay().clone();
        Ends {
            // The families do not reach each other.
            near: make(1, "127.0.0.1:0"),
            far: make(2, "[::1]:0"),
            near_peer: peer(1),
            far_peer: peer(2),
            target: Box::new(move || target(peer(2), &relay)),
            dead: Some(Address::new("http://127.0.0.1:9")),
            bad: Some(Address::new("ftp://relay.example")),
            stall: None,
        }
    }

    fn one_link_per_peer(&self) -> bool {
        true
    }

    fn least_delivery(&self) -> Ratio {
        Ratio::clamped(MOST)
    }

    fn asks_by_key(&self) -> bool {
        true
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_contract_holds_through_a_relay() {
    let fixture = Relayed(relay().await);
    let played = run_all(&fixture).await;
    fixture.0.shut_down().await;
    if let Err(failures) = played {
        panic!("{failures}");
    }
}
