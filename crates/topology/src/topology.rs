mod error;

use std::time::Duration;

use bitcraps_types::{PeerId, Ratio, Timestamp, TransportType};
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use petgraph::stable_graph::{EdgeIndex, NodeIndex, StableUnGraph};

use crate::edge::LinkSet;
use crate::row::Row;
use crate::{EdgeInfo, Graph, NodeInfo, NodeType, Slot, Snapshot};
pub use error::{AddEdgeError, AddNodeError, EdgeError, UnknownPeer};

/// What [`Topology::age_out`] removed, in a fixed order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Aged {
    /// Peers that were not heard of for too long.
    pub peers: Vec<PeerId>,
    /// Links that carried nothing for too long, or whose end was removed.
    pub links: Vec<(PeerId, PeerId, TransportType)>,
}

#[derive(Debug, Clone)]
struct Node {
    peer_id: PeerId,
    last_seen: Timestamp,
    node_type: NodeType,
}

/// What a change of links did to the pair of slots it names: whether the pair is now linked
/// otherwise than before, which is what the measures depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PairChange {
    /// The first link of the pair came.
    Linked(u32, u32),
    /// The last link of the pair went.
    Unlinked(u32, u32),
    /// The pair is linked as before.
    Same,
}

/// The network as it is known: peers, and the links between them, one a transport and pair.
///
/// Ids are looked up once; everything behind works with dense slots. All operations on one link
/// take O(d), with d the higher degree of its ends.
#[derive(Debug, Clone)]
pub struct Topology {
    slots: HashMap<PeerId, u32, FixedState>,
    graph: StableUnGraph<Node, LinkSet, u32>,
    /// Sorted neighbours of each slot, beside the graph's lists: common neighbours are found, and
    /// snapshots made, without a jump through memory for each edge.
    rows: Vec<Row>,
    /// Edges of pairs that are not linked any more: the graph finds what precedes an edge in its
    /// lists step by step, so that it forgets many at once.
    idle: Vec<EdgeIndex>,
}

/// Idle edges at most: taking them out then is no pause to be noticed.
const MAX_IDLE: usize = 1_024;

impl Topology {
    /// Without peers. `seed` keys the hash of ids, so that strangers cannot choose ids that
    /// collide; it decides nothing else.
    pub fn new(seed: u64) -> Self {
        Self {
            slots: HashMap::with_hasher(FixedState::with_seed(seed)),
            graph: StableUnGraph::default(),
            rows: Vec::new(),
            idle: Vec::new(),
        }
    }

    /// How many peers there are.
    pub fn peers(&self) -> usize {
        self.graph.node_count()
    }

    /// How many pairs are linked.
    pub fn linked_pairs(&self) -> usize {
        self.graph.edge_count() - self.idle.len()
    }

    /// Adds a peer without links, heard of at `now`. O(1).
    ///
    /// # Errors
    /// [`AddNodeError`] when it is there already, or when there is no room.
    pub fn add_node(
        &mut self,
        peer: PeerId,
        node_type: NodeType,
        now: Timestamp,
    ) -> Result<Slot, AddNodeError> {
        if self.slots.contains_key(&peer) {
            return Err(AddNodeError::Duplicate(peer));
        }
        if self.peers() >= Graph::MAX_PEERS {
            return Err(AddNodeError::Full(peer));
        }
        let node = Node { peer_id: peer, last_seen: now, node_type };
        // The number of peers was checked, so it fits.
        let slot = self.graph.add_node(node).index() as u32;
        if slot as usize == self.rows.len() {
            self.rows.push(Row::default());
        }
        self.slots.insert(peer, slot);
        Ok(Slot(slot))
    }

    /// Removes a peer with its links. O(sum of the degrees of its neighbours).
    ///
    /// # Errors
    /// [`UnknownPeer`].
    pub fn remove_node(&mut self, peer: &PeerId) -> Result<NodeInfo, UnknownPeer> {
        let slot = self.slot(peer)?;
        let info = self.info(slot).ok_or(UnknownPeer(*peer))?;
        let row = std::mem::take(&mut self.rows[slot as usize]);
        for neighbour in row.slots() {
            self.rows[neighbour as usize].remove(slot);
        }
        self.rows[slot as usize].clear();
        self.forget_idle();
        self.graph.remove_node(NodeIndex::new(slot as usize));
        self.slots.remove(peer);
        Ok(info)
    }

    /// Notes that a peer was heard of. Time does not go back.
    ///
    /// # Errors
    /// [`UnknownPeer`].
    pub fn seen(&mut self, peer: &PeerId, now: Timestamp) -> Result<(), UnknownPeer> {
        let slot = self.slot(peer)?;
        self.hear_of(slot, now);
        Ok(())
    }

    /// Changes what a peer is to the network.
    ///
    /// # Errors
    /// [`UnknownPeer`].
    pub fn set_node_type(&mut self, peer: &PeerId, node_type: NodeType) -> Result<(), UnknownPeer> {
        self.node_mut(peer)?.node_type = node_type;
        Ok(())
    }

    /// What is known of a peer. O(d).
    pub fn node(&self, peer: &PeerId) -> Option<NodeInfo> {
        self.slots.get(peer).and_then(|slot| self.info(*slot))
    }

    /// Adds a link. Several transports may link a pair.
    ///
    /// # Errors
    /// [`AddEdgeError`] when the ends are the same, one is unknown, the pair has a link over this
    /// transport, or there is no room.
    pub fn add_edge(&mut self, a: &PeerId, b: &PeerId, link: EdgeInfo) -> Result<(), AddEdgeError> {
        self.add_pair(a, b, link).map(|_| ())
    }

    pub(crate) fn add_pair(
        &mut self,
        a: &PeerId,
        b: &PeerId,
        link: EdgeInfo,
    ) -> Result<PairChange, AddEdgeError> {
        if a == b {
            return Err(AddEdgeError::SelfLink(*a));
        }
        let (from, to) = (self.slot(a)?, self.slot(b)?);
        if let Some(set) = self.rows[from as usize].edge(to).and_then(|e| self.set_mut(e)) {
            let transport = link.transport();
            return if set.add(link) {
                Ok(PairChange::Same)
            } else {
                Err(AddEdgeError::Duplicate { a: *a, b: *b, transport })
            };
        }
        self.link(from, to, link).ok_or(AddEdgeError::Full(*a, *b))
    }

    /// Notes what a link is like, both ends being heard of at `now`: adds what is not there, and replaces
    /// what is. Whether the link was not there.
    ///
    /// # Errors
    /// [`AddEdgeError`] when the ends are the same, or when there is no room. Neither end was added.
    pub fn note_edge(
        &mut self,
        a: &PeerId,
        b: &PeerId,
        link: EdgeInfo,
        now: Timestamp,
    ) -> Result<bool, AddEdgeError> {
        if a == b {
            return Err(AddEdgeError::SelfLink(*a));
        }
        let full = AddEdgeError::Full(*a, *b);
        let ends = [a, b].map(|end| self.slots.get(end).copied());
        let edge = ends[0].zip(ends[1]).and_then(|(from, to)| self.rows[from as usize].edge(to));
        let strangers = ends.iter().filter(|end| end.is_none()).count();
        let has_room =
            self.peers() + strangers <= Graph::MAX_PEERS && self.linked_pairs() < Graph::MAX_LINKS;
        if edge.is_none() && !has_room {
            return Err(full);
        }
        let Slot(from) = self.note_node(a, now).map_err(|_| full)?;
        let Slot(to) = self.note_node(b, now).map_err(|_| full)?;
        match edge.and_then(|edge| self.set_mut(edge)) {
            Some(set) => Ok(set.replace(link).is_none() && set.add(link)),
            None => self.link(from, to, link).map(|_| true).ok_or(full),
        }
    }

    /// Notes that a peer was heard of, and adds it when it is not there. Time does not go back. O(1).
    ///
    /// # Errors
    /// [`AddNodeError::Full`].
    pub fn note_node(&mut self, peer: &PeerId, now: Timestamp) -> Result<Slot, AddNodeError> {
        let Some(slot) = self.slots.get(peer).copied() else {
            return self.add_node(*peer, NodeType::Regular, now);
        };
        self.hear_of(slot, now);
        Ok(Slot(slot))
    }

    fn hear_of(&mut self, slot: u32, now: Timestamp) {
        if let Some(node) = self.graph.node_weight_mut(NodeIndex::new(slot as usize)) {
            node.last_seen = node.last_seen.max(now);
        }
    }

    /// Links two slots that are not linked; none when there is no room.
    fn link(&mut self, from: u32, to: u32, link: EdgeInfo) -> Option<PairChange> {
        if self.linked_pairs() >= Graph::MAX_LINKS {
            return None;
        }
        let ends = (NodeIndex::new(from as usize), NodeIndex::new(to as usize));
        let edge = self.graph.add_edge(ends.0, ends.1, LinkSet::of(link)).index() as u32;
        self.rows[from as usize].insert(to, edge);
        self.rows[to as usize].insert(from, edge);
        Some(PairChange::Linked(from, to))
    }

    /// Replaces what is known of a link; the transport says which. Gives what was known before.
    ///
    /// # Errors
    /// [`EdgeError`] when there is no such link.
    pub fn update_edge(
        &mut self,
        a: &PeerId,
        b: &PeerId,
        link: EdgeInfo,
    ) -> Result<EdgeInfo, EdgeError> {
        let (_, _, edge) = self.edge_between(a, b, link.transport())?;
        let before = self.set_mut(edge).and_then(|set| set.replace(link));
        before.ok_or(EdgeError::NoLink { a: *a, b: *b, transport: link.transport() })
    }

    /// Removes a link, and gives what was known of it.
    ///
    /// # Errors
    /// [`EdgeError`] when there is no such link.
    pub fn remove_edge(
        &mut self,
        a: &PeerId,
        b: &PeerId,
        transport: TransportType,
    ) -> Result<EdgeInfo, EdgeError> {
        self.remove_pair(a, b, transport).map(|(link, _)| link)
    }

    pub(crate) fn remove_pair(
        &mut self,
        a: &PeerId,
        b: &PeerId,
        transport: TransportType,
    ) -> Result<(EdgeInfo, PairChange), EdgeError> {
        let (from, to, edge) = self.edge_between(a, b, transport)?;
        let removed = self.set_mut(edge).and_then(|set| {
            let link = set.remove(transport)?;
            Some((link, set.is_empty()))
        });
        let (link, last) = removed.ok_or(EdgeError::NoLink { a: *a, b: *b, transport })?;
        if !last {
            return Ok((link, PairChange::Same));
        }
        self.unlink(from, to, edge);
        Ok((link, PairChange::Unlinked(from, to)))
    }

    fn unlink(&mut self, from: u32, to: u32, edge: u32) {
        self.rows[from as usize].remove(to);
        self.rows[to as usize].remove(from);
        self.idle.push(EdgeIndex::new(edge as usize));
        if self.idle.len() > MAX_IDLE {
            self.forget_idle();
        }
    }

    fn forget_idle(&mut self) {
        for edge in self.idle.drain(..) {
            self.graph.remove_edge(edge);
        }
    }

    /// The links between two peers, sorted by transport; none when one of them is unknown.
    pub fn links_between(&self, a: &PeerId, b: &PeerId) -> &[EdgeInfo] {
        let ends = self.slots.get(a).zip(self.slots.get(b));
        let edge = ends.and_then(|(a, b)| self.rows[*a as usize].edge(*b));
        edge.and_then(|edge| self.set(edge)).map_or(&[], LinkSet::links)
    }

    /// Every link of every pair, in the order of slots.
    pub fn links(&self) -> impl Iterator<Item = (PeerId, PeerId, &EdgeInfo)> {
        (0..self.rows.len() as u32)
            .flat_map(move |a| {
                let above = self.rows[a as usize].entries().filter(move |(b, _)| a < *b);
                above.filter_map(move |(b, edge)| {
                    Some((self.peer(Slot(a))?, self.peer(Slot(b))?, self.set(edge)?))
                })
            })
            .flat_map(|(a, b, set)| set.links().iter().map(move |link| (a, b, link)))
    }

    /// Removes links that have carried nothing since `now - link_age` and peers that were not heard
    /// of since `now - peer_age`; exactly that age is not too old. O(n + m).
    pub fn age_out(&mut self, now: Timestamp, link_age: Duration, peer_age: Duration) -> Aged {
        let mut aged = Aged::default();
        let gone = |slot: Slot, of: &Self| {
            let node = of.graph.node_weight(NodeIndex::new(slot.0 as usize));
            node.is_some_and(|node| now.since(node.last_seen) > peer_age)
        };
        for (a, b, link) in self.links() {
            let ends = [a, b].map(|peer| self.slot_of(&peer));
            let end_gone = ends.into_iter().flatten().any(|slot| gone(slot, self));
            if end_gone || now.since(link.last_active()) > link_age {
                aged.links.push((a, b, link.transport()));
            }
        }
        let slots = (0..self.rows.len() as u32).map(Slot);
        aged.peers = slots.filter(|s| gone(*s, self)).filter_map(|s| self.peer(s)).collect();
        aged.links.retain(|(a, b, transport)| self.remove_edge(a, b, *transport).is_ok());
        aged.peers.retain(|peer| self.remove_node(peer).is_ok());
        aged
    }

    /// The slot of a peer.
    pub fn slot_of(&self, peer: &PeerId) -> Option<Slot> {
        self.slots.get(peer).copied().map(Slot)
    }

    /// The peer of a slot.
    pub fn peer(&self, slot: Slot) -> Option<PeerId> {
        self.graph.node_weight(NodeIndex::new(slot.0 as usize)).map(|node| node.peer_id)
    }

    /// A snapshot for analysis. O(n + m log d).
    pub fn snapshot(&self) -> Snapshot {
        let present = |slot: u32| self.graph.contains_node(NodeIndex::new(slot as usize));
        let row = |slot: u32| self.rows[slot as usize].slots();
        Snapshot::relabelled(self.rows.len(), 2 * self.linked_pairs(), present, row)
    }

    /// What the links of a snapshot of this state are worth, in the order of its link numbers. A
    /// pair that is not linked any more counts as a link that fails. O(m log d).
    pub fn weights(&self, snapshot: &Snapshot) -> Vec<LinkWeight> {
        let weight = |(a, b)| {
            let ends = snapshot.slot(a).zip(snapshot.slot(b));
            ends.map_or(LinkWeight::FAILS, |(a, b)| self.weight_between(a, b))
        };
        snapshot.graph().link_list().map(weight).collect()
    }

    /// What the links between two peers are worth together. O(log d).
    pub fn weight_between(&self, a: Slot, b: Slot) -> LinkWeight {
        let edge = self.rows.get(a.0 as usize).and_then(|row| row.edge(b.0));
        match edge.and_then(|edge| self.set(edge)) {
            Some(set) => LinkWeight { reliability: set.reliability(), latency: set.latency() },
            None => LinkWeight::FAILS,
        }
    }

    pub(crate) fn row(&self, slot: u32) -> &Row {
        &self.rows[slot as usize]
    }

    /// One above the highest slot that was ever given.
    pub(crate) fn slot_bound(&self) -> usize {
        self.rows.len()
    }

    /// One above the highest edge that the rows name.
    pub(crate) fn edge_bound(&self) -> usize {
        self.graph.edge_indices().map(|edge| edge.index() + 1).max().unwrap_or(0)
    }

    fn slot(&self, peer: &PeerId) -> Result<u32, UnknownPeer> {
        self.slots.get(peer).copied().ok_or(UnknownPeer(*peer))
    }

    fn node_mut(&mut self, peer: &PeerId) -> Result<&mut Node, UnknownPeer> {
        let slot = self.slot(peer)?;
        self.graph.node_weight_mut(NodeIndex::new(slot as usize)).ok_or(UnknownPeer(*peer))
    }

    fn info(&self, slot: u32) -> Option<NodeInfo> {
        let node = self.graph.node_weight(NodeIndex::new(slot as usize))?;
        let neighbours = self.rows[slot as usize].slots();
        let connections = neighbours.filter_map(|slot| self.peer(Slot(slot))).collect();
        let Node { peer_id, last_seen, node_type } = *node;
        Some(NodeInfo { peer_id, last_seen, node_type, connections })
    }

    fn edge_between(
        &self,
        a: &PeerId,
        b: &PeerId,
        transport: TransportType,
    ) -> Result<(u32, u32, u32), EdgeError> {
        let (from, to) = (self.slot(a)?, self.slot(b)?);
        let edge = self.rows[from as usize].edge(to);
        let edge = edge.ok_or(EdgeError::NoLink { a: *a, b: *b, transport })?;
        Ok((from, to, edge))
    }

    fn set(&self, edge: u32) -> Option<&LinkSet> {
        self.graph.edge_weight(EdgeIndex::new(edge as usize))
    }

    fn set_mut(&mut self, edge: u32) -> Option<&mut LinkSet> {
        self.graph.edge_weight_mut(EdgeIndex::new(edge as usize))
    }
}

/// What the links of one pair are worth together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkWeight {
    /// 1 - product of the failures of its transports.
    pub reliability: Ratio,
    /// That of the fastest transport.
    pub latency: Duration,
}

impl LinkWeight {
    /// That of peers that are not linked.
    const FAILS: Self = Self { reliability: Ratio::ZERO, latency: EdgeInfo::MAX_LATENCY };
}

#[cfg(test)]
mod tests;
