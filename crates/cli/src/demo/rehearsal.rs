//! One scene of the demo alone, as often as wanted.

use std::fmt::Write as _;

use serde::Serialize;

use super::DemoError;
use super::barbell::{self, HealingReport};
use super::report::Verdict;

/// A scene that can be played alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Scene {
    /// Two groups joined by one relay, which is killed once healing has made a link round it
    Healing,
}

#[derive(Debug, Clone, Serialize)]
struct Run {
    seed: u64,
    healing: HealingReport,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failures: Vec<String>,
}

/// What came of all runs.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Rehearsal {
    schema: u32,
    runs: Vec<Run>,
    verdict: Verdict,
}

impl Rehearsal {
    fn of(runs: Vec<(u64, HealingReport)>) -> Self {
        let run = |(seed, healing): (u64, HealingReport)| {
            let failures = healing.failures();
            Run { seed, healing, failures }
        };
        let runs: Vec<Run> = runs.into_iter().map(run).collect();
        let failed = runs.iter().any(|run| !run.failures.is_empty());
        let verdict = if failed { Verdict::Fail } else { Verdict::Pass };
        Self { schema: 1, runs, verdict }
    }

    pub(super) fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// A line for each run, for people.
    pub(super) fn text(&self) -> String {
        let mut out = String::new();
        let mut line = |text: String| writeln!(out, "{text}").unwrap_or_default();
        for Run { seed, healing, failures } in &self.runs {
            line(format!("seed {seed:<6} {}", healing.text()));
            failures.iter().for_each(|failure| line(format!("FAILED      {failure}")));
        }
        let passed = self.runs.iter().filter(|run| run.failures.is_empty()).count();
        line(format!("\nverdict     {passed} of {} passed", self.runs.len()));
        out
    }
}

/// Plays a scene with `seed`, and with the next ones, one after the other: how soon a link is made is told
/// only by a machine that does nothing else.
pub(super) async fn play(scene: Scene, seed: u64, runs: u64) -> Result<Rehearsal, DemoError> {
    let mut reports = Vec::new();
    for seed in (0..runs).map(|run| seed.wrapping_add(run)) {
        let report = match scene {
            Scene::Healing => barbell::play(seed).await?,
        };
        reports.push((seed, report));
    }
    Ok(Rehearsal::of(reports))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_run_that_fails_fails_all_and_is_told() {
        let healed = HealingReport {
            alerts_fired: 7,
            links_added: 1,
            links_optimum: 1,
            split_after_kill: false,
            repair_ms: Some(850.25),
        };
        let split = HealingReport { split_after_kill: true, ..healed.clone() };
        let both = Rehearsal::of(vec![(4, healed.clone()), (5, healed.clone())]);
        assert_eq!(both.verdict(), Verdict::Pass);
        let one = Rehearsal::of(vec![(4, healed), (5, split)]);
        assert_eq!(one.verdict(), Verdict::Fail);
        let text = one.text();
        assert!(text.contains("seed 4") && text.contains("850.2 ms after the alert"), "{text}");
        assert!(text.contains("FAILED") && text.contains("1 of 2 passed"), "{text}");
    }
}
