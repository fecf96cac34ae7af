use std::net::SocketAddr;
use std::time::Duration;

use bitcraps_quic_link::{DEFAULT_MAX_FRAME, MAX_FRAME_LIMIT};
use bitcraps_types::{Kbps, LinkCapabilities, PeerId, Ratio};
use rustls::pki_types::CertificateDer;

use crate::address::{PeerAddress, Relay, is_dialable};

/// Most addresses a node listens on: a few interfaces in both families.
pub const MAX_LISTEN: usize = 8;

/// Most addresses in [`InetConfig::public`]: a router or two, in both families.
pub const MAX_PUBLIC: usize = 4;

/// Most relays of a node. It stays connected to the nearest one and measures the others.
pub const MAX_RELAYS: usize = 8;

/// Most certificates in [`InetConfig::relay_roots`]: one for each relay and some that are to follow.
pub const MAX_RELAY_ROOTS: usize = 32;

/// Most static peers, so that the hints told at start stay a short list.
pub const MAX_STATICS: usize = 1_024;

/// Default of [`InetConfig::nominal_rate`]: 10 Mbit/s, an ordinary way up from a home.
pub const DEFAULT_RATE: Kbps = Kbps::at_least_one(10_000);

/// Default of [`InetConfig::connection_timeout`]: a relay is reached by TCP and TLS first.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// Where the internet transport listens, which relays it uses and whom it knows.
///
/// It contacts nobody but these relays, the peers it is told to dial with the relays named in their
/// addresses, and the system's own name servers for the names of relays.
#[derive(Debug, Clone, PartialEq)]
pub struct InetConfig {
    /// Local UDP addresses; port 0 lets the system choose. At least one, at most [`MAX_LISTEN`],
    /// all different, none multicast. An unspecified address (`0.0.0.0`, `[::]`) stands for every
    /// interface of its family, and then is the only one of it.
    pub listen: Vec<SocketAddr>,
    /// Addresses at which others reach this node although none of its interfaces has them, at most
    /// [`MAX_PUBLIC`], all different, each such that it can be dialled: of a router that forwards a
    /// port to it. Only because the node itself offers them does a link that began at a relay move
    /// to one of them, and come back to it.
    pub public: Vec<SocketAddr>,
    /// Relays through which this node can be reached, at most [`MAX_RELAYS`], all different.
    pub relays: Vec<Relay>,
    /// Certificates that vouch for relays beside those of the public authorities, at most
    /// [`MAX_RELAY_ROOTS`]: of an authority of one's own, or of the relay itself.
    pub relay_roots: Vec<CertificateDer<'static>>,
    /// Peers told as hints at start, at most [`MAX_STATICS`].
    pub statics: Vec<StaticPeer>,
    /// Largest frame of a link in bytes, [`LinkCapabilities::MIN_FRAME`] to [`MAX_FRAME_LIMIT`].
    /// Must be equal at both ends: a longer frame than this end's closes the link.
    pub max_frame: usize,
    /// Rate to reckon with before anything was measured.
    pub nominal_rate: Kbps,
    /// Delivery probability to assume before anything was measured.
    pub prior_reliability: Ratio,
    /// How long a dial may take, handshake included, and how long an unknown caller may take to
    /// prove who it is. Above zero.
    pub connection_timeout: Duration,
}

impl InetConfig {
    /// Listens on `listen`, with every default and without any relay.
    pub fn new(listen: Vec<SocketAddr>) -> Self {
        Self {
            listen,
            public: Vec::new(),
            relays: Vec::new(),
            relay_roots: Vec::new(),
            statics: Vec::new(),
            max_frame: DEFAULT_MAX_FRAME,
            nominal_rate: DEFAULT_RATE,
            prior_reliability: Ratio::clamped(0.9),
            connection_timeout: DEFAULT_TIMEOUT,
        }
    }

    /// Checks every relation stated at the fields. O(n²) in the number of addresses and relays.
    ///
    /// # Errors
    /// [`ConfigError`] with the first value that is wrong.
    pub fn check(&self) -> Result<(), ConfigError> {
        count("listen", self.listen.len(), 1, MAX_LISTEN)?;
        count("public", self.public.len(), 0, MAX_PUBLIC)?;
        count("relays", self.relays.len(), 0, MAX_RELAYS)?;
        count("relay_roots", self.relay_roots.len(), 0, MAX_RELAY_ROOTS)?;
        count("statics", self.statics.len(), 0, MAX_STATICS)?;
        for (at, &address) in self.listen.iter().enumerate() {
            if address.ip().is_multicast() {
                return Err(ConfigError::Listen(address));
            }
            let others = || self.listen[..at].iter().filter(|o| o.is_ipv4() == address.is_ipv4());
            if others().any(|o| o.ip().is_unspecified() || address.ip().is_unspecified()) {
                return Err(ConfigError::EveryInterface(address));
            }
            if address.port() != 0 && others().any(|o| *o == address) {
                return Err(ConfigError::Twice(address.to_string()));
            }
        }
        for (at, &address) in self.public.iter().enumerate() {
            if !is_dialable(address) {
                return Err(ConfigError::Public(address));
            }
            if self.public[..at].contains(&address) {
                return Err(ConfigError::Twice(address.to_string()));
            }
        }
        for (at, relay) in self.relays.iter().enumerate() {
            if self.relays[..at].contains(relay) {
                return Err(ConfigError::Twice(relay.to_string()));
            }
        }
        if !(LinkCapabilities::MIN_FRAME..=MAX_FRAME_LIMIT).contains(&self.max_frame) {
            return Err(ConfigError::MaxFrame(self.max_frame));
        }
        if self.connection_timeout.is_zero() {
            return Err(ConfigError::Timeout);
        }
        Ok(())
    }
}

fn count(what: &'static str, got: usize, min: usize, max: usize) -> Result<(), ConfigError> {
    if (min..=max).contains(&got) {
        Ok(())
    } else {
        Err(ConfigError::Count { what, got, min, max })
    }
}

/// A peer of whom it is known beforehand where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaticPeer {
    /// Who.
    pub peer: PeerId,
    /// Where.
    pub address: PeerAddress,
}

/// Why an [`InetConfig`] was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A list is too short or too long.
    #[error("{what}: {got} entries, there may be {min} to {max}")]
    Count {
        /// The list.
        what: &'static str,
        /// Its length.
        got: usize,
        /// Least length.
        min: usize,
        /// Greatest length.
        max: usize,
    },
    /// Not an address to listen on.
    #[error("listen: {0} is not the address of an interface")]
    Listen(SocketAddr),
    /// Not an address that anybody could dial.
    #[error("public: {0} cannot be dialled: its port is 0, or its address that of no host")]
    Public(SocketAddr),
    /// An address beside one that stands for all of its family.
    #[error(
        "listen: {0} beside another address of its family, where one of both means every interface"
    )]
    EveryInterface(SocketAddr),
    /// An entry that is there twice.
    #[error("{0} is there twice")]
    Twice(String),
    /// A frame size that no link can have.
    #[error(
        "max_frame: {0} bytes, it lies between {min} and {MAX_FRAME_LIMIT}",
        min = LinkCapabilities::MIN_FRAME
    )]
    MaxFrame(usize),
    /// No dial could succeed.
    #[error("connection_timeout: must be above zero")]
    Timeout,
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLIC: [&str; MAX_PUBLIC + 1] =
        ["192.0.2.1:9", "192.0.2.1:8", "192.0.2.2:9", "[2001:db8::1]:9", "[2001:db8::2]:9"];

    fn listen(addresses: &[&str]) -> Vec<SocketAddr> {
        addresses.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn checked(change: impl FnOnce(&mut InetConfig)) -> Result<(), ConfigError> {
        let mut config = InetConfig::new(listen(&["127.0.0.1:0"]));
        change(&mut config);
        config.check()
    }

    #[test]
    fn every_relation_is_checked_on_both_sides() {
        let address = |text: &str| text.parse::<SocketAddr>().unwrap();
        let relays = |n: usize| (0..n).map(|n| format!("http://r{n}").parse().unwrap()).collect();
        let roots = |n: usize| vec![CertificateDer::from_slice(&[]); n];
        type Change = Box<dyn FnOnce(&mut InetConfig)>;
        let good: Vec<Change> = vec![
            Box::new(|_| {}),
            Box::new(|c| c.listen = listen(&["127.0.0.1:0"; MAX_LISTEN])),
            Box::new(|c| c.listen = listen(&["0.0.0.0:0", "[::]:0"])),
            Box::new(|c| c.listen = listen(&["0.0.0.0:0", "[::1]:0", "[2001:db8::1]:0"])),
            Box::new(|c| c.public = listen(&PUBLIC[..MAX_PUBLIC])),
            Box::new(move |c| c.relays = relays(MAX_RELAYS)),
            Box::new(move |c| c.relay_roots = roots(MAX_RELAY_ROOTS)),
            Box::new(|c| c.max_frame = LinkCapabilities::MIN_FRAME),
            Box::new(|c| c.max_frame = MAX_FRAME_LIMIT),
            Box::new(|c| c.connection_timeout = Duration::from_nanos(1)),
        ];
        for (row, change) in good.into_iter().enumerate() {
            assert_eq!(checked(change), Ok(()), "row {row}");
        }
        let count = |what, got, min, max| ConfigError::Count { what, got, min, max };
        let bad: Vec<(Change, ConfigError)> = vec![
            (Box::new(|c| c.listen.clear()), count("listen", 0, 1, MAX_LISTEN)),
            (
                Box::new(|c| c.listen = listen(&["127.0.0.1:0"; MAX_LISTEN + 1])),
                count("listen", MAX_LISTEN + 1, 1, MAX_LISTEN),
            ),
            (
                Box::new(|c| c.public = listen(&PUBLIC)),
                count("public", MAX_PUBLIC + 1, 0, MAX_PUBLIC),
            ),
            (
                Box::new(|c| c.public = listen(&["192.0.2.1:0"])),
                ConfigError::Public(address("192.0.2.1:0")),
            ),
            (Box::new(|c| c.public = listen(&["[::]:9"])), ConfigError::Public(address("[::]:9"))),
            (
                Box::new(|c| c.public = listen(&["192.0.2.1:9", "192.0.2.1:9"])),
                ConfigError::Twice("192.0.2.1:9".to_owned()),
            ),
            (
                Box::new(move |c| c.relays = relays(MAX_RELAYS + 1)),
                count("relays", MAX_RELAYS + 1, 0, MAX_RELAYS),
            ),
            (
                Box::new(move |c| c.relay_roots = roots(MAX_RELAY_ROOTS + 1)),
                count("relay_roots", MAX_RELAY_ROOTS + 1, 0, MAX_RELAY_ROOTS),
            ),
            (
                Box::new(|c| {
                    c.relays = vec!["http://a".parse().unwrap(), "http://a/".parse().unwrap()]
                }),
                ConfigError::Twice("http://a".to_owned()),
            ),
            (
                Box::new(|c| c.listen = listen(&["224.0.0.1:9"])),
                ConfigError::Listen(address("224.0.0.1:9")),
            ),
            (
                Box::new(|c| c.listen = listen(&["127.0.0.1:9", "127.0.0.1:9"])),
                ConfigError::Twice("127.0.0.1:9".to_owned()),
            ),
            (
                Box::new(|c| c.listen = listen(&["0.0.0.0:1", "127.0.0.1:9"])),
                ConfigError::EveryInterface(address("127.0.0.1:9")),
            ),
            (
                Box::new(|c| c.listen = listen(&["[::1]:1", "[::]:9"])),
                ConfigError::EveryInterface(address("[::]:9")),
            ),
            (Box::new(|c| c.max_frame = 255), ConfigError::MaxFrame(255)),
            (
                Box::new(|c| c.max_frame = MAX_FRAME_LIMIT + 1),
                ConfigError::MaxFrame(MAX_FRAME_LIMIT + 1),
            ),
            (Box::new(|c| c.connection_timeout = Duration::ZERO), ConfigError::Timeout),
        ];
        for (change, error) in bad {
            assert_eq!(checked(change), Err(error));
        }
    }
}
