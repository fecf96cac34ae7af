//! What is told of a network that something happens to: whole engines, in virtual time.

use std::time::Duration;

use bitcraps_coordinator::SendOptions;
use bitcraps_engine::monitor::{
    AlertKey, AlertKind, Level, Measure, MonitorConfig, Signal, Subject,
};
use bitcraps_linkstate::Config;
use bitcraps_sim::{Death, LinkModel, NodeId, NodeSetup, Simulation};
use bitcraps_types::{Epoch, PeerId, Timestamp, TrafficClass};

use super::scene::{MS, SECOND, each_seed};

fn told(setup: &mut NodeSetup) {
    setup.network = Some(Config::new(Epoch(1)));
}

fn watches(sim: &mut Simulation, node: NodeId) {
    sim.with_engine(node, |engine, now| engine.watch_health(MonitorConfig::default(), now));
}

fn fires(sim: &Simulation, node: NodeId, key: AlertKey) -> bool {
    sim.engine(node).unwrap().health().unwrap().monitor().alerts().fires(&key)
}

/// Two rows of two, joined by one peer in their middle: what the first of them sees.
fn joined(seed: u64) -> (Simulation, [NodeId; 2]) {
    let mut sim = Simulation::new(seed);
    let nodes: Vec<NodeId> = (0..5).map(|_| sim.add_node_with(told)).collect();
    for (a, b) in [(0, 1), (1, 2), (2, 3), (3, 4)] {
        sim.add_link(nodes[a], nodes[b], LinkModel::wifi());
    }
    watches(&mut sim, nodes[0]);
    sim.run_for(20 * SECOND);
    (sim, [nodes[0], nodes[2]])
}

#[test]
fn the_loss_of_an_articulation_point_fires_within_a_second() {
    const SPLIT: AlertKey = AlertKey::of_network(AlertKind::NetworkPartitioned);
    // One that dies without a word is dead to its neighbours after 1.5 s of silence.
    for (death, known) in [(Death::Told, Duration::ZERO), (Death::Silent, 1_500 * MS)] {
        each_seed(|seed| {
            let (mut sim, [first, middle]) = joined(seed);
            assert!(!fires(&sim, first, SPLIT));
            let health = sim.engine(first).unwrap().health().unwrap().monitor().health();
            assert_eq!(health.unwrap().articulation_points, 3);
            sim.kill(middle, death);
            let lost = sim.now();
            while !fires(&sim, first, SPLIT) {
                assert!(sim.now().since(lost) <= known + SECOND, "{death:?}");
                sim.run_for(10 * MS);
            }
        });
    }
}

#[test]
fn a_key_that_two_devices_use_is_told_while_they_do() {
    each_seed(|seed| {
        let mut sim = Simulation::new(seed);
        let [a, b] = [0; 2].map(|_| sim.add_node_with(told));
        sim.add_link(a, b, LinkModel::wifi());
        watches(&mut sim, a);
        let stolen = sim.peer_id(b);
        let key = AlertKey { kind: AlertKind::IdentityConflict, subject: Subject::Peer(stolen) };
        sim.run_for(10 * SECOND);
        assert!(!fires(&sim, a, key));
        let thief = sim.add_node_with(|setup| {
            setup.config.local = stolen;
            setup.config.epoch = Epoch(7);
        });
        sim.add_link(a, thief, LinkModel::wifi());
        // By the second look: the contest is over within a second, and looks are 5 s apart.
        sim.run_for(10 * SECOND);
        assert!(fires(&sim, a, key));
        // It is remembered for ten minutes that there are two.
        sim.kill(thief, Death::Silent);
        sim.run_for(800 * SECOND);
        assert!(!fires(&sim, a, key));
    });
}

/// How long bets between two peers took, in order, while node `a` is told so many anomalies a
/// millisecond.
fn bets_during_a_storm(seed: u64, storm: u64) -> (Vec<Duration>, Simulation, NodeId) {
    let mut sim = Simulation::new(seed);
    let [a, b] = [0; 2].map(|_| sim.add_node_with(told));
    sim.add_link(a, b, LinkModel::wifi());
    watches(&mut sim, a);
    sim.run_for(3 * SECOND);
    let mut bets = Vec::new();
    for milli in 0..1_000_u64 {
        if milli.is_multiple_of(10) {
            let options = SendOptions::new(TrafficClass::Critical);
            bets.push((sim.send(a, b, 100, options, None), sim.now()));
        }
        sim.with_engine(a, |engine, now| {
            let Some(health) = engine.health_mut() else { return };
            let alerts = health.monitor_mut().alerts_mut();
            for number in 0..storm {
                alerts.signal(anomaly(milli * storm + number), now);
            }
        });
        sim.run_for(MS);
    }
    assert!(sim.run_until_idle(10 * SECOND));
    let latency = |(id, at): (bitcraps_sim::SendId, Timestamp)| {
        let message = sim.message(id);
        assert!(message.is_delivered());
        message.outcome.as_ref().unwrap().0.since(at)
    };
    (bets.into_iter().map(latency).collect(), sim, a)
}

/// Of a peer of its own; at one time in a hundred of a measure.
fn anomaly(number: u64) -> Signal {
    let mut id = [0; 32];
    id[..8].copy_from_slice(&number.to_be_bytes());
    let subject = match number % 100 {
        0 => Subject::Measure(Measure::ALL[(number / 100) as usize % Measure::COUNT]),
        _ => Subject::Peer(PeerId::from_bytes(id)),
    };
    Signal {
        key: AlertKey { kind: AlertKind::AnomalyDetected, subject },
        level: Level::Breach,
        value: 1.0,
        what: "x".repeat(10_000),
        split_off: false,
    }
}

#[test]
fn fault_32_a_storm_of_alerts_takes_a_bounded_place_and_delays_no_bet() {
    each_seed(|seed| {
        let (calm, ..) = bets_during_a_storm(seed, 0);
        let (storm, mut sim, a) = bets_during_a_storm(seed, 100);
        assert_eq!(storm, calm, "100,000 a second");
        let now = sim.clock(a);
        sim.with_engine(a, |engine, _| {
            let alerts = engine.health_mut().unwrap().monitor_mut().alerts_mut();
            let active = alerts.active(now);
            assert_eq!(active.len(), 1_024);
            assert!(active.iter().all(|alert| alert.what.len() <= 512));
            assert!(alerts.overflow() > 90_000, "{}", alerts.overflow());
            let mut changes = 0;
            while alerts.poll_transition().is_some() {
                changes += 1;
            }
            assert_eq!(changes, 256);
        });
        // It passes, and leaves room for others.
        sim.run_for(4_000 * SECOND);
        let (now, alerts) = (sim.clock(a), sim.engine(a).unwrap().health().unwrap());
        assert_eq!(alerts.monitor().alerts().active(now), []);
        assert!(alerts.monitor().alerts().past().count() <= 256);
    });
}
