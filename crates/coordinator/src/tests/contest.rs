//! Two devices with one key, and restarts that look like it.

use bitcraps_types::{Epoch, LinkId, TrafficClass};
use bitcraps_wire::{Body, Frame, Hello};

use super::greeting::to;
use super::pair::{Pair, Profile, ms};
use crate::command::CloseReason;
use crate::{Notice, Outcome, SendOptions};

/// Two ways between the sides, and a third on which somebody else with side 1's key may speak.
fn pair() -> Pair {
    let mut pair = Pair::new(&[Profile::wifi(ms(3)), Profile::internet(ms(10))]);
    pair.wires.push(super::pair::Wire::new(Profile::wifi(ms(3))));
    pair
}

/// Another process with side 1's key greets on a new link.
fn greet(pair: &mut Pair, epoch: u64, instance: u64, echoing: bool) -> LinkId {
    if pair.is_up(0, 2) {
        pair.down_at(0, 2);
    }
    pair.up_at(0, 2);
    let challenge = pair.link_state(0, 2).greeting.challenge;
    let echo = echoing.then_some(challenge);
    let hello = Hello {
        epoch: Epoch(epoch),
        memory: Epoch(epoch),
        instance,
        link_tag: 5,
        challenge: 6,
        echo,
    };
    let link = pair.link(0, 2);
    pair.inject(0, 2, &[to(1, Body::Hello(hello))]);
    link
}

fn conflicts(pair: &Pair) -> Vec<Notice> {
    let notices = pair.nodes[0].notices.iter().map(|(_, n)| n.clone());
    notices.filter(|n| matches!(n, Notice::KeyConflict { .. })).collect()
}

fn conflict(pair: &Pair, shut_out: u64) -> Notice {
    Notice::KeyConflict { peer: pair.id(1), epoch: Epoch(2), shut_out: Epoch(shut_out) }
}

fn epoch(pair: &Pair) -> Option<Epoch> {
    pair.nodes[0].core.epoch_of(pair.id(1))
}

#[test]
fn of_two_devices_with_one_key_the_newer_is_shut_out_and_told_of_once() {
    let mut pair = pair();
    let mut sent = Vec::new();
    for _ in 0..5 {
        let link = greet(&mut pair, 9, 77, true);
        sent.push(pair.send(0, "x", SendOptions::new(TrafficClass::Critical)));
        let asked = pair.now;
        pair.drive_for(ms(400));
        let (at, closed, why) = *pair.nodes[0].closes.last().unwrap();
        assert_eq!((closed, why), (link, CloseReason::KeyConflict));
        assert!(at.since(asked) <= ms(21), "a round trip: {:?}", at.since(asked));
    }
    assert_eq!(conflicts(&pair), [conflict(&pair, 9)]);
    assert_eq!(epoch(&pair), Some(Epoch(2)), "the one that was there goes on");
    for ticket in sent {
        assert!(matches!(pair.outcome(0, ticket), Some(Outcome::Delivered { attempts: 1.., .. })));
    }
    assert!(pair.status(0, 0).ready && pair.status(0, 1).ready);
    assert_eq!(pair.nodes[0].core.peers(pair.now)[0].shut_out, Some(Epoch(9)));
    // Another device is another alert; and after a while of silence nothing is reported any more.
    greet(&mut pair, 10, 78, true);
    pair.drive_for(ms(400));
    assert_eq!(conflicts(&pair), [conflict(&pair, 9), conflict(&pair, 10)]);
    let last = pair.nodes[0].closes.last().unwrap().0;
    let shown = |after| pair.nodes[0].core.peers(last + after)[0].shut_out;
    assert_eq!(shown(ms(599_999)), Some(Epoch(10)));
    assert_eq!(shown(ms(600_000)), None);
}

#[test]
fn a_restart_is_no_conflict_and_waits_until_its_former_links_had_time_to_answer() {
    let mut pair = pair();
    pair.black_hole(0);
    pair.black_hole(1);
    let asked = pair.now;
    greet(&mut pair, 9, 77, true);
    pair.drive_for(ms(199));
    assert_eq!(epoch(&pair), Some(Epoch(2)));
    // The former links were asked again and again meanwhile.
    let hellos = |pair: &Pair, wire| {
        pair.log(0, wire).iter().filter(|(_, f)| matches!(f.body, Body::Hello(_))).count()
    };
    assert_eq!([hellos(&pair, 0), hellos(&pair, 1)], [4, 4]);
    pair.drive_till(ms(2_000), |pair| epoch(pair) == Some(Epoch(9)));
    let waited = pair.now.since(asked);
    assert!((ms(200)..=ms(400)).contains(&waited), "{waited:?}");
    assert_eq!(conflicts(&pair), []);
    assert_eq!(pair.nodes[0].closes, []);
    assert!(pair.status(0, 2).ready && !pair.status(0, 0).ready);
}

#[test]
fn a_newcomer_need_not_wait_for_links_that_are_down_or_gone() {
    let mut pair = pair();
    pair.down_at(0, 1);
    pair.black_hole(0);
    pair.drive_for(ms(20_000));
    assert_eq!(pair.tier(0, 0), crate::Tier::Down);
    greet(&mut pair, 9, 77, true);
    assert_eq!(epoch(&pair), Some(Epoch(9)), "nobody can answer");

    let mut pair = self::pair();
    pair.black_hole(0);
    pair.black_hole(1);
    greet(&mut pair, 9, 77, true);
    pair.down_at(0, 0);
    assert_eq!(epoch(&pair), Some(Epoch(2)));
    pair.down_at(0, 1);
    assert_eq!(epoch(&pair), Some(Epoch(9)), "nobody is left");
}

#[test]
fn a_newcomer_that_goes_before_its_turn_changes_nothing() {
    let mut pair = pair();
    pair.black_hole(0);
    pair.black_hole(1);
    greet(&mut pair, 9, 77, true);
    pair.drive_for(ms(100));
    pair.down_at(0, 2);
    pair.drive_for(ms(400));
    assert_eq!(epoch(&pair), Some(Epoch(2)));
    assert_eq!(conflicts(&pair), []);
}

#[test]
fn a_restart_that_takes_its_links_along_is_no_conflict() {
    let mut pair = pair();
    let hello = |pair: &mut Pair, wire| {
        // It knows no challenge of before.
        let body = Hello {
            epoch: Epoch(9),
            memory: Epoch(9),
            instance: 77,
            link_tag: 5,
            challenge: 6,
            echo: None,
        };
        pair.inject(0, wire, &[to(1, Body::Hello(body))]);
    };
    // Long after they came up: they have as long as new ones to greet again.
    pair.drive_for(ms(60_000));
    pair.wires[0].lanes[1].refuses = Some(crate::TransmitFailure::Closed);
    pair.wires[1].lanes[1].refuses = Some(crate::TransmitFailure::Closed);
    hello(&mut pair, 0);
    assert_eq!(epoch(&pair), Some(Epoch(2)));
    hello(&mut pair, 1);
    assert_eq!(epoch(&pair), Some(Epoch(9)));
    assert_eq!(conflicts(&pair), []);
    pair.drive_for(ms(1));
    assert_eq!(pair.nodes[0].closes, []);
}

#[test]
fn two_processes_in_one_epoch_are_a_conflict_at_once() {
    let mut pair = pair();
    let link = greet(&mut pair, 2, 77, false);
    assert_eq!(pair.nodes[0].closes, [(pair.now, link, CloseReason::KeyConflict)]);
    assert_eq!(conflicts(&pair), [conflict(&pair, 2)]);
    let same = pair.nodes[1].core.instance;
    greet(&mut pair, 2, same, true);
    assert_eq!(pair.nodes[0].closes.len(), 1, "the same process on another link");
    assert!(pair.status(0, 2).ready);
}

#[test]
fn an_older_device_that_is_alive_beside_the_newer_is_a_conflict_too() {
    let mut pair = pair();
    let link = greet(&mut pair, 1, 77, false);
    let why = CloseReason::StaleIncarnation;
    assert_eq!(pair.nodes[0].closes, [(pair.now, link, why)], "it may be an old frame");
    assert_eq!(conflicts(&pair), []);
    let link = greet(&mut pair, 1, 77, true);
    assert_eq!(pair.nodes[0].closes[1], (pair.now, link, CloseReason::KeyConflict));
    assert_eq!(conflicts(&pair), [conflict(&pair, 1)]);
}

#[test]
fn a_hello_of_the_known_incarnation_without_the_fresh_challenge_decides_nothing() {
    let mut pair = pair();
    let old = pair.link_state(0, 0).greeting.challenge;
    let instance = pair.nodes[1].core.instance;
    pair.black_hole(0);
    pair.black_hole(1);
    greet(&mut pair, 9, 77, true);
    assert_ne!(pair.link_state(0, 0).greeting.challenge, old);
    let hello = Hello {
        epoch: Epoch(2),
        memory: Epoch(2),
        instance,
        link_tag: 7,
        challenge: 8,
        echo: Some(old),
    };
    let replayed: Frame = to(1, Body::Hello(hello));
    pair.inject(0, 0, &[replayed]);
    assert_eq!(conflicts(&pair), []);
    pair.drive_for(ms(400));
    assert_eq!(epoch(&pair), Some(Epoch(9)));
}
