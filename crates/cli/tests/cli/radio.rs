//! Two nodes of this program with nothing but Bluetooth, on a machine with two adapters that hear each
//! other and a bluetoothd of its own.
//!
//! Ignored where nobody asks for it: `cargo xtask test-radio` makes such a machine, and runs it there.

#![expect(clippy::print_stdout, reason = "figures are for whoever runs this")]

mod direct;

use std::fs;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::process::{Home, Running, Ward, now, program, until_within};

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

/// Switches an adapter on, or off for good: Linux 6.12 leaves it advertising, and a virtual controller then
/// answers for an adapter that is off, where a real one is reset or has no power.
fn power(adapter: &str, on: bool) {
    set_power(adapter, on);
    if !on {
        set_power(adapter, true);
        silence(adapter);
        set_power(adapter, false);
    }
}

/// Has a controller stop advertising (LE Set Advertising Enable; Core 5.4, vol. 4, part E, 7.8.9).
#[expect(clippy::unwrap_used, reason = "what fails here fails the test that calls it")]
fn silence(adapter: &str) {
    let mut command = Command::new("hcitool");
    let done = command.args(["-i", adapter, "cmd", "0x08", "0x000a", "00"]).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

#[expect(clippy::unwrap_used, reason = "what fails here fails the test that calls it")]
fn set_power(adapter: &str, on: bool) {
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

/// Blocks the radio of an adapter as `rfkill` and the switch of a laptop do, or no longer.
#[expect(clippy::unwrap_used, reason = "what fails here fails the test that calls it")]
fn block(adapter: &str, on: bool) {
    let switches = fs::read_dir("/sys/class/rfkill").unwrap().flatten();
    let named = |entry: &fs::DirEntry| {
        fs::read_to_string(entry.path().join("name")).is_ok_and(|name| name.trim() == adapter)
    };
    let switch = switches.into_iter().find(named).unwrap();
    let set = |to| fs::write(switch.path().join("soft"), to).unwrap();
    let free = || {
        set("0");
        // bluetoothd leaves an adapter as it was found; whether it is on by now depends on its version.
        set_power(adapter, true);
    };
    match on {
        false => free(),
        // For good, as above.
        true => {
            set("1");
            free();
            silence(adapter);
            set("1");
        }
    }
}

/// Critical messages of one node to another, one after the other, whatever happens meanwhile.
struct Stream {
    stop: Arc<AtomicBool>,
    sending: thread::JoinHandle<usize>,
}

impl Stream {
    fn begin(near: &Running, far: &Running) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, to, home) = (stop.clone(), far.id.clone(), near.home.path().to_owned());
        let sending = thread::spawn(move || {
            let mut sent = 0;
            while !stopped.load(Ordering::Relaxed) {
                let text = format!("number {sent}.");
                let mut send = Command::new(program());
                send.args(["--config", "bitcraps.toml", "send", &to, &text]);
                send.args(["--class", "critical", "--deadline", "10m", "--no-wait"]);
                send.env_clear().env("HOME", &home).current_dir(&home);
                assert!(send.output().is_ok_and(|done| done.status.success()), "{text}");
                sent += 1;
                thread::sleep(Duration::from_millis(100));
            }
            sent
        });
        Self { stop, sending }
    }

    /// Ends it; how many messages there were.
    #[expect(clippy::unwrap_used, reason = "what fails here fails the test that calls it")]
    fn end(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        self.sending.join().unwrap()
    }
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

    let printed = far.out.seen();
    let kept = printed.iter().filter(|line| line.contains("kept over the gap")).count();
    assert_eq!((kept, printed.len()), (1, 6), "{printed:?}");
}

#[test]
#[ignore = "needs two Bluetooth adapters that hear each other: run by `cargo xtask test-radio`"]
fn what_is_critical_outlives_every_way_to_lose_the_radio_and_arrives_once() {
    let (near, mut far) = (node("hci0"), node("hci1"));
    until_reachable(&near, true);
    let stream = Stream::begin(&near, &far);
    let mut daemon = None;
    let lost = |what: &str, lose: &mut dyn FnMut()| {
        lose();
        let gone = now();
        until_reachable(&near, false);
        until_reachable(&far, false);
        println!("RADIO program.gone_seconds_{what} {:.2}", gone.elapsed().as_secs_f64());
    };
    let back = |what: &str| {
        let again = now();
        until_reachable(&near, true);
        until_reachable(&far, true);
        println!("RADIO program.back_seconds_{what} {:.2}", again.elapsed().as_secs_f64());
    };
    lost("far_adapter_off", &mut || power("hci1", false));
    power("hci1", true);
    back("far_adapter_off");
    lost("near_adapter_off", &mut || power("hci0", false));
    power("hci0", true);
    back("near_adapter_off");
    lost("rfkill", &mut || block("hci1", true));
    block("hci1", false);
    back("rfkill");
    // A daemon that dies takes no channel along: the kernel has them.
    drop(daemon.replace(restart_bluetoothd()));
    lost("after_bluetoothd_killed", &mut || power("hci1", false));
    power("hci1", true);
    back("after_bluetoothd_killed");
    let sent = stream.end();
    deliver(&near, &mut far, "critical", "the end");
    // The last may have overtaken others.
    let printed = loop {
        let printed = far.out.seen().iter().filter(|line| line.contains("number ")).count();
        if printed >= sent {
            break far.out.seen().to_vec();
        }
        far.out.until("number ");
    };
    let times = |number| {
        let text = format!("number {number}.");
        printed.iter().filter(|line| line.contains(&text)).count()
    };
    let (lost, twice) = (0..sent).fold((0, 0), |(lost, twice), number| match times(number) {
        0 => (lost + 1, twice),
        1 => (lost, twice),
        _ => (lost, twice + 1),
    });
    println!("RADIO program.critical_sent {sent}");
    println!("RADIO program.critical_lost {lost}");
    println!("RADIO program.critical_twice {twice}");
    assert_eq!((lost, twice), (0, 0), "{printed:?}");
    assert!(sent >= 20, "{sent} messages are few to tell anything by");
    println!("RADIO program.survives_bluetoothd 1");
}
