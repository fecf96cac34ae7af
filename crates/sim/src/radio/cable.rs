use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bitcraps_coordinator::TransmitFailure;
use bitcraps_transport_api::{
    DownReason, Link, LinkPath, QueueState, Sink, TransportEvent, TrySendError,
};
use bitcraps_types::{LinkCapabilities, LinkId, PeerId, Timestamp, TransportType};
use bytes::Bytes;
use tokio::sync::{Notify, mpsc, watch};

use super::{Air, SCHEME, now};
use crate::lane::Lane;

/// Frames on their way at once: what the queue holds many times over.
const ON_THE_WAY: usize = 1_024;
/// No end has closed the cable.
const OPEN: usize = 2;

/// One end of a cable.
pub(super) struct End {
    pub(super) id: LinkId,
    peer: PeerId,
    sink: Arc<dyn Sink>,
}

impl End {
    pub(super) fn new(peer: PeerId, sink: Arc<dyn Sink>) -> Self {
        Self { id: sink.next_link_id(), peer, sink }
    }
}

/// A link over the air, seen from above: two lanes and who is at their ends.
pub(super) struct Cable {
    air: Arc<Air>,
    ends: [End; 2],
    /// `lanes[i]` carries what `ends[i]` sends.
    lanes: [Mutex<Lane>; 2],
    taken: [Notify; 2],
    /// The end that closed it, or [`OPEN`].
    closer: AtomicUsize,
    closing: Notify,
    over: watch::Sender<bool>,
}

/// Lays a cable; the future brings it up, carries frames until an end closes it, and takes it down.
pub(super) fn lay(
    air: Arc<Air>,
    ends: [End; 2],
    seeds: [u64; 2],
) -> (Arc<Cable>, impl Future<Output = ()> + Send) {
    let lanes = seeds.map(|seed| Mutex::new(Lane::new(air.model, seed)));
    let cable = Arc::new(Cable {
        air,
        ends,
        lanes,
        taken: [Notify::new(), Notify::new()],
        closer: AtomicUsize::new(OPEN),
        closing: Notify::new(),
        over: watch::Sender::new(false),
    });
    (Arc::clone(&cable), carry(cable))
}

async fn carry(cable: Arc<Cable>) {
    for side in [0, 1] {
        let link = Arc::new(Port { cable: Arc::clone(&cable), side });
        cable.ends[side].sink.event(TransportEvent::LinkUp(link));
    }
    tokio::select! {
        () = cable.closing.notified() => {}
        () = one_way(&cable, 0) => {}
        () = one_way(&cable, 1) => {}
    }
    let closer = cable.closer.load(Ordering::Acquire);
    for side in [0, 1] {
        let end = &cable.ends[side];
        let reason = if side == closer { DownReason::ClosedHere } else { DownReason::ClosedByPeer };
        end.sink.event(TransportEvent::LinkDown { link: end.id, reason });
    }
    cable.over.send_replace(true);
}

/// Carries what the end at `side` sends.
async fn one_way(cable: &Cable, side: usize) {
    let (departed, arrivals) = mpsc::channel(ON_THE_WAY);
    tokio::join!(depart(cable, side, departed), arrive(cable, side, arrivals));
}

async fn depart(cable: &Cable, side: usize, departed: mpsc::Sender<(Timestamp, Bytes)>) {
    let end = &cable.ends[side];
    let peers = [cable.ends[0].peer, cable.ends[1].peer];
    loop {
        let leaves = cable.lane(side).serve(now());
        let Some(at) = leaves else {
            cable.taken[side].notified().await;
            continue;
        };
        tokio::time::sleep(at.since(now())).await;
        let silent = cable.air.is_silent(peers);
        let (frame, total, arrives) = {
            let mut lane = cable.lane(side);
            let Some(frame) = lane.depart(now()) else { continue };
            let luck = lane.draw();
            let arrives = lane.arrival(luck.jitter, now());
            let frame = Some(frame).filter(|_| !luck.lost && !silent);
            (frame, lane.written, arrives)
        };
        end.sink.written(end.id, total);
        if let Some(frame) = frame
            && departed.send((arrives, frame)).await.is_err()
        {
            return;
        }
    }
}

async fn arrive(cable: &Cable, side: usize, mut arrivals: mpsc::Receiver<(Timestamp, Bytes)>) {
    let end = &cable.ends[1 - side];
    let mut frames = Vec::new();
    while let Some((at, frame)) = arrivals.recv().await {
        tokio::time::sleep(at.since(now())).await;
        frames.push(frame);
        end.sink.frames(end.id, &mut frames);
    }
}

impl Cable {
    fn lane(&self, side: usize) -> MutexGuard<'_, Lane> {
        self.lanes[side].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Which end `peer` is.
    pub(super) fn side_of(&self, peer: PeerId) -> usize {
        usize::from(self.ends[0].peer != peer)
    }

    /// The end at `side` wants no more of it; the first one to say so counts.
    pub(super) fn close(&self, side: usize) {
        let first =
            self.closer.compare_exchange(OPEN, side, Ordering::AcqRel, Ordering::Acquire).is_ok();
        if first {
            self.closing.notify_one();
        }
    }

    fn is_closed(&self) -> bool {
        self.closer.load(Ordering::Acquire) != OPEN
    }

    /// Whether both ends were told that it is down.
    pub(super) fn is_over(&self) -> bool {
        *self.over.borrow()
    }

    /// Waits until both ends were told that it is down.
    pub(super) async fn over(&self) {
        let mut over = self.over.subscribe();
        // The sender lives in the cable itself and cannot be gone.
        drop(over.wait_for(|over| *over).await);
    }
}

/// One end of a cable, as the coordinator holds it.
struct Port {
    cable: Arc<Cable>,
    side: usize,
}

impl Link for Port {
    fn id(&self) -> LinkId {
        self.cable.ends[self.side].id
    }

    fn peer(&self) -> PeerId {
        self.cable.ends[1 - self.side].peer
    }

    fn transport(&self) -> TransportType {
        self.cable.air.model.transport
    }

    fn capabilities(&self) -> LinkCapabilities {
        self.cable.air.model.capabilities()
    }

    fn path(&self) -> LinkPath {
        let name = |side: usize| format!("{SCHEME}{}", self.cable.ends[side].peer);
        LinkPath { local: name(self.side), remote: name(1 - self.side), relay: None }
    }

    fn try_send(&self, frame: Bytes) -> Result<(), TrySendError> {
        if self.cable.is_closed() {
            return Err(TrySendError::Closed(frame));
        }
        let taken = self.cable.lane(self.side).take(frame.clone());
        match taken {
            Ok(()) => {
                self.cable.taken[self.side].notify_one();
                Ok(())
            }
            Err(TransmitFailure::Full) => Err(TrySendError::Full(frame)),
            Err(TransmitFailure::Closed) => Err(TrySendError::Closed(frame)),
            Err(TransmitFailure::TooBig { max }) => Err(TrySendError::TooBig { frame, max }),
        }
    }

    fn queue(&self) -> QueueState {
        let (frames, bytes) = self.cable.lane(self.side).waiting();
        QueueState { frames, bytes }
    }

    fn close(&self) {
        self.cable.close(self.side);
    }
}
