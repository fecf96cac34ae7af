use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bitcraps_transport_api::{Address, ConnectTarget, DownReason, Link, Transport as _};
use bytes::Bytes;
use tokio::net::UdpSocket;

use crate::{Node, address, config};

/// The only link that stands at each of two nodes, once there is only one at each.
async fn settled(one: &Node, two: &Node) -> [Arc<dyn Link>; 2] {
    let only = async |node: &Node| {
        let seen = |log: &crate::told::Log| match log.standing()[..] {
            [only] => log.ups.iter().find(|link| link.id() == only).cloned(),
            _ => None,
        };
        node.told.wait("one link", seen).await
    };
    [only(one).await, only(two).await]
}

/// As [`settled`], once a frame went over the link in both directions: links that are about to be
/// replaced are not it.
async fn settled_and_used(one: &Node, two: &Node) -> [Arc<dyn Link>; 2] {
    loop {
        let [near, far] = settled(one, two).await;
        let mut passed = 0;
        for (from, link, to, there) in [(one, &near, two, &far), (two, &far, one, &near)] {
            if link.try_send(Bytes::from_static(b"settled")).is_err() {
                continue;
            }
            let (id, there) = (link.id(), there.id());
            let arrived = to.told.arrived(there, 1);
            let down = from.told.down(id);
            tokio::select! {
                _ = arrived => passed += 1,
                _ = down => {}
                _ = to.told.down(there) => {}
            }
        }
        if passed == 2 {
            return [near, far];
        }
    }
}

async fn exchange(one: &Node, two: &Node, [near, far]: &[Arc<dyn Link>; 2]) {
    for (link, to, there) in [(near, two, far), (far, one, near)] {
        let before = to.told.log().frames.get(&there.id()).map_or(0, Vec::len);
        link.try_send(Bytes::from_static(b"over this link")).unwrap();
        to.told.arrived(there.id(), before + 1).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dials_that_cross_leave_one_link_at_both_ends() {
    for round in 0..25 {
        let (one, two) = (round * 2 + 1, round * 2 + 2);
        let one = Node::start(one, config("127.0.0.1:0")).await;
        let two = Node::start(two, config("127.0.0.1:0")).await;
        let (from_one, from_two) =
            tokio::join!(one.transport.connect(two.target()), two.transport.connect(one.target()),);
        // A dial may return a link that its rival has replaced since, but never one that is not
        // told.
        one.told.up(from_one.unwrap()).await;
        two.told.up(from_two.unwrap()).await;
        let links = settled_and_used(&one, &two).await;
        for (node, link) in [(&one, &links[0]), (&two, &links[1])] {
            let log = node.told.log();
            assert_eq!(log.standing(), [link.id()], "round {round}");
            let replaced = log.downs.iter().all(|(_, why)| *why == DownReason::Replaced);
            assert!(replaced, "round {round}: {:?}", log.downs);
        }
        one.transport.shutdown().await;
        two.transport.shutdown().await;
    }
}

#[tokio::test]
async fn a_second_dial_over_a_living_path_returns_its_link() {
    let one = Node::start(1, config("127.0.0.1:0")).await;
    let two = Node::start(2, config("127.0.0.1:0")).await;
    let (first, second) =
        tokio::join!(one.transport.connect(two.target()), one.transport.connect(two.target()),);
    assert_eq!(first, second);
    assert_eq!(one.transport.connect(two.target()).await, first);
    let links = settled(&one, &two).await;
    exchange(&one, &two, &links).await;
    // And from the other side: the link that it dialled is not dialled again.
    assert_eq!(two.transport.connect(one.target()).await, Ok(links[1].id()));
    assert_eq!((one.told.ups().len(), two.told.ups().len()), (1, 1));
}

/// Whether the smaller key or the greater dialled, and whichever of them restarts and dials.
#[tokio::test]
async fn a_restarted_peer_is_taken_in_at_once() {
    for (stays, restarts) in [(1, 2), (2, 1)] {
        for stayer_dialled in [true, false] {
            let one = Node::start(stays, config("127.0.0.1:0")).await;
            let two = Node::start(restarts, config("127.0.0.1:0")).await;
            let (before, _) = if stayer_dialled {
                let [near, far] = one.link(&two).await;
                (near, far)
            } else {
                let [near, far] = two.link(&one).await;
                (far, near)
            };
            let (at, target) = (two.address(), one.target());
            // Gone without a word, as in a crash.
            drop(two);
            let again = Node::start_where_another_ended(restarts, at).await;
            again.transport.connect(target).await.unwrap();
            let why = one.told.down(before.id()).await;
            let known = why == DownReason::Replaced
                || why == DownReason::Failed("the peer has restarted".to_owned());
            assert!(known, "{why:?}");
            let links = settled(&one, &again).await;
            exchange(&one, &again, &links).await;
        }
    }
}

#[tokio::test]
async fn a_restarted_peer_disowns_its_former_links_when_spoken_to() {
    let one = Node::start(1, config("127.0.0.1:0")).await;
    let two = Node::start(2, config("127.0.0.1:0")).await;
    let [near, _] = one.link(&two).await;
    let at = two.address();
    drop(two);
    let again = Node::start_where_another_ended(2, at).await;
    near.try_send(Bytes::from(vec![0; 200])).unwrap();
    let why = DownReason::Failed("the peer has restarted".to_owned());
    assert_eq!(one.told.down(near.id()).await, why);
    let links = one.link(&again).await;
    exchange(&one, &again, &links).await;
}

impl Node {
    /// Starts on an address whose former owner was dropped and may still be on its way out.
    async fn start_where_another_ended(seed: u8, at: SocketAddr) -> Self {
        let free = async {
            while std::net::UdpSocket::bind(at).is_err() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), free).await.unwrap();
        Self::start(seed, config(&at.to_string())).await
    }
}

/// Passes datagrams between one client and `to`, or swallows them.
struct Forwarder {
    address: SocketAddr,
    swallow: Arc<AtomicBool>,
}

impl Forwarder {
    async fn start(to: SocketAddr) -> Self {
        let outer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let inner = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = outer.local_addr().unwrap();
        let swallow = Arc::new(AtomicBool::new(false));
        let swallows = swallow.clone();
        tokio::spawn(async move {
            let (mut there, mut back) = (vec![0; 65_536], vec![0; 65_536]);
            let mut client = self::address("127.0.0.1:9");
            loop {
                let sent = tokio::select! {
                    got = outer.recv_from(&mut there) => {
                        let (length, from) = got.unwrap();
                        client = from;
                        (&inner, to, &there[..length])
                    }
                    got = inner.recv_from(&mut back) => {
                        let (length, _) = got.unwrap();
                        (&outer, client, &back[..length])
                    }
                };
                if !swallows.load(Ordering::Relaxed) {
                    let (socket, to, bytes) = sent;
                    socket.send_to(bytes, to).await.unwrap();
                }
            }
        });
        Self { address, swallow }
    }
}

/// A link from one to two through a forwarder, used once.
async fn forwarded(one: &Node, two: &Node) -> (Forwarder, ConnectTarget, [Arc<dyn Link>; 2]) {
    let between = Forwarder::start(two.address()).await;
    let target =
        ConnectTarget { address: Address::new(between.address.to_string()), ..two.target() };
    let id = one.transport.connect(target.clone()).await.unwrap();
    let links = [one.told.up(id).await, two.told.nth_up(0).await];
    exchange(one, two, &links).await;
    (between, target, links)
}

#[tokio::test]
async fn a_link_works_again_when_its_black_hole_closes() {
    let one = Node::start(1, config("127.0.0.1:0")).await;
    let two = Node::start(2, config("127.0.0.1:0")).await;
    let (between, _, links) = forwarded(&one, &two).await;
    between.swallow.store(true, Ordering::Relaxed);
    // The length of the fault, with a frame lost every 20 ms.
    for _ in 0..60 {
        links[0].try_send(Bytes::from_static(b"swallowed")).unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    between.swallow.store(false, Ordering::Relaxed);
    exchange(&one, &two, &links).await;
    let [near, far] = [&one, &two].map(|node| node.told.log().standing());
    assert_eq!([near, far], links.map(|link| vec![link.id()]));
}

#[tokio::test]
async fn a_silent_black_hole_is_outlived_or_replaced_but_not_told_as_an_end() {
    let one = Node::start(1, config("127.0.0.1:0")).await;
    let two = Node::start(2, config("127.0.0.1:0")).await;
    let (between, target, links) = forwarded(&one, &two).await;
    let id = links[0].id();

    between.swallow.store(true, Ordering::Relaxed);
    links[0].try_send(Bytes::from_static(b"swallowed")).unwrap();
    // This is the fault, not a wait for something to happen: longer than it takes to be quiet.
    tokio::time::sleep(Duration::from_millis(3_500)).await;
    assert_eq!(one.told.log().standing(), [id], "outlived");
    assert_eq!(two.told.log().standing(), [links[1].id()], "outlived");

    // A quiet link does not stand in the way of a dial over its path.
    let dial = one.transport.connect(target);
    let lift = async {
        tokio::task::yield_now().await;
        between.swallow.store(false, Ordering::Relaxed);
    };
    let (dialled, ()) = tokio::join!(dial, lift);
    let fresh = dialled.unwrap();
    assert_ne!(fresh, id);
    assert_eq!(one.told.down(id).await, DownReason::Replaced);
    assert_eq!(two.told.down(links[1].id()).await, DownReason::Replaced);
    let links = settled(&one, &two).await;
    assert_eq!(links[0].id(), fresh);
    exchange(&one, &two, &links).await;
}
