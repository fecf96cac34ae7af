use std::fmt;

/// The closed interval a number must lie in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Limits<T> {
    pub(super) min: T,
    pub(super) max: T,
}

impl<T: PartialOrd> Limits<T> {
    /// Whether `value` lies within; NaN does not.
    pub(super) fn hold(&self, value: &T) -> bool {
        (&self.min..=&self.max).contains(&value)
    }
}

impl<T: fmt::Display> fmt::Display for Limits<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", self.min, self.max)
    }
}

const fn limits<T: Copy>(min: T, max: T) -> Limits<T> {
    Limits { min, max }
}

/// A probability, share or coefficient.
pub(super) const RATIO: Limits<f64> = limits(0.0, 1.0);
/// Of one radio. None holds more.
pub(super) const BLUETOOTH_NEIGHBOURS: Limits<i64> = limits(1, 64);
/// In seconds. Above an hour nobody would call it monitoring.
pub(super) const HEALTH_CHECK_INTERVAL: Limits<i64> = limits(1, 3600);
/// In standard deviations. Below one, ordinary values are anomalies.
pub(super) const ANOMALY_MULTIPLIER: Limits<f64> = limits(1.0, 100.0);
/// In hops.
pub(super) const MAX_DIAMETER: Limits<i64> = limits(1, 1000);
/// In hops; a network whose diameter is 0 has one peer.
pub(super) const MAX_DIAMETER_CLEAR: Limits<i64> = limits(0, 1000);
/// One look that comes a little late is not absent.
pub(super) const ABSENT_INTERVALS: Limits<i64> = limits(2, 1000);
/// In seconds. What takes longer than a day to be told need not be told.
pub(super) const ALERT_SECONDS: Limits<i64> = limits(0, 86_400);
/// In seconds. Nobody waits longer than an hour for a table to go on.
pub(super) const CALM_SECONDS: Limits<i64> = limits(0, 3_600);
/// In bytes: from the least frame a link may have to what one message may be in memory.
pub(super) const MAX_PACKET_SIZE: Limits<i64> = limits(256, 16 << 20);
/// In seconds.
pub(super) const CONNECTION_TIMEOUT: Limits<i64> = limits(1, 600);
/// 0 takes any free port.
pub(super) const PORT: Limits<i64> = limits(0, 65535);
/// Every node listens at the same one, so it cannot be any.
pub(super) const DISCOVERY_PORT: Limits<i64> = limits(1, 65535);

/// Peers in memory: from a table of players to a city.
pub(super) const KNOWN_PEERS: Limits<i64> = limits(64, 1 << 20);
/// Links of strangers at once: from one, to all that a LAN holds.
pub(super) const STRANGER_LINKS: Limits<i64> = limits(1, 512);
/// In bytes a second: from a greeting now and then, to what a fast network carries.
pub(super) const STRANGER_BYTES: Limits<i64> = limits(1_024, 1 << 30);
/// In bytes: from a few messages of the largest size to what is read whole into memory at a start.
pub(super) const STORE_BYTES: Limits<i64> = limits(32 << 20, 4 << 30);

/// One endpoint and one socket each; machines with more interfaces than this are routers.
pub(super) const MAX_INTERFACES: usize = 16;
/// Longest name of an interface in bytes (`IFNAMSIZ` without its end).
pub(super) const MAX_INTERFACE_NAME: usize = 15;
/// Longest address of a bus in bytes: a socket's path has 107 at most.
pub(super) const MAX_BUS_ADDRESS: usize = 255;
/// Longest name of a Bluetooth adapter in bytes; the kernel calls them hci and a number.
pub(super) const MAX_ADAPTER_NAME: usize = 15;
/// Each is dialled again and again for the life of the node.
pub(super) const MAX_PEERS: usize = 1024;
/// Peers in the allow list, and in the block list: more than a person writes down.
pub(super) const MAX_LISTED: usize = 4_096;
/// More addresses than a machine has interfaces are a mistake.
pub(super) const MAX_ADDRESSES: usize = 16;
/// A few interfaces in both families; more is a mistake.
pub(super) const MAX_INTERNET_LISTEN: usize = 8;

/// Most addresses in `internet.public`: a router or two, in both families.
pub(super) const MAX_PUBLIC: usize = 4;
/// A node stays connected to one of them and measures the others.
pub(super) const MAX_RELAYS: usize = 8;
/// As many as one address of the internet transport holds.
pub(super) const MAX_INTERNET_ADDRESSES: usize = 20;
/// In bytes; it is shown in tables and sent in beacons.
pub(super) const MAX_NAME: usize = 64;
/// In bytes (`sun_path` without its end).
pub(super) const MAX_SOCKET_PATH: usize = 107;
/// In bytes; far above any list of targets a person writes.
pub(super) const MAX_LOG_FILTER: usize = 1024;
/// In bytes; room for [`MAX_PEERS`] peers with all their addresses.
pub(super) const MAX_FILE: u64 = 2 << 20;
