use proptest::prelude::*;

use super::*;
use crate::Measure;
use crate::alert::{Matcher, Subject};
use bitcraps_types::PeerId;

const RISK: AlertKey = AlertKey::of_network(AlertKind::PartitionRisk);
const SPLIT: AlertKey = AlertKey::of_network(AlertKind::NetworkPartitioned);

fn at(second: u64) -> Timestamp {
    Timestamp::from_millis(second * 1_000)
}

fn signal(key: AlertKey, level: Level) -> Signal {
    Signal { key, level, value: 0.9, what: "so it is".to_owned(), split_off: false }
}

/// Holds for 10 s, keeps firing for 30 s.
fn alerts() -> Alerts {
    let mut rules = AlertKind::ALL.map(AlertKind::rule);
    rules[AlertKind::PartitionRisk as usize] =
        Rule { hold: Duration::from_secs(10), keep_firing: Duration::from_secs(30) };
    Alerts::new(rules)
}

fn told(alerts: &mut Alerts) -> Vec<(AlertKey, Change)> {
    std::iter::from_fn(|| alerts.poll_transition()).map(|t| (t.key, t.change)).collect()
}

#[test]
fn an_alert_goes_through_its_life_and_is_told_twice() {
    let mut alerts = alerts();
    let states = |alerts: &Alerts, now| -> Vec<AlertState> {
        alerts.active(at(now)).iter().map(|alert| alert.state).collect()
    };
    use AlertState::{Firing, Pending};
    for (second, level, expected, changes) in [
        (0, Level::Between, vec![], vec![]),
        (5, Level::Breach, vec![Pending], vec![]),
        (14, Level::Breach, vec![Pending], vec![]),
        (15, Level::Breach, vec![Firing], vec![(RISK, Change::Fired)]),
        (20, Level::Breach, vec![Firing], vec![]),
        (25, Level::Clear, vec![Firing], vec![]),
        (30, Level::Between, vec![Firing], vec![]),
        (35, Level::Clear, vec![Firing], vec![]),
        (64, Level::Clear, vec![Firing], vec![]),
        (65, Level::Clear, vec![], vec![(RISK, Change::Resolved)]),
        (70, Level::Breach, vec![Pending], vec![]),
        (75, Level::Between, vec![], vec![]),
    ] {
        alerts.evaluate(vec![signal(RISK, level)], at(second));
        assert_eq!(states(&alerts, second), expected, "at {second}");
        assert_eq!(told(&mut alerts), changes, "at {second}");
    }
    let past: Vec<_> = alerts.past().map(|past| (past.key, past.fired, past.resolved)).collect();
    assert_eq!(past, [(RISK, at(15), at(65))]);
}

#[test]
fn what_nobody_speaks_of_is_over_and_time_alone_moves_it_on() {
    let mut alerts = alerts();
    alerts.evaluate(vec![signal(RISK, Level::Breach)], at(0));
    assert_eq!(alerts.next_deadline(), Some(at(10)));
    alerts.advance(at(10));
    assert_eq!(told(&mut alerts), [(RISK, Change::Fired)]);
    assert_eq!(alerts.next_deadline(), None);
    alerts.evaluate(vec![], at(20));
    assert_eq!(alerts.next_deadline(), Some(at(50)));
    alerts.advance(at(49));
    assert_eq!(told(&mut alerts), []);
    alerts.advance(at(50));
    assert_eq!(told(&mut alerts), [(RISK, Change::Resolved)]);
}

#[test]
fn without_a_hold_an_alert_fires_at_once_and_only_once() {
    let mut alerts = alerts();
    for second in 0..100 {
        alerts.signal(signal(SPLIT, Level::Breach), at(second));
    }
    assert_eq!(told(&mut alerts), [(SPLIT, Change::Fired)]);
    assert_eq!(alerts.active(at(99))[0].for_ms, 99_000);
}

#[test]
fn a_split_mutes_risk_and_the_peers_that_are_behind_it() {
    let mut alerts = alerts();
    let lost = |byte| AlertKey {
        kind: AlertKind::PeerLost,
        subject: Subject::Peer(PeerId::from_bytes([byte; 32])),
    };
    let behind = Signal { split_off: true, ..signal(lost(1), Level::Breach) };
    let signals = vec![
        signal(RISK, Level::Breach),
        signal(SPLIT, Level::Breach),
        behind,
        signal(lost(2), Level::Breach),
    ];
    alerts.evaluate(signals.clone(), at(0));
    alerts.evaluate(signals, at(10));
    let muted: BTreeMap<AlertKey, Option<Muted>> =
        alerts.active(at(10)).into_iter().map(|alert| (alert.key, alert.muted)).collect();
    let inhibited = Some(Muted::Inhibited(AlertKind::NetworkPartitioned));
    let expected = [(RISK, inhibited), (SPLIT, None), (lost(1), inhibited), (lost(2), None)];
    assert_eq!(muted, expected.into());
    let told: BTreeMap<AlertKey, Option<Muted>> =
        std::iter::from_fn(|| alerts.poll_transition()).map(|t| (t.key, t.muted)).collect();
    assert_eq!(told, muted);
}

#[test]
fn a_silenced_alert_fires_unheard_and_is_seen() {
    let mut alerts = alerts();
    let matcher = Matcher { kind: AlertKind::NetworkPartitioned, subject: None };
    let id = alerts.silences.begin(matcher, "ann", "", Duration::from_secs(60), at(0)).unwrap();
    alerts.evaluate(vec![signal(SPLIT, Level::Breach)], at(1));
    assert_eq!(alerts.poll_transition().unwrap().muted, Some(Muted::Silenced(id)));
    assert_eq!(alerts.active(at(59))[0].muted, Some(Muted::Silenced(id)));
    assert_eq!(alerts.active(at(60))[0].muted, None);
}

#[test]
fn flaps_are_counted_over_an_hour() {
    let mut alerts = alerts();
    for round in 0..5 {
        alerts.evaluate(vec![signal(SPLIT, Level::Breach)], at(round * 60));
        alerts.evaluate(vec![], at(round * 60 + 1));
        alerts.advance(at(round * 60 + 11));
    }
    assert_eq!(told(&mut alerts).len(), 10);
    alerts.evaluate(vec![signal(SPLIT, Level::Breach)], at(300));
    assert_eq!(alerts.active(at(300))[0].fired, 6);
    assert_eq!(alerts.active(at(3_600))[0].fired, 5);
    // Over for an hour: forgotten.
    alerts.evaluate(vec![], at(310));
    alerts.advance(at(320));
    alerts.advance(at(320 + 3_600));
    assert_eq!(alerts.entries.len(), 0);
}

#[test]
fn an_alert_is_acknowledged_by_its_name_until_it_is_over() {
    let mut alerts = alerts();
    alerts.evaluate(vec![signal(RISK, Level::Breach)], at(0));
    assert_eq!(alerts.acknowledge(RISK.fingerprint(), "ann"), None, "it is pending");
    alerts.advance(at(10));
    assert_eq!(alerts.acknowledge(RISK.fingerprint() ^ 1, "ann"), None);
    assert_eq!(alerts.acknowledge(RISK.fingerprint(), &"é".repeat(40)), Some(RISK));
    assert_eq!(alerts.active(at(10))[0].acknowledged_by, Some("é".repeat(32)));
    alerts.evaluate(vec![], at(20));
    alerts.advance(at(50));
    alerts.evaluate(vec![signal(RISK, Level::Breach)], at(60));
    alerts.advance(at(70));
    assert_eq!(alerts.active(at(70))[0].acknowledged_by, None);
}

#[test]
fn a_storm_stays_within_its_bounds() {
    let mut alerts = alerts();
    let mut rng = fastrand::Rng::with_seed(9);
    for round in 0..100_000_u64 {
        let mut id = [0; 32];
        id[..8].copy_from_slice(&rng.u64(..20_000).to_le_bytes());
        let subject = Subject::Peer(PeerId::from_bytes(id));
        let key = AlertKey { kind: AlertKind::LinkStatePoisoning, subject };
        let level = if rng.bool() { Level::Breach } else { Level::Clear };
        alerts.signal(signal(key, level), Timestamp::from_micros(round * 10));
    }
    assert_eq!(alerts.entries.len(), MAX_ALERTS);
    assert_eq!(alerts.transitions.len(), MAX_TRANSITIONS);
    assert!(alerts.overflow() > 0);
    // What is told stays the latest.
    let last = std::iter::from_fn(|| alerts.poll_transition()).last().unwrap();
    assert!(last.at >= Timestamp::ZERO);
    // And once the storm is over there is room again.
    alerts.evaluate(vec![], at(10));
    alerts.advance(at(400));
    alerts.signal(signal(SPLIT, Level::Breach), at(401));
    assert!(alerts.fires(&SPLIT));
}

/// The states of one alert, by the definition: a level a second, and nothing else.
fn reference(levels: &[Level], hold: usize, keep: usize) -> Vec<bool> {
    let mut firing = false;
    let mut pending: Option<usize> = None;
    let mut clear: Option<usize> = None;
    let mut all = Vec::new();
    for (second, level) in levels.iter().enumerate() {
        if firing {
            clear = (*level == Level::Clear).then(|| clear.unwrap_or(second));
            if clear.is_some_and(|since| second - since >= keep) {
                (firing, clear, pending) = (false, None, None);
            }
        } else {
            pending = (*level == Level::Breach).then(|| pending.unwrap_or(second));
            if pending.is_some_and(|since| second - since >= hold) {
                (firing, pending) = (true, None);
            }
        }
        all.push(firing);
    }
    all
}

proptest! {
    #[test]
    fn any_course_of_levels_is_followed(levels in proptest::collection::vec(0..3_u8, 1..200), hold in 0..5_u64, keep in 1..5_u64) {
        let levels: Vec<Level> = levels
            .into_iter()
            .map(|level| [Level::Breach, Level::Between, Level::Clear][level as usize])
            .collect();
        let rule = Rule { hold: Duration::from_secs(hold), keep_firing: Duration::from_secs(keep) };
        let mut alerts = Alerts::new([rule; AlertKind::COUNT]);
        let key = AlertKey {
            kind: AlertKind::AnomalyDetected,
            subject: Subject::Measure(Measure::Peers),
        };
        let expected = reference(&levels, hold as usize, keep as usize);
        for (second, level) in levels.iter().enumerate() {
            alerts.evaluate(vec![signal(key, *level)], at(second as u64));
            prop_assert_eq!(alerts.fires(&key), expected[second], "at {}", second);
        }
    }
}
