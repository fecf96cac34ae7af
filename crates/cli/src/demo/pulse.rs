use std::collections::BTreeMap;

use bitcraps_monitor::{AlertState, AlertStatus, Betting, Change, HealthMetrics, OverallStatus};
use serde::Serialize;

use super::table::Table;
use crate::console::{counted, visible};

/// Alerts shown at once.
const SHOWN: usize = 4;
/// Longest line in characters: one that a terminal breaks would be two of the picture.
const WIDTH: usize = 100;

/// What the first node that runs makes of the network.
#[derive(Debug, Clone, Serialize)]
struct View {
    node: usize,
    overall_status: OverallStatus,
    betting: Betting,
    network: HealthMetrics,
    /// Those that fire, the worst first.
    alerts: Vec<AlertStatus>,
}

/// The health of the demo's network as its nodes judge it, and what they told of it.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Pulse {
    /// When it was last felt.
    last: Option<View>,
    /// How often alerts fired in nodes of this process, by kind.
    fired: BTreeMap<&'static str, u64>,
    /// How many of them are over.
    resolved: u64,
}

impl Pulse {
    /// Takes up what the nodes of this process have told since, and what the first of them sees.
    pub(super) fn feel(&mut self, table: &Table) {
        let nodes = (0..table.len()).filter_map(|index| Some((index, table.node(index)?.0)));
        let mut first = true;
        for (index, node) in nodes {
            let (changes, view) = node.with(|engine, now| {
                let Some(health) = engine.health_mut() else { return (Vec::new(), None) };
                let monitor = health.monitor_mut();
                let alerts = monitor.alerts_mut();
                let changes: Vec<_> = std::iter::from_fn(|| alerts.poll_transition()).collect();
                let network = monitor.health().copied().filter(|_| first);
                let view = network.map(|network| {
                    let report = monitor.brief(now);
                    let fires = |alert: &AlertStatus| alert.state == AlertState::Firing;
                    View {
                        node: index,
                        overall_status: report.overall_status,
                        betting: report.betting,
                        network,
                        alerts: report.alerts.into_iter().filter(fires).collect(),
                    }
                });
                (changes, view)
            });
            first &= view.is_none();
            self.last = view.or(self.last.take());
            for change in changes {
                match change.change {
                    Change::Fired => *self.fired.entry(change.key.kind.name()).or_default() += 1,
                    Change::Resolved => self.resolved += 1,
                }
            }
        }
    }

    /// The same for people: the network in a line, and a line for each of the worst alerts.
    pub(super) fn lines(&self) -> Vec<String> {
        let Some(view) = &self.last else { return vec!["health  not looked at yet".to_owned()] };
        let status = match view.overall_status {
            OverallStatus::Healthy => "healthy",
            OverallStatus::Warning => "warning",
            OverallStatus::Critical => "critical",
        };
        let betting = match view.betting {
            Betting::Open => "open",
            Betting::Paused => "paused",
        };
        let mut lines = vec![format!(
            "health  {status} as node {} sees it: {} in {}, {} depended on, {:.1} % to split, bets {betting}",
            view.node,
            counted(view.network.peers, "peer", "peers"),
            counted(view.network.components, "part", "parts"),
            view.network.articulation_points,
            view.network.partition_risk * 100.0,
        )];
        let shown = view.alerts.iter().take(SHOWN);
        lines.extend(shown.map(|alert| format!("alert   {}: {}", alert.key, visible(&alert.what))));
        lines.into_iter().map(|line| line.chars().take(WIDTH).collect()).collect()
    }

    /// What was told in all, for people.
    pub(super) fn text(&self) -> String {
        let kinds = self.fired.iter().map(|(kind, count)| format!("{count} {kind}"));
        let kinds = kinds.collect::<Vec<_>>().join(", ");
        let kinds = if kinds.is_empty() { "none".to_owned() } else { kinds };
        format!("alerts       {kinds}; {} of them over", self.resolved)
    }
}
