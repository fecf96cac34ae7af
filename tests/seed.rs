//! The seed document's coordinator tests, by name.

use std::sync::Arc;
use std::time::Duration;

use bitcraps_coordinator::{
    Config, FailoverPolicy, MultiTransportCoordinator, SendOptions, TransportMetrics,
};
use bitcraps_transport_api::mock::{MockHandle, MockNetwork};
use bitcraps_types::{Epoch, Kbps, Packet, PeerId, TrafficClass, TransportType};

/// Two coordinators joined by mock transports: the second one acknowledges.
struct Pair {
    near: MultiTransportCoordinator,
    far: MultiTransportCoordinator,
    far_id: PeerId,
    near_id: PeerId,
}

impl Pair {
    fn new(policy: FailoverPolicy) -> Self {
        let (near_id, far_id) = (PeerId::from_bytes([1; 32]), PeerId::from_bytes([2; 32]));
        let config =
            |id, seed| Config { default_policy: policy, ..Config::new(id, Epoch(1), seed) };
        Self {
            near: MultiTransportCoordinator::new(config(near_id, 1)),
            far: MultiTransportCoordinator::new(config(far_id, 2)),
            far_id,
            near_id,
        }
    }

    fn network(&self, transport: TransportType) -> MockNetwork {
        MockNetwork::new(transport, self.near_id, self.far_id)
    }

    async fn register(&self, network: MockNetwork) -> MockHandle {
        let (near, far, handle) = network.pair();
        self.near.register_transport(Arc::new(near)).await.unwrap();
        self.far.register_transport(Arc::new(far)).await.unwrap();
        handle
    }

    async fn ready(&self, links: usize) {
        let mut notices = self.near.notices();
        while self.near.peers().iter().flat_map(|p| &p.links).filter(|l| l.ready).count() < links {
            notices.recv().await.unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn test_transport_failover_cascade() {
    let pair = Pair::new(FailoverPolicy::MostReliable);
    let _inbox = pair.far.inbox();
    let network = |transport, p| pair.network(transport).with_reliability(p);
    let bluetooth = pair.register(network(TransportType::Bluetooth, 0.9)).await;
    pair.register(network(TransportType::WiFiDirect, 0.5)).await;
    pair.register(network(TransportType::Internet, 0.8)).await;
    pair.ready(3).await;

    bluetooth.set_failing(true);
    let confirmed = pair.near.send_packet(pair.far_id, &Packet::new("roll")).await.unwrap();

    assert_eq!(confirmed.link.transport, TransportType::Internet);
    assert_eq!(pair.near.get_last_successful_transport(), Some(TransportType::Internet));
}

async fn thousand_sends(pair: &Pair) -> Vec<TransportMetrics> {
    let mut inbox = pair.far.inbox();
    let receipts: Vec<_> = (0..1_000u32)
        .map(|i| {
            let near = pair.near.clone();
            let to = pair.far_id;
            tokio::spawn(async move {
                near.send_packet(to, &Packet::new(i.to_be_bytes().to_vec())).await
            })
        })
        .collect();
    for receipt in receipts {
        receipt.await.unwrap().unwrap();
    }
    let mut got: Vec<u32> = Vec::new();
    while let Some(delivery) = inbox.try_recv() {
        got.push(u32::from_be_bytes(delivery.payload[..].try_into().unwrap()));
    }
    got.sort_unstable();
    assert_eq!(got, (0..1_000).collect::<Vec<_>>(), "each delivered once");
    pair.near.get_transport_stats().into_values().collect()
}

#[tokio::test(start_paused = true)]
async fn test_coordination_under_load() {
    let pair = Pair::new(FailoverPolicy::LoadBalanced);
    for transport in TransportType::ALL {
        let rate = Kbps::new(10_000).unwrap();
        pair.register(pair.network(transport).with_rate(rate)).await;
    }
    pair.ready(3).await;
    let stats = thousand_sends(&pair).await;
    for metrics in stats {
        assert!(metrics.request_count >= 200, "equal links share alike: {metrics:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn test_unequal_links_share_by_capacity() {
    let pair = Pair::new(FailoverPolicy::LoadBalanced);
    for (transport, kbps) in
        [(TransportType::WiFiDirect, 100_000), (TransportType::Internet, 1_000)]
    {
        let network = pair.network(transport).with_rate(Kbps::new(kbps).unwrap());
        // A burst that fits: a full driver would send the rest over the other link.
        pair.register(network.with_queue_frames(2_048)).await;
    }
    pair.ready(2).await;
    let stats = thousand_sends(&pair).await;
    let (wifi, internet) = (stats[1].request_count, stats[2].request_count);
    assert!(internet > 0 && wifi >= 50 * internet, "wifi {wifi}, internet {internet}");
}

#[tokio::test(start_paused = true)]
async fn a_receipt_can_be_read_and_cancelled() {
    let pair = Pair::new(FailoverPolicy::FastestFirst);
    let handle = pair.register(pair.network(TransportType::WiFiDirect)).await;
    pair.ready(1).await;
    handle.set_black_hole(true);
    let options = SendOptions::new(TrafficClass::Critical).deadline(Duration::from_secs(9));
    let receipt = pair.near.send(pair.far_id, "bet", options).unwrap();
    assert!(receipt.progress().is_some());
    receipt.cancel();
    assert!(receipt.progress().is_none());
    let outcome = receipt.await;
    assert!(matches!(outcome, bitcraps_coordinator::Outcome::Unknown { .. }), "{outcome:?}");
}
