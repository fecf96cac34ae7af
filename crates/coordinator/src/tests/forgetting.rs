//! Who is forgotten and when, and what holds when two meet again.

use std::time::Duration;

use bitcraps_types::{PeerId, TrafficClass};

use super::pair::{Pair, Profile, config, ms};
use crate::bounds::FORGET_AFTER;
use crate::policy::FailoverPolicy;
use crate::{Config, Core, Notice, Outcome, SendError, SendOptions, Standing};

const DAY: Duration = Duration::from_secs(24 * 3_600);

fn key(n: u32) -> PeerId {
    let mut key = [9; 32];
    key[..4].copy_from_slice(&n.to_be_bytes());
    PeerId::from_bytes(key)
}

fn forgotten(pair: &Pair, side: usize) -> bool {
    let told = Notice::PeerForgotten { peer: pair.id(1 - side) };
    pair.nodes[side].notices.iter().any(|(_, notice)| *notice == told)
}

/// Two ends of a link, greeted; it is gone again.
fn parted(messages: bool) -> Pair {
    let mut pair = Pair::new(&[Profile::wifi(ms(3))]);
    if messages {
        pair.send(0, "x", SendOptions::new(TrafficClass::Critical));
        pair.drive_for(ms(100));
    }
    pair.down(0);
    pair
}

#[test]
fn a_peer_without_a_link_is_forgotten_after_ten_minutes() {
    let mut pair = parted(false);
    let old = pair.nodes[0].core.peer(pair.id(1)).unwrap();
    pair.drive_for(FORGET_AFTER - ms(1));
    assert!(!forgotten(&pair, 0));
    assert_eq!(pair.nodes[0].core.peer_ids(), [pair.id(1)]);
    pair.drive_for(ms(1));
    assert!(forgotten(&pair, 0) && forgotten(&pair, 1));
    let core = &mut pair.nodes[0].core;
    assert_eq!((core.peer_ids(), core.peers(pair.now)), (vec![], vec![]));
    // Its place is another's now, and its handle means neither.
    let new = core.enter(key(1), pair.now).unwrap();
    assert_eq!(new.0, old.0);
    assert!(!core.is_current(old) && core.is_current(new));
    let options = SendOptions::new(TrafficClass::Critical);
    let sent = core.send_to(old, "x".into(), options, None, pair.now);
    assert_eq!(sent, Err(SendError::Forgotten));
    let policy = FailoverPolicy::FastestFirst;
    let ranking = core.decide(old, TrafficClass::Critical, policy, 1, pair.now);
    assert_eq!(ranking.iter().count(), 0);
}

#[test]
fn a_peer_with_which_messages_were_exchanged_is_remembered_a_day_longer() {
    let mut pair = parted(true);
    pair.drive_for(DAY + FORGET_AFTER - ms(1));
    assert!(!forgotten(&pair, 0) && !forgotten(&pair, 1), "by sender and receiver");
    pair.drive_for(ms(1));
    assert!(forgotten(&pair, 0) && forgotten(&pair, 1));
}

#[test]
fn whoever_is_named_has_a_link_or_is_waited_for_is_not_forgotten() {
    let mut pair = parted(false);
    let (far, now) = (pair.id(1), pair.now);
    pair.nodes[0].core.add_peer(far, now);
    pair.drive_for(2 * DAY);
    assert!(!forgotten(&pair, 0), "it is named");
    pair.with(0, |core, now| core.release_peer(far, now));
    let options = SendOptions::new(TrafficClass::Critical).deadline(DAY);
    let ticket = pair.send(0, "waits", options);
    pair.drive_for(DAY - ms(1));
    assert!(!forgotten(&pair, 0), "a message waits for it");
    assert_eq!(pair.outcome(0, ticket), None);
    pair.drive_for(ms(1));
    assert_eq!(pair.outcome(0, ticket), Some(&Outcome::Expired { tried: Vec::new() }));
    pair.drive_for(FORGET_AFTER);
    assert!(forgotten(&pair, 0));

    let mut pair = Pair::new(&[Profile::wifi(ms(3))]);
    pair.drive_for(FORGET_AFTER + Duration::from_secs(60));
    assert!(!forgotten(&pair, 0), "it has a link");

    // One that is spoken of is not forgotten before that ends.
    let mut pair = parted(false);
    for _ in 0..5 {
        pair.drive_for(FORGET_AFTER - ms(1));
        assert!(!forgotten(&pair, 0));
        let far = pair.id(1);
        pair.with(0, |core, now| core.meet(far, Standing::Admitted, now));
    }
    pair.drive_for(FORGET_AFTER);
    assert!(forgotten(&pair, 0));
}

#[test]
fn two_who_forgot_each_other_use_no_number_twice() {
    // Either of them may have forgotten, or both.
    for forgetful in [[true, false], [false, true], [true, true]] {
        let mut pair = Pair::new(&[Profile::wifi(ms(3))]);
        let exchange = |pair: &mut Pair, count: usize| {
            for side in [0, 1] {
                for class in TrafficClass::ALL {
                    let sent: Vec<_> =
                        (0..count).map(|_| pair.send(side, "x", SendOptions::new(class))).collect();
                    pair.drive_for(ms(100));
                    let delivered =
                        |t| matches!(pair.outcome(side, t), Some(Outcome::Delivered { .. }));
                    assert!(sent.into_iter().all(delivered), "{forgetful:?} {side} {class}");
                }
            }
        };
        exchange(&mut pair, 100);
        for side in [0, 1] {
            let (other, now) = (pair.id(1 - side), pair.now);
            if !forgetful[side] {
                pair.nodes[side].core.add_peer(other, now);
            }
        }
        pair.down(0);
        pair.drive_for(DAY + FORGET_AFTER);
        assert_eq!([0, 1].map(|side| forgotten(&pair, side)), forgetful);
        pair.up(0);
        pair.drive_for(ms(1_000));
        exchange(&mut pair, 3);
        for side in [0, 1] {
            let mut ids: Vec<_> = pair.nodes[side].delivered.iter().map(|(_, d)| d.id).collect();
            let all = ids.len();
            assert_eq!(all, 4 * 103);
            ids.sort_unstable();
            ids.dedup();
            assert_eq!(ids.len(), all, "no identity twice");
        }
    }
}

#[test]
fn in_a_full_table_the_one_idle_longest_makes_room() {
    let near = Config { peers: 4, ..config(1) };
    let mut pair = Pair::apart([near, config(2)], &[Profile::wifi(ms(3))]);
    (0..2).for_each(|side| pair.with(side, |core, now| core.attach(10, now)));
    pair.up(0);
    pair.drive_for(ms(50));
    let now = pair.now;
    let core = &mut pair.nodes[0].core;
    core.add_peer(key(1), now);
    assert!(core.enter(key(2), now + ms(1)).is_some());
    assert!(core.enter(key(3), now + ms(2)).is_some());
    assert!(core.enter(key(2), now + ms(3)).is_some(), "it was heard of again");
    assert!(core.enter(key(4), now + ms(4)).is_some());
    assert_eq!((core.peer(key(3)), core.peer(key(2)).is_some()), (None, true));
    // One to which a message waits stays; so do those with a link and those with a name.
    let options = SendOptions::new(TrafficClass::Critical);
    core.send(key(2), "x".into(), options, None, now + ms(5)).unwrap();
    assert!(core.enter(key(5), now + ms(6)).is_some());
    assert_eq!(core.peer(key(4)), None);
    core.add_peer(key(5), now + ms(7));
    assert_eq!(core.enter(key(6), now + ms(8)), None, "nobody may go");
    let all: Vec<_> = [pair.id(1), key(1), key(2), key(5)].into();
    let mut known = pair.nodes[0].core.peer_ids();
    known.sort_by_key(|id| all.iter().position(|a| a == id));
    assert_eq!(known, all);
}

#[test]
fn a_million_identities_take_the_place_of_a_thousand() {
    let mut core = Core::new(Config { peers: 1_000, ..config(1) });
    let mut now = bitcraps_types::Timestamp::from_millis(1_000);
    for n in 0..1_000_000 {
        now += Duration::from_micros(100);
        assert!(core.meet(key(n), Standing::Stranger, now).is_some());
        while core.poll_command().is_some() {}
    }
    assert_eq!(core.peers.len(), 1_000);
    assert_eq!(core.peer_ids().len(), 1_000);
    assert!(core.peer(key(999_000)).is_some() && core.peer(key(998_999)).is_none());
}
