//! When the network counts as unhealthy, as it is written.

use bitcraps_engine::monitor::AlertKind;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::limits::{
    ABSENT_INTERVALS, ALERT_SECONDS, ANOMALY_MULTIPLIER, CALM_SECONDS, HEALTH_CHECK_INTERVAL,
    MAX_DIAMETER, MAX_DIAMETER_CLEAR, RATIO,
};

/// When the network counts as unhealthy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub(in crate::config) struct RawNetworkMonitor {
    /// Time between two looks at the network, in seconds.
    #[schemars(range(min = HEALTH_CHECK_INTERVAL.min, max = HEALTH_CHECK_INTERVAL.max))]
    pub(in crate::config) health_check_interval_seconds: i64,
    /// How far from its usual value a measure is an anomaly, in standard deviations.
    #[schemars(range(min = ANOMALY_MULTIPLIER.min, max = ANOMALY_MULTIPLIER.max))]
    pub(in crate::config) anomaly_threshold_multiplier: f64,
    /// Probability of a split above which there is an alert.
    #[schemars(range(min = RATIO.min, max = RATIO.max))]
    pub(in crate::config) partition_risk_alert_threshold: f64,
    /// Diameter above which there is an alert, in hops.
    #[schemars(range(min = MAX_DIAMETER.min, max = MAX_DIAMETER.max))]
    pub(in crate::config) max_diameter_alert: i64,
    /// Average clustering coefficient below which there is an alert.
    #[schemars(range(min = RATIO.min, max = RATIO.max))]
    pub(in crate::config) min_clustering_coefficient: f64,
    /// Load of a bridge node, as a share of its capacity, above which there is an alert.
    #[schemars(range(min = RATIO.min, max = RATIO.max))]
    pub(in crate::config) bridge_node_load_threshold: f64,
    /// Probability of a split at which its alert ends. Left out: four fifths of where it begins.
    #[schemars(range(min = RATIO.min, max = RATIO.max))]
    pub(in crate::config) partition_risk_clear: Option<f64>,
    /// Probability of a split above which redundant links are recommended.
    #[schemars(range(min = RATIO.min, max = RATIO.max))]
    pub(in crate::config) partition_risk_advice: f64,
    /// Diameter at which its alert ends, in hops. Left out: one less than where it begins.
    #[schemars(range(min = MAX_DIAMETER_CLEAR.min, max = MAX_DIAMETER_CLEAR.max))]
    pub(in crate::config) max_diameter_clear: Option<i64>,
    /// Diameter above which shortcuts are recommended, in hops.
    #[schemars(range(min = MAX_DIAMETER.min, max = MAX_DIAMETER.max))]
    pub(in crate::config) max_diameter_advice: i64,
    /// Clustering at which its alert ends. Left out: a tenth above where it begins.
    #[schemars(range(min = RATIO.min, max = RATIO.max))]
    pub(in crate::config) min_clustering_clear: Option<f64>,
    /// Load at which its alert ends. Left out: four fifths of where it begins.
    #[schemars(range(min = RATIO.min, max = RATIO.max))]
    pub(in crate::config) bridge_node_load_clear: Option<f64>,
    /// Intervals without a look after which there is an alert.
    #[schemars(range(min = ABSENT_INTERVALS.min, max = ABSENT_INTERVALS.max))]
    pub(in crate::config) absent_after_intervals: i64,
}

impl Default for RawNetworkMonitor {
    fn default() -> Self {
        Self {
            health_check_interval_seconds: 5,
            anomaly_threshold_multiplier: 2.0,
            partition_risk_alert_threshold: 0.7,
            max_diameter_alert: 8,
            min_clustering_coefficient: 0.3,
            bridge_node_load_threshold: 0.8,
            partition_risk_clear: None,
            partition_risk_advice: 0.6,
            max_diameter_clear: None,
            max_diameter_advice: 6,
            min_clustering_clear: None,
            bridge_node_load_clear: None,
            absent_after_intervals: 3,
        }
    }
}

/// When an alert fires, and when it ends.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub(in crate::config) struct RawRule {
    /// How long its condition has to hold before it fires, in seconds.
    #[schemars(range(min = ALERT_SECONDS.min, max = ALERT_SECONDS.max))]
    pub(in crate::config) for_seconds: Option<i64>,
    /// How long its condition has to be gone before it ends, in seconds.
    #[schemars(range(min = ALERT_SECONDS.min, max = ALERT_SECONDS.max))]
    pub(in crate::config) keep_firing_seconds: Option<i64>,
}

macro_rules! alerts {
    ($($(#[$doc:meta])* $name:ident, $kind:ident;)*) => {
        /// When alerts fire, and when they end, by kind.
        #[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields, default, expecting = "a table")]
        pub(in crate::config) struct RawAlerts {
            $($(#[$doc])* pub(in crate::config) $name: RawRule,)*
        }

        impl RawAlerts {
            /// What is written of a kind, and under which keys.
            pub(in crate::config) fn of(&mut self, kind: AlertKind) -> ([&'static str; 2], &mut RawRule) {
                match kind {
                    $(AlertKind::$kind => {
                        let keys = [
                            concat!("coordination.alerts.", stringify!($name), ".for_seconds"),
                            concat!("coordination.alerts.", stringify!($name), ".keep_firing_seconds"),
                        ];
                        (keys, &mut self.$name)
                    })*
                }
            }
        }
    };
}

alerts! {
    /// A split is probable.
    partition_risk, PartitionRisk;
    /// The network is split.
    network_partitioned, NetworkPartitioned;
    /// A peer that holds parts together carries too much.
    articulation_point_overload, ArticulationPointOverload;
    /// Messages have far to go.
    high_diameter, HighDiameter;
    /// There are few ways round a loss.
    low_clustering, LowClustering;
    /// A measure is not what it usually is.
    anomaly_detected, AnomalyDetected;
    /// A transport has no link that works.
    transport_down, TransportDown;
    /// An admitted peer cannot be reached.
    peer_lost, PeerLost;
    /// A peer says of links what cannot be true.
    link_state_poisoning, LinkStatePoisoning;
    /// Two devices use one key.
    identity_conflict, IdentityConflict;
    /// The network was not looked at when it should have been.
    data_absent, DataAbsent;
}

/// When tables take bets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub(in crate::config) struct RawBetting {
    /// Probability that players are parted above which bets pause.
    #[schemars(range(min = RATIO.min, max = RATIO.max))]
    pub(in crate::config) pause_above: f64,
    /// Probability at or below which they go on. Left out: three quarters of where they pause.
    #[schemars(range(min = RATIO.min, max = RATIO.max))]
    pub(in crate::config) resume_at: Option<f64>,
    /// How long it has to stay there, in seconds.
    #[schemars(range(min = CALM_SECONDS.min, max = CALM_SECONDS.max))]
    pub(in crate::config) calm_seconds: i64,
}

impl Default for RawBetting {
    fn default() -> Self {
        Self { pause_above: 0.8, resume_at: None, calm_seconds: 10 }
    }
}
