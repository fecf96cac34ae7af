use serde::Serialize;

use super::course::Course;
use super::figures::{ClassFigures, Figures};
use super::{Expectation, What};

/// What a course came to, and whether that is what was expected.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verdict {
    /// Whether everything that was expected is so, and nothing happened that must never happen.
    pub passed: bool,
    /// What came of it all.
    pub figures: Figures,
    /// Each expectation, in the order of the file.
    pub findings: Vec<Finding>,
    /// What must never happen and did: a message twice, one that nobody sent, an untrue outcome.
    pub violations: Vec<String>,
}

/// An expectation, held against what came.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// The figure.
    pub what: &'static str,
    /// Of messages of this class alone.
    pub class: Option<&'static str>,
    /// What it came to; there is none when there was nothing to measure.
    pub value: Option<f64>,
    /// What it should be at least.
    pub at_least: Option<f64>,
    /// What it should be at most.
    pub at_most: Option<f64>,
    /// Whether it is. What was not measured is not.
    pub met: bool,
    /// Its line in the file.
    pub line: usize,
}

impl Verdict {
    pub(super) fn of(course: &Course<'_>) -> Self {
        let figures = Figures::of(course);
        let findings: Vec<Finding> =
            course.scenario.expectations.iter().map(|e| e.judge(&figures)).collect();
        let violations = course.sim.check().err().map_or_else(Vec::new, |found| found.0);
        let violations: Vec<String> = violations.iter().map(ToString::to_string).collect();
        let passed = violations.is_empty() && findings.iter().all(|finding| finding.met);
        Self { passed, figures, findings, violations }
    }
}

impl Expectation {
    fn judge(&self, figures: &Figures) -> Finding {
        let class = self.class.map(|class| class.name());
        let of_class = class.and_then(|class| figures.classes.get(class));
        let value = self.what.value(figures, of_class.unwrap_or(&figures.all));
        let met = value.is_some_and(|value| {
            self.least.is_none_or(|least| value >= least)
                && self.most.is_none_or(|most| value <= most)
        });
        Finding {
            what: self.what.name(),
            class,
            value,
            at_least: self.least,
            at_most: self.most,
            met,
            line: self.line,
        }
    }
}

impl What {
    fn value(self, figures: &Figures, messages: &ClassFigures) -> Option<f64> {
        let count = |number: u64| Some(number as f64);
        match self {
            Self::Sent => count(messages.sent),
            Self::Delivered => count(messages.delivered),
            Self::DeliveredShare if messages.sent == 0 => None,
            Self::DeliveredShare => Some(messages.delivered as f64 / messages.sent as f64),
            Self::Undelivered => count(messages.undelivered),
            Self::Refused => count(messages.refused),
            Self::P50 => messages.p50_ms,
            Self::P99 => messages.p99_ms,
            Self::LongestGap => messages.longest_gap_ms,
            Self::WrongViews => Some(figures.wrong_views as f64),
            Self::Relayed => count(figures.relayed),
            Self::Rate => Some(figures.bytes_per_node_second),
            Self::Healed => Some(figures.healed as f64),
        }
    }
}
