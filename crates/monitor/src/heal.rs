//! Which links to ask for, so that a network withstands what is likely to happen to it, and when to
//! ask for them: plans, never deeds.

mod debts;
mod game;
mod healer;
mod others;
mod plan;
mod repair;
mod view;

use std::fmt;
use std::time::Duration;

use bitcraps_types::{PeerId, TransportType};
use serde::{Deserialize, Serialize};

pub use game::{Game, game_of};
pub use healer::{Deed, Healer, MAX_REPAIRS};
pub use plan::{Plan, PlanEpoch, PlannedLink, plan_of, plans_of, weakness_of};
pub use repair::{ActiveRepair, HealingReport, Outcome, RepairId, RepairReport};
pub use view::{Offer, View};

use crate::{Contacts, HealthMetrics};

/// What is to be healed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum HealthIssue {
    /// The network is in parts, is expected to be, or is likely to be.
    HighPartitionRisk,
    /// Messages have far to go.
    HighDiameter,
    /// Neighbours of a peer are not neighbours of each other.
    LowClustering,
    /// A peer that holds parts together carries more than it should.
    BridgeNodeOverload,
}

impl HealthIssue {
    /// How many there are.
    pub const COUNT: usize = 4;
    /// Every one, in the order in which they are healed.
    pub const ALL: [Self; Self::COUNT] = [
        Self::HighPartitionRisk,
        Self::HighDiameter,
        Self::LowClustering,
        Self::BridgeNodeOverload,
    ];

    /// Position in [`Self::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for HealthIssue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::HighPartitionRisk => "high partition risk",
            Self::HighDiameter => "high diameter",
            Self::LowClustering => "low clustering",
            Self::BridgeNodeOverload => "bridge node overload",
        })
    }
}

/// How far ahead healing looks, so that a link can be up before the one that it stands in for is gone.
pub const FORESIGHT: Duration = Duration::from_secs(10);
/// Probability of living through [`FORESIGHT`] below which a link counts as gone.
const LASTING: f64 = 0.5;
/// A link whose margin falls so that nothing is left of it in this time counts as gone too. What falls
/// slower may well turn: over all of [`FORESIGHT`] crowds in groups were given a third more links.
const ENDING: Duration = Duration::from_secs(7);

/// Whether a link is expected to live on: what [`HealingMode::Forecast`] plans with.
pub fn lasts(contacts: &Contacts, a: &PeerId, b: &PeerId) -> bool {
    !contacts.is_ending(a, b, ENDING) && contacts.survival(a, b, FORESIGHT).get() >= LASTING
}

/// How long news of a link may take for a hop: an interval of a Bluetooth connection, and as long in
/// queues.
pub const NEWS_PER_HOP: Duration = Duration::from_millis(80);

/// When an issue is healed, and how far.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HealingPolicy {
    /// What the measure has to be above for the issue to hold, below for clustering.
    pub threshold: f64,
    /// Links in one plan at most; 0 leaves the issue alone.
    pub links: usize,
}

/// What the planner looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HealingMode {
    /// The network as it is: parts are joined once it has split.
    Reactive,
    /// The network without the links that are expected to be gone by the end of the horizon: parts are
    /// joined before they come apart, and single points of failure removed while the risk is high.
    Forecast,
}

/// What steers planning and healing. All nodes of a network should have the same: their plans then
/// agree.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HealingConfig {
    /// In the order of [`HealthIssue::ALL`].
    pub policies: [HealingPolicy; HealthIssue::COUNT],
    /// What the planner looks at.
    pub mode: HealingMode,
    /// Neighbours over each transport above which a peer gets no more, in the order of
    /// [`TransportType::ALL`].
    pub max_neighbours: [u32; TransportType::COUNT],
    /// How long a link has to be planned without a break before it is asked for, at least: longer than
    /// news of a link takes to reach everybody, so that nodes that have seen different news come to one
    /// plan first. In a wide network it is [`NEWS_PER_HOP`] for each hop of the diameter.
    pub settle: Duration,
    /// How long a link is kept after it was last needed, at least.
    pub keep: Duration,
    /// Whether links are asked for when their time comes. Otherwise [`Healer::apply`] does it, and
    /// nobody else is to count on them.
    pub acts: bool,
}

impl Default for HealingConfig {
    /// Bluetooth radios hold four to seven links; a phone's other transports hold more than anybody
    /// plans.
    fn default() -> Self {
        let policy = |threshold, links| HealingPolicy { threshold, links };
        Self {
            policies: [policy(0.7, 64), policy(8.0, 4), policy(0.3, 2), policy(0.8, 4)],
            mode: HealingMode::Forecast,
            max_neighbours: [7, 64, 64],
            settle: Duration::from_millis(500),
            keep: Duration::from_secs(600),
            acts: true,
        }
    }
}

/// Below this, every network is a chain, a star or a ring, and nothing is to be said of its shape.
const SHAPELY: u64 = 4;

impl HealingConfig {
    /// Whether an issue holds, and the most links that are to be planned against it.
    pub(crate) fn wanted(&self, issue: HealthIssue, view: &View, health: &HealthMetrics) -> usize {
        let HealingPolicy { threshold, links } = self.policies[issue.index()];
        let shapely = health.peers >= SHAPELY;
        let holds = match issue {
            HealthIssue::HighPartitionRisk => {
                // Joining parts takes a link each; whatever else is fragile waits for a high risk.
                let risky = self.mode == HealingMode::Forecast && health.partition_risk > threshold;
                return if risky { links } else { links.min(view.parts() - 1) };
            }
            HealthIssue::HighDiameter => f64::from(health.network_diameter) > threshold,
            HealthIssue::LowClustering => shapely && health.clustering_coefficient < threshold,
            HealthIssue::BridgeNodeOverload => {
                shapely && health.bridge_load.is_some_and(|load| load > threshold)
            }
        };
        if holds { links } else { 0 }
    }
}
