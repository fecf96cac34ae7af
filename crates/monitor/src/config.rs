use std::time::Duration;

use bitcraps_types::Ratio;

use crate::AlertKind;
use crate::alert::Rule;
use crate::gate::GateConfig;

/// When a network counts as unhealthy. The names are those of `[coordination.network_monitor]`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MonitorConfig {
    /// Time between two looks; there is one at once when the network comes apart or together.
    pub health_check_interval: Duration,
    /// How far above what its own past makes likely a deviation has to be to count as an anomaly: 2 is
    /// usual, more tells less.
    pub anomaly_threshold_multiplier: f64,
    /// Probability of a split above which there is an alert. It ends at four fifths of that.
    pub partition_risk_alert_threshold: Ratio,
    /// Diameter above which there is an alert, in hops. It ends below this.
    pub max_diameter_alert: u32,
    /// Clustering below which there is an alert. It ends a tenth above this.
    pub min_clustering_coefficient: Ratio,
    /// Load of an articulation point above which there is an alert. It ends at four fifths of that.
    pub bridge_node_load_threshold: Ratio,
    /// How long conditions have to hold, and to be gone, by kind of alert.
    pub rules: [Rule; AlertKind::COUNT],
    /// When tables take bets.
    pub gate: GateConfig,
}

impl Default for MonitorConfig {
    fn default() -> Self {
        Self {
            health_check_interval: Duration::from_secs(5),
            anomaly_threshold_multiplier: 2.0,
            partition_risk_alert_threshold: Ratio::clamped(0.7),
            max_diameter_alert: 8,
            min_clustering_coefficient: Ratio::clamped(0.3),
            bridge_node_load_threshold: Ratio::clamped(0.8),
            rules: AlertKind::ALL.map(AlertKind::rule),
            gate: GateConfig::default(),
        }
    }
}
