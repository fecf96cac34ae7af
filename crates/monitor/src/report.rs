use bitcraps_topology::Topology;
use serde::{Deserialize, Serialize};

use crate::alert::{AlertState, AlertStatus, Severity};
use crate::calibration::Skill;
use crate::gate::Betting;
use crate::{AlertKey, HealthMetrics, MonitorConfig, Recommendation, recommend_topology_changes};

/// Whether a network does what it is for; the worse is the greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OverallStatus {
    /// Nothing fires that people are to be told of, beyond what is worth knowing.
    Healthy,
    /// Something does not work as it should.
    Warning,
    /// Messages are lost, or about to be.
    Critical,
}

impl OverallStatus {
    /// The worst of the alerts that fire and are not muted.
    pub fn of(alerts: &[AlertStatus]) -> Self {
        let heard = alerts.iter().filter(|a| a.state == AlertState::Firing && a.muted.is_none());
        match heard.map(|alert| alert.severity).max() {
            None | Some(Severity::Info) => Self::Healthy,
            Some(Severity::Warning) => Self::Warning,
            Some(Severity::Critical) => Self::Critical,
        }
    }
}

/// What is to be expected.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outlook", rename_all = "snake_case")]
pub enum Outlook {
    /// The network splits within the horizon with this probability.
    Known {
        /// 0 to 1.
        probability: f64,
    },
    /// Nobody can know so far ahead.
    Unknown {
        /// How far ahead anything is known, in seconds.
        beyond_seconds: f64,
    },
}

/// A forecast of a split, with how good those before it were.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Forecast {
    /// Time ahead, in seconds.
    pub horizon_seconds: f64,
    /// What is to be expected.
    #[serde(flatten)]
    pub outlook: Outlook,
    /// How good forecasts have been.
    pub skill: Skill,
}

/// An alert that is over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PastAlertReport {
    /// Which.
    #[serde(flatten)]
    pub key: AlertKey,
    /// How long it fired, in milliseconds.
    pub lasted_ms: u64,
    /// How long ago it was resolved, in milliseconds.
    pub ago_ms: u64,
    /// What was the case.
    pub what: String,
}

/// The health of a network, as a node sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HealthReport {
    /// In one word.
    pub overall_status: OverallStatus,
    /// In numbers; `None` before the first look.
    pub network_topology: Option<HealthMetrics>,
    /// How long ago that was, in milliseconds.
    pub age_ms: u64,
    /// Whether the risk of a split is low enough to bet.
    pub betting: Betting,
    /// Whether a split is coming.
    pub forecast: Option<Forecast>,
    /// What is wrong, the worst first.
    pub alerts: Vec<AlertStatus>,
    /// What was wrong, the latest first.
    pub recent_alerts: Vec<PastAlertReport>,
    /// What to do about it, the most urgent first.
    pub recommendations: Vec<Recommendation>,
}

impl HealthReport {
    /// With what is to be done about `topology`, which it is of; see [`recommend_topology_changes`] for
    /// what that costs.
    #[must_use]
    pub fn complete(self, topology: &Topology, config: &MonitorConfig) -> Self {
        let recommendations = self.network_topology.as_ref().map_or_else(Vec::new, |health| {
            recommend_topology_changes(&topology.snapshot(), topology, health, config)
        });
        Self { recommendations, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::AlertKind;
    use crate::alert::Muted;

    fn alert(kind: AlertKind, state: AlertState, muted: Option<Muted>) -> AlertStatus {
        AlertStatus {
            key: AlertKey::of_network(kind),
            name: String::new(),
            severity: kind.severity(),
            state,
            for_ms: 0,
            value: 0.0,
            what: String::new(),
            fired: 1,
            muted,
            acknowledged_by: None,
        }
    }

    #[test]
    fn the_worst_alert_that_is_heard_decides() {
        let of = |alerts: &[AlertStatus]| OverallStatus::of(alerts);
        let (firing, pending) = (AlertState::Firing, AlertState::Pending);
        let info = alert(AlertKind::LowClustering, firing, None);
        let warning = alert(AlertKind::PeerLost, firing, None);
        let split = |state, muted| alert(AlertKind::NetworkPartitioned, state, muted);
        assert_eq!(of(&[]), OverallStatus::Healthy);
        assert_eq!(of(std::slice::from_ref(&info)), OverallStatus::Healthy);
        assert_eq!(of(&[info, warning.clone()]), OverallStatus::Warning);
        assert_eq!(of(&[warning.clone(), split(pending, None)]), OverallStatus::Warning);
        let silenced = Some(Muted::Silenced(1));
        assert_eq!(of(&[warning.clone(), split(firing, silenced)]), OverallStatus::Warning);
        assert_eq!(of(&[warning, split(firing, None)]), OverallStatus::Critical);
    }
}
