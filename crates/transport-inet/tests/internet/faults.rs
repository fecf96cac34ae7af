//! Faults of networks in between: portals, middleboxes that rebind, relays that throttle. Those with a
//! number are of the project's list of faults.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use bitcraps_transport_api::{ConnectError, DownReason, Transport as _, TrySendError};
use bitcraps_transport_inet::{InetConfig, RelayServer, RelayServerConfig};
use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinSet;

use crate::forwarder::Forwarder;
use crate::{Node, config, exchange, passes, peer, relay, target};

/// Accepts every connection and answers everything with its login page, until dropped.
async fn captive_portal() -> (SocketAddr, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut visitors = JoinSet::new();
        while let Ok((mut visitor, _)) = listener.accept().await {
            visitors.spawn(async move {
                let mut request = [0; 4_096];
                while visitor.read(&mut request).await.is_ok_and(|length| length > 0) {
                    let page: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nlog in!";
                    if visitor.write_all(page).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    (address, tasks)
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_39_a_captive_portal_is_a_relay_that_delivers_nothing() {
    let (portal, _open) = captive_portal().await;
    let portal = format!("http://{portal}");
    let mut behind = config(&["127.0.0.1:0"]);
    behind.relays = vec![portal.parse().unwrap()];
    behind.connection_timeout = Duration::from_secs(2);
    let one = Node::start(1, behind).await;
    let two = Node::start(2, config(&["127.0.0.1:0"])).await;
    let swallowed = one.transport.connect(target(peer(2), &portal)).await;
    assert!(matches!(swallowed, Err(ConnectError::TimedOut { .. })), "{swallowed:?}");
    // It stands in the way of nothing else.
    let both = format!("{} {portal}", two.transport.local_addresses()[0]);
    let link = one.link(&two, target(peer(2), both)).await;
    exchange(&one, &two, &link, "beside the portal").await;
    tokio::join!(one.transport.shutdown(), two.transport.shutdown());
}

/// Two nodes whose sockets are of different families, so that only the forwarder is between them, as
/// the second node's config says, and a relay if there is one.
async fn across(out: &str, relay: Option<&RelayServer>) -> ([Node; 2], Forwarder) {
    let inside = UdpSocket::bind("[::1]:0").await.unwrap();
    let node = async |seed, listen, public| {
        let config = InetConfig { public, ..config(&[listen]) };
        match relay {
            Some(relay) => Node::behind(relay, seed, config).await,
            None => Node::start(seed, config).await,
        }
    };
    let one = node(1, "[::1]:0", Vec::new()).await;
    let two = node(2, "127.0.0.2:0", vec![inside.local_addr().unwrap()]).await;
    let to = two.transport.local_addresses()[0];
    let forwarder = Forwarder::between(inside, out, to).await;
    ([one, two], forwarder)
}

/// A middlebox shows one end at each of `places` in turn, in mid-flow: the link stays what it is at
/// both ends, and no other comes up.
async fn moves(places: [&str; 2]) {
    let ([one, two], forwarder) = across("127.0.0.5:0", None).await;
    let link = one.link(&two, target(peer(2), forwarder.address)).await;
    exchange(&one, &two, &link, "before").await;
    assert!(link[1].path().remote.starts_with("127.0.0.5:"), "{}", link[1].path().remote);
    for place in places {
        forwarder.rebind(place).await;
        // Who is seen at another address speaks first: the other end cannot know.
        assert!(passes(link[0].as_ref(), &two, link[1].as_ref(), place).await, "{place}");
        exchange(&one, &two, &link, "both ways again").await;
    }
    for (node, link) in [(&one, &link[0]), (&two, &link[1])] {
        assert_eq!(node.told.down(link.id()), None);
        assert_eq!(node.only_link().await.id(), link.id());
    }
    tokio::join!(one.transport.shutdown(), two.transport.shutdown());
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_40_a_link_outlives_the_ports_that_a_middlebox_gave_it() {
    moves(["127.0.0.5:0"; 2]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_52_a_link_moves_with_its_end_to_another_address() {
    moves(["127.0.0.6:0", "127.0.0.7:0"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_whose_only_path_falls_silent_is_given_up() {
    let ([one, two], forwarder) = across("127.0.0.5:0", None).await;
    let link = one.link(&two, target(peer(2), forwarder.address)).await;
    exchange(&one, &two, &link, "before").await;
    forwarder.fall_silent();
    assert_eq!(one.told.downed(link[0].id()).await, Ok(DownReason::TimedOut));
    assert_eq!(two.told.downed(link[1].id()).await, Ok(DownReason::TimedOut));
    tokio::join!(one.transport.shutdown(), two.transport.shutdown());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_whose_direct_path_falls_silent_goes_on_through_the_relay() {
    let relay = relay().await;
    let ([one, two], forwarder) = across("127.0.0.5:0", Some(&relay)).await;
    let both = format!("{} {}", forwarder.address, relay.relay());
    let link = one.link(&two, target(peer(2), both)).await;
    // The relay is the second path to be ready, or the first.
    while link.iter().any(|link| link.path().relay.is_some()) || relay.clients() < 2 {
        exchange(&one, &two, &link, "directly").await;
    }
    assert_eq!(link[0].path().remote, forwarder.address.to_string());
    forwarder.fall_silent();
    exchange(&one, &two, &link, "through the relay").await;
    assert_eq!(link[0].path().relay, Some(relay.relay().to_string()));
    assert_eq!(one.told.down(link[0].id()), None);
    assert_eq!(two.told.down(link[1].id()), None);
    tokio::join!(one.transport.shutdown(), two.transport.shutdown());
    relay.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_began_at_the_relay_moves_to_the_public_address_of_its_end() {
    let relay = relay().await;
    let ([one, two], forwarder) = across("127.0.0.5:0", Some(&relay)).await;
    assert_eq!(two.transport.address().unwrap().direct()[0], forwarder.address);
    let link = one.link(&two, target(peer(2), relay.relay())).await;
    while link.iter().any(|link| link.path().relay.is_some()) {
        exchange(&one, &two, &link, "on the way").await;
    }
    assert_eq!(link[0].path().remote, forwarder.address.to_string());
    assert_eq!(one.only_link().await.id(), link[0].id());
    tokio::join!(one.transport.shutdown(), two.transport.shutdown());
    relay.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_58_a_relay_that_throttles_slows_a_link_and_keeps_it() {
    let mut settings = RelayServerConfig::new("127.0.0.1:0".parse().unwrap());
    settings.client_rate = NonZeroU32::new(40_000).unwrap();
    let relay = RelayServer::start(settings).await.unwrap();
    let one = Node::behind(&relay, 1, config(&["127.0.0.1:0"])).await;
    let two = Node::behind(&relay, 2, config(&["[::1]:0"])).await;
    let link = one.link(&two, target(peer(2), relay.relay())).await;
    // Some seconds of it: by stream, so that every byte has to come.
    let frame = Bytes::from(vec![7; 40_000]);
    let mut sent = 0;
    while sent < 4 {
        match link[0].try_send(frame.clone()) {
            Ok(()) => sent += 1,
            Err(TrySendError::Full(_)) => break,
            Err(error) => panic!("{error}"),
        }
    }
    let arrived = two.told.arrivals(link[1].id(), sent).await.unwrap();
    assert!(arrived.iter().all(|arrived| *arrived == frame));
    exchange(&one, &two, &link, "still there").await;
    assert_eq!(one.told.down(link[0].id()), None);
    assert_eq!(relay.clients(), 2, "nobody has been thrown out or has come again");
    tokio::join!(one.transport.shutdown(), two.transport.shutdown());
    relay.shut_down().await;
}
