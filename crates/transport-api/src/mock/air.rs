use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bitcraps_types::LinkId;
use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::link::Port;
use super::network::MockNetwork;
use crate::{DownReason, Link, QueueState, Sink, TransportEvent, TrySendError};

/// One of the two ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Near = 0,
    Far = 1,
}

impl End {
    pub(super) const BOTH: [Self; 2] = [Self::Near, Self::Far];

    pub(super) const fn other(self) -> Self {
        match self {
            Self::Near => Self::Far,
            Self::Far => Self::Near,
        }
    }

    pub(super) const fn address(self) -> &'static str {
        match self {
            Self::Near => "mock:near",
            Self::Far => "mock:far",
        }
    }
}

/// What is wrong with one direction.
#[derive(Default)]
pub(super) struct Faults {
    pub(super) failing: bool,
    pub(super) hung: bool,
    pub(super) black_hole: bool,
    pub(super) drop_next: u64,
}

/// What one end's links took so far.
#[derive(Default)]
pub(super) struct Taken {
    pub(super) frames: u64,
    pub(super) bytes: u64,
}

#[derive(Default)]
pub(super) struct Station {
    sink: Option<Arc<dyn Sink>>,
    inbox: Vec<(Option<Instant>, Notice)>,
    pub(super) faults: Faults,
    pub(super) taken: Taken,
}

/// What travels to an end, or is to be told there.
enum Notice {
    Up(Arc<dyn Link>),
    Frame(Serial, Bytes),
    PeerClosed(Serial, DownReason),
    Down(LinkId, DownReason),
}

/// What an end's task tells its sink.
enum Told {
    Event(TransportEvent),
    Frames(LinkId, Vec<Bytes>),
    Written(LinkId, u64),
}

type Serial = u64;

struct Side {
    id: LinkId,
    open: bool,
    queue: VecDeque<Bytes>,
    queued_bytes: usize,
    written: u64,
}

impl Side {
    fn new(id: LinkId) -> Self {
        Self { id, open: true, queue: VecDeque::new(), queued_bytes: 0, written: 0 }
    }

    fn close(&mut self) {
        self.open = false;
        self.queue.clear();
        self.queued_bytes = 0;
    }
}

#[derive(Default)]
pub(super) struct State {
    pub(super) broken: bool,
    pub(super) stations: [Station; 2],
    links: BTreeMap<Serial, [Side; 2]>,
    next_serial: Serial,
}

/// When an end's task has to look again.
enum Next {
    Woken,
    At(Instant),
    Stopped,
}

/// The network itself. Its lock is never held while a sink is called: a sink may take the lock
/// under which its owner calls `try_send`.
pub(super) struct Air {
    pub(super) network: MockNetwork,
    state: Mutex<State>,
    wake: [Notify; 2],
}

impl Air {
    pub(super) fn new(network: MockNetwork) -> Self {
        Self { network, state: Mutex::default(), wake: Default::default() }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn wake(&self) {
        self.wake.iter().for_each(Notify::notify_one);
    }

    /// Takes the place at `end`; false when it is taken.
    pub(super) fn join(&self, end: End, sink: Arc<dyn Sink>) -> bool {
        let station = &mut self.state().stations[end as usize];
        if station.sink.is_some() {
            return false;
        }
        station.inbox.clear();
        station.sink = Some(sink);
        true
    }

    /// Leaves the place at `end` and closes its links; false when it was free.
    pub(super) fn leave(&self, end: End) -> bool {
        let due = self.arrival();
        let mut state = self.state();
        if state.stations[end as usize].sink.take().is_none() {
            return false;
        }
        let serials: Vec<_> = state.links.keys().copied().collect();
        for serial in serials {
            state.close(serial, end, DownReason::ClosedHere, due);
        }
        drop(state);
        self.wake();
        true
    }

    pub(super) fn joined(&self, end: End) -> bool {
        self.state().stations[end as usize].sink.is_some()
    }

    /// Brings a link up at both ends, if both are there and the network is whole.
    pub(super) fn link(self: &Arc<Self>) -> Option<[LinkId; 2]> {
        let sinks = {
            let state = self.state();
            let [near, far] = &state.stations;
            match (&near.sink, &far.sink) {
                (Some(near), Some(far)) if !state.broken => [Arc::clone(near), Arc::clone(far)],
                _ => return None,
            }
        };
        let ids = sinks.map(|sink| sink.next_link_id());
        let mut state = self.state();
        if state.broken || state.stations.iter().any(|station| station.sink.is_none()) {
            return None;
        }
        let serial = state.next_serial;
        state.next_serial += 1;
        state.links.insert(serial, ids.map(Side::new));
        for end in End::BOTH {
            let port = Port::new(Arc::clone(self), end, serial, ids[end as usize]);
            let notice = Notice::Up(Arc::new(port));
            state.stations[end as usize].inbox.push((None, notice));
        }
        drop(state);
        self.wake();
        Some(ids)
    }

    pub(super) fn try_send(
        &self,
        end: End,
        serial: Serial,
        frame: Bytes,
    ) -> Result<(), TrySendError> {
        let max = self.network.capabilities.max_frame;
        if frame.len() > max {
            return Err(TrySendError::TooBig { frame, max });
        }
        let mut state = self.state();
        let State { stations, links, .. } = &mut *state;
        let station = &mut stations[end as usize];
        let side = links.get_mut(&serial).map(|sides| &mut sides[end as usize]);
        let Some(side) = side.filter(|side| side.open && !station.faults.failing) else {
            return Err(TrySendError::Closed(frame));
        };
        if side.queue.len() >= self.network.queue_frames {
            return Err(TrySendError::Full(frame));
        }
        station.taken.frames += 1;
        station.taken.bytes += frame.len() as u64;
        side.queued_bytes += frame.len();
        side.queue.push_back(frame);
        drop(state);
        self.wake[end as usize].notify_one();
        Ok(())
    }

    pub(super) fn queue(&self, end: End, serial: Serial) -> QueueState {
        let state = self.state();
        state.links.get(&serial).map_or_else(QueueState::default, |sides| {
            let side = &sides[end as usize];
            QueueState { frames: side.queue.len(), bytes: side.queued_bytes }
        })
    }

    pub(super) fn close(&self, end: End, serial: Serial) {
        let due = self.arrival();
        self.state().close(serial, end, DownReason::ClosedHere, due);
        self.wake();
    }

    /// Takes every link down at both ends at once.
    pub(super) fn fail_links(&self, why: &str) {
        let mut state = self.state();
        let serials: Vec<_> = state.links.keys().copied().collect();
        for serial in serials {
            for end in End::BOTH {
                state.drop_link(serial, end, DownReason::Failed(why.to_owned()));
            }
        }
        drop(state);
        self.wake();
    }

    /// When something sent now is at the other end; `None` for at once.
    #[expect(
        clippy::disallowed_methods,
        reason = "the latency runs on tokio's clock, which tests pause"
    )]
    fn arrival(&self) -> Option<Instant> {
        (!self.network.latency.is_zero()).then(|| Instant::now() + self.network.latency)
    }

    /// The task of one end: the only place where its sink is called, so that the order holds.
    pub(super) async fn serve(self: Arc<Self>, end: End, sink: Arc<dyn Sink>) {
        loop {
            let (told, next) = self.round(end);
            for told in told {
                match told {
                    Told::Event(event) => sink.event(event),
                    Told::Frames(link, mut frames) => sink.frames(link, &mut frames),
                    Told::Written(link, total) => sink.written(link, total),
                }
            }
            let woken = self.wake[end as usize].notified();
            match next {
                Next::Stopped => return,
                Next::Woken => woken.await,
                Next::At(due) => tokio::select! {
                    () = woken => {}
                    () = tokio::time::sleep_until(due) => {}
                },
            }
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the latency runs on tokio's clock, which tests pause"
    )]
    fn round(&self, end: End) -> (Vec<Told>, Next) {
        let due = self.arrival();
        let mut state = self.state();
        let mut told = Vec::new();
        let inbox = std::mem::take(&mut state.stations[end as usize].inbox);
        let stopped = state.stations[end as usize].sink.is_none();
        let now = due.is_some().then(Instant::now);
        let mut next = Next::Woken;
        for (due, notice) in inbox {
            match due.filter(|due| Some(*due) > now) {
                None => state.receive(end, notice, &mut told),
                Some(_) if stopped => {}
                Some(later) => {
                    if !matches!(next, Next::At(least) if least <= later) {
                        next = Next::At(later);
                    }
                    state.stations[end as usize].inbox.push((due, notice));
                }
            }
        }
        if state.write(end, due, &mut told) {
            self.wake[end.other() as usize].notify_one();
        }
        (told, if stopped { Next::Stopped } else { next })
    }
}

impl State {
    /// Closes `end`'s side of a link; the other side learns it at `due`.
    fn close(&mut self, serial: Serial, end: End, reason: DownReason, due: Option<Instant>) {
        if self.drop_link(serial, end, reason) {
            let notice = Notice::PeerClosed(serial, DownReason::ClosedByPeer);
            self.stations[end.other() as usize].inbox.push((due, notice));
        }
    }

    /// Closes `end`'s side of a link and has it told there; false when it was closed before.
    fn drop_link(&mut self, serial: Serial, end: End, reason: DownReason) -> bool {
        let Some(sides) = self.links.get_mut(&serial) else {
            return false;
        };
        let side = &mut sides[end as usize];
        if !side.open {
            return false;
        }
        side.close();
        let notice = Notice::Down(side.id, reason);
        if sides.iter().all(|side| !side.open) {
            self.links.remove(&serial);
        }
        self.stations[end as usize].inbox.push((None, notice));
        true
    }

    fn receive(&mut self, end: End, notice: Notice, told: &mut Vec<Told>) {
        let open = |state: &Self, serial| {
            let side = state.links.get(&serial).map(|sides| &sides[end as usize]);
            side.filter(|side| side.open).map(|side| side.id)
        };
        match notice {
            Notice::Up(link) => told.push(Told::Event(TransportEvent::LinkUp(link))),
            Notice::Down(link, reason) => {
                told.push(Told::Event(TransportEvent::LinkDown { link, reason }));
            }
            Notice::PeerClosed(serial, reason) => {
                if let Some(link) = open(self, serial)
                    && let Some(sides) = self.links.get_mut(&serial)
                {
                    sides[end as usize].close();
                    if sides.iter().all(|side| !side.open) {
                        self.links.remove(&serial);
                    }
                    told.push(Told::Event(TransportEvent::LinkDown { link, reason }));
                }
            }
            Notice::Frame(serial, frame) => {
                let Some(id) = open(self, serial) else { return };
                match told.last_mut() {
                    Some(Told::Frames(link, frames)) if *link == id => frames.push(frame),
                    _ => told.push(Told::Frames(id, vec![frame])),
                }
            }
        }
    }

    /// Moves what waits at `end` to the other end; whether anything is on its way.
    fn write(&mut self, end: End, due: Option<Instant>, told: &mut Vec<Told>) -> bool {
        let [near, far] = &mut self.stations;
        let (here, there) = match end {
            End::Near => (near, far),
            End::Far => (far, near),
        };
        if here.faults.hung {
            return false;
        }
        let before = there.inbox.len();
        for (serial, sides) in &mut self.links {
            let side = &mut sides[end as usize];
            if side.queue.is_empty() {
                continue;
            }
            side.written += side.queue.len() as u64;
            side.queued_bytes = 0;
            for frame in side.queue.drain(..) {
                if here.faults.drop_next > 0 {
                    here.faults.drop_next -= 1;
                } else if !here.faults.black_hole {
                    there.inbox.push((due, Notice::Frame(*serial, frame)));
                }
            }
            told.push(Told::Written(side.id, side.written));
        }
        there.inbox.len() > before
    }
}
