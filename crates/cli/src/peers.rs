use bitcraps_node::admin::{LinkSummary, PeerReport, Request, Response, TargetReport};

use crate::console::{age, latency, visible};
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::grid::Grid;
use crate::status::as_json;
use crate::watch::Watch;

/// Arguments of `bitcraps peers`.
#[derive(Debug, clap::Args)]
pub(crate) struct Peers {
    /// Where peers may be reached, and how dialling them went
    #[arg(long)]
    addresses: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    watch: Watch,
}

pub(crate) fn run(peers: &Peers, context: &Context) -> Result<Exit, Failure> {
    let request = if peers.addresses { Request::Targets } else { Request::Peers };
    peers.watch.show(|| {
        let response = context.ask(&request)?;
        let text = match &response {
            _ if peers.json => as_json(response)?,
            Response::Peers(report) => as_text(&report.peers),
            Response::Targets(report) => addresses(&report.targets),
            _ => return Err(Failure::OtherAnswer),
        };
        Ok((text, Exit::Healthy))
    })
}

pub(crate) fn as_text(peers: &[PeerReport]) -> String {
    if peers.is_empty() {
        return "no peer is known yet\n".to_owned();
    }
    let mut grid = Grid::new(["PEER", "STATE", "EPOCH", "UNSETTLED", "LINKS"]);
    for peer in peers {
        let links: Vec<String> = peer.links.iter().map(link).collect();
        grid.row([
            peer.peer.short(),
            if peer.reachable { "reachable" } else { "unreachable" }.to_owned(),
            peer.epoch.map_or_else(|| "-".to_owned(), |epoch| epoch.to_string()),
            peer.unsettled.values().sum::<usize>().to_string(),
            if links.is_empty() { "none".to_owned() } else { links.join(", ") },
        ]);
    }
    grid.to_string()
}

fn link(link: &LinkSummary) -> String {
    let LinkSummary { link: number, transport, medium, ready, tier, rtt_us } = link;
    if !ready {
        return format!("#{number} {transport}/{medium} greeting");
    }
    let rtt = rtt_us.map_or_else(|| "no rtt yet".to_owned(), latency);
    format!("#{number} {transport}/{medium} {tier} {rtt}")
}

fn addresses(targets: &[TargetReport]) -> String {
    if targets.is_empty() {
        return "no address of a peer is known\n".to_owned();
    }
    let mut grid = Grid::new([
        "PEER",
        "TRANSPORT",
        "ADDRESS",
        "KNOWN BY",
        "STATE",
        "FAILED DIALS",
        "NEXT DIAL",
    ]);
    for target in targets {
        let state = match (target.linked, target.next_dial_ms) {
            (true, _) => "linked",
            (false, Some(_)) => "waiting",
            (false, None) => "dialling or not needed",
        };
        let next = target.next_dial_ms.filter(|_| !target.linked);
        grid.row([
            target.peer.short(),
            target.transport.to_string(),
            visible(&target.address).into_owned(),
            target.source.clone(),
            state.to_owned(),
            target.failures.to_string(),
            next.map_or_else(|| "-".to_owned(), |ms| format!("in {}", age(ms))),
        ]);
    }
    grid.to_string()
}
