use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::testing::peer;
use bitcraps_types::Kbps;

fn link(transport: TransportType, reliability: f64, at: u64) -> EdgeInfo {
    let at = Timestamp::from_millis(at);
    EdgeInfo::new(transport, 10.0, 1_000.0, reliability, at).unwrap()
}

fn of(peers: u64) -> Topology {
    let mut topology = Topology::new(1);
    for i in 0..peers {
        let slot = topology.add_node(peer(i), NodeType::Regular, Timestamp::ZERO).unwrap();
        assert_eq!(slot, Slot(i as u32));
    }
    topology
}

#[test]
fn what_is_wrong_is_refused_and_changes_nothing() {
    use TransportType::{Bluetooth, Internet};
    let mut topology = of(2);
    let (a, b, c) = (peer(0), peer(1), peer(2));
    let good = link(Bluetooth, 0.5, 0);
    assert_eq!(
        topology.add_node(a, NodeType::Relay, Timestamp::ZERO),
        Err(AddNodeError::Duplicate(a))
    );
    assert_eq!(topology.add_edge(&a, &a, good), Err(AddEdgeError::SelfLink(a)));
    assert_eq!(topology.add_edge(&a, &c, good), Err(AddEdgeError::Unknown(UnknownPeer(c))));
    topology.add_edge(&a, &b, good).unwrap();
    let duplicate = AddEdgeError::Duplicate { a: b, b: a, transport: Bluetooth };
    assert_eq!(topology.add_edge(&b, &a, link(Bluetooth, 0.9, 3)), Err(duplicate));
    let absent = EdgeError::NoLink { a, b, transport: Internet };
    assert_eq!(topology.update_edge(&a, &b, link(Internet, 1.0, 0)), Err(absent));
    assert_eq!(topology.remove_edge(&a, &b, Internet), Err(absent));
    assert_eq!(topology.remove_edge(&a, &c, Internet), Err(EdgeError::Unknown(UnknownPeer(c))));
    assert_eq!(topology.remove_node(&c), Err(UnknownPeer(c)));
    assert_eq!(topology.seen(&c, Timestamp::ZERO), Err(UnknownPeer(c)));
    assert_eq!(topology.links_between(&b, &a), [good]);
    assert_eq!((topology.peers(), topology.linked_pairs()), (2, 1));
}

#[test]
fn transports_of_a_pair_are_kept_apart_and_count_as_one_link() {
    use TransportType::{Bluetooth, Internet};
    let mut topology = of(2);
    let (a, b) = (peer(0), peer(1));
    assert_eq!(topology.add_pair(&a, &b, link(Internet, 0.8, 0)), Ok(PairChange::Linked(0, 1)));
    assert_eq!(topology.add_pair(&b, &a, link(Bluetooth, 0.5, 0)), Ok(PairChange::Same));
    let transports: Vec<_> =
        topology.links_between(&a, &b).iter().map(EdgeInfo::transport).collect();
    assert_eq!(transports, [Bluetooth, Internet]);
    let snapshot = topology.snapshot();
    assert_eq!((snapshot.peers(), snapshot.links()), (2, 1));
    let weights = topology.weights(&snapshot);
    assert!((weights[0].reliability.get() - 0.9).abs() < 1e-12);
    let better = link(Bluetooth, 1.0, 9);
    assert_eq!(topology.update_edge(&a, &b, better), Ok(link(Bluetooth, 0.5, 0)));
    let removed = topology.remove_pair(&a, &b, Internet);
    assert_eq!(removed, Ok((link(Internet, 0.8, 0), PairChange::Same)));
    let removed = topology.remove_pair(&a, &b, Bluetooth);
    assert_eq!(removed, Ok((better, PairChange::Unlinked(0, 1))));
    assert_eq!(topology.linked_pairs(), 0);
    assert_eq!(topology.weights(&snapshot)[0].reliability, Ratio::ZERO);
}

#[test]
fn what_is_noted_of_a_link_adds_what_is_not_there_and_replaces_what_is() {
    use TransportType::{Bluetooth, Internet};
    let mut topology = of(1);
    let (a, b) = (peer(0), peer(1));
    let at = Timestamp::from_millis;
    let good = link(Bluetooth, 0.5, 0);
    for peer in [a, b] {
        assert_eq!(
            topology.note_edge(&peer, &peer, good, at(9)),
            Err(AddEdgeError::SelfLink(peer))
        );
    }
    assert_eq!(topology.peers(), 1, "what is refused adds nobody");
    assert_eq!(topology.node(&a).unwrap().last_seen, Timestamp::ZERO);
    assert_eq!(topology.note_edge(&a, &b, good, at(7)), Ok(true));
    assert_eq!(topology.note_edge(&b, &a, link(Internet, 0.8, 0), at(5)), Ok(true));
    let better = link(Bluetooth, 1.0, 9);
    assert_eq!(topology.note_edge(&b, &a, better, at(6)), Ok(false));
    assert_eq!(topology.links_between(&a, &b), [better, link(Internet, 0.8, 0)]);
    assert_eq!((topology.peers(), topology.linked_pairs()), (2, 1));
    for peer in [a, b] {
        assert_eq!(topology.note_node(&peer, at(5)), Ok(topology.slot_of(&peer).unwrap()));
        assert_eq!(topology.node(&peer).unwrap().last_seen, at(7), "time does not go back");
    }
    topology.note_node(&b, at(8)).unwrap();
    assert_eq!(topology.node(&b).unwrap().last_seen, at(8));
    assert_eq!(topology.note_node(&peer(2), at(8)), Ok(Slot(2)), "added");
}

#[test]
fn what_is_too_old_goes_and_what_is_exactly_that_old_stays() {
    use TransportType::{Internet, WiFiDirect};
    let mut topology = of(4);
    let second = Duration::from_secs(1);
    topology.add_edge(&peer(0), &peer(1), link(Internet, 1.0, 1_000)).unwrap();
    topology.add_edge(&peer(0), &peer(1), link(WiFiDirect, 1.0, 999)).unwrap();
    topology.add_edge(&peer(1), &peer(2), link(Internet, 1.0, 2_000)).unwrap();
    for i in [0, 1, 3] {
        topology.seen(&peer(i), Timestamp::from_millis(2_000)).unwrap();
        topology.seen(&peer(i), Timestamp::from_millis(1_500)).unwrap();
    }
    let at = Timestamp::from_millis(2_000);
    assert_eq!(topology.clone().age_out(at, second, 2 * second).peers, []);
    let aged = topology.age_out(Timestamp::from_millis(2_000), second, second);
    assert_eq!(aged.peers, [peer(2)]);
    assert_eq!(aged.links, [(peer(0), peer(1), WiFiDirect), (peer(1), peer(2), Internet)]);
    assert_eq!((topology.peers(), topology.linked_pairs()), (3, 1));
    assert_eq!(topology.age_out(at, second, second), Aged::default());
}

#[test]
fn a_peer_is_told_with_its_connections() {
    let mut topology = of(3);
    let info = EdgeInfo::default();
    assert_eq!((info.bandwidth(), info.reliability()), (Kbps::new(1_000).unwrap(), Ratio::ONE));
    topology.add_edge(&peer(1), &peer(2), info).unwrap();
    topology.add_edge(&peer(1), &peer(0), info).unwrap();
    topology.set_node_type(&peer(1), NodeType::Host).unwrap();
    topology.seen(&peer(1), Timestamp::from_millis(4)).unwrap();
    let node = topology.node(&peer(1)).unwrap();
    let expected = NodeInfo {
        peer_id: peer(1),
        last_seen: Timestamp::from_millis(4),
        node_type: NodeType::Host,
        connections: vec![peer(0), peer(2)],
    };
    assert_eq!(node, expected);
    assert_eq!(topology.remove_node(&peer(1)), Ok(expected));
    assert_eq!(topology.node(&peer(1)), None);
    assert_eq!(topology.node(&peer(0)).unwrap().connections, []);
    let again = topology.add_node(peer(7), NodeType::Regular, Timestamp::ZERO);
    assert_eq!(again, Ok(Slot(1)), "a free slot is used again");
}

#[test]
fn random_changes_agree_with_ordered_maps() {
    let mut rng = fastrand::Rng::with_seed(3);
    let mut topology = Topology::new(9);
    let mut peers = BTreeSet::new();
    let mut links: BTreeMap<(PeerId, PeerId), BTreeSet<TransportType>> = BTreeMap::new();
    for _ in 0..20_000 {
        let (a, b) = (peer(rng.u64(0..12)), peer(rng.u64(0..12)));
        let pair = (a.min(b), a.max(b));
        let transport = TransportType::ALL[rng.usize(0..3)];
        match rng.u32(0..10) {
            0 => {
                let added = topology.add_node(a, NodeType::Regular, Timestamp::ZERO);
                assert_eq!(added.is_ok(), peers.insert(a));
            }
            1 => {
                assert_eq!(topology.remove_node(&a).is_ok(), peers.remove(&a));
                links.retain(|(x, y), _| *x != a && *y != a);
            }
            2..=6 => {
                let fine = a != b && peers.contains(&a) && peers.contains(&b);
                let added = topology.add_edge(&a, &b, link(transport, 0.5, 0)).is_ok();
                let expected = fine && links.entry(pair).or_default().insert(transport);
                assert_eq!(added, expected);
            }
            _ => {
                let removed = topology.remove_edge(&a, &b, transport).is_ok();
                let expected = links.get_mut(&pair).is_some_and(|set| set.remove(&transport));
                assert_eq!(removed, expected);
                links.retain(|_, set| !set.is_empty());
            }
        }
        links.retain(|_, set| !set.is_empty());
        assert_eq!((topology.peers(), topology.linked_pairs()), (peers.len(), links.len()));
    }
    let told: BTreeSet<_> =
        topology.links().map(|(a, b, link)| (a.min(b), a.max(b), link.transport())).collect();
    let expected: BTreeSet<_> =
        links.iter().flat_map(|((a, b), set)| set.iter().map(|t| (*a, *b, *t))).collect();
    assert_eq!(told, expected);
    assert!(!expected.is_empty());
    assert_eq!(topology.snapshot().links(), links.len());
}

#[test]
fn a_link_that_comes_and_goes_leaves_nothing_behind() {
    let mut topology = of(3);
    topology.add_edge(&peer(0), &peer(2), EdgeInfo::default()).unwrap();
    for turn in 0..2 * MAX_IDLE + 3 {
        topology.add_edge(&peer(0), &peer(1), EdgeInfo::default()).unwrap();
        assert_eq!(topology.linked_pairs(), 2);
        topology.remove_edge(&peer(1), &peer(0), EdgeInfo::default().transport()).unwrap();
        assert_eq!((topology.linked_pairs(), topology.links().count()), (1, 1), "{turn}");
        assert!(topology.graph.edge_count() <= MAX_IDLE + 2);
    }
    assert!(topology.graph.edge_count() > 1);
    topology.remove_node(&peer(1)).unwrap();
    assert_eq!((topology.linked_pairs(), topology.graph.edge_count()), (1, 1));
    assert_eq!(topology.links_between(&peer(0), &peer(2)), [EdgeInfo::default()]);
}
