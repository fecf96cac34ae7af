//! Messages larger than a frame.

use bitcraps_types::{AckLevel, Epoch, TrafficClass, TransportType};
use bitcraps_wire::{Body, Data, Frame, HopHeader, NO_DEADLINE};
use bytes::Bytes;

use super::pair::{Fate, Pair, Profile, ROOM, config, data_of, is_data, ms};
use crate::{Outcome, SendError, SendOptions, TransmitFailure};

const OVERHEAD: usize = Frame::DATA_OVERHEAD;

fn options() -> SendOptions {
    SendOptions::new(TrafficClass::Background)
}

/// Bytes that differ everywhere.
fn pattern(len: usize) -> Bytes {
    (0..len).map(|i| (i * 31 % 251) as u8).collect()
}

fn delivered(pair: &Pair, ticket: crate::Ticket) -> bool {
    matches!(pair.outcome(0, ticket), Some(Outcome::Delivered { .. }))
}

/// Sizes of the payloads that left over a wire.
fn sizes(pair: &Pair, wire: usize) -> Vec<usize> {
    data_of(pair.log(0, wire)).iter().map(|(_, _, len, _)| *len).collect()
}

#[test]
fn the_configured_packet_size_bounds_every_frame_header_included() {
    let most = 1_024 - OVERHEAD;
    let rows = [
        (0, vec![0]),
        (1, vec![1]),
        (most, vec![most]),
        (most + 1, vec![most, 1]),
        (2 * most, vec![most, most]),
        (2 * most + 1, vec![most, most, 1]),
    ];
    for (len, expected) in rows {
        let mut pair = Pair::new(&[Profile::bluetooth(ms(5))]);
        let ticket = pair.send(0, pattern(len), options());
        pair.drive_for(ms(300));
        assert_eq!(sizes(&pair, 0), expected, "{len} bytes");
        assert!(pair.log(0, 0).iter().all(|(_, f)| f.encoded_len() <= 1_024));
        assert!(delivered(&pair, ticket));
        assert_eq!(pair.payloads(1), [pattern(len)]);
        assert!(matches!(pair.outcome(0, ticket), Some(Outcome::Delivered { attempts: 1, .. })));
    }
}

#[test]
fn two_to_the_sixteenth_takes_as_many_frames_as_each_link_needs() {
    let len = 1 << 16;
    for (profile, limit) in [
        (Profile::bluetooth(ms(5)), 1_024),
        (Profile::bluetooth(ms(5)).max_frame(256), 256),
        (Profile::wifi(ms(5)), 65_536),
        (Profile::internet(ms(5)), 65_536),
        (Profile::internet(ms(5)).max_frame(1 << 20), 1 << 20),
    ] {
        let mut pair = Pair::new(&[profile]);
        let ticket = pair.send(0, pattern(len), options());
        pair.drive_for(ms(2_000));
        assert_eq!(sizes(&pair, 0).len(), len.div_ceil(limit - OVERHEAD), "frames of {limit}");
        assert!(delivered(&pair, ticket));
        assert_eq!(pair.payloads(1), [pattern(len)]);
    }
}

#[test]
fn a_smaller_packet_size_takes_effect_at_once() {
    let mut pair = Pair::new(&[Profile::wifi(ms(5))]);
    let mut smaller = pair.nodes[0].core.config().clone();
    smaller.transports[TransportType::WiFiDirect.index()].max_packet_size = 300;
    pair.with(0, |core, _| core.reconfigure(smaller));
    pair.send(0, pattern(500), options());
    pair.drive_for(ms(50));
    assert_eq!(sizes(&pair, 0), [249, 249, 2]);
    assert_eq!(pair.payloads(1), [pattern(500)]);
}

#[test]
fn the_largest_message_passes_and_one_more_byte_is_refused() {
    let most = bitcraps_wire::MAX_MESSAGE;
    let mut pair = Pair::new(&[Profile::wifi(ms(1))]);
    let ticket = pair.send(0, pattern(most), options());
    pair.drive_for(ms(5_000));
    assert!(delivered(&pair, ticket));
    assert_eq!(pair.payloads(1), [pattern(most)]);
    let refused = pair.try_send(0, vec![0; most + 1], options());
    assert_eq!(refused, Err(SendError::TooLarge { len: most + 1, max: most }));
}

#[test]
fn only_what_is_missing_is_sent_again() {
    let mut pair = Pair::new(&[Profile::wifi(ms(5)).max_frame(1_051)]);
    let mut lost = false;
    pair.hook(0, 0, move |frame, _| match &frame.body {
        Body::Data(data) if data.offset == 3_000 && !lost => {
            lost = true;
            Fate::Lose
        }
        _ => Fate::Pass,
    });
    let ticket = pair.send(0, pattern(10_000), options());
    pair.drive_for(ms(1_000));
    assert!(delivered(&pair, ticket));
    let sent: Vec<(u32, u16)> =
        data_of(pair.log(0, 0)).iter().map(|(_, offset, _, attempt)| (*offset, *attempt)).collect();
    let mut expected: Vec<(u32, u16)> = (0..10).map(|i| (1_000 * i, 1)).collect();
    expected.push((3_000, 2));
    assert_eq!(sent, expected);
    assert_eq!(pair.payloads(1), [pattern(10_000)]);
}

#[test]
fn missing_ranges_move_to_a_link_with_another_size() {
    // The first link dies in the middle of the message.
    for (over, back) in [(1_051, 651), (651, 1_051)] {
        let mut pair = Pair::new(&[
            Profile::wifi(ms(2)).max_frame(over),
            Profile::internet(ms(20)).max_frame(back),
        ]);
        let mut passed = 0;
        pair.hook(0, 0, move |frame, _| {
            passed += usize::from(is_data(frame));
            if passed <= 4 { Fate::Pass } else { Fate::Lose }
        });
        let ticket = pair.send(0, pattern(10_000), options());
        pair.drive_for(ms(2_000));
        assert!(delivered(&pair, ticket), "{over} then {back}");
        assert_eq!(pair.payloads(1), [pattern(10_000)]);
        let first = 4 * (over - OVERHEAD);
        let rest: usize = sizes(&pair, 1).iter().sum();
        assert_eq!(rest, 10_000 - first, "what had arrived was not sent again");
    }
}

#[test]
fn a_message_cut_anew_because_its_acks_were_lost_still_fits_together() {
    let mut pair = Pair::new(&[
        Profile::wifi(ms(2)).max_frame(1_051),
        Profile::internet(ms(20)).max_frame(751),
    ]);
    let mut lost = 0;
    pair.hook(0, 0, move |frame, _| {
        lost += usize::from(is_data(frame));
        if lost == 2 || lost == 5 { Fate::Lose } else { Fate::Pass }
    });
    // No word of what had arrived comes back, over neither link, before the second pass is out.
    let until = pair.now + ms(60);
    for wire in [0, 1] {
        pair.hook(1, wire, move |_, now| if now < until { Fate::Lose } else { Fate::Pass });
    }
    let ticket = pair.send(0, pattern(10_000), options());
    pair.drive_for(ms(5_000));
    assert!(delivered(&pair, ticket));
    assert_eq!(pair.payloads(1), [pattern(10_000)]);
    assert_eq!(pair.nodes[1].core.counters().bad_fragments, 0);
    assert!(sizes(&pair, 1).contains(&700));
}

#[test]
fn fragments_may_come_twice_late_and_in_any_order() {
    let mut pair = Pair::new(&[Profile::wifi(ms(2)).max_frame(551)]);
    let mut rng = fastrand::Rng::with_seed(5);
    pair.hook(0, 0, move |frame, _| match is_data(frame) {
        false => Fate::Pass,
        true => match rng.u8(0..4) {
            0 => Fate::Lose,
            1 => Fate::Late(ms(rng.u64(0..9))),
            2 => Fate::Twice(ms(rng.u64(0..300))),
            _ => Fate::Pass,
        },
    });
    let tickets: Vec<_> = (0..20).map(|i| pair.send(0, pattern(9_990 + i), options())).collect();
    pair.drive_for(ms(30_000));
    assert!(tickets.iter().all(|ticket| delivered(&pair, *ticket)));
    let mut got = pair.payloads(1);
    got.sort_by_key(Bytes::len);
    let expected: Vec<Bytes> = (0..20).map(|i| pattern(9_990 + i)).collect();
    assert_eq!(got, expected);
}

/// A fragment of side 0's message `sequence`, as side 1 would see it.
fn fragment(sequence: u64, total: u32, offset: u32, payload: Bytes, generation: u8) -> Frame {
    let receiver_epoch = Epoch(2);
    Frame {
        header: HopHeader { ttl: 1, deadline_ms: NO_DEADLINE, link_seq: 0, receiver_epoch },
        hop_ack: None,
        route: None,
        body: Body::Data(Data {
            class: TrafficClass::Background,
            ack: AckLevel::PeerAcked,
            generation,
            attempt: 1,
            source_epoch: Epoch(1),
            sequence,
            behind_lowest_live: 0,
            total,
            offset,
            payload,
        }),
    }
}

#[test]
fn a_fragment_that_contradicts_is_refused_and_the_message_is_not_altered() {
    let mut pair = Pair::new(&[Profile::wifi(ms(2))]);
    let whole = pattern(100);
    let part =
        |start: usize, end: usize| fragment(0, 100, start as u32, whole.slice(start..end), 0);
    let forged = |start: u32, len: usize| fragment(0, 100, start, vec![0xee; len].into(), 0);
    let bad = |pair: &Pair| pair.nodes[1].core.counters().bad_fragments;
    pair.inject(1, 0, &[part(0, 40)]);
    pair.inject(1, 0, &[forged(30, 20)]);
    assert_eq!(bad(&pair), 1, "an overlap with other bytes");
    pair.inject(1, 0, &[forged(10, 5)]);
    assert_eq!(bad(&pair), 2, "other bytes within what is known");
    pair.inject(1, 0, &[fragment(0, 101, 40, whole.slice(40..60), 0)]);
    assert_eq!(bad(&pair), 3, "another length");
    pair.inject(1, 0, &[part(20, 60), part(20, 30)]);
    assert_eq!(bad(&pair), 3, "an overlap that agrees");
    assert_eq!(pair.payloads(1), [] as [Bytes; 0]);
    pair.inject(1, 0, &[part(60, 100)]);
    assert_eq!(pair.payloads(1), [whole]);
}

#[test]
fn two_generations_of_a_seal_never_mix() {
    let mut pair = Pair::new(&[Profile::wifi(ms(2))]);
    let (old, new) = (Bytes::from(vec![1; 100]), Bytes::from(vec![2; 100]));
    let part = |of: &Bytes, start: usize, generation| {
        fragment(0, 100, start as u32, of.slice(start..start + 50), generation)
    };
    pair.inject(1, 0, &[part(&old, 0, 0), part(&new, 50, 1)]);
    assert_eq!(pair.payloads(1), [] as [Bytes; 0]);
    pair.inject(1, 0, &[part(&old, 0, 0)]);
    assert_eq!(pair.nodes[1].core.counters().bad_fragments, 1, "a former generation");
    pair.inject(1, 0, &[part(&new, 0, 1)]);
    assert_eq!(pair.payloads(1), [new]);
}

#[test]
fn what_a_full_driver_gave_back_is_sent_from_there_on() {
    // The driver holds fewer frames than the dynamic limit would allow.
    let mut pair = Pair::new(&[Profile::wifi(ms(2)).max_frame(1_051).rate(50_000).queue(8)]);
    let ticket = pair.send(0, pattern(200_000), options());
    pair.drive_for(ms(500));
    assert!(delivered(&pair, ticket));
    let sent: Vec<u32> = data_of(pair.log(0, 0)).iter().map(|(_, offset, ..)| *offset).collect();
    let expected: Vec<u32> = (0..200).map(|i| i * 1_000).collect();
    assert_eq!(sent, expected, "each once and in order");
}

#[test]
fn a_message_whose_driver_never_took_its_middle_expires_for_certain() {
    let mut pair = Pair::new(&[Profile::wifi(ms(2)).max_frame(1_051).queue(3)]);
    pair.wires[0].lanes[0].stalled = true;
    let ticket = pair.send(0, pattern(5_000), options().deadline(ms(30)));
    pair.drive_for(ms(30));
    assert_eq!(sizes(&pair, 0), [1_000; 3]);
    assert!(matches!(pair.outcome(0, ticket), Some(Outcome::Expired { .. })));
}

#[test]
fn a_fragment_refused_by_a_closed_link_takes_the_message_elsewhere() {
    let mut pair =
        Pair::new(&[Profile::wifi(ms(2)).max_frame(1_051).rate(10_000), Profile::internet(ms(20))]);
    let ticket = pair.send(0, pattern(100_000), options());
    pair.drive_for(ms(20));
    pair.wires[0].lanes[0].refuses = Some(TransmitFailure::Closed);
    pair.drive_for(ms(300));
    assert!(delivered(&pair, ticket));
    assert_eq!(pair.payloads(1), [pattern(100_000)]);
}

#[test]
fn a_pass_does_not_jump_between_links_of_equal_rank() {
    let mut pair = Pair::new(&[
        Profile::wifi(ms(2)).max_frame(1_051).rate(10_000),
        Profile::wifi(ms(2)).max_frame(1_051).rate(10_000),
    ]);
    for _ in 0..4 {
        pair.send(0, pattern(50_000), SendOptions::new(TrafficClass::Bulk));
    }
    pair.drive_for(ms(1_000));
    assert_eq!(pair.nodes[1].delivered.len(), 4);
    let bytes = [0, 1].map(|wire| sizes(&pair, wire).iter().sum::<usize>());
    assert_eq!(bytes.iter().sum::<usize>(), 200_000, "nothing was sent twice: {bytes:?}");
    assert!(bytes.iter().all(|b| *b >= 50_000), "both links are used: {bytes:?}");
}

#[test]
fn a_pass_leaves_a_link_that_becomes_suspect() {
    let mut pair =
        Pair::new(&[Profile::wifi(ms(2)).max_frame(1_051).rate(1_000), Profile::internet(ms(20))]);
    let ticket = pair.send(0, pattern(50_000), options());
    pair.drive_for(ms(50));
    pair.wires[0].lanes[0].stalled = true;
    pair.drive_for(ms(500));
    assert!(delivered(&pair, ticket));
}

#[test]
fn a_realtime_message_waits_for_one_fragment_of_bulk_at_most() {
    // 1,024 bytes at 300 kbit/s: 27.3 ms a fragment.
    let profile = Profile::bluetooth(ms(10)).rate(300);
    let air = ms(28);
    for after in 0..40 {
        let mut pair = Pair::new(&[profile]);
        pair.send(0, pattern(100_000), SendOptions::new(TrafficClass::Bulk));
        pair.drive_for(ms(200 + after));
        let sent = pair.now;
        let roll = pair.send(0, "roll", SendOptions::new(TrafficClass::Realtime));
        pair.drive_for(ms(150));
        assert!(delivered(&pair, roll), "after {after} ms");
        let (at, _) = pair.nodes[1].delivered.last().unwrap();
        let took = at.since(sent);
        assert!(took <= ms(10) + air + ms(2), "{took:?} after {after} ms");
    }
}

#[test]
fn every_class_is_interleaved_with_a_long_message() {
    let mut pair = Pair::new(&[Profile::bluetooth(ms(10)).rate(300)]);
    let bulk = pair.send(0, pattern(20_000), SendOptions::new(TrafficClass::Bulk));
    pair.drive_for(ms(100));
    let chat = pair.send(0, "chat", SendOptions::new(TrafficClass::Background));
    let bet = pair.send(0, "bet", SendOptions::new(TrafficClass::Critical));
    pair.drive_for(ms(150));
    assert!(delivered(&pair, chat) && delivered(&pair, bet) && !delivered(&pair, bulk));
    pair.drive_for(ms(2_000));
    assert!(delivered(&pair, bulk));
    assert_eq!(sizes(&pair, 0).iter().sum::<usize>(), 20_000 + 4 + 3);
}

#[test]
fn claims_of_size_cost_nothing_before_their_bytes_come() {
    let mut pair = Pair::new(&[Profile::wifi(ms(2))]);
    for sequence in 0..5_000 {
        pair.inject(1, 0, &[fragment(sequence, 16 << 20, 0, Bytes::from_static(b"x"), 0)]);
    }
    assert_eq!(pair.nodes[1].core.counters().evicted, 5_000 - 1_024, "a share of the node's room");
    pair.drive_for(ms(46_000));
    assert_eq!(pair.nodes[1].core.counters().evicted, 5_000, "given up after 30 s of rest");
    assert!(pair.nodes[1].core.reassembly.is_empty());
}

#[test]
fn a_message_of_which_parts_came_small_may_come_whole() {
    let mut pair = Pair::new(&[Profile::wifi(ms(2))]);
    pair.inject(1, 0, &[fragment(0, 100, 0, pattern(100).slice(..50), 0)]);
    assert!(!pair.nodes[1].core.reassembly.is_empty());
    pair.inject(1, 0, &[fragment(0, 100, 0, pattern(100), 0)]);
    assert_eq!(pair.payloads(1), [pattern(100)]);
    assert!(pair.nodes[1].core.reassembly.is_empty(), "its parts are forgotten");
}

#[test]
fn a_message_of_which_a_part_had_left_goes_whole_to_a_new_incarnation() {
    let mut pair = Pair::new(&[Profile::wifi(ms(3)).max_frame(1_051).rate(1_000)]);
    let ticket = pair.send(0, pattern(20_000), options());
    pair.drive_for(ms(80));
    let before: usize = sizes(&pair, 0).iter().sum();
    assert!(before > 5_000 && before < 15_000, "{before}");
    pair.restart(1, 9);
    pair.drive_for(ms(1_000));
    assert!(delivered(&pair, ticket));
    assert_eq!(pair.payloads(1), [pattern(20_000)]);
    assert_eq!(sizes(&pair, 0).iter().sum::<usize>(), 20_000, "from its first byte on");
}

#[test]
fn fragments_of_two_incarnations_of_a_sender_never_mix() {
    let mut pair = Pair::new(&[Profile::wifi(ms(3)).max_frame(1_051).rate(1_000)]);
    pair.send(0, vec![1; 20_000], options());
    pair.drive_for(ms(80));
    assert!(!pair.nodes[1].core.reassembly.is_empty());
    pair.restart(0, 9);
    pair.drive_for(ms(50));
    assert!(pair.nodes[1].core.reassembly.is_empty());
    let ticket = pair.send(0, vec![2; 20_000], options());
    pair.drive_for(ms(1_000));
    assert!(delivered(&pair, ticket));
    assert_eq!(pair.payloads(1), [vec![2; 20_000]]);
    assert_eq!(pair.nodes[1].core.counters().bad_fragments, 0);
}

#[test]
fn both_ends_send_large_messages_at_once() {
    let mut pair = Pair::configured(
        [config(1), config(2)],
        &[Profile::wifi(ms(2)).max_frame(1_500).rate(20_000), Profile::internet(ms(9)).rate(5_000)],
    );
    for i in 0..10 {
        for side in [0, 1] {
            pair.send(side, pattern(30_000 + i), SendOptions::new(TrafficClass::Bulk));
        }
    }
    pair.drive_for(ms(5_000));
    for side in [0, 1] {
        assert_eq!(pair.nodes[side].delivered.len(), 10);
        assert_eq!(pair.nodes[side].core.unsettled(), 0);
        assert_eq!(pair.nodes[side].core.room, [ROOM; 4]);
    }
}
