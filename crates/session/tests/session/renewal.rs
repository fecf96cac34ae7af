//! Sessions that are replaced, lost and forgotten.

use std::time::Duration;

use bitcraps_session::{Command, OLD_KEYS_KEPT, OpenError, REKEY_AFTER, Suite};

use crate::pair::Pair;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_session_in_use_is_replaced_without_a_pause() {
    let mut pair = Pair::connected();
    let before = pair.a.established.len();
    let mut said = 0;
    pair.pass(30 * SECOND, |_| panic!("nothing is due"));
    for minute in 0..180 {
        let mut lose = true;
        pair.pass(60 * SECOND, |_| {
            said += 1;
            !std::mem::take(&mut lose)
        });
        assert!(pair.crosses(minute), "minute {minute}");
    }
    assert_eq!(pair.a.established.len() - before, 3, "once an hour");
    assert_eq!(said, 12, "messages for three handshakes, the first of each lost once");
}

#[test]
fn an_idle_session_is_given_up_and_made_again_on_demand() {
    let mut pair = Pair::connected();
    pair.pass(REKEY_AFTER - SECOND, |_| panic!("nothing is due"));
    assert!(pair.both_established());
    pair.pass(40 * SECOND, |_| panic!("nobody asked for it"));
    assert!(!pair.both_established());
    pair.pass(OLD_KEYS_KEPT, |_| panic!("nobody asked for it"));
    assert!(pair.a.sessions.is_empty() && pair.b.sessions.is_empty());
    pair.a.connect(&pair.b, pair.now);
    pair.settle();
    assert!(pair.crosses(0));
}

/// A message sealed before a session was replaced.
fn sealed_before_replacement(pair: &mut Pair) -> (bitcraps_types::MessageId, bytes::Bytes) {
    let (id, to, now) = (pair.a.message(40), pair.b.id(), pair.now);
    let sealed = pair.a.sessions.seal(&to, &id, 0, b"under way", now).unwrap();
    pair.pass(REKEY_AFTER - SECOND, |_| true);
    assert!(pair.crosses(41));
    pair.pass(SECOND, |_| true);
    assert_eq!(pair.a.established.len(), 2, "replaced just now");
    (id, sealed.bytes)
}

#[test]
fn old_keys_open_what_is_under_way_for_exactly_their_time() {
    let mut pair = Pair::connected();
    let (id, sealed) = sealed_before_replacement(&mut pair);
    pair.pass(OLD_KEYS_KEPT - Duration::from_nanos(1), |_| true);
    assert_eq!(pair.b.sessions.open(&id, 0, &sealed, pair.now).unwrap(), "under way");
    pair.pass(Duration::from_nanos(1), |_| true);
    let opened = pair.b.sessions.open(&id, 0, &sealed, pair.now);
    assert!(matches!(opened, Err(OpenError::NoSession(_))), "{opened:?}");
}

#[test]
fn the_sender_gives_old_keys_up_a_minute_before_the_receiver() {
    let mut pair = Pair::connected();
    let (id, to, now) = (pair.a.message(40), pair.b.id(), pair.now);
    let old = pair.a.sessions.seal(&to, &id, 0, b"x", now).unwrap().tag;
    sealed_before_replacement(&mut pair);
    let lives = |pair: &Pair| pair.a.sessions.holds(&to, old, pair.now);
    assert!(lives(&pair));
    pair.pass(OLD_KEYS_KEPT - 61 * SECOND, |_| true);
    assert!(lives(&pair));
    pair.pass(SECOND, |_| true);
    assert!(!lives(&pair));
    let new = pair.a.sessions.seal(&to, &id, 1, b"x", pair.now).unwrap().tag;
    assert!(pair.a.sessions.holds(&to, new, pair.now));
}

#[test]
fn a_receiver_that_lost_its_session_gets_all_hundred_pending_messages() {
    let mut pair = Pair::connected();
    let (to, now) = (pair.b.id(), pair.now);
    let pending: Vec<_> = (0..100).map(|sequence| pair.a.message(sequence)).collect();
    let payload = |sequence: u64| format!("bet {sequence}").into_bytes();
    let sealed: Vec<_> = pending
        .iter()
        .map(|id| pair.a.sessions.seal(&to, id, 0, &payload(id.sequence), now).unwrap())
        .collect();
    pair.b = pair.b.restarted(Suite::Classic);
    for (id, sealed) in pending.iter().zip(&sealed) {
        let opened = pair.b.sessions.open(id, 0, &sealed.bytes, now);
        assert_eq!(opened, Err(OpenError::NoSession(sealed.tag)));
    }
    // It says so, but not a hundred times; the sender believes it enough to make a new session.
    let notices = pair.b.outgoing();
    assert_eq!(notices.len(), 16);
    assert!(notices.iter().all(|notice| notice.len() == 5));
    // The epoch that the sender knows is over: the handshake for it is not answered.
    pair.a.take(to, &notices[0], now).unwrap();
    pair.settle();
    assert!(pair.a.sessions.holds(&to, sealed[0].tag, now), "nothing is given up for a notice");
    pair.a.connect(&pair.b, pair.now);
    pair.settle();
    assert!(pair.both_established());
    assert!(pending.iter().zip(&sealed).all(|(_, s)| !pair.a.sessions.holds(&to, s.tag, now)));
    for id in &pending {
        let again = pair.a.sessions.seal(&to, id, 1, &payload(id.sequence), now).unwrap();
        let opened = pair.b.sessions.open(id, 1, &again.bytes, now).unwrap();
        assert_eq!(opened, payload(id.sequence));
    }
}

#[test]
fn a_lost_session_of_one_incarnation_is_made_again_after_a_notice() {
    let mut pair = Pair::connected();
    // The receiver forgets without a restart, as one that made room does.
    let mut forgetful = crate::pair::Node::new(2, 9, Suite::Classic);
    std::mem::swap(&mut pair.b, &mut forgetful);
    let (id, to, now) = (pair.a.message(0), pair.b.id(), pair.now);
    let sealed = pair.a.sessions.seal(&to, &id, 0, b"x", now).unwrap();
    assert!(pair.b.sessions.open(&id, 0, &sealed.bytes, now).is_err());
    pair.settle();
    assert!(pair.both_established() && pair.crosses(1));
    assert_eq!(pair.a.established.len(), 2);
}

#[test]
fn notices_from_anybody_cost_little_and_break_nothing() {
    let mut pair = Pair::connected();
    let (id, to, now) = (pair.a.message(0), pair.b.id(), pair.now);
    let tag = pair.a.sessions.seal(&to, &id, 0, b"x", now).unwrap().tag;
    let notice = bytes::Bytes::from([&[6], tag.0.as_slice()].concat());
    for _ in 0..1_000 {
        pair.a.take(to, &notice, now).unwrap();
    }
    assert_eq!(pair.a.outgoing().len(), 1, "one handshake is under way");
    assert!(pair.crosses(0), "and the session is in use");
    let other = bytes::Bytes::from_static(&[6, 1, 2, 3, 4]);
    pair.a.take(to, &other, now).unwrap();
    assert!(pair.a.outgoing().is_empty());
}

#[test]
fn a_restarted_sender_replaces_its_session() {
    let mut pair = Pair::connected();
    pair.a = pair.a.restarted(Suite::Classic);
    pair.a.connect(&pair.b, pair.now);
    pair.settle();
    assert!(pair.both_established() && pair.crosses(0));
    assert!(matches!(pair.b.established[..], [_, Command::Established { epoch, .. }]
        if epoch == pair.a.epoch));
}
