//! The signed UDP beacon: who I am and where I listen, to everyone in reach of an interface.
//!
//! On loopback it goes to 127.255.255.255 and is heard on a socket bound to that address, so
//! nothing leaves the machine and nothing from outside is heard, while every process on it takes
//! part. On a LAN it goes to the interface's broadcast address and to a multicast group.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;

use bitcraps_transport_api::StartError;
use bitcraps_types::{PeerId, Timestamp};
use bitcraps_wire::{Beacon, MAX_BEACON_ADDRESSES, SignedBeacon};
use bytes::Bytes;
use ed25519_dalek::{Signature, VerifyingKey};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;

use crate::config::{BEACON_GROUP, BeaconConfig};
use crate::hearing::Hearing;
use crate::identity::Identity;

/// More than the longest beacon; what is longer is none.
pub(crate) const MAX_DATAGRAM: usize = 512;

const LOOPBACK_BROADCAST: Ipv4Addr = Ipv4Addr::new(127, 255, 255, 255);

/// The part of the network that one beacon is meant for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Scope {
    /// Address the beacon is sent from.
    pub(crate) from: Ipv4Addr,
    /// Where this node can be reached within the scope.
    pub(crate) addresses: Vec<SocketAddr>,
    /// Where it is sent.
    pub(crate) destinations: Vec<SocketAddrV4>,
    /// The interface's own network, where the system tells it.
    pub(crate) network: Option<Network>,
    /// Networks of this node's other scopes.
    pub(crate) others: Vec<Network>,
}

impl Scope {
    pub(crate) fn is_loopback(&self) -> bool {
        self.from.is_loopback()
    }

    /// Whether a beacon from `from` belongs to this scope. The sockets of two LAN scopes hear the
    /// same broadcasts, and each beacon is to be answered from the interface that it came by.
    pub(crate) fn hears(&self, from: IpAddr) -> bool {
        let IpAddr::V4(from) = from else { return false };
        let holds = |network: &Network| network.holds(from);
        from.is_loopback() == self.is_loopback()
            && (self.network.as_ref().is_some_and(holds) || !self.others.iter().any(holds))
    }
}

/// An IPv4 network as one of its interfaces knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Network {
    pub(crate) ip: Ipv4Addr,
    pub(crate) mask: Ipv4Addr,
    pub(crate) broadcast: Option<Ipv4Addr>,
}

impl Network {
    fn holds(&self, ip: Ipv4Addr) -> bool {
        (self.ip.to_bits() ^ ip.to_bits()) & self.mask.to_bits() == 0
    }
}

/// One scope for loopback and one for each LAN address. `network_of` tells the network of a local
/// address.
pub(crate) fn scopes(
    listening: &[SocketAddr],
    config: &BeaconConfig,
    network_of: impl Fn(Ipv4Addr) -> Option<Network>,
) -> Vec<Scope> {
    let mut scopes: Vec<Scope> = Vec::new();
    for address in listening {
        let SocketAddr::V4(v4) = address else {
            continue;
        };
        let same = |s: &&mut Scope| {
            let both_loopback = s.is_loopback() && v4.ip().is_loopback();
            both_loopback || s.from == *v4.ip()
        };
        if let Some(scope) = scopes.iter_mut().find(same) {
            scope.addresses.push(*address);
            continue;
        }
        let loopback = v4.ip().is_loopback();
        let network = network_of(*v4.ip()).filter(|_| !loopback);
        let groups = if loopback {
            vec![LOOPBACK_BROADCAST]
        } else {
            let broadcast = network.and_then(|network| network.broadcast);
            broadcast.into_iter().chain([BEACON_GROUP]).collect()
        };
        let extra = config.destinations.iter().filter_map(|to| match to {
            SocketAddr::V4(to) if to.ip().is_loopback() == loopback => Some(*to),
            SocketAddr::V4(_) | SocketAddr::V6(_) => None,
        });
        scopes.push(Scope {
            from: *v4.ip(),
            addresses: vec![*address],
            destinations: groups
                .into_iter()
                .map(|ip| SocketAddrV4::new(ip, config.port))
                .chain(extra)
                .collect(),
            network,
            others: Vec::new(),
        });
    }
    let networks: Vec<_> = scopes.iter().filter_map(|scope| scope.network).collect();
    for scope in &mut scopes {
        let others = networks.iter().filter(|other| Some(**other) != scope.network);
        scope.others = others.copied().collect();
    }
    scopes
}

fn udp() -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// The two sockets of a scope.
pub(crate) struct Ether {
    pub(crate) scope: Scope,
    speak: UdpSocket,
    hear: UdpSocket,
}

impl Ether {
    pub(crate) fn open(scope: Scope, port: u16) -> Result<Self, StartError> {
        let sockets = Self::sockets(&scope, port);
        let (speak, hear) = sockets.map_err(|error| {
            let what = format!("beacon on {} port {port}", scope.from);
            let why = error.to_string();
            match error.kind() {
                io::ErrorKind::AddrInUse => StartError::InUse { what, why },
                _ => StartError::Unavailable { what, why },
            }
        })?;
        Ok(Self { scope, speak, hear })
    }

    fn sockets(scope: &Scope, port: u16) -> io::Result<(UdpSocket, UdpSocket)> {
        let speak = udp()?;
        speak.set_broadcast(true)?;
        speak.set_multicast_if_v4(&scope.from)?;
        speak.set_multicast_ttl_v4(1)?;
        speak.bind(&SocketAddr::from((scope.from, 0)).into())?;

        let hear = udp()?;
        // Every process of the machine hears each broadcast.
        hear.set_reuse_address(true)?;
        #[cfg(unix)]
        hear.set_reuse_port(true)?;
        if scope.is_loopback() {
            hear.bind(&SocketAddr::from((LOOPBACK_BROADCAST, port)).into())?;
        } else {
            hear.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)).into())?;
            hear.join_multicast_v4(&BEACON_GROUP, &scope.from)?;
        }
        Ok((UdpSocket::from_std(speak.into())?, UdpSocket::from_std(hear.into())?))
    }

    /// Sends `beacon` to every destination. What the network refuses is lost, as a datagram may be:
    /// the next beacon follows.
    pub(crate) async fn say(&self, beacon: &Bytes) {
        for to in &self.scope.destinations {
            if let Err(error) = self.speak.send_to(beacon, to).await {
                tracing::debug!(%to, %error, "beacon not sent");
            }
        }
    }

    /// The next datagram and where it came from.
    pub(crate) async fn hear(
        &self,
        buffer: &mut [u8; MAX_DATAGRAM],
    ) -> io::Result<(Bytes, IpAddr)> {
        let (length, from) = self.hear.recv_from(buffer).await?;
        Ok((Bytes::copy_from_slice(&buffer[..length]), from.ip()))
    }
}

/// Signs what `scope` is to hear.
pub(crate) fn sign(identity: &Identity, scope: &Scope, sequence: u64) -> Bytes {
    let addresses = scope.addresses.iter().take(MAX_BEACON_ADDRESSES);
    let beacon =
        Beacon { peer: identity.peer(), sequence, addresses: addresses.copied().collect() };
    let signature = identity.sign(&beacon.signed_bytes());
    SignedBeacon { beacon, signature }.encode()
}

/// Why a datagram gave no hint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unheard {
    NoBeacon,
    Own,
    /// Not newer than what was heard.
    Stale,
    /// More than can be verified in this second.
    Flood,
    Forged,
}

/// Judges one datagram: who it is from and which addresses to hint at now. The cheap questions come
/// before the signature.
pub(crate) fn judge(
    datagram: Bytes,
    from: IpAddr,
    loopback: bool,
    own: PeerId,
    hearing: &mut Hearing,
    now: Timestamp,
) -> Result<(PeerId, Vec<SocketAddr>), Unheard> {
    let signed = SignedBeacon::decode(datagram).map_err(|_| Unheard::NoBeacon)?;
    let beacon = &signed.beacon;
    if beacon.peer == own {
        return Err(Unheard::Own);
    }
    if !hearing.is_new(beacon.peer, beacon.sequence, now) {
        return Err(Unheard::Stale);
    }
    if !hearing.may_verify(now) {
        return Err(Unheard::Flood);
    }
    let key = VerifyingKey::from_bytes(beacon.peer.as_bytes()).map_err(|_| Unheard::Forged)?;
    let signature = Signature::from_bytes(&signed.signature);
    key.verify_strict(&beacon.signed_bytes(), &signature).map_err(|_| Unheard::Forged)?;
    let addresses = beacon.addresses.iter().filter_map(|address| {
        let ip = if address.ip().is_unspecified() { from } else { address.ip() };
        is_dialable(ip, address.port(), loopback).then(|| SocketAddr::new(ip, address.port()))
    });
    let due = hearing.note(beacon.peer, Some(beacon.sequence), addresses, now);
    Ok((beacon.peer, due))
}

/// Whether an address heard on loopback, or on a LAN, may be dialled from there.
pub(crate) fn is_dialable(ip: IpAddr, port: u16, loopback: bool) -> bool {
    let of_a_host = match ip {
        IpAddr::V4(ip) => !ip.is_broadcast() && ip != LOOPBACK_BROADCAST,
        IpAddr::V6(_) => true,
    };
    port != 0
        && of_a_host
        && !ip.is_unspecified()
        && !ip.is_multicast()
        && ip.is_loopback() == loopback
}

/// The interval, up to a tenth shorter or longer.
pub(crate) fn jittered(interval: Duration, rng: &mut fastrand::Rng) -> Duration {
    interval.mul_f64(0.9 + 0.2 * rng.f64())
}

#[cfg(test)]
mod tests;
