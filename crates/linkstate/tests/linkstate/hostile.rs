//! Liars: forged records, impossible claims, invented identities, floods.

use std::collections::BTreeSet;
use std::time::Duration;

use bitcraps_linkstate::{Command, Flag};
use bitcraps_types::{PeerId, TransportType};
use bitcraps_wire::{Carried, LinkState, Part};
use fastrand::Rng;

use crate::pair::{NOW, met, sent};
use bitcraps_linkstate::forger::{Forger, body, quality};
use bitcraps_linkstate::net::{Net, PROBE, facts};

const MS: Duration = Duration::from_millis(1);

fn flagged(db: &mut bitcraps_linkstate::LinkDatabase) -> Vec<(PeerId, Flag)> {
    let commands = std::iter::from_fn(|| db.poll_command());
    let flags = commands.filter_map(|command| match command {
        Command::Flagged { peer, flag } => Some((peer, flag)),
        _ => None,
    });
    flags.collect()
}

#[test]
fn every_changed_byte_of_a_record_is_noticed() {
    let (neighbour, far) = (Forger::new(1, 1), Forger::new(2, 7));
    let record = far.record(5, 0, &[(neighbour.id(), quality(4 * MS))]);
    let bytes = body(vec![far.carried(record)]);
    for at in 1 + 2..bytes.len() {
        let mut db = met(&neighbour);
        let mut changed = bytes.to_vec();
        changed[at] ^= 0x10;
        if LinkState::decode(changed.clone().into()).is_err() {
            continue;
        }
        db.on_body(&neighbour.id(), changed.into(), NOW).unwrap();
        assert_eq!(db.metrics().accepted, 0, "byte {at}");
    }
}

#[test]
fn nobody_speaks_of_the_links_of_others_or_under_their_alias() {
    let (neighbour, far, liar) = (Forger::new(1, 1), Forger::new(2, 7), Forger::new(3, 7));
    let mut db = met(&neighbour);
    let mut record = far.record(5, 0, &[(neighbour.id(), quality(4 * MS))]);
    record.signature = liar.record(5, 0, &[]).signature;
    db.on_body(&neighbour.id(), body(vec![far.carried(record.clone())]), NOW).unwrap();
    assert_eq!((db.metrics().forged, db.metrics().accepted), (1, 0));
    let named = Carried { age: 0, introduction: Some(liar.introduction), record };
    db.on_body(&neighbour.id(), body(vec![Part::Record(named)]), NOW).unwrap();
    assert_eq!((db.metrics().forged, db.origins()), (2, 1));
}

#[test]
fn a_neighbour_that_forges_is_not_verified_for_long() {
    let (neighbour, far) = (Forger::new(1, 1), Forger::new(2, 7));
    let mut db = met(&neighbour);
    let own = neighbour.record(1, 0, &[]);
    db.on_body(&neighbour.id(), body(vec![neighbour.carried(own)]), NOW).unwrap();
    let mut forged = far.record(5, 0, &[]);
    forged.signature[3] ^= 1;
    for _ in 0..16 {
        db.on_body(&neighbour.id(), body(vec![far.carried(forged.clone())]), NOW).unwrap();
    }
    assert_eq!(flagged(&mut db), [(neighbour.id(), Flag::Forgery)], "told once");
    let good = far.record(6, 0, &[]);
    db.on_body(&neighbour.id(), body(vec![far.carried(good.clone())]), NOW).unwrap();
    assert_eq!(db.metrics().accepted, 1, "nothing of it is verified for now");
    let later = NOW + Duration::from_secs(4);
    db.on_body(&neighbour.id(), body(vec![far.carried(good)]), later).unwrap();
    assert_eq!(db.metrics().accepted, 2);
}

/// What is flagged when time has passed, and nothing else.
fn flagged_at(db: &mut bitcraps_linkstate::LinkDatabase, seconds: u64) -> Vec<(PeerId, Flag)> {
    db.on_timer(NOW + Duration::from_secs(seconds));
    flagged(db)
}

#[test]
fn impossible_claims_are_flagged_when_they_stand() {
    let (neighbour, far) = (Forger::new(1, 1), Forger::new(2, 7));
    let mut db = met(&neighbour);
    let me = db.published_key(&neighbour.id()).map(|_| Forger::new(1_000, 4).id()).unwrap();
    let phantom = far.record(1, 0, &[(me, quality(MS)), (neighbour.id(), quality(MS))]);
    db.on_body(&neighbour.id(), body(vec![far.carried(phantom)]), NOW).unwrap();
    let slow = neighbour.record(1, 0, &[(far.id(), quality(20 * MS))]);
    db.on_body(&neighbour.id(), body(vec![neighbour.carried(slow)]), NOW).unwrap();
    assert_eq!(flagged_at(&mut db, 9), []);
    assert_eq!(flagged_at(&mut db, 14), [(far.id(), Flag::NoSuchLink)], "a search each 5 s");
    assert_eq!(flagged_at(&mut db, 59), []);
    assert_eq!(flagged_at(&mut db, 64), [(far.id(), Flag::EndsDisagree)], "20 ms against 1 ms");
    // Two milliseconds one way to the neighbour and beyond, as they say: 22.6 ms with the worse end.
    db.on_round_trip(&far.id(), 250 * MS + 8 * 21 * MS);
    assert_eq!(flagged(&mut db), []);
    db.on_round_trip(&far.id(), 250 * MS + 8 * 24 * MS);
    assert_eq!(flagged(&mut db), [(far.id(), Flag::TooNear)]);
    let all = [Flag::NoSuchLink, Flag::EndsDisagree, Flag::TooNear];
    assert_eq!(db.flags(&far.id()).collect::<Vec<_>>(), all);
    assert_eq!(db.flags(&neighbour.id()).count(), 0);
}

#[test]
fn ends_may_disagree_by_what_a_busy_machine_takes() {
    let far = Forger::new(2, 7);
    for (latency, flags) in [(15 * MS, 0), (20 * MS, 1)] {
        let neighbour = Forger::new(1, 1);
        let mut db = met(&neighbour);
        let quick = far.record(1, 0, &[(neighbour.id(), quality(MS))]);
        db.on_body(&neighbour.id(), body(vec![far.carried(quick)]), NOW).unwrap();
        let slow = neighbour.record(1, 0, &[(far.id(), quality(latency))]);
        db.on_body(&neighbour.id(), body(vec![neighbour.carried(slow)]), NOW).unwrap();
        assert_eq!(flagged_at(&mut db, 65).len(), flags, "{latency:?} against 1 ms");
    }
}

#[test]
fn ends_that_agree_again_within_a_minute_are_not_flagged() {
    let (neighbour, far) = (Forger::new(1, 1), Forger::new(2, 7));
    // Whichever end starves for a moment.
    for starved in [&neighbour, &far] {
        let mut db = met(&neighbour);
        let ends = [(&neighbour, &far), (&far, &neighbour)];
        let say = |db: &mut bitcraps_linkstate::LinkDatabase, sequence, slow, seconds| {
            for (end, other) in ends {
                let latency = if end.id() == starved.id() { slow } else { MS };
                let record = end.record(sequence, 0, &[(other.id(), quality(latency))]);
                let at = NOW + Duration::from_secs(seconds);
                db.on_body(&neighbour.id(), body(vec![end.carried(record)]), at).unwrap();
            }
        };
        say(&mut db, 1, 400 * MS, 0);
        say(&mut db, 2, 2 * MS, 50);
        say(&mut db, 3, 400 * MS, 55);
        assert_eq!(flagged_at(&mut db, 114), []);
        say(&mut db, 4, 2 * MS, 114);
        assert_eq!(flagged_at(&mut db, 200), []);
    }
}

#[test]
fn a_link_that_went_a_moment_ago_may_still_be_named() {
    let neighbour = Forger::new(1, 1);
    let me = Forger::new(1_000, 4).id();
    // Named until then, and not in the record after it.
    for (until, flags) in [(9, 0), (20, 1)] {
        let mut db = met(&neighbour);
        let bluetooth = TransportType::Bluetooth;
        db.on_link(&neighbour.id(), bluetooth, facts(MS), NOW);
        db.on_link_down(&neighbour.id(), TransportType::WiFiDirect, NOW);
        let say = |db: &mut bitcraps_linkstate::LinkDatabase, record, seconds| {
            let at = NOW + Duration::from_secs(seconds);
            let record = body(vec![neighbour.carried(record)]);
            db.on_body(&neighbour.id(), record, at).unwrap();
        };
        say(&mut db, neighbour.record(1, 0, &[(me, quality(MS))]), 1);
        let told = (1..until).flat_map(|second| flagged_at(&mut db, second)).collect::<Vec<_>>();
        say(&mut db, neighbour.record(2, 0, &[]), until);
        let later = flagged_at(&mut db, 60);
        assert_eq!((told.len(), later.len()), (flags, 0), "named for {until} s");
    }
}

#[test]
fn what_others_still_say_of_a_node_that_comes_back_is_no_lie() {
    let (neighbour, far) = (Forger::new(1, 1), Forger::new(2, 7));
    let mut db = met(&neighbour);
    let me = Forger::new(1_000, 4).id();
    let before = far.record(1, 0, &[(me, quality(MS))]);
    db.on_body(&neighbour.id(), body(vec![far.carried(before)]), NOW).unwrap();
    let later = NOW + Duration::from_secs(8);
    let since = far.record(2, 0, &[]);
    db.on_body(&neighbour.id(), body(vec![far.carried(since)]), later).unwrap();
    assert_eq!(flagged_at(&mut db, 60), []);
}

#[test]
fn an_origin_that_changes_all_the_time_is_taken_at_its_rate() {
    let (neighbour, far) = (Forger::new(1, 1), Forger::new(2, 7));
    let mut db = met(&neighbour);
    for sequence in 1..=100 {
        let record = far.record(sequence, 0, &[]);
        db.on_body(&neighbour.id(), body(vec![far.carried(record)]), NOW).unwrap();
    }
    assert_eq!((db.metrics().accepted, db.metrics().limited), (24, 76));
    let record = far.record(101, 0, &[]);
    let later = NOW + Duration::from_secs(4);
    db.on_body(&neighbour.id(), body(vec![far.carried(record.clone())]), later).unwrap();
    assert_eq!(db.metrics().accepted, 25);
}

/// A liar with a thousand identities that confirm each other and lie between everybody.
#[test]
fn invented_identities_neither_fill_the_table_nor_touch_what_is_verified() {
    let mut net = Net::new(50);
    for _ in 0..12 {
        net.add(|config| config.max_unverified = 200);
    }
    for node in 0..12 {
        net.link(node, (node + 1) % 12, 10 * MS);
    }
    let honest: Vec<PeerId> = net.nodes.iter().take(11).map(|node| node.id).collect();
    for node in 0..11 {
        for peer in &honest {
            net.nodes[node].db.on_session(peer);
        }
    }
    net.run(10 * PROBE);
    let verified = |net: &Net, node: usize| -> BTreeSet<_> {
        let links = net.nodes[node].view.values().filter(|link| link.verified);
        links.map(|link| (link.a, link.b, link.quality.transport())).collect()
    };
    let before: Vec<_> = (0..11).map(|node| verified(&net, node)).collect();
    let liar = 11;
    let invented: Vec<Forger> = (0..1_000).map(|n| Forger::new(5_000 + n, 1)).collect();
    for (number, one) in invented.iter().enumerate() {
        let near = |step: usize| (invented[(number + step) % 1_000].id(), quality(Duration::ZERO));
        let mut links: Vec<_> = [1, 2, 998, 999].into_iter().map(near).collect();
        links.extend(honest.iter().take(4).map(|id| (*id, quality(Duration::ZERO))));
        let part = one.carried(one.record(1, 0, &links));
        for to in [0, 10] {
            net.inject(liar, to, body(vec![part.clone()]));
        }
        net.run(20 * MS);
    }
    net.run(30 * PROBE);
    for (node, before) in before.into_iter().enumerate() {
        let db = &net.nodes[node].db;
        assert!(db.origins() <= 200 + 12, "{}", db.origins());
        assert!(db.origins() > 150, "{}: they are shown, as what they are", db.origins());
        assert_eq!(verified(&net, node), before);
        let lies = net.nodes[node].view.values().filter(|link| !link.verified);
        let ids: BTreeSet<_> = honest.iter().collect();
        assert!(lies.clone().all(|l| !(ids.contains(&l.a) && ids.contains(&l.b))));
    }
    // A newcomer with a session finds room; one more invention does not.
    let newcomer = Forger::new(9_000, 1);
    let db = &mut net.nodes[5].db;
    db.on_session(&newcomer.id());
    let from = net.nodes[6].id;
    let now = net.now;
    let part = newcomer.carried(newcomer.record(1, 0, &[]));
    let accepted = net.nodes[5].db.metrics().accepted;
    net.nodes[5].db.on_body(&from, body(vec![part]), now).unwrap();
    assert_eq!(net.nodes[5].db.metrics().accepted, accepted + 1);
    net.drain(5);
    net.check();
}

#[test]
fn mutated_bodies_neither_panic_nor_break_the_bounds() {
    let mut rng = Rng::with_seed(8);
    let mut bodies = Vec::new();
    let (neighbour, far) = (Forger::new(1, 1), Forger::new(2, 7));
    let mut db = met(&neighbour);
    let me = Forger::new(1_000, 4).id();
    for sequence in 1..10 {
        let links = [(neighbour.id(), quality(MS)), (me, quality(MS))];
        let record = far.record(sequence, (sequence > 1).into(), &links);
        bodies.push(body(vec![far.carried(record)]));
    }
    bodies.push(body(vec![neighbour.presence()]));
    db.on_probe(&neighbour.id(), NOW);
    bodies.extend(sent(&mut db).into_iter().map(|part| body(vec![part])));
    let (mut now, mut refused) = (NOW, 0);
    for _ in 0..20_000 {
        let mut bytes = rng.choice(&bodies).unwrap().to_vec();
        for _ in 0..rng.usize(0..4) {
            let at = rng.usize(..bytes.len().max(1));
            match rng.u8(..4) {
                0 => bytes.truncate(at),
                1 => bytes.extend_from_slice(rng.choice(&bodies).unwrap()),
                _ if at >= bytes.len() => {}
                2 => bytes[at] ^= 1 << rng.u8(..8),
                _ => bytes[at] = rng.u8(..),
            }
        }
        now += MS;
        refused += usize::from(db.on_body(&neighbour.id(), bytes.into(), now).is_err());
        db.on_timer(now);
        for command in std::iter::from_fn(|| db.poll_command()) {
            if let Command::Transmit { body, .. } = command {
                assert!(body.len() <= 1_100 && LinkState::decode(body).is_ok());
            }
        }
        assert!(db.origins() <= 4, "{}", db.origins());
    }
    assert!(db.metrics().forged > 0 && db.metrics().accepted > 0 && refused > 1_000);
}
