//! From the link's queue into QUIC.
//!
//! ```text
//! few small frames  -> at once, packed into as few datagrams as hold them
//! a backlog of them -> one stream carries it all
//! large frames      -> streams, as many frames in one as wait
//! ```
//! A stream that stalls holds what is on it and one of [`MAX_STREAMS`] places; datagrams pass by. A
//! backlog waits for a place, since as datagrams it would overrun the receiver; unless no stream has
//! moved for a whole tick.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use bitcraps_transport_api::QueueState;
use bytes::{BufMut, Bytes, BytesMut};
use tokio::task::JoinSet;

use crate::connection::{Connection, DatagramError, Lost, StreamError};
use crate::frame::{PREFIX, put_prefix};
use crate::queue::{Ending, Queue, Taken};

/// Streams being written at a time: enough to overlap a stall with progress. What they hold counts
/// in the link's queue, so this bounds tasks, not memory.
const MAX_STREAMS: usize = 8;

/// Bytes that one stream carries: long enough that opening it costs nothing beside, short enough
/// that a lost packet holds little back.
const STREAM_BYTES: usize = 256 * 1024;

/// Small frames waiting, in bytes, from which one stream is cheaper than datagrams.
const BACKLOG_BYTES: usize = 12 * 1024;

/// Frames below this are copied together: QUIC searches its unacknowledged pieces one by one.
const COPY_BELOW: usize = 16 * 1024;

/// Size of the blocks into which small frames are copied, in bytes.
const BLOCK: usize = 64 * 1024;

/// Takes from the queue before reading gets its turn.
const MAX_ROUNDS: usize = 16;

/// Why a link must end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OutboundEnd {
    #[error("asked to")]
    Asked(Ending),
    #[error(transparent)]
    Lost(#[from] Lost),
    #[error("the peer stopped reading a stream")]
    Refused,
}

/// Frames in the form in which they travel.
#[derive(Clone)]
struct Packed {
    bytes: Bytes,
    counts: QueueState,
}

type StreamWrite = Pin<Box<dyn Future<Output = Result<QueueState, StreamError>> + Send>>;

/// The writing half of a link's driver.
pub(crate) struct Outbound<C> {
    connection: C,
    taken: VecDeque<Bytes>,
    small: VecDeque<Bytes>,
    small_bytes: usize,
    large: VecDeque<Bytes>,
    block: BytesMut,
    /// The datagram that waits for room in QUIC's buffer.
    blocked: Option<Packed>,
    /// Datagrams that became too large when the path's MTU shrank.
    misfits: VecDeque<Packed>,
    streams: JoinSet<Result<QueueState, StreamError>>,
    /// No place has become free since the tick before last.
    stalled: bool,
    /// A place has become free since the last tick, or there was one.
    moved: bool,
    written: QueueState,
}

fn poll_once<F: Future + ?Sized>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

fn count(counts: &mut QueueState, frame: &Bytes) {
    counts.frames += 1;
    counts.bytes += frame.len();
}

impl<C: Connection> Outbound<C> {
    pub(crate) fn new(connection: C) -> Self {
        Self {
            connection,
            taken: VecDeque::new(),
            small: VecDeque::new(),
            small_bytes: 0,
            large: VecDeque::new(),
            block: BytesMut::new(),
            blocked: None,
            misfits: VecDeque::new(),
            streams: JoinSet::new(),
            stalled: false,
            moved: true,
            written: QueueState::default(),
        }
    }

    /// Writes whatever can be written now. Returns whether the queue may hold more: the caller then
    /// comes back without waiting.
    pub(crate) fn flush(&mut self, queue: &Queue) -> Result<bool, OutboundEnd> {
        for _ in 0..MAX_ROUNDS {
            let taken = queue.take(&mut self.taken);
            if let Taken::End(ending) = taken {
                return Err(OutboundEnd::Asked(ending));
            }
            let datagram = self.connection.max_datagram();
            self.sort(datagram);
            self.write_streams()?;
            if self.small_bytes <= BACKLOG_BYTES || self.stalled {
                self.write_datagrams(datagram)?;
            }
            if taken == Taken::Nothing {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// What was written since the last call.
    pub(crate) fn take_written(&mut self) -> QueueState {
        std::mem::take(&mut self.written)
    }

    /// Resolves when something that could not be written has made progress; never when nothing is
    /// held back.
    pub(crate) async fn progress(&mut self) -> Result<(), OutboundEnd> {
        let blocked = async {
            match &self.blocked {
                Some(packed) => self.connection.send_datagram(packed.bytes.clone()).await,
                None => std::future::pending().await,
            }
        };
        let stream = async {
            match self.streams.join_next().await {
                Some(done) => done,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            sent = blocked => {
                if let Some(packed) = self.blocked.take() {
                    self.datagram_sent(packed, Some(sent))?;
                }
            }
            done = stream => match done {
                Ok(written) => self.stream_written(written)?,
                // A write neither panics nor is cancelled while this runs.
                Err(_) => return Err(OutboundEnd::Refused),
            },
        }
        Ok(())
    }

    /// Called at regular intervals, to see streams that do not move.
    pub(crate) fn tick(&mut self) {
        self.stalled = !self.moved;
        self.moved = self.streams.len() < MAX_STREAMS;
    }

    /// Ends every stream that is being written.
    pub(crate) async fn shut_down(&mut self) {
        self.streams.shutdown().await;
    }

    fn sort(&mut self, datagram: usize) {
        for frame in self.taken.drain(..) {
            if PREFIX + frame.len() <= datagram {
                self.small_bytes += frame.len();
                self.small.push_back(frame);
            } else {
                self.large.push_back(frame);
            }
        }
    }

    fn next_small(&mut self) -> Option<Bytes> {
        let frame = self.small.pop_front()?;
        self.small_bytes -= frame.len();
        Some(frame)
    }

    fn write_streams(&mut self) -> Result<(), OutboundEnd> {
        while self.streams.len() < MAX_STREAMS {
            let mut batch = Batch::new(&mut self.block);
            if let Some(misfit) = self.misfits.pop_front() {
                batch.pieces.push(misfit.bytes);
                batch.counts = misfit.counts;
            } else if !self.large.is_empty() {
                while batch.counts.bytes < STREAM_BYTES
                    && let Some(frame) = self.large.pop_front()
                {
                    batch.add(frame);
                }
            } else if self.small_bytes > BACKLOG_BYTES {
                while batch.counts.bytes < STREAM_BYTES
                    && let Some(frame) = self.small.pop_front()
                {
                    self.small_bytes -= frame.len();
                    batch.add(frame);
                }
            } else {
                return Ok(());
            }
            let (pieces, counts) = batch.finish();
            self.write_stream(pieces, counts)?;
        }
        Ok(())
    }

    fn write_stream(&mut self, pieces: Vec<Bytes>, counts: QueueState) -> Result<(), OutboundEnd> {
        let written = self.connection.write_stream(pieces);
        let mut write: StreamWrite = Box::pin(async move { written.await.map(|()| counts) });
        // Most writes fit into QUIC's buffer: no task is needed for those.
        match poll_once(write.as_mut()) {
            Poll::Ready(written) => self.stream_written(written),
            Poll::Pending => {
                self.streams.spawn(write);
                Ok(())
            }
        }
    }

    fn stream_written(&mut self, done: Result<QueueState, StreamError>) -> Result<(), OutboundEnd> {
        match done {
            Ok(counts) => {
                (self.moved, self.stalled) = (true, false);
                self.add_written(counts);
                Ok(())
            }
            Err(StreamError::Lost(why)) => Err(OutboundEnd::Lost(why)),
            Err(StreamError::Refused) => Err(OutboundEnd::Refused),
        }
    }

    fn add_written(&mut self, counts: QueueState) {
        self.written.frames += counts.frames;
        self.written.bytes += counts.bytes;
    }

    fn write_datagrams(&mut self, datagram: usize) -> Result<(), OutboundEnd> {
        while self.blocked.is_none()
            && let Some(packed) = self.pack(datagram)
        {
            let sent = {
                let send = pin!(self.connection.send_datagram(packed.bytes.clone()));
                match poll_once(send) {
                    Poll::Ready(sent) => Some(sent),
                    Poll::Pending => None,
                }
            };
            self.datagram_sent(packed, sent)?;
        }
        Ok(())
    }

    fn datagram_sent(
        &mut self,
        packed: Packed,
        sent: Option<Result<(), DatagramError>>,
    ) -> Result<(), OutboundEnd> {
        match sent {
            None => self.blocked = Some(packed),
            Some(Ok(())) => self.add_written(packed.counts),
            Some(Err(DatagramError::Lost(why))) => return Err(why.into()),
            Some(Err(DatagramError::DoesNotFit)) => self.misfits.push_back(packed),
        }
        Ok(())
    }

    /// The next datagram: as many small frames as fit.
    fn pack(&mut self, datagram: usize) -> Option<Packed> {
        let mut room = datagram;
        let mut counts = QueueState::default();
        if !self.small.is_empty() && self.block.capacity() < datagram {
            self.block.reserve(BLOCK.max(datagram));
        }
        while let Some(frame) = self.small.front() {
            let takes = PREFIX + frame.len();
            if takes > room {
                break;
            }
            room -= takes;
            put_prefix(&mut self.block, frame.len());
            self.block.put_slice(frame);
            count(&mut counts, frame);
            self.next_small();
        }
        if counts.frames == 0 {
            // The MTU has shrunk since these were sorted.
            let shrunk = self.small.drain(..);
            self.large.extend(shrunk);
            self.small_bytes = 0;
            return None;
        }
        let bytes = self.block.split().freeze();
        Some(Packed { bytes, counts })
    }
}

/// One stream's worth of frames, being put together.
struct Batch<'a> {
    block: &'a mut BytesMut,
    pieces: Vec<Bytes>,
    counts: QueueState,
}

impl<'a> Batch<'a> {
    fn new(block: &'a mut BytesMut) -> Self {
        Self { block, pieces: Vec::new(), counts: QueueState::default() }
    }

    fn add(&mut self, frame: Bytes) {
        count(&mut self.counts, &frame);
        let copied = frame.len() < COPY_BELOW;
        let takes = PREFIX + if copied { frame.len() } else { 0 };
        if self.block.capacity() - self.block.len() < takes {
            self.cut();
            self.block.reserve(BLOCK);
        }
        put_prefix(self.block, frame.len());
        if copied {
            self.block.put_slice(&frame);
        } else {
            self.cut();
            self.pieces.push(frame);
        }
    }

    fn cut(&mut self) {
        if !self.block.is_empty() {
            self.pieces.push(self.block.split().freeze());
        }
    }

    fn finish(mut self) -> (Vec<Bytes>, QueueState) {
        self.cut();
        (self.pieces, self.counts)
    }
}

#[cfg(test)]
mod tests;
