//! Handshakes under loss, replay, forgery and restarts.

use std::time::Duration;

use bitcraps_session::{Command, ConnectError, HandshakeError, Suite};
use bitcraps_types::{Epoch, PeerId};
use bytes::Bytes;

use crate::pair::{Node, Pair};

#[test]
fn one_round_trip_establishes_and_nothing_is_sent_after_it() {
    let mut pair = Pair::new();
    pair.a.connect(&pair.b, pair.now);
    let initiation = pair.a.outgoing();
    assert_eq!(initiation.len(), 1);
    pair.b.take(pair.a.id(), &initiation[0], pair.now).unwrap();
    assert!(!pair.b.sessions.is_established(&pair.a.id()), "it could be a replay");
    let reply = pair.b.outgoing();
    assert_eq!(reply.len(), 1);
    pair.a.take(pair.b.id(), &reply[0], pair.now).unwrap();
    assert!(pair.a.sessions.is_established(&pair.b.id()));
    let confirmation = pair.a.outgoing();
    assert_eq!(confirmation.len(), 1);
    pair.b.take(pair.a.id(), &confirmation[0], pair.now).unwrap();
    assert!(pair.both_established());
    assert_eq!(pair.refused, 0);
    pair.pass(Duration::from_secs(3_000), |bytes| panic!("{} bytes", bytes.len()));
    assert!(matches!(pair.a.established[..], [Command::Established { epoch: Epoch(9), .. }]));
    assert!(matches!(pair.b.established[..], [Command::Established { epoch: Epoch(5), .. }]));
}

#[test]
fn connecting_again_says_nothing() {
    let mut pair = Pair::connected();
    pair.a.connect(&pair.b, pair.now);
    pair.b.connect(&pair.a, pair.now);
    assert!(pair.a.outgoing().is_empty() && pair.b.outgoing().is_empty());
}

#[test]
fn whatever_is_lost_both_ends_come_to_one_session() {
    for seed in 0..300 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut pair = Pair::new();
        if seed % 3 != 0 {
            pair.a.connect(&pair.b, pair.now);
        }
        if seed % 3 != 1 {
            pair.b.connect(&pair.a, pair.now);
        }
        pair.pass(Duration::from_secs(20), |_| rng.u8(..) > 100);
        pair.pass(Duration::from_secs(20), |_| true);
        assert!(pair.both_established(), "seed {seed}");
        assert!(pair.crosses(1), "seed {seed}");
        // Long after every other session was forgotten, both still use the same one.
        pair.pass(Duration::from_secs(600), |_| panic!("seed {seed}: all was said"));
        assert!(pair.crosses(2), "seed {seed}");
        let ack = pair.b.sessions.seal_ack(&pair.a.id(), b"x", pair.now).unwrap();
        assert!(pair.a.sessions.open_ack(&pair.b.id(), &ack, pair.now).is_ok(), "seed {seed}");
    }
}

#[test]
fn a_peer_that_does_not_answer_is_asked_ten_times_and_given_up() {
    let mut pair = Pair::new();
    pair.a.connect(&pair.b, pair.now);
    let mut sent = 0;
    pair.pass(Duration::from_secs(120), |_| {
        sent += 1;
        false
    });
    assert_eq!(sent, 10);
    let b = pair.b.id();
    assert_eq!(pair.a.established, [Command::Failed { peer: b }]);
    assert!(pair.a.sessions.is_empty(), "nothing of it is kept");
    assert_eq!(pair.a.sessions.next_deadline(), None);
}

#[test]
fn a_replayed_initiation_is_refused_and_changes_nothing() {
    let mut pair = Pair::new();
    pair.a.connect(&pair.b, pair.now);
    let initiation = pair.a.outgoing().remove(0);
    let (from, now) = (pair.a.id(), pair.now);
    pair.b.take(from, &initiation, now).unwrap();
    let reply = pair.b.outgoing();
    // As long as it is not confirmed, the same answer is given again.
    pair.b.take(from, &initiation, now).unwrap();
    assert_eq!(pair.b.outgoing(), reply);
    pair.a.take(pair.b.id(), &reply[0], now).unwrap();
    pair.settle();
    assert!(pair.both_established());
    pair.now += Duration::from_secs(5);
    let replay = HandshakeError::Replay { counter: 1, newest: 1 };
    assert_eq!(pair.b.take(from, &initiation, pair.now), Err(replay));
    assert!(pair.b.outgoing().is_empty());
    assert!(pair.crosses(1));
    // The next incarnation of b does not know it, and does not take it either.
    let mut restarted = pair.b.restarted(Suite::Classic);
    assert_eq!(restarted.take(from, &initiation, pair.now), Err(HandshakeError::Authentication));
    assert!(restarted.sessions.is_empty());
}

#[test]
fn an_initiation_of_somebody_else_or_to_somebody_else_is_refused() {
    let mut pair = Pair::new();
    let (mut c, now) = (Node::new(3, 9, Suite::Classic), pair.now);
    pair.a.connect(&pair.b, now);
    let initiation = pair.a.outgoing().remove(0);
    let refused = Err(HandshakeError::Authentication);
    assert_eq!(pair.b.take(c.id(), &initiation, now), refused, "not from c");
    assert_eq!(c.take(pair.a.id(), &initiation, now), refused, "not for c");
    assert!(pair.b.sessions.is_empty() && c.sessions.is_empty());
    assert!(pair.b.outgoing().is_empty() && c.outgoing().is_empty());
}

#[test]
fn a_forged_reply_does_not_spoil_the_handshake() {
    let mut pair = Pair::new();
    pair.a.connect(&pair.b, pair.now);
    let initiation = pair.a.outgoing().remove(0);
    pair.b.take(pair.a.id(), &initiation, pair.now).unwrap();
    let reply = pair.b.outgoing().remove(0);
    for at in 5..reply.len() {
        let mut forged = reply.to_vec();
        forged[at] ^= 0x40;
        let taken = pair.a.take(pair.b.id(), &Bytes::from(forged), pair.now);
        assert_eq!(taken, Err(HandshakeError::Authentication), "byte {at}");
        assert!(!pair.a.sessions.is_established(&pair.b.id()));
    }
    pair.a.take(pair.b.id(), &reply, pair.now).unwrap();
    pair.settle();
    assert!(pair.both_established() && pair.crosses(1));
}

#[test]
fn every_changed_byte_of_an_initiation_is_noticed() {
    let mut pair = Pair::new();
    pair.a.connect(&pair.b, pair.now);
    let initiation = pair.a.outgoing().remove(0);
    for at in 1..initiation.len() {
        let mut forged = initiation.to_vec();
        forged[at] ^= 1;
        pair.now += Duration::from_secs(1);
        let taken = pair.b.take(pair.a.id(), &Bytes::from(forged), pair.now);
        assert_eq!(taken, Err(HandshakeError::Authentication), "byte {at}");
    }
    assert!(pair.b.sessions.is_empty());
}

#[test]
fn an_older_incarnation_is_refused_once_a_newer_one_proved_itself() {
    let mut pair = Pair::connected();
    let mut a_again = pair.a.restarted(Suite::Classic);
    std::mem::swap(&mut pair.a, &mut a_again);
    pair.a.connect(&pair.b, pair.now);
    pair.settle();
    assert!(pair.both_established() && pair.crosses(1));
    let stale = ConnectError::Stale { asked: Epoch(5), known: Epoch(6) };
    let a = pair.a.id();
    let asked = pair.b.sessions.connect(a, Epoch(5), pair.now, &mut pair.b.rng);
    assert_eq!(asked, Err(stale));
    let (b, epoch) = (pair.b.id(), Epoch(10));
    a_again.sessions.connect(b, epoch, pair.now, &mut a_again.rng).unwrap();
    let late = a_again.outgoing().remove(0);
    assert_eq!(pair.b.take(a, &late, pair.now), Err(HandshakeError::Peer(stale)));
}

#[test]
fn suites_do_not_mix() {
    let mut pair = Pair::new();
    pair.a.connect(&pair.b, pair.now);
    let mut initiation = pair.a.outgoing().remove(0).to_vec();
    let from = pair.a.id();
    for (kind, error) in [
        (0, HandshakeError::Kind(0)),
        (7, HandshakeError::Kind(7)),
        #[cfg(feature = "hybrid")]
        (3, HandshakeError::Suite { offered: Suite::Hybrid, spoken: Suite::Classic }),
        #[cfg(not(feature = "hybrid"))]
        (3, HandshakeError::Kind(3)),
    ] {
        initiation[0] = kind;
        let bytes = Bytes::from(initiation.clone());
        assert_eq!(pair.b.take(from, &bytes, pair.now), Err(error), "{kind}");
    }
}

#[test]
#[cfg(feature = "hybrid")]
fn a_hybrid_handshake_notices_every_changed_byte() {
    let mut pair = Pair::of(Suite::Hybrid);
    pair.a.connect(&pair.b, pair.now);
    let initiation = pair.a.outgoing().remove(0);
    pair.b.take(pair.a.id(), &initiation, pair.now).unwrap();
    let reply = pair.b.outgoing().remove(0);
    for at in (5..reply.len()).step_by(23) {
        let mut forged = reply.to_vec();
        forged[at] ^= 1;
        let taken = pair.a.take(pair.b.id(), &Bytes::from(forged), pair.now);
        assert_eq!(taken, Err(HandshakeError::Authentication), "byte {at}");
    }
    let mut classic = Pair::new();
    let spoken = HandshakeError::Suite { offered: Suite::Hybrid, spoken: Suite::Classic };
    assert_eq!(classic.b.take(pair.a.id(), &initiation, pair.now), Err(spoken));
    let spoken = HandshakeError::Suite { offered: Suite::Classic, spoken: Suite::Hybrid };
    classic.a.connect(&classic.b, pair.now);
    let initiation = classic.a.outgoing().remove(0);
    assert_eq!(pair.b.take(pair.a.id(), &initiation, pair.now), Err(spoken));
    pair.a.take(pair.b.id(), &reply, pair.now).unwrap();
    pair.settle();
    assert!(pair.both_established() && pair.crosses(1));
}

#[test]
fn ids_that_cannot_have_a_session_are_named() {
    let mut pair = Pair::new();
    let (own, now) = (pair.a.id(), pair.now);
    let mut connect = |peer| pair.a.sessions.connect(peer, Epoch(1), now, &mut pair.a.rng);
    assert_eq!(connect(own), Err(ConnectError::Own(own)));
    let none = PeerId::from_bytes([0; 32]);
    assert_eq!(connect(none), Err(ConnectError::Key(none)));
    assert!(pair.a.sessions.is_empty());
}
