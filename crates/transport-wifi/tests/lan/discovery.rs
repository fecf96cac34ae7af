use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bitcraps_transport_api::{Address, ConnectTarget, Hint, HintSource, Transport as _};
use bitcraps_transport_wifi::{BeaconConfig, MdnsConfig, StaticPeer, WifiConfig};
use bitcraps_types::TransportType;
use bitcraps_wire::{Beacon, SignedBeacon};
use bytes::Bytes;
use ed25519_dalek::{Signer as _, SigningKey};
use tokio::net::UdpSocket;

use crate::{Node, address, config, peer};

const EVERYBODY: Ipv4Addr = Ipv4Addr::new(127, 255, 255, 255);

/// A port that no other test's beacons go to.
fn free_port() -> u16 {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap().port()
}

fn with_beacon(listen: &str, port: u16) -> WifiConfig {
    let mut config = config(listen);
    config.beacon =
        Some(BeaconConfig { port, interval: Duration::from_millis(50), ..BeaconConfig::default() });
    config
}

fn hint(seed: u8, address: SocketAddr, via: Option<SocketAddr>, source: HintSource) -> Hint {
    Hint {
        target: ConnectTarget {
            transport: TransportType::WiFiDirect,
            peer: peer(seed),
            address: Address::new(address.to_string()),
            via: via.map(|via| Address::new(via.to_string())),
        },
        source,
    }
}

async fn hinted(node: &Node, hint: &Hint) {
    let seen = |log: &crate::told::Log| log.hints.contains(hint).then_some(());
    node.told.wait(&format!("{hint:?}"), seen).await;
}

#[tokio::test]
async fn static_peers_are_told_at_start() {
    let mut config = config("127.0.0.1:0");
    let (at, via) = (address("127.0.0.1:9"), address("127.0.0.1:8"));
    for via in [None, Some(via)] {
        let peer = peer(2);
        let address = at;
        config.statics.push(StaticPeer { peer, address, via });
    }
    let node = Node::start(1, config).await;
    let expected =
        [hint(2, at, None, HintSource::Static), hint(2, at, Some(via), HintSource::Static)];
    assert_eq!(node.told.log().hints, expected);
}

#[tokio::test]
async fn two_nodes_that_know_nothing_meet_by_the_beacon() {
    let port = free_port();
    let one = Node::start(1, with_beacon("127.0.0.1:0", port)).await;
    let mut two = with_beacon("127.0.0.2:0", port);
    two.listen.push(address("127.0.0.3:0"));
    let two = Node::start(2, two).await;
    for at in two.transport.local_addresses() {
        let via = Some(one.address());
        hinted(&one, &hint(2, at, via, HintSource::Beacon)).await;
    }
    // The node with two addresses leaves it to the dial which of them is nearer.
    hinted(&two, &hint(1, one.address(), None, HintSource::Beacon)).await;
    let target = two.told.log().hints[0].target.clone();
    let id = two.transport.connect(target).await.unwrap();
    assert_eq!(two.told.up(id).await.peer(), peer(1));
}

#[tokio::test]
async fn a_node_without_a_beacon_is_not_found() {
    let port = free_port();
    let hidden = Node::start(3, config("127.0.0.1:0")).await;
    let one = Node::start(1, with_beacon("127.0.0.1:0", port)).await;
    let two = Node::start(2, with_beacon("127.0.0.1:0", port)).await;
    let via = Some(one.address());
    hinted(&one, &hint(2, two.address(), via, HintSource::Beacon)).await;
    assert_eq!(hidden.told.log().hints, []);
    let of_hidden = |h: &Hint| h.target.peer == peer(3);
    assert!(!one.told.log().hints.iter().any(of_hidden));
}

fn beacon(seed: u8, sequence: u64, port: u16) -> SignedBeacon {
    let beacon = Beacon {
        peer: peer(seed),
        sequence,
        addresses: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, port))],
    };
    let key = SigningKey::from_bytes(&[seed; 32]);
    let signature = key.sign(&beacon.signed_bytes()).to_bytes();
    SignedBeacon { beacon, signature }
}

/// Datagrams arrive in the order sent, so a hint of the last one means that those before were
/// judged.
#[tokio::test]
async fn forged_and_replayed_beacons_give_no_hint() {
    let port = free_port();
    let node = Node::start(1, with_beacon("127.0.0.1:0", port)).await;
    let attacker = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    attacker.set_broadcast(true).unwrap();
    let say = async |datagram: Bytes| {
        let to = (EVERYBODY, port);
        attacker.send_to(&datagram, to).await.unwrap();
    };
    let by_beacon = |seed, port| {
        hint(seed, address(&format!("127.0.0.1:{port}")), Some(node.address()), HintSource::Beacon)
    };

    // Signed by 4 in the name of 3; a beacon of 3 with another address in place; noise.
    let mut forged = beacon(3, 1, 1_003);
    forged.signature = beacon(4, 1, 1_003).signature;
    say(forged.encode()).await;
    let mut changed = beacon(3, 1, 1_003);
    changed.beacon.addresses[0].set_port(1_004);
    say(changed.encode()).await;
    say(Bytes::from_static(b"noise")).await;
    say(Bytes::from(vec![0; 600])).await;
    say(beacon(5, 1, 1_005).encode()).await;
    hinted(&node, &by_beacon(5, 1_005)).await;
    assert_eq!(node.told.log().hints, [by_beacon(5, 1_005)]);

    // The same again, an older one, and a newer one within the hint interval.
    say(beacon(5, 1, 1_005).encode()).await;
    say(beacon(5, 0, 1_006).encode()).await;
    say(beacon(5, 2, 1_005).encode()).await;
    say(beacon(5, 3, 1_007).encode()).await;
    hinted(&node, &by_beacon(5, 1_007)).await;
    let expected = [by_beacon(5, 1_005), by_beacon(5, 1_007)];
    assert_eq!(node.told.log().hints, expected);
}

#[tokio::test]
async fn a_beacon_says_who_and_where_with_growing_numbers() {
    let port = free_port();
    let ear = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None).unwrap();
    ear.set_reuse_address(true).unwrap();
    ear.set_reuse_port(true).unwrap();
    ear.set_nonblocking(true).unwrap();
    ear.bind(&SocketAddr::from((EVERYBODY, port)).into()).unwrap();
    let ear = UdpSocket::from_std(ear.into()).unwrap();
    let mut config = with_beacon("127.0.0.1:0", port);
    if let Some(beacon) = &mut config.beacon {
        beacon.first_sequence = 7 << 32;
    }
    let node = Node::start(1, config).await;
    for number in 0..3 {
        let mut buffer = [0; 512];
        let (length, from) = ear.recv_from(&mut buffer).await.unwrap();
        assert!(from.ip().is_loopback());
        let heard = SignedBeacon::decode(Bytes::copy_from_slice(&buffer[..length])).unwrap();
        let mut said = beacon(1, (7 << 32) + number, 0).beacon;
        said.addresses = vec![node.address()];
        assert_eq!(heard.beacon, said);
    }
    node.transport.shutdown().await;
}

/// The library joins multicast groups on every interface before it can be told not to, so this runs
/// where loopback is the only one.
#[tokio::test]
#[ignore = "needs a network of its own: cargo xtask test-net"]
async fn two_nodes_that_know_nothing_meet_by_mdns() {
    let with_mdns = |listen| {
        let mut config = config(listen);
        config.mdns = Some(MdnsConfig::default());
        config
    };
    let one = Node::start(1, with_mdns("127.0.0.1:0")).await;
    let two = Node::start(2, with_mdns("127.0.0.2:0")).await;
    hinted(&one, &hint(2, two.address(), None, HintSource::Mdns)).await;
    hinted(&two, &hint(1, one.address(), None, HintSource::Mdns)).await;
    one.transport.shutdown().await;
    two.transport.shutdown().await;
}
