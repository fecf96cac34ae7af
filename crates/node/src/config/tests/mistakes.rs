use super::*;

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
        ("partition_risk_clear", ("0.0", "0.7", "-0.1", "1.1", "0 to 1")),
        ("partition_risk_advice", ("0.0", "1", "-0.1", "1.1", "0 to 1")),
        ("max_diameter_clear", ("0", "8", "-1", "1001", "0 to 1000")),
        ("max_diameter_advice", ("1", "1000", "0", "1001", "1 to 1000")),
        ("min_clustering_clear", ("0.3", "1", "-0.1", "1.1", "0 to 1")),
        ("bridge_node_load_clear", ("0.0", "0.8", "-0.1", "1.1", "0 to 1")),
        ("absent_after_intervals", ("2", "1000", "1", "1001", "2 to 1000")),
    ] {
        table.push((format!("coordination.network_monitor.{name}"), row));
    }
    for (name, row) in [
        ("pause_above", ("0.0", "1", "-0.1", "1.1", "0 to 1")),
        ("resume_at", ("0.0", "0.8", "-0.1", "1.1", "0 to 1")),
        ("calm_seconds", ("0", "3600", "-1", "3601", "0 to 3600")),
    ] {
        table.push((format!("coordination.betting.{name}"), row));
    }
    for key in KEYS.iter().filter(|key| key.path.starts_with("coordination.alerts.")) {
        table.push((key.path.to_owned(), ("0", "86400", "-1", "86401", "0 to 86400")));
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
    let neighbours = ("1", "64", "0", "65", "1 to 64");
    table.push(("healing.bluetooth_neighbours".to_owned(), neighbours));
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
            "[history]\npath = \"past\"",
            "b.toml:2:1: history.path = \"past\": it is relative; write an absolute path, or one that \
             starts with ~/",
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
        // Bluetooth.
        (
            "[bluetooth]\nadapter = \"/dev/hci0\"",
            "b.toml:2:1: bluetooth.adapter = \"/dev/hci0\": it is no adapter's name; write hci0, or \
             what `bluetoothctl list` shows",
        ),
        (
            "[bluetooth]\nadapter = \"0123456789abcdef\"",
            "b.toml:2:1: bluetooth.adapter = \"0123456789abcdef\": it is no adapter's name; write \
             hci0, or what `bluetoothctl list` shows",
        ),
        (
            "[bluetooth]\nadapter = \"hci0\"\nhci = \"serial:/dev/ttyACM0\"",
            "b.toml:3:1: bluetooth.hci = \"serial:/dev/ttyACM0\": bluetooth.adapter names an adapter of \
             BlueZ beside it; leave one of both empty",
        ),
        // The internet.
        // The dashboard.
        (
            "[dashboard]\nlisten = \"9464\"",
            "b.toml:2:1: dashboard.listen = \"9464\": it is no address; write ip:port, as \
             127.0.0.1:9464",
        ),
        (
            "[dashboard]\nlisten = \"0.0.0.0:9464\"",
            "b.toml:2:1: dashboard.listen = \"0.0.0.0:9464\": others could read it there, and nothing \
             asks who they are; write an address of this machine alone, as 127.0.0.1:9464",
        ),
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
            "[internet]\npublic = [\"0.0.0.0:1\"]",
            "b.toml:2:1: internet.public = \"0.0.0.0:1\": nobody can be reached there; write an \
             address and port that lead to one host",
        ),
        (
            "[internet]\npublic = [\"192.0.2.1:1\", \"192.0.2.1:1\"]",
            "b.toml:2:1: internet.public = \"192.0.2.1:1\": it is listed twice; list it once",
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
            "b.toml:1:3: peers = \"127.0.0.1:0\": nobody can be reached there; write an address and port \
             that lead to one host",
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
    let public = |n: usize| {
        let all: Vec<_> = (1..=n).map(|n| format!("192.0.2.{n}:1")).collect();
        document("internet.public", &format!("{all:?}"))
    };
    assert_eq!(parse(&public(4), &[]).unwrap().internet().public.len(), 4);
    assert_eq!(
        refused(&public(5)),
        "b.toml:1:10: internet.public has 5 addresses, it takes at most 4"
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
