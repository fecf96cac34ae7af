use bitcraps_topology::{
    EdgeInfo, LinkLife, Material, NodeType, ReportOptions, RiskOptions, TopologyReport,
};
use bitcraps_types::{PeerId, Ratio, TransportType};

use super::*;
use crate::alert::{Change, Subject};
use crate::facts::{LostPeer, Tally};
use crate::load::Basis;
use crate::{Betting, Grain, Measure, Outlook, TopologyChange};

fn at(second: u64) -> Timestamp {
    Timestamp::from_millis(second * 1_000)
}

fn peer(number: u8) -> PeerId {
    PeerId::from_bytes([number; 32])
}

fn topology(peers: u8, links: &[(u8, u8)]) -> Topology {
    let mut topology = Topology::new(1);
    for number in 0..peers {
        topology.add_node(peer(number), NodeType::Regular, Timestamp::ZERO).unwrap();
    }
    for (a, b) in links {
        topology.add_edge(&peer(*a), &peer(*b), EdgeInfo::default()).unwrap();
    }
    topology
}

fn ring(peers: u8) -> Vec<(u8, u8)> {
    (0..peers).map(|peer| (peer, (peer + 1) % peers)).collect()
}

/// A report on links that live through the horizon with this probability.
fn report(topology: &Topology, survival: f64) -> TopologyReport {
    let snapshot = topology.snapshot();
    let life = |key| LinkLife { key, survival: Ratio::clamped(survival) };
    let lives: Vec<LinkLife> = (0..snapshot.links() as u64).map(life).collect();
    let risk = RiskOptions { material: Material::Peers(1), ..RiskOptions::default() };
    TopologyReport::of(&snapshot, &lives, &ReportOptions { risk, ..ReportOptions::default() })
}

fn look(monitor: &mut Monitor, topology: &Topology, facts: &Facts, second: u64) -> HealthMetrics {
    monitor.tick(&report(topology, 1.0), topology, facts.clone(), at(second))
}

/// Whether something comes of a look that is not due.
fn is_news(monitor: &mut Monitor, topology: &Topology, second: u64) -> bool {
    let findings = monitor.begin(false, at(second)).judge(topology, &topology.snapshot());
    monitor.conclude(findings, topology, Facts::default()).is_some()
}

fn fired(monitor: &mut Monitor) -> Vec<AlertKey> {
    let changes = std::iter::from_fn(|| monitor.alerts_mut().poll_transition());
    changes.filter(|change| change.change == Change::Fired).map(|change| change.key).collect()
}

#[test]
fn health_is_what_the_report_and_the_node_say() {
    let mut monitor = Monitor::new(MonitorConfig::default(), at(0));
    let network = topology(5, &[(0, 1), (1, 2), (2, 0), (2, 3), (3, 4)]);
    let tally = |good, all| Tally { good, all };
    let mut facts = Facts {
        delivery: [tally(9, 10), tally(0, 0), tally(0, 0), tally(0, 0)],
        link_reliability: Some(0.9),
        link_latency: Some(Duration::from_millis(20)),
        ..Facts::default()
    };
    let health = look(&mut monitor, &network, &facts, 0);
    assert_eq!((health.peers, health.links, health.components), (5, 5, 1));
    assert_eq!((health.network_diameter, health.bridges), (3, 2));
    assert_eq!((health.articulation_points, health.average_degree), (2, 2.0));
    // Of peers 0, 1, 2 and 3, which have two neighbours or more: 1, 1, 1/3 and 0.
    assert!((health.clustering_coefficient - 7.0 / 12.0).abs() < 1e-12);
    assert_eq!(health.partition_risk, 0.0);
    assert_eq!(health.delivery, [Some(0.9), None, None, None]);
    assert_eq!(health.link_latency_seconds, Some(0.02));
    // Peer 2 parts {0, 1} from {3, 4}: 4 of the 6 pairs of others.
    assert_eq!(health.bridge_load, Some(4.0 / 6.0));
    assert_eq!(health.bridge_load_basis, Some(Basis::PairsThrough));
    facts.delivery[0] = tally(10, 14);
    let health = look(&mut monitor, &network, &facts, 5);
    assert_eq!(health.delivery[0], Some(0.25));
    assert_eq!(monitor.health(), Some(&health));
    let kept = monitor.history().series(Measure::DeliveryRealtime, Grain::FiveSeconds);
    assert_eq!(kept.map(|(_, range)| range.mean).collect::<Vec<_>>(), [0.9, 0.25]);
}

#[test]
fn a_split_fires_in_the_look_that_sees_it() {
    let mut monitor = Monitor::new(MonitorConfig::default(), at(0));
    let whole = topology(6, &[(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)]);
    look(&mut monitor, &whole, &Facts::default(), 0);
    assert_eq!(fired(&mut monitor), []);
    let split = topology(6, &[(0, 1), (1, 2), (3, 4), (4, 5)]);
    assert!(is_news(&mut monitor, &whole, 1));
    assert!(!is_news(&mut monitor, &whole, 2));
    assert!(is_news(&mut monitor, &split, 3));
    assert_eq!(fired(&mut monitor), [AlertKey::of_network(AlertKind::NetworkPartitioned)]);
}

#[test]
fn another_set_of_articulation_points_is_news() {
    let mut monitor = Monitor::new(MonitorConfig::default(), at(0));
    let path = topology(4, &[(0, 1), (1, 2), (2, 3)]);
    let other = topology(4, &[(0, 1), (1, 3), (3, 2)]);
    assert!(is_news(&mut monitor, &path, 0));
    assert!(is_news(&mut monitor, &other, 1));
    // One more link within a part that hangs together already is none.
    let ring_of = |extra: &[(u8, u8)]| topology(6, &[ring(6), extra.to_vec()].concat());
    assert!(is_news(&mut monitor, &ring_of(&[]), 2));
    assert!(!is_news(&mut monitor, &ring_of(&[(0, 3)]), 3));
}

#[test]
fn what_was_learned_of_links_is_kept_through_a_look_of_which_nothing_comes() {
    let mut monitor = Monitor::new(MonitorConfig::default(), at(0));
    let path = topology(4, &[(0, 1), (1, 2), (2, 3)]);
    monitor.look(&path, Facts::default(), at(0));
    monitor.look(&path, Facts::default(), at(60));
    let predicted = |monitor: &Monitor| monitor.predict_partition_risk(&path, HORIZON);
    let before = predicted(&monitor);
    assert_eq!(monitor.report(&path, at(60)).forecast, Some(before));
    let look = monitor.begin(false, at(61));
    // Meanwhile a report says what the look before said.
    assert_eq!(monitor.report(&path, at(61)).forecast, Some(before));
    let findings = look.judge(&path, &path.snapshot());
    assert_eq!(monitor.conclude(findings, &path, Facts::default()), None);
    assert_eq!(predicted(&monitor), before);
}

#[test]
fn a_table_pauses_when_its_players_are_parted_and_another_goes_on() {
    let mut monitor = Monitor::new(MonitorConfig::default(), at(0));
    let config = MonitorConfig::default().gate;
    let players = |numbers: &[u8]| numbers.iter().map(|number| peer(*number)).collect();
    let mut table = |numbers: &[u8]| monitor.tables.watch(players(numbers), config).unwrap();
    let (near, far, absent) = (table(&[0, 1]), table(&[0, 5]), table(&[0, 9]));
    let betting =
        |monitor: &Monitor| [near, far, absent].map(|table| monitor.tables.betting(table).unwrap());
    use Betting::{Open, Paused};
    let path: Vec<(u8, u8)> = (0..5).map(|peer| (peer, peer + 1)).collect();
    let (whole, cut) = (topology(6, &path), topology(6, &[&path[..3], &path[4..]].concat()));
    monitor.look(&whole, Facts::default(), at(0));
    // Nobody sees the ninth peer.
    assert_eq!(betting(&monitor), [Open, Open, Paused]);
    assert!(is_news(&mut monitor, &cut, 1));
    assert_eq!(betting(&monitor), [Open, Paused, Paused]);
    // Together again: the calm begins with the look that says so, and lasts ten seconds.
    monitor.look(&whole, Facts::default(), at(5));
    monitor.look(&whole, Facts::default(), at(14));
    assert_eq!(betting(&monitor), [Open, Paused, Paused]);
    monitor.look(&whole, Facts::default(), at(15));
    assert_eq!(betting(&monitor), [Open, Open, Paused]);
}

#[test]
fn thresholds_of_the_configuration_are_obeyed() {
    let long: Vec<(u8, u8)> = (0..9).map(|peer| (peer, peer + 1)).collect();
    let path = topology(10, &long);
    let rule = crate::alert::Rule { hold: Duration::ZERO, keep_firing: Duration::ZERO };
    let at_once = MonitorConfig { rules: [rule; AlertKind::COUNT], ..MonitorConfig::default() };
    let kinds = |config: MonitorConfig, survival| {
        let mut monitor = Monitor::new(config, at(0));
        monitor.tick(&report(&path, survival), &path, Facts::default(), at(0));
        let mut kinds: Vec<AlertKind> = fired(&mut monitor).iter().map(|key| key.kind).collect();
        kinds.sort_unstable();
        kinds.dedup();
        kinds
    };
    use AlertKind::{ArticulationPointOverload, HighDiameter, LowClustering, PartitionRisk};
    assert_eq!(kinds(at_once, 1.0), [HighDiameter, LowClustering]);
    // A path of nine links: 1 - 0.9^9 = 0.61.
    assert_eq!(kinds(at_once, 0.9), [HighDiameter, LowClustering]);
    let nervous = MonitorConfig { partition_risk_alert_threshold: Ratio::clamped(0.6), ..at_once };
    assert_eq!(kinds(nervous, 0.9), [PartitionRisk, HighDiameter, LowClustering]);
    let far = MonitorConfig { max_diameter_alert: 9, ..at_once };
    assert_eq!(kinds(far, 1.0), [LowClustering]);
    let sparse = MonitorConfig { min_clustering_coefficient: Ratio::ZERO, ..far };
    assert_eq!(kinds(sparse, 1.0), []);
    // The middle of the path parts 20 of the 36 pairs of others.
    for (threshold, expected) in [(20.0 / 36.0, &[][..]), (0.55, &[ArticulationPointOverload])] {
        let mut config = sparse;
        config.bridge_node_load_threshold = Ratio::clamped(threshold);
        assert_eq!(kinds(config, 1.0), expected, "{threshold}");
    }
}

#[test]
fn alerts_end_where_the_configuration_says() {
    let rule = crate::alert::Rule { hold: Duration::ZERO, keep_firing: Duration::ZERO };
    let usual = MonitorConfig { rules: [rule; AlertKind::COUNT], ..MonitorConfig::default() };
    let path = |peers: u8| {
        topology(peers, &(1..peers).map(|peer| (peer - 1, peer)).collect::<Vec<(u8, u8)>>())
    };
    // A path of nine links that breaks somewhere with 1 - survival^9, nine hops, no clustering, and a
    // middle that parts 20 of the 36 pairs of others; then what is told between the thresholds.
    let lasts = |config: MonitorConfig, survival: f64, then: (&Topology, f64), key: AlertKey| {
        let mut monitor = Monitor::new(config, at(0));
        let network = path(10);
        monitor.tick(&report(&network, survival), &network, Facts::default(), at(0));
        assert!(monitor.alerts().fires(&key), "{key}");
        monitor.tick(&report(then.0, then.1), then.0, Facts::default(), at(5));
        monitor.alerts().fires(&key)
    };
    let risk = |clear| {
        let mut config = usual;
        config.partition_risk_clear = Ratio::clamped(clear);
        let key = AlertKey::of_network(AlertKind::PartitionRisk);
        lasts(config, 0.8, (&path(10), 0.9), key)
    };
    assert_eq!((risk(0.6), risk(0.62)), (true, false), "1 - 0.9^9 = 0.61");
    let far = |clear| {
        let mut config = usual;
        config.max_diameter_clear = clear;
        lasts(config, 1.0, (&path(8), 1.0), AlertKey::of_network(AlertKind::HighDiameter))
    };
    assert_eq!((far(6), far(7)), (true, false), "seven hops");
    let triangle = topology(4, &[(0, 1), (1, 2), (2, 0), (2, 3)]);
    let sparse = |clear| {
        let mut config = usual;
        config.min_clustering_clear = Ratio::clamped(clear);
        lasts(config, 1.0, (&triangle, 1.0), AlertKey::of_network(AlertKind::LowClustering))
    };
    assert_eq!((sparse(0.78), sparse(0.77)), (true, false), "1, 1 and a third: 0.78");
    let loaded = |clear| {
        let mut config = usual;
        config.bridge_node_load_threshold = Ratio::clamped(0.5);
        config.bridge_node_load_clear = Ratio::clamped(clear);
        let subject = Subject::Peer(peer(4));
        let key = AlertKey { kind: AlertKind::ArticulationPointOverload, subject };
        let order = [0, 1, 4, 2, 3, 5, 6, 7, 8, 9];
        let links: Vec<(u8, u8)> = order.windows(2).map(|pair| (pair[0], pair[1])).collect();
        lasts(config, 1.0, (&topology(10, &links), 1.0), key)
    };
    assert_eq!((loaded(0.38), loaded(0.39)), (true, false), "14 of 36 pairs: 0.389");
}

#[test]
fn advice_begins_where_the_configuration_says() {
    let long: Vec<(u8, u8)> = (1..8).map(|peer| (peer - 1, peer)).collect();
    let path = topology(8, &long);
    let kinds = |config: MonitorConfig| {
        let mut monitor = Monitor::new(config, at(0));
        monitor.tick(&report(&path, 0.9), &path, Facts::default(), at(0));
        let all = monitor.report(&path, at(0)).recommendations;
        let of = |change: fn(&TopologyChange) -> bool| all.iter().any(|r| change(&r.change));
        (
            of(|change| matches!(change, TopologyChange::PromoteBackupBridges(_))),
            of(|change| matches!(change, TopologyChange::AddShortcuts(_))),
        )
    };
    let usual = MonitorConfig::default();
    // 1 - 0.9^7 = 0.52, and seven hops.
    assert_eq!(kinds(usual), (false, true));
    let cautious = MonitorConfig { partition_risk_advice: Ratio::clamped(0.5), ..usual };
    assert_eq!(kinds(cautious), (true, true));
    assert_eq!(kinds(MonitorConfig { max_diameter_advice: 7, ..usual }), (false, false));
}

#[test]
fn a_measured_load_takes_the_place_of_a_reckoned_one() {
    let star: Vec<(u8, u8)> = (1..6).map(|leaf| (0, leaf)).collect();
    let network = topology(6, &star);
    let mut monitor = Monitor::new(MonitorConfig::default(), at(0));
    let facts =
        |total| Facts { me: Some(peer(0)), relayed: Some((total, 1_000.0)), ..Facts::default() };
    let first = look(&mut monitor, &network, &facts(0), 0);
    assert_eq!(
        (first.bridge_load, first.bridge_load_basis),
        (Some(1.0), Some(Basis::PairsThrough))
    );
    let second = look(&mut monitor, &network, &facts(2_500), 5);
    assert_eq!((second.bridge_load, second.bridge_load_basis), (Some(0.5), Some(Basis::Measured)));
}

#[test]
fn what_the_node_knows_of_its_neighbours_becomes_alerts_of_their_own() {
    let network = topology(5, &ring(5));
    let facts = Facts {
        transports_down: vec![TransportType::Internet],
        lost: vec![LostPeer { peer: peer(7), split_off: false }],
        poisoned: vec![(peer(8), "names a link that is not there".to_owned())],
        conflicts: vec![peer(9)],
        ..Facts::default()
    };
    let mut monitor = Monitor::new(MonitorConfig::default(), at(0));
    look(&mut monitor, &network, &facts, 0);
    let key = |kind, subject| AlertKey { kind, subject };
    let mut at_once = fired(&mut monitor);
    at_once.sort_unstable();
    assert_eq!(
        at_once,
        [
            key(AlertKind::LinkStatePoisoning, Subject::Peer(peer(8))),
            key(AlertKind::IdentityConflict, Subject::Peer(peer(9))),
        ]
    );
    look(&mut monitor, &network, &facts, 5);
    let mut later = fired(&mut monitor);
    later.sort_unstable();
    assert_eq!(
        later,
        [
            key(AlertKind::TransportDown, Subject::Transport(TransportType::Internet)),
            key(AlertKind::PeerLost, Subject::Peer(peer(7))),
        ]
    );
}

#[test]
fn what_the_next_look_finds_gone_is_not_told() {
    let network = topology(5, &ring(5));
    let down = Facts { transports_down: vec![TransportType::Bluetooth], ..Facts::default() };
    let key = AlertKey {
        kind: AlertKind::TransportDown,
        subject: Subject::Transport(TransportType::Bluetooth),
    };
    for (next, told) in [(Facts::default(), vec![]), (down.clone(), vec![key])] {
        let mut monitor = Monitor::new(MonitorConfig::default(), at(0));
        look(&mut monitor, &network, &down, 0);
        // It has held long enough by now, as far as anybody knew five seconds ago.
        monitor.on_timer(at(5));
        assert_eq!(fired(&mut monitor), []);
        look(&mut monitor, &network, &next, 5);
        assert_eq!(fired(&mut monitor), told);
    }
}

#[test]
fn alerts_do_not_wait_for_a_look_that_never_comes() {
    let mut monitor = Monitor::new(MonitorConfig::default(), at(0));
    let down = Facts { transports_down: vec![TransportType::Bluetooth], ..Facts::default() };
    look(&mut monitor, &topology(5, &ring(5)), &down, 0);
    let overdue = monitor.overdue_at();
    assert!(overdue > at(15) && overdue < Timestamp::from_millis(15_001), "{overdue:?}");
    monitor.on_timer(at(15));
    assert_eq!(fired(&mut monitor), []);
    monitor.on_timer(overdue);
    let mut told: Vec<AlertKind> = fired(&mut monitor).into_iter().map(|key| key.kind).collect();
    told.sort_unstable();
    assert_eq!(told, [AlertKind::TransportDown, AlertKind::DataAbsent]);
    assert!(monitor.overdue_at() > overdue, "nothing is left to do at once");
}

#[test]
fn looks_are_due_at_the_interval_and_their_absence_is_told() {
    let mut monitor = Monitor::new(MonitorConfig::default(), at(0));
    assert!(monitor.is_due(at(0)));
    let network = topology(5, &ring(5));
    look(&mut monitor, &network, &Facts::default(), 0);
    assert!(!monitor.is_due(Timestamp::from_millis(4_999)));
    assert_eq!(monitor.next_deadline(), at(5));
    monitor.on_timer(at(15));
    let absent = AlertKey::of_network(AlertKind::DataAbsent);
    assert!(!monitor.alerts().fires(&absent));
    monitor.on_timer(at(16));
    assert!(monitor.alerts().fires(&absent));
    look(&mut monitor, &network, &Facts::default(), 16);
    assert!(!monitor.alerts().fires(&absent));
    let faster =
        MonitorConfig { health_check_interval: Duration::from_secs(1), ..MonitorConfig::default() };
    let patient = MonitorConfig { absent_after_intervals: 4, ..faster };
    monitor.configure(patient);
    monitor.on_timer(at(20));
    assert!(!monitor.alerts().fires(&absent));
    monitor.configure(faster);
    monitor.on_timer(at(20));
    assert!(monitor.alerts().fires(&absent));
    assert!(monitor.is_due(at(17)) && !monitor.is_due(Timestamp::from_millis(16_999)));
}

#[test]
fn what_is_unusual_is_told_with_what_would_be_usual() {
    let mut monitor = Monitor::new(MonitorConfig::default(), at(0));
    let network = topology(3, &ring(3));
    let facts = |reliability| Facts { link_reliability: Some(reliability), ..Facts::default() };
    for tick in 0..300 {
        look(&mut monitor, &network, &facts(0.95), tick * 5);
    }
    // A single value says nothing.
    look(&mut monitor, &network, &facts(0.6), 1_500);
    assert_eq!(fired(&mut monitor), []);
    look(&mut monitor, &network, &facts(0.6), 1_505);
    let subject = Subject::Measure(Measure::LinkReliability);
    let key = AlertKey { kind: AlertKind::AnomalyDetected, subject };
    assert_eq!(fired(&mut monitor), [key]);
    let told = &monitor.alerts().active(at(1_505))[0];
    assert!(
        told.what.starts_with("link_reliability is 0.600, usual would be 0.950"),
        "{}",
        told.what
    );
    assert!(told.value > 0.5 && told.value <= 1.0, "{}", told.value);
    // A look out of turn teaches nothing and changes nothing.
    let before = monitor.panel.clone();
    look(&mut monitor, &network, &facts(0.6), 1_506);
    assert!(monitor.panel == before && monitor.alerts().fires(&key));
}

#[test]
fn what_lies_farther_ahead_than_links_last_is_unknown() {
    let mut monitor = Monitor::new(MonitorConfig::default(), at(0));
    let path = topology(4, &[(0, 1), (1, 2), (2, 3)]);
    let predicted = |monitor: &Monitor, seconds| {
        monitor.predict_partition_risk(&path, Duration::from_secs(seconds)).outlook
    };
    monitor.look(&path, Facts::default(), at(0));
    assert_eq!(predicted(&monitor, 30), Outlook::Unknown { beyond_seconds: 0.0 });
    monitor.look(&path, Facts::default(), at(29));
    assert_eq!(predicted(&monitor, 30), Outlook::Unknown { beyond_seconds: 29.0 });
    monitor.look(&path, Facts::default(), at(30));
    let Outlook::Known { probability } = predicted(&monitor, 30) else { panic!() };
    assert!(probability > 0.0 && probability < 0.2, "{probability}");
    let Outlook::Known { probability: sooner } = predicted(&monitor, 5) else { panic!() };
    assert!(sooner < probability);
}

#[test]
fn a_report_says_what_is_wrong_and_what_to_do() {
    let mut monitor = Monitor::new(MonitorConfig::default(), at(0));
    let path = topology(4, &[(0, 1), (1, 2), (2, 3)]);
    assert_eq!(monitor.report(&path, at(0)).network_topology, None);
    monitor.look(&path, Facts::default(), at(0));
    let report = monitor.report(&path, at(2));
    assert_eq!(report.overall_status, OverallStatus::Healthy);
    assert_eq!((report.age_ms, report.betting), (2_000, Betting::Open));
    assert!(report.recommendations[0].text.starts_with("Consider adding redundant connections"));
    let split = topology(4, &[(0, 1), (2, 3)]);
    monitor.look(&split, Facts::default(), at(5));
    let report = monitor.report(&split, at(5));
    assert_eq!(report.overall_status, OverallStatus::Critical);
    assert_eq!(report.betting, Betting::Paused);
    assert_eq!(report.network_topology.unwrap().partition_risk, 1.0);
    // Ends ten seconds after the parts have met again.
    monitor.look(&path, Facts::default(), at(10));
    monitor.look(&path, Facts::default(), at(20));
    let report = monitor.report(&path, at(21));
    assert_eq!(report.overall_status, OverallStatus::Healthy);
    let past: Vec<_> =
        report.recent_alerts.iter().map(|p| (p.key.kind, p.lasted_ms, p.ago_ms)).collect();
    assert_eq!(past, [(AlertKind::NetworkPartitioned, 15_000, 1_000)]);
}

#[test]
fn a_few_of_few_messages_that_fail_are_no_anomaly_and_all_of_many_are() {
    let network = topology(6, &ring(6));
    let mut monitor = Monitor::new(MonitorConfig::default(), at(0));
    let mut facts = Facts::default();
    let mut look_after = |monitor: &mut Monitor, messages, delivered: bool, tick: u64| {
        facts.delivery[0].all += messages;
        facts.delivery[0].good += if delivered { messages } else { 0 };
        look(monitor, &network, &facts, tick * 5);
        let unusual = Subject::Measure(Measure::DeliveryRealtime);
        fired(monitor).iter().any(|key| key.subject == unusual)
    };
    // Three in a row of each hundred are lost: by itself such a look is a share of 0.
    let few = (0..1_000).filter(|tick| look_after(&mut monitor, 1, tick % 100 < 97, *tick));
    assert_eq!(few.count(), 0);
    let many = (1_000..1_010).position(|tick| look_after(&mut monitor, 10, false, tick));
    assert!(matches!(many, Some(1..=4)), "{many:?}");
}
