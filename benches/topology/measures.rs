//! Each measure, and the whole set from the truth to the numbers.

use std::hint::black_box;

use bitcraps_topology::{
    Clustering, Components, Cuts, Diameters, EdgeInfo, Graph, MeasureSet, NodeType, Snapshot,
    Topology,
};
use bitcraps_types::{PeerId, Timestamp};
use petgraph::algo::articulation_points::articulation_points;
use petgraph::algo::{bridges, connected_components};
use petgraph::graph::UnGraph;

use super::naive::NetworkTopology;
use super::shape;
use crate::clock::thread;
use crate::sample::interleaved;
use crate::{Arguments, Failure, Report, Row};

/// Rounds of which the median counts.
const ROUNDS: usize = 5;
/// Work is repeated until a round takes about this long, in ns.
const ROUND_NS: u64 = 5_000_000;

/// What is asked of the set by size: peers, ns from the truth.
const SETS: [(usize, f64); 4] = [(100, 25e3), (10_000, 6e6), (100_000, 110e6), (1_000_000, 1.6e9)];

/// Microseconds of this thread for one call.
pub(super) fn each<T>(mut work: impl FnMut() -> T) -> f64 {
    let start = thread();
    black_box(work());
    let first = (thread() - start).max(1);
    let more = (ROUND_NS / first).min(10_000);
    let start = thread();
    for _ in 0..more {
        black_box(work());
    }
    let all = first * u64::from(more == 0) + (thread() - start);
    all as f64 / more.max(1) as f64 / 1e3
}

pub(super) fn topology(graph: &Graph, ids: &[PeerId]) -> Result<Topology, Failure> {
    let mut topology = Topology::new(1);
    let failed = |e: &dyn std::fmt::Display| Failure::Broken(format!("a generated graph: {e}"));
    for id in ids {
        topology.add_node(*id, NodeType::Regular, Timestamp::ZERO).map_err(|e| failed(&e))?;
    }
    for (a, b) in graph.link_list() {
        let ends = (&ids[a as usize], &ids[b as usize]);
        topology.add_edge(ends.0, ends.1, EdgeInfo::default()).map_err(|e| failed(&e))?;
    }
    Ok(topology)
}

pub(super) fn run(arguments: &Arguments, report: &mut Report) -> Result<(), Failure> {
    for (peers, most) in SETS {
        if peers > arguments.size(1_000_000, 10_000) {
            continue;
        }
        report.progress(&format!("geometric, {peers} peers"));
        let graph = shape::geometric(peers, 8.0, arguments.seed)?;
        let ids = shape::ids(peers, arguments.seed);
        single(&graph, report)?;
        set(&graph, &ids, most, report)?;
    }
    for (name, graph) in [
        ("scale-free", shape::scale_free(10_000, 10, arguments.seed)?),
        ("small world", shape::small_world(10_000, 8, arguments.seed)?),
    ] {
        let snapshot = Snapshot::of(&graph);
        let row = |what: &str, us| Row::new(format!("{what}, {name}, 10000 peers"), us, "us");
        report.push(row("cuts", each(|| Cuts::of(snapshot.graph()))));
        report.push(row("clustering", each(|| Clustering::of(snapshot.graph()))));
        report.push(row("exact diameter", each(|| Diameters::of(&snapshot))));
    }
    Ok(())
}

fn single(graph: &Graph, report: &mut Report) -> Result<(), Failure> {
    let snapshot = Snapshot::of(graph);
    let peers = graph.peers();
    let rows = snapshot.graph();
    let mut rival = UnGraph::<(), (), u32>::with_capacity(peers, graph.links());
    for _ in 0..peers {
        rival.add_node(());
    }
    for (a, b) in graph.link_list() {
        rival.add_edge(a.into(), b.into(), ());
    }
    let mut own_parts = || Ok(each(|| Components::of(&snapshot)));
    let mut their_parts = || Ok(each(|| connected_components(&rival)));
    let mut own_cuts = || Ok(each(|| Cuts::of(rows)));
    let mut their_cuts =
        || Ok(each(|| (articulation_points(&rival).len(), bridges(&rival).count())));
    let mut triangles = || Ok(each(|| Clustering::of(rows)));
    let mut diameter = || Ok(each(|| Diameters::of(&snapshot)));
    let [parts, parts_rival, cuts, cuts_rival, triangles, diameter] = interleaved(
        ROUNDS,
        [
            &mut own_parts,
            &mut their_parts,
            &mut own_cuts,
            &mut their_cuts,
            &mut triangles,
            &mut diameter,
        ],
    )?;
    let row = |what: &str, us| Row::new(format!("{what}, geometric, {peers} peers"), us, "us");
    let parts = row("components, from a snapshot", parts);
    report.push(parts.beside_inverse("petgraph", parts_rival).ratio_at_least(1.2));
    let least = if peers < 1_000_000 { 3.5 } else { 10.0 };
    let cuts = row("articulation points, bridges and blocks", cuts);
    report.push(cuts.beside_inverse("petgraph, two calls", cuts_rival).ratio_at_least(least));
    report.push(row("both clusterings and transitivity", triangles));
    report.push(row("exact diameter of every component", diameter));
    let bytes = snapshot.memory() as f64;
    let most = 16.0 * snapshot.links() as f64 + 24.0 * peers as f64;
    let name = format!("memory of a snapshot, geometric, {peers} peers");
    report.push(Row::new(name, bytes, "B").at_most(most));
    Ok(())
}

fn set(graph: &Graph, ids: &[PeerId], most: f64, report: &mut Report) -> Result<(), Failure> {
    let truth = topology(graph, ids)?;
    let snapshot = truth.snapshot();
    let mut cold = || Ok(each(|| MeasureSet::of(&truth.snapshot())));
    let mut warm = || Ok(each(|| MeasureSet::of(&snapshot)));
    let [cold, warm] = interleaved(ROUNDS, [&mut cold, &mut warm])?;
    let peers = graph.peers();
    let row = |what: &str, us| Row::new(format!("measure set, {what}, {peers} peers"), us, "us");
    let row_cold = row("cold: snapshot included", cold).at_most(most / 1e3);
    if peers > 100 {
        report.push(row_cold);
    } else {
        let first = NetworkTopology::new(graph, ids);
        let mut naive = || Ok(each(|| (first.calculate_diameter(), first.calculate_clustering())));
        let [naive] = interleaved(3, [&mut naive])?;
        let rival = "first design, diameter and clustering";
        report.push(row_cold.beside_inverse(rival, naive).ratio_at_least(100.0));
    }
    report.push(row("warm: from a snapshot", warm));
    Ok(())
}

/// The families in which few searches do not suffice.
pub(super) fn hard_diameters(arguments: &Arguments, report: &mut Report) {
    let peers = arguments.size(1_000_000, 100_000);
    report.progress(&format!("scale-free, {peers} peers with 10 links each"));
    let Ok(graph) = shape::scale_free(peers, 10, arguments.seed) else { return };
    let snapshot = Snapshot::of(&graph);
    let start = thread();
    let diameter = Diameters::of_largest(&snapshot);
    let seconds = (thread() - start) as f64 / 1e9;
    let name = format!("exact diameter ({diameter}), scale-free, {peers} peers, 10 links each");
    report.push(Row::new(name, seconds, "s").at_most(60.0));
}
