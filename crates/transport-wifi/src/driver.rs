//! The one task of a link: it alone owns the connection and tells the sink what happens to it.
//!
//! ```text
//! try_send -> Queue -> [ Outbound -> QUIC ]
//!                      [   driver task    ] -> Sink (up, written, frames of datagrams, down)
//!             QUIC  -> [ Inbound          ]
//!               one task a stream, at most MAX_READERS -> Sink (frames of streams)
//! ```
//! Reading and writing share the task, so that an acknowledgement called for by a frame leaves
//! without waking anybody.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bitcraps_transport_api::{DownReason, Link as _, Sink, TransportEvent};
use quinn::{Connection, ConnectionError, VarInt};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::endpoint::send_window;
use crate::inbound::{Inbound, Violation, read_stream};
use crate::link::WifiLink;
use crate::outbound::{Outbound, OutboundEnd};
use crate::queue::Ending;

/// Streams read at a time; the peer's further ones wait their turn under QUIC's flow control.
pub(crate) const MAX_READERS: usize = 32;

/// How often a link looks whether anything arrived.
const TICK: Duration = Duration::from_secs(1);

/// What a closing end says, as QUIC's application error code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CloseCode {
    Closed = 0,
    Replaced = 1,
    NoRoom = 2,
    Violation = 3,
    ShutDown = 4,
}

impl From<CloseCode> for VarInt {
    fn from(code: CloseCode) -> Self {
        Self::from_u32(code as u32)
    }
}

impl CloseCode {
    /// Whether the other end closed with this code.
    pub(crate) fn said_in(self, error: &ConnectionError) -> bool {
        matches!(error, ConnectionError::ApplicationClosed(close)
            if close.error_code == self.into())
    }
}

enum End {
    Asked(Ending),
    Lost(ConnectionError),
    Violation(Violation),
    Refused,
}

impl From<OutboundEnd> for End {
    fn from(end: OutboundEnd) -> Self {
        match end {
            OutboundEnd::Asked(ending) => Self::Asked(ending),
            OutboundEnd::Lost(why) => Self::Lost(why),
            OutboundEnd::Refused => Self::Refused,
        }
    }
}

fn lost(why: &ConnectionError) -> DownReason {
    match why {
        _ if CloseCode::Replaced.said_in(why) => DownReason::Replaced,
        _ if CloseCode::Violation.said_in(why) => {
            DownReason::Failed("the peer says that this end broke the framing".to_owned())
        }
        ConnectionError::ApplicationClosed(_) => DownReason::ClosedByPeer,
        ConnectionError::TimedOut => DownReason::TimedOut,
        ConnectionError::LocallyClosed => DownReason::ClosedHere,
        ConnectionError::Reset => DownReason::Failed("the peer has restarted".to_owned()),
        ConnectionError::VersionMismatch
        | ConnectionError::TransportError(_)
        | ConnectionError::ConnectionClosed(_)
        | ConnectionError::CidsExhausted => DownReason::Failed(why.to_string()),
    }
}

/// Runs `link` over `connection` from `LinkUp` to `LinkDown`.
pub(crate) async fn drive(link: Arc<WifiLink>, connection: Connection, sink: Arc<dyn Sink>) {
    let (id, max_frame) = (link.id(), link.capabilities.max_frame);
    sink.event(TransportEvent::LinkUp(link.clone()));
    let mut driver = Driver {
        inbound: Inbound::new(id, sink.clone(), max_frame),
        outbound: Outbound::new(connection.clone()),
        readers: JoinSet::new(),
        link: &link,
        connection: &connection,
        written: 0,
        heard: 0,
    };
    let end = driver.run().await;
    let close = |code: CloseCode, why: &str| connection.close(code.into(), why.as_bytes());
    let reason = match &end {
        End::Asked(Ending::Closed) => {
            close(CloseCode::Closed, "");
            DownReason::ClosedHere
        }
        End::Asked(Ending::Replaced) => {
            close(CloseCode::Replaced, "");
            DownReason::Replaced
        }
        End::Lost(why) => lost(why),
        End::Violation(violation) => match connection.close_reason() {
            // A stream breaks off when its connection does.
            Some(why) => lost(&why),
            None => {
                let why = violation.to_string();
                close(CloseCode::Violation, &why);
                DownReason::Failed(format!("the peer broke the framing: {why}"))
            }
        },
        End::Refused => {
            close(CloseCode::Violation, "stopped a stream");
            DownReason::Failed("the peer stopped reading a stream".to_owned())
        }
    };
    driver.outbound.shut_down().await;
    // Nothing of this link may reach the sink after its end.
    driver.readers.shutdown().await;
    link.queue.seal();
    tracing::debug!(link = %id, peer = %link.peer.short(), path = %link.path, %reason, "link down");
    sink.event(TransportEvent::LinkDown { link: id, reason });
}

struct Driver<'a> {
    link: &'a WifiLink,
    connection: &'a Connection,
    inbound: Inbound,
    outbound: Outbound,
    readers: JoinSet<Result<(), Violation>>,
    /// Frames written since the link came up.
    written: u64,
    /// Datagrams received up to the last tick.
    heard: u64,
}

impl Driver<'_> {
    async fn run(&mut self) -> End {
        match self.serve().await {
            Ok(never) => match never {},
            Err(end) => end,
        }
    }

    async fn serve(&mut self) -> Result<std::convert::Infallible, End> {
        let queue = &self.link.queue;
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let more = self.outbound.flush(queue)?;
            self.tell_written();
            tokio::select! {
                datagram = self.connection.read_datagram() => {
                    queue.unpark();
                    let first = datagram.map_err(End::Lost)?;
                    let read = self.inbound.datagrams(first, self.connection);
                    read.map_err(End::Violation)?;
                }
                stream = self.connection.accept_uni(), if self.readers.len() < MAX_READERS => {
                    let stream = stream.map_err(End::Lost)?;
                    let Inbound { link, max_frame, .. } = self.inbound;
                    let sink = self.inbound.sink.clone();
                    self.readers.spawn(read_stream(stream, link, sink, max_frame));
                }
                Some(read) = self.readers.join_next(), if !self.readers.is_empty() => {
                    // A panic of the sink must not go by as if nothing had happened.
                    let read = read.unwrap_or(Err(Violation::BrokenOff));
                    read.map_err(End::Violation)?;
                }
                progress = self.outbound.progress() => progress?,
                () = queue.woken() => {}
                () = std::future::ready(()), if more => {}
                _ = tick.tick() => {
                    self.measure();
                    self.outbound.tick();
                }
            }
            tokio::task::coop::consume_budget().await;
        }
    }

    fn tell_written(&mut self) {
        let written = self.outbound.take_written();
        if written.frames > 0 {
            self.link.queue.release(written);
            self.written += written.frames as u64;
            self.inbound.sink.written(self.link.id(), self.written);
        }
    }

    /// Notes whether anything arrived, and fits QUIC's buffer to the path.
    fn measure(&mut self) {
        let stats = self.connection.stats();
        self.connection.set_send_window(send_window(stats.path.cwnd));
        let heard = stats.udp_rx.datagrams;
        let quiet = &self.link.quiet_ticks;
        if std::mem::replace(&mut self.heard, heard) == heard {
            quiet.fetch_add(1, Ordering::Relaxed);
        } else {
            quiet.store(0, Ordering::Relaxed);
        }
    }
}
