use std::time::Duration;

use bitcraps_types::{Epoch, Kbps, Ratio};

use crate::Privacy;

/// What does not change while a node runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// This node's incarnation.
    pub epoch: Epoch,
    /// What is told of this node.
    pub privacy: Privacy,
    /// How often a record is made again that has not changed; three times as long without one, and
    /// it is forgotten. At 1,000 origins and 300 s that is 0.5 kB a second.
    pub refresh: Duration,
    /// Bytes a second to a neighbour that is linked over Bluetooth only, frame headers included.
    pub bluetooth_budget: u32,
    /// Bytes a second to any other neighbour.
    pub budget: u32,
    /// Origins without a completed session that are remembered.
    pub max_unverified: usize,
}

impl Config {
    /// The defaults, for an incarnation.
    pub const fn new(epoch: Epoch) -> Self {
        Self {
            epoch,
            privacy: Privacy::Neighbours,
            refresh: Duration::from_secs(300),
            bluetooth_budget: 1_000,
            budget: 64_000,
            max_unverified: 4_096,
        }
    }
}

/// What this node measures of one of its links.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LinkFacts {
    /// Time from one end to the other.
    pub latency: Duration,
    /// Probability that a transmission arrives.
    pub reliability: Ratio,
    /// What it carries in a second.
    pub rate: Kbps,
    /// Bytes that a frame has for a body; [`MIN_ROOM`](crate::MIN_ROOM) at least.
    pub room: usize,
}
