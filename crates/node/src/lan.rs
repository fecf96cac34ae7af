use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use bitcraps_engine::Decision;
use bitcraps_transport_wifi::{
    BeaconConfig, Company, ConfigError, DirectConfig, Identity as LinkIdentity, MdnsConfig, Tag,
    WifiConfig, WifiTransport,
};
use bitcraps_types::{Epoch, TransportType};

use crate::config::{Interface, Mode};
use crate::peers_file::{Book, PeersFile};
use crate::{Config, Identity};

/// Why there is no local network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LanError {
    /// Nobody chose an interface, and no packet leaves by one that nobody chose.
    #[error(
        "no interface is chosen, so nothing is sent. This machine has: {}. To use {}, write \
         into the configuration:\n\n    [lan]\n    interfaces = {suggestion}\n",
        present.join(", "), if present.is_empty() { "this machine alone" } else { "them" }
    )]
    NotChosen {
        /// Interfaces that are up and not loopback, with their addresses.
        present: Vec<String>,
        /// The line to write.
        suggestion: String,
    },
    /// A chosen interface is not there.
    #[error("lan.interfaces names {name:?}, which is not up; this machine has: {}", present.join(", "))]
    NoSuchInterface {
        /// The name or address.
        name: String,
        /// What is there.
        present: Vec<String>,
    },
    /// The interfaces cannot be listed.
    #[error("cannot list the network interfaces: {0}")]
    Unreadable(String),
    /// The configuration wants Wi-Fi Direct, which only Linux has.
    #[cfg(not(target_os = "linux"))]
    #[error("wifi_direct.enabled is true, which takes Linux; set wifi_direct.enabled = false")]
    NoWifiDirect,
    /// The transport refused its configuration.
    #[error("local network: {0}")]
    Refused(ConfigError),
}

/// Addresses that the chosen interfaces have now; `None` when the LAN is switched off.
pub(crate) fn addresses(config: &Config) -> Result<Option<Vec<IpAddr>>, LanError> {
    let lan = config.lan();
    if !lan.enabled {
        return Ok(None);
    }
    let found = if_addrs::get_if_addrs().map_err(|e| LanError::Unreadable(e.to_string()))?;
    let usable: Vec<(String, IpAddr)> = found
        .into_iter()
        .map(|i| (i.name.clone(), i.ip()))
        .filter(|(_, ip)| !needs_scope(ip))
        .collect();
    let describe = |all: &[(String, IpAddr)]| -> Vec<String> {
        all.iter().map(|(name, ip)| format!("{name} ({ip})")).collect()
    };
    if lan.interfaces.is_empty() {
        let own: Vec<_> = usable.iter().filter(|(_, ip)| !ip.is_loopback()).cloned().collect();
        let mut names: Vec<&str> = own.iter().map(|(name, _)| name.as_str()).collect();
        names.dedup();
        if names.is_empty() {
            names.push("lo");
        }
        let suggestion = format!("{names:?}");
        return Err(LanError::NotChosen { present: describe(&own), suggestion });
    }
    let mut chosen = Vec::new();
    for interface in &lan.interfaces {
        let matches = |(name, ip): &&(String, IpAddr)| match interface {
            Interface::Name(wanted) => name == wanted,
            // Loopback answers on its whole network, though only one address is listed.
            Interface::Address(wanted) => ip == wanted,
        };
        let mut own: Vec<IpAddr> = usable.iter().filter(matches).map(|(_, ip)| *ip).collect();
        if let (true, Interface::Address(ip)) = (own.is_empty(), interface)
            && ip.is_loopback()
        {
            own.push(*ip);
        }
        if own.is_empty() {
            let (name, present) = (interface.to_string(), describe(&usable));
            return Err(LanError::NoSuchInterface { name, present });
        }
        chosen.extend(own);
    }
    chosen.sort_unstable();
    chosen.dedup();
    Ok(Some(chosen))
}

/// Link-local IPv6 addresses mean nothing without a scope, which a plain address does not carry.
fn needs_scope(ip: &IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local())
}

/// The LAN transport as configured.
pub(crate) fn transport(
    config: &Config,
    addresses: Vec<IpAddr>,
    identity: &Identity,
    epoch: Epoch,
) -> Result<WifiTransport, LanError> {
    #[cfg(not(target_os = "linux"))]
    if config.wifi_direct().enabled {
        return Err(LanError::NoWifiDirect);
    }
    let lan = config.lan();
    let limits = config.transport().limits(TransportType::WiFiDirect);
    // mDNS joins its groups on every interface before it can be told not to; a node that was given
    // loopback alone must not be heard anywhere else.
    let on_lan = !addresses.is_empty();
    let mdns = on_lan && lan.mdns && !addresses.iter().any(IpAddr::is_loopback);
    let listen = addresses.into_iter().map(|ip| SocketAddr::new(ip, lan.port)).collect();
    let settings = WifiConfig {
        max_frame: limits.max_packet_size,
        connection_timeout: limits.connection_timeout,
        prior_reliability: lan.prior,
        beacon: (on_lan && lan.beacon).then(|| BeaconConfig {
            port: lan.discovery_port,
            // Later incarnations count from higher up, so that nobody takes them for replays.
            first_sequence: epoch.0 << 32,
            ..BeaconConfig::default()
        }),
        direct: direct(config, epoch),
        mdns: mdns.then(MdnsConfig::default),
        jitter_seed: epoch.0,
        ..WifiConfig::new(listen)
    };
    let key = LinkIdentity::from(identity.signing_key().clone());
    WifiTransport::new(settings, key).map_err(LanError::Refused)
}

/// Wi-Fi Direct as configured; `None` when it is switched off.
pub(crate) fn direct(config: &Config, epoch: Epoch) -> Option<DirectConfig> {
    let direct = config.wifi_direct();
    direct.enabled.then(|| DirectConfig {
        interface: direct.interface.clone(),
        bus: direct.bus.clone(),
        company: company(config),
        pin: direct.pin.clone(),
        first_sequence: epoch.0 << 32,
        ..DirectConfig::default()
    })
}

/// With whom groups are formed: whoever is admitted now.
fn company(config: &Config) -> Company {
    let admission = config.admission();
    if admission.mode == Mode::Open {
        return Company::Anybody;
    }
    // What cannot be read ends the start of the node elsewhere.
    let book = PeersFile::new(&config.node().peers_file()).load().unwrap_or_default();
    let Book { peers: decided, .. } = book;
    let decided = |wanted: Decision| {
        let decided = decided.iter().filter(move |(_, known)| known.decision == Some(wanted));
        decided.map(|(peer, _)| *peer)
    };
    let named = config.peers().iter().map(|peer| peer.id);
    let mut peers: BTreeSet<_> = admission.allow.iter().copied().chain(named).collect();
    peers.extend(decided(Decision::Admitted));
    let blocked: BTreeSet<_> = decided(Decision::Blocked).chain(admission.block.clone()).collect();
    Company::Only(peers.difference(&blocked).map(Tag::of).collect())
}
