//! Sampling of splits.

use bitcraps_topology::{LinkLife, PartitionRisk, RiskOptions, Snapshot};
use bitcraps_types::Ratio;

use super::shape;
use crate::clock::thread;
use crate::sample::median;
use crate::{Arguments, Report, Row};

pub(super) fn run(arguments: &Arguments, report: &mut Report) {
    let large = arguments.size(100_000, 10_000);
    for (peers, most_ms, what) in
        [(100, 0.3, "1024 samples"), (large, 1_000.0, "40 samples by union-find")]
    {
        let Ok(graph) = shape::geometric(peers, 8.0, arguments.seed) else { return };
        let snapshot = Snapshot::of(&graph);
        let mut rng = fastrand::Rng::with_seed(arguments.seed);
        let life = |_| LinkLife { key: rng.u64(..), survival: Ratio::clamped(0.9) };
        let lives: Vec<LinkLife> = (0..snapshot.links()).map(life).collect();
        let options = RiskOptions::default();
        let mut times: Vec<f64> = (0..7)
            .map(|_| {
                let start = thread();
                std::hint::black_box(PartitionRisk::of(&snapshot, &lives, &options));
                (thread() - start) as f64 / 1e6
            })
            .collect();
        let name = format!("partition risk, {what}, {peers} peers, links live with 90 %");
        report.push(Row::new(name, median(&mut times), "ms").at_most(most_ms));
    }
}
