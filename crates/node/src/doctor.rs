//! What stands between a configuration and a node that works with it on this machine.
//!
//! Looks only: nothing is sent, written or switched, and a node that runs meanwhile is not disturbed.

#[cfg(all(feature = "bluetooth", target_os = "linux"))]
mod attributes;
#[cfg(all(any(feature = "bluetooth", feature = "wifi"), target_os = "linux"))]
mod switches;
#[cfg(test)]
#[cfg(all(feature = "bluetooth", feature = "internet", feature = "wifi"))]
mod tests;

use std::io;
#[cfg(feature = "wifi")]
use std::net::IpAddr;
use std::net::TcpListener;
#[cfg(any(feature = "internet", feature = "wifi"))]
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;

use rustix::fs::{Access, access, statvfs};
use serde::{Deserialize, Serialize};

use crate::admin::{AdminError, Request, Response, request};
use crate::{Config, Identity, IdentityError};

/// How a part does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// The configuration does not ask for it.
    Unused,
    /// It will work.
    Good,
    /// The node will run, but not as the configuration asks, or not for long.
    Poor,
    /// The node will not start, or go without this part.
    Broken,
}

/// What was found of one part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Which part: `key`, `data`, `node`, `local network`, `internet`, `bluetooth`,
    /// `wifi direct`, `dashboard`.
    pub part: String,
    /// How it does.
    pub condition: Condition,
    /// What was found, and what to do where something is to be done.
    pub says: String,
}

impl Finding {
    fn new(part: &str, condition: Condition, says: impl Into<String>) -> Self {
        Self { part: part.to_owned(), condition, says: says.into() }
    }

    fn broken(part: &str, says: impl ToString) -> Self {
        Self::new(part, Condition::Broken, says.to_string())
    }
}

/// Looks at every part that the configuration is about. A running node is looked for at `socket`. Takes as
/// long as that node takes to answer, and bluetoothd and wpa_supplicant where their links are asked for, and
/// milliseconds otherwise.
pub async fn examine(config: &Config, socket: &Path) -> Vec<Finding> {
    let socket = socket.to_owned();
    let asked = tokio::task::spawn_blocking(move || node(&socket)).await;
    let unknown = |error| (true, Finding::new("node", Condition::Poor, format!("{error}")));
    let (running, node) = asked.unwrap_or_else(unknown);
    vec![
        key(config),
        data(config),
        node,
        #[cfg(feature = "wifi")]
        local_network(config, running),
        #[cfg(feature = "internet")]
        internet(config, running),
        #[cfg(all(feature = "bluetooth", target_os = "linux"))]
        bluetooth(config).await,
        #[cfg(all(feature = "wifi", target_os = "linux"))]
        wifi_direct(config).await,
        dashboard(config, running),
    ]
}

fn key(config: &Config) -> Finding {
    let path = config.node().key_file();
    match Identity::load(&path) {
        Ok(identity) => Finding::new("key", Condition::Good, identity.peer_id().to_string()),
        Err(IdentityError::Missing(_)) => {
            let says = format!("{} will be made when the node first starts", path.display());
            Finding::new("key", Condition::Good, says)
        }
        Err(error) => Finding::broken("key", error),
    }
}

/// The directory of the node's files, or the one in which it would be made.
fn existing(path: &Path) -> &Path {
    path.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"))
}

fn data(config: &Config) -> Finding {
    let directory = &config.node().data_dir;
    let place = existing(directory);
    let shown = directory.display();
    if !place.is_dir() {
        return Finding::broken("data", format!("{} is no directory", place.display()));
    }
    if let Err(error) = access(place, Access::WRITE_OK | Access::EXEC_OK) {
        let why = io::Error::from(error);
        return Finding::broken("data", format!("{} cannot be written: {why}", place.display()));
    }
    let store = config.store();
    if !store.enabled {
        let says =
            format!("{shown}; critical messages are not kept on disk (store.enabled = false)");
        return Finding::new("data", Condition::Good, says);
    }
    let taken = std::fs::metadata(&store.path).map_or(0, |file| file.len());
    let wanted = (store.max_bytes as u64).saturating_sub(taken);
    match statvfs(existing(&store.path)) {
        Ok(disk) => room(shown, wanted, disk.f_bavail.saturating_mul(disk.f_frsize)),
        Err(error) => {
            let says = format!("{shown}; its free space is not known: {}", io::Error::from(error));
            Finding::new("data", Condition::Good, says)
        }
    }
}

/// Whether what the store may still take is free.
fn room(place: impl std::fmt::Display, wanted: u64, free: u64) -> Finding {
    let mib = |bytes: u64| bytes >> 20;
    if free >= wanted {
        return Finding::new("data", Condition::Good, place.to_string());
    }
    let says = format!(
        "{place}: {} MiB are free, the store may take {} MiB more; make room, or lower store.max_bytes",
        mib(free),
        mib(wanted)
    );
    Finding::new("data", Condition::Poor, says)
}

/// Whether a node of this configuration runs.
fn node(socket: &Path) -> (bool, Finding) {
    match request(socket, &Request::Status) {
        Ok(Response::Status(status)) => {
            let says = format!("runs as process {}, version {}", status.pid, status.version);
            (true, Finding::new("node", Condition::Good, says))
        }
        Ok(_) => (true, Finding::new("node", Condition::Poor, "it is of another version")),
        Err(AdminError::NoNode(path)) => {
            let says = format!("none runs at {}", path.display());
            (false, Finding::new("node", Condition::Unused, says))
        }
        Err(error) => (true, Finding::new("node", Condition::Poor, error.to_string())),
    }
}

/// The addresses among `all` at which this machine cannot receive now, with what the system says. Ports
/// are left alone while the node runs that has them.
#[cfg(any(feature = "internet", feature = "wifi"))]
fn refused(all: &[SocketAddr], running: bool) -> Option<String> {
    let refusal = |address: &SocketAddr| {
        let port = if running { 0 } else { address.port() };
        let error = UdpSocket::bind((address.ip(), port)).err()?;
        Some(match error.kind() {
            io::ErrorKind::AddrInUse => {
                format!("UDP port {address} is taken by another program; choose another port")
            }
            io::ErrorKind::AddrNotAvailable => {
                format!("this machine has no address {}", address.ip())
            }
            _ => format!("{address}: {error}"),
        })
    };
    all.iter().find_map(refusal)
}

#[cfg(any(feature = "internet", feature = "wifi"))]
fn list<T: ToString>(all: &[T]) -> String {
    all.iter().map(T::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(feature = "wifi")]
fn local_network(config: &Config, running: bool) -> Finding {
    const PART: &str = "local network";
    let addresses: Vec<IpAddr> = match crate::lan::addresses(config) {
        Ok(None) => return Finding::new(PART, Condition::Unused, "lan.enabled = false"),
        Ok(Some(addresses)) => addresses,
        Err(error) => return Finding::broken(PART, error),
    };
    let listen: Vec<_> =
        addresses.iter().map(|ip| SocketAddr::new(*ip, config.lan().port)).collect();
    match refused(&listen, running) {
        Some(why) => Finding::broken(PART, why),
        None => Finding::new(PART, Condition::Good, list(&addresses)),
    }
}

#[cfg(feature = "internet")]
fn internet(config: &Config, running: bool) -> Finding {
    const PART: &str = "internet";
    let internet = config.internet();
    if !internet.is_on() {
        return Finding::new(
            PART,
            Condition::Unused,
            "internet.enabled = false, or internet.listen is empty",
        );
    }
    if let Some(why) = refused(&internet.listen, running) {
        return Finding::broken(PART, why);
    }
    if let Some(Err(error)) =
        internet.relay_roots.as_deref().map(bitcraps_transport_inet::certificates)
    {
        return Finding::broken(PART, format!("internet.relay_roots: {error}"));
    }
    let listen = list(&internet.listen);
    if internet.relays.is_empty() && internet.public.is_empty() {
        let says = format!(
            "{listen}; behind a router nobody can call this node: name a relay in internet.relays, or in \
             internet.public the address that the router forwards"
        );
        return Finding::new(PART, Condition::Good, says);
    }
    let relays = match internet.relays.as_slice() {
        [] => String::new(),
        relays => format!("; relays {} (not asked)", list(relays)),
    };
    Finding::new(PART, Condition::Good, format!("{listen}{relays}"))
}

#[cfg(all(feature = "bluetooth", target_os = "linux"))]
async fn bluetooth(config: &Config) -> Finding {
    const PART: &str = "bluetooth";
    /// bluetoothd answers in milliseconds; the bus starts it where it may, which takes longer.
    const PATIENCE: std::time::Duration = std::time::Duration::from_secs(5);
    let settings = config.bluetooth();
    if !settings.enabled {
        return Finding::new(PART, Condition::Unused, "bluetooth.enabled = false");
    }
    if let Some(hci) = &settings.hci {
        return match crate::bluetooth::controller(hci) {
            Ok(_) => Finding::new(PART, Condition::Good, format!("controller {hci} (not asked)")),
            Err(error) => Finding::broken(PART, error),
        };
    }
    let radio = bitcraps_transport_ble::Bluez::new(settings.adapter.clone());
    match tokio::time::timeout(PATIENCE, radio.examine()).await {
        Ok(Ok((name, device))) => {
            let advice = attributes::advice(Path::new(attributes::PLACE));
            let advice = advice.map_or_else(String::new, |advice| format!("; {advice}"));
            Finding::new(PART, Condition::Good, format!("adapter {name}, {device}{advice}"))
        }
        Ok(Err(error)) => {
            let switch = switches::blocking(Path::new(switches::PLACE), "bluetooth");
            let switch = switch.map_or_else(String::new, |switch| format!(" ({switch})"));
            Finding::broken(PART, format!("{error}{switch}"))
        }
        Err(_) => {
            let says =
                format!("bluetoothd has said nothing for {} s; restart it", PATIENCE.as_secs());
            Finding::broken(PART, says)
        }
    }
}

#[cfg(all(feature = "wifi", target_os = "linux"))]
async fn wifi_direct(config: &Config) -> Finding {
    const PART: &str = "wifi direct";
    /// wpa_supplicant answers in milliseconds; the bus starts it where it may, which takes longer.
    const PATIENCE: std::time::Duration = std::time::Duration::from_secs(5);
    let Some(direct) = crate::lan::direct(config, bitcraps_types::Epoch(0)) else {
        return Finding::new(PART, Condition::Unused, "wifi_direct.enabled = false");
    };
    if let Err(error) = direct.check() {
        return Finding::broken(PART, error);
    }
    let examined = bitcraps_transport_wifi::examine(&direct);
    match tokio::time::timeout(PATIENCE, examined).await {
        Ok(Ok(able)) if able.shared => {
            let name = able.interface;
            let says = format!(
                "interface {name}, which NetworkManager manages too: it may end groups or move the radio \
                 to another channel; `nmcli device set {name} managed no` keeps it away"
            );
            Finding::new(PART, Condition::Poor, says)
        }
        Ok(Ok(able)) => {
            Finding::new(PART, Condition::Good, format!("interface {}", able.interface))
        }
        Ok(Err(error)) => {
            let switch = switches::blocking(Path::new(switches::PLACE), "wlan");
            let switch = switch.map_or_else(String::new, |switch| format!(" ({switch})"));
            Finding::broken(PART, format!("{error}{switch}"))
        }
        Err(_) => {
            let says =
                format!("wpa_supplicant has said nothing for {} s; restart it", PATIENCE.as_secs());
            Finding::broken(PART, says)
        }
    }
}

fn dashboard(config: &Config, running: bool) -> Finding {
    const PART: &str = "dashboard";
    let Some(address) = config.dashboard().listen else {
        return Finding::new(PART, Condition::Unused, "dashboard.listen is not set");
    };
    if !running && let Err(error) = TcpListener::bind(address) {
        return Finding::broken(
            PART,
            format!("dashboard.listen = \"{address}\": cannot listen there: {error}"),
        );
    }
    Finding::new(PART, Condition::Good, format!("http://{address}/metrics"))
}
