use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::course::Course;

/// A stretch of the course that has been run.
pub struct Step<'a> {
    /// How far it has come.
    pub at: Duration,
    /// What happened in it, in order, when that was asked for.
    pub happenings: &'a [Happening],
    pub(super) course: &'a Course<'a>,
}

impl fmt::Debug for Step<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Step").field("at", &self.at).finish_non_exhaustive()
    }
}

/// Something that happened, for the trace.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Happening {
    /// Two radios found each other, or a link came back.
    LinkUp {
        /// When, in seconds.
        at: f64,
        /// One end.
        a: String,
        /// The other.
        b: String,
        /// The radio.
        radio: String,
    },
    /// A link carries nothing any more.
    LinkSilent {
        /// When, in seconds.
        at: f64,
        /// One end.
        a: String,
        /// The other.
        b: String,
        /// The radio.
        radio: String,
    },
    /// The ends of a link were told that it is gone.
    LinkDown {
        /// When, in seconds.
        at: f64,
        /// One end.
        a: String,
        /// The other.
        b: String,
        /// The radio.
        radio: String,
    },
    /// A fault of the scenario begins.
    FaultBegins {
        /// When, in seconds.
        at: f64,
        /// Its kind.
        kind: &'static str,
        /// The nodes that it is about, when it is about nodes.
        nodes: Vec<String>,
    },
    /// And ends.
    FaultEnds {
        /// When, in seconds.
        at: f64,
        /// Its kind.
        kind: &'static str,
        /// The nodes that it is about, when it is about nodes.
        nodes: Vec<String>,
    },
    /// A message has its outcome.
    Message {
        /// When, in seconds.
        at: f64,
        /// Its number, in the order in which messages were sent.
        number: usize,
        /// Its sender.
        from: String,
        /// Its destination.
        to: String,
        /// What it is worth.
        class: &'static str,
        /// When it was sent, in seconds.
        sent: f64,
        /// What came of it.
        outcome: &'static str,
    },
}
