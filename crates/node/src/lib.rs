//! A node that runs: checked configuration, identity and epoch on disk, and the one clock.
//!
//! Decisions are not made here. What a node does is decided by pure crates that take facts and the
//! time; this crate reads the files, the clock and the sockets they need and carries out what they
//! return.

pub mod admin;
mod admission;
#[cfg(all(feature = "bluetooth", target_os = "linux"))]
mod bluetooth;
mod clock;
pub mod config;
mod directory;
pub mod doctor;
mod epoch;
#[cfg(any(test, feature = "fuzz"))]
#[doc(hidden)]
pub mod fuzz;
mod identity;
#[cfg(feature = "internet")]
mod internet;
mod invitation_code;
#[cfg(feature = "wifi")]
mod lan;
mod life;
mod looks;
mod node;
mod peers_file;
mod store;

pub use admission::{DecideError, InviteError, Invited, JoinError, MAX_INVITATION_LIFE};
#[cfg(all(feature = "bluetooth", target_os = "linux"))]
pub use bluetooth::BluetoothError;
pub use clock::BootClock;
pub use config::{Config, ConfigError, Environment};
pub use epoch::{EpochError, EpochFile};
pub use identity::{Identity, IdentityError, KeyProblem};
#[cfg(feature = "internet")]
pub use internet::InternetError;
pub use invitation_code::CodeError;
#[cfg(feature = "wifi")]
pub use lan::LanError;
pub use looks::Table;
pub use node::{Node, NodeBuilder, StartNodeError};
pub use peers_file::PeersFileError;
pub use store::{Chronicle, ChronicleHealth, Damage, Store, StoreError, StoreHealth};

pub use bitcraps_coordinator as coordinator;
pub use bitcraps_engine as engine;
pub use bitcraps_transport_api as transport_api;
#[cfg(feature = "internet")]
pub use bitcraps_transport_inet as transport_inet;
#[cfg(feature = "wifi")]
pub use bitcraps_transport_wifi as transport_wifi;

/// The README's example compiles.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
