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
mod damping;
#[cfg(feature = "driver")]
mod directory;
#[cfg(feature = "driver")]
mod driver;
mod estimator;
mod explain;
mod flight;
mod game;
mod greeting;
mod inbound;
#[cfg(feature = "driver")]
mod inbox;
mod link;
mod machine;
mod message;
mod metrics;
mod options;
mod outbound;
mod outcome;
mod peer;
pub mod policy;
mod preference;
mod reassembly;
#[cfg(feature = "driver")]
mod receipt;
mod roster;
#[cfg(feature = "driver")]
mod sending;
mod settlement;
mod standing;
mod status;
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
pub use link::LinkUp;
pub use machine::Machine;
pub use metrics::{Counters, LastSuccess, Latency, TransportMetrics};
pub use options::{Order, SendOptions};
pub use outbound::TransmitFailure;
pub use outcome::{Outcome, Progress, RejectReason, SendError, Ticket, TriedLink};
pub use peer::PeerHandle;
pub use policy::{FailoverPolicy, Tier};
#[cfg(feature = "driver")]
pub use receipt::{Confirmed, CoordinationError, GroupOutcome, GroupReceipt, Receipt};
pub use standing::{Control, Session, Standing};
pub use status::{Input, LinkStatus, PeerStatus};
