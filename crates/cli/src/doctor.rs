//! `bitcraps doctor`: what is missing before a node can work, and what to do.

use bitcraps_node::doctor::{Condition, Finding, examine};
use serde::Serialize;

use crate::console::{self, visible};
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::grid::Grid;
use crate::status::as_json;

/// Arguments of `bitcraps doctor`.
#[derive(Debug, clap::Args)]
pub(crate) struct Doctor {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Everything found, for scripts.
#[derive(Serialize)]
struct Told<'a> {
    config: Option<String>,
    condition: Condition,
    findings: &'a [Finding],
}

pub(crate) async fn run(doctor: &Doctor, context: &Context) -> Result<Exit, Failure> {
    let (config, source) = context.load()?;
    let socket = context.socket.clone().unwrap_or_else(|| config.admin().socket.clone());
    let findings = examine(&config, &socket).await;
    let condition = findings.iter().map(|finding| finding.condition).max();
    let condition = condition.unwrap_or(Condition::Good);
    let text = if doctor.json {
        let config = source.file().map(|file| file.display().to_string());
        as_json(Told { config, condition, findings: &findings })?
    } else {
        as_text(&source.to_string(), &findings)
    };
    console::print(&text)?;
    Ok(match condition {
        Condition::Good | Condition::Unused => Exit::Healthy,
        Condition::Poor => Exit::Warning,
        Condition::Broken => Exit::Critical,
    })
}

fn as_text(source: &str, findings: &[Finding]) -> String {
    let mut grid = Grid::bare();
    grid.row(["config".to_owned(), "good".to_owned(), source.to_owned()]);
    for finding in findings {
        let word = match finding.condition {
            Condition::Good => "good",
            Condition::Unused => "unused",
            Condition::Poor => "POOR",
            Condition::Broken => "BROKEN",
        };
        // An explanation of several lines stands under its first one.
        let mut lines = finding.says.trim_end().lines().filter(|line| !line.trim().is_empty());
        let first = lines.next().unwrap_or_default();
        grid.row([finding.part.clone(), word.to_owned(), visible(first).into_owned()]);
        for line in lines {
            grid.row([String::new(), String::new(), visible(line).into_owned()]);
        }
    }
    grid.to_string()
}
