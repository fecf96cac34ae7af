//! Messages that wait: for each other, for room, for a radio, or for a newer one to replace them.

use bitcraps_types::{EnergyProfile, Microjoules, TrafficClass};
use bitcraps_wire::Body;
use bytes::Bytes;

use super::pair::{Fate, Pair, Profile, ROOM, config, data_of, is_data, ms};
use crate::config::bounds::{ORDER_KEYS, QUEUE_BYTES, QUEUE_MESSAGES, WINDOW};
use crate::{Outcome, Progress, RejectReason, SendError, SendOptions, Sought, Ticket};

fn delivered(pair: &Pair, ticket: Ticket) -> bool {
    matches!(pair.outcome(0, ticket), Some(Outcome::Delivered { .. }))
}

/// Side 0 knows side 1, and no link is up.
fn waiting(profiles: &[Profile]) -> Pair {
    let mut pair = Pair::apart([config(1), config(2)], profiles);
    pair.nodes[0].core.add_peer(pair.id(1), pair.now);
    pair.with(1, |core, now| core.attach(ROOM, now));
    pair
}

fn text(i: u32) -> Bytes {
    Bytes::from(i.to_string())
}

#[test]
fn a_peer_never_seen_is_no_route() {
    let mut pair = Pair::apart([config(1), config(2)], &[]);
    let refused = pair.try_send(0, "x", SendOptions::new(TrafficClass::Bulk));
    let (to, sought) = (pair.id(1), Sought { known: 0, network: None });
    assert_eq!(refused, Err(SendError::NoRoute { to, sought }));
}

#[test]
fn a_full_queue_refuses_at_once_and_blocks_no_other_class() {
    let mut pair = waiting(&[]);
    for full in TrafficClass::ALL {
        let mut pair = waiting(&[]);
        for _ in 0..QUEUE_MESSAGES {
            pair.send(0, "x", SendOptions::new(full));
        }
        let refused = pair.try_send(0, "x", SendOptions::new(full));
        let (class, messages, bytes) = (full, QUEUE_MESSAGES, QUEUE_MESSAGES);
        assert_eq!(refused, Err(SendError::QueueFull { class, messages, bytes }));
        for other in TrafficClass::ALL.into_iter().filter(|c| *c != full) {
            assert!(pair.try_send(0, "x", SendOptions::new(other)).is_ok());
        }
        assert_eq!(pair.nodes[0].core.peers(pair.now)[0].unsettled[full.index()], QUEUE_MESSAGES);
    }
    let options = SendOptions::new(TrafficClass::Bulk);
    let half = vec![0; QUEUE_BYTES / 2];
    pair.send(0, half.clone(), options);
    let ticket = pair.send(0, half, options);
    let refused = pair.try_send(0, "x", options);
    let (class, messages, bytes) = (TrafficClass::Bulk, 2, QUEUE_BYTES);
    assert_eq!(refused, Err(SendError::QueueFull { class, messages, bytes }));
    assert!(pair.try_send(0, "", options).is_ok(), "an empty message takes no bytes");
    pair.cancel(0, ticket);
    assert!(pair.try_send(0, "x", options).is_ok(), "there is room again");
}

#[test]
fn what_waits_leaves_in_the_order_of_service_when_a_link_comes() {
    let mut pair = waiting(&[Profile::wifi(ms(2))]);
    let classes = [
        TrafficClass::Bulk,
        TrafficClass::Background,
        TrafficClass::Critical,
        TrafficClass::Realtime,
    ];
    for class in classes {
        pair.send(0, class.name(), SendOptions::new(class));
    }
    pair.up(0);
    pair.drive_for(ms(100));
    assert_eq!(pair.payloads(1), ["realtime", "critical", "background", "bulk"]);
}

#[test]
fn a_newer_message_of_the_same_key_takes_the_place_of_one_that_waits() {
    let mut pair = waiting(&[Profile::wifi(ms(2))]);
    let state = SendOptions::new(TrafficClass::Bulk).conflated_by(7);
    let first = pair.send(0, "1", state);
    let other = pair.send(0, "other", SendOptions::new(TrafficClass::Bulk).conflated_by(8));
    let class = pair.send(0, "class", SendOptions::new(TrafficClass::Background).conflated_by(7));
    let second = pair.send(0, "2", state);
    let third = pair.send(0, "3", state);
    let superseded = Outcome::Rejected { why: RejectReason::Superseded };
    assert_eq!(pair.outcome(0, first), Some(&superseded));
    assert_eq!(pair.outcome(0, second), Some(&superseded));
    pair.up(0);
    pair.drive_for(ms(100));
    assert_eq!(pair.payloads(1), ["class", "other", "3"]);
    assert!([other, class, third].iter().all(|t| delivered(&pair, *t)));
}

#[test]
fn a_message_that_left_is_not_replaced() {
    let mut pair = Pair::new(&[Profile::wifi(ms(2))]);
    let state = SendOptions::new(TrafficClass::Bulk).conflated_by(7);
    let first = pair.send(0, "1", state);
    let second = pair.send(0, "2", state);
    pair.drive_for(ms(100));
    assert!(delivered(&pair, first) && delivered(&pair, second));
}

#[test]
fn a_full_queue_still_takes_a_replacement() {
    let mut pair = waiting(&[]);
    let state = SendOptions::new(TrafficClass::Bulk).conflated_by(7);
    pair.send(0, vec![0; QUEUE_BYTES / 2], state);
    pair.send(0, vec![0; QUEUE_BYTES / 2], SendOptions::new(TrafficClass::Bulk));
    assert!(pair.try_send(0, "x", SendOptions::new(TrafficClass::Bulk)).is_err());
    assert!(pair.try_send(0, vec![0; QUEUE_BYTES / 2], state).is_ok());
    assert!(pair.try_send(0, vec![0; QUEUE_BYTES / 2 + 1], state).is_err());
    let mut pair = waiting(&[]);
    pair.send(0, "x", state);
    for _ in 1..QUEUE_MESSAGES {
        pair.send(0, "x", SendOptions::new(TrafficClass::Bulk));
    }
    assert!(pair.try_send(0, "x", SendOptions::new(TrafficClass::Bulk)).is_err());
    assert!(pair.try_send(0, "x", state).is_ok());
}

#[test]
fn a_storm_of_replacements_leaves_no_trace_in_the_queue() {
    let mut pair = waiting(&[Profile::wifi(ms(2))]);
    let state = SendOptions::new(TrafficClass::Bulk).conflated_by(7);
    for i in 0..10_000 {
        pair.send(0, text(i), state);
    }
    assert!(pair.nodes[0].core.peers[0].outgoing[TrafficClass::Bulk.index()].queue.len() <= 66);
    pair.up(0);
    pair.drive_for(ms(100));
    assert_eq!(pair.payloads(1), [text(9_999)]);
}

#[test]
fn messages_of_one_key_arrive_in_order_one_a_round_trip() {
    let mut pair = Pair::new(&[Profile::wifi(ms(3)), Profile::internet(ms(20))]);
    let mut rng = fastrand::Rng::with_seed(1);
    pair.hook(0, 0, move |frame, _| match is_data(frame) && rng.u8(0..3) == 0 {
        true if rng.bool() => Fate::Lose,
        true => Fate::Late(ms(rng.u64(0..60))),
        false => Fate::Pass,
    });
    let options = SendOptions::new(TrafficClass::Critical).ordered_by(5);
    let sent: Vec<Bytes> = (0..60).map(text).collect();
    for payload in &sent {
        pair.send(0, payload.clone(), options);
    }
    let free = pair.send(0, "free", SendOptions::new(TrafficClass::Critical).ordered_by(6));
    pair.drive_for(ms(150));
    assert!(delivered(&pair, free), "another key does not wait");
    pair.drive_for(ms(60_000));
    let got: Vec<Bytes> = pair.payloads(1).into_iter().filter(|p| p != "free").collect();
    assert_eq!(got, sent);
    let core = &pair.nodes[0].core;
    assert!(core.peers[0].outgoing[TrafficClass::Critical.index()].gates.is_empty());
}

#[test]
fn a_successor_leaves_when_its_predecessor_is_settled_in_whatever_way() {
    let ordered = SendOptions::new(TrafficClass::Background).ordered_by(5);
    // The predecessor is cancelled, or its time is up, or its copy comes late.
    for way in 0..4 {
        let mut pair = Pair::new(&[Profile::wifi(ms(3))]);
        pair.hook(0, 0, move |frame, _| match &frame.body {
            Body::Data(data) if data.sequence == 0 && way == 2 => Fate::Late(ms(80)),
            Body::Data(data) if data.sequence == 0 => Fate::Lose,
            _ => Fate::Pass,
        });
        let first = pair.send(0, "1", ordered.deadline(ms(50)));
        let waits = pair.send(0, "2", ordered);
        let third = pair.send(0, "3", ordered);
        pair.drive_for(ms(5));
        assert_eq!(data_of(pair.log(0, 0)).len(), 1);
        assert_eq!(pair.nodes[0].core.progress(waits), Some(Progress::Queued));
        match way {
            0 => {
                pair.cancel(0, first);
                assert_eq!(data_of(pair.log(0, 0)).len(), 2, "the next leaves at once");
            }
            1 => {}
            2 => {}
            _ => pair.cancel(0, waits),
        }
        pair.drive_for(ms(500));
        assert!(matches!(pair.outcome(0, first), Some(Outcome::Unknown { .. })), "way {way}");
        assert!(delivered(&pair, third), "way {way}");
        let expected: &[&str] = if way == 3 { &["3"] } else { &["2", "3"] };
        assert_eq!(pair.payloads(1), expected, "way {way}");
        let cancelled = Outcome::Rejected { why: RejectReason::Cancelled };
        assert_eq!(pair.outcome(0, waits) == Some(&cancelled), way == 3);
    }
}

#[test]
fn successors_that_expire_in_the_queue_do_not_hold_up_the_rest() {
    let mut pair = waiting(&[Profile::wifi(ms(2))]);
    let ordered = SendOptions::new(TrafficClass::Background).ordered_by(5);
    let short: Vec<Ticket> =
        (0..3).map(|i| pair.send(0, text(i), ordered.deadline(ms(10)))).collect();
    let long = pair.send(0, "long", ordered);
    pair.drive_for(ms(20));
    let expired = Outcome::Expired { tried: Vec::new() };
    assert!(short.iter().all(|t| pair.outcome(0, *t) == Some(&expired)));
    pair.up(0);
    pair.drive_for(ms(100));
    assert!(delivered(&pair, long));
}

#[test]
fn ordering_keys_are_bounded() {
    let mut pair = waiting(&[]);
    let options = SendOptions::new(TrafficClass::Critical);
    for key in 0..ORDER_KEYS as u64 {
        pair.send(0, "x", options.ordered_by(key));
    }
    let refused = pair.try_send(0, "x", options.ordered_by(u64::MAX));
    assert!(matches!(refused, Err(SendError::QueueFull { .. })));
    assert!(pair.try_send(0, "x", options.ordered_by(0)).is_ok());
    assert!(pair.try_send(0, "x", options).is_ok());
}

#[test]
fn messages_wait_while_the_oldest_number_is_a_window_behind() {
    let mut pair = Pair::new(&[Profile::wifi(ms(1))]);
    let mut held = true;
    let release = pair.now + ms(20_000);
    pair.hook(0, 0, move |frame, now| match &frame.body {
        Body::Data(data) if data.sequence == 0 && data.class == TrafficClass::Background => {
            held &= now < release;
            if held { Fate::Lose } else { Fate::Pass }
        }
        _ => Fate::Pass,
    });
    let options = SendOptions::new(TrafficClass::Background);
    let first = pair.send(0, "first", options);
    for i in 1..WINDOW as u32 {
        pair.send(0, text(i), options);
        if i % 100 == 0 {
            pair.drive_for(ms(5));
        }
    }
    pair.drive_for(ms(100));
    assert_eq!(pair.nodes[1].delivered.len() as u64, WINDOW - 1);
    let waits = pair.send(0, "waits", options);
    let other = pair.send(0, "other", SendOptions::new(TrafficClass::Critical));
    pair.drive_for(ms(1_000));
    assert_eq!(pair.nodes[0].core.progress(waits), Some(Progress::Queued));
    assert!(delivered(&pair, other), "another class has its own numbers");
    pair.drive_until(release);
    pair.drive_for(ms(2_000));
    assert!(delivered(&pair, first) && delivered(&pair, waits));
    assert_eq!(pair.nodes[1].delivered.len() as u64, WINDOW + 2);
}

#[test]
fn a_message_waits_for_a_radio_it_can_afford() {
    let profile = Profile::internet(ms(5)).energy(EnergyProfile::CELLULAR);
    let mut pair = Pair::new(&[profile]);
    pair.drive_for(ms(20_000));
    let options = SendOptions::new(TrafficClass::Background).energy_cap(Microjoules(1_000_000));
    let ticket = pair.send(0, "x", options);
    pair.drive_for(ms(5_000));
    assert_eq!(pair.nodes[0].core.progress(ticket), Some(Progress::Queued));
    let rich = pair.send(0, "y", SendOptions::new(TrafficClass::Background));
    pair.drive_for(ms(200));
    assert!(delivered(&pair, rich) && delivered(&pair, ticket), "the radio is awake now");
}

#[test]
fn a_cap_moves_a_message_to_a_cheaper_link() {
    let lte = Profile::wifi(ms(1)).energy(EnergyProfile::CELLULAR);
    let mut pair =
        Pair::new(&[lte, Profile::bluetooth(ms(30)).energy(EnergyProfile::BLUETOOTH_LE)]);
    pair.drive_for(ms(20_000));
    pair.clear();
    let options = SendOptions::new(TrafficClass::Realtime).max_copies(1);
    // 100 µJ a frame and 900 nJ for each of 100 bytes.
    for (cap, wire) in [(190, Some(1)), (189, None)] {
        let ticket = pair.send(0, vec![0; 100], options.energy_cap(Microjoules(cap)));
        pair.drive_for(ms(140));
        let used = (0..2).find(|wire| !data_of(pair.log(0, *wire)).is_empty());
        assert_eq!(used, wire, "cap of {cap} µJ");
        assert_eq!(delivered(&pair, ticket), wire.is_some());
        pair.clear();
    }
}

#[test]
fn chat_waits_for_the_cheap_radio_and_bets_do_not() {
    let ble = Profile::bluetooth(ms(10)).rate(100).energy(EnergyProfile::BLUETOOTH_LE);
    let lte = Profile::internet(ms(5)).energy(EnergyProfile::CELLULAR);
    let mut pair = Pair::new(&[ble, lte]);
    pair.drive_for(ms(20_000));
    pair.clear();
    for _ in 0..10 {
        pair.send(0, vec![0; 900], SendOptions::new(TrafficClass::Background));
    }
    pair.drive_for(ms(5_000));
    assert_eq!(pair.nodes[1].delivered.len(), 10);
    assert_eq!(data_of(pair.log(0, 1)), [], "the sleeping radio was not woken");
}

#[test]
fn energy_counts_only_when_it_is_configured_to() {
    let ble = Profile::bluetooth(ms(10)).energy(EnergyProfile::BLUETOOTH_LE);
    let wifi = Profile::wifi(ms(2)).energy(EnergyProfile::WIFI);
    // Large for the rule of the seed; asleep, Wi-Fi costs more.
    for (aware, wire) in [(true, 0), (false, 1)] {
        let mut configs = [config(1), config(2)];
        configs.iter_mut().for_each(|c| c.energy_aware = aware);
        let mut pair = Pair::configured(configs, &[ble, wifi]);
        pair.drive_for(ms(333));
        pair.clear();
        // After a probe or none: no radio was active within its tail.
        pair.drive_till(ms(3_000), |pair| {
            let active = pair.nodes[0].core.peers[0].links[1].active_at();
            aware == active.is_none_or(|at| pair.now.since(at) > ms(300))
        });
        pair.send(0, vec![0; 1_500], SendOptions::new(TrafficClass::Background));
        pair.drive_for(ms(500));
        assert_ne!(data_of(pair.log(0, wire)), [], "aware: {aware}");
        assert_eq!(data_of(pair.log(0, 1 - wire)), [], "aware: {aware}");
    }
}

#[test]
fn cancelling_ends_what_waits_and_what_left() {
    let mut pair = waiting(&[Profile::wifi(ms(3))]);
    let waits = pair.send(0, "x", SendOptions::new(TrafficClass::Critical));
    pair.cancel(0, waits);
    let cancelled = Outcome::Rejected { why: RejectReason::Cancelled };
    assert_eq!(pair.outcome(0, waits), Some(&cancelled));
    pair.up(0);
    pair.drive_for(ms(100));
    assert!(pair.payloads(1).is_empty());
    let left = pair.send(0, "y", SendOptions::new(TrafficClass::Critical));
    pair.cancel(0, left);
    assert!(matches!(pair.outcome(0, left), Some(Outcome::Unknown { .. })));
    pair.cancel(0, left);
    pair.drive_for(ms(100));
    assert_eq!(pair.nodes[0].outcomes.len(), 2);
    let done = pair.send(0, "z", SendOptions::new(TrafficClass::Critical));
    pair.drive_for(ms(100));
    pair.cancel(0, done);
    assert!(delivered(&pair, done), "too late to cancel");
}

#[test]
fn shutting_down_ends_everything_and_takes_nothing_more() {
    let mut pair = Pair::new(&[Profile::wifi(ms(3))]);
    let options = SendOptions::new(TrafficClass::Critical).max_copies(1);
    let left = pair.send(0, "left", options);
    let ordered = options.ordered_by(1);
    let chain = [(); 3].map(|()| pair.send(0, "chain", ordered));
    pair.wires[0].lanes[0].stalled = true;
    let bulk = pair.send(0, vec![0; 500_000], SendOptions::new(TrafficClass::Bulk));
    pair.with(0, |core, now| core.shut_down(now));
    let shut = Outcome::Rejected { why: RejectReason::ShutDown };
    assert!(matches!(pair.outcome(0, left), Some(Outcome::Unknown { .. })));
    assert!(matches!(pair.outcome(0, chain[0]), Some(Outcome::Unknown { .. })));
    assert_eq!([chain[1], chain[2], bulk].map(|t| pair.outcome(0, t) == Some(&shut)), [true; 3]);
    assert_eq!(pair.try_send(0, "x", options), Err(SendError::ShutDown));
    pair.drive_for(ms(1_000));
    assert_eq!(pair.nodes[0].outcomes.len(), 5, "each exactly once");
    let core = &pair.nodes[0].core;
    assert_eq!((core.unsettled(), core.node_bytes), (0, 0));
    let outgoing = &core.peers[0].outgoing;
    assert!(outgoing.iter().all(|o| o.messages == 0 && o.bytes == 0 && o.gates.is_empty()));
}

#[test]
fn links_of_equal_capacity_share_bulk_equally() {
    let profile = Profile::wifi(ms(2)).rate(10_000);
    let mut pair = Pair::new(&[profile, profile]);
    for i in 0..400 {
        pair.send(0, vec![0; 900], SendOptions::new(TrafficClass::Bulk));
        if i % 4 == 3 {
            pair.drive_for(ms(2));
        }
    }
    pair.drive_for(ms(1_000));
    assert_eq!(pair.nodes[1].delivered.len(), 400);
    let counts = [0, 1].map(|wire| data_of(pair.log(0, wire)).len());
    assert!(counts.iter().all(|n| (160..=240).contains(n)), "{counts:?}");
    assert_eq!(pair.nodes[0].core.counters().switches, 0, "sharing is no change of mind");
}
