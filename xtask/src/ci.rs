use std::time::{Duration, Instant};

use crate::Failure;
use crate::command::{cargo, run as run_command};
use crate::{hci, layers, net, suite, tidy};

/// One check of the whole workspace.
struct Step {
    name: &'static str,
    check: fn() -> Result<(), Failure>,
}

/// In the order of running: the quick ones first.
const STEPS: [Step; 11] = [
    Step {
        name: "fmt",
        check: || run_command(cargo(&["fmt", "--all", "--", "--check", "--color", "never"])?),
    },
    Step { name: "layers", check: layers::run },
    Step { name: "tidy", check: tidy::run },
    Step {
        name: "clippy",
        // The features that the members ask for, as in the tests: nothing is compiled twice. And the
        // tests that run in the guest of `test-radio`, or by `test-hci`, alone.
        check: || {
            let words = ["clippy", "--workspace", "--all-targets"];
            let guest = [
                "--features",
                "bitcraps-transport-ble/adapters,bitcraps-transport-ble/controllers,\
                 bitcraps-transport-wifi/radios",
            ];
            let strict = ["--", "-D", "warnings"];
            run_command(cargo(&[&words[..], &guest, &strict].concat())?)
        },
    },
    Step {
        name: "bare",
        // Without the internet transport.
        check: || {
            let words = ["check", "-p", "bitcraps-node", "-p", "bitcraps-cli"];
            run_command(cargo(&[&words[..], &["--no-default-features"]].concat())?)
        },
    },
    Step { name: "test", check: || suite::run(&[]) },
    Step { name: "net", check: || net::routers(&[]) },
    Step { name: "metrics", check: || net::prometheus(&[]) },
    Step { name: "dbus", check: || net::dbus(&[]) },
    Step { name: "hci", check: || hci::run(&[]) },
    Step {
        name: "doc",
        check: || {
            let mut doc = cargo(&["doc", "--workspace", "--no-deps"])?;
            doc.env("RUSTDOCFLAGS", "-D warnings");
            run_command(doc)
        },
    },
];

/// Runs every chosen step, also after one has failed, and ends with a table.
pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    let choice = Choice::parse(arguments)?;
    let mut rows = Vec::new();
    for step in &STEPS {
        if !choice.takes(step.name) {
            rows.push((step.name, "left out", Duration::ZERO));
            continue;
        }
        println!("\n==> {}", step.name);
        let (outcome, took) = timed(step.check);
        let word = match &outcome {
            Ok(()) => "ok",
            Err(Failure::Impossible(problem)) => {
                println!("{problem}");
                "NOT RUN"
            }
            Err(Failure::Usage(problem) | Failure::Checked(problem)) => {
                println!("{problem}");
                "FAILED"
            }
        };
        println!("==> {} {word} in {:.1} s", step.name, took.as_secs_f64());
        rows.push((step.name, word, took));
    }
    println!();
    for (name, word, took) in &rows {
        println!("{name:<8} {word:<8} {:>7.1} s", took.as_secs_f64());
    }
    let total: Duration = rows.iter().map(|(_, _, took)| *took).sum();
    println!("{:<8} {:<8} {:>7.1} s", "total", "", total.as_secs_f64());
    let failed = rows.iter().filter(|(_, word, _)| *word == "FAILED");
    let failed: Vec<_> = failed.map(|(name, _, _)| *name).collect();
    if failed.is_empty() {
        Ok(())
    } else {
        Err(Failure::Checked(format!("failed: {}", failed.join(", "))))
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "how long a step took is told to a person, nothing is decided by it"
)]
fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let result = work();
    (result, start.elapsed())
}

/// Which steps to run.
#[derive(Debug, Default, PartialEq, Eq)]
struct Choice {
    skip: Vec<String>,
    only: Vec<String>,
}

impl Choice {
    fn parse(arguments: &[String]) -> Result<Self, Failure> {
        let mut choice = Self::default();
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            let list = match word.as_str() {
                "--skip" => &mut choice.skip,
                "--only" => &mut choice.only,
                other => return Err(Failure::Usage(format!("ci takes no `{other}`"))),
            };
            let names: Vec<_> = STEPS.iter().map(|step| step.name).collect();
            match words.next() {
                Some(step) if names.contains(&step.as_str()) => list.push(step.clone()),
                step => {
                    let given = step.map_or("", String::as_str);
                    return Err(Failure::Usage(format!(
                        "{word} takes one of {}, not `{given}`",
                        names.join(", ")
                    )));
                }
            }
        }
        Ok(choice)
    }

    fn takes(&self, step: &str) -> bool {
        let listed = |list: &[String]| list.iter().any(|name| name == step);
        !listed(&self.skip) && (self.only.is_empty() || listed(&self.only))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Choice, Failure> {
        let words: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
        Choice::parse(&words)
    }

    fn taken(line: &str) -> Vec<&'static str> {
        let choice = parse(line).unwrap();
        let names = STEPS.iter().map(|step| step.name);
        names.filter(|name| choice.takes(name)).collect()
    }

    #[test]
    fn steps_are_chosen_by_name() {
        let all = [
            "fmt", "layers", "tidy", "clippy", "bare", "test", "net", "metrics", "dbus", "hci",
            "doc",
        ];
        assert_eq!(taken(""), all);
        assert_eq!(
            taken("--skip test --skip fmt"),
            all[1..].iter().copied().filter(|s| *s != "test").collect::<Vec<_>>()
        );
        assert_eq!(taken("--only doc --only fmt"), ["fmt", "doc"]);
        assert_eq!(taken("--only doc --skip doc"), [""; 0]);
    }

    #[test]
    fn a_step_that_does_not_exist_is_a_usage_error() {
        for line in ["--skip", "--skip tests", "--only x", "fmt"] {
            assert!(matches!(parse(line), Err(Failure::Usage(_))), "{line}");
        }
    }
}
