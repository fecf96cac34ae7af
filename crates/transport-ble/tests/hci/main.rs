//! The transport over controllers that it drives itself, each a virtual one in another process:
//! `cargo xtask test-hci` brings what that takes. What is measured is printed; what does not hold fails.

#![expect(clippy::unwrap_used, reason = "the lint knows test functions only, not what they call")]
#![expect(clippy::disallowed_methods, reason = "what is measured is time")]
#![expect(clippy::print_stdout, reason = "figures are for whoever runs this")]

mod conformance;
mod controllers;
mod hostile;
mod meeting;
mod processes;

use std::sync::Arc;
use std::time::Duration;

use bitcraps_session::Identity;
use bitcraps_transport_api::conformance::Recorder;
use bitcraps_transport_api::{Address, ConnectTarget, Link, Transport as _};
use bitcraps_transport_ble::{BleConfig, BleTransport, Hci, Port};
use bitcraps_types::{LinkId, TransportType};
use bytes::Bytes;

/// A node of this process.
struct Node {
    transport: Arc<BleTransport>,
    told: Arc<Recorder>,
}

/// What the transport does goes to standard error, for whoever looks for the reason of a failure.
fn logged() {
    let log = tracing_subscriber::fmt().with_ansi(false).with_test_writer();
    // Only the first test of a process finds none.
    drop(log.with_env_filter("bitcraps_transport_ble=trace").try_init());
}

impl Node {
    /// Node `number` with the controller at `port`, not started.
    fn new(number: u8, port: &Port, config: BleConfig) -> Self {
        logged();
        let identity = Identity::from_seed(&[number; 32]);
        let radio = Arc::new(Hci::new(port.clone()).unwrap());
        let transport = BleTransport::new(config, identity, radio).unwrap();
        Self { transport: Arc::new(transport), told: Arc::default() }
    }

    async fn start(&self) {
        self.transport.start(self.told.clone()).await.unwrap();
    }

    /// A node that looks for others.
    async fn started(number: u8, port: &Port) -> Self {
        let node = Self::new(number, port, BleConfig::default());
        node.start().await;
        node.transport.radio().unwrap().unwrap();
        node
    }

    fn target(&self) -> ConnectTarget {
        ConnectTarget {
            transport: TransportType::Bluetooth,
            peer: self.transport.peer(),
            address: Address::new(self.transport.place().unwrap().to_string()),
            via: None,
        }
    }

    async fn link(&self) -> Arc<dyn Link> {
        self.told.standing(1).await.unwrap().pop().unwrap()
    }
}

async fn ended(one: &Node, two: &Node) {
    one.transport.shutdown().await;
    two.transport.shutdown().await;
}

/// Waits until a frame `number` of one end gets through to the other; the link that it took. Links that
/// stand are replaced when one of them is lost to one end only, or when both ends dial at once.
async fn through(one: &Node, two: &Node, number: u8) -> LinkId {
    for _ in 0..10 {
        let (near, far) = (one.link().await, two.link().await);
        let arrived = two.told.arrived(far.id());
        if near.try_send(Bytes::from(vec![number; 9])).is_err() {
            tokio::task::yield_now().await;
            continue;
        }
        let came = two.told.arrivals(far.id(), arrived + 1);
        if let Ok(Ok(frames)) = tokio::time::timeout(Duration::from_secs(2), came).await {
            assert_eq!(frames.last().map(|frame| frame[0]), Some(number));
            return near.id();
        }
    }
    panic!("nothing gets through any more")
}
