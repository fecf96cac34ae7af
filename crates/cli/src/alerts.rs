//! `bitcraps alerts`: what is wrong with the network, silences, and who has seen what.

use std::time::Duration;

use bitcraps_monitor::{AlertState, AlertStatus, Muted, OverallStatus};
use bitcraps_node::admin::{AlertsReport, Request, Response};

use crate::arguments::duration;
use crate::console::{age, visible};
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::grid::Grid;
use crate::health::exit;
use crate::status::as_json;
use crate::watch::Watch;

/// Arguments of `bitcraps alerts`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Alerts {
    /// Print JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(flatten)]
    watch: Watch,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// List them, as without a verb
    Ls,
    /// Note that somebody has seen an alert
    Ack {
        /// Its name, as in the list
        alert: String,
        /// Who
        #[arg(long)]
        author: String,
    },
    /// Let nobody be told of alerts of a kind for a while
    Silence {
        /// The kind, such as PeerLost
        kind: String,
        /// Only those about this peer
        #[arg(long)]
        peer: Option<String>,
        /// How long: seconds, or a number with ms, s, m, h; at most 30 days
        #[arg(long, value_name = "TIME", default_value = "1h", value_parser = duration)]
        r#for: Duration,
        /// Who asks
        #[arg(long)]
        author: String,
        /// Why
        #[arg(long, default_value = "")]
        comment: String,
    },
    /// End a silence
    Unsilence {
        /// Its number
        id: u32,
    },
}

pub(crate) fn run(alerts: &Alerts, context: &Context) -> Result<Exit, Failure> {
    let request = match &alerts.verb {
        None | Some(Verb::Ls) => Request::Alerts,
        Some(Verb::Ack { alert, author }) => {
            Request::Acknowledge { alert: alert.clone(), author: author.clone() }
        }
        Some(Verb::Silence { kind, peer, r#for, author, comment }) => Request::Silence {
            kind: kind.clone(),
            peer: peer.clone(),
            author: author.clone(),
            comment: comment.clone(),
            life_ms: u64::try_from(r#for.as_millis()).unwrap_or(u64::MAX),
        },
        Some(Verb::Unsilence { id }) => Request::Unsilence { id: *id },
    };
    let lists = request == Request::Alerts;
    alerts.watch.show(|| {
        let response = context.ask(&request)?;
        let Response::Alerts(report) = &response else { return Err(Failure::OtherAnswer) };
        // What was asked for is done, whatever is wrong.
        let exit = if lists { exit(OverallStatus::of(&report.alerts)) } else { Exit::Healthy };
        let text = if alerts.json { as_json(response)? } else { as_text(report) };
        Ok((text, exit))
    })
}

/// The alerts in rows.
pub(crate) fn grid(alerts: &[AlertStatus]) -> String {
    let mut grid = Grid::new(["NAME", "ALERT", "SEVERITY", "STATE", "FOR", "FIRED", ""]);
    for alert in alerts {
        let state = match alert.state {
            AlertState::Pending => "pending",
            AlertState::Firing => "firing",
            AlertState::Resolved => "resolved",
        };
        let muted = match alert.muted {
            None => String::new(),
            Some(Muted::Silenced(id)) => format!(" (silence {id})"),
            Some(Muted::Inhibited(kind)) => format!(" (said by {kind})"),
        };
        let seen = alert.acknowledged_by.as_deref();
        let seen =
            seen.map_or_else(String::new, |author| format!(" (seen by {})", visible(author)));
        grid.row([
            alert.name.clone(),
            alert.key.to_string(),
            alert.severity.to_string(),
            format!("{state}{muted}{seen}"),
            age(alert.for_ms),
            alert.fired.to_string(),
            visible(&alert.what).into_owned(),
        ]);
    }
    grid.to_string()
}

fn as_text(report: &AlertsReport) -> String {
    let mut text = if report.alerts.is_empty() {
        "nothing is wrong\n".to_owned()
    } else {
        grid(&report.alerts)
    };
    if !report.past.is_empty() {
        let mut grid = Grid::new(["OVER SINCE", "ALERT", "LASTED", ""]);
        for past in &report.past {
            grid.row([
                age(past.ago_ms),
                past.key.to_string(),
                age(past.lasted_ms),
                visible(&past.what).into_owned(),
            ]);
        }
        text.push_str(&format!("\n{grid}"));
    }
    if !report.silences.is_empty() {
        let mut grid = Grid::new(["SILENCE", "ALERT", "LEFT", "AUTHOR", "COMMENT"]);
        for silence in &report.silences {
            grid.row([
                silence.id.to_string(),
                silence.matcher.kind.to_string(),
                age(silence.left_ms),
                visible(&silence.author).into_owned(),
                visible(&silence.comment).into_owned(),
            ]);
        }
        text.push_str(&format!("\n{grid}"));
    }
    text
}
