//! What to change about a network: which pairs to link, and what that is worth.

use std::collections::BTreeMap;

use bitcraps_topology::{
    Clustering, Constraints, Cuts, Diameters, Graph, Snapshot, Topology, shortcuts,
    suggested_links, with_links,
};
use bitcraps_types::PeerId;
use serde::{Deserialize, Serialize};

use crate::{HealthMetrics, Measure, MonitorConfig};

/// Pairs named in one recommendation at most: what people can do at once.
const PAIRS: usize = 5;
/// Below this, every network is a chain, a star or a ring.
const SHAPELY: u64 = 4;
/// Pairs of neighbours looked at for links that raise clustering.
const TRIED: usize = 4_096;

/// A change of the network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum TopologyChange {
    /// Link these pairs, so that no single loss parts the network.
    AddRedundantConnections(Vec<(PeerId, PeerId)>),
    /// Keep these peers, on which others depend, on the air, and let others stand in for them.
    PromoteBackupBridges(Vec<PeerId>),
    /// Move what is sent away from a peer that carries too much.
    RebalanceLoad(PeerId),
    /// Link these pairs, so that messages have less far to go.
    AddShortcuts(Vec<(PeerId, PeerId)>),
    /// Link these neighbours of the same peer.
    EncourageLocalConnections(Vec<(PeerId, PeerId)>),
    /// Link these pairs, so that their messages pass a loaded peer no more.
    DistributeBridgeLoad(PeerId, Vec<(PeerId, PeerId)>),
}

/// A change that is recommended, with what it is expected to bring.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recommendation {
    /// What to do.
    pub change: TopologyChange,
    /// What it improves.
    pub measure: Measure,
    /// That measure now.
    pub before: f64,
    /// And with the change, as reckoned on the network as it is seen; `None` where nothing is added.
    pub after: Option<f64>,
    /// The same, for people.
    pub text: String,
}

fn pairs_text(pairs: &[(PeerId, PeerId)]) -> String {
    let named = pairs.iter().map(|(a, b)| format!("{} - {}", a.short(), b.short()));
    named.collect::<Vec<_>>().join(", ")
}

/// The changes that a network of this health needs, the most urgent first; none when it needs none.
/// Costs what the suggestions of links do, so it is for whoever asks and not for every tick.
pub fn recommend_topology_changes(
    snapshot: &Snapshot,
    topology: &Topology,
    health: &HealthMetrics,
    config: &MonitorConfig,
) -> Vec<Recommendation> {
    let graph = snapshot.graph();
    let peer = |position: u32| topology.peer(snapshot.slot(position)?);
    let named = |pairs: &[(u32, u32)]| -> Vec<(PeerId, PeerId)> {
        pairs.iter().filter_map(|(a, b)| Some((peer(*a)?, peer(*b)?))).collect()
    };
    let mut all = Vec::new();
    let points = Cuts::of(graph).articulation_points().len();
    let risky = health.partition_risk > config.partition_risk_advice.get();
    let loaded = health.peers >= SHAPELY
        && health.bridge_load.is_some_and(|l| l > config.bridge_node_load_threshold.get());
    let suggested: Vec<(u32, u32)> = if risky || loaded || points > 0 {
        suggested_links(graph, PAIRS).iter().map(|link| (link.a, link.b)).collect()
    } else {
        Vec::new()
    };
    let points_after =
        || Cuts::of(&with_links(graph, &suggested)).articulation_points().len() as f64;
    if (risky || points > 0) && !suggested.is_empty() {
        let (pairs, after) = (named(&suggested), points_after());
        let text = format!(
            "Consider adding redundant connections: {}; single points of failure {points} -> {after}",
            pairs_text(&pairs)
        );
        let change = TopologyChange::AddRedundantConnections(pairs);
        let measure = Measure::ArticulationPoints;
        all.push(Recommendation {
            change,
            measure,
            before: points as f64,
            after: Some(after),
            text,
        });
    }
    let critical: Vec<PeerId> = Cuts::of(graph)
        .articulation_points()
        .iter()
        .take(PAIRS)
        .filter_map(|position| peer(*position))
        .collect();
    if risky && !critical.is_empty() {
        let names: Vec<String> = critical.iter().map(PeerId::short).collect();
        let text = format!("Keep {} on the air and find stand-ins for them", names.join(", "));
        let change = TopologyChange::PromoteBackupBridges(critical.clone());
        let (measure, before) = (Measure::PartitionRisk, health.partition_risk);
        all.push(Recommendation { change, measure, before, after: None, text });
    }
    if let Some(load) = health.bridge_load.filter(|_| loaded)
        && let Some(worst) = worst(graph, &peer)
    {
        let pairs = named(&suggested);
        if pairs.is_empty() {
            let text = format!("Send less through {}, which carries too much", worst.short());
            let change = TopologyChange::RebalanceLoad(worst);
            let measure = Measure::BridgeLoad;
            all.push(Recommendation { change, measure, before: load, after: None, text });
        } else {
            let text =
                format!("Distribute the load of {}: link {}", worst.short(), pairs_text(&pairs));
            let after = load_after(&with_links(graph, &suggested), health);
            let change = TopologyChange::DistributeBridgeLoad(worst, pairs);
            let measure = Measure::BridgeLoad;
            all.push(Recommendation { change, measure, before: load, after: Some(after), text });
        }
    }
    if health.network_diameter > config.max_diameter_advice {
        let found = shortcuts(graph, PAIRS, &Constraints::default());
        let pairs = named(&found);
        if !pairs.is_empty() {
            let linked = Snapshot::of(&with_links(graph, &found));
            let after = Diameters::of_largest(&linked);
            let text = format!(
                "Network diameter is high - add shortcuts: {}; diameter {} -> {after}",
                pairs_text(&pairs),
                health.network_diameter
            );
            let change = TopologyChange::AddShortcuts(pairs);
            let (measure, before) = (Measure::Diameter, f64::from(health.network_diameter));
            let after = Some(f64::from(after));
            all.push(Recommendation { change, measure, before, after, text });
        }
    }
    let low = health.clustering_coefficient < config.min_clustering_coefficient.get();
    if low && health.peers >= SHAPELY {
        let found = closing_pairs(graph);
        let pairs = named(&found);
        if !pairs.is_empty() {
            let after = Clustering::of(&with_links(graph, &found)).average_clustering_deg2();
            let before = health.clustering_coefficient;
            let text = format!(
                "Low clustering - encourage local connections: {}; clustering {before:.2} -> {after:.2}",
                pairs_text(&pairs)
            );
            let change = TopologyChange::EncourageLocalConnections(pairs);
            let measure = Measure::Clustering;
            all.push(Recommendation { change, measure, before, after: Some(after), text });
        }
    }
    all
}

fn worst(graph: &Graph, peer: &impl Fn(u32) -> Option<PeerId>) -> Option<PeerId> {
    let criticality = bitcraps_topology::Criticality::of(graph);
    criticality.peers.first().and_then(|critical| peer(critical.what))
}

/// Share of the pairs of others that the worst peer of a network parts.
fn load_after(graph: &Graph, health: &HealthMetrics) -> f64 {
    let others = health.peers.saturating_sub(1);
    let pairs = (others * others.saturating_sub(1) / 2).max(1) as f64;
    let criticality = bitcraps_topology::Criticality::of(graph);
    criticality.peers.first().map_or(0.0, |critical| critical.pairs_lost as f64 / pairs)
}

/// Pairs that are no neighbours and have most neighbours in common.
fn closing_pairs(graph: &Graph) -> Vec<(u32, u32)> {
    let mut common: BTreeMap<(u32, u32), u32> = BTreeMap::new();
    for peer in 0..graph.peers() as u32 {
        let row = graph.row(peer);
        for (at, a) in row.iter().enumerate() {
            for b in &row[at + 1..] {
                if common.len() < TRIED && graph.row(*a).binary_search(b).is_err() {
                    *common.entry((*a.min(b), *a.max(b))).or_default() += 1;
                }
            }
        }
    }
    let mut pairs: Vec<((u32, u32), u32)> = common.into_iter().collect();
    pairs.sort_by_key(|(pair, count)| (std::cmp::Reverse(*count), *pair));
    pairs.into_iter().take(PAIRS).map(|(pair, _)| pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bitcraps_topology::{EdgeInfo, NodeType};
    use bitcraps_types::{Ratio, Timestamp};

    fn peer(number: u8) -> PeerId {
        PeerId::from_bytes([number; 32])
    }

    fn recommended(
        links: &[(u8, u8)],
        change: impl Fn(&mut HealthMetrics, &mut MonitorConfig),
    ) -> Vec<Recommendation> {
        let mut topology = Topology::new(1);
        let last = links.iter().map(|(a, b)| *a.max(b)).max().unwrap();
        for number in 0..=last {
            topology.add_node(peer(number), NodeType::Regular, Timestamp::ZERO).unwrap();
        }
        for (a, b) in links {
            topology.add_edge(&peer(*a), &peer(*b), EdgeInfo::default()).unwrap();
        }
        let mut health = HealthMetrics {
            peers: u64::from(last) + 1,
            clustering_coefficient: 1.0,
            ..HealthMetrics::default()
        };
        let mut config = MonitorConfig::default();
        change(&mut health, &mut config);
        recommend_topology_changes(&topology.snapshot(), &topology, &health, &config)
    }

    const RING: [(u8, u8); 6] = [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (5, 0)];

    #[test]
    fn a_network_that_needs_nothing_gets_nothing() {
        assert_eq!(recommended(&RING, |_, _| {}), []);
    }

    #[test]
    fn a_path_is_to_be_closed_to_a_ring() {
        let found = recommended(&RING[..5], |_, _| {});
        assert_eq!(found.len(), 1);
        let pairs = vec![(peer(0), peer(5))];
        let named: Vec<(PeerId, PeerId)> = match &found[0].change {
            TopologyChange::AddRedundantConnections(pairs) => {
                pairs.iter().map(|(a, b)| (*a.min(b), *a.max(b))).collect()
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(named, pairs);
        assert_eq!((found[0].before, found[0].after), (4.0, Some(0.0)));
        let short = peer(5).short();
        assert!(found[0].text.contains(&short), "{}", found[0].text);
    }

    #[test]
    fn risk_names_the_peers_that_must_not_fail() {
        for (risk, expected) in [(0.6, 1), (0.61, 2)] {
            let found = recommended(&RING[..5], |health, _| health.partition_risk = risk);
            assert_eq!(found.len(), expected, "{risk}");
        }
    }

    #[test]
    fn far_ends_get_shortcuts_that_shorten() {
        let path: Vec<(u8, u8)> = (0..7).map(|peer| (peer, peer + 1)).collect();
        let of = |diameter| {
            let all = recommended(&path, |health, _| health.network_diameter = diameter);
            all.into_iter().find(|found| matches!(found.change, TopologyChange::AddShortcuts(_)))
        };
        assert_eq!(of(6), None);
        let found = of(7).unwrap();
        assert!(found.after.unwrap() < 7.0, "{found:?}");
    }

    #[test]
    fn neighbours_of_one_peer_are_to_know_each_other() {
        let found = recommended(&RING, |health, _| health.clustering_coefficient = 0.29);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].measure, Measure::Clustering);
        assert!(found[0].after.unwrap() > 0.29, "{found:?}");
        assert_eq!(recommended(&RING, |health, _| health.clustering_coefficient = 0.3), []);
    }

    #[test]
    fn a_hub_that_carries_too_much_is_to_be_relieved() {
        let star: Vec<(u8, u8)> = (1..6).map(|leaf| (0, leaf)).collect();
        let of = |threshold: f64| {
            let all = recommended(&star, |health, config| {
                health.bridge_load = Some(1.0);
                config.bridge_node_load_threshold = Ratio::clamped(threshold);
            });
            all.into_iter()
                .find(|found| matches!(found.change, TopologyChange::DistributeBridgeLoad(..)))
        };
        assert_eq!(of(1.0), None);
        let found = of(0.8).unwrap();
        let TopologyChange::DistributeBridgeLoad(hub, pairs) = &found.change else { panic!() };
        assert_eq!(*hub, peer(0));
        assert!(!pairs.is_empty() && found.after.unwrap() < 1.0, "{found:?}");
    }
}
