//! Confirmed delivery to peers over several links at once.
//!
//! [`Core`] is the pure machine: it takes facts (a link came up, frames arrived, the application
//! sends) and `now`, and returns [`Command`]s. It holds no socket, no lock, no task, no clock and
//! no thread-local randomness. With the feature `driver`, [`MultiTransportCoordinator`] runs it
//! over any [`Transport`](bitcraps_transport_api::Transport)s under tokio.
//!
//! Where a packet's link is chosen: [`policy::rank`].

mod acks;
mod budget;
mod command;
mod config;
mod contest;
mod core;
mod custody;
mod damping;
#[cfg(feature = "driver")]
mod dials;
#[cfg(feature = "driver")]
mod directory;
#[cfg(feature = "driver")]
mod driver;
mod estimator;
mod explain;
mod flight;
mod forgetting;
mod game;
mod greeting;
mod inbound;
#[cfg(feature = "driver")]
mod inbox;
mod link;
mod machine;
mod memory;
mod message;
mod metrics;
mod options;
mod outbound;
mod outbox;
mod outcome;
mod peer;
#[cfg(feature = "driver")]
mod persisting;
pub mod policy;
mod preference;
mod reassembly;
#[cfg(feature = "driver")]
mod receipt;
mod record;
mod relaying;
mod roster;
#[cfg(feature = "driver")]
mod sending;
mod settlement;
mod standing;
mod status;
mod store;
#[cfg(test)]
mod tests;
mod upkeep;
mod window;

pub use budget::Budget;
pub use command::{CloseReason, Command, Delivery, LinkChange, Notice};
pub use config::{Config, TransportConfig, bounds};
pub use core::Core;
#[cfg(feature = "driver")]
pub use driver::{Clock, Driver, MultiTransportCoordinator, RegisterError, tokio_clock};
pub use estimator::SizeBucket;
pub use explain::{Contender, Decision};
pub use game::GamePacketType;
#[cfg(feature = "driver")]
pub use inbox::Inbox;
pub use link::{LinkUp, SILENT_PROBES, Silence};
pub use machine::Machine;
pub use metrics::{ClassMetrics, Counters, LastSuccess, Latency, TransportMetrics};
pub use options::{Order, SendOptions};
pub use outbound::TransmitFailure;
pub use outbox::OutboxEntry;
pub use outcome::{Outcome, Progress, RejectReason, SendError, Sought, Ticket, TriedLink};
pub use peer::PeerHandle;
#[cfg(feature = "driver")]
pub use persisting::WeakDriver;
pub use policy::{FailoverPolicy, Tier};
#[cfg(feature = "driver")]
pub use receipt::{Confirmed, CoordinationError, GroupOutcome, GroupReceipt, Receipt};
pub use record::{
    Batch, Held, Kept, OutboxId, Recalled, SourceRecord, StreamId, StreamRecord, Write, is_kept,
    is_recorded,
};
pub use relaying::{ForwardError, is_relayed, relayed_link};
pub use standing::{Control, Session, Standing};
pub use status::{Input, LinkMeasures, LinkStatus, PeerStatus};
pub use store::{StoreState, StoreStatus};
