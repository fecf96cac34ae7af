use bitcraps_node::admin::{Envelope, Health, Request, Response, StatusReport, StoreReport};
use serde::Serialize;

use crate::console::{age, counted, latency, visible};
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::grid::Grid;
use crate::peers;
use crate::watch::Watch;

/// Arguments of `bitcraps status`.
#[derive(Debug, clap::Args)]
pub(crate) struct Status {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    watch: Watch,
}

pub(crate) fn run(status: &Status, context: &Context) -> Result<Exit, Failure> {
    status.watch.show(|| {
        let response = context.ask(&Request::Status)?;
        let Response::Status(report) = &response else { return Err(Failure::OtherAnswer) };
        let exit = match report.health {
            Health::Healthy => Exit::Healthy,
            Health::Warning => Exit::Warning,
            Health::Critical => Exit::Critical,
        };
        let text = if status.json { as_json(response)? } else { as_text(report) };
        Ok((text, exit))
    })
}

/// A response as one line of JSON.
pub(crate) fn as_json(told: impl Serialize) -> Result<String, Failure> {
    let json = serde_json::to_string(&Envelope::new(told)).map_err(std::io::Error::from)?;
    Ok(json + "\n")
}

/// The first of many, and how many more there are.
fn some_of(peers: &[String]) -> String {
    const SHOWN: usize = 8;
    let shown = peers.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    match peers.len().saturating_sub(SHOWN) {
        0 => format!("{shown} may"),
        more => format!("{shown} and {more} more may"),
    }
}

fn store_text(store: &StoreReport) -> String {
    let StoreReport { works, outbox, inbox, doubts, bytes, max_bytes, .. } = store;
    let state = if *works { "works" } else { "does not work" };
    let share = (*bytes as f64 / (*max_bytes).max(1) as f64 * 100.0).ceil();
    let doubts = if *doubts > 0 { format!(", {doubts} doubtful") } else { String::new() };
    format!("{state}; {outbox} in the outbox, {inbox} in custody{doubts}; {share} % full")
}

fn as_text(report: &StatusReport) -> String {
    let name = report.name.as_deref().map_or_else(String::new, |n| format!(" ({})", visible(n)));
    let mut head = Grid::bare();
    let mut fact = |name: &str, value: String| head.row([name.to_owned(), value]);
    fact("node", format!("{}{name}", report.node));
    fact(
        "runs",
        format!(
            "for {}, epoch {}, process {}, version {}",
            age(report.uptime_ms),
            report.epoch,
            report.pid,
            report.version
        ),
    );
    let file = report.config_file.as_deref();
    fact("config", file.unwrap_or("built-in defaults").to_owned());
    let places: Vec<String> = report
        .listening
        .iter()
        .map(|place| format!("{} ({})", visible(&place.address), place.transport))
        .collect();
    fact("listen", if places.is_empty() { "nowhere".to_owned() } else { places.join(", ") });
    fact(
        "admits",
        match report.admission.as_str() {
            "open" => "whoever links",
            "allow_list" => "whom the configuration or its operator names",
            "invitation" => "whoever proves an invitation",
            other => other,
        }
        .to_owned(),
    );
    let relays: Vec<String> =
        report.peers.iter().filter(|peer| peer.may_relay).map(|peer| peer.peer.short()).collect();
    fact("relay", if relays.is_empty() { "nobody may".to_owned() } else { some_of(&relays) });
    let reachable = report.peers.iter().filter(|peer| peer.reachable).count();
    fact("peers", format!("{} known, {reachable} reachable", report.peers.len()));
    if let Some(store) = &report.store {
        fact("store", store_text(store));
    }
    let health = match report.health {
        Health::Healthy => "healthy",
        Health::Warning => "warning",
        Health::Critical => "critical",
    };
    fact("health", health.to_owned());
    let mut text = head.to_string();
    for finding in &report.findings {
        text += &format!("        - {}\n", visible(finding));
    }
    if !report.peers.is_empty() {
        text.push('\n');
        text.push_str(&peers::as_text(&report.peers));
    }
    let mut traffic =
        Grid::new(["TRANSPORT", "TRANSMITTED", "CONFIRMED", "FAILED", "MOVED", "P50", "P99"]);
    let used = report.transports.iter().filter(|(_, traffic)| traffic.frames > 0);
    let mut any = false;
    for (transport, report) in used {
        any = true;
        let quantile = |value: Option<u64>| value.map_or_else(|| "-".to_owned(), latency);
        traffic.row([
            transport.to_string(),
            report.requests.to_string(),
            report.successes.to_string(),
            report.failures.to_string(),
            report.failovers.to_string(),
            quantile(report.latency_us.map(|latency| latency.p50)),
            quantile(report.latency_us.map(|latency| latency.p99)),
        ]);
    }
    if any {
        text += &format!("\n{traffic}");
    }
    let delivered = report.counters.get("delivered").copied().unwrap_or(0);
    let duplicates = report.counters.get("duplicates").copied().unwrap_or(0);
    if delivered > 0 || duplicates > 0 {
        let messages = counted(delivered, "message", "messages");
        text += &format!(
            "\ntook {messages} from peers; {} recognised\n",
            counted(duplicates, "repeat", "repeats")
        );
    }
    text
}
