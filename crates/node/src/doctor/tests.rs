use std::fs;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::Environment;

struct Machine {
    home: tempfile::TempDir,
}

impl Machine {
    fn new() -> Self {
        Self { home: tempfile::tempdir().unwrap() }
    }

    fn config(&self, text: &str) -> Config {
        let environment = Environment::from_iter([("HOME", self.home.path())]);
        let text =
            format!("[admin]\nsocket = \"{}\"\n{text}", self.home.path().join("s").display());
        Config::parse(&text, Path::new("test.toml"), &environment).unwrap()
    }

    async fn examine(&self, text: &str) -> Vec<Finding> {
        let config = self.config(text);
        examine(&config, &config.admin().socket).await
    }

    async fn finding(&self, part: &str, text: &str) -> (Condition, String) {
        let found = self.examine(text).await.into_iter().find(|finding| finding.part == part);
        found.map(|finding| (finding.condition, finding.says)).unwrap()
    }
}

#[tokio::test]
async fn every_part_is_looked_at_and_what_is_not_asked_for_is_unused() {
    let machine = Machine::new();
    let found = machine.examine("[lan]\nenabled = false\n").await;
    let found: Vec<_> = found.iter().map(|f| (f.part.as_str(), f.condition)).collect();
    let expected = [
        ("key", Condition::Good),
        ("data", Condition::Good),
        ("node", Condition::Unused),
        ("local network", Condition::Unused),
        ("internet", Condition::Unused),
        ("bluetooth", Condition::Unused),
        ("wifi direct", Condition::Unused),
        ("dashboard", Condition::Unused),
    ];
    assert_eq!(found, expected);
    assert_eq!(fs::read_dir(machine.home.path()).unwrap().count(), 0, "nothing is written");
}

#[tokio::test]
async fn a_key_that_the_node_would_refuse_is_told_as_it_tells() {
    let machine = Machine::new();
    let file = machine.config("").node().key_file();
    let made = format!("{} will be made when the node first starts", file.display());
    assert_eq!(machine.finding("key", "").await, (Condition::Good, made));
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    let identity = Identity::load_or_create(&file).unwrap();
    assert_eq!(machine.finding("key", "").await.1, identity.peer_id().to_string());
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let refused = Identity::load(&file).unwrap_err().to_string();
    assert_eq!(machine.finding("key", "").await, (Condition::Broken, refused));
}

#[tokio::test]
async fn a_directory_that_is_a_file_is_none() {
    let machine = Machine::new();
    let file = machine.home.path().join("file");
    fs::write(&file, "").unwrap();
    let text = format!("[node]\ndata_dir = \"{}/under\"\n", file.display());
    let expected = (Condition::Broken, format!("{} is no directory", file.display()));
    assert_eq!(machine.finding("data", &text).await, expected);
}

#[test]
fn a_disk_with_less_room_than_the_store_may_take_is_poor() {
    assert_eq!(room("/data", 5 << 20, 5 << 20), Finding::new("data", Condition::Good, "/data"));
    let says =
        "/data: 4 MiB are free, the store may take 5 MiB more; make room, or lower store.max_bytes";
    assert_eq!(room("/data", 5 << 20, (5 << 20) - 1), Finding::new("data", Condition::Poor, says));
}

#[tokio::test]
async fn a_port_that_somebody_has_is_told() {
    let machine = Machine::new();
    let taken = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let lan = format!("[lan]\ninterfaces = [\"127.0.0.1\"]\nport = {port}\n");
    let says =
        format!("UDP port 127.0.0.1:{port} is taken by another program; choose another port");
    assert_eq!(machine.finding("local network", &lan).await, (Condition::Broken, says.clone()));
    let internet = format!("[internet]\nlisten = [\"127.0.0.1:{port}\"]\n");
    assert_eq!(machine.finding("internet", &internet).await, (Condition::Broken, says));
    drop(taken);
    assert_eq!(machine.finding("local network", &lan).await, (Condition::Good, "127.0.0.1".into()));
    let (condition, says) = machine.finding("internet", &internet).await;
    let rest = "; behind a router nobody can call this node: name a relay in internet.relays, or in \
                internet.public the address that the router forwards";
    assert_eq!((condition, says), (Condition::Good, format!("127.0.0.1:{port}{rest}")));

    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = taken.local_addr().unwrap();
    let dashboard = format!("[dashboard]\nlisten = \"{address}\"\n");
    let (condition, says) = machine.finding("dashboard", &dashboard).await;
    assert_eq!(condition, Condition::Broken);
    assert!(
        says.starts_with(&format!("dashboard.listen = \"{address}\": cannot listen there")),
        "{says}"
    );
    drop(taken);
    let there = format!("http://{address}/metrics");
    assert_eq!(machine.finding("dashboard", &dashboard).await, (Condition::Good, there));
}

#[tokio::test]
async fn an_interface_that_is_not_there_is_told_as_the_node_tells() {
    let machine = Machine::new();
    let text = "[lan]\ninterfaces = [\"none0\"]\n";
    let expected = crate::lan::addresses(&machine.config(text)).unwrap_err().to_string();
    assert_eq!(machine.finding("local network", text).await, (Condition::Broken, expected));
    // TEST-NET-1 belongs to nobody.
    let text = "[internet]\nlisten = [\"192.0.2.1:47802\"]\n";
    let says = "this machine has no address 192.0.2.1".to_owned();
    assert_eq!(machine.finding("internet", text).await, (Condition::Broken, says));
}

#[tokio::test]
async fn relays_are_named_and_their_certificates_read() {
    let machine = Machine::new();
    let text = "[internet]\nlisten = [\"127.0.0.1:0\"]\nrelays = [\"https://relay.example\"]\n";
    let says = "127.0.0.1:0; relays https://relay.example (not asked)".to_owned();
    assert_eq!(machine.finding("internet", text).await, (Condition::Good, says));
    let (condition, says) =
        machine.finding("internet", &format!("{text}relay_roots = \"/none.pem\"\n")).await;
    assert_eq!(condition, Condition::Broken);
    assert!(says.starts_with("internet.relay_roots: "), "{says}");
}

#[test]
fn a_switch_of_the_kind_that_is_off_is_found() {
    let place = tempfile::tempdir().unwrap();
    let switch = |number: usize, name: &str, kind: &str, soft: &str, hard: &str| {
        let directory = place.path().join(format!("rfkill{number}"));
        fs::create_dir_all(&directory).unwrap();
        for (file, text) in [("name", name), ("type", kind), ("soft", soft), ("hard", hard)] {
            fs::write(directory.join(file), format!("{text}\n")).unwrap();
        }
    };
    let blocking = || switches::blocking(place.path(), "bluetooth");
    assert_eq!(blocking(), None);
    switch(0, "phy0", "wlan", "1", "1");
    switch(1, "hci0", "bluetooth", "0", "0");
    assert_eq!(blocking(), None);
    switch(2, "hci1", "bluetooth", "1", "0");
    let soft = "hci1 is switched off: `rfkill unblock bluetooth`";
    assert_eq!(blocking().as_deref(), Some(soft));
    switch(1, "hci0", "bluetooth", "1", "1");
    let hard = "hci0 is switched off by a switch of the machine, or in its firmware";
    assert_eq!(blocking().as_deref(), Some(hard));
    assert_eq!(switches::blocking(&place.path().join("none"), "bluetooth"), None);
}
