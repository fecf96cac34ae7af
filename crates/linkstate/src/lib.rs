//! The link-state database: each node publishes signed records of its own links, and every node
//! learns those of all others, so that each of them sees the whole network.
//!
//! This crate contains no I/O, no clock, no randomness and no graph algorithm beyond the ways of its
//! own records; what it knows of links is told as [`Change`]s. It carries nothing but its own
//! records.
//!
//! - **A link counts when both ends say so**; what counts is the worse of what they say. Only an end
//!   can say anything, because a record is signed and tells of its origin's links only. What this
//!   node measures itself outranks both.
//! - **Ways of a record.** A change goes along the tree of shortest paths from its origin, which
//!   every node computes from its own database; that is one transmission a node. Links here lead to
//!   one neighbour each, so that multipoint relays, which spare transmissions where one is heard by
//!   all, would spare none. A neighbour that no shortest path leads to otherwise is always sent it.
//!   One more of its neighbours tells each node, a little later and in a few bytes, that it is here, and a node that lacks it asks.
//! - **Equality.** A hash of the database goes with each probe. When two differ, ranges of aliases are
//!   compared, by fingerprints where there is much and by listing versions where there is little
//!   (range-based set reconciliation, A. Meyer 2022). The reconciliation crate of the Nostr project
//!   was not used: its frames have 4,096 bytes at least, where Bluetooth frames have 244, and its
//!   ids do not tell which of two versions is newer, so that the older is transferred as well.
//! - **Bounds.** Each neighbour has a byte budget, each origin a rate, the table a size. On a narrow
//!   link changes of quality that are far away wait, for longer the farther they are.

mod agenda;
mod bucket;
mod change;
mod config;
mod database;
mod error;
#[cfg(feature = "net")]
pub mod forger;
mod graph;
mod identity;
mod metrics;
mod neighbour;
#[cfg(feature = "net")]
pub mod net;
mod own;
mod reconcile;
mod roots;
mod shown;
mod sorted;
mod table;

pub use change::{Change, Command, Flag, Link};
pub use config::{Config, LinkFacts};
pub use database::{LinkDatabase, MAX_OFFERS, MAX_ORIGINS};
pub use error::BodyError;
pub use identity::{Privacy, Verified, alias_of, peer_of};
pub use metrics::Metrics;
pub use neighbour::MIN_ROOM;
