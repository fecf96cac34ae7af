//! wpa_supplicant as this program sees it, and two nodes in a group whose radio is a pair of interfaces
//! that the kernel makes up.

#![expect(clippy::unwrap_used, reason = "a test ends where its premise fails")]

use std::collections::HashMap;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};

use rustix::process::Signal;
use serde_json::Value as Json;
use tokio::runtime::Runtime;
use zbus::connection::Builder;
use zbus::zvariant::{OwnedObjectPath, OwnedValue, Value};

use super::Bus;
use crate::process::{Home, Lines, Running, SOON, Ward};

const NAME: &str = "fi.w1.wpa_supplicant1";
const ROOT: &str = "/fi/w1/wpa_supplicant1";
const OWN: &str = "/fi/w1/wpa_supplicant1/Interfaces/0";
const GROUPED: &str = "/fi/w1/wpa_supplicant1/Interfaces/1";
const GROUP: &str = "/fi/w1/wpa_supplicant1/Interfaces/1/Groups/bitcraps";
const DIRECT: &str = "fi.w1.wpa_supplicant1.Interface.P2PDevice";

type Settings = HashMap<String, OwnedValue>;

/// A call of a method of a P2PDevice.
#[derive(Debug)]
struct Call {
    path: &'static str,
    method: &'static str,
    body: Settings,
}

impl Call {
    fn bytes(&self, name: &str) -> Vec<u8> {
        self.body[name].try_clone().unwrap().try_into().unwrap()
    }

    fn text(&self, name: &str) -> String {
        self.body[name].try_clone().unwrap().try_into().unwrap()
    }

    fn has(&self, name: &str, value: bool) -> bool {
        matches!(&*self.body[name], Value::Bool(is) if *is == value)
    }
}

fn path(text: &str) -> OwnedObjectPath {
    OwnedObjectPath::try_from(text.to_owned()).unwrap()
}

struct Program {
    interfaces: Vec<&'static str>,
}

#[zbus::interface(name = "fi.w1.wpa_supplicant1")]
impl Program {
    #[zbus(property)]
    fn interfaces(&self) -> Vec<OwnedObjectPath> {
        self.interfaces.iter().map(|text| path(text)).collect()
    }
}

struct Interface {
    name: &'static str,
}

#[zbus::interface(name = "fi.w1.wpa_supplicant1.Interface")]
impl Interface {
    #[zbus(property)]
    fn ifname(&self) -> &str {
        self.name
    }
}

struct Group;

#[zbus::interface(name = "fi.w1.wpa_supplicant1.Group")]
impl Group {
    #[zbus(property, name = "SSID")]
    fn ssid(&self) -> Vec<u8> {
        b"DIRECT-xy-bitcraps".to_vec()
    }
}

struct Device {
    path: &'static str,
    calls: Sender<Call>,
    postfix: String,
    reconnects: bool,
}

impl Device {
    fn new(path: &'static str, calls: &Sender<Call>) -> Self {
        let (calls, postfix) = (calls.clone(), "-living-room".to_owned());
        Self { path, calls, postfix, reconnects: false }
    }

    fn tell(&self, method: &'static str, body: Settings) {
        // Nobody listens once a test has ended.
        drop(self.calls.send(Call { path: self.path, method, body }));
    }
}

#[zbus::interface(name = "fi.w1.wpa_supplicant1.Interface.P2PDevice")]
impl Device {
    fn find(&self, body: Settings) {
        self.tell("Find", body);
    }

    fn stop_find(&self) {
        self.tell("StopFind", Settings::new());
    }

    fn connect(&self, body: Settings) -> String {
        self.tell("Connect", body);
        String::new()
    }

    fn invite(&self, body: Settings) {
        self.tell("Invite", body);
    }

    fn disconnect(&self) {
        self.tell("Disconnect", Settings::new());
    }

    fn add_service(&self, body: Settings) {
        self.tell("AddService", body);
    }

    fn delete_service(&self, body: Settings) {
        self.tell("DeleteService", body);
    }

    fn service_discovery_request(&self, body: Settings) -> u64 {
        self.tell("ServiceDiscoveryRequest", body);
        7
    }

    #[zbus(property, name = "P2PDeviceConfig")]
    fn config(&self) -> HashMap<String, Value<'static>> {
        HashMap::from([
            ("SsidPostfix".to_owned(), Value::from(self.postfix.clone())),
            ("PersistentReconnect".to_owned(), Value::from(self.reconnects)),
        ])
    }

    #[zbus(property, name = "P2PDeviceConfig")]
    fn set_config(&mut self, settings: Settings) {
        self.postfix = settings["SsidPostfix"].try_clone().unwrap().try_into().unwrap();
        self.reconnects = settings["PersistentReconnect"].try_clone().unwrap().try_into().unwrap();
        self.tell("Set", settings);
    }

    #[zbus(property)]
    fn peers(&self) -> Vec<OwnedObjectPath> {
        Vec::new()
    }

    #[zbus(property)]
    fn persistent_groups(&self) -> Vec<OwnedObjectPath> {
        Vec::new()
    }

    #[zbus(property)]
    fn group(&self) -> OwnedObjectPath {
        path(if self.path == GROUPED { GROUP } else { "/" })
    }
}

/// wpa_supplicant on a bus of its own, until it is dropped.
struct Supplicant {
    bus: Bus,
    daemon: zbus::Connection,
    calls: Receiver<Call>,
}

/// What a supplicant has.
#[derive(Clone, Copy, PartialEq)]
enum Has {
    Nothing,
    Interface,
    Device,
    /// And a group on this interface.
    Group(&'static str),
}

fn supplicant(runtime: &Runtime, bus: Bus, has: Has) -> Supplicant {
    let (told, calls) = mpsc::channel();
    let connection = async {
        let interfaces = match has {
            Has::Nothing => vec![],
            Has::Interface | Has::Device => vec![OWN],
            Has::Group(_) => vec![OWN, GROUPED],
        };
        let mut builder =
            Builder::address(bus.address.as_str())?.serve_at(ROOT, Program { interfaces })?;
        if has != Has::Nothing {
            builder = builder.serve_at(OWN, Interface { name: "wlan0" })?;
        }
        if matches!(has, Has::Device | Has::Group(_)) {
            builder = builder.serve_at(OWN, Device::new(OWN, &told))?;
        }
        if let Has::Group(name) = has {
            builder = builder.serve_at(GROUPED, Interface { name })?;
            builder = builder.serve_at(GROUPED, Device::new(GROUPED, &told))?;
            builder = builder.serve_at(GROUP, Group)?;
        }
        builder.name(NAME)?.build().await
    };
    let daemon: zbus::Result<_> = runtime.block_on(connection);
    Supplicant { bus, daemon: daemon.unwrap(), calls }
}

impl Supplicant {
    /// Waits for a call of `method`; others before it are passed over.
    #[track_caller]
    fn until(&self, method: &str) -> Call {
        let mut passed = Vec::new();
        loop {
            match self.calls.recv_timeout(SOON) {
                Ok(call) if call.method == method => return call,
                Ok(call) => passed.push(call),
                Err(error) => panic!("no call of {method}: {error}; others: {passed:#?}"),
            }
        }
    }

    fn emit<B>(&self, runtime: &Runtime, signal: &str, body: &B)
    where
        B: serde::Serialize + zbus::zvariant::DynamicType,
    {
        let emitted = self.daemon.emit_signal(None::<&str>, OWN, DIRECT, signal, body);
        runtime.block_on(emitted).unwrap();
    }
}

/// NetworkManager, as far as it is asked whether it manages an interface.
struct NetworkManager;

#[zbus::interface(name = "org.freedesktop.NetworkManager")]
impl NetworkManager {
    fn get_device_by_ip_iface(&self, name: &str) -> OwnedObjectPath {
        path(&format!("/org/freedesktop/NetworkManager/Devices/{name}"))
    }
}

struct ManagedDevice {
    managed: bool,
}

#[zbus::interface(name = "org.freedesktop.NetworkManager.Device")]
impl ManagedDevice {
    #[zbus(property)]
    fn managed(&self) -> bool {
        self.managed
    }
}

#[test]
#[ignore = "needs dbus-daemon: run by `cargo xtask test-net`"]
fn network_manager_in_the_way_is_named_with_what_to_do() {
    const PLACE: &str = "/org/freedesktop/NetworkManager";
    let runtime = Runtime::new().unwrap();
    for (managed, expected) in [(true, "poor"), (false, "good")] {
        let daemon = supplicant(&runtime, Bus::start(""), Has::Device);
        let serve = async {
            Builder::address(daemon.bus.address.as_str())?
                .serve_at(PLACE, NetworkManager)?
                .serve_at(format!("{PLACE}/Devices/wlan0"), ManagedDevice { managed })?
                .name("org.freedesktop.NetworkManager")?
                .build()
                .await
        };
        let served: zbus::Result<_> = runtime.block_on(serve);
        let _manager = served.unwrap();
        let (condition, says) = doctor(&daemon.bus, "wlan0");
        assert_eq!(condition, expected, "{says}");
        assert_eq!(says.contains("`nmcli device set wlan0 managed no`"), managed, "{says}");
    }
}

/// A command line of this program, which is to use Wi-Fi Direct and nothing else.
fn command(bus: &Bus, home: &Home, interface: &str, arguments: &[&str]) -> Command {
    let text = format!(
        "[lan]\nenabled = false\n[admission]\nmode = \"open\"\n[wifi_direct]\nenabled = true\n\
         interface = \"{interface}\"\n"
    );
    home.write("bitcraps.toml", &text);
    let mut command = home.command(&[&["--config", "bitcraps.toml"], arguments].concat());
    command.env("DBUS_SYSTEM_BUS_ADDRESS", &bus.address);
    command
}

/// What `bitcraps doctor` says of Wi-Fi Direct: how it does, and what is found.
fn doctor(bus: &Bus, interface: &str) -> (String, String) {
    let output = command(bus, &bus.home, interface, &["doctor", "--json"]).output().unwrap();
    let told: Json = serde_json::from_slice(&output.stdout).unwrap();
    let found = told["findings"].as_array().unwrap();
    let found = found.iter().find(|finding| finding["part"] == "wifi direct").unwrap();
    let text = |name: &str| found[name].as_str().unwrap().to_owned();
    (text("condition"), text("says"))
}

#[test]
#[ignore = "needs dbus-daemon: run by `cargo xtask test-net`"]
fn what_is_missing_for_wifi_direct_is_named_with_what_to_do() {
    let runtime = Runtime::new().unwrap();
    let (condition, says) = doctor(&Bus::start(""), "");
    assert_eq!(condition, "broken");
    assert!(says.starts_with("wpa_supplicant does not answer: "), "{says}");
    assert!(says.ends_with("; `systemctl start wpa_supplicant`"), "{says}");
    let cases = [
        (
            Has::Nothing,
            "",
            "broken",
            "wpa_supplicant has no interface at all: it has none; `iw dev`",
        ),
        (
            Has::Interface,
            "wlan7",
            "broken",
            "wpa_supplicant has no interface wlan7: it has wlan0; ",
        ),
        (Has::Interface, "", "broken", "wlan0 cannot form Wi-Fi Direct groups: "),
        (Has::Device, "wlan0", "good", "interface wlan0"),
        (
            Has::Device,
            "wlan/0",
            "broken",
            "wifi_direct.interface: \"wlan/0\" is no interface's name; ",
        ),
    ];
    for (has, interface, condition, says) in cases {
        let daemon = supplicant(&runtime, Bus::start(""), has);
        let told = doctor(&daemon.bus, interface);
        assert_eq!(told.0, condition, "{told:?}");
        assert!(told.1.starts_with(says), "{told:?}");
    }
    let bus = Bus::start("<deny send_destination=\"fi.w1.wpa_supplicant1\"/>");
    let daemon = supplicant(&runtime, bus, Has::Device);
    let (condition, says) = doctor(&daemon.bus, "wlan0");
    assert_eq!(condition, "broken");
    assert!(says.starts_with("not permitted to list the interfaces: "), "{says}");
    assert!(says.ends_with("; install packaging/dbus/bitcraps-wifi-direct.conf"), "{says}");
}

#[test]
#[ignore = "needs dbus-daemon: run by `cargo xtask test-net`"]
fn a_node_runs_without_wpa_supplicant_and_uses_it_when_it_comes() {
    let bus = Bus::start("");
    let mut command = command(&bus, &bus.home, "", &["run"]);
    let mut node = Ward(command.stderr(Stdio::piped()).spawn().unwrap());
    let mut said = Lines::of(node.0.stderr.take().unwrap());
    said.until("wpa_supplicant does not answer: ");
    let runtime = Runtime::new().unwrap();
    let daemon = supplicant(&runtime, bus, Has::Group("p2p-old"));
    // What a run has left that was killed.
    assert_eq!(daemon.until("Disconnect").path, GROUPED);
    assert_eq!(daemon.until("Set").text("SsidPostfix"), "-bitcraps");
    assert_eq!(daemon.until("AddService").text("service_type"), "bonjour");
    assert_eq!(daemon.until("Find").path, OWN);
}

/// Two interfaces, each the other's air, in the network that this process has for itself.
fn air() {
    let ip = |arguments: &str| {
        let done = Command::new("ip").args(arguments.split(' ')).status().unwrap();
        assert!(done.success(), "ip {arguments}");
    };
    ip("link add p2p-a type veth peer name p2p-b");
    ip("link set p2p-a up");
    ip("link set p2p-b up");
}

/// What the supplicant tells when a device has answered `record`.
fn answered(record: &[u8]) -> Vec<u8> {
    let query = b"\x09_bitcraps\xc0\x1c\x00\x10\x01";
    let data = [b"\x01\xbc\x00".as_slice(), query, record].concat();
    [(data.len() as u16).to_le_bytes().as_slice(), &data].concat()
}

#[test]
#[ignore = "needs dbus-daemon: run by `cargo xtask test-net`"]
fn two_nodes_form_a_group_and_meet_in_it() {
    air();
    let runtime = Runtime::new().unwrap();
    let names = ["p2p-a", "p2p-b"];
    let daemons = names.map(|name| supplicant(&runtime, Bus::start(""), Has::Group(name)));
    let nodes = [0, 1].map(|at| {
        let home = Home::new();
        let command = command(&daemons[at].bus, &home, "wlan0", &["run"]);
        Running::started(home, command)
    });
    let records = [0, 1].map(|at| daemons[at].until("AddService").bytes("response"));
    let peers = [0_u8, 1].map(|at| path(&format!("{OWN}/Peers/0200000000{at:02x}")));
    for at in [0, 1] {
        let (daemon, other) = (&daemons[at], 1 - at);
        daemon.until("Find");
        daemon.emit(&runtime, "DeviceFound", &(&peers[other],));
        daemon.until("ServiceDiscoveryRequest");
        let told = HashMap::from([
            ("peer_object", Value::from(peers[other].clone())),
            ("update_indicator", Value::from(1_u16)),
            ("tlvs", Value::from(answered(&records[other]))),
        ]);
        daemon.emit(&runtime, "ServiceDiscoveryResponse", &(told,));
    }
    // The greater one begins, and the other one consents when it is called.
    let begins = usize::from(records[1] > records[0]);
    let call = daemons[begins].until("Connect");
    assert_eq!(call.text("wps_method"), "pbc");
    assert!(call.has("persistent", true) && call.has("join", false), "{call:?}");
    let consents = &daemons[1 - begins];
    consents.emit(&runtime, "GONegotiationRequest", &(&peers[begins], 4_u16, 7_u8));
    consents.until("Connect");
    let stored = path(&format!("{OWN}/PersistentGroups/3"));
    for (daemon, [role, mode]) in daemons.iter().zip([["client", "0"], ["GO", "3"]]) {
        let started = HashMap::from([
            ("interface_object", Value::from(path(GROUPED))),
            ("role", Value::from(role)),
            ("group_object", Value::from(path(GROUP))),
        ]);
        daemon.emit(&runtime, "GroupStarted", &(started,));
        let settings = HashMap::from([("mode", Value::from(mode))]);
        let object = HashMap::from([("Properties", Value::from(settings))]);
        daemon.emit(&runtime, "PersistentGroupAdded", &(&stored, object));
    }
    nodes.iter().for_each(|node| drop(node.until_reaches(1)));
    let [one, other] = nodes;
    one.signal(Signal::TERM);
    let left = daemons[0].until("Disconnect");
    assert_eq!(left.path, GROUPED, "a group is left by whoever ends");
    daemons[0].until("StopFind");
    daemons[0].until("DeleteService");
    assert_eq!(daemons[0].until("Set").text("SsidPostfix"), "-living-room");
    // The group has ended for the other one as well, which looks for others again.
    let finished = HashMap::from([
        ("interface_object", Value::from(path(GROUPED))),
        ("role", Value::from("GO")),
        ("group_object", Value::from(path(GROUP))),
    ]);
    daemons[1].emit(&runtime, "GroupFinished", &(finished,));
    other.until_reaches(0);
    daemons[1].emit(&runtime, "DeviceFound", &(&peers[0],));
    let invited: OwnedObjectPath = daemons[1]
        .until("Invite")
        .body
        .remove("persistent_group_object")
        .unwrap()
        .try_into()
        .unwrap();
    assert_eq!(invited, stored, "whoever owned a group forms it again at once");
    // wpa_supplicant that comes back is taken up again.
    let Supplicant { bus, daemon, .. } = daemons.into_iter().nth(1).unwrap();
    runtime.block_on(daemon.close()).unwrap();
    let daemon = supplicant(&runtime, bus, Has::Device);
    daemon.until("AddService");
}
