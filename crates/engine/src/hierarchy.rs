//! The level of the network at which the next hop to a peer is found.

use bitcraps_types::PeerId;

use crate::Engine;

/// How far away a peer is: the first design's local, cluster and global coordinators.
///
/// There is one area, in which everybody knows every link, and nothing is known beyond it. Summaries
/// of other areas, for networks of more than some hundred mobile nodes, would be asked where
/// [`Level::Beyond`] is answered now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// A link of this node's own leads there.
    Local,
    /// It publishes links in this node's area: relays lead there, if any way does.
    Area,
    /// This node knows no area that it is in.
    Beyond,
}

impl Engine {
    /// The level at which the next hop to a peer is found. O(log peers).
    pub fn level_of(&self, peer: &PeerId) -> Level {
        if self.core.is_neighbour(*peer) {
            Level::Local
        } else if self.network.as_ref().is_some_and(|network| network.knows(peer)) {
            Level::Area
        } else {
            Level::Beyond
        }
    }
}
