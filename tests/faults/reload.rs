//! A node whose configuration changes while it runs.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use bitcraps_coordinator::Outcome;
use bitcraps_node::{Config, Environment, Identity, Node, NodeBuilder};
use bitcraps_transport_api::mock::{MockNetwork, MockTransport};
use bitcraps_types::{Packet, TrafficClass, TransportType};
use tempfile::TempDir;

use super::scene::{MS, SECOND, single};

/// A configuration of a node that lives in `data` and sends by `policy`.
fn configured(data: &TempDir, policy: &str) -> Config {
    let mut text = String::new();
    writeln!(text, "[coordination.transport]\ndefault_policy = {policy:?}").unwrap();
    writeln!(text, "[node]\ndata_dir = {:?}", data.path().to_str().unwrap()).unwrap();
    writeln!(text, "[lan]\nenabled = false").unwrap();
    Config::parse(&text, Path::new("bitcraps.toml"), &Environment::default()).unwrap()
}

fn node(config: &Config, transports: Vec<MockTransport>) -> NodeBuilder {
    let builder = Node::configured(config).unwrap();
    transports.into_iter().fold(builder, |builder, mock| builder.transport(Arc::new(mock)))
}

#[tokio::test]
async fn fault_43_a_reload_in_mid_send_is_in_force_at_once_and_loses_no_receipt() {
    let data = [(); 2].map(|()| TempDir::new().unwrap());
    let fastest = [&data[0], &data[1]].map(|dir| configured(dir, "FastestFirst"));
    // Keys are made by the first start; mocks have to know them before.
    let [near, far] = [&fastest[0], &fastest[1]]
        .map(|config| Identity::load_or_create(&config.node().key_file()).unwrap().peer_id());
    let (mut here, mut there, mut handles) = (Vec::new(), Vec::new(), Vec::new());
    // The fast one is said to be unreliable.
    for (kind, latency, reliability) in
        [(TransportType::WiFiDirect, MS, 0.6), (TransportType::Bluetooth, 20 * MS, 0.99)]
    {
        let network = MockNetwork::new(kind, near, far).with_latency(latency);
        let (a, b, handle) = network.with_reliability(reliability).pair();
        here.push(a);
        there.push(b);
        handles.push(handle);
    }
    let far = node(&fastest[1], there).start().await.unwrap();
    let near = node(&fastest[0], here).start().await.unwrap();
    let _inbox = far.inbox();
    let mut notices = near.notices();
    while near.get_available_transports(far.id()).len() < 2 {
        notices.recv().await.unwrap();
    }
    // The latest message's first link; a copy over another may have been faster.
    let first_choice = || {
        let decisions = near.decisions(far.id());
        decisions.iter().rev().find(|d| d.attempt == 1).and_then(|d| d.transport())
    };
    near.send_packet(far.id(), &Packet::new("roll")).await.unwrap();
    assert_eq!(first_choice(), Some(TransportType::WiFiDirect));

    // On their way while the configuration changes under them.
    handles[0].hang();
    let options = single(TrafficClass::Critical).deadline(30 * SECOND);
    let receipts: Vec<_> =
        (0..100).map(|_| near.send(far.id(), vec![7; 100], options).unwrap()).collect();
    let reliable = configured(&data[0], "MostReliable");
    let changes = near.reload(&fastest[0], &reliable);
    let keys: Vec<&str> = changes.iter().map(|change| change.key).collect();
    assert_eq!(keys, ["coordination.transport.default_policy"]);
    assert!(!changes[0].needs_restart);
    handles[0].resume();
    for receipt in receipts {
        assert!(matches!(receipt.await, Outcome::Delivered { .. }));
    }
    near.send_packet(far.id(), &Packet::new("roll")).await.unwrap();
    assert_eq!(first_choice(), Some(TransportType::Bluetooth));
}
