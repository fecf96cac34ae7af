use std::sync::Arc;

use bitcraps_types::{LinkCapabilities, LinkId, PeerId, TransportType};
use bytes::Bytes;

use super::air::{Air, End};
use crate::{Link, LinkPath, QueueState, TrySendError};

/// One end of a link.
pub(super) struct Port {
    air: Arc<Air>,
    end: End,
    serial: u64,
    id: LinkId,
}

impl Port {
    pub(super) fn new(air: Arc<Air>, end: End, serial: u64, id: LinkId) -> Self {
        Self { air, end, serial, id }
    }
}

impl Link for Port {
    fn id(&self) -> LinkId {
        self.id
    }

    fn peer(&self) -> PeerId {
        self.air.network.peers[self.end.other() as usize]
    }

    fn transport(&self) -> TransportType {
        self.air.network.kind
    }

    fn capabilities(&self) -> LinkCapabilities {
        self.air.network.capabilities
    }

    fn path(&self) -> LinkPath {
        LinkPath {
            local: self.end.address().to_owned(),
            remote: self.end.other().address().to_owned(),
            relay: None,
        }
    }

    fn try_send(&self, frame: Bytes) -> Result<(), TrySendError> {
        self.air.try_send(self.end, self.serial, frame)
    }

    fn queue(&self) -> QueueState {
        self.air.queue(self.end, self.serial)
    }

    fn close(&self) {
        self.air.close(self.end, self.serial);
    }
}
