//! The benchmark programs: `bench select` for choosing a link and confirming a message on one
//! thread, `bench peers` for nodes over real sockets on loopback, `bench topology` for the analysis
//! of networks, `bench health` for a look of the monitor; `linkstate` for networks of link-state databases in virtual time; `healing` for networks that heal; `risk` for
//! forecasts of a split against what happens, and `forecast` for those that the monitor learns; `anomaly` for what is unusual in a series; and `graphs`, which holds the analysis against known
//! answers.
//!
//! Prints a table, or with `--json` one object with a row for each line of the table. Progress goes
//! to standard error. Exit code 0 when everything was measured, whatever the result; 1 when
//! something could not be; 64 when the command line is wrong.

use std::io::{self, Write as _};
use std::process::ExitCode;

use bitcraps_benches::{
    Arguments, Failure, Report, USAGE, anomaly, graphs, healing, health, linkstate, peers, risk,
    select, topology,
};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let usage = matches!(failure, Failure::Usage(_));
            let hint = if usage { USAGE } else { "" };
            // Without standard error there is nobody left to tell.
            drop(writeln!(io::stderr(), "bench: {failure}\n{hint}"));
            ExitCode::from(if usage { 64 } else { 1 })
        }
    }
}

fn run(words: &[String]) -> Result<(), Failure> {
    let (name, rest) = match words.split_first() {
        Some((name, rest)) => (name.as_str(), rest),
        None => return Err(Failure::Usage("name a program".to_owned())),
    };
    // Prints agreement, not measurements.
    if name == "graphs" {
        return graphs::run(rest);
    }
    let (directory, rest) = match (name, rest) {
        ("anomaly", [directory, rest @ ..]) if !directory.starts_with('-') => {
            (directory.as_str(), rest)
        }
        ("anomaly", _) => return Err(Failure::Usage("anomaly wants a directory first".to_owned())),
        (_, rest) => ("", rest),
    };
    let arguments = Arguments::parse(rest)?;
    let mut report = Report::new(arguments.json);
    match name {
        "anomaly" => anomaly::run(directory, &arguments, &mut report)?,
        "forecast" => risk::online::run(&arguments, &mut report)?,
        "healing" => healing::run(&arguments, &mut report)?,
        "health" => health::run(&arguments, &mut report)?,
        "linkstate" => linkstate::run(&arguments, &mut report)?,
        "risk" => risk::run(&arguments, &mut report)?,
        "topology" => topology::run(&arguments, &mut report)?,
        "select" => select::run(&arguments, &mut report)?,
        "peers" => peers::run(&arguments, &mut report)?,
        other => return Err(Failure::Usage(format!("no program `{other}`"))),
    }
    report.finish()
}
