//! Links fail, loudly and silently.

use std::time::Duration;

use bitcraps_types::{Timestamp, TrafficClass};
use bitcraps_wire::{Body, Frame};

use super::pair::{Fate, Pair, Profile, config, data_of, is_data, ms};
use crate::{
    FailoverPolicy, LinkChange, Notice, Outcome, SendOptions, Tier, TransmitFailure, TriedLink,
};

/// Wi-Fi of 2 ms and a slower way of 20 ms. After two seconds of probes the first one's timeout is
/// at its floor of 10 ms.
fn two() -> Pair {
    Pair::new(&[Profile::wifi(ms(2)), Profile::internet(ms(20))])
}

/// Sent once on the fastest link.
fn plain() -> SendOptions {
    SendOptions::new(TrafficClass::Realtime).max_copies(1).deadline(ms(60_000))
}

fn delivered_over(pair: &Pair, ticket: crate::Ticket) -> Option<(Timestamp, TriedLink, u16)> {
    match pair.settled(0, ticket)? {
        (at, Outcome::Delivered { link, attempts, .. }) => Some((at, *link, *attempts)),
        _ => None,
    }
}

/// When data left over a wire, from `start`.
fn departures(pair: &Pair, wire: usize, start: Timestamp) -> Vec<Duration> {
    let data = pair.log(0, wire).iter().filter(|(_, f)| is_data(f));
    data.map(|(at, _)| at.since(start)).collect()
}

fn is_probe(frame: &Frame) -> bool {
    matches!(frame.body, Body::Probe(_))
}

#[test]
fn a_black_hole_costs_one_timeout_and_the_way_over_the_next_link() {
    let mut pair = two();
    pair.black_hole(0);
    let sent = pair.now;
    let ticket = pair.send(0, "x", plain());
    pair.drive_for(ms(200));
    assert_eq!(departures(&pair, 0, sent), [ms(0)]);
    assert_eq!(departures(&pair, 1, sent), [ms(10)]);
    assert_eq!(pair.nodes[1].delivered[0].0, sent + ms(10) + ms(20));
    let (at, link, attempts) = delivered_over(&pair, ticket).unwrap();
    assert_eq!((at, link.link, attempts), (sent + ms(50), pair.link(0, 1), 2));
    let notice = Notice::Failover {
        peer: pair.id(1),
        class: TrafficClass::Realtime,
        from: pair.link(0, 0),
        to: pair.link(0, 1),
        after: ms(10),
    };
    assert_eq!(pair.nodes[0].notices.iter().filter(|(_, n)| *n == notice).count(), 1);
    assert_eq!(pair.status(0, 0).metrics.failover_count, 1);
    assert_eq!(pair.status(0, 0).metrics.failure_count, 1);
    assert_eq!(pair.status(0, 0).metrics.success_count, 0);
    assert_eq!(pair.status(0, 1).metrics.success_count, 1);
}

#[test]
fn the_timer_starts_when_the_last_byte_left() {
    // 1,000 bytes at 1 Mbit/s leave within 8 ms, the frames before it within 24.
    let mut pair = Pair::new(&[Profile::wifi(ms(2)).rate(1_000), Profile::internet(ms(20))]);
    pair.black_hole(0);
    let sent = pair.now;
    let options = plain();
    for _ in 0..3 {
        pair.send(0, vec![0; 949], options);
    }
    pair.drive_for(ms(100));
    let timeout = pair.nodes[0].core.peers[0].links[0].timeout(crate::SizeBucket::Packet);
    let over: Vec<Duration> = departures(&pair, 1, sent);
    assert_eq!(over[0], ms(8) + timeout, "{over:?}");
}

#[test]
fn an_ack_that_comes_late_credits_the_link_that_carried_the_copy() {
    let mut pair = two();
    pair.hook(0, 0, |frame, _| if is_data(frame) { Fate::Late(ms(15)) } else { Fate::Pass });
    let ticket = pair.send(0, "x", plain());
    pair.drive_for(ms(200));
    let (_, link, attempts) = delivered_over(&pair, ticket).unwrap();
    assert_eq!((link.link, attempts), (pair.link(0, 0), 2));
    assert_eq!(pair.nodes[1].delivered.len(), 1);
}

#[test]
fn one_expiry_is_chance_and_two_are_suspect() {
    for (lost, tier) in [(1, Tier::Good), (2, Tier::Suspect)] {
        let mut pair = Pair::new(&[Profile::wifi(ms(2))]);
        let mut left = lost;
        pair.hook(0, 0, move |frame, _| {
            if is_data(frame) && left > 0 {
                left -= 1;
                return Fate::Lose;
            }
            Fate::Pass
        });
        let ticket = pair.send(0, "x", plain());
        pair.drive_for(ms(45));
        assert!(delivered_over(&pair, ticket).is_some());
        assert_eq!(pair.tier(0, 0), tier, "{lost} lost");
        assert_eq!(pair.changes(0, 0).len(), lost - 1);
    }
}

#[test]
fn two_lost_probes_are_suspect_and_three_are_down() {
    for (lost, expected) in [
        (2, [LinkChange::Suspect].as_slice()),
        (3, [LinkChange::Suspect, LinkChange::Down].as_slice()),
    ] {
        let mut pair = Pair::new(&[Profile::wifi(ms(2))]);
        let mut left = lost;
        pair.hook(0, 0, move |frame, _| {
            if is_probe(frame) && left > 0 {
                left -= 1;
                return Fate::Lose;
            }
            Fate::Pass
        });
        pair.drive_for(ms(900));
        assert_eq!(pair.changes(0, 0), expected, "{lost} lost");
        pair.drive_for(ms(5_000));
        assert_eq!(pair.changes(0, 0).last(), Some(&LinkChange::Recovered));
        assert_eq!(pair.tier(0, 0), Tier::Good);
    }
}

#[test]
fn a_link_that_answers_nothing_is_probed_ever_more_rarely() {
    let mut pair = Pair::new(&[Profile::wifi(ms(2))]);
    pair.black_hole(0);
    pair.drive_for(ms(60_000));
    assert_eq!(pair.changes(0, 0), [LinkChange::Suspect, LinkChange::Down]);
    let probes: Vec<Timestamp> =
        pair.log(0, 0).iter().filter(|(_, f)| is_probe(f)).map(|(at, _)| *at).collect();
    let gaps: Vec<Duration> = probes.windows(2).map(|w| w[1].since(w[0])).collect();
    assert!(gaps.iter().all(|gap| *gap <= ms(6_300)), "{gaps:?}");
    assert!(gaps.iter().rev().take(5).all(|gap| *gap >= ms(3_750)), "{gaps:?}");
    assert!((12..=25).contains(&probes.len()), "{} probes a minute", probes.len());
    pair.heal(0);
    pair.drive_for(ms(9_000));
    assert_eq!(pair.changes(0, 0).last(), Some(&LinkChange::Recovered));
}

#[test]
fn the_only_link_is_tried_again_with_doubling_timeouts_up_to_a_second() {
    let mut pair = Pair::new(&[Profile::wifi(ms(2))]);
    pair.black_hole(0);
    let sent = pair.now;
    let ticket = pair.send(0, "x", plain().deadline(ms(5_000)));
    pair.drive_for(ms(5_000));
    let steps = [10, 20, 40, 80, 160, 320, 640, 1_000, 1_000, 1_000];
    let mut at = 0;
    let mut expected = vec![ms(0)];
    for step in steps {
        at += step;
        expected.push(ms(at));
    }
    expected.retain(|at| *at < ms(5_000));
    assert_eq!(departures(&pair, 0, sent), expected);
    assert!(matches!(pair.outcome(0, ticket), Some(Outcome::Unknown { .. })));
}

#[test]
fn retries_draw_on_a_budget() {
    for (class, at_once) in [(TrafficClass::Background, 20), (TrafficClass::Critical, 70)] {
        let mut pair = Pair::new(&[Profile::wifi(ms(2))]);
        pair.black_hole(0);
        let sent = pair.now;
        let options = SendOptions::new(class).max_copies(1);
        let count = 150;
        for _ in 0..count {
            pair.send(0, "x", options);
        }
        pair.drive_for(ms(25));
        let again = departures(&pair, 0, sent).len() - count;
        assert!((at_once..=at_once + 1).contains(&again), "{class}: {again} at once");
        pair.drive_for(ms(975));
        let again = departures(&pair, 0, sent).len() - count;
        assert!((at_once + 9..=at_once + 10).contains(&again), "{class}: {again} in a second");
        assert!(pair.nodes[0].core.counters().budget_waits > 0);
        assert_eq!(pair.nodes[0].outcomes, [], "they wait, they do not fail");
        pair.heal(0);
        pair.drive_for(ms(25_000));
        assert_eq!(pair.nodes[1].delivered.len(), count, "{class}");
    }
}

#[test]
fn sends_earn_a_fifth_of_a_retry_each() {
    let mut pair = two();
    let budget = |pair: &mut Pair, tokens| {
        let now = pair.now;
        pair.nodes[0].core.peers[0].retries.has(tokens, 0.0, now)
    };
    assert!(pair.nodes[0].core.peers[0].retries.take(20.0, 0.0, pair.now));
    for _ in 0..10 {
        pair.send(0, "x", plain());
    }
    assert!(budget(&mut pair, 1.999) && !budget(&mut pair, 2.001));
}

#[test]
fn what_a_driver_refuses_goes_over_the_next_link_at_once_and_free_of_charge() {
    for refusal in [TransmitFailure::Full, TransmitFailure::Closed] {
        let mut pair = two();
        pair.wires[0].lanes[0].refuses = Some(refusal);
        assert!(pair.nodes[0].core.peers[0].retries.take(20.0, 0.0, pair.now));
        let sent = pair.now;
        let ticket = pair.send(0, "x", plain());
        pair.drive_for(ms(100));
        assert_eq!(departures(&pair, 0, sent), []);
        assert_eq!(departures(&pair, 1, sent), [ms(0)], "{refusal:?}");
        let (at, link, _) = delivered_over(&pair, ticket).unwrap();
        // The ack also takes the other, faster link, as long as none was seen to arrive by this one.
        assert_eq!((at, link.link), (sent + ms(22), pair.link(0, 1)));
        let suspect = pair.changes(0, 0).contains(&LinkChange::Suspect);
        assert_eq!(suspect, refusal == TransmitFailure::Closed);
    }
}

#[test]
fn a_frame_that_is_too_big_is_cut_for_the_same_link() {
    let mut pair = two();
    pair.wires[0].lanes[0].refuses = Some(TransmitFailure::TooBig { max: 300 });
    let sent = pair.now;
    let peer = pair.id(1);
    let now = pair.now;
    let core = &mut pair.nodes[0].core;
    core.send(peer, vec![5; 900].into(), plain(), None, now).unwrap();
    // The first frame is refused, the rest is taken.
    let command = core.poll_command();
    let Some(crate::Command::Transmit { link, seq, .. }) = command else {
        panic!("{command:?}");
    };
    core.transmit_failed(link, seq, TransmitFailure::TooBig { max: 300 }, now);
    pair.wires[0].lanes[0].refuses = None;
    pair.with(0, |_, _| ());
    pair.drive_for(ms(50));
    let most = 300 - Frame::DATA_OVERHEAD;
    let sizes: Vec<usize> = data_of(pair.log(0, 0)).iter().map(|(_, _, len, _)| *len).collect();
    assert_eq!(sizes, [most, most, most, 900 - 3 * most]);
    assert_eq!(pair.payloads(1), [vec![5; 900]]);
    assert_eq!(pair.nodes[0].outcomes[0].0, sent + ms(4));
}

#[test]
fn a_driver_that_contradicts_itself_is_not_asked_for_ever() {
    for max in [0, 100, 255, 10_000] {
        let mut pair = Pair::new(&[Profile::wifi(ms(2))]);
        pair.wires[0].lanes[0].refuses = Some(TransmitFailure::TooBig { max });
        let ticket = pair.send(0, vec![5; 900], plain().deadline(ms(1_000)));
        pair.drive_for(ms(500));
        assert_eq!(pair.outcome(0, ticket), None);
        pair.wires[0].lanes[0].refuses = None;
        pair.drive_for(ms(50));
        assert!(delivered_over(&pair, ticket).is_some(), "max {max}");
    }
}

#[test]
fn a_message_that_every_driver_refused_is_tried_again_soon() {
    for refusal in [TransmitFailure::Full, TransmitFailure::Closed] {
        let mut pair = two();
        for wire in [0, 1] {
            pair.wires[wire].lanes[0].refuses = Some(refusal);
        }
        let small = pair.send(0, "x", plain());
        let large = pair.send(0, vec![1; 200_000], plain());
        pair.drive_for(ms(500));
        assert_eq!(pair.nodes[0].outcomes, []);
        for wire in [0, 1] {
            pair.wires[wire].lanes[0].refuses = None;
        }
        pair.drive_for(ms(200));
        assert!(delivered_over(&pair, small).is_some(), "{refusal:?}");
        assert!(delivered_over(&pair, large).is_some(), "{refusal:?}");
        assert_eq!(pair.nodes[1].delivered.len(), 2);
    }
}

#[test]
fn a_link_that_goes_down_gives_its_messages_back_at_once() {
    let mut pair = two();
    pair.black_hole(0);
    let sent = pair.now;
    let tickets = [(); 5].map(|()| pair.send(0, "x", plain()));
    pair.drive_for(ms(5));
    pair.down(0);
    pair.drive_for(ms(100));
    assert_eq!(departures(&pair, 1, sent), [ms(5); 5]);
    for ticket in tickets {
        let (at, link, attempts) = delivered_over(&pair, ticket).unwrap();
        assert_eq!((at, link.link, attempts), (sent + ms(45), pair.link(0, 1), 2));
    }
    let retries = &mut pair.nodes[0].core.peers[0].retries;
    assert!(retries.has(20.0, 0.0, pair.now), "no retry was paid for");
}

#[test]
fn messages_wait_for_the_next_link_when_the_last_one_goes() {
    let mut pair = Pair::new(&[Profile::wifi(ms(2))]);
    pair.black_hole(0);
    let ticket = pair.send(0, "x", plain());
    pair.drive_for(ms(5));
    pair.down(0);
    pair.drive_for(ms(1_000));
    let up = pair.now;
    pair.up(0);
    pair.drive_for(ms(100));
    let (at, _, attempts) = delivered_over(&pair, ticket).unwrap();
    assert!(at <= up + ms(15) && attempts == 2, "{at:?}, {attempts} attempts");
}

#[test]
fn without_failover_a_message_stays_where_it_was() {
    let mut configs = [config(1), config(2)];
    configs[0].auto_failover = false;
    let profiles = [Profile::wifi(ms(2)), Profile::internet(ms(20))];
    for class in [TrafficClass::Realtime, TrafficClass::Critical] {
        let mut pair = Pair::configured(configs.clone(), &profiles);
        pair.black_hole(0);
        let options = SendOptions::new(class).deadline(ms(2_000));
        let fastest = Some(FailoverPolicy::FastestFirst);
        let ticket = pair.send_by(0, "x", options, fastest).unwrap();
        pair.drive_for(ms(1_000));
        assert!(data_of(pair.log(0, 0)).len() > 3);
        assert_eq!(data_of(pair.log(0, 1)), [], "{class}");
        pair.down(0);
        pair.drive_for(ms(100));
        assert!(delivered_over(&pair, ticket).is_some(), "its link is gone, so it may move");
    }
}

#[test]
fn without_resending_a_lost_message_is_lost() {
    let mut configs = [config(1), config(2)];
    configs[0].resend = false;
    let mut pair = Pair::configured(configs, &[Profile::wifi(ms(2)), Profile::internet(ms(20))]);
    pair.black_hole(0);
    let ticket = pair.send(0, "x", plain().deadline(ms(1_000)));
    pair.drive_for(ms(2_000));
    assert!(matches!(pair.outcome(0, ticket), Some(Outcome::Unknown { .. })));
    assert!(pair.payloads(1).is_empty(), "the verdict can fail");
}

#[test]
fn traffic_leaves_a_suspect_link_and_returns_after_its_hold() {
    let mut pair = two();
    pair.black_hole(0);
    for _ in 0..20 {
        pair.send(0, "x", plain());
        pair.drive_for(ms(50));
    }
    assert!(pair.tier(0, 0) >= Tier::Suspect);
    let before = data_of(pair.log(0, 0)).len();
    assert!(before <= 3, "two expiries are enough: {before} were sent into it");
    pair.heal(0);
    let healed = pair.now;
    pair.drive_till(ms(10_000), |pair| pair.tier(0, 0) == Tier::Good);
    assert!(pair.now >= healed + ms(900), "not before its hold: {:?}", pair.now.since(healed));
    // What was preferred lately is not left for speed alone.
    pair.drive_for(ms(2_000));
    pair.send(0, "x", plain());
    pair.drive_for(ms(50));
    assert_eq!(data_of(pair.log(0, 0)).len(), before + 1, "the faster link is used again");
    let lost =
        pair.nodes[0].outcomes.iter().filter(|(_, _, o)| !matches!(o, Outcome::Delivered { .. }));
    assert_eq!(lost.count(), 0);
}

#[test]
fn a_driver_that_writes_nothing_makes_its_link_suspect() {
    let mut pair = two();
    pair.wires[0].lanes[0].stalled = true;
    let sent = pair.now;
    let ticket = pair.send(0, "x", plain());
    pair.drive_for(ms(300));
    let patience = ms(50);
    assert_eq!(departures(&pair, 1, sent), [patience]);
    assert!(delivered_over(&pair, ticket).is_some());
    assert_eq!(pair.changes(0, 0).first(), Some(&LinkChange::Suspect));
}

#[test]
fn a_slow_driver_of_one_peer_delays_no_other_link() {
    let mut pair = two();
    pair.wires[0].lanes[0].stalled = true;
    let bulk = SendOptions::new(TrafficClass::Bulk);
    for _ in 0..10 {
        pair.send(0, vec![0; 50_000], bulk);
    }
    let ticket = pair.send(0, "now", plain());
    pair.drive_for(ms(100));
    assert!(delivered_over(&pair, ticket).is_some());
}
