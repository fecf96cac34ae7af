//! The one task of a link: it alone uses the channel, and tells the sink what happens to it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bitcraps_session::link::LinkSession;
use bitcraps_transport_api::{DownReason, Sink, TransportEvent};
use bytes::Bytes;
use tokio::sync::{mpsc, watch};

use crate::link::{BleLink, Orders};
use crate::radio::{Channel, MAX_SDU};
use crate::record::{self, Batch, Farewell};

/// How long a farewell may take. A channel closed at once drops what its controller has not sent,
/// so the other end is given time to hear it and close first.
const FAREWELL: Duration = Duration::from_secs(1);

/// Frames at which no further unit is read before they are handed over.
const MAX_BATCH: usize = 32;

/// Sealed frames on their way, in one unit.
struct Pending {
    record: Vec<u8>,
    frames: usize,
    bytes: usize,
}

struct Driver {
    link: Arc<BleLink>,
    channel: Arc<dyn Channel>,
    session: LinkSession,
    sink: Arc<dyn Sink>,
    pending: Option<Pending>,
    /// A frame that had no room in the unit before.
    held: Option<Bytes>,
    written: u64,
    buffer: Box<[u8; MAX_SDU]>,
    arrived: Vec<Bytes>,
}

/// Runs a link from its `LinkUp` to its `LinkDown`.
pub(crate) async fn drive(
    link: Arc<BleLink>,
    orders: Orders,
    channel: Arc<dyn Channel>,
    session: LinkSession,
    sink: Arc<dyn Sink>,
) {
    let id = link.id;
    sink.event(TransportEvent::LinkUp(link.clone()));
    let mut driver = Driver {
        link,
        channel,
        session,
        sink: sink.clone(),
        pending: None,
        held: None,
        written: 0,
        buffer: Box::new([0; MAX_SDU]),
        arrived: Vec::new(),
    };
    let reason = driver.run(orders).await;
    let (link, session) = (driver.link, driver.session);
    tracing::debug!(link = %id, peer = %session.peer().short(), path = %link.path, %reason, "link down");
    sink.event(TransportEvent::LinkDown { link: id, reason });
}

async fn send(channel: &dyn Channel, pending: &Option<Pending>) -> io::Result<()> {
    match pending {
        Some(pending) => channel.send(&pending.record).await,
        None => std::future::pending().await,
    }
}

/// Why the link is to end, once it is.
async fn asked(ending: &mut watch::Receiver<Option<Farewell>>) -> Farewell {
    let asked = ending.wait_for(Option::is_some).await;
    asked.ok().and_then(|why| *why).unwrap_or(Farewell::Closed)
}

fn failed(what: impl ToString) -> DownReason {
    DownReason::Failed(what.to_string())
}

fn broken(error: &io::Error) -> DownReason {
    match error.kind() {
        io::ErrorKind::TimedOut => DownReason::TimedOut,
        _ => failed(error),
    }
}

/// What `act` comes to without waiting; it is dropped otherwise.
async fn at_once<T>(act: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        done = act => Some(done),
        () = std::future::ready(()) => None,
    }
}

/// The next frame to send.
async fn next(held: &mut Option<Bytes>, frames: &mut mpsc::Receiver<Bytes>) -> Option<Bytes> {
    match held.take() {
        Some(frame) => Some(frame),
        None => frames.recv().await,
    }
}

impl Driver {
    async fn run(&mut self, mut orders: Orders) -> DownReason {
        loop {
            if let Err(reason) = self.advance(&mut orders.frames).await {
                return reason;
            }
            let (channel, idle) = (&*self.channel, self.pending.is_none());
            tokio::select! {
                received = channel.receive(&mut self.buffer[..]) => {
                    if let Err(reason) = self.received(received).await {
                        return reason;
                    }
                }
                sent = send(channel, &self.pending) => {
                    if let Err(reason) = self.sent(sent) {
                        return reason;
                    }
                }
                Some(frame) = next(&mut self.held, &mut orders.frames), if idle => {
                    if let Err(reason) = self.seal(&frame, &mut orders.frames) {
                        return reason;
                    }
                }
                why = asked(&mut orders.ending) => {
                    self.bid_farewell(why).await;
                    return match why {
                        Farewell::Closed | Farewell::NoRoom => DownReason::ClosedHere,
                        Farewell::Replaced => DownReason::Replaced,
                    };
                }
            }
            tokio::task::coop::consume_budget().await;
        }
    }

    /// Sends one unit if there is something to send and the channel takes it at once.
    async fn advance(&mut self, frames: &mut mpsc::Receiver<Bytes>) -> Result<(), DownReason> {
        if self.pending.is_none() {
            match self.held.take().or_else(|| frames.try_recv().ok()) {
                Some(frame) => self.seal(&frame, frames)?,
                None => return Ok(()),
            }
        }
        match at_once(send(&*self.channel, &self.pending)).await {
            Some(sent) => self.sent(sent),
            None => Ok(()),
        }
    }

    /// Seals `first` and what waits behind it, as far as it fits into one unit.
    fn seal(
        &mut self,
        first: &Bytes,
        frames: &mut mpsc::Receiver<Bytes>,
    ) -> Result<(), DownReason> {
        let (mut batch, mut bytes) = (Batch::of(first), first.len());
        while let Ok(frame) = frames.try_recv() {
            if !batch.add(&frame) {
                self.held = Some(frame);
                break;
            }
            bytes += frame.len();
        }
        let sealed = self.session.seal(batch.bytes());
        let record = sealed.ok_or_else(|| failed("the keys of this link are used up"))?;
        self.pending = Some(Pending { record, frames: batch.frames, bytes });
        Ok(())
    }

    /// What was on its way is sent, or never will be.
    fn sent(&mut self, sent: io::Result<()>) -> Result<(), DownReason> {
        sent.map_err(|error| broken(&error))?;
        if let Some(sent) = self.pending.take() {
            self.link.release(sent.frames, sent.bytes);
            self.written += sent.frames as u64;
            self.sink.written(self.link.id, self.written);
        }
        Ok(())
    }

    /// Hands over what `received` brought and everything else that is there already.
    async fn received(&mut self, received: io::Result<usize>) -> Result<(), DownReason> {
        let mut read = self.read(received);
        while read.is_ok() && self.arrived.len() < MAX_BATCH {
            match at_once(self.channel.receive(&mut self.buffer[..])).await {
                Some(more) => read = self.read(more),
                None => break,
            }
        }
        if !self.arrived.is_empty() {
            self.sink.frames(self.link.id, &mut self.arrived);
        }
        read
    }

    fn read(&mut self, received: io::Result<usize>) -> Result<(), DownReason> {
        let len = match received {
            Ok(0) => return Err(DownReason::ClosedByPeer),
            Ok(len) => len,
            Err(error) => return Err(broken(&error)),
        };
        let max = self.link.capabilities.max_frame;
        let Some(plain) = self.session.open(&self.buffer[..len]) else {
            return Err(failed("the peer sent a record that its keys do not open"));
        };
        match record::read(plain, max, &mut self.arrived) {
            None => Err(failed(format_args!(
                "the peer sent a record of {len} bytes that is of an unknown kind, or holds a frame of \
                 more than {max} bytes"
            ))),
            Some(None) => Ok(()),
            Some(Some(Farewell::Replaced)) => Err(DownReason::Replaced),
            Some(Some(Farewell::Closed | Farewell::NoRoom)) => Err(DownReason::ClosedByPeer),
        }
    }

    async fn bid_farewell(&mut self, why: Farewell) {
        let goodbye = async {
            // Records open in the order in which they were sealed.
            if self.pending.is_some() {
                send(&*self.channel, &self.pending).await?;
            }
            say(&*self.channel, &mut self.session, why).await
        };
        let said = tokio::time::timeout(FAREWELL, goodbye).await;
        tracing::trace!(link = %self.link.id, ?said, "farewell");
    }
}

/// Tells the other end why the channel closes, and waits until it has closed it.
async fn say(channel: &dyn Channel, session: &mut LinkSession, why: Farewell) -> io::Result<()> {
    let Some(record) = session.seal(&record::close(why)) else { return Ok(()) };
    channel.send(&record).await?;
    let mut rest = [0; MAX_SDU];
    while channel.receive(&mut rest).await? > 0 {}
    Ok(())
}

/// Closes a channel that does not become a link.
pub(crate) async fn refuse(channel: Arc<dyn Channel>, mut session: LinkSession, why: Farewell) {
    let said = tokio::time::timeout(FAREWELL, say(&*channel, &mut session, why)).await;
    tracing::debug!(peer = %session.peer().short(), ?why, ?said, "refused a link");
}
