//! `bitcraps topology` and `bitcraps path`: the whole network, as a running node sees it.

use bitcraps_node::admin::{
    KnownLinkReport, KnownPeerReport, NetworkReport, PathReport, Request, Response,
};
use serde_json::json;

use crate::console::{self, counted, latency};
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::grid::Grid;
use crate::status::as_json;
use crate::watch::Watch;

/// Arguments of `bitcraps topology`.
#[derive(Debug, clap::Args)]
pub(crate) struct Topology {
    /// What to print
    #[arg(long, value_enum, default_value_t = Shape::Table)]
    format: Shape,
    /// Print JSON, as --format json does
    #[arg(long, conflicts_with = "format")]
    json: bool,
    #[command(flatten)]
    watch: Watch,
}

impl Topology {
    /// Whether errors are to be told as JSON, too.
    pub(crate) fn wants_json(&self) -> bool {
        matches!(self.shape(), Shape::Json | Shape::Netjson)
    }

    fn shape(&self) -> Shape {
        if self.json { Shape::Json } else { self.format }
    }
}

/// How a network is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Shape {
    /// For people
    Table,
    /// Everything that the node says
    Json,
    /// A drawing, for Graphviz
    Dot,
    /// NetJSON NetworkGraph (RFC draft), which `bitcraps analyze` reads
    Netjson,
}

/// Arguments of `bitcraps path`.
#[derive(Debug, clap::Args)]
pub(crate) struct Path {
    /// The peer: its id, or at least 4 digits of its start if it is known or seen in the network
    peer: String,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

pub(crate) fn run(topology: &Topology, context: &Context) -> Result<Exit, Failure> {
    topology.watch.show(|| {
        let response = context.ask(&Request::Topology)?;
        let Response::Topology(report) = &response else { return Err(Failure::OtherAnswer) };
        let text = match topology.shape() {
            Shape::Table => as_text(report),
            Shape::Json => as_json(response)?,
            Shape::Dot => as_dot(report),
            Shape::Netjson => as_netjson(report),
        };
        Ok((text, Exit::Healthy))
    })
}

pub(crate) fn path(path: &Path, context: &Context) -> Result<Exit, Failure> {
    let response = context.ask(&Request::Path { peer: path.peer.clone() })?;
    let Response::Path(report) = &response else { return Err(Failure::OtherAnswer) };
    let exit = if report.ways.is_empty() { Exit::Critical } else { Exit::Healthy };
    let text = ways(report);
    console::print(&if path.json { as_json(response)? } else { text })?;
    Ok(exit)
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

fn as_text(report: &NetworkReport) -> String {
    let mut text = format!(
        "{} and {} seen; {}, the largest of {}; diameter {}\n",
        counted(report.peers.len() as u64, "peer", "peers"),
        counted(report.links.len() as u64, "link", "links"),
        counted(report.components as u64, "part", "parts"),
        counted(report.largest_component, "peer", "peers"),
        report.diameter,
    );
    if let Some(epoch) = report.outran {
        text.push_str(&format!(
            "this node's key was seen in epoch {epoch}: its next life will be above it\n"
        ));
    }
    if report.elsewhere {
        text.push_str("another device publishes links under this node's key\n");
    }
    if !report.links.is_empty() {
        let mut grid =
            Grid::new(["LINK", "", "TRANSPORT", "LATENCY", "DELIVERS", "RATE", "KNOWN BY"]);
        for link in &report.links {
            grid.row([
                link.a.short(),
                link.b.short(),
                link.transport.to_string(),
                latency(link.latency_us),
                percent(link.reliability),
                format!("{} kbit/s", link.rate_kbps),
                known_by(report, link).to_owned(),
            ]);
        }
        text.push_str(&format!("\n{grid}"));
    }
    let noted = |peer: &&KnownPeerReport| peer.articulation_point || !peer.flags.is_empty();
    let noted: Vec<_> = report.peers.iter().filter(noted).collect();
    if !noted.is_empty() {
        let mut grid = Grid::new(["PEER", "DEGREE", "NOTE"]);
        for peer in noted {
            let point = peer.articulation_point.then(|| "single point of failure".to_owned());
            let notes: Vec<String> = point.into_iter().chain(peer.flags.iter().cloned()).collect();
            grid.row([peer.peer.short(), peer.degree.to_string(), notes.join("; ")]);
        }
        text.push_str(&format!("\n{grid}"));
    }
    text
}

fn known_by(report: &NetworkReport, link: &KnownLinkReport) -> &'static str {
    if link.a == report.node || link.b == report.node {
        "own measure"
    } else if link.verified {
        "both ends, verified"
    } else {
        "both ends, unverified"
    }
}

fn as_dot(report: &NetworkReport) -> String {
    let mut text =
        "graph network {\n  node [shape=circle style=filled fillcolor=white];\n".to_owned();
    for peer in &report.peers {
        let mark = match (peer.peer == report.node, peer.articulation_point) {
            (true, _) => " shape=doublecircle",
            (false, true) => " fillcolor=tomato",
            (false, false) => "",
        };
        text.push_str(&format!("  \"{}\" [label=\"{}\"{mark}];\n", peer.peer, peer.peer.short()));
    }
    for link in &report.links {
        let style = if link.verified { "" } else { " style=dashed" };
        let label = format!("{} {}", link.transport, latency(link.latency_us));
        text.push_str(&format!("  \"{}\" -- \"{}\" [label=\"{label}\"{style}];\n", link.a, link.b));
    }
    text.push_str("}\n");
    text
}

fn as_netjson(report: &NetworkReport) -> String {
    let nodes: Vec<_> = report
        .peers
        .iter()
        .map(|peer| json!({ "id": peer.peer.to_string(), "label": peer.peer.short() }))
        .collect();
    let links: Vec<_> = report
        .links
        .iter()
        .map(|link| {
            json!({
                "source": link.a.to_string(),
                "target": link.b.to_string(),
                "cost": link.latency_us as f64 / 1e3,
                "cost_text": latency(link.latency_us),
                "properties": {
                    "transport": link.transport,
                    "reliability": link.reliability,
                    "rate_kbps": link.rate_kbps,
                    "verified": link.verified,
                },
            })
        })
        .collect();
    let graph = json!({
        "type": "NetworkGraph",
        "label": "bitcraps",
        "protocol": "bitcraps link state",
        "version": "1",
        "metric": "latency in milliseconds",
        "router_id": report.node.to_string(),
        "nodes": nodes,
        "links": links,
    });
    format!("{graph}\n")
}

fn ways(report: &PathReport) -> String {
    if report.ways.is_empty() {
        return format!("no way to {} is known\n", report.peer.short());
    }
    let mut text = String::new();
    for (number, way) in report.ways.iter().enumerate() {
        let shared = if number == 0 { "" } else { ", sharing no other peer" };
        let hops = counted(way.hops.len() as u64, "hop", "hops");
        text.push_str(&format!(
            "way {}: {hops}, {} from end to end{shared}\n",
            number + 1,
            latency(way.latency_us)
        ));
        let mut grid = Grid::bare();
        for hop in &way.hops {
            let time = latency(hop.latency_us);
            grid.row(["  ->".to_owned(), hop.to.short(), hop.transport.to_string(), time]);
        }
        text.push_str(&grid.to_string());
    }
    text
}
