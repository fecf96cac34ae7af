//! Each measure against the libraries that people use, in the same run.

use std::collections::BTreeMap;

use bitcraps_topology::{Clustering, Components, Cuts, Diameters, Graph, MeasureSet, Snapshot};

use super::measures::each;
use super::rival::Rivals;
use super::{open, shape};
use crate::sample::median;
use crate::{Arguments, Failure, Report, Row};

/// Rounds of which the median counts.
const ROUNDS: usize = 5;

/// Least ratios to rivals.
#[derive(Clone, Copy)]
struct Least {
    /// The measure set, to the best for each measure together.
    set: f64,
    /// Clustering, to the best.
    clustering: f64,
    /// The diameter, to NetworKit.
    diameter: f64,
}

const LEAST: Least = Least { set: 4.0, clustering: 3.0, diameter: 1.0 };

/// What must be reached by size.
const SIZES: [(usize, Least); 5] = [
    (100, LEAST),
    (1_000, LEAST),
    (10_000, LEAST),
    (100_000, LEAST),
    (1_000_000, Least { set: 5.0, clustering: 8.0, diameter: 7.0 }),
];

pub(super) fn run(arguments: &Arguments, report: &mut Report) -> Result<(), Failure> {
    report.progress("rivals: a virtual environment and a build");
    let rivals = Rivals::installed()?;
    if arguments.wants("open graphs") {
        open::run(arguments, &rivals, report)?;
    }
    if !arguments.wants("generated graphs") {
        return Ok(());
    }
    let most = if arguments.million { 1_000_000 } else { arguments.size(100_000, 10_000) };
    for (peers, least) in SIZES.into_iter().filter(|size| size.0 <= most) {
        let graph = largest_component(&shape::geometric(peers, 8.0, arguments.seed)?)?;
        let name = format!("geometric, {} peers", graph.peers());
        compare(&name, &graph, least, &rivals, report)?;
    }
    for (name, graph) in [
        ("scale-free, 10000 peers", shape::scale_free(10_000, 10, arguments.seed)?),
        ("small world, 10000 peers", shape::small_world(10_000, 8, arguments.seed)?),
    ] {
        compare(name, &largest_component(&graph)?, LEAST, &rivals, report)?;
    }
    Ok(())
}

/// Some of the rivals know the diameter of connected graphs alone. Peers stay in their order: to number
/// them by nearness, as snapshots do, would do a part of the work for the rivals.
pub(super) fn largest_component(graph: &Graph) -> Result<Graph, Failure> {
    let distances = |peer| bitcraps_topology::hop_distances(graph, peer);
    let mut best: Vec<u32> = Vec::new();
    let mut seen = vec![false; graph.peers()];
    for peer in 0..graph.peers() as u32 {
        if seen[peer as usize] {
            continue;
        }
        let reached = distances(peer);
        let member = |(peer, distance): (u32, &u32)| {
            (*distance != bitcraps_topology::UNREACHED).then_some(peer)
        };
        let members: Vec<u32> = (0..).zip(&reached).filter_map(member).collect();
        members.iter().for_each(|member| seen[*member as usize] = true);
        if members.len() > best.len() {
            best = members;
        }
    }
    let mut numbers = vec![None; graph.peers()];
    for (number, peer) in (0..).zip(&best) {
        numbers[*peer as usize] = Some(number);
    }
    let kept = graph.link_list().filter_map(|(a, b)| numbers[a as usize].zip(numbers[b as usize]));
    let links: Vec<(u32, u32)> = kept.collect();
    Graph::from_links(best.len(), &links).map_err(|e| Failure::broken("a component", e))
}

/// Microseconds of each round, by measure and library.
type Taken = BTreeMap<String, BTreeMap<String, Vec<f64>>>;

fn compare(
    name: &str,
    graph: &Graph,
    least: Least,
    rivals: &Rivals,
    report: &mut Report,
) -> Result<(), Failure> {
    report.progress(name);
    let mut running = rivals.start(graph, None)?;
    let snapshot = Snapshot::of(graph);
    let rows = snapshot.graph();
    let diameter = Diameters::of_largest(&snapshot);
    let mut own: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    let mut taken = Taken::new();
    for _ in 0..ROUNDS {
        let round = [
            ("components", each(|| Components::of(&snapshot))),
            ("cuts", each(|| Cuts::of(rows))),
            ("clustering", each(|| Clustering::of(rows))),
            ("diameter", each(|| Diameters::of(&snapshot))),
            ("set", each(|| MeasureSet::of(&Snapshot::of(graph)))),
        ];
        for (measure, us) in round {
            own.entry(measure).or_default().push(us);
        }
        for rival in &mut running {
            let round = rival.round()?;
            if let Some(other) = round.diameters.iter().find(|found| **found != diameter) {
                return Err(Failure::Broken(format!(
                    "{name}: the diameter is {diameter}, or {other} to a rival"
                )));
            }
            for (measure, libraries) in round.us {
                let measure = taken.entry(measure).or_default();
                for (library, us) in libraries {
                    measure.entry(library).or_default().push(us);
                }
            }
        }
    }
    let mut own = |measure: &str| own.get_mut(measure).map_or(0.0, |times| median(times));
    let mut sum = 0.0;
    for (measure, libraries) in &mut taken {
        let medians = libraries.iter_mut().map(|(library, times)| (library, median(times)));
        let mut medians: Vec<_> = medians.collect();
        medians.sort_unstable_by(|a, b| a.1.total_cmp(&b.1));
        sum += medians.first().map_or(0.0, |best| best.1);
        // One pass counts the triangles for both.
        let us = own(if measure == "transitivity" { "clustering" } else { measure });
        for (place, (library, theirs)) in medians.into_iter().enumerate() {
            let from = if measure == "components" { ", read from a snapshot" } else { "" };
            let row = Row::new(format!("{measure}{from}, {name}"), us, "us");
            let row = row.beside_inverse(library.clone(), theirs);
            report.push(match (measure.as_str(), place, library.as_str()) {
                ("clustering", 0, _) => row.ratio_at_least(least.clustering),
                ("diameter", _, "NetworKit") => row.ratio_at_least(least.diameter),
                ("diameter", _, "webgraph-algo") => row.ratio_at_least(1.0),
                _ => row,
            });
        }
    }
    let row = Row::new(format!("measure set, cold, {name}"), own("set"), "us");
    let row = row.beside_inverse("the best for each measure, together", sum);
    report.push(row.ratio_at_least(least.set));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_component_is_cut_out_in_its_order() {
        let graph = Graph::from_links(8, &[(0, 1), (2, 5), (5, 3), (3, 2), (3, 7)]).unwrap();
        let largest = largest_component(&graph).unwrap();
        let links: Vec<_> = largest.link_list().collect();
        assert_eq!(links, [(0, 1), (0, 2), (1, 2), (1, 3)]);
    }
}
