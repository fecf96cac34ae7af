//! The LAN as a transport: QUIC between the addresses of two nodes, found by a signed beacon, by
//! multicast DNS or by config.
//!
//! This crate decides nothing about which link carries what, resends nothing and measures nothing:
//! it opens authenticated links, moves frames over them and says when they are gone. It holds no
//! state beyond a run, and nothing it does leaves loopback when every address it listens on is
//! loopback.
//!
//! - A node is its Ed25519 key, shown as a raw public key in TLS 1.3 (`tls`); the key exchange is
//!   X25519MLKEM768, or X25519 with those who cannot.
//! - A link is one QUIC connection between two addresses. Of two over the same addresses one stays,
//!   the same at both ends (`precedence`).
//! - Small frames travel as datagrams, packed when several wait; a backlog and large frames travel
//!   by streams (`outbound`).
//! - Discovery gives hints; only a dial makes them facts (`discovery`).

mod accept;
mod beacon;
mod config;
mod dial;
mod discovery;
mod driver;
mod endpoint;
mod frame;
#[cfg(any(test, feature = "fuzz"))]
#[doc(hidden)]
pub mod fuzz;
mod greeting;
mod hearing;
mod identity;
mod inbound;
mod lan;
mod link;
mod links;
mod mdns;
mod outbound;
mod precedence;
mod queue;
mod tasks;
#[cfg(test)]
mod testing;
mod tls;
mod transport;

pub use accept::{MAX_HANDSHAKES, RETRY_FROM};
pub use config::{
    BEACON_GROUP, BEACON_PORT, BeaconConfig, ConfigError, DEFAULT_MAX_FRAME, DEFAULT_RATE,
    DEFAULT_TIMEOUT, MAX_DESTINATIONS, MAX_FRAME_LIMIT, MAX_LISTEN, MAX_STATICS,
    MIN_BEACON_INTERVAL, MdnsConfig, StaticPeer, WifiConfig,
};
pub use identity::Identity;
pub use links::{MAX_LINKS, MAX_LINKS_PER_PEER};
pub use queue::{MAX_QUEUE_BYTES, MAX_QUEUE_FRAMES};
pub use transport::WifiTransport;
