//! A UDP forwarder between two endpoints that can swallow everything, so that QUIC sees silence.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;

use crate::Failure;

/// Largest UDP payload.
const MOST: usize = 65_536;

/// Forwards between one caller and one called address; ends when dropped.
pub(super) struct Relay {
    /// What the caller dials.
    pub(super) front: SocketAddr,
    hole: Arc<AtomicBool>,
    tasks: [JoinHandle<()>; 2],
}

impl Relay {
    /// Stands at `ip`, before `called`. Call within a tokio runtime.
    pub(super) async fn start(ip: IpAddr, called: SocketAddr) -> Result<Self, Failure> {
        Self::delayed(ip, called, Duration::ZERO).await
    }

    /// The same, with `delay` added each way. Of another family than `called` it stands for a network
    /// that is the only one between both.
    pub(super) async fn delayed(
        ip: IpAddr,
        called: SocketAddr,
        delay: Duration,
    ) -> Result<Self, Failure> {
        let bind = |ip| UdpSocket::bind(SocketAddr::new(ip, 0));
        let other = if ip.is_ipv4() == called.is_ipv4() { ip } else { called.ip() };
        let front = Arc::new(bind(ip).await.map_err(Failure::io("forwarder"))?);
        let back = Arc::new(bind(other).await.map_err(Failure::io("forwarder"))?);
        let address = front.local_addr().map_err(Failure::io("forwarder"))?;
        let hole = Arc::new(AtomicBool::new(false));
        let caller = Arc::new(OnceLock::new());
        let forth = forth(front.clone(), back.clone(), caller.clone(), called, hole.clone(), delay);
        let returned = back_to_caller(back, front, caller, hole.clone(), delay);
        let tasks = [tokio::spawn(forth), tokio::spawn(returned)];
        Ok(Self { front: address, hole, tasks })
    }

    /// Swallows everything both ways, or passes it on again.
    pub(super) fn set_hole(&self, hole: bool) {
        self.hole.store(hole, Ordering::SeqCst);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

async fn forth(
    front: Arc<UdpSocket>,
    back: Arc<UdpSocket>,
    caller: Arc<OnceLock<SocketAddr>>,
    called: SocketAddr,
    hole: Arc<AtomicBool>,
    delay: Duration,
) {
    let mut datagram = vec![0; MOST];
    let mut held = JoinSet::new();
    while let Ok((len, from)) = front.recv_from(&mut datagram).await {
        let known = *caller.get_or_init(|| from);
        if known == from && !hole.load(Ordering::SeqCst) {
            send(&back, &datagram[..len], called, delay, &mut held).await;
        }
    }
}

async fn back_to_caller(
    back: Arc<UdpSocket>,
    front: Arc<UdpSocket>,
    caller: Arc<OnceLock<SocketAddr>>,
    hole: Arc<AtomicBool>,
    delay: Duration,
) {
    let mut datagram = vec![0; MOST];
    let mut held = JoinSet::new();
    while let Ok((len, _)) = back.recv_from(&mut datagram).await {
        if let Some(caller) = caller.get()
            && !hole.load(Ordering::SeqCst)
        {
            send(&front, &datagram[..len], *caller, delay, &mut held).await;
        }
    }
}

/// Sends at once, or after `delay` beside what else is held.
async fn send(
    from: &Arc<UdpSocket>,
    datagram: &[u8],
    to: SocketAddr,
    delay: Duration,
    held: &mut JoinSet<()>,
) {
    // A datagram that the kernel does not take is lost, as on any network.
    if delay.is_zero() {
        drop(from.send_to(datagram, to).await);
        return;
    }
    while held.try_join_next().is_some() {}
    let (from, datagram) = (from.clone(), datagram.to_vec());
    held.spawn(async move {
        sleep(delay).await;
        drop(from.send_to(&datagram, to).await);
    });
}
