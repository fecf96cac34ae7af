//! Frames that overtake each other, and numbers that run out.

use std::collections::BTreeMap;

use bitcraps_coordinator::{SendOptions, bounds};
use bitcraps_sim::{Fate, LinkModel, Message, NodeId, SimLink, Simulation, Way};
use bitcraps_types::{TrafficClass, TransportType};
use bitcraps_wire::{Body, Frame};

use super::scene::{MS, SECOND, changes, data_sent, each_seed, settle, single, status, transit};

fn wifi() -> LinkModel {
    LinkModel::perfect(TransportType::WiFiDirect)
}

/// Two nodes and one link; the first never sends anything again, so that what comes late comes for
/// the first time. Its first message is delayed by `seconds`.
fn delayed_first(seed: u64, seconds: u32) -> (Simulation, NodeId, NodeId, SimLink) {
    let mut sim = Simulation::new(seed);
    let a = sim.add_node_with(|setup| setup.config.resend = false);
    let b = sim.add_node();
    let link = sim.add_link(a, b, wifi());
    sim.run_for(SECOND);
    let mut first = true;
    sim.rule(link, Way::From(a), move |passing| {
        let delayed = first && passing.bears_data();
        first &= !delayed;
        if delayed { Fate::Delay(SECOND * seconds) } else { Fate::Pass }
    });
    (sim, a, b, link)
}

#[test]
fn fault_21_overtaken_by_10_000_or_for_30_s_inside_the_window_is_delivered_once() {
    for (others, each, seconds) in [(10_000, MS, 11), (300, 100 * MS, 30)] {
        each_seed(|seed| {
            let (mut sim, a, b, _) = delayed_first(seed, seconds);
            let options = single(TrafficClass::Critical);
            let first = sim.send(a, b, 100, options, None);
            let from = sim.now();
            for i in 1..=others {
                sim.send_at(from + each * i, a, b, 100, options, None);
            }
            settle(&mut sim);
            assert!(sim.messages().iter().all(Message::is_delivered));
            assert!(transit(&sim, first).unwrap() >= SECOND * seconds);
            let place = sim
                .app(b)
                .delivered()
                .iter()
                .position(|d| d.delivery.payload == sim.message(first).payload);
            assert_eq!(place, Some(others as usize).filter(|_| seconds == 11).or(place));
            assert!(place.unwrap() >= 299, "{place:?} came before it");
        });
    }
}

#[test]
fn fault_21_what_comes_after_the_window_moved_on_is_refused() {
    each_seed(|seed| {
        let (mut sim, a, b, _) = delayed_first(seed, 30);
        // Its sender gave it up after 5 s, and went on.
        let options = single(TrafficClass::Critical);
        let first = sim.send(a, b, 100, options.deadline(5 * SECOND), None);
        let from = sim.now();
        let others = bounds::WINDOW as u32 + 1_000;
        for i in 1..=others {
            sim.send_at(from + MS * i, a, b, 100, options, None);
        }
        sim.run_for(29 * SECOND);
        let before = sim.core(b).unwrap().counters();
        assert_eq!(before.delivered, u64::from(others));
        sim.run_for(2 * SECOND);
        let after = sim.core(b).unwrap().counters();
        assert_eq!((after.too_old, after.delivered), (before.too_old + 1, before.delivered));
        settle(&mut sim);
        assert_eq!(transit(&sim, first), None);
    });
}

#[test]
fn fault_21_ordered_keys_stay_in_order_while_everything_else_overtakes() {
    const KEYS: u64 = 4;
    each_seed(|seed| {
        let mut sim = Simulation::new(seed);
        let (a, b) = (sim.add_node(), sim.add_node());
        let wild = wifi().jitter(100 * MS).reordering();
        sim.add_link(a, b, wild.loss(0.05).duplication(0.05));
        sim.run_for(2 * SECOND);
        let from = sim.now();
        let ordered: Vec<_> = (0..400u32)
            .map(|i| {
                let options = single(TrafficClass::Critical).ordered_by(u64::from(i) % KEYS);
                sim.send_at(from + 20 * MS * i, a, b, 100, options, None)
            })
            .collect();
        for i in 0..400 {
            sim.send_at(from + 20 * MS * i, a, b, 100, single(TrafficClass::Background), None);
        }
        settle(&mut sim);
        assert!(ordered.iter().all(|id| sim.message(*id).is_delivered()));
        let place: BTreeMap<_, _> = sim
            .app(b)
            .delivered()
            .iter()
            .enumerate()
            .map(|(place, record)| (record.delivery.payload.clone(), place))
            .collect();
        let places: Vec<usize> =
            ordered.iter().map(|id| place[&sim.message(*id).payload]).collect();
        for key in 0..KEYS as usize {
            let of_key: Vec<usize> =
                places.iter().skip(key).step_by(KEYS as usize).copied().collect();
            assert!(of_key.is_sorted(), "key {key}: {of_key:?}");
        }
        let free = sim.app(b).delivered().iter().map(|d| &d.delivery);
        let free: Vec<u64> =
            free.filter(|d| d.class() == TrafficClass::Background).map(|d| d.id.sequence).collect();
        assert!(!free.is_sorted(), "the network did reorder");
    });
}

/// A seed that makes a node number the frames of its first link from less than `below` under the
/// end of the numbers.
fn seed_near_the_end(from: u64, below: u32) -> u64 {
    let begins = |seed: &u64| fastrand::Rng::with_seed(*seed).u64(..) as u32;
    (from << 40..).find(|seed| begins(seed) > u32::MAX - below).unwrap()
}

#[test]
fn fault_41_frame_numbers_wrap_without_a_trace() {
    each_seed(|seed| {
        let mut sim = Simulation::new(seed);
        let wrapping = seed_near_the_end(seed, 300);
        let a = sim.add_node_with(|setup| setup.config.seed = wrapping);
        let b = sim.add_node();
        let link = sim.add_link(a, b, wifi());
        sim.record(link, a);
        sim.add_link(a, b, wifi().latency(20 * MS));
        sim.run_for(SECOND);
        let from = sim.now();
        for i in 0..2_000 {
            sim.send_at(from + MS * i, a, b, 100, single(TrafficClass::Realtime), None);
        }
        settle(&mut sim);
        let frames = sim.recorded(link, a).iter().map(|r| Frame::decode(r.frame.clone()).unwrap());
        let numbered = frames.filter(|f| matches!(f.body, Body::Data(_) | Body::Probe(_)));
        let numbers: Vec<u32> = numbered.map(|frame| frame.header.link_seq).collect();
        let steps = numbers.windows(2).filter(|two| two[1] != two[0].wrapping_add(1));
        assert_eq!(steps.count(), 0);
        assert!(numbers.contains(&u32::MAX) && numbers.contains(&0));
        assert_eq!(data_sent(&sim, link, a).len(), 2_000, "each left once, over the faster link");
        assert!(sim.messages().iter().all(Message::is_delivered));
        assert_eq!(status(&sim, a, link).metrics.failure_count, 0);
        assert_eq!(changes(&sim, a, link), []);
        let counters = sim.core(a).unwrap().counters();
        assert_eq!((counters.forged_acks, counters.late_acks, counters.failovers), (0, 0, 0));
    });
}

#[test]
fn fault_21_a_storm_of_reordering_delivers_everything_once() {
    each_seed(|seed| {
        let mut sim = Simulation::new(seed);
        let (a, b) = (sim.add_node(), sim.add_node());
        sim.add_link(a, b, wifi().jitter(2 * SECOND).reordering());
        sim.run_for(10 * SECOND);
        let from = sim.now();
        for i in 0..2_000 {
            let options = SendOptions::new(TrafficClass::Critical);
            sim.send_at(from + MS * i, a, b, 100, options, None);
        }
        settle(&mut sim);
        assert!(sim.messages().iter().all(Message::is_delivered));
        assert_eq!(sim.app(b).delivered().len(), 2_000);
    });
}
