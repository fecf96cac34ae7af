//! Nodes over Wi-Fi Direct, and over both radios, with a real wpa_supplicant for each.
#![expect(clippy::unwrap_used, reason = "a test ends where its premise fails")]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use bitcraps_node::admin::{Ack, Request, request};
use bitcraps_types::TrafficClass;
use rustix::process::Signal;

use super::{PATIENCE, deliver, power, until_reachable};
use crate::process::{Home, Running, now, until_within};

/// From one message of a stream to the next.
const EVERY: Duration = Duration::from_millis(20);

/// Which radios a node has.
struct Radios {
    adapter: Option<&'static str>,
    wlan: Option<&'static str>,
}

const NEAR: Radios = Radios { adapter: None, wlan: Some("wlan0") };
const FAR: Radios = Radios { adapter: None, wlan: Some("wlan1") };

fn configure(home: &Home, radios: &Radios) {
    let mut text = "[lan]\nenabled = false\n".to_owned();
    if let Some(adapter) = radios.adapter {
        text += &format!("[bluetooth]\nenabled = true\nadapter = \"{adapter}\"\n");
    }
    if let Some(wlan) = radios.wlan {
        text += &format!("[wifi_direct]\nenabled = true\ninterface = \"{wlan}\"\n");
        if wlan != "wlan0" {
            text += &format!("bus = \"{}\"\n", std::env::var("OTHER_BUS").unwrap());
        }
    }
    home.write("bitcraps.toml", &text);
}

fn node(radios: &Radios) -> Running {
    let home = Home::new();
    configure(&home, radios);
    Running::start_in(home, &["--print-messages"])
}

/// Waits until the links that `node` has are of these transports, and trusted.
fn until_links(node: &Running, wanted: &[&str]) {
    node.ask_within(PATIENCE, &["links", "--json"], |told| {
        let links = told["links"].as_array().unwrap();
        let mut transports: Vec<_> =
            links.iter().filter_map(|link| link["transport"].as_str()).collect();
        transports.sort_unstable();
        transports == wanted
    });
}

/// The switch of a radio of the simulator, as a key of a laptop presses it.
fn switch(wlan: &str, on: bool) {
    let place = Path::new("/sys/class/net").join(wlan).join("phy80211");
    let found = fs::read_dir(place).unwrap().flatten();
    let name = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
    let entry = found.into_iter().find(|entry| name(entry).starts_with("rfkill")).unwrap();
    fs::write(entry.path().join("soft"), if on { "0" } else { "1" }).unwrap();
}

/// The interfaces of groups that there are now.
fn groups() -> Vec<String> {
    let names = fs::read_dir("/sys/class/net").unwrap().flatten();
    let names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with("p2p-")).collect()
}

/// Loses everything on every group's interface, or nothing any more.
fn jam(on: bool) {
    for group in groups() {
        let mut command = Command::new("tc");
        let change = if on { "add" } else { "del" };
        command.args(["qdisc", change, "dev", &group, "root", "netem"]);
        if on {
            command.args(["loss", "100%"]);
        }
        assert!(command.status().unwrap().success(), "{change} {group}");
    }
}

/// Kills the supplicant of a radio as a crash would, and starts another, which other tests find.
fn restart_supplicant(wlan: &str) {
    let daemon = format!("wpa_supplicant.*-i {wlan}");
    let killed = Command::new("pkill").args(["-KILL", "-f", &daemon]).status();
    let another = format!("supplicant {wlan} &");
    let started = Command::new("sh").args(["-c", &another]).status();
    assert!(killed.unwrap().success() && started.unwrap().success());
}

/// Messages of a stream: four seconds of them.
const MESSAGES: usize = 200;

/// Sends critical messages every 20 ms, none of which is waited for, and does `act` after a quarter of
/// them; each of them is to come, once.
fn through(near: &Running, far: &mut Running, name: &str, act: impl FnOnce()) {
    let text = |number: usize| format!("{name} {number}.");
    let (socket, peer) = (near.home.join(".local/share/bitcraps/admin.sock"), far.id.clone());
    let mut pause = Duration::ZERO;
    thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..MESSAGES {
                let begun = now();
                let (peer, payload) = (peer.clone(), text(number));
                let (class, ack) = (TrafficClass::Critical, Ack::Peer);
                let deadline_ms = Some(120_000);
                let send = Request::Send { peer, class, payload, ack, deadline_ms, wait: false };
                request(&socket, &send).unwrap();
                thread::sleep(EVERY.saturating_sub(begun.elapsed()));
            }
        });
        let mut act = Some(act);
        for number in 0..MESSAGES {
            let begun = now();
            if !far.out.seen().iter().any(|line| line.contains(&text(number))) {
                far.out.until(&text(number));
            }
            if number == MESSAGES / 4
                && let Some(act) = act.take()
            {
                act();
            } else {
                pause = pause.max(begun.elapsed());
            }
        }
    });
    let came = |number| far.out.seen().iter().filter(|line| line.contains(&text(number))).count();
    let twice: Vec<_> = (0..MESSAGES).filter(|number| came(*number) != 1).collect();
    assert!(twice.is_empty(), "{name}: not once: {twice:?}");
    let pause_ms = pause.as_millis();
    println!("{name}: {MESSAGES} messages, 0 lost, 0 twice, longest pause {pause_ms} ms");
    println!("RADIO both.longest_pause_ms_{name} {pause_ms}");
}

#[test]
#[ignore = "needs two radios that hear each other: run by `cargo xtask test-radio`"]
fn nodes_meet_talk_and_come_back_over_wifi_direct_alone() {
    let begun = now();
    let (near, mut far) = (node(&NEAR), node(&FAR));
    until_reachable(&near, true);
    deliver(&near, &mut far, "critical", "a bet");
    println!(
        "RADIO wifi_direct.program_first_message_seconds {:.2}",
        begun.elapsed().as_secs_f64()
    );
    for class in ["realtime", "background", "bulk"] {
        deliver(&near, &mut far, class, &format!("a {class} message"));
    }
    until_links(&near, &["wifi"]);
    let links = near.ask(&["links", "--json"]).exits(0).json();
    assert_eq!(links["links"][0]["medium"], "emulated", "{links}");

    switch("wlan1", false);
    until_reachable(&near, false);
    let gap = now();
    let kept = ["send", &far.id, "kept over the gap", "--deadline", "5m", "--no-wait"];
    near.ask(&kept).exits(0);
    switch("wlan1", true);
    until_reachable(&near, true);
    println!("RADIO wifi_direct.program_back_seconds {:.2}", gap.elapsed().as_secs_f64());
    far.out.until("kept over the gap");

    restart_supplicant("wlan1");
    until_reachable(&near, false);
    until_reachable(&near, true);
    deliver(&near, &mut far, "critical", "with another wpa_supplicant");
    println!("RADIO wifi_direct.program_survives_wpa_supplicant 1");

    // A node that is killed leaves its group behind, which the next run ends.
    near.signal(Signal::KILL);
    let (_, home) = near.ends();
    let near = Running::start_in(home, &["--print-messages"]);
    until_reachable(&near, true);
    deliver(&near, &mut far, "critical", "from the next run");
    near.signal(Signal::TERM);
    far.signal(Signal::TERM);
    let (near, far) = (near.ends().0, far.ends().0);
    assert_eq!((near, far), (Some(0), Some(0)));
    until_within(PATIENCE, "a group is left behind", || groups().is_empty().then_some(()));
    println!("RADIO wifi_direct.program_leaves_no_group 1");
}

#[test]
#[ignore = "needs two radios that hear each other: run by `cargo xtask test-radio`"]
fn nodes_with_both_radios_go_on_over_the_other() {
    let near = node(&Radios { adapter: Some("hci0"), ..NEAR });
    let mut far = node(&Radios { adapter: Some("hci1"), ..FAR });
    let both = ["bluetooth", "wifi"];
    until_links(&near, &both);
    until_links(&far, &both);
    println!("two nodes that were told of nothing but their radios:");
    println!("{}", near.ask(&["links"]).exits(0).out);
    through(&near, &mut far, "while_wifi_is_jammed", || jam(true));
    jam(false);
    until_links(&near, &both);
    until_links(&far, &both);
    through(&near, &mut far, "while_the_adapter_goes", || power("hci1", false));
    power("hci1", true);
    until_links(&near, &both);
    through(&near, &mut far, "while_wifi_is_switched_off", || switch("wlan1", false));
    switch("wlan1", true);
    until_links(&near, &both);
}

#[test]
#[ignore = "needs two radios that hear each other: run by `cargo xtask test-radio`"]
fn a_relay_joins_a_bluetooth_node_and_a_wifi_node() {
    let one = node(&Radios { adapter: Some("hci0"), wlan: None });
    let relay = node(&Radios { adapter: Some("hci1"), ..NEAR });
    let mut other = node(&FAR);
    until_links(&relay, &["bluetooth", "wifi"]);
    one.ask_within(PATIENCE, &["topology", "--json"], |told| told["largest_component"] == 3);
    let sent = ["send", &other.id, "across two radios", "--deadline", "60s"];
    one.ask(&sent).exits(0);
    other.out.until("across two radios");
    let path = one.ask(&["path", &other.id]).exits(0);
    println!(
        "a message from a node with Bluetooth alone to one with Wi-Fi alone, by a third that has both:"
    );
    println!("{}", path.out);
    println!("RADIO both.relayed_across_radios 1");
}
