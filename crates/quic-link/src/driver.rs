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
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::connection::{CloseCode, Connection, Lost};
use crate::inbound::{Inbound, Violation, read_stream};
use crate::link::QuicLink;
use crate::outbound::{Outbound, OutboundEnd};
use crate::queue::Ending;

/// Streams read at a time; the peer's further ones wait their turn under QUIC's flow control.
pub const MAX_READERS: usize = 32;

/// How often a link looks whether anything arrived.
const TICK: Duration = Duration::from_secs(1);

enum End {
    Asked(Ending),
    Lost(Lost),
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

/// Runs `link` over `connection` from its `LinkUp`; returns why it ended, for its `LinkDown`.
pub(crate) async fn drive<C: Connection>(
    link: Arc<QuicLink>,
    connection: C,
    sink: Arc<dyn Sink>,
) -> DownReason {
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
    let close = |code: CloseCode, why: &str| connection.close(code, why);
    let reason = match &end {
        End::Asked(Ending::Closed) => {
            close(CloseCode::Closed, "");
            DownReason::ClosedHere
        }
        End::Asked(Ending::Replaced) => {
            close(CloseCode::Replaced, "");
            DownReason::Replaced
        }
        End::Lost(why) => why.reason(),
        End::Violation(violation) => match connection.lost() {
            // A stream breaks off when its connection does.
            Some(why) => why.reason(),
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
    tracing::debug!(link = %id, peer = %link.peer.short(), path = %link.path(), %reason, "link down");
    reason
}

struct Driver<'a, C: Connection> {
    link: &'a QuicLink,
    connection: &'a C,
    inbound: Inbound,
    outbound: Outbound<C>,
    readers: JoinSet<Result<(), Violation>>,
    /// Frames written since the link came up.
    written: u64,
    /// Datagrams received up to the last tick.
    heard: u64,
}

impl<C: Connection> Driver<'_, C> {
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
                    self.measure()?;
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

    /// Notes whether anything arrived.
    fn measure(&mut self) -> Result<(), End> {
        let heard = self.connection.measure();
        let quiet = &self.link.quiet_ticks;
        if std::mem::replace(&mut self.heard, heard) == heard {
            let ticks = quiet.fetch_add(1, Ordering::Relaxed) + 1;
            if self.link.quiet_limit.is_some_and(|limit| ticks >= limit) {
                return Err(End::Lost(Lost::TimedOut));
            }
        } else {
            quiet.store(0, Ordering::Relaxed);
        }
        Ok(())
    }
}
