use bitcraps_types::Ratio;

use crate::cut::{Critical, Criticality};
use crate::suggestion::suggested_links;
use crate::{
    Clustering, Components, LinkLife, LossRanking, MeasureSet, PartitionRisk, RiskOptions, Slot,
    Snapshot, walkthrough_risk,
};

/// What a report contains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReportOptions {
    /// How the risk is estimated.
    pub risk: RiskOptions,
    /// Probability that any one peer lives through the horizon of the link lives; ranks peers.
    pub peer_survival: Ratio,
    /// Entries of each ranking at most.
    pub ranked: usize,
    /// Suggestions at most.
    pub suggestions: usize,
}

impl Default for ReportOptions {
    /// Twenty entries, ten suggestions, peers that live with 99 %.
    fn default() -> Self {
        Self {
            risk: RiskOptions::default(),
            peer_survival: Ratio::clamped(0.99),
            ranked: 20,
            suggestions: 10,
        }
    }
}

/// A link worth adding, by slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SuggestedLink {
    /// One end.
    pub a: Slot,
    /// The other.
    pub b: Slot,
    /// See [`Suggestion::effect`](crate::Suggestion::effect).
    pub effect: u64,
}

/// Everything that is to be said of a network at one time.
#[derive(Debug, Clone, PartialEq)]
pub struct TopologyReport {
    /// The exact measures.
    pub measures: MeasureSet,
    /// Peers of each component, the largest first.
    pub component_sizes: Vec<u32>,
    /// How many peers have the degree that is the position.
    pub degree_histogram: Vec<u64>,
    /// The worst single points of failure among peers.
    pub articulation_points: Vec<Critical<Slot>>,
    /// And among links.
    pub bridges: Vec<Critical<(Slot, Slot)>>,
    /// Links by the pairs that they are expected to cost within the horizon.
    pub expected_losses: Vec<(Slot, Slot, f64)>,
    /// The risk of partition.
    pub risk: PartitionRisk,
    /// The seed's formula; see [`walkthrough_risk`].
    pub walkthrough_risk: f64,
    /// Links worth adding.
    pub suggested: Vec<SuggestedLink>,
}

impl TopologyReport {
    /// Of a snapshot, with the life of each of its links in the order of their numbers. The measure
    /// set, the risk, and the suggestions each as they cost.
    pub fn of(snapshot: &Snapshot, lives: &[LinkLife], options: &ReportOptions) -> Self {
        let graph = snapshot.graph();
        // Every position that a measure of the snapshot tells has a slot.
        let slot = |position: u32| snapshot.slot(position).unwrap_or(Slot(position));
        let measures = MeasureSet::of(snapshot);
        let criticality = Criticality::of(graph);
        let peers = criticality.peers.iter().take(options.ranked);
        let links = criticality.links.iter().take(options.ranked);
        let losses = LossRanking::of(graph, lives, options.peer_survival).links;
        let suggested = suggested_links(graph, options.suggestions);
        Self {
            measures,
            component_sizes: Components::of(snapshot).sizes().to_vec(),
            degree_histogram: Clustering::of(graph).degree_histogram(),
            articulation_points: peers.map(|critical| critical.of(slot(critical.what))).collect(),
            bridges: links
                .map(|critical| critical.of((slot(critical.what.0), slot(critical.what.1))))
                .collect(),
            expected_losses: losses
                .iter()
                .take(options.ranked)
                .map(|loss| {
                    let (a, b) = loss.critical.what;
                    (slot(a), slot(b), loss.pairs)
                })
                .collect(),
            risk: PartitionRisk::of(snapshot, lives, &options.risk),
            walkthrough_risk: walkthrough_risk(
                measures.peers,
                measures.links,
                measures.articulation_points,
            ),
            suggested: suggested
                .iter()
                .map(|link| SuggestedLink { a: slot(link.a), b: slot(link.b), effect: link.effect })
                .collect(),
        }
    }
}

impl<T> Critical<T> {
    /// The same cost of something else.
    fn of<U>(&self, what: U) -> Critical<U> {
        Critical { what, pairs_lost: self.pairs_lost, peers_cut_off: self.peers_cut_off }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{graph, peer};
    use crate::{EdgeInfo, NodeType, RELIABILITY_PERIOD, Topology};
    use bitcraps_types::Timestamp;

    fn topology(links: &[(u64, u64)]) -> Topology {
        let mut topology = Topology::new(1);
        let peers = links.iter().flat_map(|(a, b)| [*a, *b]).max().unwrap_or(0);
        for i in 0..=peers {
            topology.add_node(peer(i), NodeType::Regular, Timestamp::ZERO).unwrap();
        }
        for (a, b) in links {
            topology.add_edge(&peer(*a), &peer(*b), EdgeInfo::default()).unwrap();
        }
        topology
    }

    fn report(topology: &Topology) -> TopologyReport {
        let snapshot = topology.snapshot();
        let lives = topology.lives(&snapshot, RELIABILITY_PERIOD);
        TopologyReport::of(&snapshot, &lives, &ReportOptions::default())
    }

    #[test]
    fn test_diameter_calculation_correctness() {
        let chain = report(&topology(&[(0, 1), (1, 2), (2, 3)]));
        assert_eq!(chain.measures.diameter, 3);
    }

    #[test]
    fn test_clustering_coefficient_triangle() {
        let triangle = report(&topology(&[(0, 1), (1, 2), (2, 0)]));
        assert_eq!(triangle.measures.average_clustering, 1.0);
        assert_eq!(triangle.measures.average_clustering_deg2, 1.0);
        assert_eq!(triangle.measures.transitivity, 1.0);
    }

    #[test]
    fn a_report_names_peers_by_their_slots() {
        // Two triangles that share peer 4.
        let bow = report(&topology(&[(0, 1), (1, 4), (4, 0), (4, 2), (2, 3), (3, 4)]));
        assert_eq!(bow.measures.articulation_points, 1);
        let point = bow.articulation_points[0];
        assert_eq!((point.what, point.pairs_lost, point.peers_cut_off), (Slot(4), 4, 2));
        assert_eq!((bow.bridges, bow.expected_losses), (vec![], vec![]));
        assert_eq!(bow.degree_histogram, [0, 0, 4, 0, 1]);
        assert_eq!(bow.component_sizes, [5]);
        assert_eq!(bow.suggested.len(), 1);
        assert_eq!(bow.suggested[0].effect, 4);
        assert_eq!(bow.risk.p_split.value, 0.0);
        let tail = report(&topology(&[(0, 1), (1, 2), (2, 0), (2, 3)]));
        assert_eq!(tail.bridges[0].what, (Slot(2), Slot(3)));
        assert_eq!(tail.walkthrough_risk, 0.0);
        let nobody = TopologyReport::of(&Snapshot::of(&graph(0, &[])), &[], &Default::default());
        assert_eq!((nobody.measures.peers, nobody.measures.diameter), (0, 0));
    }
}
