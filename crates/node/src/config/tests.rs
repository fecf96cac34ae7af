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
    assert_eq!(
        *config.network_monitor(),
        NetworkMonitorSettings {
            health_check_interval: Duration::from_secs(5),
            anomaly_threshold_multiplier: 2.0,
            partition_risk_alert_threshold: Ratio::new(0.7).unwrap(),
            max_diameter_alert: 8,
            min_clustering_coefficient: Ratio::new(0.3).unwrap(),
            bridge_node_load_threshold: Ratio::new(0.8).unwrap(),
        }
    );
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
        ("coordination.transport.default_policy", "\"FastestFirst\""),
    ] {
        assert!(
            values.iter().any(|(k, v)| (*k, v.as_str()) == expected),
            "{expected:?} in {values:?}"
        );
    }
}

#[test]
fn every_number_has_two_sides() {
    let mut table = Vec::new();
    for transport in ["bluetooth", "wifi_direct", "internet"] {
        let key = |name: &str| format!("coordination.transport.{transport}.{name}");
        let size = ("256", "16777216", "255", "16777217", "256 to 16777216");
        table.push((key("max_packet_size"), size));
        let timeout = ("1", "600", "0", "601", "1 to 600");
        table.push((key("connection_timeout_seconds"), timeout));
        let ratio = ("0", "1.0", "-0.001", "1.001", "0 to 1");
        table.push((key("reliability_threshold"), ratio));
    }
    for (name, row) in [
        ("health_check_interval_seconds", ("1", "3600", "0", "3601", "1 to 3600")),
        ("anomaly_threshold_multiplier", ("1", "100.0", "0.999", "100.001", "1 to 100")),
        ("partition_risk_alert_threshold", ("0.0", "1", "-0.1", "nan", "0 to 1")),
        ("max_diameter_alert", ("1", "1000", "0", "1001", "1 to 1000")),
        ("min_clustering_coefficient", ("0.0", "1", "-0.1", "1.1", "0 to 1")),
        ("bridge_node_load_threshold", ("0.0", "1", "-0.1", "inf", "0 to 1")),
    ] {
        table.push((format!("coordination.network_monitor.{name}"), row));
    }
    for (name, row) in [
        ("port", ("0", "65535", "-1", "65536", "0 to 65535")),
        ("discovery_port", ("1", "65535", "0", "65536", "1 to 65535")),
        ("prior", ("0", "1", "-0.5", "1.5", "0 to 1")),
    ] {
        table.push((format!("lan.{name}"), row));
    }
    for (name, row) in [
        ("max_peers", ("64", "1048576", "63", "1048577", "64 to 1048576")),
        ("stranger_links", ("1", "512", "0", "513", "1 to 512")),
        (
            "stranger_bytes_per_second",
            ("1024", "1073741824", "1023", "1073741825", "1024 to 1073741824"),
        ),
    ] {
        table.push((format!("admission.{name}"), row));
    }
    let bytes = ("33554432", "4294967296", "33554431", "4294967297", "33554432 to 4294967296");
    table.push(("store.max_bytes".to_owned(), bytes));
    let schema = Config::schema().to_string();
    for (key, (low, high, below, above, range)) in table {
        for good in [low, high] {
            let config = parse(&document(&key, good), &[]).unwrap();
            let value = config.entries().find(|e| e.key == key).unwrap().value;
            let (read, written): (f64, f64) = (value.parse().unwrap(), good.parse().unwrap());
            assert_eq!(read, written, "{key}");
        }
        let column = key.rfind('.').unwrap() + 2;
        for bad in [below, above] {
            let shown = bad.replace("nan", "NaN");
            assert_eq!(
                refused(&document(&key, bad)),
                format!("b.toml:1:{column}: {key} = {shown} is out of range, it takes {range}"),
            );
        }
        let (min, max) = range.split_once(" to ").unwrap();
        for bound in [format!("\"minimum\":{min}"), format!("\"maximum\":{max}")] {
            assert!(schema.contains(&bound), "{key}: no {bound} in the schema");
        }
    }
}

#[test]
fn a_mistake_in_the_file_is_told_with_its_place_and_its_cure() {
    let long = |n: usize| "x".repeat(n);
    let peer = |addresses: &str| format!("[[peers]]\nid = \"{PEER}\"\naddresses = {addresses}");
    #[cfg(feature = "internet")]
    let placed = |places: &str| format!("[[peers]]\nid = \"{PEER}\"\ninternet = {places}");
    for (text, message) in [
        // Keys.
        ("\n\n  port = 1", "b.toml:3:3: unknown key `port`; did you mean `lan.port`?"),
        (
            "[lan]\n# ü\nmdns = true\ndiscover_port = 1",
            "b.toml:4:1: unknown key `lan.discover_port`; did you mean `lan.discovery_port`?",
        ),
        (
            "[coordination.transport.wifi]\nmax_packet_size = 512",
            "b.toml:1:25: unknown key `coordination.transport.wifi`; did you mean \
             `coordination.transport.wifi_direct`?",
        ),
        ("lan = { prot = 1 }", "b.toml:1:9: unknown key `lan.prot`; did you mean `lan.port`?"),
        (
            "[[peers]]\nadresses = []",
            "b.toml:2:1: unknown key `peers.adresses`; did you mean `peers.addresses`?",
        ),
        ("[quux]", "b.toml:1:2: unknown key `quux`"),
        // The first in the file, not in the alphabet.
        ("zzzzz = 1\naaaaa = 1", "b.toml:1:1: unknown key `zzzzz`"),
        // TOML.
        ("[lan]\nport = 1\nport = 2", "b.toml:3:1: duplicate key"),
        // Types.
        (
            "[lan]\n  port = \"x\"",
            "b.toml:2:10: lan.port: invalid type: string \"x\", expected i64",
        ),
        (
            "[coordination.transport]\ndefault_policy = \"Fastest\"",
            "b.toml:2:18: coordination.transport.default_policy: unknown variant `Fastest`, expected \
             one of `FastestFirst`, `MostReliable`, `EnergyEfficient`, `LoadBalanced`",
        ),
        (
            "[log]\nformat = \"xml\"",
            "b.toml:2:10: log.format: unknown variant `xml`, expected `text` or `json`",
        ),
        ("lan = 3", "b.toml:1:7: lan: invalid type: integer `3`, expected a table"),
        ("[[peers]]\naddresses = []", "b.toml:1:1: peers: missing field `id`"),
        // Texts.
        (
            "[node]\ndata_dir = \"data\"",
            "b.toml:2:1: node.data_dir = \"data\": it is relative; write an absolute path, or one that \
             starts with ~/",
        ),
        (
            "[admin]\nsocket = \"s\"",
            "b.toml:2:1: admin.socket = \"s\": it is relative; write an absolute path, or one that starts \
             with ~/",
        ),
        (
            "[node]\ndata_dir = \"/\\u0000\"",
            "b.toml:2:1: node.data_dir = \"/\\0\": it holds a zero byte, which no path does",
        ),
        (
            "[node]\nname = \"a\\nb\"",
            "b.toml:2:1: node.name = \"a\\nb\": it holds a control character; use plain text",
        ),
        (
            "[log]\nfilter = \" \"",
            "b.toml:2:1: log.filter = \"\": it is empty; write a level, as info or off",
        ),
        // Interfaces.
        (
            "[lan]\ninterfaces = [\"lo\", \"0.0.0.0\"]",
            "b.toml:2:1: lan.interfaces = \"0.0.0.0\": it stands for every interface; name each one that \
             may be used",
        ),
        (
            "[lan]\ninterfaces = [\"ff02::1\"]",
            "b.toml:2:1: lan.interfaces = \"ff02::1\": it is a multicast address; name an interface or an \
             address of one",
        ),
        (
            "[lan]\ninterfaces = [\"\"]",
            "b.toml:2:1: lan.interfaces = \"\": it is neither an address nor a name of an interface (`ip \
             link` lists them)",
        ),
        (
            "[lan]\ninterfaces = [\"lo\", \"lo\"]",
            "b.toml:2:1: lan.interfaces = \"lo\": it is listed twice; list it once",
        ),
        // The internet.
        (
            "[internet]\nlisten = [\"47802\"]",
            "b.toml:2:1: internet.listen = \"47802\": it is no address; write ip:port, as \
             0.0.0.0:47802 or [::]:47802",
        ),
        (
            "[internet]\nlisten = [\"224.0.0.1:1\"]",
            "b.toml:2:1: internet.listen = \"224.0.0.1:1\": it is a multicast address; write one of an \
             interface",
        ),
        (
            "[internet]\nlisten = [\"127.0.0.1:1\", \"127.0.0.1:1\"]",
            "b.toml:2:1: internet.listen = \"127.0.0.1:1\": it is listed twice; list it once",
        ),
        (
            "[internet]\nlisten = [\"127.0.0.1:1\", \"0.0.0.0:2\"]",
            "b.toml:2:1: internet.listen = \"0.0.0.0:2\": it stands beside another address of its \
             family, and one of both means every interface; list that one alone",
        ),
        (
            "[internet]\nrelays = [\"http://a\", \"http://a\"]",
            "b.toml:2:1: internet.relays = \"http://a\": it is listed twice; list it once",
        ),
        (
            "[internet]\nrelay = []",
            "b.toml:2:1: unknown key `internet.relay`; did you mean `internet.relays`?",
        ),
        (
            "[internet]\nrelay_roots = \"roots.pem\"",
            "b.toml:2:1: internet.relay_roots = \"roots.pem\": it is relative; write an absolute \
             path, or one that starts with ~/",
        ),
        #[cfg(feature = "internet")]
        (
            "[internet]\nrelays = [\"relay.example\"]",
            "b.toml:2:1: internet.relays = \"relay.example\": it is no URL, such as \
             https://relay.example",
        ),
        #[cfg(feature = "internet")]
        (
            &placed("[\"relay.example\"]"),
            "b.toml:1:3: peers = \"relay.example\": it is neither ip:port, such as 192.0.2.7:4433, nor \
             the URL of a relay",
        ),
        #[cfg(feature = "internet")]
        (
            &placed("[\"127.0.0.1:0\"]"),
            "b.toml:1:3: peers = \"127.0.0.1:0\": nobody can be reached there; write the address of one \
             host and its port",
        ),
        #[cfg(feature = "internet")]
        (
            &placed("[\"http://a http://b\"]"),
            "b.toml:1:3: peers = \"http://a http://b\": it holds a space; list each by itself",
        ),
        // Peers.
        (
            "[[peers]]\nid = \"ab\"\naddresses = []",
            "b.toml:1:3: peers = \"ab\": id: a peer id has 64 hexadecimal digits, this has 2 characters",
        ),
        (
            &peer("[]"),
            &format!(
                "b.toml:1:3: peers = \"{PEER}\": the peer has no addresses; add one as ip:port to \
                 addresses or internet, or the URL of its relay to internet"
            ),
        ),
        (
            &peer("[\"host:1\"]"),
            "b.toml:1:3: peers = \"host:1\": it is no address; write ip:port, as 192.0.2.7:47800 or \
             [fe80::1]:47800",
        ),
        (
            &peer("[\"127.0.0.1:0\"]"),
            "b.toml:1:3: peers = \"127.0.0.1:0\": nobody can be reached there; write the address and port \
             the peer listens at",
        ),
        (
            &format!("{}\n{}", peer("[\"127.0.0.1:1\"]"), peer("[\"127.0.0.1:2\"]")),
            &format!(
                "b.toml:1:3: peers = \"{PEER}\": the peer is listed twice; list all its addresses once"
            ),
        ),
        // Admission.
        (
            "[admission]\nallow = [\"ab\"]",
            "b.toml:2:1: admission.allow = \"ab\": a peer id has 64 hexadecimal digits, this has 2 characters",
        ),
        (
            &format!("[admission]\nblock = [\"{PEER}\", \"{PEER}\"]"),
            &format!(
                "b.toml:2:1: admission.block = \"{PEER}\": the peer is listed twice; list it once"
            ),
        ),
        (
            "[admission]\nmode = \"closed\"",
            "b.toml:2:8: admission.mode: unknown variant `closed`, expected one of `open`, `allow_list`, \
             `invitation`",
        ),
        // Relations.
        (
            "[lan]\nport = 4\ndiscovery_port = 4",
            "lan.port = 4 (b.toml:2:1) and lan.discovery_port = 4 (b.toml:3:1): both are UDP ports of \
             this node, so they must differ",
        ),
        (
            "[lan]\nport = 47801",
            "lan.port = 47801 (b.toml:2:1) and lan.discovery_port = 47801 (default): both are UDP ports \
             of this node, so they must differ",
        ),
        // Lengths.
        (
            &document("node.name", &format!("{:?}", long(65))),
            "b.toml:1:6: node.name has 65 bytes, it takes at most 64",
        ),
        (
            &document("log.filter", &format!("{:?}", long(1025))),
            "b.toml:1:5: log.filter has 1025 bytes, it takes at most 1024",
        ),
        (
            &document("admin.socket", &format!("\"/{}\"", long(107))),
            "b.toml:1:7: admin.socket has 108 bytes, it takes at most 107",
        ),
    ] {
        assert_eq!(refused(text), message, "{text}");
    }
}

#[test]
fn a_file_cut_short_anywhere_is_read_or_told_with_its_place() {
    let text = opened_template().replace("node", "nöde").replace("[nöde]", "[node]");
    let cuts = (0..text.len()).filter(|at| text.is_char_boundary(*at));
    let refused = cuts.filter_map(|at| parse(&text[..at], &[]).err());
    let mut count = 0;
    for error in refused {
        count += 1;
        assert!(error.to_string().starts_with("b.toml:"), "{error}");
    }
    assert!(count > 1000, "only {count} cuts were refused");
}

#[test]
fn lengths_have_two_sides() {
    let interfaces = |n: usize| {
        let names: Vec<_> = (0..n).map(|i| format!("eth{i}")).collect();
        document("lan.interfaces", &format!("{names:?}"))
    };
    let addresses = |n: usize| {
        let all: Vec<_> = (1..=n).map(|i| format!("127.0.0.1:{i}")).collect();
        format!("[[peers]]\nid = \"{PEER}\"\naddresses = {all:?}")
    };
    let peers = |n: usize| -> String {
        (0..n)
            .map(|i| format!("[[peers]]\nid = \"{i:064x}\"\naddresses = [\"127.0.0.1:1\"]\n"))
            .collect()
    };
    assert_eq!(parse(&interfaces(16), &[]).unwrap().lan().interfaces.len(), 16);
    assert_eq!(
        refused(&interfaces(17)),
        "b.toml:1:5: lan.interfaces has 17 interfaces, it takes at most 16"
    );
    let config = parse(&addresses(16), &[]).unwrap();
    assert_eq!(config.peers()[0].addresses.len(), 16);
    assert_eq!(
        refused(&addresses(17)),
        "b.toml:1:3: peers has 17 addresses in one peer, it takes at most 16"
    );
    let listed = |n: usize| {
        let all: Vec<_> = (0..n).map(|i| format!("{i:064x}")).collect();
        document("admission.allow", &format!("{all:?}"))
    };
    assert_eq!(parse(&listed(4096), &[]).unwrap().admission().allow.len(), 4096);
    assert_eq!(
        refused(&listed(4097)),
        "b.toml:1:11: admission.allow has 4097 peers, it takes at most 4096"
    );
    assert_eq!(parse(&peers(1024), &[]).unwrap().peers().len(), 1024);
    assert_eq!(refused(&peers(1025)), "b.toml:1:3: peers has 1025 peers, it takes at most 1024");
    let listen = |n: usize| {
        let all: Vec<_> = (1..=n).map(|i| format!("127.0.0.1:{i}")).collect();
        document("internet.listen", &format!("{all:?}"))
    };
    assert_eq!(parse(&listen(8), &[]).unwrap().internet().listen.len(), 8);
    assert_eq!(
        refused(&listen(9)),
        "b.toml:1:10: internet.listen has 9 addresses, it takes at most 8"
    );
    let relays = |n: usize| {
        let all: Vec<_> = (0..n).map(|i| format!("https://r{i}.example")).collect();
        document("internet.relays", &format!("{all:?}"))
    };
    assert_eq!(parse(&relays(8), &[]).unwrap().internet().relays.len(), 8);
    assert_eq!(
        refused(&relays(9)),
        "b.toml:1:10: internet.relays has 9 relays, it takes at most 8"
    );
    let places = |direct: usize, relays: usize| {
        let direct = (1..=direct).map(|i| format!("127.0.0.1:{i}"));
        let all: Vec<_> = direct.chain((0..relays).map(|i| format!("http://r{i}"))).collect();
        format!("[[peers]]\nid = \"{PEER}\"\ninternet = {all:?}")
    };
    assert_eq!(parse(&places(16, 4), &[]).unwrap().peers()[0].internet.len(), 20);
    assert_eq!(
        refused(&places(16, 5)),
        "b.toml:1:3: peers has 21 internet addresses in one peer, it takes at most 20"
    );
    #[cfg(feature = "internet")]
    assert!(refused(&places(15, 5)).ends_with("more than 4 relays"));
    let name = |n: usize| document("node.name", &format!("{:?}", "x".repeat(n)));
    let config = parse(&name(64), &[]).unwrap();
    assert_eq!(config.node().name, Some("x".repeat(64)));
    let socket = format!("/{}", "x".repeat(106));
    let config = parse(&document("admin.socket", &format!("{socket:?}")), &[]).unwrap();
    assert_eq!(config.admin().socket, PathBuf::from(socket));
    let filter = |n: usize| document("log.filter", &format!("{:?}", "x".repeat(n)));
    assert_eq!(parse(&filter(1024), &[]).unwrap().log().filter.len(), 1024);
    let named = |n: usize| document("lan.interfaces", &format!("[{:?}]", "x".repeat(n)));
    let config = parse(&named(15), &[]).unwrap();
    assert_eq!(config.lan().interfaces, [Interface::Name("x".repeat(15))]);
    assert!(refused(&named(16)).contains("neither an address nor a name"));
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
[store]
enabled = false
path = "~/s.redb"
max_bytes = 33554432
[internet]
enabled = false
listen = ["127.0.0.1:9", "[::]:0"]
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
    let internet = InternetSettings {
        enabled: false,
        listen: vec!["127.0.0.1:9".parse().unwrap(), "[::]:0".parse().unwrap()],
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
    assert_eq!(config.admin().socket, Path::new("/s"));
    let store = config.store();
    assert_eq!((store.enabled, store.max_bytes), (false, 32 << 20));
    assert_eq!(store.path, Path::new("/h/s.redb"));
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
fn the_data_directory_follows_the_environment() {
    let at = |variables: &[(&str, &str)]| {
        let environment: Environment = variables.iter().copied().collect();
        Config::parse("", Path::new("b.toml"), &environment).map(|c| c.node().data_dir.clone())
    };
    let home = PathBuf::from("/h/.local/share/bitcraps");
    assert_eq!(at(&[("HOME", "/h")]), Ok(home.clone()));
    assert_eq!(at(&[("HOME", "/h"), ("XDG_DATA_HOME", "")]), Ok(home.clone()));
    assert_eq!(at(&[("HOME", "/h"), ("XDG_DATA_HOME", "rel")]), Ok(home));
    assert_eq!(at(&[("XDG_DATA_HOME", "/x")]), Ok(PathBuf::from("/x/bitcraps")));
    let error = at(&[]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "default: node.data_dir needs HOME to be set; set it, or write an absolute path to \
         node.data_dir"
    );
    let deep = format!("/{}", "x".repeat(107 - "//bitcraps/admin.sock".len()));
    assert!(at(&[("XDG_DATA_HOME", &deep)]).is_ok());
    assert_eq!(
        at(&[("XDG_DATA_HOME", &format!("{deep}x"))]).unwrap_err().to_string(),
        "default: admin.socket has 108 bytes, it takes at most 107"
    );
}

#[test]
fn the_environment_wins_over_the_file() {
    let text = "[coordination.transport]\ndefault_policy = \"FastestFirst\"\n[lan]\nport = 5";
    let variables = [
        ("BITCRAPS__COORDINATION__TRANSPORT__DEFAULT_POLICY", "MostReliable"),
        ("BITCRAPS__LAN__PORT", "7"),
        ("BITCRAPS__LAN__INTERFACES", "[\"lo\", \"127.0.0.2\"]"),
        ("BITCRAPS__LAN__MDNS", "false"),
        ("BITCRAPS__LAN__PRIOR", "0.25"),
        ("BITCRAPS__NODE__NAME", "42"),
        ("BITCRAPS__LOG__FILTER", ""),
        ("BITCRAPS__LOG__FILTER", "bitcraps=trace"),
        (
            "BITCRAPS__PEERS",
            "[{ id = \"d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a\", addresses = \
             [\"127.0.0.1:1\"] }]",
        ),
    ];
    let config = parse(text, &variables).unwrap();
    assert_eq!(config.transport().default_policy, Policy::MostReliable);
    assert_eq!(config.lan().port, 7);
    assert_eq!(config.lan().interfaces.len(), 2);
    assert!(!config.lan().mdns);
    assert_eq!(config.lan().prior, Ratio::new(0.25).unwrap());
    assert_eq!(config.node().name.as_deref(), Some("42"));
    assert_eq!(config.log().filter, "bitcraps=trace");
    assert_eq!(config.peers().len(), 1);
}

#[test]
fn a_mistake_in_the_environment_names_its_variable() {
    for (variable, value, message) in [
        (
            "BITCRAPS__LAN__PROT",
            "1",
            "environment variable BITCRAPS__LAN__PROT sets no known key; did you mean \
             `BITCRAPS__LAN__PORT`?",
        ),
        ("BITCRAPS__LAN", "{}", "environment variable BITCRAPS__LAN sets no known key"),
        ("BITCRAPS__QUUXQUUX", "1", "environment variable BITCRAPS__QUUXQUUX sets no known key"),
        (
            "BITCRAPS__LAN__PORT",
            "seven",
            "environment variable BITCRAPS__LAN__PORT: lan.port: invalid type: string \"seven\", \
             expected i64",
        ),
        (
            "BITCRAPS__LAN__PORT",
            "true",
            "environment variable BITCRAPS__LAN__PORT: lan.port: invalid type: boolean `true`, expected \
             i64",
        ),
        (
            "BITCRAPS__LAN__PORT",
            "70000",
            "environment variable BITCRAPS__LAN__PORT: lan.port = 70000 is out of range, it takes 0 to \
             65535",
        ),
        (
            "BITCRAPS__COORDINATION__TRANSPORT__DEFAULT_POLICY",
            "Fast",
            "environment variable BITCRAPS__COORDINATION__TRANSPORT__DEFAULT_POLICY: \
             coordination.transport.default_policy: unknown variant `Fast`, expected one of \
             `FastestFirst`, `MostReliable`, `EnergyEfficient`, `LoadBalanced`",
        ),
        (
            "BITCRAPS__LAN__PORT",
            "1\nmdns = false",
            "environment variable BITCRAPS__LAN__PORT: lan.port: invalid type: string \"1\\nmdns = \
             false\", expected i64",
        ),
    ] {
        let error = parse("", &[(variable, value)]).unwrap_err();
        assert_eq!(error.to_string(), message);
    }
}

#[test]
fn a_value_that_is_no_text_names_its_variable() {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;
    let value = OsString::from_vec(vec![0xff]);
    let environment: Environment = [
        (OsString::from("HOME"), OsString::from("/h")),
        (OsString::from("BITCRAPS__NODE__NAME"), value.clone()),
    ]
    .into_iter()
    .collect();
    let error = Config::parse("", Path::new(""), &environment).unwrap_err();
    assert_eq!(error.to_string(), "environment variable BITCRAPS__NODE__NAME holds no text");
    // Somebody else's variable may hold anything.
    let environment: Environment =
        [(OsString::from("HOME"), OsString::from("/h")), (OsString::from("OTHER"), value)]
            .into_iter()
            .collect();
    assert!(Config::parse("", Path::new(""), &environment).is_ok());
}

#[test]
fn every_value_knows_where_it_comes_from() {
    let text = "[lan]\nport = 5\n  mdns = true\n[[peers]]\nid = \"0000000000000000000000000000000000000000000000000000000000000000\"\naddresses = [\"127.0.0.1:1\"]\n";
    let config = parse(text, &[("BITCRAPS__LAN__PORT", "6")]).unwrap();
    let origin = |key: &str| config.origin_of(key).map(ToString::to_string);
    assert_eq!(origin("lan.port").unwrap(), "environment variable BITCRAPS__LAN__PORT");
    assert_eq!(origin("lan.mdns").unwrap(), "b.toml:3:3");
    assert_eq!(origin("peers").unwrap(), "b.toml:4:3");
    assert_eq!(origin("lan.beacon").unwrap(), "default");
    assert_eq!(origin("lan.prot"), None);
    assert_eq!(origin("lan"), None);
    assert_eq!(config.entries().count(), KEYS.len());
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
