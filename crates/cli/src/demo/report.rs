use std::collections::BTreeMap;
use std::fmt::Write as _;

use bitcraps_types::{Medium, TrafficClass};
use serde::Serialize;

use super::barbell::HealingReport;
use super::ledger::{ClassReport, FailoverReport, RestartReport, Sums};
use super::pulse::Pulse;
use super::table::{Table, behind};

/// Black holes that a run must have survived to count.
pub(super) const LEAST_FAILOVERS: usize = 10;
/// Slowest resumption, at the 99th percentile, that passes, in milliseconds.
pub(super) const RESUME_P99_MS: f64 = 250.0;

/// What a family of links did.
#[derive(Debug, Clone, Serialize)]
pub(super) struct TransportReport {
    pub(super) requests: u64,
    pub(super) bytes: u64,
    pub(super) medium: Medium,
}

/// What nodes did for others.
#[derive(Debug, Clone, Serialize)]
pub(super) struct HopReport {
    /// The node that others reach across hops.
    behind: Option<usize>,
    /// Frames handed on.
    relayed: u64,
}

impl HopReport {
    pub(super) fn of(table: &Table) -> Self {
        Self { behind: behind(table.len()), relayed: table.relayed() }
    }
}

/// The demo's result, as JSON and for people.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Report {
    schema: u32,
    nodes: usize,
    seconds: u64,
    seed: u64,
    classes: BTreeMap<TrafficClass, ClassReport>,
    failover: FailoverReport,
    restarts: RestartReport,
    transports: BTreeMap<String, TransportReport>,
    hops: HopReport,
    health: Pulse,
    healing: HealingReport,
    transmissions_per_message: f64,
    verdict: Verdict,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failures: Vec<String>,
}

/// Whether the run kept its promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    /// It did.
    Pass,
    /// It did not; `failures` says where.
    Fail,
}

impl Report {
    pub(super) fn new(
        (nodes, seconds, seed): (usize, u64, u64),
        sums: Sums,
        transports: BTreeMap<String, TransportReport>,
        (hops, healing): (HopReport, HealingReport),
        health: Pulse,
    ) -> Self {
        let mut failures = failures(&sums);
        failures.extend(healing.failures());
        if hops.behind.is_some() && hops.relayed == 0 {
            failures.push("nothing went across hops".to_owned());
        }
        let verdict = if failures.is_empty() { Verdict::Pass } else { Verdict::Fail };
        let sent: u64 = sums.classes.values().map(|c| c.sent).sum();
        let requests: u64 = transports.values().map(|t| t.requests).sum();
        let per_message = requests as f64 / sent.max(1) as f64;
        Self {
            schema: 1,
            nodes,
            seconds,
            seed,
            classes: sums.classes,
            failover: sums.failover,
            restarts: sums.restarts,
            transports,
            hops,
            health,
            healing,
            transmissions_per_message: (per_message * 1e3).round() / 1e3,
            verdict,
            failures,
        }
    }

    pub(super) fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// The report for people.
    pub(super) fn text(&self) -> String {
        let mut out = String::new();
        let line = |out: &mut String, text: String| writeln!(out, "{text}").unwrap_or_default();
        line(
            &mut out,
            format!(
                "{:<11} {:>7} {:>10} {:>8} {:>8} {:>6} {:>10} {:>10}",
                "class", "sent", "delivered", "expired", "unknown", "twice", "p50 ms", "p99 ms"
            ),
        );
        for (class, c) in &self.classes {
            let ms = |value: Option<f64>| value.map_or("-".to_owned(), |v| format!("{v:.2}"));
            line(
                &mut out,
                format!(
                    "{class:<11} {:>7} {:>10} {:>8} {:>8} {:>6} {:>10} {:>10}",
                    c.sent,
                    c.delivered,
                    c.expired,
                    c.unknown,
                    c.duplicates_delivered,
                    ms(c.latency_ms.p50),
                    ms(c.latency_ms.p99),
                ),
            );
        }
        let resume = &self.failover.resume_ms;
        let ms = |value: Option<f64>| value.map_or("-".to_owned(), |v| format!("{v:.1} ms"));
        line(
            &mut out,
            format!(
                "\nfailovers    {} silent black holes of the link in use; resumed after p50 {}, p99 {}, max {}",
                self.failover.events,
                ms(resume.p50),
                ms(resume.p99),
                ms(resume.max),
            ),
        );
        if self.restarts.restarts > 0 {
            let RestartReport { restarts, recalled, not_durable, doubtful } = self.restarts;
            line(
                &mut out,
                format!(
                    "restarts     {restarts} nodes killed and back; of critical messages {recalled} found \
                     in an outbox, {doubtful} in doubt at their destination, {not_durable} not \
                     durable when their node died"
                ),
            );
        }
        for (name, transport) in &self.transports {
            line(
                &mut out,
                format!(
                    "{name:<12} {} transmissions, {} KiB ({})",
                    transport.requests,
                    transport.bytes / 1_024,
                    transport.medium
                ),
            );
        }
        if let HopReport { behind: Some(behind), relayed } = self.hops {
            let text =
                format!("hops         {relayed} frames of and for node {behind} carried by others");
            line(&mut out, text);
        }
        line(&mut out, format!("healing      {}", self.healing.text()));
        line(
            &mut out,
            format!(
                "cost         {:.2} transmissions a message, copies of critical messages included",
                self.transmissions_per_message
            ),
        );
        let refused = self.classes.get(&TrafficClass::Critical).map_or(0, |c| c.rejected);
        if refused > 0 {
            let text = "critical messages to peers not known yet, refused at once";
            line(&mut out, format!("refused      {refused} {text}"));
        }
        line(&mut out, self.health.text());
        for failure in &self.failures {
            line(&mut out, format!("FAILED       {failure}"));
        }
        let verdict = match self.verdict {
            Verdict::Pass => "pass: nothing critical lost, nothing delivered twice",
            Verdict::Fail => "fail",
        };
        line(&mut out, format!("\nverdict      {verdict} (seed {})", self.seed));
        out
    }
}

/// Every broken promise, from the applications' own records.
fn failures(sums: &Sums) -> Vec<String> {
    let mut failures = Vec::new();
    if sums.critical_lost > 0 {
        let lost = sums.critical_lost;
        let examples = sums.examples.join("; ");
        failures.push(format!("{lost} critical messages were not delivered: {examples}"));
    }
    let twice: u64 = sums.classes.values().map(|c| c.duplicates_delivered).sum();
    if twice > 0 {
        failures.push(format!("{twice} deliveries were repeats"));
    }
    if sums.altered > 0 {
        failures.push(format!("{} deliveries were of nothing that was sent there", sums.altered));
    }
    let failover = &sums.failover;
    if failover.events < LEAST_FAILOVERS {
        let events = failover.events;
        failures.push(format!("{events} failovers happened, {LEAST_FAILOVERS} are needed"));
    }
    if failover.never_resumed > 0 {
        failures
            .push(format!("after {} black holes nothing was delivered", failover.never_resumed));
    }
    if let Some(p99) = failover.resume_ms.p99.filter(|p99| *p99 > RESUME_P99_MS) {
        failures.push(format!("resumption took {p99} ms at p99, {RESUME_P99_MS} ms are allowed"));
    }
    failures
}
