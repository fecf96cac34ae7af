//! Frames over one QUIC connection, and how a connection becomes a link.
//!
//! What adapters over QUIC have in common, whoever's QUIC it is: an adapter brings [`Connection`]s
//! and the addresses behind them, this crate makes links of them. It opens no socket and
//! knows no address.
//!
//! - Of two connections between the same ends one stays, the same at both ends (`precedence`); what
//!   "the same ends" means is the adapter's [`PathKey`].
//! - Small frames travel as datagrams, packed when several wait; a backlog and large frames travel
//!   by streams (`outbound`).
//! - One task runs a link from its `LinkUp` to its `LinkDown` (`driver`).

mod connection;
mod crypto;
mod driver;
mod exchange;
mod frame;
#[cfg(any(test, feature = "fuzz"))]
#[doc(hidden)]
pub mod fuzz;
pub mod greeting;
mod inbound;
mod link;
mod links;
mod outbound;
mod precedence;
mod queue;
mod tasks;
#[cfg(test)]
mod testing;
mod triage;

pub use connection::{CloseCode, Connection, DatagramError, Lost, StreamError};
pub use crypto::crypto_provider;
pub use driver::MAX_READERS;
pub use exchange::{AnswerError, CallError, Exchange, Shape};
pub use link::{DEFAULT_MAX_FRAME, MAX_FRAME_LIMIT, PathView};
pub use links::{Admission, Dial, MAX_LINKS, MAX_LINKS_PER_PEER, Path, PathKey};
pub use precedence::{Incarnation, Tag};
pub use queue::{MAX_QUEUE_BYTES, MAX_QUEUE_FRAMES};
pub use tasks::Tasks;
pub use triage::{MAX_HANDSHAKES, RETRY_FROM, Triage};
