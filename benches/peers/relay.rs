//! A UDP forwarder between two endpoints that can swallow everything, so that QUIC sees silence.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

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
        let bind = || UdpSocket::bind(SocketAddr::new(ip, 0));
        let front = Arc::new(bind().await.map_err(Failure::io("forwarder"))?);
        let back = Arc::new(bind().await.map_err(Failure::io("forwarder"))?);
        let address = front.local_addr().map_err(Failure::io("forwarder"))?;
        let hole = Arc::new(AtomicBool::new(false));
        let caller = Arc::new(OnceLock::new());
        let forth = forth(front.clone(), back.clone(), caller.clone(), called, hole.clone());
        let returned = back_to_caller(back, front, caller, hole.clone());
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
) {
    let mut datagram = vec![0; MOST];
    while let Ok((len, from)) = front.recv_from(&mut datagram).await {
        let known = *caller.get_or_init(|| from);
        if known == from && !hole.load(Ordering::SeqCst) {
            // A datagram that the kernel does not take is lost, as on any network.
            drop(back.send_to(&datagram[..len], called).await);
        }
    }
}

async fn back_to_caller(
    back: Arc<UdpSocket>,
    front: Arc<UdpSocket>,
    caller: Arc<OnceLock<SocketAddr>>,
    hole: Arc<AtomicBool>,
) {
    let mut datagram = vec![0; MOST];
    while let Ok((len, _)) = back.recv_from(&mut datagram).await {
        if let Some(caller) = caller.get()
            && !hole.load(Ordering::SeqCst)
        {
            drop(front.send_to(&datagram[..len], *caller).await);
        }
    }
}
