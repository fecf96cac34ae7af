//! What is wrong with a network, by the thresholds of the configuration: one signal for each
//! condition that is looked at.

use bitcraps_topology::{Topology, TopologyReport};
use bitcraps_types::PeerId;

use crate::alert::{AlertKey, AlertKind, Level, Signal, Subject};
use crate::load::Basis;
use crate::{Facts, HealthMetrics, MonitorConfig};

/// Below this, every network is a chain, a star or a ring, and nothing is to be said of its shape.
const SHAPELY: u64 = 4;

/// What an articulation point carries.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct BridgeLoad {
    pub(crate) peer: PeerId,
    /// 0 to 1.
    pub(crate) share: f64,
    pub(crate) basis: Basis,
}

/// The load of each articulation point that a report ranks, the highest first.
pub(crate) fn bridge_loads(
    report: &TopologyReport,
    topology: &Topology,
    facts: &Facts,
    measured: Option<f64>,
) -> Vec<BridgeLoad> {
    let pairs = |peers: u64| peers.saturating_sub(1) * peers.saturating_sub(2) / 2;
    let all = pairs(u64::from(report.measures.largest_component)).max(1) as f64;
    let points = report.articulation_points.iter().filter_map(|critical| {
        let peer = topology.peer(critical.what)?;
        let through = BridgeLoad {
            peer,
            share: (critical.pairs_lost as f64 / all).min(1.0),
            basis: Basis::PairsThrough,
        };
        Some(match measured {
            Some(share) if facts.me == Some(peer) => {
                BridgeLoad { share, basis: Basis::Measured, ..through }
            }
            _ => through,
        })
    });
    let mut loads: Vec<BridgeLoad> = points.collect();
    loads.sort_by(|a, b| b.share.total_cmp(&a.share).then(a.peer.cmp(&b.peer)));
    loads
}

/// Every condition, anomalies excepted.
pub(crate) fn signals(
    config: &MonitorConfig,
    health: &HealthMetrics,
    report: &TopologyReport,
    facts: &Facts,
    loads: &[BridgeLoad],
) -> Vec<Signal> {
    let network = |kind, level, value, what| Signal {
        key: AlertKey::of_network(kind),
        level,
        value,
        what,
        split_off: false,
    };
    let mut signals = Vec::new();
    let most = config.partition_risk_alert_threshold.get();
    signals.push(network(
        AlertKind::PartitionRisk,
        Level::above(health.partition_risk, most, config.partition_risk_clear.get()),
        health.partition_risk,
        format!(
            "the network splits within the horizon with a probability of {:.0} %, above {:.0} %: add \
             links round its {} articulation points",
            health.partition_risk * 100.0,
            most * 100.0,
            health.articulation_points
        ),
    ));
    if let Some(split) = report.risk.split_now.filter(|split| split.material) {
        signals.push(network(
            AlertKind::NetworkPartitioned,
            Level::Breach,
            f64::from(split.peers_outside),
            format!(
                "the network is in {} parts; {} of {} peers are outside of the largest",
                split.components, split.peers_outside, health.peers
            ),
        ));
    }
    let (diameter, most) =
        (f64::from(health.network_diameter), f64::from(config.max_diameter_alert));
    signals.push(network(
        AlertKind::HighDiameter,
        Level::above(diameter, most, f64::from(config.max_diameter_clear)),
        diameter,
        format!("some peers are {diameter} hops apart, more than {most}: add shortcuts"),
    ));
    let (clustering, least) =
        (health.clustering_coefficient, config.min_clustering_coefficient.get());
    if health.peers >= SHAPELY {
        signals.push(network(
            AlertKind::LowClustering,
            Level::below(clustering, least, config.min_clustering_clear.get()),
            clustering,
            format!(
                "the clustering coefficient is {clustering:.2}, below {least:.2}: links between \
                 neighbours of the same peer are missing"
            ),
        ));
        signals.extend(loads.iter().map(|load| overload(load, config)));
    }
    signals.extend(own(facts));
    signals
}

fn overload(load: &BridgeLoad, config: &MonitorConfig) -> Signal {
    let most = config.bridge_node_load_threshold.get();
    let BridgeLoad { peer, share, basis } = *load;
    let by = match basis {
        Basis::Measured => "of what it can relay, measured over the last minute",
        Basis::PairsThrough => "of the pairs of peers, which have no other way; nobody measured it",
    };
    Signal {
        key: AlertKey { kind: AlertKind::ArticulationPointOverload, subject: Subject::Peer(peer) },
        level: Level::above(share, most, config.bridge_node_load_clear.get()),
        value: share,
        what: format!(
            "peer {} carries {:.0} % {by}; more than {:.0} %",
            peer.short(),
            share * 100.0,
            most * 100.0
        ),
        split_off: false,
    }
}

/// What a node knows of itself and its neighbours.
fn own(facts: &Facts) -> impl Iterator<Item = Signal> + '_ {
    let breach = |kind, subject, what, split_off| Signal {
        key: AlertKey { kind, subject },
        level: Level::Breach,
        value: 1.0,
        what,
        split_off,
    };
    let down = facts.transports_down.iter().map(move |transport| {
        let what = format!("nobody answers over {transport}, and somebody did");
        breach(AlertKind::TransportDown, Subject::Transport(*transport), what, false)
    });
    let lost = facts.lost.iter().map(move |lost| {
        let what = format!("peer {} was linked and cannot be reached", lost.peer.short());
        breach(AlertKind::PeerLost, Subject::Peer(lost.peer), what, lost.split_off)
    });
    let poisoned = facts.poisoned.iter().map(move |(peer, flag)| {
        let what = format!("peer {} {flag}: what it says is not believed", peer.short());
        breach(AlertKind::LinkStatePoisoning, Subject::Peer(*peer), what, false)
    });
    let conflicts = facts.conflicts.iter().map(move |peer| {
        let what = format!("two devices use the key of peer {}", peer.short());
        breach(AlertKind::IdentityConflict, Subject::Peer(*peer), what, false)
    });
    down.chain(lost).chain(poisoned).chain(conflicts)
}
