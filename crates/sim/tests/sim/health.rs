//! What engines tell of their links and transports.

use std::time::Duration;

use bitcraps_coordinator::Machine;
use bitcraps_engine::monitor::{AlertKey, AlertKind, Change, MonitorConfig, Subject};
use bitcraps_linkstate::Config;
use bitcraps_sim::{Fault, LinkModel, NodeId, SimLink, Simulation, Way};
use bitcraps_types::{Epoch, TransportType};

const SECOND: Duration = Duration::from_secs(1);
/// From when nobody answers over a transport until that is told: six probes, a look, and that it still
/// holds at the next.
const TOLD: Duration = Duration::from_secs(13);

/// Two nodes with a link over Wi-Fi and one over Bluetooth, that have settled.
fn pair(seed: u64) -> (Simulation, [NodeId; 2], SimLink) {
    let mut sim = Simulation::new(seed);
    let nodes = [(); 2].map(|()| sim.add_node_with(|s| s.network = Some(Config::new(Epoch(1)))));
    sim.add_link(nodes[0], nodes[1], LinkModel::wifi());
    let bluetooth = sim.add_link(nodes[0], nodes[1], LinkModel::bluetooth_le());
    for node in nodes {
        sim.with_engine(node, |engine, now| engine.watch_health(MonitorConfig::default(), now));
    }
    sim.run_for(20 * SECOND);
    (sim, nodes, bluetooth)
}

/// What became of the alert that Bluetooth is down at a node since this was asked before.
fn bluetooth_down(sim: &mut Simulation, node: NodeId) -> Vec<Change> {
    let subject = Subject::Transport(TransportType::Bluetooth);
    let key = AlertKey { kind: AlertKind::TransportDown, subject };
    sim.with_engine(node, |engine, _| {
        let alerts = engine.health_mut().unwrap().monitor_mut().alerts_mut();
        let changes = std::iter::from_fn(|| alerts.poll_transition());
        changes.filter(|change| change.key == key).map(|change| change.change).collect()
    })
    .unwrap()
}

#[test]
fn a_transport_that_dies_is_told_within_its_bound_and_its_return_too() {
    for seed in 1..=10 {
        let (mut sim, nodes, bluetooth) = pair(seed);
        sim.fault(bluetooth, Way::Both, Fault::BlackHole(true));
        sim.run_for(TOLD);
        for node in nodes {
            assert_eq!(bluetooth_down(&mut sim, node), [Change::Fired], "seed {seed}");
        }
        sim.fault(bluetooth, Way::Both, Fault::BlackHole(false));
        sim.run_for(60 * SECOND);
        for node in nodes {
            assert_eq!(bluetooth_down(&mut sim, node), [Change::Resolved], "seed {seed}");
        }
    }
}

#[test]
fn a_transport_whose_only_link_flaps_while_it_answers_is_not_down() {
    for seed in 1..=10 {
        let (mut sim, nodes, bluetooth) = pair(seed);
        let mut doubted = 0;
        for _ in 0..30 {
            // Long enough to lose the three probes after which a link passes for dead.
            sim.fault(bluetooth, Way::Both, Fault::BlackHole(true));
            sim.run_for(Duration::from_millis(1_300));
            sim.fault(bluetooth, Way::Both, Fault::BlackHole(false));
            sim.run_for(3 * SECOND);
            let now = sim.clock(nodes[0]);
            let core = sim.engine(nodes[0]).unwrap().core();
            let other = sim.peer_id(nodes[1]);
            doubted += core.measures(other, now).filter(|link| link.silence.is_some()).count();
        }
        assert!(doubted > 10, "seed {seed}: {doubted}");
        for node in nodes {
            assert_eq!(bluetooth_down(&mut sim, node), [], "seed {seed}");
        }
    }
}
