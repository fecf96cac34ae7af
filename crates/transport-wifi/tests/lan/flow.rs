use std::net::UdpSocket;
use std::time::Duration;

use bitcraps_quic_link::DEFAULT_MAX_FRAME;
use bitcraps_transport_api::{
    Address, ConnectError, ConnectTarget, DownReason, StartError, Transport as _, TrySendError,
};
use bitcraps_transport_wifi::WifiTransport;
use bitcraps_types::{EnergyProfile, Medium, TransportType};
use bytes::Bytes;

use crate::{Node, address, config, identity, peer};

fn frame(length: usize, salt: usize) -> Bytes {
    (0..length).map(|at| ((at ^ salt) % 251) as u8).collect()
}

#[tokio::test]
async fn a_link_knows_its_ends_and_what_it_can_do() {
    let one = Node::start(1, config("127.0.0.1:0")).await;
    let two = Node::start(2, config("127.0.0.2:0")).await;
    let [near, far] = one.link(&two).await;
    assert_eq!((near.peer(), far.peer()), (peer(2), peer(1)));
    let (here, there) = (one.address().to_string(), two.address().to_string());
    assert_eq!((near.path().local, near.path().remote), (here, there));
    assert_eq!(near.path().local, far.path().remote);
    assert_eq!(near.path().remote, far.path().local);
    for link in [near, far] {
        let can = link.capabilities();
        assert_eq!(link.transport(), TransportType::WiFiDirect);
        assert_eq!(can.max_frame, DEFAULT_MAX_FRAME);
        assert_eq!(can.nominal_rate.get(), 50_000);
        assert_eq!(can.energy, EnergyProfile::MAINS);
        assert_eq!(can.prior_reliability.get(), 0.9);
        assert_eq!(can.medium, Medium::Loopback);
        assert!(!can.metered);
    }
}

#[tokio::test]
async fn a_wrong_key_is_refused_and_leaves_nothing() {
    let one = Node::start(1, config("127.0.0.1:0")).await;
    let two = Node::start(2, config("127.0.0.1:0")).await;
    let target = ConnectTarget { peer: peer(3), ..two.target() };
    let refused = one.transport.connect(target).await;
    let expected = ConnectError::WrongPeer {
        address: two.address().to_string(),
        expected: peer(3).short(),
        why: format!("it showed the key of {}", peer(2).short()),
    };
    assert_eq!(refused, Err(expected));
    // The right dial comes after the wrong one: had that left a link, it would be the first.
    let [near, far] = one.link(&two).await;
    assert_eq!(one.told.log().standing(), [near.id()]);
    assert_eq!(two.told.log().standing(), [far.id()]);
}

#[tokio::test]
async fn frames_of_every_size_arrive_whole_both_ways() {
    let one = Node::start(1, config("127.0.0.1:0")).await;
    let two = Node::start(2, config("127.0.0.1:0")).await;
    let [near, far] = one.link(&two).await;
    // Both sides of every size at which another way is taken: the least and the largest datagram,
    // where frames stop being copied, and the largest frame.
    let sizes = [0, 1, 2].into_iter().chain(1_100..1_220).chain(6_300..6_401).chain([
        16_383,
        16_384,
        DEFAULT_MAX_FRAME - 1,
        DEFAULT_MAX_FRAME,
    ]);
    let mut sent: Vec<Bytes> = sizes.map(|size| frame(size, size)).collect();
    for (from, link, to, there) in [(&one, &near, &two, &far), (&two, &far, &one, &near)] {
        for (nth, frame) in sent.iter().enumerate() {
            assert_eq!(link.try_send(frame.clone()), Ok(()));
            // One at a time, then all that are left at once.
            if nth < 200 {
                to.told.arrived(there.id(), nth + 1).await;
            }
        }
        let mut arrived = to.told.arrived(there.id(), sent.len()).await;
        let totals = from.told.written(link.id(), sent.len() as u64).await;
        assert!(totals.is_sorted(), "{totals:?}");
        assert_eq!(totals.last(), Some(&(sent.len() as u64)));
        arrived.sort();
        sent.sort();
        assert!(arrived == sent, "a frame was changed, lost or doubled");
    }
    let long = frame(DEFAULT_MAX_FRAME + 1, 0);
    let refused = near.try_send(long.clone());
    let max = DEFAULT_MAX_FRAME;
    assert_eq!(refused, Err(TrySendError::TooBig { frame: long, max }));
}

#[tokio::test]
async fn an_address_in_use_is_told_and_a_shutdown_frees_it() {
    let one = Node::start(1, config("127.0.0.1:0")).await;
    let two = Node::start(2, config("127.0.0.1:0")).await;
    let taken = one.address();
    let other = WifiTransport::new(config(&taken.to_string()), identity(3)).unwrap();
    let refused = other.start(two.told.clone()).await;
    assert!(
        matches!(&refused, Err(StartError::InUse { what, .. }) if *what == taken.to_string()),
        "{refused:?}"
    );
    let [near, far] = one.link(&two).await;
    one.transport.shutdown().await;
    // `near` is still held: a link outlives its socket.
    UdpSocket::bind(taken).unwrap();
    assert_eq!(one.told.down(near.id()).await, DownReason::ClosedHere);
    assert_eq!(two.told.down(far.id()).await, DownReason::ClosedByPeer);
    other.start(one.told.clone()).await.unwrap();
    assert_eq!(other.local_addresses(), [taken]);
}

#[tokio::test]
async fn an_address_of_another_machine_is_not_available() {
    let other = WifiTransport::new(config("192.0.2.199:0"), identity(3)).unwrap();
    let refused = other.start(std::sync::Arc::new(crate::told::Told::default())).await;
    assert!(matches!(refused, Err(StartError::Unavailable { .. })), "{refused:?}");
}

#[tokio::test]
async fn senseless_targets_are_told_apart() {
    let one = Node::start(1, config("127.0.0.1:0")).await;
    let target = ConnectTarget {
        transport: TransportType::WiFiDirect,
        peer: peer(2),
        address: Address::new("127.0.0.1:9"),
        via: None,
    };
    let with_address = |text| ConnectTarget { address: Address::new(text), ..target.clone() };
    let rows = [
        (with_address("lo"), "lo"),
        (with_address("127.0.0.1:0"), "127.0.0.1:0"),
        (with_address("0.0.0.0:9"), "0.0.0.0:9"),
        (with_address("[::1]:9"), "[::1]:9"),
        (with_address("192.0.2.1:9"), "192.0.2.1:9"),
        (ConnectTarget { via: Some(Address::new("127.0.0.9")), ..target.clone() }, "127.0.0.9"),
        (ConnectTarget { via: Some(Address::new("lo")), ..target.clone() }, "lo"),
        (ConnectTarget { peer: peer(1), ..target.clone() }, "127.0.0.1:9"),
        (ConnectTarget { transport: TransportType::Internet, ..target.clone() }, "127.0.0.1:9"),
    ];
    for (target, named) in rows {
        let refused = one.transport.connect(target.clone()).await;
        assert!(
            matches!(&refused, Err(ConnectError::BadAddress { address, .. }) if address == named),
            "{target:?}: {refused:?}"
        );
    }
}

#[tokio::test]
async fn the_connection_timeout_is_obeyed_and_named() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut config = config("127.0.0.1:0");
    config.connection_timeout = Duration::from_millis(120);
    let one = Node::start(1, config).await;
    let target = ConnectTarget {
        transport: TransportType::WiFiDirect,
        peer: peer(2),
        address: Address::new(silent.local_addr().unwrap().to_string()),
        via: None,
    };
    let expected = ConnectError::TimedOut { address: target.address.to_string(), millis: 120 };
    assert_eq!(one.transport.connect(target).await, Err(expected));
}

#[tokio::test]
async fn the_local_address_asked_for_is_dialled_from() {
    let mut listen = config("127.0.0.1:0");
    listen.listen.push(address("127.0.0.5:0"));
    let one = Node::start(1, listen).await;
    let two = Node::start(2, config("127.0.0.6:0")).await;
    let [near, _] = one.link(&two).await;
    let nearest = one.transport.local_addresses()[1].to_string();
    assert_eq!(near.path().local, nearest, "longest common prefix");
    let target = ConnectTarget { via: Some(Address::new("127.0.0.1")), ..two.target() };
    let id = one.transport.connect(target).await.unwrap();
    let asked = one.told.up(id).await;
    assert_eq!(asked.path().local, one.address().to_string());
    assert_eq!(one.told.log().standing(), [near.id(), asked.id()]);
}
