use std::path::Path;
use std::process::Command;

use crate::Failure;
use crate::command::{become_it, cargo, run, succeeds, workspace_root};

/// Seconds for each fuzz target when nobody says.
const FUZZ_SECONDS: u32 = 60;

/// Builds the command line program, showing progress, and becomes its demo.
pub(crate) fn demo(arguments: &[String]) -> Result<(), Failure> {
    // With the features of the whole workspace, as its tests: what they share is compiled once.
    run(cargo(&["build", "--workspace", "--bin", "bitcraps"])?)?;
    // This program was built beside it.
    let here = std::env::current_exe().map_err(|error| {
        Failure::Checked(format!("the path of this program is unknown: {error}"))
    })?;
    let mut demo = Command::new(here.with_file_name("bitcraps"));
    demo.arg("demo");
    for default in [["--nodes", "8"], ["--seconds", "30"]] {
        if !has_option(arguments, default[0]) {
            demo.args(default);
        }
    }
    demo.args(arguments);
    Err(become_it(demo))
}

/// Runs one benchmark program.
pub(crate) fn bench(arguments: &[String]) -> Result<(), Failure> {
    bench_binary("bench", arguments)
}

/// Runs one evaluation program.
pub(crate) fn eval(arguments: &[String]) -> Result<(), Failure> {
    bench_binary("eval", arguments)
}

fn bench_binary(verb: &str, arguments: &[String]) -> Result<(), Failure> {
    if arguments.first().is_none_or(|name| name.starts_with('-')) {
        return Err(Failure::Usage(format!("{verb} takes the NAME of a program first")));
    }
    let target = ["--release", "-p", "bitcraps-benches", "--bin", "bench"];
    // Progress of the build goes to standard error; standard output is the program's alone.
    run(cargo(&[&["build"], &target[..]].concat())?)?;
    let mut words = [&["run", "--quiet"], &target[..], &["--"]].concat();
    words.extend(arguments.iter().map(String::as_str));
    Err(become_it(cargo(&words)?))
}

/// Fuzzes one target, or every target in turn.
pub(crate) fn fuzz(arguments: &[String]) -> Result<(), Failure> {
    let request = Fuzzing::parse(arguments)?;
    let root = workspace_root()?;
    let targets = fuzz_targets(&root.join("fuzz"))?;
    let chosen = match &request.target {
        None => targets,
        Some(target) if targets.contains(target) => vec![target.clone()],
        Some(target) => {
            return Err(Failure::Usage(format!(
                "no fuzz target `{target}`; there are {}",
                targets.join(", ")
            )));
        }
    };
    if !succeeds(nightly(&root, &["fuzz", "--version"])) {
        return Err(Failure::Checked(
            "fuzzing needs a nightly toolchain and cargo-fuzz; install them with\n  \
             rustup toolchain install nightly --profile minimal\n  \
             cargo install --locked cargo-fuzz\n\
             The same targets run bounded, without either, in `cargo xtask test`."
                .to_owned(),
        ));
    }
    let bound = format!("-max_total_time={}", request.seconds);
    for target in &chosen {
        println!("xtask: fuzzing {target} for {} s", request.seconds);
        run(nightly(&root, &["fuzz", "run", target, "--", &bound]))?;
    }
    Ok(())
}

/// The nightly cargo, whatever toolchain started this program.
fn nightly(root: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("rustup");
    command.args(["run", "nightly", "cargo"]).args(arguments);
    command.env_remove("RUSTUP_TOOLCHAIN").env_remove("CARGO");
    command.current_dir(root);
    command
}

/// Names of the programs in the fuzz manifest.
fn fuzz_targets(directory: &Path) -> Result<Vec<String>, Failure> {
    let path = directory.join("Cargo.toml");
    let failed = |problem: String| Failure::Checked(format!("{}: {problem}", path.display()));
    let text = std::fs::read_to_string(&path).map_err(|e| failed(e.to_string()))?;
    let manifest: toml::Table = text.parse().map_err(|e: toml::de::Error| failed(e.to_string()))?;
    let programs = manifest.get("bin").and_then(toml::Value::as_array);
    let named = programs.into_iter().flatten();
    let names = named.filter_map(|program| program.get("name").and_then(toml::Value::as_str));
    let names: Vec<_> = names.map(str::to_owned).collect();
    if names.is_empty() {
        return Err(failed("no [[bin]] with a name".to_owned()));
    }
    Ok(names)
}

#[derive(Debug, PartialEq, Eq)]
struct Fuzzing {
    target: Option<String>,
    seconds: u32,
}

impl Fuzzing {
    fn parse(arguments: &[String]) -> Result<Self, Failure> {
        let mut fuzzing = Self { target: None, seconds: FUZZ_SECONDS };
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            if word == "--seconds" {
                let number = words.next().and_then(|n| n.parse().ok()).filter(|n| *n > 0);
                fuzzing.seconds = number
                    .ok_or_else(|| Failure::Usage("--seconds takes a number above 0".to_owned()))?;
            } else if word.starts_with('-') || fuzzing.target.is_some() {
                return Err(Failure::Usage(format!("fuzz takes no `{word}`")));
            } else {
                fuzzing.target = Some(word.clone());
            }
        }
        Ok(fuzzing)
    }
}

fn has_option(arguments: &[String], option: &str) -> bool {
    arguments.iter().any(|argument| {
        let rest = argument.strip_prefix(option);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn an_option_is_seen_in_both_spellings_and_not_in_a_longer_one() {
        for (line, expected) in [
            ("--nodes 4", true),
            ("--json --nodes=4", true),
            ("--nodes-per-table 4", false),
            ("nodes", false),
            ("", false),
        ] {
            assert_eq!(has_option(&words(line), "--nodes"), expected, "{line}");
        }
    }

    #[test]
    fn fuzzing_is_asked_for_by_target_and_time() {
        let of = |line: &str| Fuzzing::parse(&words(line));
        let fuzzing = |target: Option<&str>, seconds| {
            Ok(Fuzzing { target: target.map(str::to_owned), seconds })
        };
        assert_eq!(of(""), fuzzing(None, FUZZ_SECONDS));
        assert_eq!(of("frame --seconds 5"), fuzzing(Some("frame"), 5));
        assert_eq!(of("--seconds 1"), fuzzing(None, 1));
        for line in ["a b", "--seconds", "--seconds 0", "--seconds x", "--fast"] {
            assert!(matches!(of(line), Err(Failure::Usage(_))), "{line}");
        }
    }

    #[test]
    fn a_program_needs_a_name() {
        for line in ["", "--json"] {
            let refused = bench_binary("bench", &words(line));
            assert!(matches!(refused, Err(Failure::Usage(_))), "{line}");
        }
    }
}
