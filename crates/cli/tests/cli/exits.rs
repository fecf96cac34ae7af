//! Exit codes, and what is said with them.

use rustix::process::Signal;

use crate::process::{Home, Port, Running};

#[test]
fn the_exit_code_of_status_is_the_health() {
    let port = Port::claim();
    let near = Running::start(&port, "");
    near.ask(&["status"]).exits(1).prints("- no peer is known yet");
    let far = Running::start(&port, "");
    near.until_reaches(1);
    near.ask(&["status"]).exits(0);
    let id = far.id[..10].to_owned();
    far.signal(Signal::TERM);
    assert_eq!(far.ends().0, Some(0));
    near.until_reaches(0);
    near.ask(&["status"])
        .exits(2)
        .prints("health  critical")
        .prints(&format!("- peer {id} is not reachable"));
    let sent = near.ask(&["send", &id, "anyone?", "--deadline", "200ms"]).exits(2);
    assert_eq!(sent.out, format!("not delivered to {id}: its time ran out; no link took it\n"));
    let third = Running::start(&port, "");
    near.until_reaches(1);
    let status = near.ask(&["status"]).exits(1).prints("health  warning");
    assert!(status.out.contains(&third.id[..10]), "{}", status.out);
}

#[test]
fn without_a_node_the_answer_is_to_start_one() {
    let home = Home::new();
    let socket = home.join(".local/share/bitcraps/admin.sock");
    let said = format!("no node is running at {}; start one with `bitcraps run`", socket.display());
    for verb in [&["status"][..], &["peers"], &["links"], &["ping", "abcd"], &["send", "abcd", "x"]]
    {
        home.run(verb).exits(2).complains(&said);
    }
    let json = home.run(&["status", "--json"]).exits(2).complains(&said).json();
    assert_eq!(
        (&json["error"]["kind"], &json["error"]["message"]),
        (&"no_node".into(), &said.into())
    );
    let elsewhere = home.run(&["--socket", "x.sock", "status"]).exits(2);
    elsewhere.complains("no node is running at x.sock;");
}

#[test]
fn wrong_usage_is_64_with_a_hint() {
    let home = Home::new();
    home.run(&["statsu"]).exits(64).complains("a similar subcommand exists: 'status'");
    home.run(&["status", "--jsn"]).exits(64).complains("a similar argument exists: '--json'");
    home.run(&["send", "abcd"]).exits(64).complains("<MESSAGE>");
    home.run(&[]).exits(64).complains("Usage: bitcraps");
    let class = home.run(&["send", "abcd", "x", "--class", "urgent"]).exits(64);
    class.complains("one of realtime, critical, background, bulk");
    let deadline = home.run(&["send", "abcd", "x", "--deadline", "3 days"]).exits(64);
    deadline.complains("unknown unit");
    home.run(&["ping", "abcd", "-c", "101"]).exits(64).complains("1..=100");
    home.run(&["status", "--watch", "0.01"]).exits(64).complains("at least 100 ms");
    home.run(&["--help"]).exits(0).prints("Exit codes: 0 healthy");
    home.run(&["--version"]).exits(0);
}

#[test]
fn a_name_that_names_no_peer_is_wrong_usage() {
    let port = Port::claim();
    let near = Running::start(&port, "");
    let far = Running::start(&port, "");
    near.until_reaches(1);
    near.ask(&["ping", "abc"]).exits(64).complains("write at least 4 digits of its id");
    near.ask(&["ping", "wxyz"]).exits(64).complains("found 'w' at position 0");
    let unknown = if far.id.starts_with("dead") { "beef" } else { "dead" };
    let json = near.ask(&["send", unknown, "x", "--json"]).exits(64).json();
    assert_eq!(json["error"]["kind"], "unknown_peer");
    near.ask(&["links", "--why", &near.id]).exits(64).complains("is this node itself");
    let stranger = "ab".repeat(32);
    near.ask(&["send", &stranger, "x"]).exits(2).complains("no route to ababababab");
}
