use std::collections::BTreeSet;

use fastrand::Rng;

use super::*;

/// Requests, keys and epochs tried; less than a second each.
const INPUTS: usize = 60_000;
/// Configurations tried, each of which takes longer; about a second.
const CONFIGS: usize = 2_000;

const REQUESTS: [&str; 18] = [
    r#"{"schema":1,"request":"status"}"#,
    r#"{"schema":1,"request":"peers","more":[1,{"a":null}]}"#,
    r#"{"schema":1,"request":"links","peer":"abcd"}"#,
    r#"{"schema":1,"request":"links","peer":null}"#,
    r#"{"schema":1,"request":"why","peer":"\u00e4\ud83d\ude00"}"#,
    r#"{"schema":1,"request":"send","peer":"ab","class":"critical","payload":"x\n","ack":"applied","deadline_ms":18446744073709551615,"wait":true}"#,
    r#"{"schema":1,"request":"send","peer":"ab","class":"bulk","payload":""}"#,
    r#"{"schema":1,"request":"ping","peer":"ab","count":4}"#,
    r#"{"schema":2,"request":"reload"}"#,
    r#"{"schema":1,"request":"invite","life_ms":3600000,"uses":1}"#,
    r#"{"schema":1,"request":"join","code":"bitcraps1q","wait_ms":1}"#,
    r#"{"schema":1,"request":"block","peer":"abcd"}"#,
    r#"{"schema":1,"request":"silence","kind":"PeerLost","peer":null,"author":"ann","life_ms":1}"#,
    r#"{"schema":1,"request":"history","grain":"five_seconds"}"#,
    r#"{"schema":1,"request":"heal","apply":true}"#,
    r#"{"schema":1,"request":"game","host":"abcd"}"#,
    r#"{"schema":1,"request":"unsilence","id":1}"#,
    r#"{"schema":1,"request":"acknowledge","alert":"0f0f0f0f","author":"ann"}"#,
];
const IN_JSON: [&str; 18] = [
    "\"",
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "null",
    "-1",
    "1e15",
    "1e400",
    "\\u0000",
    "\\ud800",
    "\\",
    "true",
    "\"schema\":1,",
    "\"peer\":7,",
    "99999999999999999999",
];

const CONFIG: &str = r#"[coordination.network_monitor]
health_check_interval_seconds = 5
anomaly_threshold_multiplier = 2.0
[coordination.transport]
default_policy = "FastestFirst"
[coordination.transport.internet]
max_packet_size = 1048576
reliability_threshold = 0.95
[node]
name = "n"
data_dir = "~/d"
[lan]
port = 7
discovery_port = 8
interfaces = ["lo", "::1"]
[admission]
mode = "invitation"
block = ["0000000000000000000000000000000000000000000000000000000000000000"]
stranger_links = 9
[admin]
socket = "~/s"
[[peers]]
id = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
addresses = ["127.0.0.1:4000", "[::1]:4001"]
[log]
filter = "info"
"#;
const IN_TOML: [&str; 26] = [
    "\"",
    "'",
    "[",
    "]",
    "{",
    "}",
    "=",
    ".",
    "\n",
    "#",
    "\"\"\"",
    "-",
    "e9",
    "nan",
    "inf",
    "true",
    "1979-05-27",
    "0x7fffffffffffffff",
    "9223372036854775808",
    "\\u0000",
    "\u{1F600}",
    "[[peers]]\n",
    "~",
    "~/",
    "../",
    "[lan]\n",
];

const KEYS: [&str; 3] = [
    "# Secret key of peer d75a\n9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60\n",
    "9D61B19DEFFD5A60BA844AF492EC2CC44449C5697B326919703BAC031CAE7F60",
    "\r\n  9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60\t\r\n# end",
];
const IN_KEYS: [&str; 9] = ["\n", "#", " ", "a", "g", "G", "+", "\u{E9}", "\nab\n"];

const EPOCHS: [&str; 5] = ["1\n", "41", "18446744073709551615\n", "0", "000000000000000000007\n"];
const IN_EPOCHS: [&str; 8] = ["\n", "0", "9", "+", "-", " ", "\u{661}", "18446744073709551616"];

/// One of `seeds` with up to four changes, some of which put in one of `parts`.
fn mutated(rng: &mut Rng, seeds: &[&str], parts: &[&str]) -> Vec<u8> {
    let one = |rng: &mut Rng, of: &[&str]| of[rng.usize(..of.len())].as_bytes().to_vec();
    let mut bytes = one(rng, seeds);
    for _ in 0..rng.usize(0..=4) {
        let at = rng.usize(..=bytes.len());
        match rng.u8(..8) {
            0 => bytes.truncate(at),
            1 => {
                let other = one(rng, seeds);
                bytes.truncate(at);
                bytes.extend_from_slice(&other[at.min(other.len())..]);
            }
            2..=4 => {
                let end = (at + rng.usize(..4)).min(bytes.len());
                bytes.splice(at..end, one(rng, parts));
            }
            _ if at == bytes.len() => {}
            5 => drop(bytes.remove(at)),
            6 => bytes[at] ^= 1 << rng.u8(..8),
            _ => bytes[at] = rng.u8(..),
        }
    }
    bytes
}

fn walked(inputs: usize, mut name: impl FnMut(&mut Rng) -> &'static str) -> Vec<&'static str> {
    let mut rng = Rng::with_seed(1);
    (0..inputs).map(|_| name(&mut rng)).collect::<BTreeSet<_>>().into_iter().collect()
}

#[test]
fn mutated_requests_reach_every_request_and_refusal() {
    let seen = walked(INPUTS, |rng| match request(&mutated(rng, &REQUESTS, &IN_JSON)) {
        Ok(Request::Status) => "=status",
        Ok(Request::Peers) => "=peers",
        Ok(Request::Links { .. }) => "=links",
        Ok(Request::Why { .. }) => "=why",
        Ok(Request::Send { .. }) => "=send",
        Ok(Request::Ping { .. }) => "=ping",
        Ok(Request::Invite { .. }) => "=invite",
        Ok(Request::Join { .. }) => "=join",
        Ok(Request::Admit { .. }) => "=admit",
        Ok(Request::Block { .. }) => "=block",
        Ok(Request::Forget { .. }) => "=forget",
        Ok(Request::Topology) => "=topology",
        Ok(Request::Path { .. }) => "=path",
        Ok(Request::Health) => "=health",
        Ok(Request::History { .. }) => "=history",
        Ok(Request::Heal { .. }) => "=heal",
        Ok(Request::Game { .. }) => "=game",
        Ok(Request::Alerts) => "=alerts",
        Ok(Request::Silence { .. }) => "=silence",
        Ok(Request::Unsilence { .. }) => "=unsilence",
        Ok(Request::Acknowledge { .. }) => "=acknowledge",
        Ok(Request::Metrics) => "=metrics",
        Ok(Request::Outbox) => "=outbox",
        Ok(Request::Reload) => "=reload",
        Ok(Request::Config) => "=config",
        Ok(Request::Targets) => "=targets",
        Err(refusal) => {
            let starts = [
                "the request is no JSON",
                "the request has schema",
                "the request has no \"schema\"",
                "the request is not understood",
            ];
            let known = starts.into_iter().find(|start| refusal.message.starts_with(start));
            known.unwrap_or("another refusal")
        }
    });
    let all = [
        "=acknowledge",
        "=block",
        "=game",
        "=heal",
        "=history",
        "=invite",
        "=join",
        "=links",
        "=peers",
        "=ping",
        "=reload",
        "=send",
        "=silence",
        "=status",
        "=unsilence",
        "=why",
        "the request has no \"schema\"",
        "the request has schema",
        "the request is no JSON",
        "the request is not understood",
    ];
    assert_eq!(seen, all);
}

#[test]
fn a_deep_or_long_request_is_refused() {
    for nested in ["[", "{\"a\":", "\"\\u0001"] {
        for size in [100, 10_000, MAX_REQUEST / nested.len(), MAX_REQUEST] {
            let line = format!("{{\"schema\":1,\"request\":{}", nested.repeat(size));
            assert!(request(line.as_bytes()).is_err(), "{size} of {nested}");
        }
    }
    let cited = format!("{{\"schema\":1,\"request\":\"{}\"}}", "\u{7F}".repeat(MAX_REQUEST - 30));
    assert!(request(cited.as_bytes()).is_err());
}

#[test]
fn mutated_configurations_reach_every_refusal_of_text() {
    // A byte too many for a contradiction.
    let ports = "lan.port=1\nlan.discovery_port=11";
    let seeds = [CONFIG, CONFIG, CONFIG, CONFIG, CONFIG, ports, Config::template(), ""];
    for seed in seeds {
        assert!(config(seed.as_bytes()).is_ok(), "{seed}");
    }
    let seen = walked(CONFIGS, |rng| match config(&mutated(rng, &seeds, &IN_TOML)) {
        Ok(_) => "=config",
        Err(ConfigError::Read { .. }) => "read",
        Err(ConfigError::TooLarge { .. }) => "too large",
        Err(ConfigError::Syntax { .. }) => "syntax",
        Err(ConfigError::UnknownKey { .. }) => "unknown key",
        Err(ConfigError::UnknownVariable { .. }) => "unknown variable",
        Err(ConfigError::VariableNotText(_)) => "variable not text",
        Err(ConfigError::WrongType { .. }) => "wrong type",
        Err(ConfigError::OutOfRange { .. }) => "out of range",
        Err(ConfigError::TooLong { .. }) => "too long",
        Err(ConfigError::Unfit { .. }) => "unfit",
        Err(ConfigError::Contradiction(_)) => "contradiction",
        Err(ConfigError::NoHome { .. }) => "no home",
    });
    let all = [
        "=config",
        "contradiction",
        "out of range",
        "syntax",
        "unfit",
        "unknown key",
        "wrong type",
    ];
    assert_eq!(seen, all);
}

#[test]
fn a_deep_configuration_is_refused() {
    for (nested, end) in [("[", ""), ("{a=", ""), ("a.", "a=1"), ("lan.", "port=1")] {
        for before in ["", "lan = ", "["] {
            for size in [100, 300_000] {
                let text = format!("{before}{}{end}", nested.repeat(size));
                assert!(config(text.as_bytes()).is_err(), "{size} of {nested} after {before}");
            }
        }
    }
}

#[test]
fn mutated_keys_reach_every_refusal() {
    let seen = walked(INPUTS / 10, |rng| match key_file(&mutated(rng, &KEYS, &IN_KEYS)) {
        Ok(_) => "=key",
        Err(KeyProblem::Empty) => "empty",
        Err(KeyProblem::SeveralLines) => "several lines",
        Err(KeyProblem::Length(_)) => "length",
        Err(KeyProblem::Digit(_)) => "digit",
        Err(KeyProblem::NoFile) => "no file",
        Err(KeyProblem::TooLong) => "too long",
    });
    assert_eq!(seen, ["=key", "digit", "empty", "length", "several lines"]);
    for (lines, expected) in [(4096, Err(KeyProblem::Empty)), (4097, Err(KeyProblem::TooLong))] {
        assert_eq!(key_file("\n".repeat(lines).as_bytes()).map(drop), expected, "{lines}");
    }
}

#[test]
fn mutated_epochs_are_read_or_refused() {
    let seen = walked(INPUTS, |rng| match epoch(&mutated(rng, &EPOCHS, &IN_EPOCHS)) {
        Some(Epoch(u64::MAX)) => "=last",
        Some(_) => "=epoch",
        None => "refused",
    });
    assert_eq!(seen, ["=epoch", "=last", "refused"]);
}

/// An invitation without addresses, and one with all kinds of them.
const CODES: [&str; 2] = [
    "bitcraps1q8ta047h6lta047h6lta047h6lta047h6lta047h6lta047h6ltawhj7te09uhj7te09uhj7te09uhsqqqudyrw2",
    "bitcraps1q8ta047h6lta047h6lta047h6lta047h6lta047h6lta047h6ltawhj7te09uhj7te09uhj7te09uhszqnqqqqs8h2uqvqqqqqqqqqqqqqqqqqqqqqqqqqgqpyjnzwfc9c6nzt33xqczudp6xusxsar5wpen5te0wfjkccte9ejhsctdwpkx2tceqgqxc",
];
const IN_CODES: [&str; 8] = ["1", "q", "b", "bitcraps", "BITCRAPS1", " ", "\u{212A}", "qqqqqq"];

#[test]
fn mutated_codes_are_read_or_told_to_be_damaged() {
    let seen = walked(INPUTS / 10, |rng| match invitation_code(&mutated(rng, &CODES, &IN_CODES)) {
        Ok(_) => "=invitation",
        Err(CodeError::TooLong(_)) => "too long",
        Err(CodeError::Damaged(_)) => "damaged",
        Err(CodeError::Foreign(_)) => "foreign",
        Err(CodeError::NotUnderstood(_)) => "not understood",
    });
    // Nothing else gets past the checksum.
    assert_eq!(seen, ["=invitation", "damaged"]);
}

const BOOK: &str = r#"version = 1
[[peers]]
id = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
standing = "admitted"
lan = ["127.0.0.1:4000", "[::1]:4001"]
internet = "198.51.100.4:7 https://relay.example/"
[[peers]]
id = "0000000000000000000000000000000000000000000000000000000000000000"
standing = "blocked"
[[invitations]]
secret = "a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5"
expires = 1763837654
uses = 2
used_by = ["d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"]
"#;

#[test]
fn mutated_decisions_are_read_or_refused() {
    let seen = walked(CONFIGS, |rng| match peers_file(&mutated(rng, &[BOOK], &IN_TOML)) {
        Ok(()) => "=book",
        Err(_) => "refused",
    });
    assert_eq!(seen, ["=book", "refused"]);
}
