use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

/// Largest datagram of UDP.
const DATAGRAM: usize = 65_536;

/// A stretch of wire between two sockets, in this machine: it passes datagrams both ways, loses
/// some, or swallows all of them without a word. The ends see only silence.
pub(super) struct Forwarder {
    /// The dialling end sends here.
    pub(super) near: SocketAddr,
    /// The listening end sees this address.
    pub(super) far: SocketAddr,
    /// Datagrams lost in a thousand; 1,000 is a black hole.
    loss: Arc<AtomicU32>,
    task: JoinHandle<()>,
}

impl Forwarder {
    /// Passes datagrams between whoever sends to [`Self::near`] and `listener`.
    pub(super) async fn new(listener: SocketAddr, seed: u64) -> std::io::Result<Self> {
        let near = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let far = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let (near_address, far_address) = (near.local_addr()?, far.local_addr()?);
        let loss = Arc::new(AtomicU32::new(0));
        let task = tokio::spawn(pass(near, far, listener, Arc::clone(&loss), seed));
        Ok(Self { near: near_address, far: far_address, loss, task })
    }

    /// Loses `permille` of a thousand datagrams from now on.
    pub(super) fn lose(&self, permille: u32) {
        self.loss.store(permille, Ordering::Relaxed);
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(
    near: UdpSocket,
    far: UdpSocket,
    listener: SocketAddr,
    loss: Arc<AtomicU32>,
    seed: u64,
) {
    let dialler = Mutex::new(None);
    let rng = Mutex::new(fastrand::Rng::with_seed(seed));
    let lost = || {
        let permille = loss.load(Ordering::Relaxed);
        permille > 0 && rng.lock().unwrap_or_else(PoisonError::into_inner).u32(0..1_000) < permille
    };
    let there = async {
        let mut buffer = vec![0; DATAGRAM];
        loop {
            let Ok((len, from)) = near.recv_from(&mut buffer).await else { continue };
            *dialler.lock().unwrap_or_else(PoisonError::into_inner) = Some(from);
            if !lost() {
                // A full socket buffer loses datagrams, as wires do.
                far.try_send_to(&buffer[..len], listener).unwrap_or_default();
            }
        }
    };
    let back = async {
        let mut buffer = vec![0; DATAGRAM];
        loop {
            let Ok((len, _)) = far.recv_from(&mut buffer).await else { continue };
            let to = *dialler.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(to) = to.filter(|_| !lost()) {
                near.try_send_to(&buffer[..len], to).unwrap_or_default();
            }
        }
    };
    tokio::join!(there, back);
}
