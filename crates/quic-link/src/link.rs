use std::sync::atomic::{AtomicU32, Ordering};

use bitcraps_transport_api::{Link, LinkPath, QueueState, TrySendError};
use bitcraps_types::{LinkCapabilities, LinkId, PeerId, TransportType};
use bytes::Bytes;

use crate::queue::{Ending, Queue};

/// Largest `max_frame` that a link may have, in bytes. A link's queue holds four of them.
pub const MAX_FRAME_LIMIT: usize = 1024 * 1024;

/// Default of a link's `max_frame`, in bytes.
pub const DEFAULT_MAX_FRAME: usize = 65_536;

/// Tells where a link runs now; must return at once, and hold nothing open.
pub type PathView = Box<dyn Fn() -> LinkPath + Send + Sync>;

/// Ticks without a single datagram after which a link counts as quiet.
pub(crate) const QUIET_TICKS: u32 = 2;

/// One QUIC connection as the coordinator sees it. The connection itself belongs to the driver, so
/// that a link kept after its end keeps no socket open.
pub(crate) struct QuicLink {
    pub(crate) id: LinkId,
    pub(crate) peer: PeerId,
    pub(crate) transport: TransportType,
    pub(crate) capabilities: LinkCapabilities,
    pub(crate) path: PathView,
    pub(crate) queue: Queue,
    /// Whole ticks since the connection last received anything.
    pub(crate) quiet_ticks: AtomicU32,
    /// Quiet ticks after which the link ends.
    pub(crate) quiet_limit: Option<u32>,
}

impl QuicLink {
    /// Whether nothing was heard for two seconds or a little more.
    pub(crate) fn is_quiet(&self) -> bool {
        self.quiet_ticks.load(Ordering::Relaxed) >= QUIET_TICKS
    }
}

impl Link for QuicLink {
    fn id(&self) -> LinkId {
        self.id
    }

    fn peer(&self) -> PeerId {
        self.peer
    }

    fn transport(&self) -> TransportType {
        self.transport
    }

    fn capabilities(&self) -> LinkCapabilities {
        self.capabilities
    }

    fn path(&self) -> LinkPath {
        (self.path)()
    }

    fn try_send(&self, frame: Bytes) -> Result<(), TrySendError> {
        let max = self.capabilities.max_frame;
        if frame.len() > max {
            return Err(TrySendError::TooBig { frame, max });
        }
        self.queue.push(frame)
    }

    fn queue(&self) -> QueueState {
        self.queue.state()
    }

    fn close(&self) {
        self.queue.end(Ending::Closed);
    }
}
