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
//! - A link is one QUIC connection between two addresses; how a connection becomes a link and
//!   carries frames is `bitcraps-quic-link`.
//! - Discovery gives hints; only a dial makes them facts (`discovery`).

mod accept;
mod beacon;
mod config;
mod connection;
mod dial;
mod direct;
mod discovery;
mod endpoint;
mod hearing;
mod identity;
mod lan;
mod mdns;
mod runtime;
#[cfg(test)]
mod testing;
mod tls;
mod transport;

pub use config::{
    BEACON_GROUP, BEACON_PORT, BeaconConfig, ConfigError, DEFAULT_RATE, DEFAULT_TIMEOUT,
    MAX_DESTINATIONS, MAX_LISTEN, MAX_STATICS, MIN_BEACON_INTERVAL, MdnsConfig, StaticPeer,
    WifiConfig,
};
/// Wi-Fi Direct's side of `doctor`.
#[cfg(target_os = "linux")]
pub use direct::{Capable, SupplicantError, examine};
pub use direct::{
    Command, Company, Device, DirectConfig, DirectConfigError, Fact, Formation, GROUP_PORT, Role,
    Tag,
};
pub use identity::Identity;
pub use transport::WifiTransport;
