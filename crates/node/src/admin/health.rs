//! What a node says of the health of the network, and what it is told about that.

use std::collections::BTreeMap;
use std::time::Duration;

use bitcraps_engine::monitor::{
    AlertKind, AlertStatus, Game, Grain, HealingReport, HealthReport, Matcher, Measure, Monitor,
    PastAlertReport, Range, Subject,
};
use bitcraps_types::{PeerId, Timestamp};
use serde::{Deserialize, Serialize};

use super::name::{NameError, resolve};
use super::protocol::{Refusal, RefusalKind};
use super::status::{Health, millis};
use crate::Node;
use crate::clock::wall_seconds;

/// Alerts, and who wants not to be told of what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AlertsReport {
    /// Those that are pending or fire, the worst first.
    pub alerts: Vec<AlertStatus>,
    /// Those that are over, the latest first.
    pub past: Vec<PastAlertReport>,
    /// Silences in force, the oldest first.
    pub silences: Vec<SilenceReport>,
    /// Alerts for which there was no room.
    pub overflow: u64,
}

/// A silence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SilenceReport {
    /// Its number.
    pub id: u32,
    /// Which alerts it is for.
    #[serde(flatten)]
    pub matcher: Matcher,
    /// Who asked for it.
    pub author: String,
    /// Why.
    pub comment: String,
    /// How long it lasts yet, in milliseconds.
    pub left_ms: u64,
}

/// What the network was, in steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HistoryReport {
    /// When this was told, in seconds since 1970.
    pub now: u64,
    /// How long a step is, in seconds.
    pub step_seconds: u64,
    /// The file that keeps it over restarts; absent when none does.
    pub file: Option<String>,
    /// The steps in which the network was looked at, oldest first.
    pub steps: Vec<StepReport>,
}

/// A step of the past.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepReport {
    /// When it began, in seconds since 1970.
    pub begins: u64,
    /// What was measured in it.
    pub measures: BTreeMap<Measure, Range>,
}

/// What was measured before, coarse or fine.
pub(super) fn history(node: &Node, grain: Grain) -> Result<HistoryReport, Refusal> {
    let file = node.chronicle_health();
    let file = file.path.filter(|_| file.failure.is_none()).map(|path| path.display().to_string());
    let steps = node.with(|engine, _| {
        let history = engine.health().map(|health| health.monitor().history());
        let steps = history.map(|history| history.steps(grain).cloned().collect::<Vec<_>>());
        steps.ok_or_else(unwatched)
    })?;
    let steps = steps.into_iter().map(|step| {
        let measured = Measure::ALL.into_iter().zip(step.ranges);
        let measures = measured.filter_map(|(measure, range)| Some((measure, range?))).collect();
        StepReport { begins: step.begins(), measures }
    });
    let steps = steps.collect();
    let now = wall_seconds();
    Ok(HistoryReport { now, step_seconds: grain.step().as_secs(), file, steps })
}

/// What is not as it should be with the file of the past.
pub(super) fn finding(node: &Node) -> Option<(Health, String)> {
    let file = node.chronicle_health();
    let failed = file.failure.map(|why| format!("{why}; the network's past is not kept"));
    let told = failed.or_else(|| file.damage.map(|damage| damage.to_string()))?;
    Some((Health::Warning, told))
}

fn refused(message: impl ToString) -> Refusal {
    let (kind, message) = (RefusalKind::NoSuchAlert, message.to_string());
    Refusal { kind, message, candidates: Vec::new() }
}

pub(super) fn unwatched() -> Refusal {
    let message = "this node does not watch the network".to_owned();
    Refusal { kind: RefusalKind::NotWatched, message, candidates: Vec::new() }
}

/// Does something with the monitor, and tells the alerts then.
fn with<E: ToString>(
    node: &Node,
    act: impl FnOnce(&mut Monitor, Timestamp) -> Result<(), E>,
) -> Result<AlertsReport, Refusal> {
    node.with(|engine, now| {
        let health = engine.health_mut();
        let monitor = health.ok_or_else(unwatched)?;
        let monitor = monitor.monitor_mut();
        act(monitor, now).map_err(refused)?;
        Ok(told(monitor, now))
    })
}

fn told(monitor: &Monitor, now: Timestamp) -> AlertsReport {
    let alerts = monitor.alerts();
    let past = alerts.past().map(|past| PastAlertReport {
        key: past.key,
        lasted_ms: millis(past.resolved.since(past.fired)),
        ago_ms: millis(now.since(past.resolved)),
        what: past.what.clone(),
    });
    let silences = alerts.silences.iter(now).map(|silence| SilenceReport {
        id: silence.id,
        matcher: silence.matcher,
        author: silence.author.clone(),
        comment: silence.comment.clone(),
        left_ms: millis(silence.until.since(now)),
    });
    AlertsReport {
        alerts: alerts.active(now),
        past: past.collect(),
        silences: silences.collect(),
        overflow: alerts.overflow(),
    }
}

pub(super) fn report(node: &Node) -> Result<HealthReport, Refusal> {
    node.health_report().ok_or_else(unwatched)
}

pub(super) fn healing(node: &Node, apply: bool) -> Result<HealingReport, Refusal> {
    let report = node.with(|engine, now| {
        if apply {
            engine.apply_healing(now);
        }
        engine.healing().map(|healing| healing.healer().report(now))
    });
    report.ok_or_else(unwatched)
}

pub(super) fn game(node: &Node, host: &str) -> Result<Game, Refusal> {
    let host = match resolve(node, host) {
        // Whoever asks may host it.
        Err(NameError::Own(own)) => own,
        other => other?,
    };
    let game = node.with(|engine, now| engine.optimize_for_gaming(&host, now));
    game.ok_or_else(|| Refusal {
        kind: RefusalKind::UnknownPeer,
        message: format!("the network has no peer {}", host.short()),
        candidates: Vec::new(),
    })
}

pub(super) fn alerts(node: &Node) -> Result<AlertsReport, Refusal> {
    with(node, |_, _| Ok::<(), String>(()))
}

pub(super) fn silence(
    node: &Node,
    kind: &str,
    peer: Option<PeerId>,
    author: &str,
    comment: &str,
    life: Duration,
) -> Result<AlertsReport, Refusal> {
    let kind = AlertKind::of_name(kind).ok_or_else(|| {
        let names = AlertKind::ALL.map(AlertKind::name).join(", ");
        refused(format!("{kind:?} is no kind of alert; one of {names}"))
    })?;
    let matcher = Matcher { kind, subject: peer.map(Subject::Peer) };
    with(node, |monitor, now| {
        let silences = &mut monitor.alerts_mut().silences;
        silences.begin(matcher, author, comment, life, now).map(drop)
    })
}

pub(super) fn unsilence(node: &Node, id: u32) -> Result<AlertsReport, Refusal> {
    with(node, |monitor, _| monitor.alerts_mut().silences.end(id))
}

pub(super) fn acknowledge(node: &Node, name: &str, author: &str) -> Result<AlertsReport, Refusal> {
    with(node, |monitor, _| {
        let number = u32::from_str_radix(name, 16).ok();
        let found = number.and_then(|name| monitor.alerts_mut().acknowledge(name, author));
        found.map(drop).ok_or_else(|| format!("no alert of the name {name:?} fires"))
    })
}
