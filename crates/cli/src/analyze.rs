//! `bitcraps analyze`: a network out of a file, for whoever runs it.

mod drawing;
mod text;

use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bitcraps_node::admin::SCHEMA;
use bitcraps_topology::read::{self, Format, Network};
use bitcraps_topology::{
    LinkLife, LinkWeight, RELIABILITY_PERIOD, ReportOptions, RiskOptions, Slot, Snapshot,
    TopologyReport,
};
use bitcraps_types::Ratio;
use serde_json::{Value, json};

use crate::arguments::duration;
use crate::console;
use crate::failure::{Exit, Failure};
use crate::progress::{Counted, Progress};

/// Arguments of `bitcraps analyze`.
#[derive(Debug, clap::Args)]
pub(crate) struct Analyze {
    /// Edge list (`u v [reliability]` a line), NetJSON, meshviewer JSON, GraphML or GML; gzip too
    file: PathBuf,
    /// What the file is: edgelist, netjson, meshviewer, graphml, gml; default: as it looks
    #[arg(long, value_parser = format)]
    format: Option<Format>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Time that the risk is about
    ///
    /// A link's reliability is taken for the probability that it lives through 5 seconds, and
    /// failures come without memory.
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "5s")]
    horizon: Duration,
    /// Reliability of links of which the file tells none
    #[arg(long, value_name = "RATIO", value_parser = ratio, default_value = "0.99")]
    reliability: Ratio,
    /// Samples for the risk
    #[arg(long, value_name = "COUNT", default_value_t = 1_024)]
    samples: u32,
    /// Seed of the samples
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
    /// Links to suggest at most
    #[arg(long, value_name = "COUNT", default_value_t = 5)]
    suggest: usize,
    /// Write a drawing for Graphviz, single points of failure marked
    #[arg(long, value_name = "FILE")]
    dot: Option<PathBuf>,
    /// Write a drawing, single points of failure marked
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Write the drawing of --svg as a picture
    #[arg(long, value_name = "FILE")]
    png: Option<PathBuf>,
}

fn format(text: &str) -> Result<Format, String> {
    let found = Format::ALL.into_iter().find(|format| format.name() == text);
    found.ok_or_else(|| "one of edgelist, netjson, meshviewer, graphml, gml".to_owned())
}

fn ratio(text: &str) -> Result<Ratio, String> {
    let number: f64 = text.parse().map_err(|_| format!("{text:?} is no number"))?;
    Ratio::new(number).map_err(|error| error.to_string())
}

pub(crate) fn run(analyze: &Analyze) -> Result<Exit, Failure> {
    let progress = Progress::new();
    let network = open(&analyze.file, analyze.format, &progress)?;
    progress.say("measuring");
    let snapshot = Snapshot::of(&network.graph);
    let lives = lives(&network, &snapshot, analyze);
    let options = ReportOptions {
        risk: RiskOptions {
            samples: analyze.samples,
            seed: analyze.seed,
            ..RiskOptions::default()
        },
        suggestions: analyze.suggest,
        ..ReportOptions::default()
    };
    let report = TopologyReport::of(&snapshot, &lives, &options);
    for (path, draw) in [
        (&analyze.dot, drawing::dot as fn(&Network, &TopologyReport) -> String),
        (&analyze.svg, drawing::svg),
    ] {
        if let Some(path) = path {
            progress.say("drawing");
            let written = std::fs::write(path, draw(&network, &report));
            written.map_err(|why| Failure::Write { path: path.clone(), why })?;
        }
    }
    if let Some(path) = &analyze.png {
        progress.say("painting");
        let unwritten = |why| Failure::Write { path: path.clone(), why };
        let picture = drawing::png(&drawing::svg(&network, &report));
        let picture = picture.map_err(|why| unwritten(io::Error::other(why)))?;
        std::fs::write(path, picture).map_err(unwritten)?;
    }
    progress.clear();
    let told = if analyze.json {
        format!("{}\n", as_json(&network, &report, analyze.horizon))
    } else {
        text::of(&analyze.file, &network, &report, analyze.horizon)
    };
    console::print(&told)?;
    Ok(Exit::Healthy)
}

fn open(path: &Path, format: Option<Format>, progress: &Progress) -> Result<Network, Failure> {
    let unread = |why: read::ReadError| Failure::Network { path: path.to_owned(), why };
    let file = File::open(path).map_err(|why| unread(why.into()))?;
    let bytes = file.metadata().map(|metadata| metadata.len()).unwrap_or(0);
    let input = BufReader::with_capacity(1 << 16, Counted::new(file, bytes, progress));
    read::network(input, format).map_err(unread)
}

/// What is known of each link's future, in the order of the snapshot.
fn lives(network: &Network, snapshot: &Snapshot, analyze: &Analyze) -> Vec<LinkLife> {
    let index = bitcraps_topology::LinkIndex::new(&network.graph);
    let slot = |position| snapshot.slot(position).map_or(0, |slot| slot.0);
    let life = |(a, b)| {
        let (a, b) = (slot(a), slot(b));
        let number = index.find(&network.graph, a, b);
        let told = number.and_then(|n| network.reliabilities.get(n as usize).copied().flatten());
        let reliability = told.unwrap_or(analyze.reliability);
        let weight = LinkWeight { reliability, latency: RELIABILITY_PERIOD };
        let names = [a, b].map(|slot| key(&network.names[slot as usize]));
        let key = names[0].min(names[1]).rotate_left(32) ^ names[0].max(names[1]);
        LinkLife { key, survival: weight.survival(analyze.horizon) }
    };
    snapshot.graph().link_list().map(life).collect()
}

/// A number for a name, the same whenever the file is read (FNV-1a).
fn key(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn as_json(network: &Network, report: &TopologyReport, horizon: Duration) -> Value {
    let name = |slot: Slot| network.names.get(slot.0 as usize).map_or("", String::as_str);
    let measures = &report.measures;
    let points: Vec<Value> = report
        .articulation_points
        .iter()
        .map(|c| json!({ "peer": name(c.what), "pairs_lost": c.pairs_lost }))
        .collect();
    let bridges: Vec<Value> = report
        .bridges
        .iter()
        .map(|c| json!({ "a": name(c.what.0), "b": name(c.what.1), "pairs_lost": c.pairs_lost }))
        .collect();
    let suggested: Vec<Value> = report
        .suggested
        .iter()
        .map(|link| json!({ "a": name(link.a), "b": name(link.b), "effect": link.effect }))
        .collect();
    let risk = &report.risk;
    json!({
        "schema": SCHEMA,
        "peers": measures.peers,
        "links": measures.links,
        "components": measures.components,
        "largest_component": measures.largest_component,
        "diameter": measures.diameter,
        "average_clustering": measures.average_clustering,
        "average_clustering_deg2": measures.average_clustering_deg2,
        "transitivity": measures.transitivity,
        "articulation_points": { "count": measures.articulation_points, "ranked": points },
        "bridges": { "count": measures.bridges, "ranked": bridges },
        "partition_risk": {
            "p_split": risk.p_split.value,
            "p_any": risk.p_any.value,
            "pairs_lost": risk.pairs_lost.value,
            "standard_error": risk.p_split.standard_error,
            "horizon_seconds": horizon.as_secs_f64(),
        },
        "walkthrough_risk": report.walkthrough_risk,
        "suggested_links": suggested,
    })
}
