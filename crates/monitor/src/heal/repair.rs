use std::time::Duration;

use bitcraps_types::{PeerId, Timestamp, TransportType};
use serde::{Deserialize, Serialize};

use super::{HealthIssue, Plan, PlanEpoch, PlannedLink};

/// Tells the repairs of one node apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RepairId(pub u64);

/// What came of a repair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The link is being made.
    Pending,
    /// It is there.
    Linked,
    /// It did not come up in time.
    Failed,
    /// It was there, and has broken.
    Lost,
    /// It was not needed any more, and was dropped.
    Dropped,
}

/// A link that this node was to make.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ActiveRepair {
    /// Its number.
    pub id: RepairId,
    /// Against what.
    pub issue: HealthIssue,
    /// From which knowledge it was planned.
    pub epoch: PlanEpoch,
    /// The link.
    pub link: PlannedLink,
    /// When it was asked for.
    pub begun: Timestamp,
    /// What came of it.
    pub outcome: Outcome,
    /// How long the link took to come up; `None` before it has.
    pub took: Option<Duration>,
    /// The measure of the issue when the link was first seen, to be held against what was promised.
    pub measured: Option<f64>,
    /// When it was last needed.
    pub(super) needed: Timestamp,
    /// When that was last looked at.
    pub(super) checked: Timestamp,
}

/// The same, to be told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RepairReport {
    /// Its number.
    pub id: RepairId,
    /// Against what.
    pub issue: HealthIssue,
    /// The end that this node linked with.
    pub peer: PeerId,
    /// Over what.
    pub transport: TransportType,
    /// What came of it.
    pub outcome: Outcome,
    /// How long ago it was asked for, in milliseconds.
    pub ago_ms: u64,
    /// How long the link took to come up, in milliseconds.
    pub took_ms: Option<u64>,
    /// The measure of the issue before, as promised, and as it was when the link was there.
    pub before: f64,
    /// As the plan had it.
    pub promised: f64,
    /// As it turned out.
    pub measured: Option<f64>,
}

/// What is planned, and what a node has made of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HealingReport {
    /// The node.
    pub me: PeerId,
    /// Links that the network needs, whoever makes them.
    pub plans: Vec<Plan>,
    /// Links of the node's making, on their way or up.
    pub repairs: Vec<RepairReport>,
    /// Those that have ended, the latest first.
    pub past: Vec<RepairReport>,
}

impl ActiveRepair {
    /// The other end, as seen from `me`.
    pub fn peer(&self, me: &PeerId) -> PeerId {
        if self.link.a == *me { self.link.b } else { self.link.a }
    }

    /// To be told.
    pub fn report(&self, me: &PeerId, now: Timestamp) -> RepairReport {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        RepairReport {
            id: self.id,
            issue: self.issue,
            peer: self.peer(me),
            transport: self.link.transport,
            outcome: self.outcome,
            ago_ms: millis(now.since(self.begun)),
            took_ms: self.took.map(millis),
            before: self.link.before,
            promised: self.link.promised,
            measured: self.measured,
        }
    }
}
