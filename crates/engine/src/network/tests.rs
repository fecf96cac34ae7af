use bitcraps_types::{Kbps, Ratio};
use bitcraps_wire::Quality;

use super::*;

const NOW: Timestamp = Timestamp::from_millis(1_000);

fn peer(number: u8) -> PeerId {
    PeerId::from_bytes([number; 32])
}

fn link(a: u8, b: u8, transport: TransportType, latency_ms: u64) -> Change {
    let latency = Duration::from_millis(latency_ms);
    let quality = Quality::new(transport, latency, Ratio::ONE, Kbps::new(1_000).unwrap());
    Change::Link(Link { a: peer(a), b: peer(b), quality, verified: true })
}

#[test]
fn a_second_transport_of_a_pair_leaves_the_shape_and_the_chart_as_they_are() {
    use TransportType::{Bluetooth, WiFiDirect};
    let mut network = Network::new(&[1; 32], Config::new(Epoch(1)), 7, NOW);
    network.me = peer(0);
    let gone = |b, transport| Change::LinkGone { a: peer(0), b: peer(b), transport };
    let by = |hop| vec![peer(0), peer(hop), peer(3)];
    for (a, b, latency) in [(0, 1, 50), (1, 3, 50), (0, 2, 80), (2, 3, 50)] {
        network.apply(link(a, b, Bluetooth, latency), NOW);
    }
    let is_reshaped = |network: &mut Network| {
        let reshaped = (network.take_changed(), network.is_reshaped());
        network.seen_shape();
        assert_eq!(reshaped.0, reshaped.1);
        reshaped.0
    };
    assert!(is_reshaped(&mut network));
    assert_eq!(network.ways(&peer(3), 1), [by(1)]);
    network.apply(link(0, 2, WiFiDirect, 1), NOW);
    assert!(!is_reshaped(&mut network));
    assert!(network.chart.get().is_some());
    assert_eq!(network.ways(&peer(3), 1), [by(2)], "what it costs is known all the same");
    network.apply(gone(2, WiFiDirect), NOW);
    assert!(!is_reshaped(&mut network));
    assert_eq!(network.ways(&peer(3), 1), [by(1)]);
    network.apply(gone(1, WiFiDirect), NOW);
    assert!(!is_reshaped(&mut network), "there was none");
    network.apply(gone(1, Bluetooth), NOW);
    assert!(is_reshaped(&mut network));
    assert!(network.chart.get().is_some(), "it has a place for every link that there is");
    assert_eq!(network.ways(&peer(3), 2), [by(2)]);
    network.apply(link(0, 1, WiFiDirect, 50), NOW);
    assert!(is_reshaped(&mut network));
    assert!(network.chart.get().is_some(), "and one for this");
    assert_eq!(network.ways(&peer(3), 2), [by(1), by(2)]);
    network.apply(link(0, 3, WiFiDirect, 1), NOW);
    assert!(is_reshaped(&mut network));
    assert!(network.chart.get().is_none());
    assert_eq!(network.ways(&peer(3), 1), [[peer(0), peer(3)]]);
    network.apply(gone(3, WiFiDirect), NOW);
    assert!(network.chart.get().is_some());
    network.apply(Change::PeerGone(peer(3)), NOW);
    assert!(network.chart.get().is_none(), "whoever comes next may be given its place");
}
