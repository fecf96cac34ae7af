mod listening;
mod monitoring;

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use bitcraps_engine::monitor::MonitorConfig;
use bitcraps_types::{PeerId, Ratio};

use super::limits::{
    BLUETOOTH_NEIGHBOURS, CONNECTION_TIMEOUT, DISCOVERY_PORT, KNOWN_PEERS, Limits, MAX_ADDRESSES,
    MAX_INTERFACE_NAME, MAX_INTERFACES, MAX_INTERNET_ADDRESSES, MAX_LISTED, MAX_LOG_FILTER,
    MAX_NAME, MAX_PACKET_SIZE, MAX_PEERS, MAX_SOCKET_PATH, PORT, RATIO, STORE_BYTES,
    STRANGER_BYTES, STRANGER_LINKS,
};
use super::raw::{
    RawAdmission, RawBounds, RawConfig, RawHealing, RawHistory, RawLan, RawLog, RawNode, RawPeer,
    RawStore, RawTransports,
};
use super::{
    AdminSettings, AdmissionSettings, BluetoothSettings, ConfigError, Contradiction,
    DashboardSettings, Environment, HealingSettings, HistorySettings, Interface, InternetSettings,
    LanSettings, LogSettings, NodeSettings, Origin, Origins, StaticPeer, StoreSettings,
    TransportLimits, TransportSettings, WifiDirectSettings,
};

/// Every section, checked.
#[derive(Debug, Clone)]
pub(super) struct Sections {
    pub(super) monitor: MonitorConfig,
    pub(super) transport: TransportSettings,
    pub(super) node: NodeSettings,
    pub(super) lan: LanSettings,
    pub(super) bluetooth: BluetoothSettings,
    pub(super) wifi_direct: WifiDirectSettings,
    pub(super) internet: InternetSettings,
    pub(super) peers: Vec<StaticPeer>,
    pub(super) admission: AdmissionSettings,
    pub(super) healing: HealingSettings,
    pub(super) store: StoreSettings,
    pub(super) history: HistorySettings,
    pub(super) admin: AdminSettings,
    pub(super) dashboard: DashboardSettings,
    pub(super) log: LogSettings,
}

/// Checks what was written; returns it as well with the paths in force written out.
pub(super) fn checked(
    mut raw: RawConfig,
    origins: &Origins,
    environment: &Environment,
) -> Result<(Sections, RawConfig), ConfigError> {
    let check = Check { origins, environment };
    let monitor = check.monitor(&mut raw.coordination)?;
    let transport = check.transports(&raw.coordination.transport)?;
    let node = check.node(&raw.node)?;
    let lan = check.lan(&raw.lan)?;
    let adapter = &raw.bluetooth.adapter;
    let hci = &raw.bluetooth.hci;
    let bluetooth =
        BluetoothSettings::new(raw.bluetooth.enabled, adapter, hci).ok_or_else(|| {
            let problem = "it is no adapter's name; write hci0, or what `bluetoothctl list` shows";
            check.unfit("bluetooth.adapter", adapter, problem)
        })?;
    if !hci.is_empty() && !adapter.is_empty() {
        let problem =
            "bluetooth.adapter names an adapter of BlueZ beside it; leave one of both empty";
        return Err(check.unfit("bluetooth.hci", hci, problem));
    }
    let internet = check.internet(&raw.internet)?;
    let peers = check.peers(&raw.peers)?;
    let admission = check.admission(&raw.admission)?;
    let healing = check.healing(&raw.healing)?;
    let store = check.store(&raw.store, &node)?;
    let history = check.history(&raw.history, &node)?;
    let admin = check.admin(&raw.admin.socket, &node)?;
    let dashboard = check.dashboard(&raw.dashboard.listen)?;
    let log = check.log(&raw.log)?;
    // Built from text, and joined with text: both are Unicode.
    raw.node.data_dir = node.data_dir.to_string_lossy().into_owned();
    raw.store.path = store.path.to_string_lossy().into_owned();
    raw.history.path = history.path.to_string_lossy().into_owned();
    raw.admin.socket = admin.socket.to_string_lossy().into_owned();
    let sections = Sections {
        monitor,
        transport,
        node,
        lan,
        bluetooth,
        wifi_direct: WifiDirectSettings::from(&raw.wifi_direct),
        internet,
        peers,
        admission,
        healing,
        store,
        history,
        admin,
        dashboard,
        log,
    };
    Ok((sections, raw))
}

struct Check<'a> {
    origins: &'a Origins,
    environment: &'a Environment,
}

impl Check<'_> {
    fn transports(&self, raw: &RawTransports) -> Result<TransportSettings, ConfigError> {
        let bluetooth = self.transport(
            &raw.bluetooth.bounds(),
            [
                "coordination.transport.bluetooth.max_packet_size",
                "coordination.transport.bluetooth.connection_timeout_seconds",
                "coordination.transport.bluetooth.reliability_threshold",
            ],
        )?;
        let wifi_direct = self.transport(
            &raw.wifi_direct.bounds(),
            [
                "coordination.transport.wifi_direct.max_packet_size",
                "coordination.transport.wifi_direct.connection_timeout_seconds",
                "coordination.transport.wifi_direct.reliability_threshold",
            ],
        )?;
        let internet = self.transport(
            &raw.internet.bounds(),
            [
                "coordination.transport.internet.max_packet_size",
                "coordination.transport.internet.connection_timeout_seconds",
                "coordination.transport.internet.reliability_threshold",
            ],
        )?;
        Ok(TransportSettings {
            default_policy: raw.default_policy,
            energy_aware_mode: raw.energy_aware_mode,
            auto_failover_enabled: raw.auto_failover_enabled,
            limits: [bluetooth, wifi_direct, internet],
        })
    }

    fn transport(
        &self,
        raw: &RawBounds,
        [size, timeout, reliability]: [&'static str; 3],
    ) -> Result<TransportLimits, ConfigError> {
        Ok(TransportLimits {
            max_packet_size: self.number(size, raw.max_packet_size, MAX_PACKET_SIZE)?,
            connection_timeout: self.seconds(
                timeout,
                raw.connection_timeout_seconds,
                CONNECTION_TIMEOUT,
            )?,
            reliability_threshold: self.ratio(reliability, raw.reliability_threshold)?,
        })
    }

    fn node(&self, raw: &RawNode) -> Result<NodeSettings, ConfigError> {
        let data_dir = match raw.data_dir.as_str() {
            "" => match self.environment.text("XDG_DATA_HOME") {
                // The XDG specification has relative paths ignored.
                Some(data_home) if data_home.starts_with('/') => {
                    PathBuf::from(data_home).join("bitcraps")
                }
                Some(_) | None => self.path("node.data_dir", "~/.local/share/bitcraps")?,
            },
            written => self.path("node.data_dir", written)?,
        };
        let name = raw.name.as_str();
        self.at_most("node.name", name.len(), "bytes", MAX_NAME)?;
        if name.chars().any(char::is_control) {
            return Err(self.unfit(
                "node.name",
                name,
                "it holds a control character; use plain text",
            ));
        }
        let name = (!name.is_empty()).then(|| name.to_owned());
        Ok(NodeSettings { data_dir, name, privacy: raw.privacy })
    }

    fn lan(&self, raw: &RawLan) -> Result<LanSettings, ConfigError> {
        let count = raw.interfaces.len();
        self.at_most("lan.interfaces", count, "interfaces", MAX_INTERFACES)?;
        let mut interfaces = Vec::with_capacity(count);
        for text in &raw.interfaces {
            let interface = self.interface(text)?;
            if interfaces.contains(&interface) {
                return Err(self.unfit("lan.interfaces", text, "it is listed twice; list it once"));
            }
            interfaces.push(interface);
        }
        let port: u16 = self.number("lan.port", raw.port, PORT)?;
        let discovery_port: u16 =
            self.number("lan.discovery_port", raw.discovery_port, DISCOVERY_PORT)?;
        if port == discovery_port {
            return Err(self.contradiction(
                ("lan.port", port),
                ("lan.discovery_port", discovery_port),
                "both are UDP ports of this node, so they must differ",
            ));
        }
        Ok(LanSettings {
            enabled: raw.enabled,
            interfaces,
            port,
            discovery_port,
            mdns: raw.mdns,
            beacon: raw.beacon,
            prior: self.ratio("lan.prior", raw.prior)?,
        })
    }

    fn interface(&self, text: &str) -> Result<Interface, ConfigError> {
        let unfit = |problem| Err(self.unfit("lan.interfaces", text, problem));
        if let Ok(address) = text.parse::<IpAddr>() {
            if address.is_unspecified() {
                return unfit("it stands for every interface; name each one that may be used");
            }
            if address.is_multicast() {
                return unfit("it is a multicast address; name an interface or an address of one");
            }
            return Ok(Interface::Address(address));
        }
        let in_name = |c: char| !c.is_whitespace() && !c.is_control() && c != '/';
        if text.is_empty() || text.len() > MAX_INTERFACE_NAME || !text.chars().all(in_name) {
            return unfit(
                "it is neither an address nor a name of an interface (`ip link` lists them)",
            );
        }
        Ok(Interface::Name(text.to_owned()))
    }

    fn peers(&self, raw: &[RawPeer]) -> Result<Vec<StaticPeer>, ConfigError> {
        self.at_most("peers", raw.len(), "peers", MAX_PEERS)?;
        let mut seen = BTreeSet::new();
        let mut peers = Vec::with_capacity(raw.len());
        for peer in raw {
            let id: PeerId =
                peer.id.parse().map_err(|e| self.unfit("peers", &peer.id, &format!("id: {e}")))?;
            if !seen.insert(id) {
                let problem = "the peer is listed twice; list all its addresses once";
                return Err(self.unfit("peers", &peer.id, problem));
            }
            if peer.addresses.is_empty() && peer.internet.is_empty() {
                let problem = "the peer has no addresses; add one as ip:port to addresses or internet, \
                               or the URL of its relay to internet";
                return Err(self.unfit("peers", &peer.id, problem));
            }
            let count = peer.addresses.len();
            self.at_most("peers", count, "addresses in one peer", MAX_ADDRESSES)?;
            let addresses = peer.addresses.iter().map(|text| self.address("peers", text));
            let addresses = addresses.collect::<Result<_, _>>()?;
            let internet = self.places(&peer.internet)?;
            peers.push(StaticPeer { id, addresses, internet });
        }
        Ok(peers)
    }

    fn address(&self, key: &'static str, text: &str) -> Result<SocketAddr, ConfigError> {
        let unfit = |problem| self.unfit(key, text, problem);
        let address: SocketAddr = text.parse().map_err(|_| {
            unfit("it is no address; write ip:port, as 192.0.2.7:47800 or [fe80::1]:47800")
        })?;
        if address.port() == 0 || address.ip().is_unspecified() || address.ip().is_multicast() {
            return Err(unfit(
                "nobody can be reached there; write an address and port that lead to one host",
            ));
        }
        Ok(address)
    }

    fn admission(&self, raw: &RawAdmission) -> Result<AdmissionSettings, ConfigError> {
        Ok(AdmissionSettings {
            mode: raw.mode,
            allow: self.listed("admission.allow", &raw.allow)?,
            block: self.listed("admission.block", &raw.block)?,
            max_peers: self.number("admission.max_peers", raw.max_peers, KNOWN_PEERS)?,
            stranger_links: self.number(
                "admission.stranger_links",
                raw.stranger_links,
                STRANGER_LINKS,
            )?,
            stranger_bytes_per_second: self.number(
                "admission.stranger_bytes_per_second",
                raw.stranger_bytes_per_second,
                STRANGER_BYTES,
            )?,
        })
    }

    fn listed(&self, key: &'static str, ids: &[String]) -> Result<BTreeSet<PeerId>, ConfigError> {
        self.at_most(key, ids.len(), "peers", MAX_LISTED)?;
        let mut peers = BTreeSet::new();
        for text in ids {
            let peer = text.parse().map_err(|e| self.unfit(key, text, &format!("{e}")))?;
            if !peers.insert(peer) {
                return Err(self.unfit(key, text, "the peer is listed twice; list it once"));
            }
        }
        Ok(peers)
    }

    fn healing(&self, raw: &RawHealing) -> Result<HealingSettings, ConfigError> {
        Ok(HealingSettings {
            enabled: raw.enabled,
            mode: raw.mode,
            link_discovered: raw.link_discovered,
            bluetooth_neighbours: self.number(
                "healing.bluetooth_neighbours",
                raw.bluetooth_neighbours,
                BLUETOOTH_NEIGHBOURS,
            )?,
        })
    }

    fn store(&self, raw: &RawStore, node: &NodeSettings) -> Result<StoreSettings, ConfigError> {
        let path = self.file("store.path", &raw.path, node, "store.redb")?;
        let max_bytes = self.number("store.max_bytes", raw.max_bytes, STORE_BYTES)?;
        Ok(StoreSettings { enabled: raw.enabled, path, max_bytes })
    }

    fn history(
        &self,
        raw: &RawHistory,
        node: &NodeSettings,
    ) -> Result<HistorySettings, ConfigError> {
        let path = self.file("history.path", &raw.path, node, "history.redb")?;
        Ok(HistorySettings { enabled: raw.enabled, path })
    }

    /// A file that is in the data directory, by this name, unless it is written where.
    fn file(
        &self,
        key: &'static str,
        written: &str,
        node: &NodeSettings,
        name: &str,
    ) -> Result<PathBuf, ConfigError> {
        if written.is_empty() { Ok(node.data_dir.join(name)) } else { self.path(key, written) }
    }

    /// Where a peer is on the internet.
    fn places(&self, raw: &[String]) -> Result<Vec<String>, ConfigError> {
        self.at_most("peers", raw.len(), "internet addresses in one peer", MAX_INTERNET_ADDRESSES)?;
        #[cfg(feature = "internet")]
        {
            let whole = |text: &str| text.parse::<bitcraps_transport_inet::PeerAddress>();
            for text in raw {
                if text.contains(char::is_whitespace) {
                    return Err(self.unfit("peers", text, "it holds a space; list each by itself"));
                }
                whole(text).map_err(|error| self.unfit("peers", text, &error.problem()))?;
            }
            if !raw.is_empty() {
                let all = raw.join(" ");
                whole(&all).map_err(|error| self.unfit("peers", &all, &error.problem()))?;
            }
        }
        Ok(raw.to_vec())
    }

    fn admin(&self, socket: &str, node: &NodeSettings) -> Result<AdminSettings, ConfigError> {
        let socket = self.file("admin.socket", socket, node, "admin.sock")?;
        let length = socket.as_os_str().len();
        self.at_most("admin.socket", length, "bytes", MAX_SOCKET_PATH)?;
        Ok(AdminSettings { socket })
    }

    fn log(&self, raw: &RawLog) -> Result<LogSettings, ConfigError> {
        let filter = raw.filter.trim();
        self.at_most("log.filter", filter.len(), "bytes", MAX_LOG_FILTER)?;
        if filter.is_empty() {
            return Err(self.unfit("log.filter", "", "it is empty; write a level, as info or off"));
        }
        Ok(LogSettings { filter: filter.to_owned(), format: raw.format })
    }

    fn path(&self, key: &'static str, text: &str) -> Result<PathBuf, ConfigError> {
        if text.contains('\0') {
            return Err(self.unfit(key, text, "it holds a zero byte, which no path does"));
        }
        if let Some(rest) = text.strip_prefix("~/") {
            let home = self.environment.text("HOME");
            let origin = || self.origin(key);
            let home = home.ok_or_else(|| ConfigError::NoHome { origin: origin(), key })?;
            return Ok(PathBuf::from(home).join(rest));
        }
        if !text.starts_with('/') {
            let problem = "it is relative; write an absolute path, or one that starts with ~/";
            return Err(self.unfit(key, text, problem));
        }
        Ok(PathBuf::from(text))
    }

    fn within<T>(&self, key: &'static str, value: T, range: Limits<T>) -> Result<T, ConfigError>
    where
        T: PartialOrd + fmt::Display,
    {
        if range.hold(&value) {
            return Ok(value);
        }
        Err(ConfigError::OutOfRange {
            origin: self.origin(key),
            key,
            value: value.to_string(),
            range: range.to_string(),
        })
    }

    fn number<T: TryFrom<i64>>(
        &self,
        key: &'static str,
        value: i64,
        range: Limits<i64>,
    ) -> Result<T, ConfigError> {
        let value = self.within(key, value, range)?;
        T::try_from(value).map_err(|_| ConfigError::OutOfRange {
            origin: self.origin(key),
            key,
            value: value.to_string(),
            range: range.to_string(),
        })
    }

    fn seconds(
        &self,
        key: &'static str,
        value: i64,
        range: Limits<i64>,
    ) -> Result<Duration, ConfigError> {
        self.number(key, value, range).map(Duration::from_secs)
    }

    fn ratio(&self, key: &'static str, value: f64) -> Result<Ratio, ConfigError> {
        self.within(key, value, RATIO).map(Ratio::clamped)
    }

    fn at_most(
        &self,
        key: &'static str,
        length: usize,
        unit: &'static str,
        limit: usize,
    ) -> Result<(), ConfigError> {
        if length <= limit {
            return Ok(());
        }
        Err(ConfigError::TooLong { origin: self.origin(key), key, length, unit, limit })
    }

    fn unfit(&self, key: &'static str, value: &str, problem: &str) -> ConfigError {
        ConfigError::Unfit {
            origin: self.origin(key),
            key,
            value: value.to_owned(),
            problem: problem.to_owned(),
        }
    }

    fn contradiction<T: fmt::Display>(
        &self,
        first: (&'static str, T),
        second: (&'static str, T),
        rule: &'static str,
    ) -> ConfigError {
        let side = |(key, value): (&'static str, T)| (key, value.to_string(), self.origin(key));
        let (first, second) = (side(first), side(second));
        ConfigError::Contradiction(Box::new(Contradiction { first, second, rule }))
    }

    fn origin(&self, key: &'static str) -> Origin {
        self.origins.of(key).clone()
    }
}
