//! A TCP forwarder before a relay server that can swallow everything, and leaves connections open.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::Failure;

/// Bytes read at a time.
const CHUNK: usize = 65_536;

/// Forwards every connection to one server; ends when dropped.
pub(super) struct Gate {
    /// Where the server seems to be.
    pub(super) front: SocketAddr,
    silent: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Gate {
    /// Stands before `server`, on loopback. Call within a tokio runtime.
    pub(super) async fn start(server: SocketAddr) -> Result<Self, Failure> {
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(Failure::io("gate"))?;
        let front = listener.local_addr().map_err(Failure::io("gate"))?;
        let silent = Arc::new(AtomicBool::new(false));
        let swallows = silent.clone();
        let task = tokio::spawn(async move {
            let mut halves = JoinSet::new();
            while let Ok((caller, _)) = listener.accept().await {
                let Ok(called) = TcpStream::connect(server).await else { continue };
                // Refused by a closing socket only, whose connection ends at once.
                drop((caller.set_nodelay(true), called.set_nodelay(true)));
                let (caller, called) = (caller.into_split(), called.into_split());
                halves.spawn(pass(caller.0, called.1, swallows.clone()));
                halves.spawn(pass(called.0, caller.1, swallows.clone()));
            }
        });
        Ok(Self { front, silent, task })
    }

    /// From now on swallows everything, both ways.
    pub(super) fn fall_silent(&self) {
        self.silent.store(true, Ordering::SeqCst);
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, silent: Arc<AtomicBool>) {
    let mut bytes = vec![0; CHUNK];
    while let Ok(length @ 1..) = from.read(&mut bytes).await {
        if !silent.load(Ordering::SeqCst) && to.write_all(&bytes[..length]).await.is_err() {
            return;
        }
    }
}
