//! Judges a network: what it measures now and measured before, what is unusual, what is likely to
//! come, and what people are to be told.
//!
//! This crate contains no networking code, reads no clock, spawns nothing and draws no randomness:
//! it is given reports and the time, and says what it makes of them. Everything that it keeps has a
//! bound.

mod alert;
mod anomaly;
mod calibration;
mod condition;
mod config;
mod contacts;
mod facts;
mod gate;
mod heal;
mod health;
mod history;
mod load;
mod look;
mod measure;
mod monitor;
mod recommendation;
mod report;
mod table;

pub use alert::{
    AlertKey, AlertKind, AlertState, AlertStatus, Alerts, Change, Level, Matcher, Muted, PastAlert,
    Rule, Severity, Signal, Silence, SilenceError, Silences, Subject, Transition,
};
pub use anomaly::{Detector, Panel, Verdict};
pub use calibration::{Calibration, Skill};
pub use config::MonitorConfig;
pub use contacts::Contacts;
pub use facts::{Facts, LostPeer, Tally};
pub use gate::{Betting, Gate, GateConfig};
pub use heal::{
    ActiveRepair, Deed, FORESIGHT, Game, Healer, HealingConfig, HealingMode, HealingPolicy,
    HealingReport, HealthIssue, MAX_REPAIRS, NEWS_PER_HOP, Offer, Outcome, Plan, PlanEpoch,
    PlannedLink, RepairId, RepairReport, View, game_of, lasts, plan_of, plans_of, weakness_of,
};
pub use health::HealthMetrics;
pub use history::{Grain, History, Range, Step};
pub use load::{Basis, RelayMeter};
pub use look::{Findings, Look, Shape};
pub use measure::Measure;
pub use monitor::{HORIZON, Monitor};
pub use recommendation::{Recommendation, TopologyChange, recommend_topology_changes};
pub use report::{Forecast, HealthReport, Outlook, OverallStatus, PastAlertReport};
pub use table::{TableId, Tables, WatchTableError};
