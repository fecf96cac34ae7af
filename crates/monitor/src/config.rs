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
    /// Probability of a split above which there is an alert.
    pub partition_risk_alert_threshold: Ratio,
    /// It ends at or below this one.
    pub partition_risk_clear: Ratio,
    /// Probability of a split above which redundant links are recommended.
    pub partition_risk_advice: Ratio,
    /// Diameter above which there is an alert, in hops.
    pub max_diameter_alert: u32,
    /// It ends at or below this one.
    pub max_diameter_clear: u32,
    /// Diameter above which shortcuts are recommended, in hops.
    pub max_diameter_advice: u32,
    /// Clustering below which there is an alert, and a recommendation.
    pub min_clustering_coefficient: Ratio,
    /// The alert ends at or above this one.
    pub min_clustering_clear: Ratio,
    /// Load of an articulation point above which there is an alert, and a recommendation.
    pub bridge_node_load_threshold: Ratio,
    /// The alert ends at or below this one.
    pub bridge_node_load_clear: Ratio,
    /// Intervals without a look after which that is told.
    pub absent_after_intervals: u32,
    /// How long conditions have to hold, and to be gone, by kind of alert.
    pub rules: [Rule; AlertKind::COUNT],
    /// When tables take bets.
    pub gate: GateConfig,
}

impl MonitorConfig {
    /// Where an alert ends that begins above `threshold`, unless it is said: at four fifths of it.
    pub fn clear_of(threshold: Ratio) -> Ratio {
        Ratio::clamped(four_digits(threshold.get() * 0.8).min(threshold.get()))
    }

    /// Where one ends that begins below `threshold`: a tenth above it.
    pub fn clear_above(threshold: Ratio) -> Ratio {
        Ratio::clamped(four_digits(threshold.get() * 1.1).max(threshold.get()))
    }
}

/// As people write it: 0.56, not 0.5599999999999999.
pub(crate) fn four_digits(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

impl Default for MonitorConfig {
    fn default() -> Self {
        let (risk, clustering, load) =
            (Ratio::clamped(0.7), Ratio::clamped(0.3), Ratio::clamped(0.8));
        Self {
            health_check_interval: Duration::from_secs(5),
            anomaly_threshold_multiplier: 2.0,
            partition_risk_alert_threshold: risk,
            partition_risk_clear: Self::clear_of(risk),
            partition_risk_advice: Ratio::clamped(0.6),
            max_diameter_alert: 8,
            max_diameter_clear: 7,
            max_diameter_advice: 6,
            min_clustering_coefficient: clustering,
            min_clustering_clear: Self::clear_above(clustering),
            bridge_node_load_threshold: load,
            bridge_node_load_clear: Self::clear_of(load),
            absent_after_intervals: 3,
            rules: AlertKind::ALL.map(AlertKind::rule),
            gate: GateConfig::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_ends_on_the_good_side_of_where_it_begins() {
        let of = |value| Ratio::clamped(value);
        for (fire, above, below) in
            [(0.7, 0.56, 0.77), (0.8, 0.64, 0.88), (0.0, 0.0, 0.0), (1.0, 0.8, 1.0)]
        {
            assert_eq!(MonitorConfig::clear_of(of(fire)), of(above), "{fire}");
            assert_eq!(MonitorConfig::clear_above(of(fire)), of(below), "{fire}");
        }
        // Rounding does not carry it across.
        let (tiny, large) = (of(0.000_07), of(0.999_99));
        assert_eq!(MonitorConfig::clear_of(tiny), tiny);
        assert_eq!(MonitorConfig::clear_above(large), of(1.0));
    }
}
