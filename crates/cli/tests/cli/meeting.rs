//! Two processes on one machine.

use serde_json::json;

use crate::process::{Home, Port, Running};

struct Meeting {
    near: Running,
    far: Running,
    port: Port,
}

impl Meeting {
    fn new() -> Self {
        let port = Port::claim();
        let (near, far) = (Running::start(&port, ""), Running::start(&port, ""));
        near.until_reaches(1);
        far.until_reaches(1);
        Self { near, far, port }
    }
}

#[test]
fn two_processes_find_each_other_and_a_message_arrives() {
    let Meeting { near, mut far, port: _port } = Meeting::new();
    let start = &far.id[..6];
    let status = near.ask(&["status", "--json"]).exits(0).json();
    assert_eq!(status["health"], "healthy");
    assert_eq!(status["node"], near.id);
    let peer = &status["peers"][0];
    assert_eq!((&peer["peer"], &peer["epoch"]), (&json!(far.id), &json!(1)));
    assert_eq!(peer["links"][0]["medium"], "loopback");
    near.ask(&["status"]).exits(0).prints("health  healthy").prints(&far.id[..10]);

    let sent = near.ask(&["send", start, "good morning"]).exits(0);
    let expected = format!("delivered to {} over link #", &far.id[..10]);
    assert!(sent.out.starts_with(&expected), "{}", sent.out);
    assert!(sent.out.ends_with(", 1 transmission\n"), "{}", sent.out);
    let line = format!("{} critical: good morning", &near.id[..10]);
    assert_eq!(far.out.until("good morning"), line);

    let options = ["--class", "realtime", "--deadline", "5s", "--ack", "applied", "--json"];
    let sent = near.ask(&[&["send", start, "dice"], &options[..]].concat()).exits(0).json();
    assert_eq!((&sent["outcome"], &sent["level"]), (&json!("delivered"), &json!("applied")));
    assert_eq!((&sent["class"], &sent["bytes"]), (&json!("realtime"), &json!(4)));
    assert_eq!(sent["link"]["transport"], "wifi");
    assert_eq!(far.out.until("dice"), format!("{} realtime: dice", &near.id[..10]));

    near.ask(&["send", start, "x", "--ack", "accepted"]).exits(0).prints("sent to ");
    far.out.until("critical: x");
    let input = near.home.run_with(&["--config", "bitcraps.toml", "send", start, "-"], "by pipe");
    input.exits(0).prints("delivered to ");
    far.out.until("by pipe");
    near.ask(&["send", start, "later", "--no-wait"]).exits(0).prints("taken for ");
    far.out.until("later");
}

#[test]
fn a_ping_passes_every_stage_and_leaves_no_message() {
    let Meeting { near, mut far, port: _port } = Meeting::new();
    let start = &far.id[..4];
    let ping = near.ask(&["ping", start, "-c", "3", "--interval", "0"]).exits(0);
    for stage in ["address", "handshake", "admission", "hop ack", "end ack"] {
        let line = ping.out.lines().find(|line| line.trim_start().starts_with(stage)).unwrap();
        assert!(line.contains("  ok  "), "{line}");
    }
    let ping = ping.prints("3 messages, 3 confirmed; least ");
    assert!(ping.out.contains(&format!("peer {}\n", far.id)), "{}", ping.out);
    let report = near.ask(&["ping", start, "--json"]).exits(0).json();
    assert_eq!((&report["failed"], &report["sent"]), (&json!(null), &json!(3)));
    assert_eq!(report["replies"].as_array().unwrap().len(), 3);

    near.ask(&["send", start, "after the pings"]).exits(0);
    let first = far.out.until("");
    assert!(first.ends_with("after the pings"), "{first}");
}

#[test]
fn links_tell_where_they_run_and_why_one_was_chosen() {
    let Meeting { near, far, port: _port } = Meeting::new();
    let start = &far.id[..8];
    let links = near.ask(&["links", "--json"]).exits(0).json();
    let link = &links["links"][0];
    assert_eq!((&link["medium"], &link["tier"]), (&json!("loopback"), &json!("good")));
    assert!(link["local"].as_str().unwrap().starts_with("127.0.0.1:"), "{link}");
    near.ask(&["links", start]).exits(0).prints("MEDIUM").prints("loopback");
    near.ask(&["peers"]).exits(0).prints("reachable").prints("wifi/loopback good");
    near.ask(&["peers", "--addresses"]).exits(0).prints("127.0.0.1:");

    near.ask(&["links", "--why", start]).exits(0).prints("No message was sent to it yet.");
    near.ask(&["send", start, "hello"]).exits(0);
    let why = near.ask(&["links", "--why", start, "--json"]).exits(0).json();
    let decision = &why["decisions"][0];
    let asked = (&decision["class"], &decision["policy"], &decision["bytes"]);
    assert_eq!(asked, (&json!("critical"), &json!("MostReliable"), &json!(5)));
    let contender = &decision["contenders"][0];
    assert_eq!(contender["chosen"], true);
    assert_eq!((&contender["link"], &decision["chosen"]), (&link["link"], &link["link"]));
    assert!(contender["cost"].is_u64() && contender["latency_us"].is_u64(), "{contender}");
    let text = near.ask(&["links", "--why", start]).exits(0).prints("took it");
    text.prints("critical message of 5 bytes, transmission 1, by MostReliable")
        .prints("smoothed_rtt_us");
}

#[test]
fn a_ping_names_the_stage_that_fails() {
    let port = Port::claim();
    let listening = Port::claim();
    let near = {
        let home = Home::new();
        let text = format!(
            "[lan]\ninterfaces = [\"lo\"]\ndiscovery_port = {}\nmdns = false\nport = {}\n",
            port.number, listening.number
        );
        home.write("bitcraps.toml", &text);
        Running::start_in(home, &[])
    };
    let stranger = "ab".repeat(32);
    let ping = near.ask(&["ping", &stranger]).exits(2);
    let failed = ping.out.lines().nth(1).unwrap();
    assert!(failed.starts_with("  address  FAILED  no address is known"), "{failed}");
    let report = near.ask(&["ping", &stranger, "--json"]).exits(2).json();
    assert_eq!((&report["failed"], &report["sent"]), (&json!("address"), &json!(0)));

    // Somebody else's key at the address of a node that runs.
    let impostor = Home::new();
    let absent = impostor.run(&["keygen", "--out", "other"]).exits(0).out.trim().to_owned();
    let peers =
        format!("[[peers]]\nid = \"{absent}\"\naddresses = [\"127.0.0.1:{}\"]\n", listening.number);
    let elsewhere = Port::claim();
    let far = Running::start(&elsewhere, &peers);
    let report = far.ask(&["ping", &absent[..12], "--json"]).exits(2).json();
    assert_eq!((&report["failed"], &report["sent"]), (&json!("handshake"), &json!(0)));
    let text = far.ask(&["ping", &absent[..12]]).exits(2);
    let failed = text.out.lines().find(|line| line.contains("FAILED")).unwrap();
    assert!(failed.starts_with("  handshake  FAILED"), "{failed}");
    assert!(failed.contains(&format!("did not prove to be {}", &absent[..10])), "{failed}");
}

#[test]
fn messages_are_printed_as_json_for_programs() {
    let port = Port::claim();
    let near = Running::start(&port, "");
    let home = Home::new();
    home.configure(&port, "");
    let mut far = Running::start_in(home, &["--print-messages=json"]);
    near.until_reaches(1);
    near.ask(&["send", &far.id, "two\nlines"]).exits(0);
    let line: serde_json::Value = serde_json::from_str(&far.out.until("two")).unwrap();
    let expected = json!({
        "from": near.id, "class": "critical", "epoch": 1, "sequence": 0, "bytes": 9,
        "text": "two\nlines",
    });
    assert_eq!(line, json!({ "schema": 1, "message": expected }));
}
