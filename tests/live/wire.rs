use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

/// Largest datagram of UDP.
const DATAGRAM: usize = 65_536;

/// A stretch of wire between a dialling and a listening socket. It passes datagrams both ways, or
/// swallows them both ways without a word.
pub(super) struct Wire {
    /// The dialling end sends here.
    pub(super) near: SocketAddr,
    hole: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Wire {
    /// Passes datagrams between whoever sends to [`Self::near`] and `listener`.
    pub(super) async fn to(listener: SocketAddr) -> Self {
        let near = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let far = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = near.local_addr().unwrap();
        let hole = Arc::new(AtomicBool::new(false));
        let task = tokio::spawn(pass(near, far, listener, Arc::clone(&hole)));
        Self { near: address, hole, task }
    }

    /// Whether datagrams vanish from now on.
    pub(super) fn swallow(&self, all: bool) {
        self.hole.store(all, Ordering::SeqCst);
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(near: UdpSocket, far: UdpSocket, listener: SocketAddr, hole: Arc<AtomicBool>) {
    let dialler = Mutex::new(None);
    let passes = || !hole.load(Ordering::SeqCst);
    let there = async {
        let mut buffer = vec![0; DATAGRAM];
        loop {
            let Ok((len, from)) = near.recv_from(&mut buffer).await else { continue };
            *dialler.lock().unwrap_or_else(PoisonError::into_inner) = Some(from);
            if passes() {
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
            if let Some(to) = to.filter(|_| passes()) {
                near.try_send_to(&buffer[..len], to).unwrap_or_default();
            }
        }
    };
    tokio::join!(there, back);
}
