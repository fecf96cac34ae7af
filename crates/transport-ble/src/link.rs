use std::sync::atomic::{AtomicUsize, Ordering};

use bitcraps_transport_api::{Link, LinkPath, QueueState, TrySendError};
use bitcraps_types::{LinkCapabilities, LinkId, PeerId, TransportType};
use bytes::Bytes;
use tokio::sync::mpsc::error::TrySendError as Refused;
use tokio::sync::{mpsc, watch};

use crate::record::Farewell;

/// Frames that wait in a link. The coordinator hands over what drains in a few milliseconds; this
/// bounds what it may do at worst to some seconds of air time.
pub(crate) const QUEUE_FRAMES: usize = 64;

/// One channel as the coordinator sees it. The channel itself belongs to the driver.
pub(crate) struct BleLink {
    pub(crate) id: LinkId,
    pub(crate) peer: PeerId,
    pub(crate) capabilities: LinkCapabilities,
    pub(crate) path: LinkPath,
    frames: mpsc::Sender<Bytes>,
    ending: watch::Sender<Option<Farewell>>,
    waiting_frames: AtomicUsize,
    waiting_bytes: AtomicUsize,
}

/// The driver's ends of a link.
pub(crate) struct Orders {
    pub(crate) frames: mpsc::Receiver<Bytes>,
    pub(crate) ending: watch::Receiver<Option<Farewell>>,
}

impl BleLink {
    pub(crate) fn new(
        id: LinkId,
        peer: PeerId,
        capabilities: LinkCapabilities,
        path: LinkPath,
    ) -> (Self, Orders) {
        let (frames, taken) = mpsc::channel(QUEUE_FRAMES);
        let (ending, ended) = watch::channel(None);
        let (waiting_frames, waiting_bytes) = Default::default();
        let link =
            Self { id, peer, capabilities, path, frames, ending, waiting_frames, waiting_bytes };
        (link, Orders { frames: taken, ending: ended })
    }

    /// Whether its driver has ended, or is about to without doing anything more than telling so.
    pub(crate) fn is_over(&self) -> bool {
        self.frames.is_closed()
    }

    /// Asks the driver to take the link down. The first to ask decides why.
    pub(crate) fn end(&self, why: Farewell) {
        self.ending.send_if_modified(|ending| {
            let first = ending.is_none();
            ending.get_or_insert(why);
            first
        });
    }

    fn count(&self, frame: &Bytes) {
        self.waiting_frames.fetch_add(1, Ordering::Relaxed);
        self.waiting_bytes.fetch_add(frame.len(), Ordering::Relaxed);
    }

    /// `frames` frames of `bytes` bytes together wait no longer.
    pub(crate) fn release(&self, frames: usize, bytes: usize) {
        self.waiting_frames.fetch_sub(frames, Ordering::Relaxed);
        self.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Link for BleLink {
    fn id(&self) -> LinkId {
        self.id
    }

    fn peer(&self) -> PeerId {
        self.peer
    }

    fn transport(&self) -> TransportType {
        TransportType::Bluetooth
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
        // Counted before it is taken, so that the driver never counts down first.
        self.count(&frame);
        let refused = match self.frames.try_send(frame) {
            Ok(()) => return Ok(()),
            Err(Refused::Full(frame)) => TrySendError::Full(frame),
            Err(Refused::Closed(frame)) => TrySendError::Closed(frame),
        };
        if let TrySendError::Full(frame) | TrySendError::Closed(frame) = &refused {
            self.release(1, frame.len());
        }
        Err(refused)
    }

    fn queue(&self) -> QueueState {
        QueueState {
            frames: self.waiting_frames.load(Ordering::Relaxed),
            bytes: self.waiting_bytes.load(Ordering::Relaxed),
        }
    }

    fn close(&self) {
        self.end(Farewell::Closed);
    }
}

#[cfg(test)]
mod tests {
    use bitcraps_types::Medium;

    use super::*;
    use crate::BleConfig;

    #[test]
    fn a_full_link_gives_back_and_counts_what_waits() {
        let peer = PeerId::from_bytes([1; 32]);
        let (config, path) = (BleConfig::default(), LinkPath::default());
        let (link, orders) = BleLink::new(LinkId(1), peer, config.capabilities(Medium::Real), path);
        let frame = Bytes::from_static(b"four");
        for _ in 0..QUEUE_FRAMES {
            assert_eq!(link.try_send(frame.clone()), Ok(()));
        }
        let state = QueueState { frames: QUEUE_FRAMES, bytes: 4 * QUEUE_FRAMES };
        assert_eq!(link.try_send(frame.clone()), Err(TrySendError::Full(frame.clone())));
        assert_eq!(link.queue(), state);
        drop(orders);
        assert_eq!(link.try_send(frame.clone()), Err(TrySendError::Closed(frame)));
        assert_eq!(link.queue(), state);
        let frame = Bytes::from(vec![0; 1_025]);
        let too_big = TrySendError::TooBig { frame: frame.clone(), max: 1_024 };
        assert_eq!(link.try_send(frame), Err(too_big));
    }

    #[test]
    fn the_first_to_end_a_link_decides_why() {
        let peer = PeerId::from_bytes([1; 32]);
        let (config, path) = (BleConfig::default(), LinkPath::default());
        let (link, orders) = BleLink::new(LinkId(1), peer, config.capabilities(Medium::Real), path);
        link.end(Farewell::Replaced);
        link.close();
        assert_eq!(*orders.ending.borrow(), Some(Farewell::Replaced));
    }
}
