use std::time::Duration;

use bitcraps_types::{AckLevel, Microjoules, TrafficClass};

use crate::config::bounds;

/// Whether messages wait for each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// Delivered as they come.
    #[default]
    Unordered,
    /// Messages of one key, peer and class are delivered in the order they were sent: the next one
    /// leaves when the one before is settled, so a key carries one message a round trip.
    PerKey(u64),
}

/// How a message is to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SendOptions {
    /// What it is worth and for how long.
    pub class: TrafficClass,
    /// How long it is worth anything, from now. At most [`bounds::MAX_DEADLINE`].
    pub deadline: Duration,
    /// What counts as delivered.
    pub ack: AckLevel,
    /// Whether it waits for others.
    pub order: Order,
    /// A message of the same key, peer and class that still waits is replaced by this one.
    pub conflate: Option<u64>,
    /// How many copies may be on their way at once. Critical messages use two disjoint links at
    /// once when it is at least 2; realtime messages may be hedged when it is at least 2.
    pub max_copies: u8,
    /// Links that would cost more for this message are not used.
    pub energy_cap: Option<Microjoules>,
}

impl SendOptions {
    /// The defaults of a class.
    pub const fn new(class: TrafficClass) -> Self {
        let max_copies = match class {
            TrafficClass::Realtime | TrafficClass::Critical => 2,
            TrafficClass::Background | TrafficClass::Bulk => 1,
        };
        Self {
            class,
            deadline: bounds::default_deadline(class),
            ack: AckLevel::PeerAcked,
            order: Order::Unordered,
            conflate: None,
            max_copies,
            energy_cap: None,
        }
    }

    /// With this deadline.
    #[must_use]
    pub const fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// With this acknowledgement level.
    #[must_use]
    pub const fn ack(mut self, ack: AckLevel) -> Self {
        self.ack = ack;
        self
    }

    /// Ordered within `key`.
    #[must_use]
    pub const fn ordered_by(mut self, key: u64) -> Self {
        self.order = Order::PerKey(key);
        self
    }

    /// Replaceable by a newer message of the same `key`.
    #[must_use]
    pub const fn conflated_by(mut self, key: u64) -> Self {
        self.conflate = Some(key);
        self
    }

    /// With at most this many copies at once; 0 is read as 1.
    #[must_use]
    pub const fn max_copies(mut self, copies: u8) -> Self {
        self.max_copies = copies;
        self
    }

    /// Only over links that cost at most this much.
    #[must_use]
    pub const fn energy_cap(mut self, cap: Microjoules) -> Self {
        self.energy_cap = Some(cap);
        self
    }
}
