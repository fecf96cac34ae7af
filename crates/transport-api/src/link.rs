use std::fmt;

use bitcraps_types::{LinkCapabilities, LinkId, PeerId, TransportType};
use bytes::Bytes;

/// Why a link did not take a frame. The frame comes back untouched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrySendError {
    /// The link's queue has no room now; `written` will be told when it has.
    #[error("link queue is full")]
    Full(Bytes),
    /// The link is gone; `LinkDown` was or will be told.
    #[error("link is closed")]
    Closed(Bytes),
    /// The frame exceeds [`LinkCapabilities::max_frame`].
    #[error("frame of {} bytes exceeds the link's {max}", frame.len())]
    TooBig {
        /// The frame.
        frame: Bytes,
        /// Largest frame in bytes.
        max: usize,
    },
}

impl TrySendError {
    /// The frame that was not taken.
    pub fn into_frame(self) -> Bytes {
        match self {
            Self::Full(frame) | Self::Closed(frame) | Self::TooBig { frame, .. } => frame,
        }
    }
}

/// What waits in a link's own queue, not yet written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QueueState {
    /// Frames waiting.
    pub frames: usize,
    /// Bytes waiting.
    pub bytes: usize,
}

/// Where a link runs now, for people.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LinkPath {
    /// This end.
    pub local: String,
    /// The other end.
    pub remote: String,
    /// The relay between them, when they do not reach each other directly.
    pub relay: Option<String>,
}

impl fmt::Display for LinkPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} - {}", self.local, self.remote)?;
        match &self.relay {
            Some(relay) => write!(f, " through {relay}"),
            None => Ok(()),
        }
    }
}

/// One authenticated path to one peer. The data plane: no method waits.
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait Link: Send + Sync + 'static {
    /// The link's incarnation, from [`Sink::next_link_id`](crate::Sink::next_link_id).
    fn id(&self) -> LinkId;
    /// The key at the other end.
    fn peer(&self) -> PeerId;
    /// The family it belongs to.
    fn transport(&self) -> TransportType;
    /// What it can do; constant.
    fn capabilities(&self) -> LinkCapabilities;
    /// Where it runs. May change while the link lives.
    fn path(&self) -> LinkPath;
    /// Takes `frame` whole, or gives it back at once.
    ///
    /// # Errors
    /// [`TrySendError`]; no state has changed.
    fn try_send(&self, frame: Bytes) -> Result<(), TrySendError>;
    /// What waits to be written.
    fn queue(&self) -> QueueState;
    /// Closes the link; `LinkDown` follows. Does nothing on a closed link.
    fn close(&self);
}
