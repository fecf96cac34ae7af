//! What is worth nothing any more.

use bitcraps_types::{AckLevel, Epoch, TrafficClass};
use bitcraps_wire::{Body, Data, Frame, HopHeader, Status};
use bytes::Bytes;

use super::pair::{Pair, Profile, config, is_data, ms};
use crate::config::bounds::{MAX_DEADLINE, default_deadline};
use crate::{Outcome, SendError, SendOptions, TriedLink};

fn tried(pair: &Pair, wires: &[usize]) -> Vec<TriedLink> {
    wires
        .iter()
        .map(|w| TriedLink { link: pair.link(0, *w), transport: pair.wires[*w].profile.transport })
        .collect()
}

#[test]
fn a_message_that_never_left_expires_at_its_deadline() {
    for class in TrafficClass::ALL {
        let mut pair = Pair::apart([config(1), config(2)], &[]);
        pair.nodes[0].core.add_peer(pair.id(1), pair.now);
        let sent = pair.now;
        let ticket = pair.send(0, "x", SendOptions::new(class));
        pair.drive_for(default_deadline(class) + ms(1_000));
        let expected = Outcome::Expired { tried: Vec::new() };
        assert_eq!(pair.settled(0, ticket), Some((sent + default_deadline(class), &expected)));
        assert_eq!(pair.nodes[0].core.next_deadline(), None, "nothing is left behind");
    }
}

#[test]
fn a_message_that_left_is_unknown_at_its_deadline() {
    let mut pair = Pair::new(&[Profile::wifi(ms(3)), Profile::internet(ms(20))]);
    pair.black_hole(0);
    pair.black_hole(1);
    let sent = pair.now;
    let ticket = pair.send(0, "x", SendOptions::new(TrafficClass::Realtime).max_copies(1));
    pair.drive_for(ms(1_000));
    let expected = Outcome::Unknown { tried: tried(&pair, &[0, 1]) };
    assert_eq!(pair.settled(0, ticket), Some((sent + ms(150), &expected)));
}

#[test]
fn a_message_of_which_only_a_part_left_expires() {
    let mut pair = Pair::new(&[Profile::wifi(ms(3)).rate(100)]);
    let options = SendOptions::new(TrafficClass::Bulk).deadline(ms(1_000));
    let ticket = pair.send(0, vec![0; 200_000], options);
    pair.drive_for(ms(2_000));
    assert!(pair.log(0, 0).iter().any(|(_, f)| is_data(f)));
    assert_eq!(pair.outcome(0, ticket), Some(&Outcome::Expired { tried: Vec::new() }));
}

#[test]
fn the_head_of_a_queue_makes_way_when_it_expires() {
    let mut pair = Pair::apart([config(1), config(2)], &[Profile::wifi(ms(3))]);
    pair.nodes[0].core.add_peer(pair.id(1), pair.now);
    pair.with(1, |core, now| core.attach(10, now));
    let short = pair.send(0, "short", SendOptions::new(TrafficClass::Background).deadline(ms(10)));
    let long = pair.send(0, "long", SendOptions::new(TrafficClass::Background));
    pair.sleep(ms(10));
    pair.up(0);
    pair.drive_for(ms(100));
    assert_eq!(pair.outcome(0, short), Some(&Outcome::Expired { tried: Vec::new() }));
    assert!(matches!(pair.outcome(0, long), Some(Outcome::Delivered { .. })));
    assert_eq!(pair.payloads(1), ["long"]);
}

#[test]
fn a_deadline_in_the_past_or_beyond_a_day() {
    let mut pair = Pair::new(&[Profile::wifi(ms(3))]);
    let options = SendOptions::new(TrafficClass::Critical);
    let ticket = pair.send(0, "x", options.deadline(ms(0)));
    pair.drive_for(ms(1));
    assert_eq!(pair.outcome(0, ticket), Some(&Outcome::Expired { tried: Vec::new() }));
    assert!(pair.try_send(0, "x", options.deadline(MAX_DEADLINE)).is_ok());
    let beyond = MAX_DEADLINE + ms(1);
    let refused = pair.try_send(0, "x", options.deadline(beyond));
    assert_eq!(refused, Err(SendError::DeadlineTooFar(beyond)));
}

#[test]
fn a_message_late_at_its_destination_is_expired_for_certain() {
    let mut pair = Pair::new(&[Profile::wifi(ms(50))]);
    // Half a round trip is reckoned with 50 ms; the answer comes sooner than the deadline.
    pair.wires[0].profile.latency = ms(1);
    let sent = pair.now;
    let ticket = pair.send(0, "x", SendOptions::new(TrafficClass::Background).deadline(ms(40)));
    pair.drive_for(ms(200));
    let expected = Outcome::Expired { tried: tried(&pair, &[0]) };
    assert_eq!(pair.settled(0, ticket), Some((sent + ms(2), &expected)));
    assert!(pair.payloads(1).is_empty());
    assert_eq!(pair.nodes[1].core.counters().late, 1);
}

fn data(sequence: u64, deadline_ms: u32) -> Frame {
    let receiver_epoch = Epoch(2);
    Frame {
        header: HopHeader { ttl: 1, deadline_ms, link_seq: 0, receiver_epoch },
        hop_ack: None,
        route: None,
        body: Body::Data(Data {
            class: TrafficClass::Critical,
            ack: AckLevel::PeerAcked,
            generation: 0,
            attempt: 1,
            source_epoch: Epoch(1),
            sequence,
            behind_lowest_live: 0,
            total: 1,
            offset: 0,
            payload: Bytes::from_static(b"x"),
        }),
    }
}

#[test]
fn late_is_what_has_no_more_than_half_a_round_trip_left() {
    for (left, late) in [(10, true), (11, false)] {
        let mut pair = Pair::new(&[Profile::wifi(ms(10))]);
        pair.inject(1, 0, &[data(0, left)]);
        assert_eq!(pair.payloads(1).is_empty(), late, "{left} ms");
        assert_eq!(pair.nodes[1].core.counters().late, u64::from(late));
    }
}

#[test]
fn what_was_called_late_once_is_not_delivered_by_a_copy() {
    let mut pair = Pair::new(&[Profile::wifi(ms(10))]);
    pair.inject(1, 0, &[data(0, 1)]);
    pair.inject(1, 0, &[data(0, 60_000)]);
    assert!(pair.payloads(1).is_empty());
    let verdicts: Vec<Status> = pair
        .log(1, 0)
        .iter()
        .filter_map(|(_, frame)| match &frame.body {
            Body::EndAck(ack) => Some(ack.streams[0].results[0].status),
            _ => None,
        })
        .collect();
    assert_eq!(verdicts, [Status::Late, Status::Late]);
    pair.inject(1, 0, &[data(1, 60_000)]);
    assert_eq!(pair.payloads(1).len(), 1, "others are not concerned");
}

#[test]
fn after_a_long_sleep_everything_expired_is_told_once_and_nothing_is_sent_of_it() {
    let mut pair = Pair::new(&[Profile::wifi(ms(3))]);
    pair.wires[0].lanes[0].stalled = true;
    let tickets: Vec<_> =
        (0..500).map(|_| pair.send(0, "x", SendOptions::new(TrafficClass::Background))).collect();
    pair.clear();
    pair.sleep(ms(600_000));
    let awake = pair.now;
    pair.drive_for(ms(0));
    for ticket in tickets {
        assert_eq!(pair.settled(0, ticket).map(|(at, _)| at), Some(awake));
    }
    assert!(pair.log(0, 0).iter().all(|(_, f)| !is_data(f)));
    assert!(pair.log(0, 0).len() <= 2, "a probe, no burst: {}", pair.log(0, 0).len());
}

#[test]
fn the_remaining_time_travels_with_the_message() {
    let mut pair = Pair::new(&[Profile::wifi(ms(3)), Profile::internet(ms(20))]);
    pair.black_hole(0);
    pair.send(0, "x", SendOptions::new(TrafficClass::Background).deadline(ms(5_000)));
    pair.drive_for(ms(20));
    let left: Vec<u32> = (0..2)
        .flat_map(|wire| pair.log(0, wire))
        .filter(|(_, f)| is_data(f))
        .map(|(_, f)| f.header.deadline_ms)
        .collect();
    assert_eq!(left, [5_000, 4_990]);
}
