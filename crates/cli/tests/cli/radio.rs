//! Two nodes of this program with nothing but Bluetooth, on a machine with two adapters that hear each
//! other and a bluetoothd of its own.
//!
//! Ignored where nobody asks for it: `cargo xtask test-radio` makes such a machine, and runs it there.

#![expect(clippy::print_stdout, reason = "figures are for whoever runs this")]

mod direct;

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::process::{Home, Running, Ward, now, until_within};

/// Larger than anything here takes on a machine that emulates its processor.
const PATIENCE: Duration = Duration::from_secs(90);

fn node(adapter: &str) -> Running {
    let home = Home::new();
    let text =
        format!("[lan]\nenabled = false\n[bluetooth]\nenabled = true\nadapter = \"{adapter}\"\n");
    home.write("bitcraps.toml", &text);
    Running::start_in(home, &["--print-messages"])
}

fn until_reachable(node: &Running, wanted: bool) {
    node.ask_within(PATIENCE, &["peers", "--json"], |told| {
        told["peers"]
            .as_array()
            .is_some_and(|peers| wanted == (peers.len() == 1 && peers[0]["reachable"] == true))
    });
}

/// Sends a message, and has it delivered and printed.
fn deliver(near: &Running, far: &mut Running, class: &str, text: &str) {
    let sent = ["send", &far.id, text, "--class", class, "--deadline", "60s"];
    near.ask(&sent).exits(0).prints("over link");
    far.out.until(text);
}

#[expect(clippy::unwrap_used, reason = "what fails here fails the test that calls it")]
fn power(adapter: &str, on: bool) {
    let path = format!("/org/bluez/{adapter}");
    let mut command = Command::new("dbus-send");
    command.args(["--system", "--print-reply", "--dest=org.bluez", &path]);
    command.args(["org.freedesktop.DBus.Properties.Set", "string:org.bluez.Adapter1"]);
    command.args(["string:Powered", &format!("variant:boolean:{on}")]);
    let done = command.output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// Kills bluetoothd as a crash would, and starts another.
#[expect(clippy::unwrap_used, reason = "what fails here fails the test that calls it")]
fn restart_bluetoothd() -> Ward {
    let killed = Command::new("pkill").args(["-KILL", "-x", "bluetoothd"]).status().unwrap();
    assert!(killed.success());
    let mut daemon = Command::new(std::env::var_os("BLUETOOTHD").unwrap());
    let daemon = daemon.arg("-n").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let daemon = Ward(daemon);
    until_within(PATIENCE, "bluetoothd does not come back", || {
        let mut asked = Command::new("dbus-send");
        asked.args(["--system", "--print-reply", "--dest=org.bluez", "/"]);
        let told =
            asked.arg("org.freedesktop.DBus.ObjectManager.GetManagedObjects").output().ok()?;
        let told = String::from_utf8_lossy(&told.stdout);
        ["hci0", "hci1"]
            .iter()
            .all(|adapter| told.contains(&format!("/org/bluez/{adapter}\"")))
            .then_some(())
    });
    ["hci0", "hci1"].iter().for_each(|adapter| power(adapter, true));
    daemon
}

#[test]
#[ignore = "needs two Bluetooth adapters that hear each other: run by `cargo xtask test-radio`"]
fn nodes_meet_talk_and_come_back_over_bluetooth_alone() {
    let begun = now();
    let (near, mut far) = (node("hci0"), node("hci1"));
    until_reachable(&near, true);
    deliver(&near, &mut far, "critical", "a bet");
    println!("RADIO program.first_message_seconds {:.2}", begun.elapsed().as_secs_f64());
    for class in ["realtime", "background", "bulk"] {
        deliver(&near, &mut far, class, &format!("a {class} message"));
    }
    let links = near.ask(&["links", "--json"]).exits(0).json();
    let link = (&links["links"][0]["transport"], &links["links"][0]["medium"]);
    assert_eq!(link, (&"bluetooth".into(), &"emulated".into()), "{links}");

    power("hci1", false);
    until_reachable(&near, false);
    let gap = now();
    let kept = ["send", &far.id, "kept over the gap", "--deadline", "5m", "--no-wait"];
    near.ask(&kept).exits(0);
    power("hci1", true);
    until_reachable(&near, true);
    println!("RADIO program.back_seconds {:.2}", gap.elapsed().as_secs_f64());
    far.out.until("kept over the gap");
    deliver(&near, &mut far, "critical", "after the gap");

    let _daemon = restart_bluetoothd();
    until_reachable(&near, true);
    deliver(&near, &mut far, "critical", "with another bluetoothd");
    let printed = far.out.seen();
    let kept = printed.iter().filter(|line| line.contains("kept over the gap")).count();
    assert_eq!((kept, printed.len()), (1, 7), "{printed:?}");
    println!("RADIO program.survives_bluetoothd 1");
}
