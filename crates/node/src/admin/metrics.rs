//! What a node counts and measures, for those who keep it over time.

use std::collections::BTreeMap;
use std::time::Duration;

use bitcraps_coordinator::Machine;
use bitcraps_engine::monitor::{AlertState, Betting, HealthMetrics};
use bitcraps_types::{PeerId, TrafficClass, TransportType};
use serde::{Deserialize, Serialize};

use super::report::TrafficReport;
use super::status;
use crate::Node;

/// Everything that a node counts and measures. Counts begin with the node and only grow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetricsReport {
    /// The node.
    pub node: PeerId,
    /// The network when it was last looked at; absent before the first look.
    pub network: Option<HealthMetrics>,
    /// How long ago that was, in milliseconds; absent before the first look.
    pub looked_ms: Option<u64>,
    /// Whether the network's risk of a split is low enough to bet.
    pub betting: Betting,
    /// Alerts that fire, muted ones included, by kind; kinds of which none does are left out.
    pub alerts_firing: BTreeMap<String, u64>,
    /// Messages that came to an end, by class.
    pub messages: BTreeMap<TrafficClass, MessagesReport>,
    /// What happened over each transport.
    pub transports: BTreeMap<TransportType, TrafficReport>,
    /// How long messages took to their acknowledgement over each transport: microseconds, and how
    /// many, ascending.
    pub transport_latency_us: BTreeMap<TransportType, Vec<(u64, u64)>>,
    /// How long messages waited for their first transmission, the same way.
    pub packet_routing_us: Vec<(u64, u64)>,
    /// Bytes relayed for others.
    pub relayed_bytes: u64,
    /// What was refused, dropped or repeated, by reason.
    pub counters: BTreeMap<String, u64>,
}

/// Messages of a class that asked for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessagesReport {
    /// Those that their destination acknowledged.
    pub delivered: u64,
    /// Those, and those that expired or of which nobody knows.
    pub settled: u64,
}

impl MetricsReport {
    /// What `node` has counted and measured until now. O(links and alerts).
    pub fn of(node: &Node) -> Self {
        let id = node.id();
        node.with(|engine, now| {
            let core = engine.core();
            let monitor = engine.health().map(|health| health.monitor());
            let mut alerts_firing = BTreeMap::new();
            for alert in monitor.iter().flat_map(|monitor| monitor.alerts().active(now)) {
                if alert.state == AlertState::Firing {
                    *alerts_firing.entry(alert.key.kind.name().to_owned()).or_default() += 1;
                }
            }
            let network = monitor.and_then(|monitor| monitor.health()).copied();
            let looked = monitor.filter(|_| network.is_some());
            let messages = TrafficClass::ALL.into_iter().zip(core.class_metrics());
            let transports = TransportType::ALL.into_iter();
            Self {
                node: id,
                network,
                looked_ms: looked.map(|monitor| status::millis(now.since(monitor.ticked()))),
                betting: engine.betting(),
                alerts_firing,
                messages: messages
                    .map(|(class, counted)| {
                        let (delivered, settled) = (counted.delivered, counted.settled);
                        (class, MessagesReport { delivered, settled })
                    })
                    .collect(),
                transports: transports
                    .clone()
                    .map(|transport| (transport, core.transport_metrics(transport).into()))
                    .collect(),
                transport_latency_us: transports
                    .map(|transport| (transport, micros(&core.transport_latencies(transport))))
                    .collect(),
                packet_routing_us: micros(&core.routing_times()),
                relayed_bytes: engine.relay_counters().map_or(0, |relayed| relayed.bytes),
                counters: status::counters(&core.counters()),
            }
        })
    }
}

fn micros(steps: &[(Duration, u64)]) -> Vec<(u64, u64)> {
    let micros = |time: &Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    steps.iter().map(|(time, count)| (micros(time), *count)).collect()
}
