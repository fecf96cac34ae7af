//! Nothing goes wrong.

use bitcraps_types::{AckLevel, TrafficClass};
use bytes::Bytes;

use super::pair::{Pair, Profile, data_of, ms};
use crate::{Outcome, SendOptions, TriedLink};

#[test]
fn a_message_is_delivered_once_and_acknowledged_after_one_round_trip() {
    let mut pair = Pair::new(&[Profile::wifi(ms(3))]);
    for class in TrafficClass::ALL {
        pair.clear();
        let sent = pair.now;
        let ticket = pair.send(0, &b"seven"[..], SendOptions::new(class));
        pair.drive_for(ms(100));
        let link = TriedLink { link: pair.link(0, 0), transport: pair.wires[0].profile.transport };
        let (level, attempts, latency) = (AckLevel::PeerAcked, 1, ms(6));
        let expected = Outcome::Delivered { level, link, attempts, latency };
        assert_eq!(pair.settled(0, ticket), Some((sent + ms(6), &expected)), "{class}");
        assert_eq!(pair.payloads(1), [Bytes::from_static(b"seven")]);
        let (at, delivery) = &pair.nodes[1].delivered[0];
        assert_eq!((*at, delivery.class(), delivery.source()), (sent + ms(3), class, pair.id(0)));
        assert_eq!(data_of(pair.log(0, 0)).len(), 1);
        assert_eq!(pair.nodes[0].core.unsettled(), 0);
    }
}

#[test]
fn an_empty_message_is_a_message() {
    let mut pair = Pair::new(&[Profile::wifi(ms(3))]);
    let ticket = pair.send(0, Bytes::new(), SendOptions::new(TrafficClass::Background));
    pair.drive_for(ms(10));
    assert!(matches!(pair.outcome(0, ticket), Some(Outcome::Delivered { .. })));
    assert_eq!(pair.payloads(1), [Bytes::new()]);
}

#[test]
fn a_thousand_messages_both_ways_arrive_in_order_on_one_wire() {
    let mut pair = Pair::new(&[Profile::wifi(ms(3)).rate(50_000)]);
    for i in 0..1_000u32 {
        for side in [0, 1] {
            let payload = Bytes::copy_from_slice(&i.to_be_bytes());
            pair.send(side, payload, SendOptions::new(TrafficClass::Background));
        }
        pair.drive_for(ms(1));
    }
    pair.drive_for(ms(1_000));
    for side in [0, 1] {
        let expected: Vec<Bytes> =
            (0..1_000u32).map(|i| Bytes::copy_from_slice(&i.to_be_bytes())).collect();
        assert_eq!(pair.payloads(side), expected);
        assert_eq!(pair.nodes[side].outcomes.len(), 1_000);
        assert_eq!(pair.nodes[side].core.counters().duplicates, 0);
        assert_eq!(data_of(pair.log(side, 0)).len(), 1_000);
    }
}

#[test]
fn one_seed_gives_one_trace() {
    let trace = || {
        let mut pair = Pair::new(&[Profile::wifi(ms(2)), Profile::internet(ms(20))]);
        for i in 0..50u8 {
            pair.send(0, vec![i; 100], SendOptions::new(TrafficClass::Critical));
            pair.drive_for(ms(7));
        }
        pair.drive_for(ms(500));
        let logs = [0, 1].map(|wire| format!("{:?}", pair.log(0, wire)));
        (logs, format!("{:?}", pair.nodes[0].outcomes))
    };
    assert_eq!(trace(), trace());
}
