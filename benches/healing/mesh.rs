//! Networks to be healed, over Bluetooth.

use std::collections::BTreeSet;
use std::time::Duration;

use bitcraps_monitor::{HealthIssue, Offer, View, weakness_of};
use bitcraps_topology::{EdgeInfo, Graph, NodeType, Topology};
use bitcraps_types::{Kbps, PeerId, Ratio, Timestamp, TransportType};
use fastrand::Rng;

use crate::Failure;

/// Two numbers of peers, the lower first.
pub(super) type Pair = (u32, u32);

/// Links and feasible pairs among numbered peers.
#[derive(Debug, Clone)]
pub(super) struct Mesh {
    pub(super) peers: u32,
    pub(super) links: BTreeSet<Pair>,
    /// Pairs that could be linked, links that were made of them included.
    pub(super) feasible: Vec<Pair>,
}

/// Keys ascend with numbers, so that positions in a view are numbers.
pub(super) fn peer(number: u32) -> PeerId {
    let mut id = [0; 32];
    Rng::with_seed(u64::from(number)).fill(&mut id);
    id[..4].copy_from_slice(&number.to_be_bytes());
    PeerId::from_bytes(id)
}

/// The number of a key.
pub(super) fn number(peer: &PeerId) -> u32 {
    u32::from_be_bytes(*peer.as_bytes().first_chunk().unwrap_or(&[0; 4]))
}

/// The lower first.
pub(super) fn pair(a: u32, b: u32) -> Pair {
    (a.min(b), a.max(b))
}

impl Mesh {
    /// Of peers on the unit square that hear each other up to a distance with which they have
    /// `degree` neighbours on average; each keeps at most `most` links, to the nearest, and could have
    /// others.
    pub(super) fn geometric(peers: u32, degree: f64, most: usize, rng: &mut Rng) -> Self {
        let range = (degree / (std::f64::consts::PI * f64::from(peers))).sqrt();
        let places: Vec<(f64, f64)> = (0..peers).map(|_| (rng.f64(), rng.f64())).collect();
        let far = |a: u32, b: u32| {
            let (a, b) = (places[a as usize], places[b as usize]);
            (a.0 - b.0).hypot(a.1 - b.1)
        };
        let mut near: Vec<(f64, Pair)> = Vec::new();
        for a in 0..peers {
            near.extend((a + 1..peers).map(|b| (far(a, b), (a, b))).filter(|(d, _)| *d <= range));
        }
        near.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut degrees = vec![0; peers as usize];
        let (mut links, mut feasible) = (BTreeSet::new(), Vec::new());
        for (_, (a, b)) in near {
            let room = degrees[a as usize].max(degrees[b as usize]) < most;
            if room {
                degrees[a as usize] += 1;
                degrees[b as usize] += 1;
                links.insert((a, b));
            } else {
                feasible.push((a, b));
            }
        }
        Self { peers, links, feasible }
    }

    /// A network without places: peers at most `hops` apart could be linked, `most` pairs of them.
    pub(super) fn of_graph(graph: &Graph, hops: u32, most: usize, rng: &mut Rng) -> Self {
        let peers = graph.peers() as u32;
        let mut feasible = Vec::new();
        for a in 0..peers {
            let distances = bitcraps_topology::hop_distances(graph, a);
            feasible.extend(
                (a + 1..peers)
                    .filter_map(|b| (2..=hops).contains(&distances[b as usize]).then_some((a, b))),
            );
        }
        rng.shuffle(&mut feasible);
        feasible.truncate(most);
        Self { peers, links: graph.link_list().collect(), feasible }
    }

    pub(super) fn graph(&self) -> Result<Graph, Failure> {
        let links: Vec<Pair> = self.links.iter().copied().collect();
        Graph::from_links(self.peers as usize, &links).map_err(|e| Failure::broken("a mesh", e))
    }

    /// As a node sees it.
    pub(super) fn view(&self) -> Result<View, Failure> {
        let links = self.links.iter().map(|pair| (*pair, Ratio::ONE));
        let topology = topology(self.peers, links, Timestamp::ZERO)?;
        Ok(View::of(&topology, |_, _| true, offers(&self.feasible)))
    }

    pub(super) fn diameter(view: &View) -> u32 {
        weakness_of(HealthIssue::HighDiameter, view.present()) as u32
    }

    pub(super) fn degrees(&self) -> Vec<u32> {
        let mut degrees = vec![0; self.peers as usize];
        for (a, b) in &self.links {
            degrees[*a as usize] += 1;
            degrees[*b as usize] += 1;
        }
        degrees
    }
}

/// Both ends offer each pair.
pub(super) fn offers(pairs: &[Pair]) -> impl Iterator<Item = Offer> + '_ {
    let of = |a, b| Offer { from: peer(a), to: peer(b), transport: TransportType::Bluetooth };
    pairs.iter().flat_map(move |(a, b)| [of(*a, *b), of(*b, *a)])
}

/// A network over Bluetooth with links of these reliabilities.
pub(super) fn topology(
    peers: u32,
    links: impl Iterator<Item = (Pair, Ratio)>,
    now: Timestamp,
) -> Result<Topology, Failure> {
    let mut topology = Topology::new(1);
    for number in 0..peers {
        let added = topology.add_node(peer(number), NodeType::Regular, now);
        added.map_err(|e| Failure::broken("a network", e))?;
    }
    for ((a, b), reliability) in links {
        let link = EdgeInfo::of_units(
            TransportType::Bluetooth,
            Duration::from_millis(20),
            Kbps::at_least_one(300),
            reliability,
            now,
        );
        let added = topology.add_edge(&peer(a), &peer(b), link);
        added.map_err(|e| Failure::broken("a network", e))?;
    }
    Ok(topology)
}
