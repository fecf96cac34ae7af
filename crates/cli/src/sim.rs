//! `bitcraps sim`: a scenario out of a file, in virtual time.

mod picture;
mod text;

use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use bitcraps_node::admin::SCHEMA;
use bitcraps_sim::scenario::{CourseError, MAX_TEXT, Scenario, Step, Verdict};
use serde_json::json;

use self::picture::Picture;
use crate::console;
use crate::failure::{Exit, Failure};
use crate::progress::Progress;

/// Arguments of `bitcraps sim`.
#[derive(Debug, clap::Args)]
pub(crate) struct Sim {
    /// The scenario, a TOML file
    file: PathBuf,
    /// Seed, in place of the scenario's
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Write everything that happens to a file, a JSON object a line
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Draw the network at eight moments into an SVG file
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Only check the scenario
    #[arg(long)]
    check: bool,
}

pub(crate) fn run(sim: &Sim) -> Result<Exit, Failure> {
    let mut scenario = open(&sim.file)?;
    scenario.seed = sim.seed.unwrap_or(scenario.seed);
    if sim.check {
        let (name, nodes) = (&scenario.name, scenario.nodes());
        console::print(&if sim.json {
            format!("{}\n", json!({ "schema": SCHEMA, "name": name, "nodes": nodes }))
        } else {
            let (name, seconds) = (console::visible(name), scenario.length().as_secs_f64());
            format!("{}: {name}: {nodes} nodes, {seconds} s\n", sim.file.display())
        })?;
        return Ok(Exit::Healthy);
    }
    let progress = Progress::new();
    let mut picture = sim.svg.as_ref().map(|_| Picture::of(scenario.length()));
    let look = |step: &Step<'_>| {
        show(&progress, &scenario, step);
        if let Some(picture) = &mut picture {
            picture.look(step);
        }
    };
    let verdict = match &sim.trace {
        None => scenario.run(false, look),
        Some(path) => traced(&scenario, path, look)?,
    };
    let verdict = verdict.map_err(|why| Failure::Course { path: sim.file.clone(), why })?;
    progress.clear();
    if let Some((path, picture)) = sim.svg.as_ref().zip(picture) {
        let unwritten = |why| Failure::Write { path: path.clone(), why };
        std::fs::write(path, picture.svg(&scenario.name)).map_err(unwritten)?;
    }
    let memory = peak_memory();
    console::print(&if sim.json {
        let mut report = json!(verdict);
        report["schema"] = json!(SCHEMA);
        report["peak_memory_bytes"] = json!(memory);
        format!("{report}\n")
    } else {
        text::of(&verdict, memory)
    })?;
    Ok(if verdict.passed { Exit::Healthy } else { Exit::Critical })
}

fn open(path: &Path) -> Result<Scenario, Failure> {
    let unread = |why| Failure::Read { path: path.to_owned(), why };
    let mut text = String::new();
    let file = File::open(path).map_err(unread)?;
    // One byte more than a scenario may have, so that a longer one is told from one of that length.
    file.take(MAX_TEXT as u64 + 1).read_to_string(&mut text).map_err(unread)?;
    let wrong = |why| Failure::Scenario { path: path.to_owned(), why: Box::new(why) };
    Scenario::read(&text).map_err(wrong)
}

fn show(progress: &Progress, scenario: &Scenario, step: &Step<'_>) {
    let millis = |time: std::time::Duration| time.as_millis() as u64;
    progress.bar("running", millis(step.at), millis(scenario.length()));
}

fn traced(
    scenario: &Scenario,
    path: &Path,
    mut look: impl FnMut(&Step<'_>),
) -> Result<Result<Verdict, CourseError>, Failure> {
    let unwritten = |why| Failure::Write { path: path.to_owned(), why };
    let mut file = BufWriter::new(File::create(path).map_err(unwritten)?);
    let mut failed = None;
    let verdict = scenario.run(true, |step| {
        look(step);
        for happening in step.happenings {
            if failed.is_none() {
                failed = writeln!(file, "{}", json!(happening)).err();
            }
        }
    });
    match failed.or_else(|| file.flush().err()) {
        None => Ok(verdict),
        Some(why) => Err(unwritten(why)),
    }
}

/// The most memory that this process had, in bytes, where the system tells it.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}
