//! The life of one process: signals, reloads, what it refuses to start with.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use rustix::process::Signal;

use crate::process::{Home, Port, Running};

#[test]
fn a_hangup_reloads_and_a_wrong_file_changes_nothing() {
    let port = Port::claim();
    let mut node = Running::start(&port, "");
    let show = |node: &Running| node.ask(&["config", "show", "--running"]).exits(0).out;
    let file = node.home.configure(
        &port,
        "[node]\nname = \"new\"\n[coordination.transport]\ndefault_policy = \"MostReliable\"\n",
    );
    node.signal(Signal::HUP);
    assert_eq!(node.err.until("reloaded "), "reloaded bitcraps.toml (by --config): 2 changes");
    let policy = "  coordination.transport.default_policy: \"FastestFirst\" -> \"MostReliable\"";
    assert_eq!(node.err.until("default_policy"), policy);
    assert_eq!(node.err.until("node.name"), "  node.name: \"\" -> \"new\" (needs a restart)");
    assert!(show(&node).contains("coordination.transport.default_policy = \"MostReliable\""));

    let good = fs::read_to_string(&file).unwrap();
    fs::write(&file, "[coordination.transport]\ndefault_polic = \"FastestFirst\"\n").unwrap();
    node.signal(Signal::HUP);
    let refused = node.err.until("reload refused");
    let place = "bitcraps.toml:2:1: unknown key `coordination.transport.default_polic`; did you mean \
                 `coordination.transport.default_policy`?";
    assert!(refused.ends_with(place), "{refused}");
    fs::write(&file, good.clone() + "[log]\nfilter = \"x=y=z\"\n").unwrap();
    node.ask(&["config", "reload"]).exits(2).complains("log.filter = \"x=y=z\"");
    fs::write(&file, "[lan]\nport = 99999\n").unwrap();
    // The file that names the socket is the one that is wrong.
    let socket = node.home.join(".local/share/bitcraps/admin.sock");
    let socket = socket.to_str().unwrap();
    let wrong = node.home.run(&["--socket", socket, "config", "reload", "--json"]).exits(2);
    assert_eq!(wrong.json()["error"]["kind"], "bad_config");
    let shown = node.home.run(&["--socket", socket, "config", "show", "--running"]).exits(0);
    shown.prints("coordination.transport.default_policy = \"MostReliable\"");

    fs::write(&file, good + "[log]\nfilter = \"warn\"\n").unwrap();
    let text = node.ask(&["config", "reload"]).exits(0);
    assert_eq!(text.out, "reloaded bitcraps.toml: 1 change\n  log.filter: \"info\" -> \"warn\"\n");
}

#[test]
fn an_identity_runs_once_at_a_time() {
    let port = Port::claim();
    let node = Running::start(&port, "");
    let second = node.ask(&["run"]).exits(2);
    second.complains("another process runs with this identity").complains("epoch.lock is locked");
    node.ask(&["status", "--json"]).exits(1);
}

#[test]
fn a_key_that_others_can_read_is_refused() {
    let port = Port::claim();
    let home = Home::new();
    home.configure(&port, "");
    let keygen = home.run(&["keygen", "--out", ".local/share/bitcraps/key"]).exits(0);
    let key = home.join(".local/share/bitcraps/key");
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o7777, 0o600);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let refused = home.run(&["--config", "bitcraps.toml", "run"]).exits(2);
    refused.complains("has mode 0644").complains(&format!("run `chmod 600 {}`", key.display()));
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let node = Running::start_in(home, &[]);
    assert_eq!(node.id, keygen.out.trim());
}

#[test]
fn without_an_interface_it_says_what_to_write() {
    let home = Home::new();
    let refused = home.run(&["run"]).exits(2).complains("no interface is chosen");
    let line = refused.err.lines().map(str::trim).find(|l| l.starts_with("interfaces = [\""));
    assert!(refused.err.contains("[lan]") && line.is_some(), "{}", refused.err);
    // What it says to write is right.
    home.write("bitcraps.toml", &format!("[lan]\n{}\n", line.unwrap()));
    home.run(&["config", "check", "bitcraps.toml"]).exits(0);
}

#[test]
fn a_termination_is_graceful_and_a_kill_leaves_no_obstacle() {
    let port = Port::claim();
    let node = Running::start(&port, "");
    let socket = node.home.join(".local/share/bitcraps/admin.sock");
    let mode = fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    node.signal(Signal::KILL);
    let (code, home) = node.ends();
    assert_eq!(code, None);
    assert!(socket.exists(), "a killed process cleans nothing");

    let node = Running::start_in(home, &[]);
    let status = node.ask(&["status", "--json"]).exits(1).json();
    assert_eq!(status["epoch"], 2);
    for signal in [Signal::TERM, Signal::INT] {
        let node = Running::start(&port, "");
        node.signal(signal);
        let (code, home) = node.ends();
        assert_eq!(code, Some(0));
        assert!(!home.join(".local/share/bitcraps/admin.sock").exists());
    }
}

#[test]
fn the_log_follows_the_configuration() {
    let port = Port::claim();
    let mut node = Running::start(&port, "[log]\nformat = \"json\"\n");
    let other = Running::start(&port, "");
    let line: serde_json::Value = serde_json::from_str(&node.err.until("link carries")).unwrap();
    assert_eq!(line["fields"]["message"], "link carries data");
    assert_eq!(line["fields"]["peer"], other.id[..10]);
}
