//! The file as it is written: every key with its type and default, nothing checked against anything.

mod monitoring;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::limits::{
    BLUETOOTH_NEIGHBOURS, CONNECTION_TIMEOUT, DISCOVERY_PORT, KNOWN_PEERS, MAX_ADAPTER_NAME,
    MAX_ADDRESSES, MAX_BUS_ADDRESS, MAX_INTERFACE_NAME, MAX_INTERFACES, MAX_INTERNET_ADDRESSES,
    MAX_INTERNET_LISTEN, MAX_LISTED, MAX_PACKET_SIZE, MAX_PEERS, MAX_PUBLIC, MAX_RELAYS, PORT,
    RATIO, STORE_BYTES, STRANGER_BYTES, STRANGER_LINKS,
};
use super::sections::{Healing, LogFormat, Mode, Policy, Privacy};

pub(super) use monitoring::{RawAlerts, RawBetting, RawNetworkMonitor, RawRule};

/// Configuration of a bitcraps node.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
#[schemars(rename = "Config")]
pub(super) struct RawConfig {
    /// How links are chosen and the network is watched.
    pub(super) coordination: RawCoordination,
    /// The node itself.
    pub(super) node: RawNode,
    /// Links over the local network.
    pub(super) lan: RawLan,
    /// Links over Bluetooth LE.
    pub(super) bluetooth: RawBluetoothLinks,
    /// Links in groups of Wi-Fi Direct.
    pub(super) wifi_direct: RawWifiDirectLinks,
    /// Links over the internet, direct or through a relay.
    pub(super) internet: RawInternetLinks,
    /// Peers that are dialled at known addresses, beside those that are found.
    #[schemars(length(max = MAX_PEERS))]
    pub(super) peers: Vec<RawPeer>,
    /// Who may exchange messages with this node.
    pub(super) admission: RawAdmission,
    /// Links that the network needs, before it splits.
    pub(super) healing: RawHealing,
    /// What is kept over restarts.
    pub(super) store: RawStore,
    /// What the network was, over restarts.
    pub(super) history: RawHistory,
    /// The socket the command line talks to.
    pub(super) admin: RawAdmin,
    /// Where the node shows itself over HTTP.
    pub(super) dashboard: RawDashboard,
    /// What is logged and how.
    pub(super) log: RawLog,
}

/// How links are chosen and the network is watched.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub(super) struct RawCoordination {
    /// When the network counts as unhealthy.
    pub(super) network_monitor: RawNetworkMonitor,
    /// When alerts fire, and when they end.
    pub(super) alerts: RawAlerts,
    /// When tables take bets.
    pub(super) betting: RawBetting,
    /// How links are chosen.
    pub(super) transport: RawTransports,
}

/// How links are chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub(super) struct RawTransports {
    /// Order of links for packets that ask for none.
    pub(super) default_policy: Policy,
    /// Whether the energy a packet costs is weighed at all. It also decides, when the node starts, how often
    /// Bluetooth looks for others while nothing is new: every 10 s without it, every 60 s with it, and every
    /// 300 s with it and the policy `EnergyEfficient`.
    pub(super) energy_aware_mode: bool,
    /// Whether a packet may move to another link when its link fails.
    pub(super) auto_failover_enabled: bool,
    /// Bluetooth LE.
    pub(super) bluetooth: RawBluetooth,
    /// Wi-Fi Direct and the local network.
    pub(super) wifi_direct: RawWifiDirect,
    /// Anything beyond the local network.
    pub(super) internet: RawInternet,
}

impl Default for RawTransports {
    fn default() -> Self {
        Self {
            default_policy: Policy::FastestFirst,
            energy_aware_mode: true,
            auto_failover_enabled: true,
            bluetooth: RawBluetooth::default(),
            wifi_direct: RawWifiDirect::default(),
            internet: RawInternet::default(),
        }
    }
}

/// Bounds of one transport, as written.
pub(super) struct RawBounds {
    pub(super) max_packet_size: i64,
    pub(super) connection_timeout_seconds: i64,
    pub(super) reliability_threshold: f64,
}

// One type for each transport, because each has defaults of its own for keys left out.
macro_rules! transport {
    ($name:ident, $max_packet_size:expr, $connection_timeout:expr, $reliability:expr) => {
        /// Bounds of one transport.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields, default, expecting = "a table")]
        pub(super) struct $name {
            /// Largest frame in bytes, its header included; larger messages are sent in fragments.
            #[schemars(range(min = MAX_PACKET_SIZE.min, max = MAX_PACKET_SIZE.max))]
            pub(super) max_packet_size: i64,
            /// When an attempt to connect is given up, in seconds.
            #[schemars(range(min = CONNECTION_TIMEOUT.min, max = CONNECTION_TIMEOUT.max))]
            pub(super) connection_timeout_seconds: i64,
            /// A link that may deliver a smaller share ranks behind all that deliver more.
            #[schemars(range(min = RATIO.min, max = RATIO.max))]
            pub(super) reliability_threshold: f64,
        }

        impl Default for $name {
            fn default() -> Self {
                Self {
                    max_packet_size: $max_packet_size,
                    connection_timeout_seconds: $connection_timeout,
                    reliability_threshold: $reliability,
                }
            }
        }

        impl $name {
            pub(super) fn bounds(&self) -> RawBounds {
                RawBounds {
                    max_packet_size: self.max_packet_size,
                    connection_timeout_seconds: self.connection_timeout_seconds,
                    reliability_threshold: self.reliability_threshold,
                }
            }
        }
    };
}

transport!(RawBluetooth, 1024, 10, 0.8);
transport!(RawWifiDirect, 65_536, 5, 0.9);
transport!(RawInternet, 1_048_576, 15, 0.95);

/// The node itself.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub(super) struct RawNode {
    /// Where the key, the epoch and the admin socket live: an absolute path, or one from the home
    /// directory with ~/. Empty: bitcraps in XDG_DATA_HOME, or ~/.local/share/bitcraps.
    pub(super) data_dir: String,
    /// What people see beside the peer id, up to 64 bytes. Empty: the start of the peer id.
    pub(super) name: String,
    /// What other nodes are told: neighbours, pseudonym (links, under a key that is new at each start)
    /// or nothing (this node can be reached by its neighbours only).
    pub(super) privacy: Privacy,
}

/// Links over the local network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub(super) struct RawLan {
    /// Whether there are any.
    pub(super) enabled: bool,
    /// Interfaces by name or address. Nothing is sent over any other; empty: not chosen yet.
    #[schemars(length(max = MAX_INTERFACES))]
    pub(super) interfaces: Vec<String>,
    /// UDP port of the links; 0 takes any free one.
    #[schemars(range(min = PORT.min, max = PORT.max))]
    pub(super) port: i64,
    /// UDP port of the beacon, the same on every node that is to be found.
    #[schemars(range(min = DISCOVERY_PORT.min, max = DISCOVERY_PORT.max))]
    pub(super) discovery_port: i64,
    /// Look for peers, and be found, by multicast DNS.
    pub(super) mdns: bool,
    /// Look for peers, and be found, by the signed beacon.
    pub(super) beacon: bool,
    /// Share of frames a link is reckoned to deliver before anything was measured.
    #[schemars(range(min = RATIO.min, max = RATIO.max))]
    pub(super) prior: f64,
}

impl Default for RawLan {
    fn default() -> Self {
        Self {
            enabled: true,
            interfaces: Vec::new(),
            port: 47_800,
            discovery_port: 47_801,
            mdns: true,
            beacon: true,
            prior: 0.95,
        }
    }
}

/// Links over Bluetooth LE.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub(super) struct RawBluetoothLinks {
    /// Whether there are any: whether this node advertises, looks for others and connects.
    pub(super) enabled: bool,
    /// Adapter as BlueZ calls it, such as hci0. Empty: the first one.
    #[schemars(length(max = MAX_ADAPTER_NAME))]
    pub(super) adapter: String,
    /// Controller that this node drives itself, without BlueZ, such as serial:/dev/ttyACM0 or
    /// tcp:127.0.0.1:7300. Empty: BlueZ.
    pub(super) hci: String,
}

/// Links in groups of Wi-Fi Direct.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub(super) struct RawWifiDirectLinks {
    /// Whether there are any: whether this node looks for others, is found, and forms groups.
    pub(super) enabled: bool,
    /// Interface as wpa_supplicant calls it, such as wlan0. Empty: the first one that can.
    #[schemars(length(max = MAX_INTERFACE_NAME))]
    pub(super) interface: String,
    /// D-Bus address of the bus that wpa_supplicant is on. Empty: the system's.
    #[schemars(length(max = MAX_BUS_ADDRESS))]
    pub(super) bus: String,
    /// Eight digits that every node has, to form groups with. Empty: by push button.
    #[schemars(length(max = 8))]
    pub(super) pin: String,
}

/// Links over the internet, direct or through a relay.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub(super) struct RawInternetLinks {
    /// Whether there are any.
    pub(super) enabled: bool,
    /// UDP addresses of the links as ip:port; empty: not chosen yet, and no links.
    #[schemars(length(max = MAX_INTERNET_LISTEN))]
    pub(super) listen: Vec<String>,
    /// Addresses at which others reach this node although no interface of it has them, as ip:port.
    #[schemars(length(max = MAX_PUBLIC))]
    pub(super) public: Vec<String>,
    /// Relays through which this node can be reached, as https://host. No other server is contacted.
    #[schemars(length(max = MAX_RELAYS))]
    pub(super) relays: Vec<String>,
    /// PEM file with certificates that vouch for relays beside those of the public authorities.
    pub(super) relay_roots: String,
}

impl Default for RawInternetLinks {
    fn default() -> Self {
        Self {
            enabled: true,
            listen: Vec::new(),
            public: Vec::new(),
            relays: Vec::new(),
            relay_roots: String::new(),
        }
    }
}

/// A peer at known addresses.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct RawPeer {
    /// Its peer id, 64 hexadecimal digits.
    #[schemars(regex(pattern = "^[0-9a-fA-F]{64}$"))]
    pub(super) id: String,
    /// Where it listens on the local network, as ip:port.
    #[serde(default)]
    #[schemars(length(max = MAX_ADDRESSES))]
    pub(super) addresses: Vec<String>,
    /// Where it is on the internet, as ip:port or the URL of a relay.
    #[serde(default)]
    #[schemars(length(max = MAX_INTERNET_ADDRESSES))]
    pub(super) internet: Vec<String>,
}

/// Who may exchange messages with this node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub(super) struct RawAdmission {
    /// Who is admitted without being named: open admits whoever links, allow_list nobody, and
    /// invitation nobody but those who prove an invitation.
    pub(super) mode: Mode,
    /// Peer ids that are admitted, beside those of the static peers.
    #[schemars(length(max = MAX_LISTED))]
    pub(super) allow: Vec<String>,
    /// Peer ids that are refused, whatever else admits them.
    #[schemars(length(max = MAX_LISTED))]
    pub(super) block: Vec<String>,
    /// Peers known at once, with a link or without; those that nobody named give way.
    #[schemars(range(min = KNOWN_PEERS.min, max = KNOWN_PEERS.max))]
    pub(super) max_peers: i64,
    /// Links of peers at once that are not admitted.
    #[schemars(range(min = STRANGER_LINKS.min, max = STRANGER_LINKS.max))]
    pub(super) stranger_links: i64,
    /// What peers that are not admitted may send together, in bytes a second.
    #[schemars(range(min = STRANGER_BYTES.min, max = STRANGER_BYTES.max))]
    pub(super) stranger_bytes_per_second: i64,
}

impl Default for RawAdmission {
    fn default() -> Self {
        Self {
            mode: Mode::Open,
            allow: Vec::new(),
            block: Vec::new(),
            max_peers: 65_536,
            stranger_links: 64,
            stranger_bytes_per_second: 262_144,
        }
    }
}

/// Which links are made so that the network withstands what is likely to happen to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub(super) struct RawHealing {
    /// Whether this node makes the links that are its own to make by itself. Otherwise it offers none to
    /// others, and makes them when `bitcraps heal --apply` says so.
    pub(super) enabled: bool,
    /// Whether links are made before the network splits, or after it has.
    pub(super) mode: Healing,
    /// Whether every peer that is found is linked with. Otherwise those are that are named in the
    /// configuration or by an invitation, that link with this node, or that healing needs.
    pub(super) link_discovered: bool,
    /// Neighbours over Bluetooth above which healing gives a node no more.
    #[schemars(range(min = BLUETOOTH_NEIGHBOURS.min, max = BLUETOOTH_NEIGHBOURS.max))]
    pub(super) bluetooth_neighbours: i64,
}

impl Default for RawHealing {
    fn default() -> Self {
        let mode = Healing::Forecast;
        Self { enabled: true, mode, link_discovered: true, bluetooth_neighbours: 7 }
    }
}

/// What is kept over restarts: critical messages on their way, and what was taken from whom.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub(super) struct RawStore {
    /// Whether anything is. Without it, a restart ends critical messages as unknown.
    pub(super) enabled: bool,
    /// Path of the file. Empty: store.redb in the data directory.
    pub(super) path: String,
    /// Most bytes of messages in it at once, 256 a message included; the file is somewhat larger.
    #[schemars(range(min = STORE_BYTES.min, max = STORE_BYTES.max))]
    pub(super) max_bytes: i64,
}

impl Default for RawStore {
    fn default() -> Self {
        Self { enabled: true, path: String::new(), max_bytes: 256 << 20 }
    }
}

/// What the network was, over restarts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub(super) struct RawHistory {
    /// Whether it is kept. Without it, every start begins with no past.
    pub(super) enabled: bool,
    /// Path of the file. Empty: history.redb in the data directory.
    pub(super) path: String,
}

impl Default for RawHistory {
    fn default() -> Self {
        Self { enabled: true, path: String::new() }
    }
}

/// The socket the command line talks to.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub(super) struct RawAdmin {
    /// Path of the Unix socket, at most 107 bytes. Empty: admin.sock in the data directory.
    pub(super) socket: String,
}

/// Where the node shows itself over HTTP.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub(super) struct RawDashboard {
    /// TCP address as ip:port, of this machine alone; `/metrics` there is for Prometheus. Empty: none.
    pub(super) listen: String,
}

/// What is logged and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub(super) struct RawLog {
    /// A level, or target=level pairs, as in RUST_LOG.
    pub(super) filter: String,
    /// One line of text for each event, or one JSON object.
    pub(super) format: LogFormat,
}

impl Default for RawLog {
    fn default() -> Self {
        Self { filter: "info".to_owned(), format: LogFormat::Text }
    }
}
