use std::time::Duration;

use bitcraps_transport_api::Transport as _;

use crate::{Node, config, exchange, exchanges, target};

/// Every address of a host with several, in both families.
const MANY: [&str; 4] = ["127.0.0.1:0", "127.0.0.2:0", "127.0.0.3:0", "[::1]:0"];

/// Pairings in a row.
const PAIRINGS: u8 = 40;

/// iroh lost about half of its pairings between such hosts once, when a path was given up in the
/// middle of a handshake (noq issue 512).
#[tokio::test(flavor = "multi_thread")]
async fn hosts_with_several_addresses_pair_every_time() {
    let mut failed = Vec::new();
    for round in 0..PAIRINGS {
        let one = Node::start(2 * round + 1, config(&MANY)).await;
        let two = Node::start(2 * round + 2, config(&MANY)).await;
        assert_eq!(two.transport.local_addresses().len(), MANY.len());
        let paired = async {
            let link = one.link(&two, two.target()).await;
            exchange(&one, &two, &link, "paired").await;
        };
        if tokio::time::timeout(Duration::from_secs(20), paired).await.is_err() {
            failed.push(round);
        }
        tokio::join!(one.transport.shutdown(), two.transport.shutdown());
    }
    assert_eq!(failed, [0; 0], "of {PAIRINGS} pairings");
}

#[tokio::test(flavor = "multi_thread")]
async fn dials_that_cross_leave_one_link_at_both_ends() {
    for round in 0..10 {
        let one = Node::start(2 * round + 1, config(&MANY[..1])).await;
        let two = Node::start(2 * round + 2, config(&MANY[..1])).await;
        let crossed =
            tokio::join!(one.transport.connect(two.target()), two.transport.connect(one.target()),);
        assert!(crossed.0.is_ok() && crossed.1.is_ok(), "round {round}: {crossed:?}");
        // A link that is about to be replaced may stand for a moment: it goes down.
        loop {
            let link = [one.only_link().await, two.only_link().await];
            if exchanges(&one, &two, &link, "crossed").await {
                break;
            }
        }
        tokio::join!(one.transport.shutdown(), two.transport.shutdown());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn several_hints_of_one_peer_lead_to_one_link() {
    let one = Node::start(1, config(&MANY)).await;
    let two = Node::start(2, config(&MANY)).await;
    let places = two.transport.address().unwrap();
    let dial = |address| one.transport.connect(target(two.transport.peer(), address));
    let [first, second, third, fourth] = [0, 1, 2, 3].map(|nth| dial(places.direct()[nth]));
    let (first, second, third, fourth) = tokio::join!(first, second, third, fourth);
    let link = [one.only_link().await, two.only_link().await];
    for dialled in [first, second, third, fourth] {
        assert_eq!(dialled, Ok(link[0].id()));
    }
    // Nor does a dial by the other end make another.
    assert_eq!(two.transport.connect(one.target()).await, Ok(link[1].id()));
    exchange(&one, &two, &link, "the only one").await;
    assert_eq!(one.told.down(link[0].id()), None);
    tokio::join!(one.transport.shutdown(), two.transport.shutdown());
}
