//! More than one copy of a message: those a class mandates, and hedges.

use bitcraps_types::TrafficClass;
use bitcraps_wire::Frame;

use super::pair::{Fate, Pair, Profile, config, data_of, is_data, ms};
use crate::{Outcome, SendOptions, Tier};

fn three() -> [Profile; 3] {
    [Profile::wifi(ms(2)), Profile::wifi(ms(3)), Profile::bluetooth(ms(30))]
}

fn sent(pair: &Pair) -> Vec<usize> {
    (0..pair.wires.len()).map(|wire| data_of(pair.log(0, wire)).len()).collect()
}

#[test]
fn a_bet_travels_two_links_of_different_kinds_at_once() {
    for (copies, expected) in [(1, [1, 0, 0]), (2, [1, 0, 1]), (0, [1, 0, 0])] {
        let mut pair = Pair::new(&three());
        let options = SendOptions::new(TrafficClass::Critical).max_copies(copies);
        let at = pair.now;
        let ticket = pair.send(0, "bet", options);
        assert_eq!(sent(&pair), expected, "{copies} copies");
        pair.drive_for(ms(200));
        assert_eq!(sent(&pair), expected, "and no more");
        assert_eq!(pair.payloads(1), ["bet"]);
        let attempts = expected.iter().sum::<usize>() as u16;
        let outcome = pair.outcome(0, ticket).cloned();
        assert!(
            matches!(outcome, Some(Outcome::Delivered { attempts: n, latency, link, .. })
                if n == attempts && latency == ms(4) && link.link == pair.link(0, 0)),
            "{outcome:?} since {at:?}"
        );
    }
}

#[test]
fn the_second_copy_of_a_bet_saves_it_when_the_first_link_is_a_black_hole() {
    let mut pair = Pair::new(&three());
    pair.black_hole(0);
    pair.black_hole(1);
    let ticket = pair.send(0, "bet", SendOptions::new(TrafficClass::Critical));
    pair.drive_for(ms(60));
    assert!(
        matches!(pair.outcome(0, ticket), Some(Outcome::Delivered { latency, .. }) if *latency == ms(60))
    );
}

#[test]
fn there_is_no_second_copy_over_a_link_that_is_not_trusted_or_without_room() {
    let mut pair = Pair::new(&[Profile::wifi(ms(2)), Profile::internet(ms(20))]);
    pair.black_hole(1);
    pair.drive_for(ms(2_000));
    assert!(pair.tier(0, 1) >= Tier::Suspect);
    pair.clear();
    pair.send(0, "bet", SendOptions::new(TrafficClass::Critical));
    assert_eq!(sent(&pair), [1, 0]);
}

#[test]
fn mandated_copies_are_bounded_by_their_own_bucket() {
    let mut pair = Pair::new(&[Profile::wifi(ms(2)), Profile::internet(ms(20))]);
    // 65,536 bytes are saved; each copy of 1,000 bytes counts 1,064.
    for _ in 0..70 {
        pair.send(0, vec![0; 1_000], SendOptions::new(TrafficClass::Critical));
    }
    assert_eq!(sent(&pair), [70, 61]);
    let retries = &mut pair.nodes[0].core.peers[0].retries;
    assert!(retries.has(20.0, 0.0, pair.now), "the retry budget is another one");
}

/// A roll that nobody answers, and when its second copy left.
fn hedged(pair: &mut Pair, options: SendOptions) -> Option<std::time::Duration> {
    let mut lose = true;
    pair.hook(0, 0, move |frame, _| {
        if is_data(frame) && std::mem::take(&mut lose) { Fate::Lose } else { Fate::Pass }
    });
    pair.clear();
    let at = pair.now;
    pair.send(0, "roll", options);
    pair.drive_for(ms(150));
    let data = pair.log(0, 1).iter().find(|(_, frame)| is_data(frame));
    data.map(|(left, _)| left.since(at))
}

#[test]
fn a_roll_is_hedged_before_its_timeout() {
    let profiles = [Profile::wifi(ms(10)), Profile::internet(ms(20))];
    let roll = SendOptions::new(TrafficClass::Realtime);
    let mut pair = Pair::new(&profiles);
    let unmeasured = hedged(&mut pair, roll).unwrap();
    assert_eq!(pair.nodes[0].core.counters().hedges, 0, "too few samples after {unmeasured:?}");

    let seasoned = |configs| {
        let mut pair = Pair::configured(configs, &profiles);
        pair.drive_for(ms(2_000));
        pair
    };
    let both = [config(1), config(2)];
    let mut pair = seasoned(both.clone());
    let timeout = pair.status(0, 0).timeout;
    let early = hedged(&mut pair, roll).unwrap();
    assert!(early >= ms(20) && early < timeout, "{early:?} of {timeout:?}");
    assert_eq!(pair.nodes[0].core.counters().hedges, 1);
    assert_eq!(pair.nodes[1].delivered.len(), 1);

    let mut pair = seasoned(both.clone());
    assert_eq!(hedged(&mut pair, roll.max_copies(1)), Some(timeout), "one copy at a time");
    assert_eq!(pair.nodes[0].core.counters().hedges, 0);

    let mut pair = seasoned(both.clone());
    let far = roll.deadline(ms(400));
    let late = hedged(&mut pair, far).unwrap();
    assert_eq!((late, pair.nodes[0].core.counters().hedges), (timeout, 0), "its deadline is far");

    let mut configs = [config(1), config(2)];
    configs[0].hedging = false;
    let mut pair = seasoned(configs);
    assert_eq!(hedged(&mut pair, roll), Some(timeout), "switched off");

    let mut pair = seasoned(both.clone());
    let chat = SendOptions::new(TrafficClass::Background).max_copies(2).deadline(ms(150));
    hedged(&mut pair, chat);
    assert_eq!(pair.nodes[0].core.counters().hedges, 0, "only rolls");
}

#[test]
fn hedges_cost_a_tenth_of_the_bytes_at_most() {
    let mut pair = Pair::new(&[Profile::wifi(ms(10)), Profile::internet(ms(20))]);
    let count = 2_000;
    // Nothing is lost, but every answer comes late enough for a hedge, and before the timeout.
    pair.drive_for(ms(5_000));
    let timeout = pair.status(0, 0).timeout;
    assert!(timeout <= ms(22), "{timeout:?}");
    pair.hook(0, 0, |frame, _| if is_data(frame) { Fate::Lose } else { Fate::Pass });
    for _ in 0..count {
        pair.send(0, vec![0; 200], SendOptions::new(TrafficClass::Realtime));
        pair.drive_for(ms(1));
    }
    pair.drive_for(ms(200));
    let frame = (200 + Frame::DATA_OVERHEAD) as u64;
    let hedged = pair.nodes[0].core.counters().hedges * frame;
    let bound = count * frame / 10 + 8_192 + 64 * 3;
    assert!(hedged <= bound, "{hedged} of {bound}");
}

#[test]
fn the_ack_of_either_copy_is_enough_and_the_other_is_a_duplicate() {
    let mut pair = Pair::new(&[Profile::wifi(ms(2)), Profile::internet(ms(20))]);
    let ticket = pair.send(0, "bet", SendOptions::new(TrafficClass::Critical));
    pair.drive_for(ms(100));
    assert!(pair.settled(0, ticket).is_some());
    assert_eq!(pair.nodes[1].core.counters().duplicates, 1);
    assert_eq!(pair.nodes[0].core.counters().forged_acks, 0);
    assert_eq!(pair.nodes[0].core.unsettled(), 0);
}
