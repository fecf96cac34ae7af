//! When the network counts as unhealthy.

use bitcraps_engine::monitor::{AlertKind, GateConfig, MonitorConfig, Rule};
use bitcraps_types::Ratio;

use super::Check;
use crate::config::ConfigError;
use crate::config::limits::{
    ABSENT_INTERVALS, ALERT_SECONDS, ANOMALY_MULTIPLIER, CALM_SECONDS, HEALTH_CHECK_INTERVAL,
    MAX_DIAMETER, MAX_DIAMETER_CLEAR,
};
use crate::config::raw::{RawBetting, RawCoordination, RawRule};

/// The key of a value in `[coordination.network_monitor]`.
macro_rules! key {
    ($name:literal) => {
        concat!("coordination.network_monitor.", $name)
    };
}

const NO_END: &str = "an alert cannot end while its condition holds; write at most the second";

impl Check<'_> {
    /// Writes out in `raw` what follows from other values where nothing is said.
    pub(super) fn monitor(&self, raw: &mut RawCoordination) -> Result<MonitorConfig, ConfigError> {
        let RawCoordination { network_monitor: raw, alerts, betting, .. } = raw;
        let interval = self.seconds(
            key!("health_check_interval_seconds"),
            raw.health_check_interval_seconds,
            HEALTH_CHECK_INTERVAL,
        )?;
        let multiplier = self.within(
            key!("anomaly_threshold_multiplier"),
            raw.anomaly_threshold_multiplier,
            ANOMALY_MULTIPLIER,
        )?;
        let (risk_clear, advice) = (key!("partition_risk_clear"), key!("partition_risk_advice"));
        let risk = self.until(
            (key!("partition_risk_alert_threshold"), raw.partition_risk_alert_threshold),
            (risk_clear, &mut raw.partition_risk_clear),
            MonitorConfig::clear_of,
            NO_END,
        )?;
        let risk_advice = self.ratio(advice, raw.partition_risk_advice)?;
        let fire = key!("max_diameter_alert");
        let diameter: u32 = self.number(fire, raw.max_diameter_alert, MAX_DIAMETER)?;
        let clear = key!("max_diameter_clear");
        let written = *raw.max_diameter_clear.get_or_insert(raw.max_diameter_alert - 1);
        let diameter_clear: u32 = self.number(clear, written, MAX_DIAMETER_CLEAR)?;
        if diameter_clear > diameter {
            return Err(self.contradiction((clear, diameter_clear), (fire, diameter), NO_END));
        }
        let clustering_fire = key!("min_clustering_coefficient");
        let clustering = self.ratio(clustering_fire, raw.min_clustering_coefficient)?;
        let clear = key!("min_clustering_clear");
        let usual = MonitorConfig::clear_above(clustering).get();
        let clustering_clear = self.ratio(clear, *raw.min_clustering_clear.get_or_insert(usual))?;
        if clustering_clear < clustering {
            return Err(self.contradiction(
                (clear, clustering_clear.get()),
                (clustering_fire, clustering.get()),
                "an alert cannot end while its condition holds; write at least the second",
            ));
        }
        let load = self.until(
            (key!("bridge_node_load_threshold"), raw.bridge_node_load_threshold),
            (key!("bridge_node_load_clear"), &mut raw.bridge_node_load_clear),
            MonitorConfig::clear_of,
            NO_END,
        )?;
        let mut rules = AlertKind::ALL.map(AlertKind::rule);
        for (kind, rule) in AlertKind::ALL.into_iter().zip(&mut rules) {
            let (keys, raw) = alerts.of(kind);
            *rule = self.rule(keys, raw, *rule)?;
        }
        Ok(MonitorConfig {
            health_check_interval: interval,
            anomaly_threshold_multiplier: multiplier,
            partition_risk_alert_threshold: risk.0,
            partition_risk_clear: risk.1,
            partition_risk_advice: risk_advice,
            max_diameter_alert: diameter,
            max_diameter_clear: diameter_clear,
            max_diameter_advice: self.number(
                key!("max_diameter_advice"),
                raw.max_diameter_advice,
                MAX_DIAMETER,
            )?,
            min_clustering_coefficient: clustering,
            min_clustering_clear: clustering_clear,
            bridge_node_load_threshold: load.0,
            bridge_node_load_clear: load.1,
            absent_after_intervals: self.number(
                key!("absent_after_intervals"),
                raw.absent_after_intervals,
                ABSENT_INTERVALS,
            )?,
            rules,
            gate: self.gate(betting)?,
        })
    }

    /// A threshold above which something begins, and the one at which it ends: `usual` of the first where
    /// nothing is said.
    fn until(
        &self,
        (begin_key, begin): (&'static str, f64),
        (end_key, end): (&'static str, &mut Option<f64>),
        usual: fn(Ratio) -> Ratio,
        rule: &'static str,
    ) -> Result<(Ratio, Ratio), ConfigError> {
        let begin = self.ratio(begin_key, begin)?;
        let end = self.ratio(end_key, *end.get_or_insert(usual(begin).get()))?;
        if end > begin {
            return Err(self.contradiction((end_key, end.get()), (begin_key, begin.get()), rule));
        }
        Ok((begin, end))
    }

    fn rule(
        &self,
        [hold, keep_firing]: [&'static str; 2],
        raw: &mut RawRule,
        usual: Rule,
    ) -> Result<Rule, ConfigError> {
        let written = |value: &mut Option<i64>, usual: std::time::Duration| {
            *value.get_or_insert(i64::try_from(usual.as_secs()).unwrap_or(i64::MAX))
        };
        let for_seconds = written(&mut raw.for_seconds, usual.hold);
        let keep = written(&mut raw.keep_firing_seconds, usual.keep_firing);
        Ok(Rule {
            hold: self.seconds(hold, for_seconds, ALERT_SECONDS)?,
            keep_firing: self.seconds(keep_firing, keep, ALERT_SECONDS)?,
        })
    }

    fn gate(&self, raw: &mut RawBetting) -> Result<GateConfig, ConfigError> {
        let (pause, resume) = self.until(
            ("coordination.betting.pause_above", raw.pause_above),
            ("coordination.betting.resume_at", &mut raw.resume_at),
            GateConfig::resume_of,
            "bets cannot go on at a risk that pauses them; write at most the second",
        )?;
        let calm =
            self.seconds("coordination.betting.calm_seconds", raw.calm_seconds, CALM_SECONDS)?;
        Ok(GateConfig { pause, resume, calm })
    }
}
