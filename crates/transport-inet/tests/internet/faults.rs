//! Faults of networks in between: portals, middleboxes that rebind, relays that throttle.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use bitcraps_transport_api::{ConnectError, Transport as _, TrySendError};
use bitcraps_transport_inet::{RelayServer, RelayServerConfig};
use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::forwarder::Forwarder;
use crate::{Node, config, exchange, pass, peer, target};

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
async fn a_captive_portal_is_a_relay_that_delivers_nothing() {
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

/// Two nodes whose sockets are of different families, so that only the forwarder is between them.
async fn across(out: &str) -> ([Node; 2], Forwarder) {
    let one = Node::start(1, config(&["[::1]:0"])).await;
    let two = Node::start(2, config(&["127.0.0.2:0"])).await;
    let to = two.transport.local_addresses()[0];
    let forwarder = Forwarder::between("[::1]:0", out, to).await;
    ([one, two], forwarder)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_survives_when_a_middlebox_changes_its_port_or_address() {
    let ([one, two], forwarder) = across("127.0.0.5:0").await;
    let link = one.link(&two, target(peer(2), forwarder.address)).await;
    exchange(&one, &two, &link, "before").await;
    let seen = link[1].path().remote;
    for out in ["127.0.0.5:0", "127.0.0.6:0", "127.0.0.6:0"] {
        forwarder.rebind(out).await;
        // Who is seen at another address speaks first: the other end cannot know.
        pass(link[0].as_ref(), &two, link[1].as_ref(), out).await;
        exchange(&one, &two, &link, "both ways again").await;
    }
    assert!(seen.starts_with("127.0.0.5:"), "{seen}");
    assert_eq!(one.told.down(link[0].id()), None);
    assert_eq!(two.told.down(link[1].id()), None);
    assert_eq!(one.only_link().await.id(), link[0].id());
    assert_eq!(two.only_link().await.id(), link[1].id());
    tokio::join!(one.transport.shutdown(), two.transport.shutdown());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_throttles_slows_a_link_and_keeps_it() {
    let mut settings = RelayServerConfig::new("127.0.0.1:0".parse().unwrap());
    settings.client_rate = NonZeroU32::new(40_000).unwrap();
    let relay = RelayServer::start(settings).await.unwrap();
    let one = Node::behind(&relay, 1, "127.0.0.1:0").await;
    let two = Node::behind(&relay, 2, "[::1]:0").await;
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
