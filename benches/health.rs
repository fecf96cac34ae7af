//! What a look of the monitor at a network costs, and a storm of alerts: `bench health`.

mod storm;

use std::time::Duration;

use bitcraps_monitor::{Facts, Monitor, MonitorConfig};
use bitcraps_topology::{EdgeInfo, NodeType, Topology};
use bitcraps_types::{PeerId, Timestamp};
use fastrand::Rng;

use crate::{Arguments, Failure, Report, Row, clock, sample};

/// Neighbours of a peer on average.
const DEGREE: usize = 8;

/// Measures whole looks: the snapshot, every measure, the risk, detectors, alerts and history.
///
/// # Errors
/// [`Failure`] when a network cannot be made.
pub fn run(arguments: &Arguments, report: &mut Report) -> Result<(), Failure> {
    for (peers, looks, most) in [(100, 400, 1.0), (1_000, 50, f64::MAX), (10_000, 20, 50.0)] {
        let looks = arguments.size(looks, looks / 4);
        let topology = network(peers, arguments.seed)?;
        let mut monitor = Monitor::new(MonitorConfig::default(), Timestamp::ZERO);
        let mut now = Timestamp::ZERO;
        let mut taken = Vec::with_capacity(looks);
        for _ in 0..looks {
            now += Duration::from_secs(5);
            let start = clock::thread();
            monitor.look(&topology, Facts::default(), now);
            taken.push((clock::thread() - start) as f64 / 1e6);
        }
        let row =
            |what: &str, value| Row::new(format!("look at {peers} peers, {what}"), value, "ms");
        let median = row("median", sample::median(&mut taken));
        report.push(if most < f64::MAX { median.at_most(most) } else { median });
        report.push(row("worst", sample::quantile(&mut taken, 1.0)));
    }
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.enable_all().build().map_err(Failure::io("runtime"))?;
    runtime.block_on(storm::run(arguments, report))
}

fn network(peers: usize, seed: u64) -> Result<Topology, Failure> {
    let failed = |e: &dyn std::fmt::Display| Failure::Broken(format!("a network: {e}"));
    let mut rng = Rng::with_seed(seed);
    let ids: Vec<PeerId> = (0..peers)
        .map(|_| {
            let mut id = [0; 32];
            rng.fill(&mut id);
            PeerId::from_bytes(id)
        })
        .collect();
    let mut topology = Topology::new(seed);
    for id in &ids {
        topology.add_node(*id, NodeType::Regular, Timestamp::ZERO).map_err(|e| failed(&e))?;
    }
    for _ in 0..peers * DEGREE / 2 {
        let (a, b) = (rng.usize(..peers), rng.usize(..peers));
        // Pairs that are drawn twice, or with themselves, are left out.
        if a != b && topology.links_between(&ids[a], &ids[b]).is_empty() {
            let link = EdgeInfo::default();
            topology.add_edge(&ids[a], &ids[b], link).map_err(|e| failed(&e))?;
        }
    }
    Ok(topology)
}
