//! Tables and rates end where they are said to.

use std::time::Duration;

use bitcraps_session::{ConnectError, HandshakeError, Identity, MAX_PEERS, Suite};
use bitcraps_types::{Epoch, Timestamp};

use crate::pair::Node;

#[test]
fn the_table_is_full_until_a_peer_was_idle_for_ten_minutes() {
    let mut node = Node::new(1, 1, Suite::Classic);
    let peer = |number: usize| {
        let mut seed = [9; 32];
        seed[..8].copy_from_slice(&(number as u64).to_be_bytes());
        Identity::from_seed(&seed).peer()
    };
    let start = Timestamp::from_millis(1);
    let mut connect = |number, now| {
        let done = node.sessions.connect(peer(number), Epoch(1), now, &mut node.rng);
        drop(node.outgoing());
        done.map(|()| node.sessions.len())
    };
    for number in 0..MAX_PEERS {
        assert_eq!(connect(number, start), Ok(number + 1));
    }
    let full = Err(ConnectError::Full(MAX_PEERS));
    let ten_minutes = Duration::from_secs(600);
    assert_eq!(connect(MAX_PEERS, start + (ten_minutes - Duration::from_nanos(1))), full);
    assert_eq!(connect(MAX_PEERS, start + ten_minutes), Ok(MAX_PEERS));
}

#[test]
fn strangers_cost_no_more_than_fifty_answers_a_second() {
    let mut node = Node::new(1, 1, Suite::Classic);
    let start = Timestamp::from_millis(1_000);
    let initiations: Vec<_> = (2..=200)
        .map(|number| {
            let mut stranger = Node::new(number, 1, Suite::Classic);
            stranger.connect(&node, start);
            (stranger.id(), stranger.outgoing().remove(0))
        })
        .collect();
    let (first, later) = initiations.split_at(100);
    let mut answered = |some: &[(_, _)], now| {
        let taken = some.iter().map(|(from, bytes)| node.take(*from, bytes, now));
        let taken: Vec<_> = taken.collect();
        assert!(taken.iter().all(|r| matches!(r, Ok(()) | Err(HandshakeError::Busy))));
        taken.iter().filter(|result| result.is_ok()).count()
    };
    assert_eq!(answered(first, start), 64);
    assert_eq!(answered(later, start + Duration::from_millis(200)), 10);
}

#[test]
fn one_peer_is_answered_four_times_a_second() {
    let mut node = Node::new(1, 1, Suite::Classic);
    let mut peer = Node::new(2, 1, Suite::Classic);
    let now = Timestamp::from_millis(1_000);
    peer.connect(&node, now);
    let initiation = peer.outgoing().remove(0);
    let mut taken =
        |now| (0..10).filter(|_| node.take(peer.id(), &initiation, now).is_ok()).count();
    assert_eq!(taken(now), 5, "the first, and four more");
    assert_eq!(taken(now + Duration::from_millis(249)), 0);
    assert_eq!(taken(now + Duration::from_millis(250)), 1);
}
