//! What a seal hides, covers and repeats.

use bitcraps_session::{OVERHEAD, OpenError, SealError, Suite};
use bitcraps_types::{Epoch, MessageId, TrafficClass};
use proptest::prelude::*;

use crate::pair::{Node, Pair};

#[test]
fn every_attempt_carries_the_same_bytes_and_another_generation_others() {
    let mut pair = Pair::connected();
    let (id, to, now) = (pair.a.message(7), pair.b.id(), pair.now);
    let mut seal = |generation, payload: &[u8]| {
        pair.a.sessions.seal(&to, &id, generation, payload, now).unwrap()
    };
    let first = seal(0, b"a bet of 5");
    assert_eq!(seal(0, b"a bet of 5"), first);
    let again = seal(1, b"a bet of 5");
    assert_eq!(again.tag, first.tag);
    assert_ne!(again.bytes, first.bytes);
    assert_eq!(first.bytes.len(), 10 + OVERHEAD);
    assert_eq!(OVERHEAD, 20);
}

#[test]
fn a_message_opens_under_its_own_identity_only() {
    let mut pair = Pair::connected();
    let (id, to, now) = (pair.a.message(7), pair.b.id(), pair.now);
    let sealed = pair.a.sessions.seal(&to, &id, 3, b"a bet of 5", now).unwrap().bytes;
    let mut open = |id: MessageId, generation| pair.b.sessions.open(&id, generation, &sealed, now);
    assert_eq!(open(id, 3).unwrap(), "a bet of 5");
    let refused = Err(OpenError::Authentication);
    assert_eq!(open(id, 2), refused);
    assert_eq!(open(MessageId { sequence: 8, ..id }, 3), refused);
    assert_eq!(open(MessageId { class: TrafficClass::Bulk, ..id }, 3), refused);
    assert_eq!(open(MessageId { epoch: Epoch(6), ..id }, 3), refused);
    assert_eq!(open(id, 3).unwrap(), "a bet of 5", "nothing was spoilt");
}

#[test]
fn a_relay_cannot_read_change_or_turn_round_what_it_carries() {
    let mut pair = Pair::new();
    let mut relay = Node::new(9, 1, Suite::Classic);
    let mut seen = Vec::new();
    pair.a.connect(&pair.b, pair.now);
    pair.settle_with(|bytes| {
        seen.push(bytes.clone());
        true
    });
    // The relay has sessions with both, and saw their handshake.
    relay.connect(&pair.b, pair.now);
    let bytes = relay.outgoing().remove(0);
    pair.b.take(relay.id(), &bytes, pair.now).unwrap();
    let payload = b"all of it on red, and do not tell anybody";
    let (id, now) = (pair.a.message(1), pair.now);
    let sealed = pair.a.sessions.seal(&pair.b.id(), &id, 0, payload, now).unwrap().bytes;
    assert!(!sealed.windows(6).any(|part| payload.windows(6).any(|known| known == part)));
    for message in &seen {
        assert!(relay.take(pair.a.id(), message, now).is_err());
        assert!(relay.take(pair.b.id(), message, now).is_err());
    }
    let opened = relay.sessions.open(&id, 0, &sealed, now);
    assert!(matches!(opened, Err(OpenError::NoSession(_))), "{opened:?}");
    // Sent back to its sender it opens nothing.
    let turned = MessageId { source: pair.b.id(), ..id };
    assert!(pair.a.sessions.open(&turned, 0, &sealed, now).is_err());
    // Passed on as its own it opens nothing.
    let stolen = MessageId { source: relay.id(), ..id };
    assert!(pair.b.sessions.open(&stolen, 0, &sealed, now).is_err());
}

#[test]
fn acknowledgements_open_once_in_any_order() {
    let mut pair = Pair::connected();
    let (a, b, now) = (pair.a.id(), pair.b.id(), pair.now);
    let acks: Vec<_> =
        (0..200_u8).map(|number| pair.b.sessions.seal_ack(&a, &[number], now).unwrap()).collect();
    assert_eq!(acks[0].len(), 1 + 8 + OVERHEAD);
    let mut open = |number: usize| pair.a.sessions.open_ack(&b, &acks[number], now);
    let counter = |number: usize| u64::from_be_bytes(acks[number][4..12].try_into().unwrap());
    for number in [150, 149, 199, 160] {
        assert_eq!(open(number).unwrap(), vec![number as u8]);
        assert_eq!(open(number), Err(OpenError::Replay(counter(number))));
    }
    assert_eq!(open(72).unwrap(), vec![72], "128 are remembered");
    assert_eq!(open(71), Err(OpenError::Replay(counter(71))), "and no more");
    let mut forged = acks[100].to_vec();
    forged[4 + 7] ^= 1;
    let refused = pair.a.sessions.open_ack(&b, &forged, now);
    assert_eq!(refused, Err(OpenError::Authentication));
    assert_eq!(pair.a.sessions.open_ack(&b, &acks[100], now).unwrap(), vec![100]);
}

#[test]
fn an_acknowledgement_is_no_message() {
    let mut pair = Pair::connected();
    let (id, now) = (pair.a.message(0), pair.now);
    let ack = pair.a.sessions.seal_ack(&pair.b.id(), b"x", now).unwrap();
    assert!(pair.b.sessions.open(&id, 0, &ack, now).is_err());
    let sealed = pair.a.sessions.seal(&pair.b.id(), &id, 0, b"12345678x", now).unwrap();
    assert!(pair.b.sessions.open_ack(&pair.a.id(), &sealed.bytes, now).is_err());
}

#[test]
fn nothing_is_sealed_for_others_or_without_a_session() {
    let mut pair = Pair::connected();
    let (a, b, now) = (pair.a.id(), pair.b.id(), pair.now);
    let foreign = pair.b.message(0);
    assert_eq!(pair.a.sessions.seal(&b, &foreign, 0, b"", now), Err(SealError::Source(b)));
    let c = Node::new(3, 1, Suite::Classic).id();
    let id = pair.a.message(0);
    assert_eq!(pair.a.sessions.seal(&c, &id, 0, b"", now), Err(SealError::NoSession(c)));
    assert_eq!(pair.a.sessions.seal_ack(&c, b"", now), Err(SealError::NoSession(c)));
    assert_eq!(pair.a.sessions.seal_ack(&a, b"", now), Err(SealError::NoSession(a)));
}

#[test]
fn the_longest_message_is_sealed_and_one_byte_more_is_not() {
    let mut pair = Pair::connected();
    let (id, to, now, most) = (pair.a.message(0), pair.b.id(), pair.now, 16 << 20);
    let mut payload = vec![7; most];
    let sealed = pair.a.sessions.seal(&to, &id, 0, &payload, now).unwrap().bytes;
    assert_eq!(pair.b.sessions.open(&id, 0, &sealed, now).unwrap(), payload);
    payload.push(7);
    let refused = Err(SealError::TooLarge { len: most + 1, bound: most });
    assert_eq!(pair.a.sessions.seal(&to, &id, 0, &payload, now), refused);
    let longer = vec![0; most + OVERHEAD + 1];
    let refused = Err(OpenError::Length(longer.len()));
    assert_eq!(pair.b.sessions.open(&id, 0, &longer, now), refused);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_sealed_opens(
        payload in proptest::collection::vec(any::<u8>(), 0..2_000),
        sequence in any::<u64>(),
        epoch in any::<u64>(),
        generation in any::<u8>(),
    ) {
        let mut pair = Pair::connected();
        let id = MessageId { sequence, epoch: Epoch(epoch), ..pair.a.message(0) };
        let to = pair.b.id();
        let sealed = pair.a.sessions.seal(&to, &id, generation, &payload, pair.now).unwrap();
        let opened = pair.b.sessions.open(&id, generation, &sealed.bytes, pair.now);
        prop_assert_eq!(opened.unwrap(), payload);
    }
}
