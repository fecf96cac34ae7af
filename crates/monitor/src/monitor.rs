use std::sync::Arc;
use std::time::Duration;

use bitcraps_topology::{PartitionRisk, RiskOptions, Topology, TopologyReport};
use bitcraps_types::{Timestamp, TrafficClass, TransportType};

use crate::alert::{AlertKey, AlertKind, Alerts, Level, Signal, Subject};
use crate::anomaly::{Panel, Share, Verdict};
use crate::calibration::Calibration;
use crate::condition::{bridge_loads, signals};
use crate::contacts::Contacts;
use crate::gate::{Betting, Gate};
use crate::load::RelayMeter;
use crate::look::{Findings, Look, Shape};
use crate::report::{Forecast, HealthReport, Outlook, OverallStatus, PastAlertReport};
use crate::table::Tables;
use crate::{Facts, HealthMetrics, History, Measure, MonitorConfig};

/// Time ahead for which the risk of a split is reckoned on each look: that of the seed's forecast.
pub const HORIZON: Duration = Duration::from_secs(30);
/// Alerts of the past in a report.
const RECENT_ALERTS: usize = 10;

/// Judges a network from one look after the other.
#[derive(Debug, Clone)]
pub struct Monitor {
    config: MonitorConfig,
    health: Option<HealthMetrics>,
    shape: Shape,
    facts: Option<Facts>,
    history: History,
    alerts: Alerts,
    contacts: Arc<Contacts>,
    calibration: Calibration,
    gate: Gate,
    /// Tables whose players are watched.
    pub tables: Tables,
    relay: RelayMeter,
    panel: Panel,
    /// Shares that the panel judges, by class and by transport.
    delivery: [Share; TrafficClass::COUNT],
    transports: [Share; TransportType::COUNT],
    /// When it saw the last values: it wants even steps.
    detected: Option<Timestamp>,
    ticked: Timestamp,
    tick_at: Timestamp,
}

impl Monitor {
    /// Has seen nothing; the first look is due at once.
    pub fn new(config: MonitorConfig, now: Timestamp) -> Self {
        Self {
            alerts: Alerts::new(config.rules),
            config,
            health: None,
            shape: Shape::default(),
            facts: None,
            history: History::default(),
            contacts: Arc::default(),
            calibration: Calibration::default(),
            gate: Gate::new(config.gate),
            tables: Tables::default(),
            relay: RelayMeter::default(),
            panel: Panel::default(),
            delivery: Default::default(),
            transports: Default::default(),
            detected: None,
            ticked: now,
            tick_at: now,
        }
    }

    /// Other thresholds from now on. What was learned stays.
    pub fn configure(&mut self, config: MonitorConfig) {
        self.tick_at = self.tick_at.min(self.ticked + config.health_check_interval);
        self.alerts.set_rules(config.rules);
        self.gate.configure(config.gate);
        self.tables.configure(config.gate);
        self.config = config;
    }

    /// The thresholds in force.
    pub const fn config(&self) -> &MonitorConfig {
        &self.config
    }

    /// Takes a look: `report` is of `topology`, as a node with these `facts` sees it. O(report) and
    /// O(alerts log alerts).
    pub fn tick(
        &mut self,
        report: &TopologyReport,
        topology: &Topology,
        facts: Facts,
        now: Timestamp,
    ) -> HealthMetrics {
        let mut health = HealthMetrics::of(report, &facts, self.facts.as_ref());
        let split = report.risk.split_now.is_some_and(|split| split.material);
        self.calibration.observe(split, now);
        if !split {
            self.calibration.forecast(health.partition_risk, HORIZON, now);
            health.partition_risk = self.calibration.of(health.partition_risk);
        }
        self.gate.update(health.partition_risk, now);
        let measured =
            facts.relayed.and_then(|(total, capacity)| self.relay.load(total, capacity, now));
        let loads = bridge_loads(report, topology, &facts, measured);
        health.bridge_load = loads.first().map(|load| load.share);
        health.bridge_load_basis = loads.first().map(|load| load.basis);
        self.history.push(&health, now);
        let mut signals = signals(&self.config, &health, report, &facts, &loads);
        signals.extend(self.anomalies(&health, &facts, now));
        self.alerts.evaluate(signals, now);
        self.alerts.signal(absent(Level::Clear, Duration::ZERO), now);
        (self.health, self.facts) = (Some(health), Some(facts));
        self.ticked = now;
        self.tick_at = now + self.config.health_check_interval;
        health
    }

    /// Takes a look at a network: all of [`Self::tick`], with the links of the network remembered and
    /// the report made. Costs what the report does.
    pub fn look(&mut self, topology: &Topology, facts: Facts, now: Timestamp) -> HealthMetrics {
        let look = self.begin(true, now);
        // Nobody asks for them meanwhile, so they need not be copied.
        self.contacts = Arc::default();
        let findings = look.judge(topology, &topology.snapshot());
        self.conclude(findings, topology, facts).unwrap_or_default()
    }

    /// Begins a look, to be judged and then given to [`Self::conclude`]. When it is not `due`, nothing
    /// comes of it unless the network hangs together otherwise than at the look before.
    pub fn begin(&self, due: bool, now: Timestamp) -> Look {
        Look {
            contacts: Arc::clone(&self.contacts),
            before: self.shape.clone(),
            due,
            tables: self.tables.players(),
            at: now,
        }
    }

    /// Takes up what a look has found of `topology`, as a node with these `facts` sees it; `None` when
    /// there was nothing to say.
    pub fn conclude(
        &mut self,
        findings: Findings,
        topology: &Topology,
        facts: Facts,
    ) -> Option<HealthMetrics> {
        let Findings { contacts, shape, report, cuts, at } = findings;
        (self.contacts, self.shape) = (contacts, shape);
        self.tables.update(&cuts, at);
        report.map(|report| self.tick(&report, topology, facts, at))
    }

    /// The probability of a material split within `horizon`, as links have lasted so far and forecasts
    /// have come true; unknown farther ahead than links last, or than was looked back.
    pub fn predict_partition_risk(&self, topology: &Topology, horizon: Duration) -> Forecast {
        self.forecast(horizon, || {
            let snapshot = topology.snapshot();
            let lives = self.contacts.lives(topology, &snapshot, horizon);
            let risk = PartitionRisk::of(&snapshot, &lives, &RiskOptions::default());
            let split = risk.split_now.is_some_and(|split| split.material);
            let probability = risk.p_split.value;
            if split { probability } else { self.calibration.of(probability) }
        })
    }

    /// With a probability that is asked for when the horizon is not too far ahead.
    fn forecast(&self, horizon: Duration, probability: impl FnOnce() -> f64) -> Forecast {
        let known = self.contacts.known_ahead();
        let outlook = if horizon > known {
            Outlook::Unknown { beyond_seconds: known.as_secs_f64() }
        } else {
            Outlook::Known { probability: probability() }
        };
        let skill = self.calibration.skill();
        Forecast { horizon_seconds: horizon.as_secs_f64(), outlook, skill }
    }

    /// Everything that is to be said of the health of `topology`, which was looked at last.
    pub fn report(&self, topology: &Topology, now: Timestamp) -> HealthReport {
        self.brief(now).complete(topology, &self.config)
    }

    /// The same, without the recommendations, which cost: [`HealthReport::complete`] adds them.
    pub fn brief(&self, now: Timestamp) -> HealthReport {
        let alerts = self.alerts.active(now);
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let recent = self.alerts.past().take(RECENT_ALERTS).map(|past| PastAlertReport {
            key: past.key,
            lasted_ms: millis(past.resolved.since(past.fired)),
            ago_ms: millis(now.since(past.resolved)),
            what: past.what.clone(),
        });
        HealthReport {
            overall_status: OverallStatus::of(&alerts),
            network_topology: self.health,
            age_ms: millis(now.since(self.ticked)),
            betting: self.gate.betting(),
            forecast: self.health.map(|health| self.forecast(HORIZON, || health.partition_risk)),
            alerts,
            recent_alerts: recent.collect(),
            recommendations: Vec::new(),
        }
    }

    /// Whether the risk of a split of the whole network is low enough to bet.
    pub const fn betting(&self) -> Betting {
        self.gate.betting()
    }

    /// What is unusual. A look before the time says nothing of that: an anomaly that lasts lasts on.
    fn anomalies(&mut self, health: &HealthMetrics, facts: &Facts, now: Timestamp) -> Vec<Signal> {
        let interval = self.config.health_check_interval;
        let mut values = Measure::ALL.map(|measure| health.value(measure));
        if self.detected.is_some_and(|before| now < before + interval) {
            let lasting = self.panel.lasting();
            return lasting.filter_map(|measure| told(&values, measure, None)).collect();
        }
        self.detected = Some(now);
        for class in TrafficClass::ALL {
            let share = self.delivery[class.index()].observe(facts.delivery[class.index()]);
            values[Measure::delivery(class).index()] = share;
        }
        for transport in TransportType::ALL {
            let share =
                self.transports[transport.index()].observe(facts.transports[transport.index()]);
            values[Measure::success(transport).index()] = share;
        }
        let found = self.panel.observe(&values, now, self.config.anomaly_threshold_multiplier);
        found
            .into_iter()
            .filter_map(|(measure, verdict)| told(&values, measure, Some(verdict)))
            .collect()
    }

    /// Whether the next look is due.
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.tick_at <= now
    }

    /// When there is something to do: the next look, or an alert that time alone moves on.
    pub fn next_deadline(&self) -> Timestamp {
        self.alert_deadline().min(self.tick_at)
    }

    fn alert_deadline(&self) -> Timestamp {
        self.alerts.next_deadline().unwrap_or(Timestamp::MAX)
    }

    /// When there is something to do while a look is under way: when it has lasted so long that nothing
    /// waits for it any more.
    pub fn overdue_at(&self) -> Timestamp {
        let overdue = self.config.health_check_interval * self.config.absent_after_intervals;
        self.alert_deadline().max(self.ticked + overdue + Duration::from_nanos(1))
    }

    /// Carries on what is due by time alone, the look excepted. Says so when the look is long
    /// overdue, as after a sleep.
    ///
    /// Once a look is due, alerts wait for it: what held at the look before and is gone by now has not
    /// lasted. Those of a look that is long overdue do not.
    pub fn on_timer(&mut self, now: Timestamp) {
        let silence = now.since(self.ticked);
        let overdue = self.config.health_check_interval * self.config.absent_after_intervals;
        if self.health.is_some() && silence > overdue {
            self.alerts.signal(absent(Level::Breach, silence), now);
        }
        if !self.is_due(now) || silence > overdue {
            self.alerts.advance(now);
        }
    }

    /// The network when it was last looked at; `None` before the first look.
    pub const fn health(&self) -> Option<&HealthMetrics> {
        self.health.as_ref()
    }

    /// How long links have lasted.
    pub fn contacts(&self) -> &Contacts {
        &self.contacts
    }

    /// When it was last looked at.
    pub const fn ticked(&self) -> Timestamp {
        self.ticked
    }

    /// Goes on with what was measured in an earlier life, in place of what is kept so far.
    pub fn recall(&mut self, history: History) {
        self.history = history;
    }

    /// What was measured before.
    pub const fn history(&self) -> &History {
        &self.history
    }

    /// What is wrong.
    pub const fn alerts(&self) -> &Alerts {
        &self.alerts
    }

    /// To silence and acknowledge, to add what was seen elsewhere, and to take up changes.
    pub const fn alerts_mut(&mut self) -> &mut Alerts {
        &mut self.alerts
    }
}

fn told(
    values: &[Option<f64>; Measure::COUNT],
    measure: Measure,
    verdict: Option<Verdict>,
) -> Option<Signal> {
    values[measure.index()].map(|value| unusual(measure, value, verdict))
}

fn unusual(measure: Measure, value: f64, verdict: Option<Verdict>) -> Signal {
    let what = match verdict {
        Some(Verdict { expected, score, .. }) => format!(
            "{measure} is {value:.3}, usual would be {expected:.3}: {score:.1} where chance makes 2 in ten \
             days"
        ),
        None => format!("{measure} is {value:.3}, which is unusual"),
    };
    Signal {
        key: AlertKey { kind: AlertKind::AnomalyDetected, subject: Subject::Measure(measure) },
        level: Level::Breach,
        value: verdict.map_or(0.5, |verdict| verdict.severity),
        what,
        split_off: false,
    }
}

fn absent(level: Level, silence: Duration) -> Signal {
    Signal {
        key: AlertKey::of_network(AlertKind::DataAbsent),
        level,
        value: silence.as_secs_f64(),
        what: format!("nobody looked at the network for {} s", silence.as_secs()),
        split_off: false,
    }
}

#[cfg(test)]
mod tests;
