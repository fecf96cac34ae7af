use bitcraps_node::admin::{LinkReport, Request, Response};

use crate::console::{age, latency, visible};
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::grid::Grid;
use crate::status::as_json;
use crate::watch::Watch;
use crate::why;

/// Arguments of `bitcraps links`.
#[derive(Debug, clap::Args)]
pub(crate) struct Links {
    /// Only links to this peer: its id, or at least 4 digits of its start
    peer: Option<String>,
    /// Explain the choice of links for this peer: what was known of each, and how they were ranked
    #[arg(long, value_name = "PEER", conflicts_with = "peer")]
    why: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    watch: Watch,
}

pub(crate) fn run(links: &Links, context: &Context) -> Result<Exit, Failure> {
    let request = match &links.why {
        Some(peer) => Request::Why { peer: peer.clone() },
        None => Request::Links { peer: links.peer.clone() },
    };
    links.watch.show(|| {
        let response = context.ask(&request)?;
        let text = match &response {
            _ if links.json => as_json(response)?,
            Response::Links(report) => as_text(&report.links),
            Response::Why(report) => why::as_text(report),
            _ => return Err(Failure::OtherAnswer),
        };
        Ok((text, Exit::Healthy))
    })
}

fn as_text(links: &[LinkReport]) -> String {
    if links.is_empty() {
        return "no link is up\n".to_owned();
    }
    let mut grid = Grid::new([
        "PEER",
        "STANDING",
        "LINK",
        "TRANSPORT",
        "MEDIUM",
        "STATE",
        "RTT",
        "ANSWERED",
        "UP FOR",
        "TRANSMITTED",
        "CONFIRMED",
        "PATH",
    ]);
    for link in links {
        let summary = &link.summary;
        let path = match (&link.local, &link.remote) {
            (Some(local), Some(remote)) => match &link.relay {
                Some(relay) => format!("{local} - {remote} through {relay}"),
                None => format!("{local} - {remote}"),
            },
            (_, _) => "gone".to_owned(),
        };
        grid.row([
            link.peer.short(),
            link.standing.to_string(),
            format!("#{}", summary.link),
            summary.transport.to_string(),
            summary.medium.to_string(),
            if summary.ready { summary.tier.to_string() } else { "greeting".to_owned() },
            summary.rtt_us.map_or_else(|| "no data".to_owned(), latency),
            format!("{} ago", age(link.last_answer_ms)),
            age(link.up_for_ms),
            link.traffic.requests.to_string(),
            link.traffic.successes.to_string(),
            visible(&path).into_owned(),
        ]);
    }
    grid.to_string()
}
