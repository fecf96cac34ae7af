use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bitcraps_transport_api::conformance::{Ends, Fixture, run_all};
use bitcraps_transport_api::{Address, ConnectTarget};
use bitcraps_transport_wifi::{WifiConfig, WifiTransport};
use bitcraps_types::TransportType;

use crate::{address, identity, peer};

/// Addresses of the far end, so that each dial of a case goes over another path: over one path
/// there is one link.
const FAR: [&str; 4] = ["127.0.0.1:0", "127.0.0.2:0", "127.0.0.3:0", "127.0.0.4:0"];

struct Loopback;

#[async_trait]
impl Fixture for Loopback {
    async fn ends(&self) -> Ends {
        let make = |seed, listen: &[&str]| {
            let mut config = WifiConfig::new(listen.iter().map(|text| address(text)).collect());
            config.connection_timeout = Duration::from_secs(3);
            Arc::new(WifiTransport::new(config, identity(seed)).unwrap())
        };
        let near = make(1, &["127.0.0.1:0"]);
        let far = make(2, &FAR);
        let asked = AtomicUsize::new(0);
        let listening = far.clone();
        let last_known = std::sync::Mutex::new(Vec::new());
        let target = move || {
            let mut known = last_known.lock().unwrap();
            let now = listening.local_addresses();
            if !now.is_empty() {
                *known = now;
            }
            let nth = asked.fetch_add(1, Ordering::Relaxed) % FAR.len();
            ConnectTarget {
                transport: TransportType::WiFiDirect,
                peer: peer(2),
                address: Address::new(known[nth].to_string()),
                via: None,
            }
        };
        Ends {
            near,
            far,
            near_peer: peer(1),
            far_peer: peer(2),
            target: Box::new(target),
            dead: Some(Address::new("127.0.0.1:9")),
            bad: Some(Address::new("localhost")),
            stall: None,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_contract_holds() {
    if let Err(failures) = run_all(&Loopback).await {
        panic!("{failures}");
    }
}
