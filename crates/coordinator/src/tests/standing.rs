//! What a peer may do, and what becomes of messages when that changes.

use bitcraps_types::TrafficClass;
use bitcraps_wire::{Body, Join};
use bytes::Bytes;

use super::pair::{Fate, Pair, Profile, is_data, ms, peer_id};
use crate::command::CloseReason;
use crate::{Notice, Outcome, RejectReason, SendError, SendOptions, Standing, Ticket};

fn set(pair: &mut Pair, side: usize, standing: Standing) {
    let peer = pair.id(1 - side);
    pair.with(side, |core, now| core.set_standing(peer, standing, now));
}

/// Side 0 is a stranger to side 1.
fn stranger() -> Pair {
    let mut pair = Pair::new(&[Profile::wifi(ms(3)), Profile::internet(ms(40))]);
    set(&mut pair, 1, Standing::Stranger);
    pair
}

fn not_admitted(pair: &Pair, ticket: Ticket) -> bool {
    let why = RejectReason::NotAdmitted;
    pair.outcome(0, ticket) == Some(&Outcome::Rejected { why })
}

#[test]
fn a_stranger_s_messages_are_refused_with_an_answer_whatever_their_size() {
    let mut pair = stranger();
    let mut sent = Vec::new();
    for class in TrafficClass::ALL {
        for size in [0, 100, 100_000] {
            let options = SendOptions::new(class).deadline(ms(5_000));
            sent.push(pair.send(0, Bytes::from(vec![7; size]), options));
            pair.drive_for(ms(1_000));
        }
    }
    assert!(sent.iter().all(|ticket| not_admitted(&pair, *ticket)));
    let (at, _) = pair.settled(0, sent[0]).unwrap();
    assert!(at.since(pair.now - ms(12_000)) <= ms(10), "in one round trip");
    assert!(pair.nodes[1].delivered.is_empty());
    assert!(pair.nodes[1].core.counters().not_admitted >= 12);
    let peer = pair.id(0);
    assert!(!pair.nodes[1].core.has_history(peer), "nothing is kept for it");
    assert!(pair.status(1, 0).ready, "it is greeted and probed");
    set(&mut pair, 1, Standing::Admitted);
    let ticket = pair.send(0, "now", SendOptions::new(TrafficClass::Critical));
    pair.drive_for(ms(100));
    assert!(matches!(pair.outcome(0, ticket), Some(Outcome::Delivered { .. })));
    assert!(pair.nodes[1].core.has_history(peer));
}

#[test]
fn a_late_copy_of_a_refused_message_is_refused_after_admission_too() {
    let mut pair = stranger();
    // The copy over the second link is late by a second.
    pair.hook(0, 1, |frame, _| if is_data(frame) { Fate::Late(ms(1_000)) } else { Fate::Pass });
    let refused = pair.send(0, "refused", SendOptions::new(TrafficClass::Critical).max_copies(2));
    pair.drive_for(ms(100));
    assert!(not_admitted(&pair, refused));
    set(&mut pair, 1, Standing::Admitted);
    let before = pair.nodes[1].core.counters().not_admitted;
    pair.drive_for(ms(2_000));
    assert_eq!(pair.nodes[1].core.counters().not_admitted - before, 1, "the late copy came");
    assert!(pair.nodes[1].delivered.is_empty(), "and its sender was told that it is refused");
    let next = pair.send(0, "next", SendOptions::new(TrafficClass::Critical));
    pair.drive_for(ms(100));
    assert_eq!(pair.payloads(1), ["next"]);
    assert!(matches!(pair.outcome(0, next), Some(Outcome::Delivered { .. })));
}

#[test]
fn what_was_delivered_before_is_acknowledged_again_to_one_who_is_a_stranger_now() {
    let mut pair = Pair::new(&[Profile::wifi(ms(3))]);
    pair.hook(1, 0, |frame, _| match frame.body {
        Body::EndAck(_) => Fate::Lose,
        _ => Fate::Pass,
    });
    let ticket = pair.send(0, "x", SendOptions::new(TrafficClass::Critical));
    pair.drive_for(ms(5));
    assert_eq!(pair.payloads(1), ["x"]);
    set(&mut pair, 1, Standing::Stranger);
    pair.heal(0);
    pair.drive_for(ms(1_000));
    assert!(matches!(pair.outcome(0, ticket), Some(Outcome::Delivered { .. })));
    assert_eq!(pair.nodes[1].core.counters().not_admitted, 0);
}

#[test]
fn nothing_is_sent_to_one_who_is_not_admitted() {
    for standing in [Standing::Stranger, Standing::Blocked] {
        let mut pair = Pair::new(&[Profile::wifi(ms(3))]);
        pair.black_hole(0);
        let left = pair.send(0, "left", SendOptions::new(TrafficClass::Critical));
        let options = SendOptions::new(TrafficClass::Critical).ordered_by(1);
        pair.send(0, "first", options);
        let waits = pair.send(0, "second", options);
        set(&mut pair, 0, standing);
        assert!(matches!(pair.outcome(0, left), Some(Outcome::Unknown { .. })));
        assert!(not_admitted(&pair, waits));
        assert_eq!(pair.nodes[0].core.unsettled(), 0);
        let options = SendOptions::new(TrafficClass::Critical);
        let refused = SendError::NotAdmitted(pair.id(1));
        assert_eq!(pair.try_send(0, "x", options), Err(refused));
        let closed = pair.nodes[0].closes.iter().map(|(_, _, why)| *why).collect::<Vec<_>>();
        let expected =
            if standing == Standing::Blocked { vec![CloseReason::Blocked] } else { Vec::new() };
        assert_eq!(closed, expected);
        let told = Notice::PeerStanding { peer: pair.id(1), standing };
        set(&mut pair, 0, standing);
        assert_eq!(pair.nodes[0].notices.iter().filter(|(_, n)| *n == told).count(), 1);
    }
}

#[test]
fn a_peer_nobody_knows_has_no_standing() {
    let mut pair = Pair::new(&[Profile::wifi(ms(3))]);
    let nobody = peer_id(9);
    pair.with(0, |core, now| core.set_standing(nobody, Standing::Blocked, now));
    assert_eq!(pair.nodes[0].core.standing(nobody), None);
    assert_eq!(pair.nodes[0].core.standing(pair.id(1)), Some(Standing::Admitted));
}

#[test]
fn a_stranger_is_heard_within_its_allowance() {
    let mut pair = stranger();
    let join = Join { invitation: [1; 8], proof: [2; 32] };
    let frame = super::greeting::to(2, Body::Join(join));
    let most = 262_144 / frame.encoded_len();
    for _ in 0..most + 100 {
        pair.inject(1, 0, std::slice::from_ref(&frame));
        while pair.nodes[1].core.poll_control().is_some() {}
    }
    let unheard = pair.nodes[1].core.counters().stranger_frames;
    // A few probes took their part of it.
    assert!((100..110).contains(&unheard), "{unheard} of {} were not heard", most + 100);
    // A second later it may say what a second allows.
    pair.drive_for(ms(1_000));
    let before = pair.nodes[1].core.counters().stranger_frames;
    for _ in 0..1_000 {
        pair.inject(1, 0, std::slice::from_ref(&frame));
        while pair.nodes[1].core.poll_control().is_some() {}
    }
    let heard = 1_000 - (pair.nodes[1].core.counters().stranger_frames - before);
    let second = 16_384 / frame.encoded_len() as u64;
    assert!((second - 20..=second + 2).contains(&heard), "{heard} heard of {second}");
    // One who is admitted has no such bound.
    set(&mut pair, 1, Standing::Admitted);
    let before = pair.nodes[1].core.counters().stranger_frames;
    (0..1_000).for_each(|_| pair.inject(1, 0, std::slice::from_ref(&frame)));
    assert_eq!(pair.nodes[1].core.counters().stranger_frames, before);
}

#[test]
fn what_is_not_about_delivery_waits_for_the_machine_around_and_is_bounded() {
    let mut pair = Pair::new(&[Profile::wifi(ms(3))]);
    let join = |n| Body::Join(Join { invitation: [n; 8], proof: [0; 32] });
    let frames: Vec<_> = (0..=255).map(|n| super::greeting::to(2, join(n))).collect();
    pair.inject(1, 0, &frames);
    let before = pair.nodes[1].core.counters().unexpected;
    pair.inject(1, 0, &frames[..3]);
    assert_eq!(pair.nodes[1].core.counters().unexpected - before, 3);
    for n in 0..=255 {
        let control = pair.nodes[1].core.poll_control().unwrap();
        assert_eq!((control.peer, control.body), (pair.id(0), join(n)));
        assert_eq!((control.link, control.at), (pair.link(1, 0), pair.now));
    }
    assert_eq!(pair.nodes[1].core.poll_control(), None);
    // The other way: both ends know the same of the link.
    let [near, far] = [0, 1].map(|side| pair.nodes[side].core.session(pair.link(side, 0)).unwrap());
    assert_eq!((near.challenge, near.peer_challenge), (far.peer_challenge, far.challenge));
    assert_eq!((near.peer, far.peer), (pair.id(1), pair.id(0)));
    let link = pair.link(0, 0);
    pair.with(0, |core, now| core.send_control(link, join(7), now));
    pair.drive_for(ms(3));
    assert_eq!(pair.nodes[1].core.poll_control().map(|c| c.body), Some(join(7)));
}
