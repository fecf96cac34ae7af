//! Exact diameters of real networks, against the libraries that know how.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use bitcraps_topology::read::{self, Format};
use bitcraps_topology::{Diameters, Snapshot};
use serde::Deserialize;

use super::measures::each;
use super::peers::largest_component;
use super::rival::Rivals;
use crate::sample::median;
use crate::{Arguments, Failure, Report, Row};

/// Rounds of which the median counts.
const ROUNDS: usize = 5;
/// Graphs of more peers than this count.
const SMALL: u64 = 1_000;
/// What must be reached in the geometric mean.
const RIVALS: [(&str, f64); 2] = [("NetworKit", 3.0), ("webgraph-algo", 5.0)];
/// What must be reached on every graph: not slower, but for noise.
const EVERYWHERE: f64 = 0.9;

#[derive(Debug, Deserialize)]
struct Truth {
    n: u64,
    diameter: u32,
}

pub(super) fn run(
    arguments: &Arguments,
    rivals: &Rivals,
    report: &mut Report,
) -> Result<(), Failure> {
    let Some(directory) = arguments.graphs.as_deref().map(Path::new) else {
        report.progress("SKIPPED: diameters of open graphs; --graphs DIR names none");
        return Ok(());
    };
    let path = directory.join("truth.json");
    let failed = |e: &dyn std::fmt::Display| Failure::Broken(format!("{}: {e}", path.display()));
    if !path.exists() {
        report.progress(&format!("SKIPPED: diameters of open graphs; no {}", path.display()));
        return Ok(());
    }
    let file = File::open(&path).map_err(|e| failed(&e))?;
    let truth: BTreeMap<String, Truth> =
        serde_json::from_reader(BufReader::new(file)).map_err(|e| failed(&e))?;
    let mut ratios: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for (name, truth) in truth.iter().filter(|(_, truth)| truth.n > SMALL) {
        for (rival, ratio) in compare(&directory.join(name), name, truth, rivals, report)? {
            ratios.entry(rival).or_default().push(ratio);
        }
    }
    for (rival, least) in RIVALS {
        let ratios = ratios.remove(rival).unwrap_or_default();
        let mean = (ratios.iter().map(|ratio| ratio.ln()).sum::<f64>() / ratios.len() as f64).exp();
        let name = format!("exact diameter, geometric mean over {} open graphs", ratios.len());
        let row = Row::new(format!("{name}, times as fast as {rival}"), mean, "x");
        report.push(row.at_least(least));
    }
    Ok(())
}

/// How many times as long as this each rival takes.
fn compare(
    path: &Path,
    name: &str,
    truth: &Truth,
    rivals: &Rivals,
    report: &mut Report,
) -> Result<Vec<(&'static str, f64)>, Failure> {
    let failed = |e: read::ReadError| Failure::broken(&path.display().to_string(), e);
    let file = File::open(path).map_err(|e| failed(e.into()))?;
    let network = read::network(BufReader::new(file), Some(Format::EdgeList)).map_err(failed)?;
    let graph = largest_component(&network.graph)?;
    let snapshot = Snapshot::of(&graph);
    let mut running = rivals.start(&graph, Some("diameter"))?;
    let mut own = Vec::new();
    let mut taken: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for _ in 0..ROUNDS {
        own.push(each(|| Diameters::of(&snapshot)));
        for rival in &mut running {
            let round = rival.round()?;
            let found = round.diameters.iter().chain([&truth.diameter]);
            let diameter = Diameters::of_largest(&snapshot);
            if let Some(other) = found.copied().find(|found| *found != diameter) {
                return Err(Failure::Broken(format!(
                    "{name}: the diameter is {diameter}, or {other} to a rival or to the truth"
                )));
            }
            for (library, us) in round.us.into_values().flatten() {
                taken.entry(library).or_default().push(us);
            }
        }
    }
    let own = median(&mut own);
    let mut ratios = Vec::new();
    for (rival, _) in RIVALS {
        let theirs = taken.get_mut(rival).map_or(f64::NAN, |times| median(times));
        let what = format!("exact diameter, {name}, {} peers", graph.peers());
        let row = Row::new(what, own, "us").beside_inverse(rival, theirs);
        report.push(row.ratio_at_least(EVERYWHERE));
        ratios.push((rival, theirs / own));
    }
    Ok(ratios)
}
