use std::time::Duration;

use bitcraps_transport_api::{Address, ConnectError, LinkPath, Transport as _};
use bitcraps_transport_inet::{RelayServer, RelayServerConfig, RelayTls, certificates};
use bitcraps_types::{DownReason, Medium};

use crate::{Node, config, exchange, peer, relay, target};

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_reachable_address_is_reached_through_the_relay() {
    let relay = relay().await;
    let one = Node::behind(&relay, 1, config(&["127.0.0.1:0"])).await;
    let two = Node::behind(&relay, 2, config(&["[::1]:0"])).await;
    let listening = format!("{} {}", two.transport.local_addresses()[0], relay.relay());
    assert_eq!(two.transport.listening(), [Address::new(listening)]);
    let link = one.link(&two, two.target()).await;
    exchange(&one, &two, &link, "through the relay").await;
    let path = LinkPath {
        local: peer(1).short(),
        remote: peer(2).short(),
        relay: Some(relay.relay().to_string()),
    };
    assert_eq!(link[0].path(), path);
    assert_eq!(link[1].path().relay, path.relay);
    assert_eq!(link[0].capabilities().medium, Medium::Loopback);
    assert_eq!(relay.clients(), 2);
    tokio::join!(one.transport.shutdown(), two.transport.shutdown());
    relay.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_direct_path_is_taken_when_there_is_one_and_shown() {
    let relay = relay().await;
    let one = Node::behind(&relay, 1, config(&["127.0.0.1:0"])).await;
    let two = Node::behind(&relay, 2, config(&["127.0.0.2:0"])).await;
    // Nothing but the relay is told.
    let link = one.link(&two, target(peer(2), relay.relay())).await;
    let mut nth = 0;
    while link.iter().any(|link| link.path().relay.is_some()) {
        exchange(&one, &two, &link, &format!("{nth}")).await;
        nth += 1;
    }
    let there = two.transport.local_addresses()[0].to_string();
    assert_eq!(link[0].path().remote, there);
    exchange(&one, &two, &link, "directly").await;
    assert_eq!(one.told.down(link[0].id()), None, "the same link all the time");
    assert_eq!(two.told.down(link[1].id()), None);

    // And without the relay it lives on.
    relay.shut_down().await;
    exchange(&one, &two, &link, "without the relay").await;
    tokio::join!(one.transport.shutdown(), two.transport.shutdown());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_relays_dials_through_the_one_of_its_peer() {
    let relay = relay().await;
    let one = Node::start(1, config(&["127.0.0.1:0"])).await;
    let two = Node::behind(&relay, 2, config(&["[::1]:0"])).await;
    let link = one.link(&two, target(peer(2), relay.relay())).await;
    exchange(&one, &two, &link, "by the peer's relay").await;
    tokio::join!(one.transport.shutdown(), two.transport.shutdown());
    relay.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_with_a_certificate_of_its_own_is_used_by_those_who_trust_it() {
    let home = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["127.0.0.9".to_owned()]).unwrap();
    let [chain, key] = ["chain.pem", "key.pem"].map(|name| home.path().join(name));
    std::fs::write(&chain, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    // On an address of its own, because the port beside HTTPS is fixed.
    let mut settings = RelayServerConfig::new("127.0.0.9:0".parse().unwrap());
    settings.tls = Some(RelayTls::from_files(&chain, &key).unwrap());
    let relay = RelayServer::start(settings).await.unwrap();
    assert!(relay.relay().is_tls());
    let trusting = |listen| {
        let mut config = config(&[listen]);
        config.relays = vec![relay.relay().clone()];
        config.relay_roots = certificates(&chain).unwrap();
        config
    };
    let one = Node::start(1, trusting("127.0.0.1:0")).await;
    let two = Node::start(2, trusting("[::1]:0")).await;
    assert_eq!(two.transport.relay_connected().await.as_ref(), Some(relay.relay()));
    let link = one.link(&two, target(peer(2), relay.relay())).await;
    exchange(&one, &two, &link, "over TLS").await;
    assert_eq!(link[0].path().relay, Some(relay.relay().to_string()));

    let mut distrusting = trusting("[::1]:0");
    distrusting.relay_roots.clear();
    distrusting.connection_timeout = Duration::from_secs(2);
    let three = Node::start(3, distrusting).await;
    let refused = three.transport.connect(target(peer(1), relay.relay())).await;
    assert!(matches!(refused, Err(ConnectError::TimedOut { .. })), "{refused:?}");
    assert_eq!(relay.clients(), 2);
    for node in [one, two, three] {
        node.transport.shutdown().await;
    }
    relay.shut_down().await;
}

#[test]
fn files_that_hold_no_certificate_are_named() {
    let home = tempfile::tempdir().unwrap();
    let [none, empty] = ["none.pem", "empty.pem"].map(|name| home.path().join(name));
    std::fs::write(&empty, "").unwrap();
    for file in [none, empty] {
        let why = certificates(&file).unwrap_err().to_string();
        assert!(why.starts_with(&file.display().to_string()), "{why}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_whose_relay_died_is_given_up_after_three_silent_seconds() {
    let relay = relay().await;
    let one = Node::behind(&relay, 1, config(&["127.0.0.1:0"])).await;
    let two = Node::behind(&relay, 2, config(&["[::1]:0"])).await;
    let link = one.link(&two, two.target()).await;
    exchange(&one, &two, &link, "through the relay").await;
    relay.shut_down().await;
    let ended =
        async { tokio::join!(one.told.downed(link[0].id()), two.told.downed(link[1].id())) };
    // iroh alone would wait for 30 s.
    let ended = tokio::time::timeout(Duration::from_secs(15), ended).await;
    assert_eq!(ended, Ok((Ok(DownReason::TimedOut), Ok(DownReason::TimedOut))));
    tokio::join!(one.transport.shutdown(), two.transport.shutdown());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_relay_lets_nobody_else_in_until_somebody_goes() {
    let mut settings = RelayServerConfig::new("127.0.0.1:0".parse().unwrap());
    settings.max_clients = 1;
    let relay = RelayServer::start(settings).await.unwrap();
    let one = Node::behind(&relay, 1, config(&["127.0.0.1:0"])).await;
    let mut shut_out = config(&["[::1]:0"]);
    shut_out.relays = vec![relay.relay().clone()];
    shut_out.connection_timeout = Duration::from_secs(2);
    let two = Node::start(2, shut_out).await;
    let refused = two.transport.connect(target(peer(1), relay.relay())).await;
    assert!(matches!(refused, Err(ConnectError::TimedOut { .. })), "{refused:?}");
    assert_eq!(relay.clients(), 1);
    one.transport.shutdown().await;
    assert_eq!(two.transport.relay_connected().await.as_ref(), Some(relay.relay()));
    two.transport.shutdown().await;
    relay.shut_down().await;
}
