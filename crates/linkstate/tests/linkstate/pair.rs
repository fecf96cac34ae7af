//! Two databases face to face, and bodies made by hand.

use std::collections::BTreeSet;
use std::time::Duration;

use bitcraps_linkstate::{BodyError, Command, Config, LinkDatabase};
use bitcraps_types::{Epoch, PeerId, Timestamp, TransportType};
use bitcraps_wire::{LinkState, Part, Quality};
use bytes::Bytes;
use ed25519_dalek::SigningKey;

use bitcraps_linkstate::forger::{Forger, body, quality};
use bitcraps_linkstate::net::{facts, seed};

pub(crate) const NOW: Timestamp = Timestamp::from_millis(100_000);

/// A database with one neighbour that is played by hand.
pub(crate) fn met(neighbour: &Forger) -> LinkDatabase {
    let before = NOW - Duration::from_secs(1);
    let mut db = LinkDatabase::new(&seed(1_000), Config::new(Epoch(4)), before);
    let latency = Duration::from_millis(1);
    db.on_link(&neighbour.id(), TransportType::WiFiDirect, facts(latency), before);
    db.on_body(&neighbour.id(), body(vec![neighbour.presence()]), before).unwrap();
    db.on_timer(NOW);
    drop(sent(&mut db));
    db
}

/// Everything it says.
pub(crate) fn sent(db: &mut LinkDatabase) -> Vec<Part> {
    let commands = std::iter::from_fn(|| db.poll_command());
    let bodies = commands.filter_map(|command| match command {
        Command::Transmit { body, .. } => Some(LinkState::decode(body).unwrap().parts),
        _ => None,
    });
    bodies.flatten().collect()
}

#[test]
fn one_changed_link_is_89_bytes_and_a_full_page_159() {
    let me = Forger::new(0, 1);
    let mut db = LinkDatabase::new(&seed(1_000), Config::new(Epoch(4)), NOW);
    let others: Vec<_> = (0..8).map(|number| Forger::new(number, 1)).collect();
    let mut now = NOW;
    let mut lengths = Vec::new();
    for other in others.iter().chain([&me]) {
        let latency = Duration::from_millis(1);
        db.on_link(&other.id(), TransportType::WiFiDirect, facts(latency), now);
        db.on_body(&other.id(), body(vec![other.presence()]), now).unwrap();
        // The very first link waits a moment for others.
        now += Duration::from_millis(50);
        db.on_timer(now);
        let length = |part: &Part| match part {
            Part::Record(carried) => Some(carried.record.encoded_len()),
            _ => None,
        };
        lengths.push(sent(&mut db).iter().filter_map(length).min());
        now += Duration::from_secs(11);
        db.on_timer(now);
        drop(sent(&mut db));
    }
    assert_eq!(lengths[0], Some(89), "the first link");
    assert_eq!(lengths[1], Some(89), "one more, as a change");
    db.on_link_down(&others[5].id(), TransportType::WiFiDirect, now);
    db.on_timer(now + Duration::from_millis(5));
    let records = sent(&mut db).into_iter().filter_map(|part| match part {
        Part::Record(carried) => Some(carried.record.encoded_len()),
        _ => None,
    });
    let largest = records.max();
    assert!(largest.is_some_and(|len| (89..=159).contains(&len)), "{largest:?}");
}

#[test]
fn a_change_is_taken_once_acknowledged_and_kept() {
    let (neighbour, far) = (Forger::new(1, 1), Forger::new(2, 7));
    let mut db = met(&neighbour);
    let record = far.record(5, 0, &[(neighbour.id(), quality(Duration::from_millis(4)))]);
    db.on_body(&neighbour.id(), body(vec![far.carried(record.clone())]), NOW).unwrap();
    assert_eq!((db.origins(), db.metrics().accepted), (2, 1));
    db.on_timer(NOW + Duration::from_millis(7));
    assert!(!sent(&mut db).contains(&Part::Have(record.version)), "not yet");
    let later = NOW + Duration::from_millis(8);
    db.on_timer(later);
    assert!(sent(&mut db).contains(&Part::Have(record.version)), "eight milliseconds later");
    db.on_body(&neighbour.id(), body(vec![far.carried(record.clone())]), later).unwrap();
    assert_eq!((db.metrics().accepted, db.metrics().duplicates), (1, 1));
    let older = far.record(4, 0, &[]);
    db.on_body(&neighbour.id(), body(vec![far.carried(older)]), later).unwrap();
    assert_eq!((db.metrics().accepted, db.metrics().outdated), (1, 1));
    let answer = sent(&mut db);
    let has = |part: &Part| matches!(part, Part::Record(c) if c.record == record);
    assert!(answer.iter().any(has), "who has an older one is sent the newer: {answer:?}");
    assert_eq!(db.links().count(), 1, "only one end says that there is a link");
    let both = neighbour.record(1, 0, &[(far.id(), quality(Duration::from_millis(9)))]);
    db.on_body(&neighbour.id(), body(vec![neighbour.carried(both)]), later).unwrap();
    let link = db.links().find(|link| link.a == far.id() || link.b == far.id()).unwrap();
    assert_eq!(link.quality, quality(Duration::from_millis(9)), "the worse of both");
    assert!(!link.verified);
    db.on_session(&far.id());
    db.on_session(&neighbour.id());
    let link = db.links().find(|link| link.a == far.id() || link.b == far.id()).unwrap();
    assert!(link.verified);
}

#[test]
fn a_delta_needs_the_record_that_it_changes() {
    let (neighbour, far) = (Forger::new(1, 1), Forger::new(2, 7));
    let mut db = met(&neighbour);
    let near = quality(Duration::from_millis(4));
    let delta = far.record(9, 4, &[(neighbour.id(), Quality::gone(TransportType::WiFiDirect))]);
    db.on_body(&neighbour.id(), body(vec![far.carried(delta.clone())]), NOW).unwrap();
    assert_eq!(db.metrics().accepted, 0);
    let asked = |part: &Part| matches!(part, Part::Want(want) if want.alias == delta.version.alias);
    assert!(sent(&mut db).iter().any(asked));
    let full = far.record(5, 0, &[(neighbour.id(), near), (Forger::new(3, 1).id(), near)]);
    let both = body(vec![far.carried(full), far.carried(delta.clone())]);
    db.on_body(&neighbour.id(), both, NOW).unwrap();
    assert_eq!(db.metrics().accepted, 2);
    let wrong_base = far.record(10, 3, &[]);
    db.on_body(&neighbour.id(), body(vec![far.carried(wrong_base)]), NOW).unwrap();
    assert_eq!(db.metrics().accepted, 2, "it changes record 7, and 5 is here");
}

#[test]
fn strangers_and_noise_are_refused() {
    let (neighbour, other) = (Forger::new(1, 1), Forger::new(2, 1));
    let mut db = met(&neighbour);
    let taken = db.on_body(&other.id(), body(vec![other.presence()]), NOW);
    assert_eq!(taken, Err(BodyError::NoNeighbour(other.id())));
    let taken = db.on_body(&neighbour.id(), Bytes::from_static(&[9]), NOW);
    assert!(matches!(taken, Err(BodyError::Decode(_))), "{taken:?}");
}

#[test]
fn own_measurements_outrank_claims() {
    let neighbour = Forger::new(1, 1);
    let mut db = met(&neighbour);
    let own = db.links().next().unwrap();
    assert_eq!(own.quality.latency(), quality(Duration::from_millis(1)).latency());
    let me = PeerId::from_bytes(SigningKey::from_bytes(&seed(1_000)).verifying_key().to_bytes());
    let perfect = neighbour.record(1, 0, &[(me, quality(Duration::ZERO))]);
    db.on_body(&neighbour.id(), body(vec![neighbour.carried(perfect)]), NOW).unwrap();
    assert_eq!(db.links().collect::<Vec<_>>(), [own]);
    let nothing = neighbour.record(2, 0, &[]);
    db.on_body(&neighbour.id(), body(vec![neighbour.carried(nothing)]), NOW).unwrap();
    assert_eq!(db.links().collect::<Vec<_>>(), [own], "the link works, whoever says what");
    db.on_link_down(&neighbour.id(), TransportType::WiFiDirect, NOW);
    assert_eq!(db.links().count(), 0);
}

/// When it says something, while it hears of one more origin in each millisecond.
fn said_while_hearing_of(origins: usize) -> Vec<u64> {
    let neighbour = Forger::new(1, 1);
    let mut db = met(&neighbour);
    let mut said = Vec::new();
    for number in 0..origins {
        let now = NOW + Duration::from_millis(number as u64);
        let far = Forger::new(2_000 + number, 1);
        let part = far.carried(far.record(1, 0, &[]));
        db.on_body(&neighbour.id(), body(vec![part]), now).unwrap();
        db.on_timer(now);
        if !sent(&mut db).is_empty() {
            said.push(number as u64);
        }
    }
    said
}

#[test]
fn while_much_changes_what_is_to_be_said_goes_together() {
    let gaps = |said: &[u64]| said.windows(2).map(|two| two[1] - two[0]).collect::<BTreeSet<_>>();
    let few = said_while_hearing_of(64);
    assert_eq!(gaps(&few), BTreeSet::from([9]), "an acknowledgement waits for eight milliseconds");
    let many = said_while_hearing_of(264);
    assert_eq!(many[..few.len()], few);
    let crowded: Vec<u64> = many.into_iter().filter(|at| *at > 64).collect();
    assert_eq!(gaps(&crowded), BTreeSet::from([25]));
}
