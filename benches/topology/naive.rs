//! The first design's analysis, as it was written down: maps of 32-byte ids, a search from every
//! peer.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet, VecDeque};

use bitcraps_topology::Graph;
use bitcraps_types::PeerId;

/// The first design's topology.
pub(super) struct NetworkTopology {
    nodes: HashMap<PeerId, Vec<PeerId>>,
    edges: HashSet<(PeerId, PeerId)>,
    order: Vec<PeerId>,
}

impl NetworkTopology {
    pub(super) fn new(graph: &Graph, ids: &[PeerId]) -> Self {
        let id = |peer: u32| ids[peer as usize];
        let row = |peer: u32| graph.row(peer).iter().map(|other| id(*other)).collect();
        Self {
            nodes: (0..graph.peers() as u32).map(|peer| (id(peer), row(peer))).collect(),
            edges: graph.link_list().map(|(a, b)| (id(a), id(b))).collect(),
            order: ids[..graph.peers()].to_vec(),
        }
    }

    fn bfs_distances(&self, start: PeerId) -> HashMap<PeerId, u32> {
        let mut distances = HashMap::from([(start, 0)]);
        let mut queue = VecDeque::from([start]);
        while let Some(current) = queue.pop_front() {
            let distance = distances[&current];
            for &neighbor in &self.nodes[&current] {
                if let Entry::Vacant(entry) = distances.entry(neighbor) {
                    entry.insert(distance + 1);
                    queue.push_back(neighbor);
                }
            }
        }
        distances
    }

    /// A search from every peer.
    pub(super) fn calculate_diameter(&self) -> u32 {
        let searches = self.order.iter().map(|start| self.bfs_distances(*start));
        searches.filter_map(|found| found.values().copied().max()).max().unwrap_or(0)
    }

    /// All pairs of neighbours of each peer.
    pub(super) fn calculate_clustering(&self) -> f64 {
        let (mut total, mut count) = (0.0, 0);
        for connections in self.order.iter().map(|id| &self.nodes[id]) {
            let possible = connections.len() * connections.len().saturating_sub(1) / 2;
            if possible == 0 {
                continue;
            }
            let mut triangles = 0;
            for (at, a) in connections.iter().enumerate() {
                let linked = |b: &&PeerId| {
                    self.edges.contains(&(*a, **b)) || self.edges.contains(&(**b, *a))
                };
                triangles += connections[at + 1..].iter().filter(linked).count();
            }
            total += triangles as f64 / possible as f64;
            count += 1;
        }
        if count == 0 { 0.0 } else { total / f64::from(count) }
    }
}
