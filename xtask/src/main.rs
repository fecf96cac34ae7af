//! Workspace automation, called as `cargo xtask`: checks, tests, demo, benches, fuzzing.
//!
//! It builds without any crate of the project, so that it works while those do not build.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line tool speaks to whoever started it"
)]

mod ci;
mod command;
mod hci;
mod layers;
mod metadata;
mod net;
mod program;
mod radio;
mod suite;
mod tidy;

use std::process::ExitCode;

const HELP: &str = "\
cargo xtask <command>

  ci [--skip STEP]... [--only STEP]...
                        every check: fmt, layers, tidy, clippy, bare, test, net, metrics, dbus, hci, doc
  test [ARGS]           all tests (cargo-nextest when installed, else cargo test), then doc tests;
                        ARGS go to the runner
  test-net [ARGS]       the tests that need a network of their own, in a network namespace made for
                        them; ARGS go to the runner
  test-hci [ARGS]       Bluetooth without BlueZ, in two processes, each with a virtual controller (bumble, of
                        PyPI, installed below target/); ARGS go to the test program
  test-radio [--json]   Bluetooth and Wi-Fi Direct on a real kernel with a real bluetoothd and real
                        wpa_supplicants, over emulated radios in a guest that needs no hardware; what it
                        takes is unpacked below target/
  layers                hold the dependencies between the crates against the allowed edges
  tidy                  hold the files against the rules no compiler checks
  demo [ARGS]           eight nodes, thirty seconds of faults, a verdict; ARGS go to `bitcraps demo`
  demo --radios [--json]
                        nodes with real radio stacks in that guest: links jammed and lost while they talk,
                        a relay between Bluetooth and Wi-Fi
  bench NAME [ARGS]     run one benchmark program: health, select, peers, topology; --json prints only JSON,
                        topology --peers measures against other libraries, installed below target/
  eval NAME [ARGS]      run one evaluation program: anomaly DIR, forecast, graphs DIR,
                        healing, linkstate, risk
  fuzz [TARGET] [--seconds N]
                        fuzz one target, or every target in turn, for N seconds each (60)
  help                  this text

Exit code 0 when all is well, 1 when something failed, 64 when the command line is wrong; demo, bench
and eval exit as the program they run.";

/// The command line is wrong (`EX_USAGE`).
const USAGE: u8 = 64;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let (name, rest) = match words.split_first() {
        Some((name, rest)) => (name.as_str(), rest),
        None => ("help", words.as_slice()),
    };
    let done = match name {
        "ci" => ci::run(rest),
        "test" => suite::run(rest),
        "test-net" => net::run(rest),
        "test-hci" => hci::run(rest),
        "test-radio" => radio::run(rest),
        "layers" => layers::run(),
        "tidy" => tidy::run(),
        "demo" => match rest {
            [first, more @ ..] if first == "--radios" => radio::demo(more),
            _ => program::demo(rest),
        },
        "bench" => program::bench(rest),
        "eval" => program::eval(rest),
        "fuzz" => program::fuzz(rest),
        "help" | "--help" | "-h" => {
            println!("{HELP}");
            Ok(())
        }
        unknown => Err(Failure::Usage(format!("no command `{unknown}`"))),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Usage(problem)) => {
            eprintln!("xtask: {problem}\n\n{HELP}");
            ExitCode::from(USAGE)
        }
        Err(Failure::Checked(problem) | Failure::Impossible(problem)) => {
            eprintln!("xtask: {problem}");
            ExitCode::FAILURE
        }
    }
}

/// Why a command did not end well.
#[derive(Debug, PartialEq, Eq)]
enum Failure {
    /// The command line is wrong.
    Usage(String),
    /// What was checked does not hold, or could not be checked.
    Checked(String),
    /// This machine cannot do what was asked; nothing was checked.
    Impossible(String),
}
