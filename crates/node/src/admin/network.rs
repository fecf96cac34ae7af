//! What a node says of the whole network.

use bitcraps_coordinator::Machine as _;
use bitcraps_engine::{Flag, Network};
use bitcraps_topology::{Components, Cuts, Diameters, Topology};
use bitcraps_types::{PeerId, TransportType};
use serde::{Deserialize, Serialize};

use crate::Node;

/// Ways to a peer that are told.
const WAYS: usize = 2;

/// The whole network, as its nodes tell of their links.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NetworkReport {
    /// The node that says so.
    pub node: PeerId,
    /// Everybody who is known, ascending.
    pub peers: Vec<KnownPeerReport>,
    /// Every link of which both ends say that it is there, ascending by its ends.
    pub links: Vec<KnownLinkReport>,
    /// Parts between which no link leads.
    pub components: usize,
    /// Peers in the largest of them.
    pub largest_component: u32,
    /// Links from one end of the largest part to the other.
    pub diameter: u32,
    /// Hash of what is known: equal for nodes that know the same.
    pub root: String,
    /// A higher epoch of this node's key that was seen: the node's next life will be in one above
    /// it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outran: Option<u64>,
    /// Another device publishes links under this node's key and epoch.
    #[serde(default)]
    pub elsewhere: bool,
}

/// A peer in the network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownPeerReport {
    /// Its key, or its pseudonym.
    pub peer: PeerId,
    /// Peers with which it is linked.
    pub degree: usize,
    /// Without it, others could not reach each other.
    pub articulation_point: bool,
    /// What cannot be true of what it says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<String>,
}

/// A link in the network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KnownLinkReport {
    /// The end with the lower key.
    pub a: PeerId,
    /// The other end.
    pub b: PeerId,
    /// What carries it.
    pub transport: TransportType,
    /// Time from one end to the other, in microseconds.
    pub latency_us: u64,
    /// Probability that a transmission arrives.
    pub reliability: f64,
    /// What it carries, in kilobits a second.
    pub rate_kbps: u32,
    /// Both ends have proved their keys to this node, or are this node. Others may be inventions.
    pub verified: bool,
}

/// The ways to a peer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PathReport {
    /// The peer.
    pub peer: PeerId,
    /// Ways that share no other peer, the fastest first; none when no link leads there.
    pub ways: Vec<WayReport>,
}

/// A way to a peer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WayReport {
    /// Its hops, from this node on.
    pub hops: Vec<HopReport>,
    /// Sum of their latencies, in microseconds.
    pub latency_us: u64,
}

/// A hop of a way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HopReport {
    /// Where it leads.
    pub to: PeerId,
    /// The fastest of what links the two.
    pub transport: TransportType,
    /// Its latency, in microseconds, as its ends measure it.
    pub latency_us: u64,
}

fn micros(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// Measured outside of the machine's mutex: O(n + m), and the diameter's breadth-first searches.
pub(super) fn topology(node: &Node) -> NetworkReport {
    let known = node.with(|engine, _| engine.network().map(known));
    let nothing = || (Topology::new(0), Vec::new(), Vec::new(), 0, false);
    let (topology, links, flags, root, elsewhere) = known.unwrap_or_else(nothing);
    let outran = node.with(|engine, _| engine.core().outran()).map(|epoch| epoch.0);
    let snapshot = topology.snapshot();
    let cuts = Cuts::of(snapshot.graph());
    let mut peers: Vec<KnownPeerReport> = (0..snapshot.peers() as u32)
        .filter_map(|position| {
            let peer = topology.peer(snapshot.slot(position)?)?;
            let found = flags.iter().filter(|(flagged, _)| *flagged == peer);
            Some(KnownPeerReport {
                peer,
                degree: snapshot.graph().row(position).len(),
                articulation_point: cuts.articulation_points().binary_search(&position).is_ok(),
                flags: found.map(|(_, found)| found.text().to_owned()).collect(),
            })
        })
        .collect();
    peers.sort_by_key(|peer| peer.peer);
    let components = Components::of(&snapshot);
    NetworkReport {
        node: node.id(),
        peers,
        links,
        components: components.count(),
        largest_component: components.largest(),
        diameter: Diameters::of(&snapshot).largest_component(),
        root: format!("{root:016x}"),
        outran,
        elsewhere,
    }
}

type Known = (Topology, Vec<KnownLinkReport>, Vec<(PeerId, Flag)>, u64, bool);

fn known(network: &Network) -> Known {
    let links = network.links().map(|link| KnownLinkReport {
        a: link.a,
        b: link.b,
        transport: link.quality.transport(),
        latency_us: micros(link.quality.latency()),
        reliability: link.quality.reliability().get(),
        rate_kbps: link.quality.rate().get(),
        verified: link.verified,
    });
    let flags = network.peers().flat_map(|peer| network.flags(&peer).map(move |f| (peer, f)));
    (
        network.topology().clone(),
        links.collect(),
        flags.collect(),
        network.root(),
        network.is_elsewhere(),
    )
}

pub(super) fn path(node: &Node, peer: PeerId) -> PathReport {
    let ways = node.with(|engine, _| {
        let Some(network) = engine.network() else { return Vec::new() };
        network.ways(&peer, WAYS).iter().map(|way| of_way(network, way)).collect()
    });
    PathReport { peer, ways }
}

fn of_way(network: &Network, way: &[PeerId]) -> WayReport {
    let hop = |ends: &[PeerId]| {
        let links = network.topology().links_between(&ends[0], &ends[1]);
        let fastest = links.iter().min_by_key(|link| link.latency())?;
        let latency_us = micros(fastest.latency());
        Some(HopReport { to: ends[1], transport: fastest.transport(), latency_us })
    };
    let hops: Vec<HopReport> = way.windows(2).filter_map(hop).collect();
    let latency_us = hops.iter().map(|hop| hop.latency_us).sum();
    WayReport { hops, latency_us }
}
