//! Links come up, and their ends learn who is there this time.

use bitcraps_types::{Epoch, LinkId, TrafficClass, TransportType};
use bitcraps_wire::{Body, Frame, Hello, HopHeader, NO_DEADLINE};

use super::pair::{Fate, Pair, Profile, ROOM, config, is_data, ms, peer_id};
use crate::command::CloseReason;
use crate::config::bounds::LINKS_PER_PEER;
use crate::{LinkUp, Notice, Outcome, SendOptions, Standing};

/// A frame that nobody acknowledges.
pub(super) fn to(epoch: u64, body: Body) -> Frame {
    let receiver_epoch = Epoch(epoch);
    let header = HopHeader { ttl: 1, deadline_ms: NO_DEADLINE, link_seq: 0, receiver_epoch };
    Frame { header, hop_ack: None, route: None, body }
}

fn hello(epoch: u64, instance: u64) -> Frame {
    let hello = Hello {
        epoch: Epoch(epoch),
        memory: Epoch(epoch),
        instance,
        link_tag: 77,
        challenge: 5,
        echo: None,
    };
    to(0, Body::Hello(hello))
}

fn is_hello(frame: &Frame) -> bool {
    matches!(frame.body, Body::Hello(_))
}

fn attach(pair: &mut Pair) {
    (0..2).for_each(|side| pair.with(side, |core, now| core.attach(ROOM, now)));
}

/// Two attached nodes of one wire that is not up.
fn apart(profile: Profile) -> Pair {
    let mut pair = Pair::apart([config(1), config(2)], &[profile]);
    attach(&mut pair);
    pair
}

fn both_ready(pair: &Pair) -> bool {
    pair.status(0, 0).ready && pair.status(1, 0).ready
}

#[test]
fn two_ends_greet_within_a_round_trip() {
    let mut pair = apart(Profile::wifi(ms(10)));
    pair.up(0);
    pair.drive_for(ms(20));
    assert!(both_ready(&pair));
    for side in [0, 1] {
        let ready: Vec<_> = pair.nodes[side]
            .notices
            .iter()
            .filter(|(_, n)| matches!(n, Notice::LinkReady { .. }))
            .collect();
        assert_eq!(ready.len(), 1, "{ready:?}");
        let (peer, epoch) = (pair.id(1 - side), Epoch(2 - side as u64));
        let there = Notice::PeerIncarnation { peer, epoch, restarted: false };
        assert!(pair.nodes[side].notices.iter().any(|(_, n)| *n == there));
    }
    pair.drive_for(ms(1_000));
    let hellos = [0, 1].map(|side| pair.log(side, 0).iter().filter(|(_, f)| is_hello(f)).count());
    assert!(hellos.iter().all(|n| *n <= 4), "the greeting ends: {hellos:?}");
}

#[test]
fn two_ready_ends_that_hear_nothing_but_hellos_do_not_answer_each_other_for_ever() {
    for latency in [1, 3, 20] {
        let mut pair = apart(Profile::wifi(ms(latency)));
        pair.up(0);
        for side in [0, 1] {
            pair.hook(side, 0, |frame, _| if is_hello(frame) { Fate::Pass } else { Fate::Lose });
        }
        pair.drive_for(ms(2_000));
        assert!(both_ready(&pair));
        let hellos =
            [0, 1].map(|side| pair.log(side, 0).iter().filter(|(_, f)| is_hello(f)).count());
        let most = if latency == 20 { 2_000 / 40 + 4 } else { 6 };
        assert!(hellos.iter().all(|n| *n <= most), "{latency} ms: {hellos:?}");
    }
}

#[test]
fn any_hello_may_be_lost() {
    for side in [0, 1] {
        for lost in 1..=4 {
            for slow in [1, 40] {
                let mut pair = apart(Profile::wifi(ms(slow)));
                pair.up(0);
                let mut seen = 0;
                pair.hook(side, 0, move |frame, _| {
                    seen += usize::from(is_hello(frame));
                    if is_hello(frame) && seen <= lost { Fate::Lose } else { Fate::Pass }
                });
                pair.drive_for(ms(2_500));
                assert!(both_ready(&pair), "side {side}, {lost} lost, {slow} ms");
                let ticket = pair.send(0, "x", SendOptions::new(TrafficClass::Critical));
                pair.drive_for(ms(200));
                assert!(matches!(pair.outcome(0, ticket), Some(Outcome::Delivered { .. })));
            }
        }
    }
}

#[test]
fn the_ends_may_come_up_in_any_order() {
    for first in [0, 1] {
        let mut pair = apart(Profile::wifi(ms(1)));
        pair.up_at(first, 0);
        pair.drive_for(ms(400));
        pair.up_at(1 - first, 0);
        pair.drive_for(ms(10));
        assert!(both_ready(&pair), "{first} first");
    }
}

#[test]
fn an_end_that_got_data_but_not_our_hello_is_answered() {
    let mut pair = apart(Profile::wifi(ms(1)));
    // Side 1 cannot hear the answer to its first hello, and side 0 is ready before it.
    pair.up_at(1, 0);
    pair.up_at(0, 0);
    // The echo of side 1's challenge is lost for a while; data and acks pass.
    let until = pair.now + ms(120);
    pair.hook(0, 0, move |frame, now| match &frame.body {
        Body::Hello(hello) if hello.echo.is_some() && now < until => Fate::Lose,
        _ => Fate::Pass,
    });
    pair.drive_for(ms(5));
    assert!(pair.status(0, 0).ready && !pair.status(1, 0).ready);
    pair.send(0, "x", SendOptions::new(TrafficClass::Background));
    pair.drive_for(ms(10));
    assert_eq!(pair.payloads(1), ["x"]);
    pair.drive_for(ms(500));
    assert!(pair.status(1, 0).ready);
}

#[test]
fn data_waits_for_the_greeting_at_both_ends() {
    let mut pair = apart(Profile::wifi(ms(1)));
    pair.nodes[0].core.add_peer(pair.id(1), pair.now);
    pair.up_at(0, 0);
    pair.send(0, "x", SendOptions::new(TrafficClass::Background));
    pair.drive_for(ms(300));
    assert!(pair.log(0, 0).iter().all(|(_, f)| !is_data(f)));
    // Frames of a stranger who has not greeted are not looked at.
    let mut other = Pair::new(&[Profile::wifi(ms(1))]);
    other.send(0, "x", SendOptions::new(TrafficClass::Background));
    let data = other.log(0, 0).iter().find(|(_, f)| is_data(f)).unwrap().1.clone();
    let mut late = apart(Profile::wifi(ms(1)));
    late.up_at(1, 0);
    late.inject(1, 0, std::slice::from_ref(&data));
    assert_eq!(late.nodes[1].core.counters().unexpected, 1);
    assert!(late.nodes[1].delivered.is_empty());
}

#[test]
fn a_link_without_a_hello_is_closed_when_its_timeout_is_over() {
    for (seconds, configured) in [(5, false), (7, true), (1, true)] {
        let mut configs = [config(1), config(2)];
        if configured {
            let wifi = &mut configs[0].transports[TransportType::WiFiDirect.index()];
            wifi.connection_timeout = ms(seconds * 1_000);
        }
        let mut pair = Pair::apart(configs, &[Profile::wifi(ms(1))]);
        let (up, link) = (pair.now, 1_001);
        pair.up_at(0, 0);
        pair.drive_for(ms(20_000));
        let why = CloseReason::NoHello(ms(seconds * 1_000));
        assert_eq!(pair.nodes[0].closes, [(up + ms(seconds * 1_000), LinkId(link), why)]);
    }
}

#[test]
fn a_former_incarnation_is_shown_the_door() {
    let mut pair = Pair::new(&[Profile::wifi(ms(1))]);
    let link = pair.link(0, 0);
    pair.inject(0, 0, &[hello(1, 0)]);
    let why = CloseReason::StaleIncarnation;
    assert_eq!(pair.nodes[0].closes, [(pair.now, link, why)]);
    assert_eq!(pair.nodes[0].core.counters().stale_epoch, 1);
    let mut pair = Pair::new(&[Profile::wifi(ms(1))]);
    let instance = pair.nodes[1].core.instance;
    pair.inject(0, 0, &[hello(2, instance)]);
    assert_eq!(pair.nodes[0].closes, [], "its own epoch is current");
}

#[test]
fn our_own_key_at_the_other_end_is_refused() {
    let mut pair = Pair::apart([config(1), config(1)], &[Profile::wifi(ms(1))]);
    pair.up_at(0, 0);
    assert_eq!(pair.nodes[0].closes, [(pair.now, LinkId(1_001), CloseReason::OwnKey)]);
    assert!(pair.nodes[0].core.peers(pair.now).is_empty());
}

#[test]
fn a_peer_has_eight_links_at_most_and_all_of_them_work() {
    let mut pair = Pair::apart([config(1), config(2)], &[Profile::wifi(ms(1)); 9]);
    attach(&mut pair);
    (0..9).for_each(|wire| pair.up(wire));
    pair.drive_for(ms(100));
    assert_eq!(LINKS_PER_PEER, 8);
    for side in [0, 1] {
        let why: Vec<CloseReason> = pair.nodes[side].closes.iter().map(|(_, _, w)| *w).collect();
        assert_eq!(why, [CloseReason::TooManyLinks]);
        assert_eq!(pair.nodes[side].core.peers(pair.now)[0].links.len(), 8);
    }
    for wire in 0..7 {
        pair.black_hole(wire);
    }
    let ticket = pair.send(0, "x", SendOptions::new(TrafficClass::Background));
    pair.drive_for(ms(1_000));
    assert!(matches!(pair.outcome(0, ticket), Some(Outcome::Delivered { .. })));
    pair.down(0);
    pair.up(8);
    pair.drive_for(ms(100));
    assert!(pair.status(0, 8).ready, "there is room again");
}

#[test]
fn a_link_that_is_up_already_does_not_come_up_again() {
    let mut pair = Pair::new(&[Profile::wifi(ms(1))]);
    let profile = pair.wires[0].profile;
    let facts = LinkUp {
        link: pair.link(0, 0),
        peer: pair.id(1),
        transport: profile.transport,
        capabilities: profile.capabilities,
    };
    pair.with(0, |core, now| core.link_up(facts, now));
    assert!(pair.status(0, 0).ready);
    assert_eq!(pair.nodes[0].core.peers(pair.now)[0].links.len(), 1);
}

#[test]
fn a_restart_leaves_what_left_unknown_and_sends_what_waits_to_the_new_incarnation() {
    let mut pair = Pair::new(&[Profile::wifi(ms(3))]);
    pair.hook(0, 0, |frame, _| if is_data(frame) { Fate::Lose } else { Fate::Pass });
    let left = pair.send(0, "left", SendOptions::new(TrafficClass::Critical));
    pair.drive_for(ms(1));
    pair.wires[0].lanes[0].stalled = true;
    let options = SendOptions::new(TrafficClass::Background).ordered_by(1);
    let first = pair.send(0, "first", options);
    let second = pair.send(0, "second", options);
    pair.restart(1, 9);
    pair.drive_for(ms(100));
    let unknown =
        |pair: &Pair, ticket| matches!(pair.outcome(0, ticket), Some(Outcome::Unknown { .. }));
    assert!(unknown(&pair, left) && unknown(&pair, first), "a copy of each had left");
    assert!(matches!(pair.outcome(0, second), Some(Outcome::Delivered { .. })));
    assert_eq!(pair.payloads(1), ["second"]);
    let (peer, epoch) = (pair.id(1), Epoch(9));
    let back = Notice::PeerIncarnation { peer, epoch, restarted: true };
    assert_eq!(pair.nodes[0].notices.iter().filter(|(_, n)| *n == back).count(), 1);
}

#[test]
fn links_of_a_former_incarnation_carry_nothing_and_are_closed() {
    let mut pair = Pair::new(&[Profile::wifi(ms(3)), Profile::internet(ms(1))]);
    let old = pair.link(0, 1);
    pair.restart_over(1, 9, &[0]);
    let restarted = pair.now;
    pair.drive_for(ms(300));
    assert!(pair.status(0, 0).ready && !pair.status(0, 1).ready);
    pair.clear();
    let ticket = pair.send(0, "x", SendOptions::new(TrafficClass::Critical));
    pair.drive_for(ms(100));
    assert!(matches!(pair.outcome(0, ticket), Some(Outcome::Delivered { attempts: 1, .. })));
    assert!(pair.log(0, 1).iter().all(|(_, f)| is_hello(f)));
    pair.drive_for(ms(20_000));
    let [(at, link, CloseReason::NoHello(_))] = pair.nodes[0].closes[..] else {
        panic!("{:?}", pair.nodes[0].closes);
    };
    assert_eq!(link, old);
    let waited = at.since(restarted);
    // The new incarnation had to wait until this link had time to answer for the former one.
    assert!(waited >= ms(15_200) && waited <= ms(15_230), "{waited:?}");
}

#[test]
fn a_link_that_outlives_a_restart_greets_again() {
    let mut pair = Pair::new(&[Profile::wifi(ms(3)), Profile::internet(ms(1))]);
    pair.restart_over(1, 9, &[0]);
    pair.drive_for(ms(300));
    // The other end of the second link turns up after all.
    pair.up_at(1, 1);
    pair.drive_for(ms(1_100));
    assert!(pair.status(0, 1).ready && pair.status(1, 1).ready);
    let ticket = pair.send(0, "x", SendOptions::new(TrafficClass::Critical).max_copies(1));
    pair.drive_for(ms(100));
    assert!(matches!(pair.outcome(0, ticket), Some(Outcome::Delivered { attempts: 1, .. })));
}

#[test]
fn the_last_link_lost_is_told_once() {
    let mut pair = Pair::new(&[Profile::wifi(ms(1)), Profile::internet(ms(5))]);
    let gone = |pair: &Pair| {
        let told = |n: &Notice| matches!(n, Notice::PeerUnreachable { .. });
        pair.nodes[0].notices.iter().filter(|(_, n)| told(n)).count()
    };
    pair.down(0);
    assert_eq!(gone(&pair), 0);
    pair.down(1);
    assert_eq!(gone(&pair), 1);
}

#[test]
fn a_node_that_is_refused_as_a_former_incarnation_hears_of_the_later_one() {
    let raised = |pair: &Pair| {
        let notices = pair.nodes[1].notices.iter().map(|(_, notice)| notice);
        let raised = notices.filter_map(|notice| match notice {
            Notice::EpochOutran { above } => Some(above.0),
            _ => None,
        });
        raised.collect::<Vec<u64>>()
    };
    let mut pair = Pair::new(&[Profile::wifi(ms(5))]);
    pair.restart(1, 7);
    pair.drive_for(ms(2_000));
    assert!(both_ready(&pair));
    assert_eq!(raised(&pair), [0; 0]);
    // Restored from a backup.
    pair.restart(1, 3);
    pair.drive_for(ms(2_000));
    assert_eq!(raised(&pair), [7], "once");
    assert_eq!(pair.nodes[1].core.outran(), Some(Epoch(7)));
}

#[test]
fn a_later_incarnation_that_nobody_signed_is_believed_where_nothing_is_lost() {
    let named = |epoch: u64, standing: Standing, linked: bool| {
        let mut pair = apart(Profile::wifi(ms(5)));
        pair.up(0);
        if linked {
            pair.drive_for(ms(100));
            assert!(both_ready(&pair));
        }
        let liar = peer_id(9);
        pair.with(0, |core, now| {
            let link = LinkId(900);
            core.meet(liar, standing, now);
            let facts = LinkUp {
                link,
                peer: liar,
                transport: TransportType::WiFiDirect,
                capabilities: Profile::wifi(ms(5)).capabilities,
            };
            core.link_up(facts, now);
            let mut frame = hello(1, 1);
            frame.header.receiver_epoch = Epoch(epoch);
            core.frames_received(link, &mut vec![frame.encode()], now);
            core.outran()
        })
    };
    let own = config(1).epoch.0;
    let farthest = own + (1 << 32);
    assert_eq!(named(own, Standing::Admitted, false), None);
    assert_eq!(named(own + 1, Standing::Admitted, false), Some(Epoch(own + 1)));
    assert_eq!(named(farthest, Standing::Admitted, false), Some(Epoch(farthest)));
    assert_eq!(named(farthest + 1, Standing::Admitted, false), None);
    assert_eq!(named(own + 1, Standing::Stranger, false), None);
    assert_eq!(named(own + 1, Standing::Admitted, true), None);
}
