//! Nodes that know each other through a relay only.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test that calls it")]

use std::process::{Child, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::process::{Home, Lines, Running};

/// A relay in a process of its own; killed when dropped.
struct Relay {
    child: Child,
    url: String,
    err: Lines,
    _home: Home,
}

impl Relay {
    fn start() -> Self {
        let home = Home::new();
        let mut command = home.command(&["relay", "--listen", "127.0.0.1:0", "--json"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let line = Lines::of(child.stdout.take().unwrap()).until("schema");
        let status: Value = serde_json::from_str(&line).unwrap();
        let relay = &status["relay"];
        assert_eq!((&status["schema"], &relay["max_clients"]), (&json!(1), &json!(1_024)));
        let url = relay["url"].as_str().unwrap().to_owned();
        assert!(url.starts_with("http://127.0.0.1:"), "{url}");
        let err = Lines::of(child.stderr.take().unwrap());
        Self { child, url, err, _home: home }
    }

    fn stops(mut self) -> Option<i32> {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        self.err.until("stopping");
        self.child.wait().unwrap().code()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A node with internet links only, from `listen`.
fn node(relay: &Relay, listen: &str, more: &str) -> Running {
    let home = Home::new();
    let text = format!(
        "[lan]\nenabled = false\n[internet]\nlisten = [\"{listen}\"]\nrelays = [\"{}\"]\n{more}",
        relay.url
    );
    home.write("bitcraps.toml", &text);
    Running::start_in(home, &["--print-messages"])
}

#[test]
fn who_is_known_through_a_relay_only_is_reached_through_it() {
    let relay = Relay::start();
    // Of different families, so that there is no other way.
    let mut far = node(&relay, "[::1]:0", "");
    let peer = format!("[[peers]]\nid = \"{}\"\ninternet = [\"{}\"]\n", far.id, relay.url);
    let near = node(&relay, "127.0.0.1:0", &peer);
    near.until_reaches(1);
    let links = near.ask(&["links", "--json"]).exits(0).json();
    let link = &links["links"][0];
    assert_eq!((&link["transport"], &link["medium"]), (&json!("internet"), &json!("loopback")));
    assert_eq!(link["relay"], relay.url);
    let shown = format!("{} - {} through {}", &near.id[..10], &far.id[..10], relay.url);
    near.ask(&["links"]).exits(0).prints(&shown);
    near.ask(&["send", &far.id, "by relay"]).exits(0).prints("(internet)");
    assert_eq!(far.out.until("by relay"), format!("{} critical: by relay", &near.id[..10]));
    drop((near, far));
    assert_eq!(relay.stops(), Some(0));
}

#[test]
fn what_makes_no_relay_is_told() {
    let home = Home::new();
    home.run(&["relay"]).exits(64).complains("--listen");
    home.run(&["relay", "--listen", "127.0.0.1:0", "--tls-cert", "c.pem"])
        .exits(64)
        .complains("--tls-key");
    home.run(&["relay", "--listen", "127.0.0.1:0", "--tls-cert", "c.pem", "--tls-key", "k.pem"])
        .exits(2)
        .complains("c.pem: ");
    home.run(&["relay", "--listen", "192.0.2.1:1"]).exits(2).complains("192.0.2.1:1");
}
