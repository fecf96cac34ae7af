//! The group that this machine is in, as a place to listen and to be found.

use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::sync::Arc;

use bitcraps_types::Medium;
use tokio::task::JoinSet;

use super::beacon::{Ether, beacon};
use super::config::DirectConfig;
use crate::lan::Lan;

/// Most addresses of a group's interface that are listened on.
const MAX_ADDRESSES: usize = 4;

/// A group, its endpoints and its beacon. Ended by [`Self::end`]; dropped without, the endpoints stay
/// until the transport ends.
pub(super) struct Gathering {
    /// The object of its interface.
    pub(super) path: String,
    name: String,
    /// As listened on.
    addresses: Vec<SocketAddr>,
    tasks: JoinSet<()>,
}

impl Gathering {
    /// The group on the interface `name`, not listened on yet.
    pub(super) fn new(path: String, name: String) -> Self {
        Self { path, name, addresses: Vec::new(), tasks: JoinSet::new() }
    }

    /// Listens on the addresses that the interface has got since the last look. IPv6 makes one of its
    /// own within two seconds, which cannot be bound to before.
    pub(super) fn look(&mut self, lan: &Arc<Lan>, config: &DirectConfig) {
        let Ok(interfaces) = if_addrs::get_if_addrs() else { return };
        for interface in interfaces {
            if interface.name != self.name {
                continue;
            }
            let address = match (interface.ip(), interface.index) {
                (IpAddr::V6(ip), Some(zone)) if ip.is_unicast_link_local() => {
                    SocketAddrV6::new(ip, 0, 0, zone).into()
                }
                (IpAddr::V4(ip), _) => SocketAddr::from((ip, 0)),
                (IpAddr::V6(_), _) => continue,
            };
            let known = self.addresses.iter().any(|known| known.ip() == address.ip());
            if known || self.addresses.len() >= MAX_ADDRESSES {
                continue;
            }
            match lan.open(address, medium(&self.name)) {
                Ok(address) => self.opened(address, lan, config),
                Err(error) => tracing::debug!(%error, "not yet listening in the group"),
            }
        }
    }

    fn opened(&mut self, address: SocketAddr, lan: &Arc<Lan>, config: &DirectConfig) {
        tracing::info!(%address, interface = self.name, "listening in a Wi-Fi Direct group");
        self.addresses.push(address);
        let SocketAddr::V6(local) = address else { return };
        match Ether::open(local, config.port) {
            Ok(ether) => {
                self.tasks.spawn(beacon(lan.clone(), ether, config.first_sequence));
            }
            Err(error) => {
                let port = config.port;
                tracing::warn!(%address, port, %error, "no beacon in the Wi-Fi Direct group");
            }
        }
    }

    /// Whether there is no address to listen on yet.
    pub(super) fn is_deaf(&self) -> bool {
        self.addresses.is_empty()
    }

    /// Links that run over it.
    pub(super) fn links(&self, lan: &Lan) -> usize {
        lan.exchange.count(|path| self.addresses.contains(&path.local))
    }

    /// Ends its links and its beacon.
    pub(super) async fn end(mut self, lan: &Lan) {
        self.tasks.shutdown().await;
        for address in self.addresses {
            lan.close(address);
        }
    }
}

/// What the radio of an interface is: the kernel has a driver that makes radios up.
fn medium(interface: &str) -> Medium {
    const SIMULATOR: &str = "mac80211_hwsim";
    let driver = std::fs::read_link(format!("/sys/class/net/{interface}/device/driver"));
    match driver.is_ok_and(|driver| driver.ends_with(SIMULATOR)) {
        true => Medium::Emulated,
        false => Medium::Real,
    }
}
