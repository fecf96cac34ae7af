use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use bitcraps_quic_link::{DEFAULT_MAX_FRAME, MAX_FRAME_LIMIT};
use bitcraps_types::{Kbps, LinkCapabilities, PeerId, Ratio};

use crate::direct::{DirectConfig, DirectConfigError};

/// Most addresses a node listens on: as many as one beacon carries.
pub const MAX_LISTEN: usize = bitcraps_wire::MAX_BEACON_ADDRESSES;

/// Most static peers, so that the hints told at start stay a short list.
pub const MAX_STATICS: usize = 1_024;

/// Most extra beacon destinations: each costs a datagram an interval.
pub const MAX_DESTINATIONS: usize = 16;

/// Default of [`WifiConfig::nominal_rate`]: 50 Mbit/s, an ordinary Wi-Fi.
pub const DEFAULT_RATE: Kbps = Kbps::at_least_one(50_000);

/// Default of [`WifiConfig::connection_timeout`].
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

/// UDP port on which beacons are heard unless configured otherwise.
pub const BEACON_PORT: u16 = 45_676;

/// Multicast group of the beacon on a LAN, of the administratively scoped block (RFC 2365).
pub const BEACON_GROUP: Ipv4Addr = Ipv4Addr::new(239, 255, 98, 99);

/// Where the LAN transport listens, whom it knows and how it discovers.
#[derive(Debug, Clone, PartialEq)]
pub struct WifiConfig {
    /// Local addresses, one QUIC endpoint each; port 0 lets the system choose. At least one, unless
    /// there is Wi-Fi Direct, at most [`MAX_LISTEN`], all different, none unspecified or multicast.
    /// When all are loopback, and there is no Wi-Fi Direct, nothing this transport does leaves the
    /// machine.
    pub listen: Vec<SocketAddr>,
    /// Peers told as hints at start, at most [`MAX_STATICS`].
    pub statics: Vec<StaticPeer>,
    /// The signed UDP beacon; off when absent. Needs an IPv4 address to listen on.
    pub beacon: Option<BeaconConfig>,
    /// Multicast DNS; off when absent.
    pub mdns: Option<MdnsConfig>,
    /// Wi-Fi Direct, on Linux; off when absent.
    pub direct: Option<DirectConfig>,
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
    /// Seeds the jitter of the beacon's interval, together with the node's own key.
    pub jitter_seed: u64,
}

impl WifiConfig {
    /// Listens on `listen`, with every default and without any discovery.
    pub fn new(listen: Vec<SocketAddr>) -> Self {
        Self {
            listen,
            statics: Vec::new(),
            beacon: None,
            mdns: None,
            direct: None,
            max_frame: DEFAULT_MAX_FRAME,
            nominal_rate: DEFAULT_RATE,
            prior_reliability: Ratio::clamped(0.9),
            connection_timeout: DEFAULT_TIMEOUT,
            jitter_seed: 0,
        }
    }

    /// Checks every relation stated at the fields. O(n log n) in the number of addresses.
    ///
    /// # Errors
    /// [`ConfigError`] with the first value that is wrong.
    pub fn check(&self) -> Result<(), ConfigError> {
        let least = usize::from(self.direct.is_none());
        count("listen", self.listen.len(), least, MAX_LISTEN)?;
        count("statics", self.statics.len(), 0, MAX_STATICS)?;
        for (at, &address) in self.listen.iter().enumerate() {
            let ip = address.ip();
            if ip.is_unspecified() || ip.is_multicast() || is_broadcast(ip) {
                return Err(ConfigError::Listen(address));
            }
            if address.port() != 0 && self.listen[..at].contains(&address) {
                return Err(ConfigError::Twice(address));
            }
        }
        if !(LinkCapabilities::MIN_FRAME..=MAX_FRAME_LIMIT).contains(&self.max_frame) {
            return Err(ConfigError::MaxFrame(self.max_frame));
        }
        if self.connection_timeout.is_zero() {
            return Err(ConfigError::Timeout);
        }
        if let Some(beacon) = &self.beacon {
            self.check_beacon(beacon)?;
        }
        match &self.direct {
            Some(direct) => Ok(direct.check()?),
            None => Ok(()),
        }
    }

    fn check_beacon(&self, beacon: &BeaconConfig) -> Result<(), ConfigError> {
        count("beacon destinations", beacon.destinations.len(), 0, MAX_DESTINATIONS)?;
        if !self.listen.iter().any(SocketAddr::is_ipv4) {
            return Err(ConfigError::BeaconWithoutIpv4);
        }
        if beacon.port == 0 {
            return Err(ConfigError::BeaconPort);
        }
        if beacon.interval < MIN_BEACON_INTERVAL {
            return Err(ConfigError::BeaconInterval(beacon.interval));
        }
        let may_go_to = |to: &SocketAddr| {
            let listens =
                |l: &SocketAddr| l.is_ipv4() && l.ip().is_loopback() == to.ip().is_loopback();
            to.is_ipv4() && to.port() != 0 && self.listen.iter().any(listens)
        };
        match beacon.destinations.iter().find(|to| !may_go_to(to)) {
            Some(&to) => Err(ConfigError::BeaconDestination(to)),
            None => Ok(()),
        }
    }
}

/// Least [`BeaconConfig::interval`]: a beacon is for being found, not for measuring.
pub const MIN_BEACON_INTERVAL: Duration = Duration::from_millis(50);

fn is_broadcast(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_broadcast() || ip == Ipv4Addr::new(127, 255, 255, 255),
        IpAddr::V6(_) => false,
    }
}

fn count(what: &'static str, got: usize, min: usize, max: usize) -> Result<(), ConfigError> {
    if (min..=max).contains(&got) {
        Ok(())
    } else {
        Err(ConfigError::Count { what, got, min, max })
    }
}

/// A peer whose address is known beforehand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaticPeer {
    /// Who.
    pub peer: PeerId,
    /// Where it listens.
    pub address: SocketAddr,
    /// The local address to dial from; chosen by longest common prefix when absent.
    pub via: Option<SocketAddr>,
}

/// How the node announces itself to its network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BeaconConfig {
    /// UDP port on which beacons are sent and heard, above 0. The same at every node.
    pub port: u16,
    /// Time between beacons, [`MIN_BEACON_INTERVAL`] or more; varied by a tenth either way, so that
    /// nodes started together do not stay in step.
    pub interval: Duration,
    /// Where to send beside the broadcast address (and, off loopback, [`BEACON_GROUP`]) of each
    /// address listened on. IPv4; loopback only when a loopback address is listened on.
    pub destinations: Vec<SocketAddr>,
    /// Number of the first beacon. Must grow from one incarnation of the node to the next, or those
    /// who heard the former one stay deaf for half a minute.
    pub first_sequence: u64,
}

impl Default for BeaconConfig {
    fn default() -> Self {
        Self {
            port: BEACON_PORT,
            interval: Duration::from_secs(1),
            destinations: Vec::new(),
            first_sequence: 0,
        }
    }
}

/// How the node is found by multicast DNS, on the interfaces of the addresses listened on.
///
/// Before it can be told which interfaces those are, the library joins the mDNS groups on every
/// one, which the kernel may announce there (IGMP, MLD). Where not even that may leave loopback,
/// mDNS stays off; the beacon does the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MdnsConfig {
    /// UDP port, 5353 unless an isolated test wants another.
    pub port: u16,
}

impl Default for MdnsConfig {
    fn default() -> Self {
        Self { port: 5353 }
    }
}

/// Why a [`WifiConfig`] was refused.
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
    /// Not the address of an interface.
    #[error("listen: {0} is not the address of one interface; name one address of each")]
    Listen(SocketAddr),
    /// Two endpoints cannot share an address.
    #[error("listen: {0} is there twice")]
    Twice(SocketAddr),
    /// A frame size that no link can have.
    #[error(
        "max_frame: {0} bytes, it lies between {min} and {MAX_FRAME_LIMIT}",
        min = LinkCapabilities::MIN_FRAME
    )]
    MaxFrame(usize),
    /// No dial could succeed.
    #[error("connection_timeout: must be above zero")]
    Timeout,
    /// Beacons are sent over IPv4.
    #[error("beacon: needs an IPv4 address in listen")]
    BeaconWithoutIpv4,
    /// Nodes must agree on the port.
    #[error("beacon: port must be above 0, the same at every node")]
    BeaconPort,
    /// Beacons in too quick succession.
    #[error("beacon: interval of {0:?} is below {MIN_BEACON_INTERVAL:?}")]
    BeaconInterval(Duration),
    /// Wi-Fi Direct cannot be as it is configured.
    #[error(transparent)]
    Direct(#[from] DirectConfigError),
    /// A destination that no address listened on may send to.
    #[error(
        "beacon: {0} cannot be a destination; IPv4 with a port, loopback only from loopback and the other way round"
    )]
    BeaconDestination(SocketAddr),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn every_relation_is_checked_on_both_sides() {
        type Change = fn(&mut WifiConfig);
        let beacon = |c: &mut WifiConfig, f: fn(&mut BeaconConfig)| {
            let mut b = BeaconConfig::default();
            f(&mut b);
            c.beacon = Some(b);
        };
        let good: &[Change] = &[
            |_| {},
            |c| c.listen = vec![address("127.0.0.1:0"); 8],
            |c| (c.listen, c.direct) = (Vec::new(), Some(DirectConfig::default())),
            |c| c.max_frame = 256,
            |c| c.max_frame = MAX_FRAME_LIMIT,
            |c| c.connection_timeout = Duration::from_nanos(1),
        ];
        for (row, change) in good.iter().enumerate() {
            let mut config = WifiConfig::new(vec![address("127.0.0.1:0")]);
            change(&mut config);
            assert_eq!(config.check(), Ok(()), "row {row}");
        }
        let count = |what, got, min, max| ConfigError::Count { what, got, min, max };
        let bad: &[(Change, ConfigError)] = &[
            (|c| c.listen.clear(), count("listen", 0, 1, 8)),
            (|c| c.listen = vec![address("127.0.0.1:0"); 9], count("listen", 9, 1, 8)),
            (
                |c| c.direct = Some(DirectConfig { port: 0, ..DirectConfig::default() }),
                DirectConfigError::Port.into(),
            ),
            (|c| c.listen = vec![address("0.0.0.0:9")], ConfigError::Listen(address("0.0.0.0:9"))),
            (
                |c| c.listen = vec![address("127.255.255.255:9")],
                ConfigError::Listen(address("127.255.255.255:9")),
            ),
            (
                |c| c.listen = vec![address("127.0.0.1:9"); 2],
                ConfigError::Twice(address("127.0.0.1:9")),
            ),
            (|c| c.max_frame = 255, ConfigError::MaxFrame(255)),
            (|c| c.max_frame = MAX_FRAME_LIMIT + 1, ConfigError::MaxFrame(MAX_FRAME_LIMIT + 1)),
            (|c| c.connection_timeout = Duration::ZERO, ConfigError::Timeout),
        ];
        for (change, error) in bad {
            let mut config = WifiConfig::new(vec![address("127.0.0.1:0")]);
            change(&mut config);
            assert_eq!(config.check().as_ref(), Err(error));
        }

        let mut config = WifiConfig::new(vec![address("127.0.0.1:0")]);
        beacon(&mut config, |b| b.destinations = vec![address("127.0.0.2:9")]);
        assert_eq!(config.check(), Ok(()));
        beacon(&mut config, |b| b.destinations = vec![address("192.0.2.1:9")]);
        let leaves = ConfigError::BeaconDestination(address("192.0.2.1:9"));
        assert_eq!(config.check(), Err(leaves));
        beacon(&mut config, |b| b.port = 0);
        assert_eq!(config.check(), Err(ConfigError::BeaconPort));
        beacon(&mut config, |b| b.interval = MIN_BEACON_INTERVAL);
        assert_eq!(config.check(), Ok(()));
        beacon(&mut config, |b| b.interval = Duration::from_millis(49));
        let hasty = ConfigError::BeaconInterval(Duration::from_millis(49));
        assert_eq!(config.check(), Err(hasty));
        config.listen = vec![address("[::1]:0")];
        assert_eq!(config.check(), Err(ConfigError::BeaconWithoutIpv4));
    }
}
