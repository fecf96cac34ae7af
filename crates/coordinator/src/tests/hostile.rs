//! Frames that nobody honest sends, and old ones that come again.

use bitcraps_types::{Epoch, LinkId, PeerId, TrafficClass};
use bitcraps_wire::{
    Body, EndAck, Frame, HopAck, HopHeader, NO_DEADLINE, Partial, Probe, ProbeReply, ResultEntry,
    Route, Status, StreamAck,
};
use bytes::Bytes;

use super::pair::{Pair, Profile, config, is_data, ms};
use crate::command::CloseReason;
use crate::{Config, LinkUp, Outcome, SendOptions};

/// A frame to side 0 with nothing in it.
fn to_zero(body: Body) -> Frame {
    let receiver_epoch = Epoch(1);
    Frame {
        header: HopHeader { ttl: 1, deadline_ms: NO_DEADLINE, link_seq: 0, receiver_epoch },
        hop_ack: None,
        route: None,
        body,
    }
}

/// An ack of the first message of side 0's critical stream.
fn ack() -> StreamAck {
    StreamAck {
        class: TrafficClass::Critical,
        source_epoch: Epoch(1),
        cumulative: 0,
        base: 0,
        bitmap: vec![1],
        echo_sequence: 0,
        echo_attempt: 1,
        dwell_us: 0,
        results: Vec::new(),
        partials: Vec::new(),
    }
}

fn end_ack(stream: StreamAck) -> Frame {
    to_zero(Body::EndAck(EndAck { streams: vec![stream] }))
}

/// One bet is on its way and lost.
fn in_flight() -> (Pair, crate::Ticket) {
    let mut pair = Pair::new(&[Profile::wifi(ms(3)), Profile::wifi(ms(4))]);
    pair.black_hole(0);
    pair.black_hole(1);
    let ticket = pair.send(0, "bet", SendOptions::new(TrafficClass::Critical));
    (pair, ticket)
}

#[test]
fn an_ack_of_what_was_never_sent_is_refused_and_counted() {
    let result = |sequence| ResultEntry { sequence, attempt: 1, status: Status::Refused };
    let partial = |sequence| Partial { sequence, generation: 0, ranges: vec![(0, 1)] };
    let forged = [
        StreamAck { cumulative: 2, ..ack() },
        StreamAck { cumulative: u64::MAX, ..ack() },
        StreamAck { bitmap: vec![0b11], ..ack() },
        StreamAck { bitmap: vec![0, 0, 0, 1 << 63], ..ack() },
        StreamAck { base: u64::MAX - 64, bitmap: vec![1], ..ack() },
        StreamAck { results: vec![result(1)], ..ack() },
        StreamAck { results: vec![result(u64::MAX)], ..ack() },
        StreamAck { partials: vec![partial(1)], ..ack() },
        StreamAck { class: TrafficClass::Realtime, ..ack() },
    ];
    for stream in forged {
        let (mut pair, ticket) = in_flight();
        pair.inject(0, 0, &[end_ack(stream.clone())]);
        assert_eq!(pair.nodes[0].core.counters().forged_acks, 1, "{stream:?}");
        assert_eq!(pair.outcome(0, ticket), None, "{stream:?}");
    }
    let (mut pair, ticket) = in_flight();
    pair.inject(0, 0, &[end_ack(StreamAck { source_epoch: Epoch(7), ..ack() })]);
    assert_eq!(pair.nodes[0].core.counters().stale_epoch, 1);
    assert_eq!(pair.outcome(0, ticket), None);
    let mut stale = end_ack(ack());
    stale.header.receiver_epoch = Epoch(7);
    pair.inject(0, 0, &[stale]);
    assert_eq!(pair.nodes[0].core.counters().stale_epoch, 2);
    assert_eq!(pair.outcome(0, ticket), None);
    pair.inject(0, 0, &[end_ack(StreamAck { cumulative: 1, ..ack() })]);
    assert!(matches!(pair.outcome(0, ticket), Some(Outcome::Delivered { .. })), "the true one");
    assert_eq!(pair.nodes[0].core.counters().forged_acks, 0);
    pair.inject(0, 0, &[end_ack(ack())]);
    assert_eq!(pair.nodes[0].core.counters().late_acks, 1, "once more");
}

#[test]
fn a_hop_ack_of_a_frame_never_sent_is_refused_and_counted() {
    let (mut pair, _) = in_flight();
    let next = pair.link_state(0, 0).flights.next_seq();
    let before = (pair.status(0, 0).smoothed_rtt, pair.status(0, 0).delivery);
    for ahead in [0, 1, 1_000, (1 << 31) - 1] {
        let mut frame = to_zero(Body::Empty);
        let largest = next.wrapping_add(ahead);
        frame.hop_ack = Some(HopAck { link_tag: 0, largest, bitmap: u64::MAX, dwell_us: 0 });
        pair.inject(0, 0, &[frame]);
    }
    assert_eq!(pair.nodes[0].core.counters().forged_acks, 4);
    assert_eq!((pair.status(0, 0).smoothed_rtt, pair.status(0, 0).delivery), before);
    let mut frame = to_zero(Body::Empty);
    frame.hop_ack = Some(HopAck { link_tag: 4_711, largest: next, bitmap: 0, dwell_us: 0 });
    pair.inject(0, 0, &[frame]);
    assert_eq!(pair.nodes[0].core.counters().late_acks, 1, "of a link that is not there");
}

#[test]
fn old_frames_that_come_again_are_not_delivered_again() {
    let mut pair = Pair::new(&[Profile::wifi(ms(3)), Profile::internet(ms(9))]);
    pair.send(0, "bet", SendOptions::new(TrafficClass::Background));
    pair.drive_for(ms(100));
    let data = pair.log(0, 0).iter().find(|(_, f)| is_data(f)).unwrap().1.clone();
    pair.inject(1, 0, std::slice::from_ref(&data));
    pair.inject(1, 1, std::slice::from_ref(&data));
    assert_eq!(pair.payloads(1), ["bet"]);
    assert_eq!(pair.nodes[1].core.counters().duplicates, 2);
    // A new incarnation of the receiver does not know the message, but that it is not for it.
    pair.restart(1, 9);
    pair.drive_for(ms(100));
    pair.clear();
    pair.inject(1, 0, std::slice::from_ref(&data));
    assert_eq!(pair.payloads(1), [] as [Bytes; 0]);
    assert_eq!(pair.nodes[1].core.counters().stale_epoch, 1);
    // Nor is one of a former incarnation of the sender delivered, which has no outbox for its class.
    pair.restart(0, 9);
    pair.drive_for(ms(100));
    pair.clear();
    let mut renamed = data.clone();
    renamed.header.receiver_epoch = Epoch(9);
    pair.inject(1, 0, &[renamed]);
    assert_eq!(pair.payloads(1), [] as [Bytes; 0]);
    assert_eq!(pair.nodes[1].core.counters().stale_epoch, 2);
}

#[test]
fn frames_for_others_are_refused() {
    let (mut pair, ticket) = in_flight();
    let other = PeerId::from_bytes([9; 32]);
    let (here, there) = (pair.id(0), pair.id(1));
    let routes = [(other, here, Epoch(1)), (there, other, Epoch(1)), (there, here, Epoch(2))];
    for (i, (source, destination, destination_epoch)) in routes.into_iter().enumerate() {
        let mut frame = end_ack(ack());
        frame.route = Some(Route { source, destination, destination_epoch });
        pair.inject(0, 0, &[frame]);
        assert_eq!(pair.nodes[0].core.counters().foreign, i as u64 + 1);
        assert_eq!(pair.outcome(0, ticket), None);
    }
}

#[test]
fn frames_on_a_link_that_is_gone_are_counted() {
    let mut pair = Pair::new(&[Profile::wifi(ms(3))]);
    let link = pair.link(0, 0);
    let frame = to_zero(Body::Empty).encode();
    pair.down(0);
    let mut frames = vec![frame.clone(), frame];
    pair.with(0, |core, now| core.frames_received(link, &mut frames, now));
    assert_eq!(pair.nodes[0].core.counters().unexpected, 2);
    assert!(frames.is_empty());
}

#[test]
fn what_is_no_frame_is_counted() {
    let mut pair = Pair::new(&[Profile::wifi(ms(3))]);
    let good = to_zero(Body::Empty).encode();
    let mut unknown = good.to_vec();
    unknown[0] = 99;
    let mut trailing = good.to_vec();
    trailing.push(0);
    let link = pair.link(0, 0);
    let mut frames: Vec<Bytes> = vec![
        Bytes::new(),
        good.slice(..good.len() - 1),
        unknown.into(),
        trailing.into(),
        vec![0xff; 1_000].into(),
    ];
    pair.with(0, |core, now| core.frames_received(link, &mut frames, now));
    assert_eq!(pair.nodes[0].core.counters().undecodable, 5);
}

#[test]
fn probes_are_answered_at_a_bounded_rate_and_never_with_more_than_was_asked() {
    for padding in [Probe::MIN_PADDING, 23, 24, 36, 1_000] {
        let mut pair = Pair::new(&[Profile::wifi(ms(3))]);
        let probe = |nonce| to_zero(Body::Probe(Probe { nonce, padding }));
        let size = probe(0).encoded_len();
        for nonce in 0..200 {
            pair.inject(0, 0, &[probe(nonce)]);
        }
        let answers = pair.log(0, 0).len();
        let bytes: usize = pair.log(0, 0).iter().map(|(_, f)| f.encoded_len()).sum();
        assert!((49..=50).contains(&answers), "padding {padding}: {answers}");
        assert!(bytes <= answers * size, "padding {padding}: {bytes} for {answers} of {size}");
        assert!(pair.nodes[0].core.counters().stray_probes >= 150);
        pair.clear();
        pair.drive_for(ms(100));
        pair.clear();
        for nonce in 0..200 {
            pair.inject(0, 0, &[probe(nonce)]);
        }
        assert!((4..=6).contains(&pair.log(0, 0).len()), "50 a second: {}", pair.log(0, 0).len());
    }
}

#[test]
fn an_answer_to_no_probe_is_counted() {
    let mut pair = Pair::new(&[Profile::wifi(ms(3))]);
    pair.inject(0, 0, &[to_zero(Body::ProbeReply(ProbeReply { nonce: 1, dwell_us: 0 }))]);
    assert_eq!(pair.nodes[0].core.counters().stray_probes, 1);
}

#[test]
fn peers_that_only_talk_of_themselves_do_not_crowd_out_others() {
    let mut pair = Pair::new(&[Profile::wifi(ms(3))]);
    let now = pair.now;
    let core = &mut pair.nodes[0].core;
    let mut added = 0;
    for i in 0..10_000u32 {
        let mut key = [7; 32];
        key[..4].copy_from_slice(&i.to_be_bytes());
        added += u32::from(core.add_peer(PeerId::from_bytes(key), now).is_some());
    }
    assert_eq!(added, 10_000);
    assert!(core.add_peer(core.config().local, now).is_none());
    let ticket = pair.send(0, "x", SendOptions::new(TrafficClass::Critical));
    pair.drive_for(ms(10));
    assert!(matches!(pair.outcome(0, ticket), Some(Outcome::Delivered { .. })));
}

#[test]
fn a_full_table_of_peers_refuses_new_ones_and_serves_those_it_has() {
    let near = Config { peers: 2, ..config(1) };
    let mut pair = Pair::apart([near, config(2)], &[Profile::wifi(ms(3))]);
    let now = pair.now;
    pair.nodes[0].core.add_peer(PeerId::from_bytes([8; 32]), now);
    (0..2).for_each(|side| pair.with(side, |core, now| core.attach(10, now)));
    pair.up(0);
    pair.drive_for(ms(50));
    let core = &mut pair.nodes[0].core;
    assert!(core.add_peer(PeerId::from_bytes([9; 32]), now).is_none());
    assert!(core.add_peer(PeerId::from_bytes([8; 32]), now).is_some(), "known already");
    let profile = Profile::wifi(ms(3));
    let (peer, link) = (PeerId::from_bytes([9; 32]), LinkId(99));
    let facts =
        LinkUp { link, peer, transport: profile.transport, capabilities: profile.capabilities };
    pair.with(0, |core, now| core.link_up(facts, now));
    assert_eq!(pair.nodes[0].closes, [(pair.now, link, CloseReason::TooManyPeers)]);
    let ticket = pair.send(0, "x", SendOptions::new(TrafficClass::Critical));
    pair.drive_for(ms(10));
    assert!(matches!(pair.outcome(0, ticket), Some(Outcome::Delivered { .. })));
}
