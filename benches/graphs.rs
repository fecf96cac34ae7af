//! Every graph of a directory against the answers beside it: `eval graphs DIR`.
//!
//! `DIR/truth.json` maps file names to `n`, `m`, `components`, `largest`, `diameter`,
//! `diameter_any_component`, `clust_all`, `clust_deg2`, `transitivity`, `articulation` and
//! `bridges`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Write as _};
use std::path::Path;

use bitcraps_topology::read::{self, Format};
use bitcraps_topology::{Clustering, Components, Cuts, Diameters, Snapshot};
use serde::Deserialize;

use crate::Failure;

/// The answers for one graph. Others in the file say how they were come by.
#[derive(Debug, Deserialize)]
struct Truth {
    n: u64,
    m: u64,
    components: u64,
    largest: u64,
    diameter: u64,
    diameter_any_component: u64,
    clust_all: f64,
    clust_deg2: f64,
    transitivity: f64,
    articulation: u64,
    bridges: u64,
}

/// Means over thousands of peers are summed in other orders elsewhere.
const MAX_ERROR: f64 = 1e-9;

/// Analyses and compares every graph that the truth names.
///
/// # Errors
/// [`Failure`] when a graph cannot be read, or when any number disagrees.
pub fn run(words: &[String]) -> Result<(), Failure> {
    let [directory] = words else {
        return Err(Failure::Usage("graphs wants one directory".to_owned()));
    };
    let directory = Path::new(directory);
    let path = directory.join("truth.json");
    let file = File::open(&path).map_err(|e| Failure::broken(&path.display().to_string(), e))?;
    let truth: BTreeMap<String, Truth> = serde_json::from_reader(BufReader::new(file))
        .map_err(|e| Failure::broken(&path.display().to_string(), e))?;
    let mut exact = 0;
    let mut out = io::stdout().lock();
    for (name, truth) in &truth {
        let path = directory.join(name);
        let wrong = disagreements(&path, truth)?;
        exact += usize::from(wrong.is_empty());
        for line in wrong {
            writeln!(out, "{name}: {line}").map_err(Failure::io("standard output"))?;
        }
    }
    writeln!(out, "{} graphs, {exact} exact", truth.len())
        .map_err(Failure::io("standard output"))?;
    match truth.len() - exact {
        0 => Ok(()),
        wrong => Err(Failure::Broken(format!("{wrong} graphs disagree"))),
    }
}

fn disagreements(path: &Path, truth: &Truth) -> Result<Vec<String>, Failure> {
    let failed = |e: read::ReadError| Failure::broken(&path.display().to_string(), e);
    let file = File::open(path).map_err(|e| failed(e.into()))?;
    let network = read::network(BufReader::new(file), Some(Format::EdgeList)).map_err(failed)?;
    let snapshot = Snapshot::of(&network.graph);
    let components = Components::of(&snapshot);
    let diameters = Diameters::of(&snapshot);
    let clustering = Clustering::of(snapshot.graph());
    let cuts = Cuts::of(snapshot.graph());
    let counts = [
        ("n", snapshot.peers() as u64, truth.n),
        ("m", snapshot.links() as u64, truth.m),
        ("components", components.count() as u64, truth.components),
        ("largest", u64::from(components.largest()), truth.largest),
        ("diameter", u64::from(diameters.largest_component()), truth.diameter),
        (
            "diameter_any_component",
            u64::from(diameters.any_component()),
            truth.diameter_any_component,
        ),
        ("articulation", cuts.articulation_points().len() as u64, truth.articulation),
        ("bridges", cuts.bridges().len() as u64, truth.bridges),
    ];
    let shares = [
        ("clust_all", clustering.average_clustering(), truth.clust_all),
        ("clust_deg2", clustering.average_clustering_deg2(), truth.clust_deg2),
        ("transitivity", clustering.transitivity(), truth.transitivity),
    ];
    let counts = counts.into_iter().filter(|(_, told, truth)| told != truth);
    let counts = counts.map(|(what, told, truth)| format!("{what} is {told}, truth says {truth}"));
    let shares = shares.into_iter().filter(|(_, told, truth)| (told - truth).abs() > MAX_ERROR);
    let shares = shares.map(|(what, told, truth)| format!("{what} is {told}, truth says {truth}"));
    Ok(counts.chain(shares).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(articulation: u64) -> Result<(), Failure> {
        let directory = tempfile::tempdir().map_err(Failure::io("a directory"))?;
        let truth = format!(
            r#"{{"a.txt":{{"n":4,"m":3,"components":1,"largest":4,"diameter":3,
            "diameter_any_component":3,"clust_all":0.0,"clust_deg2":0.0,"transitivity":0.0,
            "articulation":{articulation},"bridges":3,"peers":["x"],"disagree":[]}}}}"#
        );
        std::fs::write(directory.path().join("truth.json"), truth).unwrap();
        std::fs::write(directory.path().join("a.txt"), "# n 4\n0 1\n1 2\n2 3\n").unwrap();
        run(&[directory.path().display().to_string()])
    }

    #[test]
    fn agreement_is_told_from_disagreement() {
        assert!(of(2).is_ok());
        assert!(matches!(of(1), Err(Failure::Broken(text)) if text == "1 graphs disagree"));
        assert!(matches!(run(&[]), Err(Failure::Usage(_))));
        assert!(matches!(run(&["/nowhere".to_owned()]), Err(Failure::Broken(_))));
    }
}
