mod environment;
mod mistakes;
mod monitoring;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use bitcraps_types::{Ratio, TransportType};
use serde_json::Value as Json;

use super::key::PEERS;
use super::*;

/// The configuration that the project's founding document shows, as it stands there.
const SEED: &str = concat!(
    r#"[coordination]
[coordination.network_monitor]
# Health monitoring configuration
health_check_interval_seconds = 5
anomaly_threshold_multiplier = 2.0
partition_risk_alert_threshold = 0.7

# Topology analysis settings"#,
    "  \n",
    r#"max_diameter_alert = 8
min_clustering_coefficient = 0.3
bridge_node_load_threshold = 0.8

[coordination.transport]
# Transport failover policies
default_policy = "FastestFirst"
energy_aware_mode = true
auto_failover_enabled = true

# Transport-specific settings
[coordination.transport.bluetooth]
max_packet_size = 1024
connection_timeout_seconds = 10
reliability_threshold = 0.8

[coordination.transport.wifi_direct]
max_packet_size = 65536
connection_timeout_seconds = 5
reliability_threshold = 0.9

[coordination.transport.internet]
max_packet_size = 1048576
connection_timeout_seconds = 15
reliability_threshold = 0.95
"#
);

const PEER: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

fn home(extra: &[(&str, &str)]) -> Environment {
    let own = [("HOME", "/h"), ("UNRELATED", "1"), ("BITCRAPS_", "x")];
    own.iter().chain(extra).copied().collect()
}

fn parse(text: &str, environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
    Config::parse(text, Path::new("b.toml"), &home(environment))
}

fn refused(text: &str) -> String {
    parse(text, &[]).unwrap_err().to_string()
}

fn defaults() -> Config {
    parse("", &[]).unwrap()
}

/// A document that sets one key.
fn document(key: &str, value: &str) -> String {
    format!("{key} = {value}\n")
}

#[test]
fn the_seed_is_read_unchanged() {
    let config = parse(SEED, &[]).unwrap();
    assert_eq!(*config.monitor(), MonitorConfig::default());
    let monitor = config.monitor();
    assert_eq!(monitor.health_check_interval, Duration::from_secs(5));
    assert_eq!(monitor.anomaly_threshold_multiplier, 2.0);
    assert_eq!(monitor.partition_risk_alert_threshold.get(), 0.7);
    assert_eq!(monitor.max_diameter_alert, 8);
    assert_eq!(monitor.min_clustering_coefficient.get(), 0.3);
    assert_eq!(monitor.bridge_node_load_threshold.get(), 0.8);
    let limits = |max_packet_size, seconds, ratio| TransportLimits {
        max_packet_size,
        connection_timeout: Duration::from_secs(seconds),
        reliability_threshold: Ratio::new(ratio).unwrap(),
    };
    assert_eq!(
        *config.transport(),
        TransportSettings {
            default_policy: Policy::FastestFirst,
            energy_aware_mode: true,
            auto_failover_enabled: true,
            limits: [limits(1024, 10, 0.8), limits(65_536, 5, 0.9), limits(1_048_576, 15, 0.95)],
        }
    );
    let transport = config.transport();
    for (which, size) in [
        (TransportType::Bluetooth, 1024),
        (TransportType::WiFiDirect, 65_536),
        (TransportType::Internet, 1_048_576),
    ] {
        assert_eq!(transport.limits(which).max_packet_size, size);
    }
}

#[test]
fn the_defaults_are_the_seeds() {
    assert_eq!(Config::diff(&defaults(), &parse(SEED, &[]).unwrap()), []);
    // Also of a table that leaves a key out.
    let partial = "[coordination.transport.wifi_direct]\nreliability_threshold = 0.9";
    assert_eq!(Config::diff(&defaults(), &parse(partial, &[]).unwrap()), []);
}

#[test]
fn the_template_holds_the_seed_and_the_defaults() {
    let template = Config::template();
    for line in SEED.lines().map(str::trim_end) {
        assert!(template.lines().any(|l| l == line), "{line:?} is missing");
    }
    let config = parse(template, &[]).unwrap();
    assert_eq!(Config::diff(&defaults(), &config), []);
    assert_eq!(config.effective_toml(), defaults().effective_toml());
}

/// The template with its keys no longer behind `#`.
fn opened_template() -> String {
    let open = |line: &'static str| match line.strip_prefix('#') {
        Some(key) if !key.starts_with(' ') && !key.is_empty() => key,
        Some(_) | None => line,
    };
    let lines = Config::template().lines().map(open);
    lines.map(|line| format!("{line}\n")).collect()
}

#[test]
fn the_template_documents_every_key_with_its_default() {
    let text = opened_template();
    let config = parse(&text, &[]).unwrap();
    let absent = config.entries().filter(|e| *e.origin == Origin::Default);
    assert_eq!(absent.map(|e| e.key).collect::<Vec<_>>(), [""; 0]);
    let changed = Config::diff(&defaults(), &config);
    assert_eq!(changed.iter().map(|c| c.key).collect::<Vec<_>>(), [PEERS], "{changed:?}");
    assert_eq!(config.peers().len(), 1);
}

/// The paths of every value that a JSON schema allows.
fn schema_paths(root: &Json, at: &Json, prefix: &str, found: &mut BTreeSet<String>) {
    let at = match at.get("$ref").and_then(Json::as_str) {
        Some(reference) => root.pointer(reference.trim_start_matches('#')).unwrap(),
        None => at,
    };
    let Some(properties) = at.get("properties").and_then(Json::as_object) else {
        found.insert(prefix.to_owned());
        return;
    };
    assert_eq!(at["additionalProperties"], Json::Bool(false), "{prefix}");
    for (name, property) in properties {
        assert!(property.get("description").is_some(), "{prefix}.{name} has no description");
        let path = format!("{prefix}.{name}");
        schema_paths(root, property, path.trim_start_matches('.'), found);
    }
}

#[test]
fn the_schema_has_exactly_the_known_keys() {
    let schema = Config::schema();
    let mut found = BTreeSet::new();
    schema_paths(&schema, &schema, "", &mut found);
    let known = KEYS.iter().map(|key| key.path.to_owned());
    assert_eq!(found, known.collect());
    assert_eq!(schema["title"], "Config");
}

#[test]
fn the_effective_file_has_every_key_and_reads_back() {
    let config = parse("[lan]\nport = 1", &[("XDG_DATA_HOME", "/x")]).unwrap();
    let text = config.effective_toml();
    let again = Config::parse(&text, Path::new("e.toml"), &Environment::default()).unwrap();
    assert_eq!(Config::diff(&config, &again), []);
    let values: Vec<_> = config.entries().map(|e| (e.key, e.value)).collect();
    assert!(values.iter().all(|(_, v)| !v.is_empty()), "{values:?}");
    for expected in [
        ("lan.port", "1"),
        ("lan.interfaces", "[]"),
        ("node.data_dir", "\"/x/bitcraps\""),
        ("admin.socket", "\"/x/bitcraps/admin.sock\""),
        ("store.path", "\"/x/bitcraps/store.redb\""),
        ("store.max_bytes", "268435456"),
        ("history.path", "\"/x/bitcraps/history.redb\""),
        ("coordination.transport.default_policy", "\"FastestFirst\""),
    ] {
        assert!(
            values.iter().any(|(k, v)| (*k, v.as_str()) == expected),
            "{expected:?} in {values:?}"
        );
    }
}

#[test]
fn what_is_written_is_what_is_read() {
    let text = format!(
        r#"
peers = [{{ id = "{PEER}", addresses = ["127.0.0.1:9", "[::1]:9"], internet = ["http://a"] }}]
[coordination.transport]
default_policy = "LoadBalanced"
energy_aware_mode = false
auto_failover_enabled = false
[node]
data_dir = "~/d"
name = "table 7"
privacy = "pseudonym"
[lan]
enabled = false
interfaces = ["lo", "127.0.0.2", "fe80::1"]
port = 0
discovery_port = 9
mdns = false
beacon = false
prior = 0.5
[admission]
mode = "allow_list"
allow = ["{PEER}"]
block = ["{0:064x}"]
max_peers = 64
stranger_links = 100
stranger_bytes_per_second = 5000
[healing]
enabled = false
mode = "reactive"
link_discovered = false
bluetooth_neighbours = 4
[store]
enabled = false
path = "~/s.redb"
max_bytes = 33554432
[history]
enabled = false
path = "~/past.redb"
[bluetooth]
enabled = true
adapter = "hci1"
[wifi_direct]
enabled = true
interface = "wlan1"
bus = "unix:path=/run/dbus/other"
pin = "12345670"
[internet]
enabled = false
listen = ["127.0.0.1:9", "[::]:0"]
public = ["203.0.113.7:9"]
relays = ["https://relay.example"]
relay_roots = "~/roots.pem"
[admin]
socket = "/s"
[log]
filter = " debug,quinn=info "
format = "json"
"#,
        5
    );
    let config = parse(&text, &[]).unwrap();
    let transport = config.transport();
    assert_eq!(transport.default_policy, Policy::LoadBalanced);
    assert!(!transport.energy_aware_mode);
    assert!(!transport.auto_failover_enabled);
    assert_eq!(config.node().data_dir, Path::new("/h/d"));
    assert_eq!(config.node().key_file(), Path::new("/h/d/key"));
    assert_eq!(config.node().epoch_file(), Path::new("/h/d/epoch"));
    assert_eq!(config.node().name.as_deref(), Some("table 7"));
    assert_eq!(config.node().privacy, Privacy::Pseudonym);
    assert_eq!(
        *config.lan(),
        LanSettings {
            enabled: false,
            interfaces: vec![
                Interface::Name("lo".to_owned()),
                Interface::Address("127.0.0.2".parse().unwrap()),
                Interface::Address("fe80::1".parse().unwrap()),
            ],
            port: 0,
            discovery_port: 9,
            mdns: false,
            beacon: false,
            prior: Ratio::new(0.5).unwrap(),
        }
    );
    let bluetooth =
        BluetoothSettings { enabled: true, adapter: Some("hci1".to_owned()), hci: None };
    assert_eq!(*config.bluetooth(), bluetooth);
    let unchosen = BluetoothSettings { enabled: false, adapter: None, hci: None };
    assert_eq!(*parse("", &[]).unwrap().bluetooth(), unchosen);
    let driven = parse("[bluetooth]\nhci = \"tcp:127.0.0.1:7300\"", &[]).unwrap();
    assert_eq!(driven.bluetooth().hci.as_deref(), Some("tcp:127.0.0.1:7300"));
    let direct = config.wifi_direct();
    assert!(direct.enabled);
    assert_eq!(direct.interface.as_deref(), Some("wlan1"));
    assert_eq!(direct.bus.as_deref(), Some("unix:path=/run/dbus/other"));
    assert_eq!(direct.pin.as_deref(), Some("12345670"));
    assert!(!format!("{direct:?}").contains("12345670"), "a PIN is in no log");
    let unchosen = WifiDirectSettings { enabled: false, interface: None, bus: None, pin: None };
    assert_eq!(*parse("", &[]).unwrap().wifi_direct(), unchosen);
    let internet = InternetSettings {
        enabled: false,
        listen: vec!["127.0.0.1:9".parse().unwrap(), "[::]:0".parse().unwrap()],
        public: vec!["203.0.113.7:9".parse().unwrap()],
        relays: vec!["https://relay.example".to_owned()],
        relay_roots: Some("/h/roots.pem".into()),
    };
    assert_eq!(*config.internet(), internet);
    assert!(!internet.is_on());
    assert!(InternetSettings { enabled: true, ..internet }.is_on());
    assert!(!parse("", &[]).unwrap().internet().is_on(), "nobody has chosen");
    let peer = StaticPeer {
        id: PEER.parse().unwrap(),
        addresses: vec!["127.0.0.1:9".parse().unwrap(), "[::1]:9".parse().unwrap()],
        internet: vec!["http://a".to_owned()],
    };
    assert_eq!(config.peers(), [peer]);
    assert_eq!(
        *config.admission(),
        AdmissionSettings {
            mode: Mode::AllowList,
            allow: [PEER.parse().unwrap()].into(),
            block: [format!("{:064x}", 5).parse().unwrap()].into(),
            max_peers: 64,
            stranger_links: 100,
            stranger_bytes_per_second: 5_000,
        }
    );
    let healing = HealingSettings {
        enabled: false,
        mode: Healing::Reactive,
        link_discovered: false,
        bluetooth_neighbours: 4,
    };
    assert_eq!(*config.healing(), healing);
    assert_eq!(config.admin().socket, Path::new("/s"));
    let store = config.store();
    assert_eq!((store.enabled, store.max_bytes), (false, 32 << 20));
    assert_eq!(store.path, Path::new("/h/s.redb"));
    let past = HistorySettings { enabled: false, path: "/h/past.redb".into() };
    assert_eq!(*config.history(), past);
    assert_eq!(
        *config.log(),
        LogSettings { filter: "debug,quinn=info".to_owned(), format: LogFormat::Json }
    );
    for name in ["MostReliable", "EnergyEfficient"] {
        let text = document("coordination.transport.default_policy", &format!("{name:?}"));
        let config = parse(&text, &[]).unwrap();
        assert_eq!(format!("{:?}", config.transport().default_policy), name);
    }
}

#[test]
fn a_difference_says_whether_it_needs_a_restart() {
    let old = parse("[lan]\nport = 5", &[]).unwrap();
    let new = parse("[lan]\nport = 6\n[log]\nfilter = \"debug\"", &[]).unwrap();
    let change = |key, old: &str, new: &str, needs_restart| Change {
        key,
        old: old.to_owned(),
        new: new.to_owned(),
        needs_restart,
    };
    assert_eq!(
        Config::diff(&old, &new),
        [change("lan.port", "5", "6", true), change("log.filter", "\"info\"", "\"debug\"", false)]
    );
    let shown: Vec<_> = Config::diff(&new, &old).iter().map(Change::to_string).collect();
    assert_eq!(shown, ["lan.port: 6 -> 5 (needs a restart)", "log.filter: \"debug\" -> \"info\""]);
    assert_eq!(Config::diff(&old, &old), []);
}

#[test]
fn a_file_is_read_from_disk() {
    let home_dir = tempfile::tempdir().unwrap();
    let path = home_dir.path().join("b.toml");
    let load = || Config::load(Some(&path), &home(&[]));
    match load().unwrap_err() {
        ConfigError::Read { path: named, kind, .. } => {
            assert_eq!((named, kind), (path.clone(), std::io::ErrorKind::NotFound));
        }
        other => panic!("{other:?}"),
    }
    fs::write(&path, "[lan]\nport = 5").unwrap();
    let config = load().unwrap();
    assert_eq!(config.lan().port, 5);
    assert_eq!(
        config.origin_of("lan.port"),
        Some(&Origin::File(Location { file: path.clone(), line: 2, column: 1 }))
    );
    fs::write(&path, "#".repeat(MAX_FILE as usize)).unwrap();
    assert!(load().is_ok());
    fs::write(&path, "#".repeat(MAX_FILE as usize + 1)).unwrap();
    let limit = MAX_FILE;
    assert_eq!(load().unwrap_err(), ConfigError::TooLarge { path: path.clone(), limit });
    let without = Config::load(None, &home(&[])).unwrap();
    assert_eq!(Config::diff(&without, &defaults()), []);
}

#[test]
fn healing_follows_its_settings_and_the_thresholds_of_alerts() {
    let default = bitcraps_engine::monitor::HealingConfig::default();
    assert_eq!(defaults().healing_rules(), default);
    let text = "[coordination.network_monitor]\npartition_risk_alert_threshold = 0.25\n\
                max_diameter_alert = 5\nmin_clustering_coefficient = 0.5\n\
                bridge_node_load_threshold = 0.125\n[healing]\nenabled = false\n\
                mode = \"reactive\"\nbluetooth_neighbours = 4";
    let rules = parse(text, &[]).unwrap().healing_rules();
    assert_eq!(rules.policies.map(|policy| policy.threshold), [0.25, 5.0, 0.5, 0.125]);
    assert_eq!(rules.policies.map(|policy| policy.links), default.policies.map(|p| p.links));
    assert_eq!((rules.acts, default.acts), (false, true));
    assert_eq!(rules.mode, bitcraps_engine::monitor::HealingMode::Reactive);
    assert_eq!(rules.max_neighbours, [4, 64, 64]);
}
