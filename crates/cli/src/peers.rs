use bitcraps_node::admin::{LinkSummary, PeerReport, Request, Response, TargetReport};

use crate::console::{self, age, latency, visible};
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::grid::Grid;
use crate::status::as_json;
use crate::watch::Watch;

/// Arguments of `bitcraps peers`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Peers {
    #[command(subcommand)]
    verb: Option<PeersVerb>,
    /// Where peers may be reached, and how dialling them went
    #[arg(long)]
    addresses: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    watch: Watch,
}

/// What a peer may do from now on, and after restarts.
#[derive(Debug, clap::Subcommand)]
enum PeersVerb {
    /// Exchange messages with a peer
    Admit(Named),
    /// Refuse a peer: close its links and dial it no more
    Block(Named),
    /// Take back what was decided about a peer; the configuration says then what it may do
    Forget(Named),
}

/// Arguments of a decision about a peer.
#[derive(Debug, clap::Args)]
struct Named {
    /// The peer: its id, or at least 4 digits of its start if it is known
    peer: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Peers {
    pub(crate) fn wants_json(&self) -> bool {
        match &self.verb {
            Some(PeersVerb::Admit(named) | PeersVerb::Block(named) | PeersVerb::Forget(named)) => {
                named.json
            }
            None => self.json,
        }
    }
}

fn decide(verb: &PeersVerb, context: &Context) -> Result<Exit, Failure> {
    let (request, json) = match verb {
        PeersVerb::Admit(named) => (Request::Admit { peer: named.peer.clone() }, named.json),
        PeersVerb::Block(named) => (Request::Block { peer: named.peer.clone() }, named.json),
        PeersVerb::Forget(named) => (Request::Forget { peer: named.peer.clone() }, named.json),
    };
    let response = context.ask(&request)?;
    let Response::Standing(report) = &response else { return Err(Failure::OtherAnswer) };
    let text = format!("peer {} is {} (was {})\n", report.peer, report.standing, report.was);
    console::print(&if json { as_json(response)? } else { text })?;
    Ok(Exit::Healthy)
}

pub(crate) fn run(peers: &Peers, context: &Context) -> Result<Exit, Failure> {
    if let Some(verb) = &peers.verb {
        return decide(verb, context);
    }
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
    let mut grid = Grid::new(["PEER", "STANDING", "STATE", "EPOCH", "UNSETTLED", "LINKS"]);
    for peer in peers {
        let links: Vec<String> = peer.links.iter().map(link).collect();
        grid.row([
            peer.peer.short(),
            peer.standing.to_string(),
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
