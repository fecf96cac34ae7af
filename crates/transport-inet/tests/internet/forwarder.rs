use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A middlebox between one caller and `to`: what the callee sees is the address of the way out,
/// which can change.
pub(crate) struct Forwarder {
    /// What the caller dials: where `inside` is bound.
    pub(crate) address: SocketAddr,
    way_out: watch::Sender<Arc<UdpSocket>>,
    silent: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Forwarder {
    pub(crate) async fn between(inside: UdpSocket, out: &str, to: SocketAddr) -> Self {
        let address = inside.local_addr().unwrap();
        let first = Arc::new(UdpSocket::bind(out).await.unwrap());
        let (way_out, mut changes) = watch::channel(first);
        let silent = Arc::new(AtomicBool::new(false));
        let swallows = silent.clone();
        let task = tokio::spawn(async move {
            let mut out = changes.borrow_and_update().clone();
            let mut caller = None;
            let (mut there, mut back) = ([0; 65_536], [0; 65_536]);
            loop {
                // A port that nobody listens at any more is told as an error, and is no end.
                tokio::select! {
                    _ = changes.changed() => out = changes.borrow_and_update().clone(),
                    Ok((length, from)) = inside.recv_from(&mut there) => {
                        caller = Some(from);
                        if !swallows.load(Ordering::Relaxed) {
                            drop(out.send_to(&there[..length], to).await);
                        }
                    }
                    Ok((length, _)) = out.recv_from(&mut back) => {
                        if let Some(caller) = caller
                            && !swallows.load(Ordering::Relaxed)
                        {
                            drop(inside.send_to(&back[..length], caller).await);
                        }
                    }
                }
            }
        });
        Self { address, way_out, silent, task }
    }

    /// From now on everything is swallowed, both ways.
    pub(crate) fn fall_silent(&self) {
        self.silent.store(true, Ordering::Relaxed);
    }

    /// From now on the callee sees `out`; what still comes to the former address is lost.
    pub(crate) async fn rebind(&self, out: &str) {
        let out = UdpSocket::bind(out).await.unwrap();
        self.way_out.send_replace(Arc::new(out));
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.task.abort();
    }
}
