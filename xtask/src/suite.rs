use crate::Failure;
use crate::command::{cargo, run as run_command, shown, succeeds};

/// Runs every test of the workspace, then the doc tests, even when the former fail.
pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    let tests = if succeeds(cargo(&["nextest", "--version"])?) {
        nextest(arguments)
    } else {
        println!("xtask: cargo-nextest is not installed; running `cargo test` instead");
        cargo_test(arguments)
    };
    // Arguments choose among the tests; doc tests are for a run of everything.
    if !arguments.is_empty() {
        return tests;
    }
    let docs = announced(&["test", "--workspace", "--doc"], &[]);
    tests.and(docs)
}

fn nextest(arguments: &[String]) -> Result<(), Failure> {
    if chooses_package(arguments) {
        announced(&["nextest", "run"], arguments)
    } else {
        announced(&["nextest", "run", "--workspace"], arguments)
    }
}

fn cargo_test(arguments: &[String]) -> Result<(), Failure> {
    if chooses_package(arguments) {
        return announced(&["test", "--no-fail-fast"], arguments);
    }
    let unit = ["test", "--workspace", "--no-fail-fast", "--lib", "--bins", "--examples"];
    let units = announced(&unit, arguments);
    if !arguments.is_empty() {
        return units;
    }
    // One at a time: some of them measure, and need the processor for themselves.
    let whole = ["test", "--workspace", "--no-fail-fast", "--test", "*", "--", "--test-threads=1"];
    units.and(announced(&whole, &[]))
}

fn announced(fixed: &[&str], arguments: &[String]) -> Result<(), Failure> {
    let given = arguments.iter().map(String::as_str);
    let words: Vec<&str> = fixed.iter().copied().chain(given).collect();
    let command = cargo(&words)?;
    println!("xtask: {}", shown(&command));
    run_command(command)
}

fn chooses_package(arguments: &[String]) -> bool {
    arguments.iter().any(|a| a == "-p" || a == "--package" || a.starts_with("--package="))
}
