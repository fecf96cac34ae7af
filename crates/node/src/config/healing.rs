use bitcraps_engine::monitor::{HealingConfig, HealingMode, HealthIssue};
use bitcraps_types::TransportType;

use super::{Config, Healing};

impl Config {
    /// How the network is healed, as this configuration says: issues are those that there are alerts
    /// for.
    pub fn healing_rules(&self) -> HealingConfig {
        let (settings, monitor) = (self.healing(), self.monitor());
        let mut rules = HealingConfig {
            mode: match settings.mode {
                Healing::Forecast => HealingMode::Forecast,
                Healing::Reactive => HealingMode::Reactive,
            },
            acts: settings.enabled,
            ..HealingConfig::default()
        };
        rules.max_neighbours[TransportType::Bluetooth.index()] = settings.bluetooth_neighbours;
        for issue in HealthIssue::ALL {
            rules.policies[issue.index()].threshold = match issue {
                HealthIssue::HighPartitionRisk => monitor.partition_risk_alert_threshold.get(),
                HealthIssue::HighDiameter => f64::from(monitor.max_diameter_alert),
                HealthIssue::LowClustering => monitor.min_clustering_coefficient.get(),
                HealthIssue::BridgeNodeOverload => monitor.bridge_node_load_threshold.get(),
            };
        }
        rules
    }
}
