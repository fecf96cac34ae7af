//! `bitcraps health`: the network in numbers, what is to be expected, and what to do; and what it was.

use bitcraps_monitor::{Betting, Grain, HealthReport, Measure, Outlook, OverallStatus};
use bitcraps_node::admin::{HistoryReport, Request, Response};

use crate::alerts;
use crate::console::{age, counted, visible};
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::grid::Grid;
use crate::status::as_json;
use crate::watch::Watch;

/// Arguments of `bitcraps health`.
#[derive(Debug, clap::Args)]
pub(crate) struct Health {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Show what the network was, in steps of 5s, 1m or 1h [default: 1m]
    #[arg(long, value_name = "STEP", num_args = 0..=1, require_equals = true, default_missing_value = "1m", value_parser = grain)]
    history: Option<Grain>,
    #[command(flatten)]
    watch: Watch,
}

/// The exit code of a status.
pub(crate) const fn exit(status: OverallStatus) -> Exit {
    match status {
        OverallStatus::Healthy => Exit::Healthy,
        OverallStatus::Warning => Exit::Warning,
        OverallStatus::Critical => Exit::Critical,
    }
}

fn grain(text: &str) -> Result<Grain, String> {
    match text {
        "5s" => Ok(Grain::FiveSeconds),
        "1m" => Ok(Grain::Minute),
        "1h" => Ok(Grain::Hour),
        _ => Err("one of 5s, 1m, 1h".to_owned()),
    }
}

pub(crate) fn run(health: &Health, context: &Context) -> Result<Exit, Failure> {
    if let Some(grain) = health.history {
        return health.watch.show(|| {
            let response = context.ask(&Request::History { grain })?;
            let Response::History(report) = &response else { return Err(Failure::OtherAnswer) };
            let text = if health.json { as_json(response)? } else { past_as_text(report) };
            Ok((text, Exit::Healthy))
        });
    }
    health.watch.show(|| {
        let response = context.ask(&Request::Health)?;
        let Response::Health(report) = &response else { return Err(Failure::OtherAnswer) };
        let exit = exit(report.overall_status);
        let text = if health.json { as_json(response)? } else { as_text(report) };
        Ok((text, exit))
    })
}

fn past_as_text(report: &HistoryReport) -> String {
    let mut grid = Grid::new([
        "AGO",
        "PEERS",
        "LINKED PAIRS",
        "PARTS",
        "DIAMETER",
        "CLUSTERING",
        "RISK",
        "RELIABILITY",
    ]);
    for step in &report.steps {
        let mean = |measure, digits: usize| {
            let range = step.measures.get(&measure);
            range.map_or_else(|| "-".to_owned(), |range| format!("{:.digits$}", range.mean))
        };
        let percent = |measure| {
            let range = step.measures.get(&measure);
            range.map_or_else(|| "-".to_owned(), |range| format!("{:.1} %", range.mean * 100.0))
        };
        grid.row([
            age(report.now.saturating_sub(step.begins).saturating_mul(1_000)),
            mean(Measure::Peers, 1),
            mean(Measure::Links, 1),
            mean(Measure::Components, 1),
            mean(Measure::Diameter, 1),
            mean(Measure::Clustering, 2),
            percent(Measure::PartitionRisk),
            percent(Measure::LinkReliability),
        ]);
    }
    let kept = report.file.as_ref().map_or_else(
        || "not kept over restarts".to_owned(),
        |file| format!("kept in {}", visible(file)),
    );
    format!("{grid}means of {} s each, {kept}\n", report.step_seconds)
}

fn as_text(report: &HealthReport) -> String {
    let mut grid = Grid::bare();
    let mut fact = |name: &str, value: String| grid.row([name.to_owned(), value]);
    let status = match report.overall_status {
        OverallStatus::Healthy => "healthy",
        OverallStatus::Warning => "warning",
        OverallStatus::Critical => "critical",
    };
    fact("health", format!("{status}, looked at {} ago", age(report.age_ms)));
    if let Some(health) = &report.network_topology {
        fact(
            "network",
            format!(
                "{} in {}, {}; diameter {}",
                counted(health.peers, "peer", "peers"),
                counted(health.components, "part", "parts"),
                counted(health.links, "linked pair", "linked pairs"),
                health.network_diameter
            ),
        );
        fact(
            "depends on",
            format!(
                "{} and {}",
                counted(health.articulation_points, "peer", "peers"),
                counted(health.bridges, "link", "links")
            ),
        );
        fact("clustering", format!("{:.2}", health.clustering_coefficient));
        fact("risk", format!("{:.1} % to split", health.partition_risk * 100.0));
    }
    if let Some(forecast) = &report.forecast {
        let text = match forecast.outlook {
            Outlook::Known { probability } => format!("{:.1} %", probability * 100.0),
            Outlook::Unknown { beyond_seconds } => {
                format!("unknown beyond {beyond_seconds:.0} s")
            }
        };
        let skill = forecast.skill;
        let judged = if skill.judged > 0 {
            format!("; Brier {:.3} over {} forecasts", skill.brier, skill.judged)
        } else {
            String::new()
        };
        fact("forecast", format!("split within {:.0} s: {text}{judged}", forecast.horizon_seconds));
    }
    let betting = match report.betting {
        Betting::Open => "open",
        Betting::Paused => "paused",
    };
    fact("betting", betting.to_owned());
    let mut text = grid.to_string();
    if !report.alerts.is_empty() {
        text.push_str(&format!("\n{}", alerts::grid(&report.alerts)));
    }
    for recommendation in &report.recommendations {
        text.push_str(&format!("- {}\n", visible(&recommendation.text)));
    }
    text
}
