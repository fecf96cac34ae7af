//! From QUIC to the [`Sink`]: everything that has already arrived, in one call.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bitcraps_transport_api::Sink;
use bitcraps_types::LinkId;
use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _};

use crate::connection::{Connection, Lost};
use crate::frame::{FramingError, PREFIX, split, split_datagram};

/// Most frames handed over in one call, so that acknowledgements are not held up by a flood.
const MAX_BATCH: usize = 512;

/// Least room for the next bytes of a stream: several packets arrive between two reads.
const READ: usize = 64 * 1024;

/// How a peer broke the protocol inside an intact connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Violation {
    #[error(transparent)]
    Framing(#[from] FramingError),
    #[error("a stream was broken off")]
    BrokenOff,
}

/// The reading half of a link's driver, for datagrams; streams are read by [`read_stream`].
pub(crate) struct Inbound {
    pub(crate) link: LinkId,
    pub(crate) sink: Arc<dyn Sink>,
    pub(crate) max_frame: usize,
    frames: Vec<Bytes>,
}

impl Inbound {
    pub(crate) fn new(link: LinkId, sink: Arc<dyn Sink>, max_frame: usize) -> Self {
        Self { link, sink, max_frame, frames: Vec::new() }
    }

    /// Hands over `first` and every datagram that waits behind it.
    pub(crate) fn datagrams(
        &mut self,
        first: Bytes,
        connection: &impl Connection,
    ) -> Result<(), Violation> {
        let mut next = Some(first);
        let mut read = Ok(());
        while let Some(datagram) = next {
            read = split_datagram(datagram, self.max_frame, &mut self.frames);
            if read.is_err() || self.frames.len() >= MAX_BATCH {
                break;
            }
            next = ready_datagram(connection).and_then(Result::ok);
        }
        if !self.frames.is_empty() {
            self.sink.frames(self.link, &mut self.frames);
            self.frames.clear();
        }
        Ok(read?)
    }
}

fn ready_datagram(connection: &impl Connection) -> Option<Result<Bytes, Lost>> {
    let read = pin!(connection.read_datagram());
    match read.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(datagram) => Some(datagram),
        Poll::Pending => None,
    }
}

/// Reads one stream to its end and hands its frames over as they become whole.
pub(crate) async fn read_stream(
    mut stream: impl AsyncRead + Unpin,
    link: LinkId,
    sink: Arc<dyn Sink>,
    max_frame: usize,
) -> Result<(), Violation> {
    let mut buffer = BytesMut::new();
    let mut frames = Vec::new();
    let mut missing = 0;
    loop {
        if buffer.capacity() - buffer.len() < missing.max(PREFIX) {
            buffer.reserve(missing.max(READ));
        }
        match stream.read_buf(&mut buffer).await {
            Ok(0) if missing == 0 => return Ok(()),
            Ok(0) => return Err(FramingError::CutShort { missing }.into()),
            Ok(_) => {}
            // Also when the connection is gone; the driver then knows the true reason.
            Err(_) => return Err(Violation::BrokenOff),
        }
        missing = split(&mut buffer, max_frame, &mut frames)?;
        if !frames.is_empty() {
            sink.frames(link, &mut frames);
            frames.clear();
        }
        tokio::task::coop::consume_budget().await;
    }
}
