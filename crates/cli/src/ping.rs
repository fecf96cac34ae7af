use std::thread;
use std::time::Duration;

use bitcraps_node::admin::{MAX_PINGS, PingReport, Request, Response, StageReport};

use crate::arguments::duration;
use crate::console::{self, counted, latency, visible};
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::grid::Grid;
use crate::send::over;
use crate::status::as_json;

/// Arguments of `bitcraps ping`.
#[derive(Debug, clap::Args)]
pub(crate) struct Ping {
    /// Whom: a peer id, or at least 4 digits of its start
    peer: String,
    /// Messages to send
    #[arg(short, long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_PINGS)))]
    count: u32,
    /// Time between two of them: seconds, or with a unit of ms, s, m, h; --json does not wait
    #[arg(short, long, default_value = "1s", value_parser = duration)]
    interval: Duration,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

pub(crate) fn run(ping: &Ping, context: &Context) -> Result<Exit, Failure> {
    let socket = context.admin_socket()?;
    let ask = |count| {
        let request = Request::Ping { peer: ping.peer.clone(), count };
        match bitcraps_node::admin::request(&socket, &request)? {
            Response::Ping(report) => Ok(report),
            _ => Err(Failure::OtherAnswer),
        }
    };
    if ping.json {
        let report = ask(ping.count)?;
        let exit = exit(ping.count, report.replies.len());
        console::print(&as_json(Response::Ping(report))?)?;
        return Ok(exit);
    }
    let first = ask(1)?;
    console::print(&format!("peer {}\n{}", first.peer, stages(&first.stages)))?;
    if first.replies.is_empty() && first.sent == 0 {
        return Ok(Exit::Critical);
    }
    let mut latencies = Vec::new();
    for number in 1..=ping.count {
        let report = if number == 1 {
            first.clone()
        } else {
            thread::sleep(ping.interval);
            ask(1)?
        };
        latencies.extend(report.replies.iter().map(|reply| reply.latency_us));
        console::print(&line(number, &report))?;
    }
    latencies.sort_unstable();
    console::print(&summary(ping.count, &latencies))?;
    Ok(exit(ping.count, latencies.len()))
}

fn exit(asked: u32, confirmed: usize) -> Exit {
    match confirmed {
        0 => Exit::Critical,
        all if all == asked as usize => Exit::Healthy,
        _ => Exit::Warning,
    }
}

fn stages(stages: &[StageReport]) -> Grid {
    let mut grid = Grid::bare();
    for stage in stages {
        let verdict = if stage.passed { "ok" } else { "FAILED" };
        let mut head = [format!("  {}", stage.stage), verdict.to_owned()];
        for known in &stage.known {
            let [name, verdict] = std::mem::take(&mut head);
            grid.row([name, verdict, visible(known).into_owned()]);
        }
    }
    grid
}

fn line(number: u32, report: &PingReport) -> String {
    match (report.replies.first(), report.failed) {
        (Some(reply), _) => format!(
            "{number}: {} over {}{}\n",
            latency(reply.latency_us),
            over(reply.link),
            match reply.attempts {
                1 => String::new(),
                attempts => format!(", {attempts} transmissions"),
            }
        ),
        (None, Some(stage)) => format!("{number}: failed at stage {stage}\n"),
        (None, None) => format!("{number}: no answer\n"),
    }
}

fn summary(asked: u32, sorted: &[u64]) -> String {
    let confirmed = sorted.len();
    let head = format!("{}, {confirmed} confirmed", counted(asked, "message", "messages"));
    match (sorted.first(), sorted.get(confirmed / 2), sorted.last()) {
        (Some(least), Some(median), Some(most)) => format!(
            "{head}; least {}, median {}, most {}\n",
            latency(*least),
            latency(*median),
            latency(*most)
        ),
        (_, _, _) => format!("{head}\n"),
    }
}
