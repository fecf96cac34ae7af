use std::sync::atomic::{AtomicU32, Ordering};

use bitcraps_transport_api::{Link, LinkPath, QueueState, TrySendError};
use bitcraps_types::{LinkCapabilities, LinkId, PeerId, TransportType};
use bytes::Bytes;

use crate::queue::{Ending, Queue};

/// Ticks without a single datagram after which a link counts as quiet.
pub(crate) const QUIET_TICKS: u32 = 2;

/// One QUIC connection as the coordinator sees it. The connection itself belongs to the driver, so
/// that a link kept after its end keeps no socket open.
pub(crate) struct WifiLink {
    pub(crate) id: LinkId,
    pub(crate) peer: PeerId,
    pub(crate) capabilities: LinkCapabilities,
    pub(crate) path: LinkPath,
    pub(crate) queue: Queue,
    /// Whole ticks since the connection last received anything.
    pub(crate) quiet_ticks: AtomicU32,
}

impl WifiLink {
    /// Whether nothing was heard for two seconds or a little more.
    pub(crate) fn is_quiet(&self) -> bool {
        self.quiet_ticks.load(Ordering::Relaxed) >= QUIET_TICKS
    }
}

impl Link for WifiLink {
    fn id(&self) -> LinkId {
        self.id
    }

    fn peer(&self) -> PeerId {
        self.peer
    }

    fn transport(&self) -> TransportType {
        TransportType::WiFiDirect
    }

    fn capabilities(&self) -> LinkCapabilities {
        self.capabilities
    }

    fn path(&self) -> LinkPath {
        self.path.clone()
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
