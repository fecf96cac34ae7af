use std::io::{self, Read};
use std::time::Duration;

use bitcraps_node::admin::{
    Ack, MAX_REQUEST, OutcomeReport, Request, Response, SendReport, TriedReport,
};
use bitcraps_types::TrafficClass;

use crate::arguments::duration;
use crate::console::{self, counted, latency, visible};
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::status::as_json;

/// Arguments of `bitcraps send`.
#[derive(Debug, clap::Args)]
pub(crate) struct Send {
    /// Whom to: a peer id, or at least 4 digits of its start
    peer: String,
    /// The text; - reads it from standard input
    message: String,
    /// realtime, critical, background or bulk
    #[arg(long, default_value = "critical", value_parser = class)]
    class: TrafficClass,
    /// How long the message is worth anything: seconds, or with a unit of ms, s, m, h
    #[arg(long, default_value = "10s", value_parser = duration)]
    deadline: Duration,
    /// What counts as delivered
    #[arg(long, value_enum, default_value_t = AckArgument::Peer)]
    ack: AckArgument,
    /// Return when the node has taken the message
    #[arg(long)]
    no_wait: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum AckArgument {
    /// A link took it
    Accepted,
    /// The peer's node has it
    Peer,
    /// The peer's application took it
    Applied,
}

fn class(text: &str) -> Result<TrafficClass, String> {
    text.parse().map_err(|e: bitcraps_types::ParseClassError| e.to_string())
}

pub(crate) fn run(send: &Send, context: &Context) -> Result<Exit, Failure> {
    let payload = if send.message == "-" { standard_input()? } else { send.message.clone() };
    let request = Request::Send {
        peer: send.peer.clone(),
        class: send.class,
        payload,
        ack: match send.ack {
            AckArgument::Accepted => Ack::Accepted,
            AckArgument::Peer => Ack::Peer,
            AckArgument::Applied => Ack::Applied,
        },
        deadline_ms: Some(u64::try_from(send.deadline.as_millis()).unwrap_or(u64::MAX)),
        wait: !send.no_wait,
    };
    let response = context.ask(&request)?;
    let Response::Send(report) = &response else { return Err(Failure::OtherAnswer) };
    let (exit, text) = (exit(report, send.no_wait), as_text(report));
    console::print(&if send.json { as_json(response)? } else { text })?;
    Ok(exit)
}

fn standard_input() -> Result<String, Failure> {
    let mut text = String::new();
    // One byte more than fits any request, so that too much is refused rather than cut.
    let read = io::stdin().lock().take(MAX_REQUEST as u64 + 1).read_to_string(&mut text);
    read.map_err(Failure::Input)?;
    Ok(text)
}

fn exit(report: &SendReport, no_wait: bool) -> Exit {
    match &report.outcome {
        OutcomeReport::Delivered { .. } | OutcomeReport::Sent { .. } => Exit::Healthy,
        OutcomeReport::Unsettled if no_wait => Exit::Healthy,
        OutcomeReport::Unknown { .. } | OutcomeReport::Unsettled => Exit::Warning,
        OutcomeReport::Expired { .. } | OutcomeReport::Rejected { .. } => Exit::Critical,
    }
}

pub(crate) fn over(link: TriedReport) -> String {
    format!("link #{} ({})", link.link, link.transport)
}

fn over_all(tried: &[TriedReport]) -> String {
    if tried.is_empty() {
        return "no link took it".to_owned();
    }
    let links: Vec<String> = tried.iter().map(|link| over(*link)).collect();
    format!("tried over {}", links.join(", "))
}

fn as_text(report: &SendReport) -> String {
    let peer = report.peer.short();
    match &report.outcome {
        OutcomeReport::Delivered { level, link, attempts, latency_us } => format!(
            "{} {peer} over {} in {}, {}\n",
            match level {
                Ack::Accepted | Ack::Peer => "delivered to",
                Ack::Applied => "applied by",
            },
            over(*link),
            latency(*latency_us),
            counted(*attempts, "transmission", "transmissions")
        ),
        OutcomeReport::Sent { link } => {
            format!("sent to {peer} over {}; no confirmation was asked for\n", over(*link))
        }
        OutcomeReport::Expired { tried } => {
            format!("not delivered to {peer}: its time ran out; {}\n", over_all(tried))
        }
        OutcomeReport::Rejected { why } => {
            format!("not delivered to {peer}: {}\n", visible(why))
        }
        OutcomeReport::Unknown { tried } => {
            format!("no answer from {peer}, it may have the message; {}\n", over_all(tried))
        }
        OutcomeReport::Unsettled => format!("taken for {peer}; its outcome is not known yet\n"),
    }
}
