//! A connection in memory, for the tests of several modules.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use tokio::io::{AsyncWriteExt as _, DuplexStream, duplex};
use tokio::sync::{Mutex, mpsc, watch};

use crate::connection::{CloseCode, Connection, DatagramError, Lost, StreamError};
use crate::precedence::Tag;

/// Datagrams that are held before a sender must wait.
pub(crate) const DATAGRAMS: usize = 64;

/// Bytes of a stream that are held before its writer must wait.
const STREAM: usize = 32 * 1024;

/// One way of a connection.
struct Lane<T> {
    to: mpsc::Sender<T>,
    from: Mutex<mpsc::Receiver<T>>,
}

impl<T> Lane<T> {
    fn cross(room: usize) -> [Self; 2] {
        let (near, far) = (mpsc::channel(room), mpsc::channel(room));
        [Self { to: near.0, from: Mutex::new(far.1) }, Self { to: far.0, from: Mutex::new(near.1) }]
    }
}

struct Side {
    datagrams: Lane<Bytes>,
    uni: Lane<DuplexStream>,
    bi: Lane<(DuplexStream, DuplexStream)>,
    /// What this end knows, and where the other end is told.
    lost: watch::Sender<Option<Lost>>,
    peer_lost: watch::Sender<Option<Lost>>,
    max_datagram: AtomicUsize,
}

/// One end of a connection in memory. Everything arrives, at once and in order.
#[derive(Clone)]
pub(crate) struct Memory(Arc<Side>);

/// Two ends of one connection.
pub(crate) fn connected() -> (Memory, Memory) {
    let [d1, d2] = Lane::cross(DATAGRAMS);
    let [u1, u2] = Lane::cross(64);
    let [b1, b2] = Lane::cross(8);
    let (l1, l2) = (watch::Sender::new(None), watch::Sender::new(None));
    let side = |datagrams, uni, bi, lost, peer_lost| {
        let max_datagram = AtomicUsize::new(1_200);
        Memory(Arc::new(Side { datagrams, uni, bi, lost, peer_lost, max_datagram }))
    };
    (side(d1, u1, b1, l1.clone(), l2.clone()), side(d2, u2, b2, l2, l1))
}

impl Memory {
    /// What the path carries changes.
    pub(crate) fn set_max_datagram(&self, bytes: usize) {
        self.0.max_datagram.store(bytes, Ordering::Relaxed);
    }

    async fn gone(&self) -> Lost {
        let mut lost = self.0.lost.subscribe();
        let lost = lost.wait_for(Option::is_some).await.expect("a sender is here");
        lost.clone().expect("waited for")
    }

    async fn or_lost<T>(&self, act: impl Future<Output = T>) -> Result<T, Lost> {
        let either = async {
            tokio::select! {
                biased;
                lost = self.gone() => Err(lost),
                done = act => Ok(done),
            }
        };
        // QUIC does not yield by itself either.
        tokio::task::coop::unconstrained(either).await
    }

    async fn take<T>(&self, lane: &Lane<T>) -> Result<T, Lost> {
        let next = async { lane.from.lock().await.recv().await };
        self.or_lost(next).await?.ok_or(Lost::TimedOut)
    }
}

impl Connection for Memory {
    type Send = DuplexStream;
    type Receive = DuplexStream;

    fn max_datagram(&self) -> usize {
        self.0.max_datagram.load(Ordering::Relaxed)
    }

    async fn send_datagram(&self, datagram: Bytes) -> Result<(), DatagramError> {
        if datagram.len() > self.max_datagram() {
            return Err(DatagramError::DoesNotFit);
        }
        let sent = self.or_lost(self.0.datagrams.to.send(datagram)).await?;
        sent.map_err(|_| DatagramError::Lost(Lost::TimedOut))
    }

    async fn read_datagram(&self) -> Result<Bytes, Lost> {
        self.take(&self.0.datagrams).await
    }

    fn write_stream(
        &self,
        pieces: Vec<Bytes>,
    ) -> impl Future<Output = Result<(), StreamError>> + Send + 'static {
        let here = self.clone();
        async move {
            let (mut near, far) = duplex(STREAM);
            let opened = here.or_lost(here.0.uni.to.send(far)).await?;
            opened.map_err(|_| StreamError::Lost(Lost::TimedOut))?;
            for piece in pieces {
                let written = here.or_lost(near.write_all(&piece)).await?;
                written.map_err(|_| StreamError::Refused)?;
            }
            Ok(())
        }
    }

    async fn accept_uni(&self) -> Result<DuplexStream, Lost> {
        self.take(&self.0.uni).await
    }

    async fn open_bi(&self) -> Result<(DuplexStream, DuplexStream), Lost> {
        let (there, their) = (duplex(64), duplex(64));
        let opened = self.or_lost(self.0.bi.to.send((their.0, there.1))).await?;
        opened.map_err(|_| Lost::TimedOut)?;
        Ok((there.0, their.1))
    }

    async fn accept_bi(&self) -> Result<(DuplexStream, DuplexStream), Lost> {
        self.take(&self.0.bi).await
    }

    fn tag(&self, _label: &[u8]) -> Option<Tag> {
        Some([7; 8])
    }

    fn close(&self, code: CloseCode, _why: &str) {
        let first = |lost: &mut Option<Lost>, why| {
            let first = lost.is_none();
            lost.get_or_insert(why);
            first
        };
        self.0.lost.send_if_modified(|lost| first(lost, Lost::ClosedHere));
        let code = Lost::ClosedByPeer(code.code().into());
        self.0.peer_lost.send_if_modified(|lost| first(lost, code));
    }

    fn lost(&self) -> Option<Lost> {
        self.0.lost.borrow().clone()
    }

    fn measure(&self) -> u64 {
        0
    }
}
