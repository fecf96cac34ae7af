//! What `bitcraps doctor` finds on this machine.

use crate::process::{Home, Port, Running};

#[test]
fn the_exit_code_is_the_worst_that_was_found() {
    let port = Port::claim();
    let home = Home::new();
    home.configure(&port, "");
    let doctor = ["--config", "bitcraps.toml", "doctor"];
    let text =
        home.run(&doctor).exits(0).prints("config         good    bitcraps.toml (by --config)\n");
    text.prints("node           unused  none runs at").prints("local network  good    127.0.0.1");
    let told = home.run(&[&doctor[..], &["--json"]].concat()).exits(0).json();
    assert_eq!((&told["condition"], &told["config"]), (&"good".into(), &"bitcraps.toml".into()));
    assert_eq!(told["findings"][0]["part"], "key");

    home.write("bitcraps.toml", "[lan]\ninterfaces = [\"none0\"]\n");
    let broken = home.run(&doctor).exits(2);
    broken.prints("local network  BROKEN  lan.interfaces names \"none0\", which is not up");
    home.write("bitcraps.toml", "[lan]\ninterfaces = none0\n");
    home.run(&doctor).exits(2).complains("bitcraps.toml:2:");
}

#[test]
fn a_node_that_runs_is_found_and_its_ports_are_not_taken_by_others() {
    let port = Port::claim();
    let home = Home::new();
    // What claims the port listens at another address of loopback.
    let shown = format!("127.0.0.2:{}", port.number);
    home.configure(&port, &format!("[dashboard]\nlisten = \"{shown}\"\n"));
    let node = Running::start_in(home, &[]);
    let pid = node.ask(&["status", "--json"]).json()["pid"].to_string();
    let found = node.ask(&["doctor"]).exits(0);
    let found = found.prints(&format!("node           good    runs as process {pid}, "));
    found.prints(&format!("dashboard      good    http://{shown}/metrics"));

    // Another node would find it taken.
    let other = Home::new();
    other.configure(&port, &format!("[dashboard]\nlisten = \"{shown}\"\n"));
    let broken = other.run(&["--config", "bitcraps.toml", "doctor"]).exits(2);
    broken.prints(&format!("dashboard      BROKEN  dashboard.listen = \"{shown}\""));
}
