//! The measure set, kept exact through every change of a link.

mod blocks;
mod certificate;
mod corners;
mod detour;
mod parts;

use bitcraps_types::{PeerId, Timestamp, TransportType};

pub use blocks::Upkeep;

use crate::diameter::Diameters;
use crate::topology::{AddEdgeError, AddNodeError, EdgeError, PairChange, Topology, UnknownPeer};
use crate::{EdgeInfo, MeasureSet, NodeInfo, NodeType, Slot};
use blocks::Blocks;
use certificate::{Certificate, Lost};
use corners::Corners;
use parts::Parts;

/// A topology whose measure set is kept exact through every change, in time that depends on the
/// neighbourhood of the change and not on the size of the network, most of the time.
///
/// | measure | a change costs |
/// |---|---|
/// | clusterings | O(d), exact integers |
/// | components | the smaller part, when a bridge comes or goes |
/// | articulation points, bridges, blocks | O(d) when two common neighbours certify it, else two ways are looked for round the link |
/// | diameter | O(16) when a certificate holds, else what it takes to repair that |
///
/// Where no certificate of the diameter is to be had, as in expanders, it is computed when it is
/// asked for.
#[derive(Debug, Clone)]
pub struct LiveTopology {
    topology: Topology,
    version: u64,
    corners: Corners,
    parts: Parts,
    blocks: Blocks,
    diameter: Diameter,
    shared: Vec<u32>,
}

/// What is known of the diameter of the largest component.
#[derive(Debug, Clone)]
enum Diameter {
    Certified(Box<Certificate>),
    /// Known, without a reason that would hold through a change.
    Known(u32),
    /// To be computed.
    Unknown,
}

impl LiveTopology {
    /// Takes over a topology. O(n + m) and the diameter.
    pub fn new(topology: Topology) -> Self {
        let mut live = Self {
            topology,
            version: 0,
            corners: Corners::default(),
            parts: Parts::default(),
            blocks: Blocks::default(),
            diameter: Diameter::Unknown,
            shared: Vec::new(),
        };
        live.recompute();
        live
    }

    /// The truth.
    pub fn topology(&self) -> &Topology {
        &self.topology
    }

    /// Grows with every change of what is linked with what. Whatever was computed from another
    /// version is stale: see [`Dated`].
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Computes everything anew.
    fn recompute(&mut self) {
        let snapshot = self.topology.snapshot();
        self.corners = Corners::of(&snapshot, self.topology.slot_bound());
        self.parts = Parts::of(&snapshot, self.topology.slot_bound());
        self.blocks = Blocks::of(&self.topology, &snapshot);
        self.diameter = match Certificate::of(&self.topology, &snapshot, &self.parts) {
            Some(certificate) => Diameter::Certified(Box::new(certificate)),
            None => Diameter::Unknown,
        };
    }

    /// The measure set as it is now. The diameter is computed first when the last change left it
    /// unknown.
    pub fn measures(&mut self) -> MeasureSet {
        let diameter = self.diameter();
        let clustering = self.corners.clustering();
        MeasureSet {
            peers: self.topology.peers(),
            links: self.topology.linked_pairs(),
            components: self.parts.count(),
            largest_component: self.parts.largest(),
            diameter,
            average_clustering: clustering.average_clustering(),
            average_clustering_deg2: clustering.average_clustering_deg2(),
            transitivity: clustering.transitivity(),
            articulation_points: self.blocks.points(),
            bridges: self.blocks.bridges(),
            blocks: self.blocks.count(),
        }
    }

    fn diameter(&mut self) -> u32 {
        match &self.diameter {
            Diameter::Certified(certificate) => certificate.diameter(),
            Diameter::Known(diameter) => *diameter,
            Diameter::Unknown => {
                let snapshot = self.topology.snapshot();
                if let Some(found) = Certificate::of(&self.topology, &snapshot, &self.parts) {
                    let diameter = found.diameter();
                    self.diameter = Diameter::Certified(Box::new(found));
                    return diameter;
                }
                let diameter = Diameters::of_largest(&snapshot);
                self.diameter = Diameter::Known(diameter);
                diameter
            }
        }
    }

    /// Whether the loss of a peer would split its component.
    pub fn is_articulation_point(&self, peer: &PeerId) -> bool {
        self.topology.slot_of(peer).is_some_and(|slot| self.blocks.is_point(slot.0))
    }

    /// Whether the link of a pair is the only way between its ends. False for pairs without one.
    pub fn is_bridge(&mut self, a: &PeerId, b: &PeerId) -> bool {
        let ends = self.topology.slot_of(a).zip(self.topology.slot_of(b));
        let edge = ends.and_then(|(a, b)| self.topology.row(a.0).edge(b.0));
        edge.is_some_and(|edge| self.blocks.is_bridge(edge))
    }

    /// As [`Topology::add_node`].
    ///
    /// # Errors
    /// As there.
    pub fn add_node(
        &mut self,
        peer: PeerId,
        node_type: NodeType,
        now: Timestamp,
    ) -> Result<Slot, AddNodeError> {
        let slot = self.topology.add_node(peer, node_type, now)?;
        self.version += 1;
        self.corners.add(slot.0);
        self.parts.add(slot.0);
        self.blocks.add(slot.0);
        if let Diameter::Certified(certificate) = &mut self.diameter {
            certificate.add(slot.0);
        } else {
            self.diameter = Diameter::Unknown;
        }
        Ok(slot)
    }

    /// As [`Topology::remove_node`]: its links go one by one.
    ///
    /// # Errors
    /// As there.
    pub fn remove_node(&mut self, peer: &PeerId) -> Result<NodeInfo, UnknownPeer> {
        let info = self.topology.node(peer).ok_or(UnknownPeer(*peer))?;
        for other in &info.connections {
            let transports: Vec<_> =
                self.topology.links_between(peer, other).iter().map(EdgeInfo::transport).collect();
            for transport in transports {
                // Each was found a moment ago.
                if self.remove_edge(peer, other, transport).is_err() {
                    break;
                }
            }
        }
        let slot = self.topology.slot_of(peer).ok_or(UnknownPeer(*peer))?;
        self.topology.remove_node(peer)?;
        self.version += 1;
        self.corners.remove();
        self.parts.remove(slot.0);
        if !matches!(self.diameter, Diameter::Certified(_)) {
            self.diameter = Diameter::Unknown;
        }
        Ok(info)
    }

    /// As [`Topology::seen`].
    ///
    /// # Errors
    /// As there.
    pub fn seen(&mut self, peer: &PeerId, now: Timestamp) -> Result<(), UnknownPeer> {
        self.topology.seen(peer, now)
    }

    /// As [`Topology::update_edge`]: no measure of the set depends on what a link is worth.
    ///
    /// # Errors
    /// As there.
    pub fn update_edge(
        &mut self,
        a: &PeerId,
        b: &PeerId,
        link: EdgeInfo,
    ) -> Result<EdgeInfo, EdgeError> {
        self.topology.update_edge(a, b, link)
    }

    /// As [`Topology::add_edge`]; says how the measures were kept.
    ///
    /// # Errors
    /// As there.
    pub fn add_edge(
        &mut self,
        a: &PeerId,
        b: &PeerId,
        link: EdgeInfo,
    ) -> Result<Upkeep, AddEdgeError> {
        match self.topology.add_pair(a, b, link)? {
            PairChange::Linked(a, b) => Ok(self.linked(a, b)),
            PairChange::Unlinked(..) | PairChange::Same => Ok(Upkeep::Certified),
        }
    }

    /// As [`Topology::remove_edge`]; says how the measures were kept.
    ///
    /// # Errors
    /// As there.
    pub fn remove_edge(
        &mut self,
        a: &PeerId,
        b: &PeerId,
        transport: TransportType,
    ) -> Result<(EdgeInfo, Upkeep), EdgeError> {
        let ends = self.topology.slot_of(a).zip(self.topology.slot_of(b));
        let edge = ends.and_then(|(a, b)| self.topology.row(a.0).edge(b.0));
        let (link, change) = self.topology.remove_pair(a, b, transport)?;
        match (change, edge) {
            (PairChange::Unlinked(a, b), Some(edge)) => Ok((link, self.unlinked(a, b, edge))),
            (_, _) => Ok((link, Upkeep::Certified)),
        }
    }

    fn linked(&mut self, a: u32, b: u32) -> Upkeep {
        self.version += 1;
        self.find_shared(a, b);
        self.corners.changed(a, b, &self.shared, true);
        let apart = self.parts.label(a) != self.parts.label(b);
        let shared = self.shared.first().copied();
        let of_blocks = self.blocks.linked(&self.topology, (a, b), apart, shared);
        let moved = if apart { self.parts.join(&self.topology, a, b) } else { Vec::new() };
        let Self { topology, parts, .. } = self;
        let outcome = match &mut self.diameter {
            Diameter::Certified(certificate) if apart => {
                let anchor = if moved.first() == Some(&a) { b } else { a };
                match parts.label(anchor) == certificate.label() {
                    true => certificate.joined(topology, parts, anchor, &moved),
                    false => Ok(Upkeep::Certified),
                }
            }
            Diameter::Certified(certificate) if parts.label(a) == certificate.label() => {
                certificate.linked(topology, parts, a, b)
            }
            Diameter::Certified(_) => Ok(Upkeep::Certified),
            Diameter::Known(_) | Diameter::Unknown => Err(Lost),
        };
        self.settled(of_blocks, outcome)
    }

    fn unlinked(&mut self, a: u32, b: u32, edge: u32) -> Upkeep {
        self.version += 1;
        self.find_shared(a, b);
        self.corners.changed(a, b, &self.shared, false);
        let (apart, of_blocks) = self.blocks.unlinked(&self.topology, (a, b, edge), &self.shared);
        let before = self.parts.label(a);
        let parting = apart.then(|| self.parts.part(&self.topology, a, b));
        let Self { topology, parts, .. } = self;
        let outcome = match (&mut self.diameter, parting) {
            (Diameter::Certified(certificate), _) if before != certificate.label() => {
                Ok(Upkeep::Certified)
            }
            (Diameter::Certified(certificate), Some(parting)) => {
                certificate.parted(topology, parts, [a, b], &parting.left)
            }
            (Diameter::Certified(certificate), None) => certificate.unlinked(topology, parts, a, b),
            (Diameter::Known(_) | Diameter::Unknown, _) => Err(Lost),
        };
        self.settled(of_blocks, outcome)
    }

    fn settled(&mut self, of_blocks: Upkeep, of_diameter: Result<Upkeep, Lost>) -> Upkeep {
        if self.blocks.is_worn(self.topology.linked_pairs()) {
            let snapshot = self.topology.snapshot();
            self.blocks = Blocks::of(&self.topology, &snapshot);
        }
        let holds = match &self.diameter {
            Diameter::Certified(certificate) => self.parts.is_the_largest(certificate.label()),
            Diameter::Known(_) | Diameter::Unknown => false,
        };
        match of_diameter {
            Ok(upkeep) if holds => upkeep.max(of_blocks),
            Ok(_) | Err(Lost) => {
                self.diameter = Diameter::Unknown;
                Upkeep::Recomputed
            }
        }
    }

    fn find_shared(&mut self, a: u32, b: u32) {
        let Self { topology, shared, .. } = self;
        shared.clear();
        topology.row(a).intersect(topology.row(b), |slot| shared.push(slot));
    }

    /// Makes many changes. When they are more than a fiftieth of the links, everything is computed
    /// anew once instead of being kept through each; else the diameter is settled once, at the end.
    /// Gives what could not be done, in order.
    pub fn apply(&mut self, changes: &[LinkChange]) -> Vec<ChangeError> {
        let mut errors = Vec::new();
        let anew = changes.len() > self.topology.linked_pairs() / 50;
        if let Diameter::Certified(certificate) = &mut self.diameter {
            certificate.defer();
        }
        for change in changes {
            let done = match (*change, anew) {
                (LinkChange::Add { a, b, link }, false) => {
                    self.add_edge(&a, &b, link).map(|_| ()).map_err(ChangeError::Add)
                }
                (LinkChange::Add { a, b, link }, true) => {
                    self.topology.add_edge(&a, &b, link).map_err(ChangeError::Add)
                }
                (LinkChange::Remove { a, b, transport }, false) => {
                    self.remove_edge(&a, &b, transport).map(|_| ()).map_err(ChangeError::Remove)
                }
                (LinkChange::Remove { a, b, transport }, true) => {
                    let removed = self.topology.remove_edge(&a, &b, transport);
                    removed.map(|_| ()).map_err(ChangeError::Remove)
                }
            };
            errors.extend(done.err());
        }
        if anew && !changes.is_empty() {
            self.version += 1;
            self.recompute();
        } else if let Diameter::Certified(certificate) = &mut self.diameter
            && certificate.conclude(&self.topology, &self.parts).is_err()
        {
            self.diameter = Diameter::Unknown;
        }
        errors
    }
}

/// A change of one link, for [`LiveTopology::apply`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkChange {
    /// See [`Topology::add_edge`].
    Add {
        /// One end.
        a: PeerId,
        /// The other.
        b: PeerId,
        /// The link.
        link: EdgeInfo,
    },
    /// See [`Topology::remove_edge`].
    Remove {
        /// One end.
        a: PeerId,
        /// The other.
        b: PeerId,
        /// What carries it.
        transport: TransportType,
    },
}

/// Why a change was not made. The others were.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// A link was not added.
    #[error(transparent)]
    Add(AddEdgeError),
    /// A link was not removed.
    #[error(transparent)]
    Remove(EdgeError),
}

/// Something that was computed from one version of a [`LiveTopology`], and is marked stale by the
/// next change: histograms, communities, risk.
#[derive(Debug, Clone, PartialEq)]
pub struct Dated<T> {
    version: u64,
    value: T,
}

impl<T> Dated<T> {
    /// Computes it from the present.
    pub fn new(live: &LiveTopology, compute: impl FnOnce(&Topology) -> T) -> Self {
        Self { version: live.version, value: compute(&live.topology) }
    }

    /// What was computed, stale or not.
    pub fn value(&self) -> &T {
        &self.value
    }

    /// Whether links changed since.
    pub fn is_stale(&self, live: &LiveTopology) -> bool {
        self.version != live.version
    }

    /// What holds now: computed anew when it is stale.
    pub fn fresh(&mut self, live: &LiveTopology, compute: impl FnOnce(&Topology) -> T) -> &T {
        if self.is_stale(live) {
            *self = Self::new(live, compute);
        }
        &self.value
    }
}

#[cfg(test)]
mod tests;
