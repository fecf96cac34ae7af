//! The signed beacon within a group, on its interface alone: IPv6 link-local, so that it needs no
//! address from anybody.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::sync::Arc;
use std::time::Duration;

use bitcraps_transport_api::HintSource;
use bitcraps_wire::{Beacon, SignedBeacon};
use bytes::Bytes;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;

use crate::beacon::{MAX_DATAGRAM, jittered, judge};
use crate::discovery::Stopwatch;
use crate::hearing::Hearing;
use crate::lan::Lan;

/// Multicast group of the beacon, transient and of one link (RFC 4291, section 2.7).
const EVERYBODY: Ipv6Addr = Ipv6Addr::new(0xff12, 0, 0, 0, 0, 0, 0x6269, 0x7463);

/// Between two beacons: a member that joins is found within this.
const INTERVAL: Duration = Duration::from_secs(1);

/// The two sockets of a beacon.
pub(super) struct Ether {
    speak: UdpSocket,
    hear: UdpSocket,
    local: SocketAddrV6,
    port: u16,
}

impl Ether {
    /// Speaks from the endpoint `local`, and hears on `port` of its interface.
    pub(super) fn open(local: SocketAddrV6, port: u16) -> io::Result<Self> {
        let udp = || {
            let socket = Socket::new(Domain::IPV6, Type::DGRAM, Some(Protocol::UDP))?;
            socket.set_nonblocking(true)?;
            socket.set_only_v6(true)?;
            io::Result::Ok(socket)
        };
        let speak = udp()?;
        speak.set_multicast_if_v6(local.scope_id())?;
        speak.set_multicast_hops_v6(1)?;
        speak.bind(&SocketAddrV6::new(*local.ip(), 0, 0, local.scope_id()).into())?;
        let hear = udp()?;
        hear.set_reuse_address(true)?;
        #[cfg(unix)]
        hear.set_reuse_port(true)?;
        // The multicast address and its interface: nothing else is heard.
        hear.bind(&SocketAddrV6::new(EVERYBODY, port, 0, local.scope_id()).into())?;
        hear.join_multicast_v6(&EVERYBODY, local.scope_id())?;
        let (speak, hear) = (UdpSocket::from_std(speak.into())?, UdpSocket::from_std(hear.into())?);
        Ok(Self { speak, hear, local, port })
    }

    async fn say(&self, beacon: &Bytes) {
        let to = SocketAddrV6::new(EVERYBODY, self.port, 0, self.local.scope_id());
        if let Err(error) = self.speak.send_to(beacon, to).await {
            tracing::debug!(%to, %error, "beacon not sent");
        }
    }
}

/// Announces this node in the group and hears the others, until it is dropped.
pub(super) async fn beacon(lan: Arc<Lan>, ether: Ether, first_sequence: u64) {
    let own = lan.identity.peer();
    let zone = ether.local.scope_id();
    let mut rng = fastrand::Rng::with_seed(lan.config.jitter_seed);
    let mut hearing = Hearing::default();
    let time = Stopwatch::start();
    let mut sequence = first_sequence;
    let mut buffer = [0; MAX_DATAGRAM];
    let mut pause = std::pin::pin!(tokio::time::sleep(Duration::ZERO));
    loop {
        tokio::select! {
            () = pause.as_mut() => {
                // Unspecified: wherever it came from.
                let here = SocketAddr::from((Ipv6Addr::UNSPECIFIED, ether.local.port()));
                let beacon = Beacon { peer: own, sequence, addresses: vec![here] };
                let signature = lan.identity.sign(&beacon.signed_bytes());
                ether.say(&SignedBeacon { beacon, signature }.encode()).await;
                sequence = sequence.saturating_add(1);
                pause.set(tokio::time::sleep(jittered(INTERVAL, &mut rng)));
            }
            heard = ether.hear.recv_from(&mut buffer) => match heard {
                Ok((length, from)) => {
                    let datagram = Bytes::copy_from_slice(&buffer[..length]);
                    match judge(datagram, from.ip(), false, own, &mut hearing, time.now()) {
                        Ok((peer, addresses)) => {
                            for address in addresses.into_iter().filter_map(|a| within(a, zone)) {
                                let via = Some(ether.local.into());
                                lan.hint(peer, address, via, HintSource::Beacon);
                            }
                        }
                        Err(why) => tracing::trace!(%from, ?why, "beacon not heard"),
                    }
                }
                Err(error) => {
                    tracing::debug!(%error, "hearing beacons failed");
                    tokio::time::sleep(INTERVAL).await;
                }
            },
        }
    }
}

/// The address on the interface of the group; `None` when it is of no single link.
fn within(address: SocketAddr, zone: u32) -> Option<SocketAddr> {
    match address.ip() {
        IpAddr::V6(ip) if ip.is_unicast_link_local() => {
            Some(SocketAddrV6::new(ip, address.port(), 0, zone).into())
        }
        IpAddr::V4(_) | IpAddr::V6(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_the_link_are_dialled_and_on_its_interface() {
        let rows = [
            ("[fe80::1]:7", Some("[fe80::1%9]:7")),
            ("[2001:db8::1]:7", None),
            ("192.0.2.1:7", None),
        ];
        for (heard, expected) in rows {
            let expected = expected.map(|text| text.parse().unwrap());
            assert_eq!(within(heard.parse().unwrap(), 9), expected, "{heard}");
        }
    }
}
