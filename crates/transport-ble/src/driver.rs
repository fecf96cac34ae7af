//! The one task of a link: it alone uses the channel, and tells the sink what happens to it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bitcraps_session::link::{LinkSession, RECORD_OVERHEAD};
use bitcraps_transport_api::{DownReason, Sink, TransportEvent};
use bytes::Bytes;
use tokio::sync::watch;

use crate::link::{BleLink, Orders};
use crate::radio::{Channel, MAX_SDU};
use crate::record::{Farewell, KIND, Record};

/// How long a farewell may take. A channel closed at once drops what its controller has not sent,
/// so the other end is given time to hear it and close first.
const FAREWELL: Duration = Duration::from_secs(1);

/// Most frames handed over in one call.
const MAX_BATCH: usize = 32;

/// A sealed frame on its way.
struct Pending {
    record: Vec<u8>,
    frame_len: usize,
}

struct Driver {
    link: Arc<BleLink>,
    channel: Arc<dyn Channel>,
    session: LinkSession,
    sink: Arc<dyn Sink>,
    pending: Option<Pending>,
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

impl Driver {
    async fn run(&mut self, mut orders: Orders) -> DownReason {
        loop {
            let (channel, idle) = (&*self.channel, self.pending.is_none());
            tokio::select! {
                received = channel.receive(&mut self.buffer[..]) => {
                    if let Err(reason) = self.received(received).await {
                        return reason;
                    }
                }
                sent = send(channel, &self.pending) => {
                    if let Err(error) = sent {
                        return broken(&error);
                    }
                    if let Some(sent) = self.pending.take() {
                        self.link.release(sent.frame_len);
                        self.written += 1;
                        self.sink.written(self.link.id, self.written);
                    }
                }
                Some(frame) = orders.frames.recv(), if idle => {
                    let Some(record) = self.session.seal(&Record::frame(&frame)) else {
                        return failed("the keys of this link are used up");
                    };
                    self.pending = Some(Pending { record, frame_len: frame.len() });
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

    /// Hands over what `received` brought and everything else that is there already.
    async fn received(&mut self, received: io::Result<usize>) -> Result<(), DownReason> {
        let mut read = self.read(received);
        while read.is_ok() && self.arrived.len() < MAX_BATCH {
            let more = tokio::select! {
                biased;
                more = self.channel.receive(&mut self.buffer[..]) => more,
                () = std::future::ready(()) => break,
            };
            read = self.read(more);
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
        if len > self.link.capabilities.max_frame + KIND + RECORD_OVERHEAD {
            return Err(failed(format_args!("the peer sent a unit of {len} bytes")));
        }
        let plain = self.session.open(&self.buffer[..len]);
        match plain.map(Record::read) {
            None => Err(failed("the peer sent a record that its keys do not open")),
            Some(None) => Err(failed("the peer sent a record of an unknown kind")),
            Some(Some(Record::Frame(frame))) => {
                self.arrived.push(frame);
                Ok(())
            }
            Some(Some(Record::Close(Farewell::Replaced))) => Err(DownReason::Replaced),
            Some(Some(Record::Close(Farewell::Closed | Farewell::NoRoom))) => {
                Err(DownReason::ClosedByPeer)
            }
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
    let Some(record) = session.seal(&Record::close(why)) else { return Ok(()) };
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
