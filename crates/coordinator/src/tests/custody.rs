//! Who has a message, and how often its application sees it.

use bitcraps_types::{AckLevel, TrafficClass};
use bitcraps_wire::{Body, EndAck, Frame, ResultEntry, Status};
use bytes::Bytes;

use super::pair::{Fate, Pair, Profile, ROOM, config, data_of, is_data, ms};
use crate::{Outcome, Progress, RejectReason, SendOptions, TriedLink};

fn end_acks(pair: &Pair, side: usize) -> Vec<EndAck> {
    let frames = pair.wires.iter().flat_map(|w| &w.lanes[side].log);
    frames
        .filter_map(|(_, frame)| match &frame.body {
            Body::EndAck(ack) => Some(ack.clone()),
            _ => None,
        })
        .collect()
}

fn delivered(pair: &Pair, ticket: crate::Ticket) -> bool {
    matches!(pair.outcome(0, ticket), Some(Outcome::Delivered { .. }))
}

/// Greeted; side 1 has no application.
fn headless() -> Pair {
    let mut pair = Pair::apart([config(1), config(2)], &[Profile::wifi(ms(3))]);
    pair.with(0, |core, now| core.attach(ROOM, now));
    pair.up(0);
    pair.drive_for(ms(2_000));
    pair.clear();
    pair
}

#[test]
fn a_duplicate_is_acknowledged_again_and_not_delivered_again() {
    let mut pair = Pair::new(&[Profile::wifi(ms(3))]);
    pair.hook(0, 0, |_, _| Fate::Twice(ms(30)));
    let ticket = pair.send(0, "once", SendOptions::new(TrafficClass::Background));
    pair.drive_for(ms(100));
    assert!(delivered(&pair, ticket));
    assert_eq!(pair.payloads(1), ["once"]);
    assert_eq!(pair.nodes[1].core.counters().duplicates, 1);
    let acks = end_acks(&pair, 1);
    assert_eq!(acks.len(), 2);
    assert!(acks.iter().all(|ack| ack.streams[0].cumulative == 1));
}

#[test]
fn without_recognition_the_copy_is_delivered() {
    let mut configs = [config(1), config(2)];
    configs[1].deduplicate = false;
    let mut pair = Pair::configured(configs, &[Profile::wifi(ms(3))]);
    pair.hook(0, 0, |_, _| Fate::Twice(ms(30)));
    pair.send(0, "once", SendOptions::new(TrafficClass::Background));
    pair.drive_for(ms(100));
    assert_eq!(pair.payloads(1), ["once", "once"], "the verdict can fail");
}

#[test]
fn what_its_sender_gave_up_is_too_old() {
    let mut pair = Pair::new(&[Profile::wifi(ms(3))]);
    pair.hook(0, 0, |frame, _| if is_data(frame) { Fate::Late(ms(500)) } else { Fate::Pass });
    let first = pair.send(0, "first", SendOptions::new(TrafficClass::Background));
    pair.drive_for(ms(1));
    pair.cancel(0, first);
    pair.heal(0);
    let second = pair.send(0, "second", SendOptions::new(TrafficClass::Background));
    pair.drive_for(ms(1_000));
    assert!(matches!(pair.outcome(0, first), Some(Outcome::Unknown { .. })));
    assert!(delivered(&pair, second));
    assert_eq!(pair.payloads(1), ["second"]);
    assert_eq!(pair.nodes[1].core.counters().too_old, 1);
    let acks = end_acks(&pair, 1);
    assert_eq!(acks[0].streams[0].cumulative, 2, "the hole of the first is closed");
    let verdict = acks[1].streams[0].results[0];
    assert_eq!((verdict.sequence, verdict.status), (0, Status::TooOld));
}

#[test]
fn an_old_number_is_acknowledged_although_the_newest_are_far_ahead() {
    let mut pair = Pair::new(&[Profile::wifi(ms(3))]);
    // The first message never comes, so that nothing is acknowledged by and large; and no ack
    // passes before 300 others have come.
    pair.hook(0, 0, |frame, _| match &frame.body {
        Body::Data(data) if data.sequence == 0 => Fate::Lose,
        _ => Fate::Pass,
    });
    let until = pair.now + ms(9);
    pair.hook(1, 0, move |_, now| if now < until { Fate::Lose } else { Fate::Pass });
    let options = SendOptions::new(TrafficClass::Background);
    let tickets: Vec<_> = (0..=300).map(|_| pair.send(0, "x", options)).collect();
    pair.drive_for(ms(20_000));
    assert_eq!(pair.nodes[1].delivered.len(), 300);
    let settled = tickets.iter().filter(|ticket| delivered(&pair, **ticket)).count();
    assert_eq!(settled, 300, "all but the first");
    assert!(!delivered(&pair, tickets[0]));
}

#[test]
fn many_messages_that_arrive_at_once_are_all_acknowledged() {
    let mut pair = Pair::new(&[Profile::wifi(ms(3))]);
    let options = SendOptions::new(TrafficClass::Critical).max_copies(1);
    let tickets: Vec<_> = (0..300).map(|_| pair.send(0, "x", options)).collect();
    pair.drive_for(ms(6));
    assert!(tickets.iter().all(|ticket| delivered(&pair, *ticket)));
    let acks = pair.log(1, 0).len();
    assert!((5..=8).contains(&acks), "{acks} acks for 300 messages");
    assert_eq!(pair.link_state(0, 0).flights.unacked_bytes, 0);
    pair.drive_for(ms(1_000));
    assert_eq!(pair.link_state(0, 0).counters.expiries, 0, "each frame was reported");
}

#[test]
fn without_an_application_nothing_is_acknowledged() {
    let mut pair = headless();
    let ticket = pair.send(0, "x", SendOptions::new(TrafficClass::Background));
    pair.drive_for(ms(5_000));
    assert_eq!(pair.outcome(0, ticket), None);
    let acks = end_acks(&pair, 1);
    let answers: Vec<_> = acks.iter().flat_map(|ack| &ack.streams).collect();
    for (attempt, answer) in (1..).zip(&answers) {
        assert_eq!((answer.cumulative, answer.bitmap.iter().max()), (0, None));
        let no_room = ResultEntry { sequence: 0, attempt, status: Status::NoRoom };
        assert_eq!(answer.results, [no_room]);
    }
    // After 10 ms, 20 ms and so on, and then every second.
    assert_eq!(answers.len(), 11);
    assert_eq!(pair.nodes[1].core.counters().no_custody, 11);
    assert_eq!(pair.nodes[0].core.counters().budget_waits, 0, "it costs no retries");
    assert_eq!(pair.changes(0, 0), [], "the link is not to blame");
    pair.with(1, |core, now| core.attach(ROOM, now));
    pair.drive_for(ms(1_100));
    assert!(delivered(&pair, ticket));
    assert_eq!(pair.payloads(1), ["x"]);
    assert_eq!(pair.nodes[1].core.counters().duplicates, 0, "it was not marked before");
}

#[test]
fn an_application_that_stays_away_lets_messages_run_out() {
    let mut pair = headless();
    let sent = pair.now;
    let ticket = pair.send(0, "x", SendOptions::new(TrafficClass::Background));
    pair.drive_for(ms(300_000));
    pair.with(1, |core, now| core.attach(ROOM, now));
    pair.drive_for(ms(5_000));
    let link = pair.link(0, 0);
    let transport = pair.wires[0].profile.transport;
    let unknown = Outcome::Unknown { tried: vec![TriedLink { link, transport }] };
    assert_eq!(pair.settled(0, ticket), Some((sent + ms(60_000), &unknown)));
    assert_eq!(pair.payloads(1), [] as [Bytes; 0]);
}

#[test]
fn a_full_inbox_takes_nothing_more_until_it_is_read() {
    let mut pair = headless();
    pair.nodes[1].takes = false;
    pair.with(1, |core, now| core.attach(2, now));
    let send = |pair: &mut Pair, class| pair.send(0, "x", SendOptions::new(class));
    let chat = [(); 3].map(|()| send(&mut pair, TrafficClass::Background));
    pair.drive_for(ms(500));
    assert_eq!(chat.map(|ticket| delivered(&pair, ticket)), [true, true, false]);
    let bet = send(&mut pair, TrafficClass::Critical);
    pair.drive_for(ms(100));
    assert!(delivered(&pair, bet), "another class has its own room");
    pair.with(1, |core, now| core.inbox_taken(TrafficClass::Background, 1, now));
    pair.drive_for(ms(1_100));
    assert!(delivered(&pair, chat[2]));
    assert_eq!(pair.nodes[1].delivered.len(), 4);
}

#[test]
fn a_message_that_was_whole_before_its_application_came_keeps_its_level() {
    let mut pair = headless();
    let payload = Bytes::from(vec![7; 100_000]);
    let options = SendOptions::new(TrafficClass::Background).ack(AckLevel::Applied);
    let ticket = pair.send(0, payload.clone(), options);
    pair.drive_for(ms(500));
    assert!(pair.nodes[1].delivered.is_empty());
    pair.wires[0].lanes[0].stalled = true;
    pair.with(1, |core, now| core.attach(ROOM, now));
    assert_eq!(pair.payloads(1), [payload], "without another frame");
    assert_eq!(pair.nodes[1].delivered[0].1.ack, AckLevel::Applied);
    pair.drive_for(ms(10));
    let outcome = pair.outcome(0, ticket);
    assert!(matches!(outcome, Some(Outcome::Delivered { level: AckLevel::Applied, .. })));
}

#[test]
fn a_whole_message_whose_time_is_up_is_not_handed_over() {
    for cancelled in [false, true] {
        let mut pair = headless();
        let options = SendOptions::new(TrafficClass::Background).deadline(ms(1_000));
        let ticket = pair.send(0, vec![7; 100_000], options);
        pair.drive_for(ms(500));
        if cancelled {
            pair.cancel(0, ticket);
            // Its successor, once it asks for room, tells that the number is given up.
            pair.send(0, "next", SendOptions::new(TrafficClass::Background));
            pair.drive_for(ms(1_000));
        } else {
            pair.drive_for(ms(600));
        }
        pair.hook(0, 0, |_, _| Fate::Lose);
        pair.with(1, |core, now| core.attach(ROOM, now));
        assert_eq!(pair.payloads(1), [] as [Bytes; 0], "cancelled: {cancelled}");
    }
}

#[test]
fn the_application_decides_what_applied_means() {
    for (applied, status) in [(true, None), (false, Some(RejectReason::Refused))] {
        let mut pair = Pair::new(&[Profile::wifi(ms(3))]);
        pair.nodes[1].answer = None;
        let options = SendOptions::new(TrafficClass::Critical).ack(AckLevel::Applied);
        let sent = pair.now;
        let ticket = pair.send(0, "bet", options);
        assert_eq!(pair.nodes[0].core.progress(ticket), Some(Progress::InFlight { attempts: 1 }));
        pair.drive_for(ms(6));
        assert_eq!(pair.outcome(0, ticket), None, "in custody is not applied");
        assert_eq!(pair.nodes[0].core.progress(ticket), Some(Progress::PeerAcked { attempts: 1 }));
        pair.drive_for(ms(4));
        let id = pair.nodes[1].delivered[0].1.id;
        pair.with(1, |core, now| core.answer(id, applied, now));
        pair.drive_for(ms(3));
        let (at, outcome) = pair.settled(0, ticket).unwrap();
        assert_eq!(at, sent + ms(13));
        match status {
            None => assert!(matches!(
                outcome,
                Outcome::Delivered { level: AckLevel::Applied, latency, .. } if *latency == ms(13)
            )),
            Some(why) => assert_eq!(*outcome, Outcome::Rejected { why }),
        }
    }
}

#[test]
fn a_slow_application_is_no_fault_of_the_link() {
    let mut pair = Pair::new(&[Profile::wifi(ms(3)), Profile::internet(ms(20))]);
    pair.nodes[1].answer = None;
    let options = SendOptions::new(TrafficClass::Background).ack(AckLevel::Applied);
    let ticket = pair.send(0, vec![1; 100_000], options);
    pair.drive_for(ms(10_000));
    let counters = pair.nodes[0].core.counters();
    assert_eq!((counters.failovers, counters.switches), (0, 0));
    assert_eq!(pair.status(0, 0).metrics.failure_count, 0);
    let sent: usize = data_of(pair.log(0, 0)).iter().map(|(_, _, len, _)| *len).sum();
    assert!(sent < 100_000 * 2 + 65_536 * 10, "the question is not the whole message: {sent}");
    let id = pair.nodes[1].delivered[0].1.id;
    pair.with(1, |core, now| core.answer(id, true, now));
    pair.drive_for(ms(10));
    assert!(delivered(&pair, ticket));
    assert_eq!(pair.nodes[1].delivered.len(), 1);
}

#[test]
fn a_verdict_that_got_lost_is_asked_for_and_stays_the_same() {
    for applied in [true, false] {
        let mut pair = Pair::new(&[Profile::wifi(ms(3))]);
        pair.nodes[1].answer = Some(applied);
        let mut lost = 0;
        pair.hook(1, 0, move |frame, _| match &frame.body {
            Body::EndAck(ack) if !ack.streams[0].results.is_empty() && lost < 3 => {
                lost += 1;
                Fate::Lose
            }
            _ => Fate::Pass,
        });
        let options = SendOptions::new(TrafficClass::Background).ack(AckLevel::Applied);
        let ticket = pair.send(0, "bet", options);
        pair.drive_for(ms(2_000));
        match applied {
            true => assert!(delivered(&pair, ticket)),
            false => assert_eq!(
                pair.outcome(0, ticket),
                Some(&Outcome::Rejected { why: RejectReason::Refused })
            ),
        }
        assert_eq!(pair.payloads(1), ["bet"], "handed over once");
    }
}

#[test]
fn accepted_means_that_the_frame_left_and_is_told_once() {
    let mut pair = Pair::new(&[Profile::wifi(ms(3)).rate(1_000)]);
    let options = SendOptions::new(TrafficClass::Background).ack(AckLevel::Accepted);
    let sent = pair.now;
    let ticket = pair.send(0, vec![0; 949], options);
    pair.drive_for(ms(7));
    assert_eq!(pair.outcome(0, ticket), None, "1,000 bytes at 1 Mbit/s are still leaving");
    pair.drive_for(ms(1));
    let link = TriedLink { link: pair.link(0, 0), transport: pair.wires[0].profile.transport };
    assert_eq!(pair.settled(0, ticket), Some((sent + ms(8), &Outcome::Sent { link })));
    pair.drive_for(ms(120_000));
    assert_eq!(pair.nodes[0].outcomes.len(), 1);
    assert_eq!(pair.nodes[0].core.unsettled(), 0);
    assert_eq!(data_of(pair.log(0, 0)).len(), 1, "never sent again");
}

#[test]
fn accepted_into_a_black_hole_is_sent_and_never_delivered() {
    let mut pair = Pair::new(&[Profile::wifi(ms(3))]);
    pair.black_hole(0);
    let options = SendOptions::new(TrafficClass::Background).ack(AckLevel::Accepted);
    let ticket = pair.send(0, "x", options);
    pair.drive_for(ms(120_000));
    assert!(matches!(pair.outcome(0, ticket), Some(Outcome::Sent { .. })));
    assert_eq!(pair.nodes[0].core.unsettled(), 0, "its number is given up at the deadline");
}

#[test]
fn accepted_by_a_driver_that_writes_nothing_is_not_sent() {
    let mut pair = Pair::new(&[Profile::wifi(ms(3))]);
    pair.wires[0].lanes[0].stalled = true;
    let options = SendOptions::new(TrafficClass::Background).ack(AckLevel::Accepted);
    let ticket = pair.send(0, "x", options);
    pair.drive_for(ms(120_000));
    assert!(matches!(pair.outcome(0, ticket), Some(Outcome::Unknown { .. })));
}

#[test]
fn a_frame_is_never_changed_on_its_way_and_garbage_is_counted() {
    let mut pair = Pair::new(&[Profile::wifi(ms(3))]);
    let mut rng = fastrand::Rng::with_seed(3);
    let mut damaged = 0;
    pair.hook(0, 0, move |frame, _| {
        damaged += 1;
        let bytes = Frame::encode(frame);
        match damaged % 3 {
            0 => Fate::Pass,
            1 => Fate::Become(bytes.slice(..rng.usize(..bytes.len()))),
            _ => {
                let mut bytes = bytes.to_vec();
                bytes[0] ^= 0x80;
                Fate::Become(bytes.into())
            }
        }
    });
    let tickets: Vec<_> = (0..50u8)
        .map(|i| pair.send(0, vec![i; 50], SendOptions::new(TrafficClass::Critical)))
        .collect();
    pair.drive_for(ms(60_000));
    assert!(tickets.iter().all(|ticket| delivered(&pair, *ticket)));
    let mut got = pair.payloads(1);
    got.sort();
    let expected: Vec<Bytes> = (0..50u8).map(|i| Bytes::from(vec![i; 50])).collect();
    assert_eq!(got, expected);
    assert!(pair.nodes[1].core.counters().undecodable > 20);
}

#[test]
fn acks_keep_to_the_frame_size_of_their_link() {
    let mut pair = Pair::new(&[Profile::bluetooth(ms(10)).max_frame(256)]);
    let mut tickets = Vec::new();
    for class in TrafficClass::ALL {
        for i in 0..20 {
            let ack = if i % 2 == 0 { AckLevel::Applied } else { AckLevel::PeerAcked };
            let options = SendOptions::new(class).ack(ack).max_copies(1).deadline(ms(60_000));
            tickets.push(pair.send(0, "x", options));
        }
    }
    let mut large = Vec::new();
    for class in TrafficClass::ALL {
        large.push(pair.send(0, vec![3; 500], SendOptions::new(class).deadline(ms(60_000))));
    }
    pair.drive_for(ms(2_000));
    assert!(tickets.iter().chain(&large).all(|ticket| delivered(&pair, *ticket)));
    let frames = data_of(pair.log(0, 0));
    assert_eq!(frames.len(), 80 + 4 * 3, "no answer was missing");
    assert!(pair.log(1, 0).iter().all(|(_, f)| f.encoded_len() <= 256));
}
