use std::collections::{BTreeMap, BTreeSet};

use bitcraps_topology::{Components, Graph, Topology};
use bitcraps_types::{PeerId, TransportType};

/// Pairs that are considered at most, the lowest first: what a plan looks through in milliseconds.
pub(super) const MAX_CANDIDATES: usize = 8_192;
/// Transports in the order in which they are preferred for a pair that has several: those that hold
/// many links first.
const PREFERRED: [TransportType; TransportType::COUNT] =
    [TransportType::WiFiDirect, TransportType::Internet, TransportType::Bluetooth];

/// A peer says that it could link with another, and has not: it has found it, and admits it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Offer {
    /// Who says so.
    pub from: PeerId,
    /// With whom.
    pub to: PeerId,
    /// Over what.
    pub transport: TransportType,
}

/// A pair that could be linked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// Positions in the view, the lower first.
    pub(crate) pair: (u32, u32),
    pub(crate) transport: TransportType,
    /// The lowest end that offered it.
    pub(crate) owner: PeerId,
    /// Whether both ends offered it: one alone may say so of anybody.
    pub(crate) mutual: bool,
}

/// A network in a form that is the same at every node that knows the same.
#[derive(Debug, Clone, PartialEq)]
pub struct View {
    peers: Vec<PeerId>,
    present: Graph,
    expected: Graph,
    parts: usize,
    candidates: Vec<Candidate>,
    /// Neighbours of each peer over each transport.
    neighbours: Vec<[u32; TransportType::COUNT]>,
}

impl View {
    /// Of a network in which `lasts` holds for the links that are expected to live on. Offers between
    /// peers that are linked, or unknown, are ignored. O((n + m + offers) log n).
    pub fn of(
        topology: &Topology,
        lasts: impl Fn(&PeerId, &PeerId) -> bool,
        offers: impl IntoIterator<Item = Offer>,
    ) -> Self {
        let snapshot = topology.snapshot();
        let all = (0..snapshot.peers() as u32).filter_map(|at| topology.peer(snapshot.slot(at)?));
        let peers: BTreeSet<PeerId> = all.collect();
        let peers: Vec<PeerId> = peers.into_iter().collect();
        let position = |peer: &PeerId| peers.binary_search(peer).ok().map(|at| at as u32);
        let mut neighbours = vec![[0; TransportType::COUNT]; peers.len()];
        let (mut present, mut expected) = (BTreeSet::new(), BTreeSet::new());
        for (a, b, link) in topology.links() {
            let Some((x, y)) = position(&a).zip(position(&b)) else { continue };
            for end in [x, y] {
                neighbours[end as usize][link.transport().index()] += 1;
            }
            let pair = (x.min(y), x.max(y));
            present.insert(pair);
            if lasts(&a, &b) {
                expected.insert(pair);
            }
        }
        // Whether the lower end offers it, and the other one.
        let mut offered: BTreeMap<(u32, u32), [[bool; 2]; TransportType::COUNT]> = BTreeMap::new();
        for Offer { from, to, transport } in offers {
            let Some((x, y)) = position(&from).zip(position(&to)) else { continue };
            let pair = (x.min(y), x.max(y));
            if x == y || present.contains(&pair) {
                continue;
            }
            offered.entry(pair).or_default()[transport.index()][usize::from(x > y)] = true;
        }
        if offered.len() > MAX_CANDIDATES {
            // One alone may offer whom it likes; what two agree on has to fit.
            offered.retain(|_, by| by.iter().any(|ends| ends[0] && ends[1]));
        }
        let candidates = offered.into_iter().take(MAX_CANDIDATES).filter_map(|(pair, by)| {
            let offers = |ends: usize| {
                move |kind: &TransportType| {
                    by[kind.index()].iter().filter(|offers| **offers).count() >= ends
                }
            };
            let transport = PREFERRED.into_iter().find(offers(2));
            let transport = transport.or_else(|| PREFERRED.into_iter().find(offers(1)))?;
            let [lower, upper] = by[transport.index()];
            let owner = *peers.get(if lower { pair.0 } else { pair.1 } as usize)?;
            Some(Candidate { pair, transport, owner, mutual: lower && upper })
        });
        let candidates = candidates.collect();
        let graph = |links: BTreeSet<(u32, u32)>| {
            let links: Vec<(u32, u32)> = links.into_iter().collect();
            // What was in a topology are links between its peers.
            Graph::from_links(peers.len(), &links).unwrap_or_default()
        };
        let (present, expected) = (graph(present), graph(expected));
        let parts = Components::of_graph(&expected).count().max(1);
        Self { peers, present, expected, parts, candidates, neighbours }
    }

    /// Everybody, ascending.
    pub fn peers(&self) -> &[PeerId] {
        &self.peers
    }

    /// Who is linked now; peers are positions in [`Self::peers`].
    pub const fn present(&self) -> &Graph {
        &self.present
    }

    /// The links that are expected to last.
    pub const fn expected(&self) -> &Graph {
        &self.expected
    }

    /// Parts of the network that is expected, 1 at least.
    pub const fn parts(&self) -> usize {
        self.parts
    }

    pub(crate) fn candidates(&self) -> &[Candidate] {
        &self.candidates
    }

    pub(crate) fn neighbours(&self) -> &[[u32; TransportType::COUNT]] {
        &self.neighbours
    }

    pub(crate) fn position(&self, peer: &PeerId) -> Option<u32> {
        self.peers.binary_search(peer).ok().map(|at| at as u32)
    }

    /// Whether a pair is linked now.
    pub fn is_linked(&self, a: &PeerId, b: &PeerId) -> bool {
        let ends = self.position(a).zip(self.position(b));
        ends.is_some_and(|(a, b)| self.present.row(a).binary_search(&b).is_ok())
    }
}
