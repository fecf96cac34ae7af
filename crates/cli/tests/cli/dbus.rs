//! bluetoothd as this program sees it, played on a bus of its own.
//!
//! Ignored where nobody asks for it: `cargo xtask test-net` runs it, and tells when there is no bus.

mod direct;

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use tokio::runtime::Runtime;
use zbus::connection::Builder;
use zbus::fdo::ObjectManager;

use crate::process::{Home, Lines, Ward};

/// Everybody may do everything, but for `denied`.
fn policy(socket: &Path, denied: &str) -> String {
    let socket = socket.display();
    format!(
        r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <listen>unix:path={socket}</listen>
  <policy context="default">
    <allow eavesdrop="true"/>
    <allow send_destination="*" eavesdrop="true"/>
    <allow own="*"/>
  </policy>
  <policy context="mandatory">{denied}</policy>
</busconfig>
"#
    )
}

/// A bus, and the home of whoever asks on it.
struct Bus {
    _daemon: Ward,
    home: Home,
    address: String,
}

impl Bus {
    #[expect(clippy::unwrap_used, reason = "what fails here fails the test that calls it")]
    fn start(denied: &str) -> Self {
        let home = Home::new();
        let socket = home.join("bus");
        let file = home.write("bus.conf", &policy(&socket, denied));
        let mut daemon = Command::new("dbus-daemon");
        daemon.arg("--nofork").arg("--print-address").arg("--config-file").arg(file);
        let daemon = daemon.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut daemon = Ward(daemon);
        Lines::of(daemon.0.stdout.take().unwrap()).until("unix:path=");
        let address = format!("unix:path={}", socket.display());
        Self { _daemon: daemon, home, address }
    }

    /// A command line of this program, which is to use an adapter: any where it has no name.
    fn command(&self, adapter: &str, arguments: &[&str]) -> Command {
        let text = format!(
            "[lan]\nenabled = false\n[bluetooth]\nenabled = true\nadapter = \"{adapter}\"\n"
        );
        self.home.write("bitcraps.toml", &text);
        let config = ["--config", "bitcraps.toml"];
        let mut command = self.home.command(&[&config, arguments].concat());
        command.env("DBUS_SYSTEM_BUS_ADDRESS", &self.address);
        command
    }

    /// What `bitcraps doctor` says of Bluetooth.
    #[expect(clippy::unwrap_used, reason = "what fails here fails the test that calls it")]
    fn bluetooth(&self, adapter: &str) -> String {
        let output = self.command(adapter, &["doctor", "--json"]).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        let found = told["findings"].as_array().unwrap();
        let found = found.iter().find(|finding| finding["part"] == "bluetooth").unwrap();
        assert_eq!(found["condition"], "broken");
        found["says"].as_str().unwrap().to_owned()
    }
}

struct Adapter {
    powered: bool,
}

#[zbus::interface(name = "org.bluez.Adapter1")]
impl Adapter {
    #[zbus(property)]
    fn address(&self) -> &str {
        "00:AA:01:00:00:42"
    }

    #[zbus(property)]
    fn address_type(&self) -> &str {
        "public"
    }

    #[zbus(property)]
    fn powered(&self) -> bool {
        self.powered
    }
}

struct Advertising;

#[zbus::interface(name = "org.bluez.LEAdvertisingManager1")]
impl Advertising {
    #[zbus(property)]
    fn active_instances(&self) -> u8 {
        0
    }
}

/// bluetoothd with what it has, until the connection is dropped.
#[expect(clippy::unwrap_used, reason = "what fails here fails the test that calls it")]
fn bluetoothd(
    runtime: &Runtime,
    bus: &Bus,
    adapter: Option<Adapter>,
    advertises: bool,
) -> zbus::Connection {
    const PATH: &str = "/org/bluez/hci0";
    let connection = async {
        let mut builder = Builder::address(bus.address.as_str())?.serve_at("/", ObjectManager)?;
        if let Some(adapter) = adapter {
            builder = builder.serve_at(PATH, adapter)?;
        }
        if advertises {
            builder = builder.serve_at(PATH, Advertising)?;
        }
        builder.name("org.bluez")?.build().await
    };
    runtime.block_on(connection).unwrap()
}

#[test]
#[ignore = "needs dbus-daemon: run by `cargo xtask test-net`"]
fn what_is_missing_for_bluetooth_is_named_with_what_to_do() {
    let bus = Bus::start("");
    let says = bus.bluetooth("");
    assert!(says.starts_with("bluetoothd does not answer: "), "{says}");
    assert!(says.ends_with("; `systemctl start bluetooth`"), "{says}");

    let runtime = Runtime::new().unwrap();
    let with = |adapter, advertises| bluetoothd(&runtime, &bus, adapter, advertises);
    let powered = || Some(Adapter { powered: true });
    let off = "Bluetooth adapter hci0 is switched off; `bluetoothctl power on`, and if that fails \
               `rfkill unblock bluetooth`, or its switch";
    let cases = [
        (
            None,
            "",
            "no Bluetooth adapter at all: bluetoothd has none; is one plugged in, and its driver loaded?",
        ),
        (powered(), "hci7", "no Bluetooth adapter hci7: there is hci0"),
        (Some(Adapter { powered: false }), "hci0", off),
        (
            powered(),
            "",
            "bluetoothd is too old or lacks LE advertising: hci0 has no org.bluez.LEAdvertisingManager1; \
             BlueZ 5.50 or newer is needed",
        ),
    ];
    for (adapter, name, expected) in cases {
        let daemon = with(adapter, false);
        assert_eq!(bus.bluetooth(name), expected);
        runtime.block_on(daemon.close()).unwrap();
    }
    // Everything is there; only the kernel does not know this adapter.
    let daemon = with(powered(), true);
    let says = bus.bluetooth("hci0");
    assert!(says.starts_with("make a Bluetooth channel failed: "), "{says}");
    runtime.block_on(daemon.close()).unwrap();
    // It ended, and came back.
    assert!(bus.bluetooth("hci0").starts_with("bluetoothd does not answer: "));
    let _daemon = with(Some(Adapter { powered: false }), true);
    assert_eq!(bus.bluetooth(""), off);
}

#[test]
#[ignore = "needs dbus-daemon: run by `cargo xtask test-net`"]
fn who_may_not_speak_to_bluetoothd_is_told_which_file_to_install() {
    let bus = Bus::start("<deny send_destination=\"org.bluez\"/>");
    let runtime = Runtime::new().unwrap();
    let _daemon = bluetoothd(&runtime, &bus, Some(Adapter { powered: true }), true);
    let says = bus.bluetooth("hci0");
    assert!(says.starts_with("not permitted to list the adapters: "), "{says}");
    assert!(says.ends_with("; install packaging/dbus/bitcraps-bluetooth.conf"), "{says}");
}

#[test]
#[ignore = "needs dbus-daemon: run by `cargo xtask test-net`"]
fn a_node_says_what_is_missing_and_runs_without() {
    let bus = Bus::start("");
    let runtime = Runtime::new().unwrap();
    let _daemon = bluetoothd(&runtime, &bus, Some(Adapter { powered: false }), true);
    let mut command = bus.command("", &["run"]);
    let mut node = Ward(command.stderr(Stdio::piped()).spawn().unwrap());
    let mut said = Lines::of(node.0.stderr.take().unwrap());
    said.until("Bluetooth adapter hci0 is switched off; `bluetoothctl power on`");
    bus.home.run(&["--config", "bitcraps.toml", "status"]).exits(1).prints("health  warning");
}
