//! What the network was, over restarts.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test that calls it")]

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::kills::{Mortal, until};
use super::process::Port;

const OFTEN: &str = "[coordination.network_monitor]\nhealth_check_interval_seconds = 1\n";

fn file(node: &Mortal) -> PathBuf {
    node.home.join(".local/share/bitcraps/history.redb")
}

fn steps(node: &Mortal) -> Vec<Value> {
    let request = json!({ "schema": 1, "request": "history", "grain": "five_seconds" });
    node.answer(&request)["steps"].as_array().unwrap().clone()
}

fn findings(node: &Mortal) -> String {
    node.status()["findings"].to_string()
}

#[test]
fn the_past_of_the_network_outlives_a_restart() {
    let mut node = Mortal::new(&Port::claim(), OFTEN);
    // Two steps: the first is over and will not change any more.
    let before = until("nothing is kept", || {
        let steps = steps(&node);
        (steps.len() >= 2).then(|| steps[0].clone())
    });
    assert_eq!(before["measures"]["peers"]["max"], 1.0, "{before}");
    node.end();
    node.start();
    assert_eq!(steps(&node)[0], before);
    let shown = node.home.run(&["health", "--history=5s"]).exits(0);
    shown.prints("AGO").prints(&format!("kept in {}", file(&node).display()));
    assert_eq!(node.home.run(&["health", "--history", "--json"]).json()["step_seconds"], 60);
    node.home.run(&["health", "--history=2s"]).exits(64).complains("one of 5s, 1m, 1h");

    // A file that is damaged is set aside and told, and the node runs.
    node.end();
    fs::write(file(&node), "no database").unwrap();
    node.start();
    let told = findings(&node);
    assert!(told.contains("was damaged") && told.contains("what the network was before"), "{told}");
    let aside = fs::read_dir(file(&node).parent().unwrap()).unwrap().map(|entry| entry.unwrap());
    let aside =
        aside.filter(|e| e.file_name().to_string_lossy().starts_with("history.redb.damaged"));
    assert_eq!(aside.map(|e| fs::read(e.path()).unwrap()).collect::<Vec<_>>(), [b"no database"]);
    until("nothing is kept", || (!steps(&node).is_empty()).then_some(()));
    node.end();
    node.start();
    assert!(!findings(&node).contains("history"), "{}", findings(&node));
    assert!(!steps(&node).is_empty());
}

#[test]
fn a_disk_without_room_for_the_past_ends_its_keeping_and_nothing_else() {
    let more = format!("{OFTEN}[store]\nenabled = false\n");
    let mut node = Mortal::unborn(&Port::claim(), &more);
    // In units of 512 bytes: a key has room, a database has none.
    node.start_within(&["sh", "-c", "trap '' XFSZ; ulimit -f 100; exec \"$@\"", "sh"]);
    let told = findings(&node);
    assert!(told.contains("does not work") && told.contains("past is not kept"), "{told}");
    until("nothing is looked at", || (!steps(&node).is_empty()).then_some(()));
    node.home.run(&["health", "--history"]).exits(0).prints("not kept over restarts");
    node.end();
    node.start();
    assert!(!findings(&node).contains("past"), "{}", findings(&node));
}

#[test]
fn who_wants_no_past_has_none() {
    let more = format!("{OFTEN}[history]\nenabled = false\n");
    let mut node = Mortal::new(&Port::claim(), &more);
    until("nothing is looked at", || (!steps(&node).is_empty()).then_some(()));
    node.end();
    assert!(!file(&node).exists());
}
