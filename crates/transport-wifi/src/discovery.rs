//! The tasks that find peers: each turns what it hears into hints, never into a dial.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use bitcraps_transport_api::{HintSource, StartError};
use bitcraps_types::Timestamp;
use mdns_sd::{Receiver, ServiceEvent};
use tokio::time::Instant;

use crate::beacon::{Ether, MAX_DATAGRAM, Network, Scope, jittered, judge, scopes, sign};
use crate::config::BeaconConfig;
use crate::hearing::Hearing;
use crate::lan::Lan;
use crate::mdns;

/// Time since a task began, for the pure code that reckons with it.
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    pub(crate) fn start() -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "a shell's own time origin; only differences are used"
        )]
        let now = Instant::now();
        Self(now)
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::ZERO + self.0.elapsed()
    }
}

/// Opens the sockets of every scope that `listening` reaches.
pub(crate) fn open_ethers(
    listening: &[SocketAddr],
    config: &BeaconConfig,
) -> Result<Vec<Ether>, StartError> {
    let interfaces = if_addrs::get_if_addrs().map_err(|error| StartError::Unavailable {
        what: "list of network interfaces".to_owned(),
        why: error.to_string(),
    })?;
    let network_of = |ip: Ipv4Addr| {
        interfaces.iter().find_map(|interface| match &interface.addr {
            if_addrs::IfAddr::V4(v4) if v4.ip == ip => {
                Some(Network { ip, mask: v4.netmask, broadcast: v4.broadcast })
            }
            if_addrs::IfAddr::V4(_) | if_addrs::IfAddr::V6(_) => None,
        })
    };
    scopes(listening, config, network_of)
        .into_iter()
        .map(|scope| Ether::open(scope, config.port))
        .collect()
}

/// The local address to dial back from: the one the beacon was heard on, when that is one.
fn via(scope: &Scope) -> Option<SocketAddr> {
    match scope.addresses.as_slice() {
        [only] => Some(*only),
        _ => None,
    }
}

/// Announces this node in one scope and hears the others.
pub(crate) async fn beacon(lan: Arc<Lan>, config: BeaconConfig, ether: Ether) {
    let own = lan.identity.peer();
    let [a, b, c, d, e, f, g, h, ..] = *own.as_bytes();
    let own_seed = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
    let mut rng = fastrand::Rng::with_seed(lan.config.jitter_seed ^ own_seed);
    let mut hearing = Hearing::default();
    let time = Stopwatch::start();
    let mut sequence = config.first_sequence;
    let mut buffer = [0; MAX_DATAGRAM];
    let mut pause = std::pin::pin!(tokio::time::sleep(std::time::Duration::ZERO));
    let loopback = ether.scope.is_loopback();
    loop {
        tokio::select! {
            () = pause.as_mut() => {
                ether.say(&sign(&lan.identity, &ether.scope, sequence)).await;
                sequence = sequence.saturating_add(1);
                pause.set(tokio::time::sleep(jittered(config.interval, &mut rng)));
            }
            heard = ether.hear(&mut buffer) => match heard {
                Ok((_, from)) if !ether.scope.hears(from) => {}
                Ok((datagram, from)) => {
                    match judge(datagram, from, loopback, own, &mut hearing, time.now()) {
                        Ok((peer, addresses)) => {
                            for address in addresses {
                                lan.hint(peer, address, via(&ether.scope), HintSource::Beacon);
                            }
                        }
                        Err(why) => tracing::trace!(%from, ?why, "beacon not heard"),
                    }
                }
                Err(error) => {
                    tracing::debug!(%error, "hearing beacons failed");
                    // An error that stays must not turn into a busy loop.
                    tokio::time::sleep(config.interval).await;
                }
            },
            () = lan.stopped() => return,
        }
    }
}

/// Tells what mDNS finds.
pub(crate) async fn browse(lan: Arc<Lan>, events: Receiver<ServiceEvent>) {
    let own = lan.identity.peer();
    let mut hearing = Hearing::default();
    let time = Stopwatch::start();
    let listens = |loopback: bool| {
        let of_side = |ip: IpAddr| ip.is_loopback() == loopback;
        lan.endpoints().iter().any(|e| of_side(e.address.ip()))
    };
    let sides: Vec<bool> = [false, true].into_iter().filter(|s| listens(*s)).collect();
    loop {
        let event = tokio::select! {
            event = events.recv_async() => event,
            () = lan.stopped() => return,
        };
        let Ok(event) = event else { return };
        let ServiceEvent::ServiceResolved(service) = event else {
            continue;
        };
        for side in &sides {
            let Some((peer, addresses)) = mdns::answer(&service, *side) else {
                continue;
            };
            if peer == own {
                continue;
            }
            for address in hearing.note(peer, None, addresses, time.now()) {
                lan.hint(peer, address, None, HintSource::Mdns);
            }
        }
    }
}
