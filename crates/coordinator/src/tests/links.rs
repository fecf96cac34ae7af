//! What is learned of links, and what is done with it.

use std::time::Duration;

use bitcraps_types::{EnergyProfile, Timestamp, TrafficClass};
use bitcraps_wire::{Body, Frame};

use super::pair::{Fate, Pair, Profile, ROOM, config, data_of, is_data, ms, us};
use crate::flight::Flights;
use crate::{LinkChange, Outcome, SendOptions, Tier};

fn is_probe(frame: &Frame) -> bool {
    matches!(frame.body, Body::Probe(_))
}

fn probes(pair: &Pair, side: usize, wire: usize) -> Vec<Timestamp> {
    let log = pair.log(side, wire).iter();
    log.filter(|(_, frame)| is_probe(frame)).map(|(at, _)| *at).collect()
}

fn all_delivered(pair: &Pair) -> bool {
    pair.nodes[0].outcomes.iter().all(|(_, _, o)| matches!(o, Outcome::Delivered { .. }))
}

/// Realtime, one copy at a time.
fn roll() -> SendOptions {
    SendOptions::new(TrafficClass::Realtime).max_copies(1).deadline(ms(20_000))
}

#[test]
fn a_radio_that_sleeps_is_not_woken_by_probes() {
    let lte = Profile::internet(ms(30)).energy(EnergyProfile::CELLULAR);
    let metered = Profile::internet(ms(30)).metered();
    let metered_wifi = Profile::wifi(ms(3)).energy(EnergyProfile::WIFI).metered();
    for (profile, aware, expected) in [
        (lte, true, 0..=0),
        (lte, false, 180..=260),
        (metered, true, 0..=0),
        (metered, false, 0..=0),
        (metered_wifi, true, 0..=0),
        (metered_wifi, false, 0..=0),
    ] {
        let mut configs = [config(1), config(2)];
        configs.iter_mut().for_each(|c| c.energy_aware = aware);
        let mut pair = Pair::configured(configs, &[profile]);
        pair.drive_for(ms(20_000));
        pair.clear();
        pair.drive_for(ms(60_000));
        for side in [0, 1] {
            let count = probes(&pair, side, 0).len();
            assert!(expected.contains(&count), "{count} probes, aware: {aware}, {profile:?}");
        }
        let ticket = pair.send(0, "x", SendOptions::new(TrafficClass::Critical));
        pair.drive_for(ms(200));
        assert!(matches!(pair.outcome(0, ticket), Some(Outcome::Delivered { .. })));
    }
}

#[test]
fn a_radio_is_measured_while_it_is_awake_and_may_fall_asleep() {
    let lte = Profile::internet(ms(30)).energy(EnergyProfile::CELLULAR);
    let mut pair = Pair::new(&[lte]);
    pair.drive_for(ms(20_000));
    pair.clear();
    let sent = pair.now;
    pair.send(0, "x", SendOptions::new(TrafficClass::Critical));
    pair.drive_for(ms(60_000));
    let at: Vec<Duration> = probes(&pair, 0, 0).iter().map(|at| at.since(sent)).collect();
    assert!((8..=15).contains(&at.len()), "{at:?}");
    assert!(at.iter().all(|at| *at < EnergyProfile::CELLULAR.tail), "{at:?}");
    assert_eq!(probes(&pair, 1, 0), [], "the other end's radio is its own business");
}

#[test]
fn a_sleeping_radio_is_not_woken_because_its_link_is_suspect() {
    let lte = Profile::internet(ms(30)).energy(EnergyProfile::CELLULAR);
    let mut pair = Pair::new(&[lte, Profile::wifi(ms(3))]);
    pair.black_hole(0);
    pair.down(1);
    pair.send(0, "x", roll());
    pair.drive_for(ms(5_000));
    assert!(pair.tier(0, 0) >= Tier::Suspect);
    pair.up(1);
    pair.drive_for(ms(40_000));
    pair.clear();
    pair.drive_for(ms(60_000));
    assert_eq!(probes(&pair, 0, 0), []);
    pair.heal(0);
    pair.down(1);
    let ticket = pair.send(0, "x", roll());
    pair.drive_for(ms(1_000));
    assert!(matches!(pair.outcome(0, ticket), Some(Outcome::Delivered { .. })), "as a last resort");
}

#[test]
fn standby_links_are_probed_as_often_as_their_energy_allows() {
    for (energy, least, most) in [
        (EnergyProfile::MAINS, 187 + 6, 313 + 6),
        (EnergyProfile::BLUETOOTH_LE, 750 + 6, 1_250 + 6),
        (EnergyProfile::WIFI, 750 + 6, 1_250 + 6),
    ] {
        let mut pair = Pair::new(&[Profile::wifi(ms(3)).energy(energy)]);
        pair.clear();
        pair.drive_for(ms(60_000));
        let mut sizes = pair.log(0, 0).iter().filter(|(_, f)| is_probe(f));
        assert!(sizes.all(|(_, f)| f.encoded_len() == 64));
        let at = probes(&pair, 0, 0);
        let gaps: Vec<u128> = at.windows(2).map(|w| w[1].since(w[0]).as_millis()).collect();
        assert!(gaps.iter().all(|gap| (least..=most).contains(gap)), "{gaps:?}");
        let spread = gaps.iter().max().unwrap() - gaps.iter().min().unwrap();
        assert!(spread > u128::from((most - least) as u64) / 2, "the jitter spreads: {gaps:?}");
    }
}

#[test]
fn traffic_that_is_answered_spares_probes() {
    let mut pair = Pair::new(&[Profile::wifi(ms(3))]);
    for _ in 0..300 {
        pair.send(0, "x", roll());
        pair.drive_for(ms(100));
    }
    assert!(all_delivered(&pair));
    let count = probes(&pair, 0, 0).len();
    assert!(count <= 3, "{count} probes beside 300 messages");
}

#[test]
fn two_healthy_links_for_ten_minutes_are_left_alone() {
    let mut pair = Pair::new(&[Profile::wifi(ms(3)), Profile::internet(ms(25))]);
    let mut rng = fastrand::Rng::with_seed(11);
    for (side, wire) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let mut rng = rng.fork();
        pair.hook(side, wire, move |_, _| Fate::Late(us(rng.u64(0..2_000))));
    }
    for class in TrafficClass::ALL {
        pair.send(0, "first", SendOptions::new(class));
    }
    pair.drive_for(ms(500));
    let before = pair.nodes[0].core.counters();
    let mut sent = 4;
    for _ in 0..6_000 {
        let class = TrafficClass::ALL[rng.usize(0..4)];
        let len = rng.usize(0..3_000);
        pair.send(0, vec![1; len], SendOptions::new(class));
        sent += 1;
        pair.drive_for(ms(100));
    }
    let after = pair.nodes[0].core.counters();
    assert_eq!((after.switches, before.switches), (0, 0));
    assert!(after.failovers <= sent as u64 / 100, "{} timeouts for nothing", after.failovers);
    for side in [0, 1] {
        for wire in [0, 1] {
            assert_eq!(pair.changes(side, wire), [], "side {side}, wire {wire}");
        }
    }
    assert!(all_delivered(&pair));
    assert_eq!(pair.nodes[1].delivered.len(), sent);
}

/// Traffic over two links while the better one comes and goes, and how often the traffic moved.
fn flap(pair: &mut Pair, off: Duration, on: Duration, cycles: u32) -> u64 {
    let before = pair.nodes[0].core.counters().switches;
    for cycle in 0..cycles * 2 {
        let fails = cycle % 2 == 0;
        if fails {
            pair.black_hole(0);
        } else {
            pair.heal(0);
        }
        let end = pair.now + if fails { off } else { on };
        while pair.now < end {
            pair.send(0, "x", roll());
            pair.drive_for(ms(10));
        }
    }
    pair.heal(0);
    pair.nodes[0].core.counters().switches - before
}

fn flappings(pair: &Pair) -> usize {
    pair.changes(0, 0).iter().filter(|c| **c == LinkChange::Flapping).count()
}

#[test]
fn a_link_that_flaps_at_ten_hertz_moves_traffic_once_a_second_at_most() {
    let mut pair = Pair::new(&[Profile::wifi(ms(2)), Profile::internet(ms(20))]);
    let switches = flap(&mut pair, ms(50), ms(50), 300);
    assert!((1..=30).contains(&switches), "{switches} switches in 30 s");
    pair.drive_for(ms(20_000));
    assert_eq!(pair.nodes[0].core.unsettled(), 0);
    assert!(all_delivered(&pair), "nothing is lost");
    assert_eq!(pair.nodes[1].delivered.len(), pair.nodes[0].outcomes.len());
}

#[test]
fn each_episode_of_flapping_is_reported_once() {
    for (off, on, cycles) in [(ms(1_000), ms(6_000), 6), (ms(50), ms(50), 300)] {
        episodes(off, on, cycles);
    }
}

fn episodes(off: Duration, on: Duration, cycles: u32) {
    let mut pair = Pair::new(&[Profile::wifi(ms(2)), Profile::internet(ms(20))]);
    let switches = flap(&mut pair, off, on, cycles);
    assert!(switches <= 12, "{switches} switches");
    assert_eq!(flappings(&pair), 1, "{:?}", pair.changes(0, 0));
    pair.drive_for(ms(120_000));
    assert_eq!(pair.tier(0, 0), Tier::Good);
    flap(&mut pair, off, on, cycles);
    assert_eq!(flappings(&pair), 2, "a second episode is told again: {:?}", pair.changes(0, 0));
    pair.drive_for(ms(60_000));
    assert!(all_delivered(&pair));
}

#[test]
fn holds_grow_while_a_link_flaps() {
    let mut pair = Pair::new(&[Profile::wifi(ms(2)), Profile::internet(ms(20))]);
    let mut holds = Vec::new();
    for _ in 0..4 {
        pair.black_hole(0);
        pair.drive_till(ms(3_000), |pair| pair.tier(0, 0) >= Tier::Suspect);
        pair.heal(0);
        let healed = pair.now;
        pair.drive_till(ms(60_000), |pair| pair.tier(0, 0) == Tier::Good);
        holds.push(pair.now.since(healed).as_millis());
    }
    let least = [900, 1_900, 3_900, 7_900];
    for (hold, least) in holds.iter().zip(least) {
        assert!((least..=least * 2).contains(hold), "{holds:?}");
    }
}

#[test]
fn a_link_that_is_torn_down_and_up_again_is_held_back_and_reported() {
    let mut pair = Pair::new(&[Profile::wifi(ms(2)), Profile::internet(ms(20))]);
    let mut reported = 0;
    let mut switches = Vec::new();
    for _ in 0..20 {
        pair.up(0);
        let end = pair.now + ms(250);
        while pair.now < end {
            pair.send(0, "x", roll());
            pair.drive_for(ms(10));
        }
        switches.push(pair.nodes[0].core.counters().switches);
        reported += flappings(&pair);
        pair.down(0);
        let told = pair.nodes[0].notices.iter().filter(|(_, n)| {
            matches!(n, crate::Notice::LinkChanged { change: LinkChange::Flapping, .. })
        });
        reported = reported.max(told.count());
        for _ in 0..25 {
            pair.send(0, "x", roll());
            pair.drive_for(ms(10));
        }
    }
    assert!(*switches.last().unwrap() <= 10, "in 10 s: {switches:?}");
    assert_eq!(reported, 1);
    pair.drive_for(ms(10_000));
    assert!(all_delivered(&pair));
}

#[test]
fn only_the_sizes_that_vanish_are_rerouted_and_they_return() {
    let mut pair = Pair::new(&[Profile::wifi(ms(2)), Profile::internet(ms(20))]);
    pair.hook(0, 0, |frame, _| if frame.encoded_len() > 1_280 { Fate::Lose } else { Fate::Pass });
    let round = |pair: &mut Pair| {
        let small = pair.send(0, vec![1; 100], roll());
        let large = pair.send(0, vec![2; 20_000], roll());
        pair.drive_for(ms(200));
        [small, large].map(|ticket| match pair.outcome(0, ticket) {
            Some(Outcome::Delivered { link, .. }) => usize::from(link.link == pair.link(0, 1)),
            other => panic!("{other:?}"),
        })
    };
    for _ in 0..2 {
        assert_eq!(round(&mut pair), [0, 1], "after a timeout or two");
    }
    pair.clear();
    for _ in 0..20 {
        assert_eq!(round(&mut pair), [0, 1]);
    }
    let large =
        |wire| data_of(pair.log(0, wire)).iter().filter(|(_, _, len, _)| *len > 1_280).count();
    assert_eq!((large(0), large(1)), (0, 20), "no large one is tried in vain any more");
    let state = pair.link_state(0, 0);
    let tiers = crate::SizeBucket::ALL.map(|bucket| state.tier(bucket));
    assert_eq!(tiers, [Tier::Good, Tier::Good, Tier::Good, Tier::Suspect]);
    pair.drive_for(ms(60_000));
    assert_eq!(pair.tier(0, 0), Tier::Good, "small ones stay trusted");
    assert!(!pair.changes(0, 0).contains(&LinkChange::Down));
    pair.clear();
    pair.drive_for(ms(60_000));
    let storm: usize =
        pair.log(0, 0).iter().filter(|(_, f)| is_probe(f)).map(|(_, f)| f.encoded_len()).sum();
    assert!(storm <= 16_384 * 20, "large probes back off: {storm} bytes a minute");
    pair.heal(0);
    pair.drive_for(ms(10_000));
    assert_eq!(round(&mut pair), [0, 0], "and the large ones are back");
}

#[test]
fn a_link_that_dies_while_large_frames_are_in_doubt_is_noticed() {
    let mut pair = Pair::new(&[Profile::wifi(ms(2)), Profile::internet(ms(20))]);
    pair.hook(0, 0, |frame, _| if frame.encoded_len() > 1_280 { Fate::Lose } else { Fate::Pass });
    pair.send(0, vec![2; 20_000], roll());
    pair.send(0, vec![2; 20_000], roll());
    pair.drive_for(ms(30_000));
    assert_eq!(pair.tier(0, 0), Tier::Good);
    pair.black_hole(0);
    pair.drive_for(ms(6_000));
    assert_eq!(pair.tier(0, 0), Tier::Down);
}

#[test]
fn frame_numbers_wrap_without_notice() {
    let mut pair = Pair::apart([config(1), config(2)], &[Profile::wifi(ms(3))]);
    (0..2).for_each(|side| pair.with(side, |core, now| core.attach(ROOM, now)));
    pair.up(0);
    pair.link_state(0, 0).flights = Flights::new(u32::MAX - 20);
    pair.link_state(1, 0).flights = Flights::new(u32::MAX - 3);
    for i in 0..60u8 {
        for side in [0, 1] {
            if pair.status(side, 0).ready {
                pair.send(side, vec![i; 10], SendOptions::new(TrafficClass::Critical));
            }
        }
        pair.drive_for(ms(10));
    }
    pair.drive_for(ms(500));
    for side in [0, 1] {
        assert!(pair.link_state(side, 0).flights.next_seq() < 1_000, "it wrapped");
        assert!(pair.nodes[side].delivered.len() >= 58);
        assert_eq!(pair.changes(side, 0), []);
        let counters = pair.nodes[side].core.counters();
        assert_eq!((counters.forged_acks, counters.duplicates, counters.failovers), (0, 0, 0));
        assert_eq!(pair.status(side, 0).smoothed_rtt, Some(ms(6)));
    }
}

#[test]
fn acks_that_cannot_return_take_another_link_and_the_first_is_one_way() {
    let mut pair = Pair::new(&[Profile::wifi(ms(2)), Profile::internet(ms(20))]);
    // Data passes, nothing comes back.
    pair.hook(1, 0, |_, _| Fate::Lose);
    let mut tickets = Vec::new();
    for _ in 0..400 {
        tickets.push(pair.send(0, "x", roll()));
        pair.drive_for(ms(20));
    }
    pair.drive_for(ms(1_000));
    assert!(all_delivered(&pair));
    assert_eq!(pair.nodes[1].delivered.len(), 400, "each once");
    assert_eq!(pair.nodes[0].outcomes.len(), 400);
    assert_eq!(pair.tier(0, 0), Tier::OneWay);
    let late: Vec<_> = tickets[350..].iter().map(|t| pair.outcome(0, *t)).collect();
    let slow = |o: &Option<&Outcome>| matches!(o, Some(Outcome::Delivered { latency, .. }) if *latency > ms(60));
    assert_eq!(late.iter().filter(|o| slow(o)).count(), 0, "no timeouts any more: {late:?}");
    pair.heal(0);
    pair.drive_for(ms(10_000));
    assert_eq!(pair.tier(0, 0), Tier::Good, "and back");
}

#[test]
fn data_over_a_one_way_link_alone_is_acknowledged_over_the_other() {
    // Side 0 can only send over wire 0, side 1 only over wire 1.
    let mut pair = Pair::new(&[Profile::wifi(ms(2)), Profile::internet(ms(20))]);
    pair.hook(1, 0, |_, _| Fate::Lose);
    pair.hook(0, 1, |_, _| Fate::Lose);
    for _ in 0..100 {
        pair.send(0, "x", SendOptions::new(TrafficClass::Critical));
        pair.drive_for(ms(100));
    }
    pair.drive_for(ms(20_000));
    assert!(all_delivered(&pair));
    assert_eq!(pair.nodes[1].delivered.len(), 100);
}

#[test]
fn lost_acks_are_made_up_for_by_later_ones() {
    let mut pair = Pair::new(&[Profile::wifi(ms(3))]);
    let mut rng = fastrand::Rng::with_seed(2);
    pair.hook(1, 0, move |_, _| if rng.u8(0..10) < 3 { Fate::Lose } else { Fate::Pass });
    for _ in 0..2_000 {
        pair.send(0, "x", roll());
        pair.drive_for(ms(1));
    }
    pair.drive_for(ms(1_000));
    assert!(all_delivered(&pair));
    assert_eq!(pair.nodes[1].delivered.len(), 2_000);
    assert_eq!(pair.changes(0, 0), [], "acks were lost, not frames");
    let resent = data_of(pair.log(0, 0)).len() - 2_000;
    assert!(resent <= 20, "{resent} sent again for lost acks");
}

#[test]
fn no_message_is_acknowledged_twice_over_once_its_acks_are_known_to_arrive() {
    let mut pair = Pair::new(&[Profile::internet(ms(20)), Profile::wifi(ms(2))]);
    // Traffic stays on the slower link, whose acks first also take the faster one.
    let wait = |pair: &mut Pair| {
        pair.send_by(
            0,
            "x",
            SendOptions::new(TrafficClass::Background),
            Some(crate::FailoverPolicy::EnergyEfficient),
        )
        .unwrap();
        pair.drive_for(ms(100));
    };
    (0..10).for_each(|_| wait(&mut pair));
    let acks = |pair: &Pair, wire: usize| {
        let log = pair.log(1, wire).iter();
        log.filter(|(_, f)| matches!(f.body, Body::EndAck(_))).count()
    };
    assert_eq!((acks(&pair, 0), acks(&pair, 1)), (10, 1));
    // Now acks over the slower one vanish.
    pair.hook(1, 0, |frame, _| match frame.body {
        Body::EndAck(_) => Fate::Lose,
        _ => Fate::Pass,
    });
    pair.clear();
    (0..40).for_each(|_| wait(&mut pair));
    pair.drive_for(ms(1_000));
    assert!(all_delivered(&pair));
    assert_eq!(pair.nodes[1].delivered.len(), 40);
    let slow = pair.nodes[0]
        .outcomes
        .iter()
        .filter(|(_, _, o)| matches!(o, Outcome::Delivered { latency, .. } if *latency > ms(41)));
    let slow = slow.count();
    assert!((1..=8).contains(&slow), "acks travel alone ever more rarely: {slow} of 40 waited");
}

#[test]
fn a_probe_of_a_size_in_doubt_has_that_size_or_the_largest_of_its_link() {
    for (max_frame, large) in [(65_536, 16_384), (10_000, 10_000)] {
        let mut pair = Pair::new(&[Profile::wifi(ms(2)).max_frame(max_frame)]);
        pair.hook(0, 0, |frame, _| match frame.encoded_len() {
            8_193.. => Fate::Lose,
            _ => Fate::Pass,
        });
        pair.send(0, vec![0; 9_900], roll().deadline(ms(500)));
        pair.drive_for(ms(2_000));
        let sizes: std::collections::BTreeSet<usize> = pair
            .log(0, 0)
            .iter()
            .filter(|(_, f)| is_probe(f))
            .map(|(_, f)| f.encoded_len())
            .collect();
        assert_eq!(sizes.into_iter().collect::<Vec<_>>(), [64, large]);
    }
}

#[test]
fn what_was_not_measured_says_no_data() {
    let mut pair = Pair::apart([config(1), config(2)], &[Profile::wifi(ms(3))]);
    pair.up_at(0, 0);
    let known: Vec<&str> =
        pair.status(0, 0).inputs.iter().filter(|i| i.value.is_some()).map(|i| i.name).collect();
    assert_eq!(known, ["backlog_frames", "radio_active"], "a hello has left, nothing came");
}

#[test]
fn every_input_of_ranking_moves_with_traffic() {
    let mut pair = Pair::new(&[Profile::wifi(ms(3)).rate(50_000)]);
    let samples = |pair: &Pair| -> Vec<(&'static str, u64, bool)> {
        let inputs = pair.status(0, 0).inputs;
        inputs.iter().map(|i| (i.name, i.samples, i.value.is_some())).collect()
    };
    let before = samples(&pair);
    for _ in 0..100 {
        pair.send(0, vec![0; 100], roll());
        pair.drive_for(ms(10));
    }
    for ((name, before, _), (_, after, known)) in before.iter().zip(samples(&pair)) {
        assert!(known && after > *before, "{name}: {before} -> {after}");
    }
    let decision = pair.nodes[0].core.decisions(pair.id(1));
    assert_eq!(decision.len(), crate::bounds::DECISIONS);
    assert_eq!(decision[0].chosen, pair.link(0, 0));
    assert_eq!(decision[0].contenders().len(), 1);
    assert!(is_data(&pair.log(0, 0).iter().rev().find(|(_, f)| is_data(f)).unwrap().1));
}
