use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use bitcraps_types::{PeerId, Ratio, TransportType};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::limits::MAX_ADAPTER_NAME;
use super::raw::RawWifiDirectLinks;

/// Order in which links are tried for a packet that asks for none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Policy {
    /// The link that is expected to deliver first.
    FastestFirst,
    /// The link most likely to deliver.
    MostReliable,
    /// The link that costs the least energy.
    EnergyEfficient,
    /// Each link as much as it can carry.
    LoadBalanced,
}

/// When links are made that the network needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Healing {
    /// Before it splits.
    Forecast,
    /// After it has split.
    Reactive,
}

/// `[healing]`: which links are made so that the network withstands what is likely to happen to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HealingSettings {
    /// Whether this node makes links by itself, or when it is told to.
    pub enabled: bool,
    /// When links are made.
    pub mode: Healing,
    /// Whether every peer that is found is linked with, needed or not.
    pub link_discovered: bool,
    /// Neighbours over Bluetooth above which healing gives a node no more, 1 to 64.
    pub bluetooth_neighbours: u32,
}

/// `[coordination.transport]`: how links are chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TransportSettings {
    /// Order of links for packets that ask for none.
    pub default_policy: Policy,
    /// Whether the energy a packet costs is weighed at all. It also decides, when the node starts, how often
    /// Bluetooth looks for others while nothing is new: every 10 s without it, every 60 s with it, and every
    /// 300 s with it and the policy `EnergyEfficient`.
    pub energy_aware_mode: bool,
    /// Whether a packet may move to another link when its link fails.
    pub auto_failover_enabled: bool,
    /// Bounds of each transport, in the order of [`TransportType::ALL`].
    pub limits: [TransportLimits; TransportType::COUNT],
}

impl TransportSettings {
    /// The bounds of one transport.
    pub const fn limits(&self, transport: TransportType) -> &TransportLimits {
        &self.limits[transport.index()]
    }
}

/// Bounds of one transport.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TransportLimits {
    /// Largest frame, its header included, 256 bytes to 16 MiB.
    pub max_packet_size: usize,
    /// When an attempt to connect is given up, 1 s to 10 min.
    pub connection_timeout: Duration,
    /// A link that may deliver a smaller share ranks behind all that deliver more.
    pub reliability_threshold: Ratio,
}

/// `[node]`: the node itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeSettings {
    /// Where the key, the epoch, decisions about peers and the admin socket live; absolute.
    pub data_dir: PathBuf,
    /// What people see beside the peer id, 1 to 64 bytes without control characters.
    pub name: Option<String>,
    /// What other nodes are told of this one's links.
    pub privacy: Privacy,
}

/// What other nodes are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Privacy {
    /// This node's links, under its own key.
    #[default]
    Neighbours,
    /// Its links, under a key that is new in each epoch; neighbours know whose it is.
    Pseudonym,
    /// Nothing.
    Nothing,
}

impl NodeSettings {
    /// The key file in the data directory.
    pub fn key_file(&self) -> PathBuf {
        self.data_dir.join("key")
    }

    /// The decisions about peers in the data directory.
    pub fn peers_file(&self) -> PathBuf {
        self.data_dir.join("peers.toml")
    }

    /// The epoch file in the data directory.
    pub fn epoch_file(&self) -> PathBuf {
        self.data_dir.join("epoch")
    }
}

/// `[lan]`: links over the local network.
#[derive(Debug, Clone, PartialEq)]
pub struct LanSettings {
    /// Whether there are any.
    pub enabled: bool,
    /// Where links run, at most 16. Nothing is sent over any other interface. Empty means that nobody
    /// has chosen: a node then says which it would use and does not start.
    pub interfaces: Vec<Interface>,
    /// UDP port of the links; 0 takes any free one.
    pub port: u16,
    /// UDP port of the beacon, never 0 and never [`Self::port`].
    pub discovery_port: u16,
    /// Look for peers, and be found, by multicast DNS.
    pub mdns: bool,
    /// Look for peers, and be found, by the signed beacon.
    pub beacon: bool,
    /// Share of frames a link is reckoned to deliver before anything was measured.
    pub prior: Ratio,
}

/// `[bluetooth]`: links over Bluetooth LE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BluetoothSettings {
    /// Whether there are any. Off unless chosen: who switches it on tells everybody in reach that
    /// this node is there.
    pub enabled: bool,
    /// The adapter as BlueZ calls it; the first one when absent.
    pub adapter: Option<String>,
    /// The controller that this node drives itself, without BlueZ.
    pub hci: Option<String>,
}

impl BluetoothSettings {
    /// `None` when `adapter` is no adapter's name; empty stands for the first one. BlueZ's, unless `hci` says
    /// where a controller is.
    pub(super) fn new(enabled: bool, adapter: &str, hci: &str) -> Option<Self> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
        let named = adapter.len() <= MAX_ADAPTER_NAME && adapter.bytes().all(plain);
        let adapter = (!adapter.is_empty()).then(|| adapter.to_owned());
        let hci = (!hci.is_empty()).then(|| hci.to_owned());
        named.then_some(Self { enabled, adapter, hci })
    }
}

/// `[wifi_direct]`: links in groups of Wi-Fi Direct. What a value may be is said by the transport.
#[derive(Clone, PartialEq, Eq)]
pub struct WifiDirectSettings {
    /// Whether there are any. Off unless chosen: who switches it on tells everybody in reach that
    /// this node is there.
    pub enabled: bool,
    /// The interface as wpa_supplicant calls it; the first one that can form groups when absent.
    pub interface: Option<String>,
    /// The bus that wpa_supplicant is on; the system's when absent.
    pub bus: Option<String>,
    /// With what groups are formed; the push button, pushed by the node, when absent.
    pub pin: Option<String>,
}

impl From<&RawWifiDirectLinks> for WifiDirectSettings {
    fn from(raw: &RawWifiDirectLinks) -> Self {
        let chosen = |text: &String| (!text.is_empty()).then(|| text.clone());
        let (interface, bus, pin) = (chosen(&raw.interface), chosen(&raw.bus), chosen(&raw.pin));
        Self { enabled: raw.enabled, interface, bus, pin }
    }
}

impl fmt::Debug for WifiDirectSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { enabled, interface, bus, pin: _ } = self;
        let mut out = f.debug_struct("WifiDirectSettings");
        out.field("enabled", enabled).field("interface", interface).field("bus", bus);
        out.finish_non_exhaustive()
    }
}

/// `[internet]`: links over the internet, direct or through a relay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InternetSettings {
    /// Whether there are any.
    pub enabled: bool,
    /// UDP addresses of the links, at most 8; `0.0.0.0` and `[::]` stand for every interface. Empty
    /// means that nobody has chosen: there are no internet links then.
    pub listen: Vec<SocketAddr>,
    /// Addresses at which others reach this node although none of its interfaces has them, at most 4:
    /// of a router that forwards a port to it. None unspecified or multicast, no port 0.
    pub public: Vec<SocketAddr>,
    /// URLs of the relays through which this node can be reached, at most 8. No other server is
    /// ever contacted.
    pub relays: Vec<String>,
    /// PEM file with certificates that vouch for relays beside those of the public authorities: of an
    /// authority of one's own, or of the relay itself.
    pub relay_roots: Option<PathBuf>,
}

impl InternetSettings {
    /// Whether a node with these settings has internet links.
    pub fn is_on(&self) -> bool {
        self.enabled && !self.listen.is_empty()
    }
}

/// How an interface is chosen.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Interface {
    /// Every address of the interface with this name.
    Name(String),
    /// The interface that has this address, and only this address of it.
    Address(IpAddr),
}

impl fmt::Display for Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.pad(name),
            Self::Address(address) => address.fmt(f),
        }
    }
}

/// `[[peers]]`: a peer at known addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaticPeer {
    /// Who it is; a peer with another key at these addresses is refused.
    pub id: PeerId,
    /// Where it listens on the local network: up to 16 addresses, none unspecified, no port 0.
    pub addresses: Vec<SocketAddr>,
    /// Where it is on the internet: up to 20 of `ip:port` and URLs of relays. One of both lists has
    /// an entry.
    pub internet: Vec<String>,
}

/// `[admission]`: who may exchange messages with this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdmissionSettings {
    /// Who is admitted without being named.
    pub mode: Mode,
    /// Admitted in every mode, beside the static peers; at most 4,096.
    pub allow: BTreeSet<PeerId>,
    /// Refused, whatever else admits them; at most 4,096.
    pub block: BTreeSet<PeerId>,
    /// Peers known at once, 64 to 1,048,576: about 3 KiB of memory each, and what is exchanged with
    /// them.
    pub max_peers: usize,
    /// Links of strangers at once, 1 to 512. Below 60, one who is about to prove an invitation may
    /// be displaced by a crowd of others.
    pub stranger_links: usize,
    /// What all strangers together may send, 1,024 to 2^30 bytes a second.
    pub stranger_bytes_per_second: u32,
}

/// Who is admitted without being named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Whoever links.
    Open,
    /// Nobody.
    AllowList,
    /// Nobody but those who prove an invitation.
    Invitation,
}

/// `[store]`: what is kept over restarts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreSettings {
    /// Whether anything is.
    pub enabled: bool,
    /// Its file, absolute.
    pub path: PathBuf,
    /// Most bytes of messages in it at once, 32 MiB to 4 GiB.
    pub max_bytes: usize,
}

/// `[history]`: what the network was, over restarts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistorySettings {
    /// Whether it is kept.
    pub enabled: bool,
    /// Its file, absolute.
    pub path: PathBuf,
}

/// `[admin]`: the socket the command line talks to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminSettings {
    /// Its path, absolute, at most 107 bytes.
    pub socket: PathBuf,
}

/// `[dashboard]`: where the node shows itself over HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DashboardSettings {
    /// Its TCP address, one of loopback; port 0 takes any free one. `None`: it does not.
    pub listen: Option<SocketAddr>,
}

/// `[log]`: what is logged and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    /// A level, or target=level pairs, as in `RUST_LOG`; 1 to 1024 bytes. Whether the pairs make sense
    /// is for the subscriber to say.
    pub filter: String,
    /// How an event is written.
    pub format: LogFormat,
}

/// How an event is written to the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One line for people.
    Text,
    /// One JSON object.
    Json,
}

impl From<Privacy> for bitcraps_linkstate::Privacy {
    fn from(privacy: Privacy) -> Self {
        match privacy {
            Privacy::Neighbours => Self::Neighbours,
            Privacy::Pseudonym => Self::Pseudonym,
            Privacy::Nothing => Self::Nothing,
        }
    }
}
