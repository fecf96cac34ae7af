use std::fmt;

use bitcraps_types::{PeerId, Timestamp};

/// What a peer is to the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum NodeType {
    /// A player.
    #[default]
    Regular,
    /// Forwards for others by intent.
    Relay,
    /// Hosts a table.
    Host,
    /// Joins the local network to the internet.
    Gateway,
    /// Nearby infrastructure that serves peers.
    Edge,
}

impl NodeType {
    /// Lower-case name, as in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Regular => "regular",
            Self::Relay => "relay",
            Self::Host => "host",
            Self::Gateway => "gateway",
            Self::Edge => "edge",
        }
    }
}

impl fmt::Display for NodeType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What is known of a peer, copied out of the topology.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeInfo {
    /// Who it is.
    pub peer_id: PeerId,
    /// When it was last heard of.
    pub last_seen: Timestamp,
    /// What it is to the network.
    pub node_type: NodeType,
    /// Peers that it has a link with, each once however many transports there are, in a fixed
    /// order.
    pub connections: Vec<PeerId>,
}

/// Dense number of a peer in a [`Topology`](crate::Topology), or line of a node in a file.
///
/// Given again to another peer after the first was removed, so it identifies a peer only within one
/// state of the topology.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub u32);

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
