//! The internet as a transport: iroh's QUIC between two nodes, directly where their networks let
//! it, through a relay where not.
//!
//! This crate decides nothing about which link carries what, resends nothing and measures nothing.
//! It contacts no server that nobody named: no public relay, no address lookup, no port mapping, no
//! name server but the system's own, and that only for the names of relays. (To learn which interface
//! the default route uses, a library connects a UDP socket to 10.254.254.254; that sends nothing.)
//!
//! - A node is its Ed25519 key, which is iroh's too: a peer's id is its endpoint id. TLS 1.3 shows
//!   it as a raw public key; the key exchange is X25519MLKEM768, or X25519 with those who cannot.
//! - A link is one iroh connection, and the only one to its peer, whatever way it takes: iroh moves
//!   it from the relay to a direct path when one appears, and back. How a connection becomes a link
//!   and carries frames is `bitcraps-quic-link`.
//! - Where a peer is, is one string of addresses and relays ([`PeerAddress`]).
//! - With the feature `relay`, a relay server in this process (`RelayServer`).

mod accept;
mod address;
mod certificate;
mod config;
mod connection;
mod dial;
mod endpoint;
#[cfg(any(test, feature = "fuzz"))]
#[doc(hidden)]
pub mod fuzz;
mod identity;
mod internet;
#[cfg(feature = "relay")]
mod relay;
mod transport;

pub use address::{
    AddressError, MAX_ADDRESS_BYTES, MAX_DIRECT, MAX_PEER_RELAYS, MAX_RELAY_BYTES, PeerAddress,
    Relay, RelayError,
};
pub use certificate::{PemError, certificates};
pub use config::{
    ConfigError, DEFAULT_RATE, DEFAULT_TIMEOUT, InetConfig, MAX_LISTEN, MAX_PUBLIC,
    MAX_RELAY_ROOTS, MAX_RELAYS, MAX_STATICS, StaticPeer,
};
pub use identity::Identity;
#[cfg(feature = "relay")]
pub use relay::{
    DEFAULT_CLIENT_RATE, DEFAULT_MAX_CLIENTS, RelayServer, RelayServerConfig, RelayServerError,
    RelayTls,
};
pub use transport::InetTransport;
