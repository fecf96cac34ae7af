use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bitcraps_transport_api::{
    ConnectError, Link, Sink, StartError, Transport, TransportEvent, TrySendError,
};
use bitcraps_types::{
    Address, ConnectTarget, DownReason, LinkId, MessageId, Timestamp, TrafficClass, TransportType,
};
use bytes::Bytes;
use tokio::sync::{Notify, broadcast, mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::core::Index;
use crate::dials::run_dials;
use crate::directory::Directory;
use crate::inbox::{Custody, Inbox, Mailbox};
use crate::receipt::Tickets;
use crate::{
    Batch, Command, Config, Core, LinkUp, Machine, Notice, OutboxId, Outcome, Progress, Ticket,
    TransmitFailure,
};

/// Notices that a slow listener may lag behind before it loses the oldest.
const NOTICES: usize = 1_024;
/// Dials waiting for their turn; the engine makes sixteen at once.
const DIALS: usize = 64;
/// Longest sleep of the timer: the machine's clock counts suspend, the runtime's does not.
const MAX_SLEEP: Duration = Duration::from_secs(1);
/// An alarm this late tells that the process was not running. The runtime's own timers are up to
/// 1 ms late, and a busy machine adds about as much.
const STALLED: Duration = Duration::from_millis(4);
/// After a stall, time for the readers to hand over what came meanwhile, before the machine judges
/// anything as missing.
const CATCH_UP: Duration = Duration::from_millis(1);

/// Reads the machine's clock.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The runtime's own clock: follows a paused runtime in tests. A node uses one that counts suspend
/// instead.
#[expect(clippy::disallowed_methods, reason = "the coordinator's one clock when used alone")]
pub fn tokio_clock() -> Clock {
    let start = tokio::time::Instant::now();
    Arc::new(move || {
        let nanos = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        // Not from zero, so that "a while ago" can be told at the start.
        Timestamp::from_nanos(nanos) + Duration::from_secs(3_600)
    })
}

/// Link ids are never used twice in a process, whichever driver gave them out.
static NEXT_LINK: AtomicU64 = AtomicU64::new(1);

/// Delivery over any transports: [`Driver`] around the [`Core`] alone.
pub type MultiTransportCoordinator = Driver<Core>;

/// Runs a [`Machine`] under tokio: the one place where its commands become I/O.
///
/// `send` and the adapters' readers call the machine inline under one mutex that is never held
/// across an await; one task serves its timers, one its dials. A handle; clones share the machine.
pub struct Driver<M: Machine> {
    pub(crate) shared: Arc<Shared<M>>,
}

impl<M: Machine> Clone for Driver<M> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<M: Machine> std::fmt::Debug for Driver<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Driver").finish_non_exhaustive()
    }
}

pub(crate) struct Shared<M> {
    state: Mutex<State<M>>,
    pub(crate) clock: Clock,
    rearm: Notify,
    pub(crate) directory: Directory,
    mailbox: Arc<Mailbox>,
    notices: broadcast::Sender<Notice>,
    dials: mpsc::Sender<ConnectTarget>,
    pub(crate) transports: Mutex<Vec<Arc<dyn Transport>>>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

/// What the mutex guards: the machine, and what its commands refer to.
pub(crate) struct State<M> {
    pub(crate) machine: M,
    links: Index<LinkId, Arc<dyn Link>>,
    waiters: Index<Ticket, oneshot::Sender<Outcome>>,
    /// Where batches are made durable.
    pub(crate) store: Option<Sender<Batch>>,
    /// When the timer task will wake up.
    armed: Timestamp,
}

impl<M> State<M> {
    /// Prepares the receipt of `ticket`.
    pub(crate) fn wait_for(&mut self, ticket: Ticket) -> oneshot::Receiver<Outcome> {
        let (sender, receiver) = oneshot::channel();
        self.waiters.insert(ticket, sender);
        receiver
    }
}

/// Why a transport was not registered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{transport} did not start: {why}")]
pub struct RegisterError {
    /// Which.
    pub transport: TransportType,
    /// Why.
    #[source]
    pub why: StartError,
}

impl Driver<Core> {
    /// A coordinator that is used alone, on the runtime's clock. Call within a tokio runtime.
    pub fn new(config: Config) -> Self {
        Self::start(Core::new(config), tokio_clock())
    }
}

impl<M: Machine> Driver<M> {
    /// Runs `machine`. Call within a tokio runtime.
    pub fn start(machine: M, clock: Clock) -> Self {
        let (notices, _) = broadcast::channel(NOTICES);
        let (dials, dial_queue) = mpsc::channel(DIALS);
        let state = State {
            machine,
            links: HashMap::default(),
            waiters: HashMap::default(),
            store: None,
            armed: Timestamp::MAX,
        };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            clock,
            rearm: Notify::new(),
            directory: Directory::default(),
            mailbox: Arc::default(),
            notices,
            dials,
            transports: Mutex::default(),
            tasks: Mutex::default(),
        });
        let timer = tokio::spawn(run_timers(Arc::downgrade(&shared)));
        let dialler = tokio::spawn(run_dials(Arc::downgrade(&shared), dial_queue));
        lock(&shared.tasks).extend([timer, dialler]);
        Self { shared }
    }

    /// Starts a transport and uses its links from now on.
    ///
    /// # Errors
    /// [`RegisterError`] when it does not start; nothing has changed.
    pub async fn register_transport(
        &self,
        transport: Arc<dyn Transport>,
    ) -> Result<(), RegisterError> {
        let sink = Arc::new(DriverSink(Arc::downgrade(&self.shared)));
        let kind = transport.transport_type();
        let started = transport.start(sink).await;
        started.map_err(|why| RegisterError { transport: kind, why })?;
        lock(&self.shared.transports).push(transport);
        Ok(())
    }

    /// Stops using the transports of a family: their links close, and messages on them move on.
    pub async fn deregister_transport(&self, transport: TransportType) {
        let gone = {
            let mut transports = lock(&self.shared.transports);
            let (gone, kept) = transports.drain(..).partition(|t| t.transport_type() == transport);
            *transports = kept;
            let gone: Vec<_> = gone;
            gone
        };
        for transport in gone {
            transport.shutdown().await;
        }
    }

    /// Dials a peer over the first transport of the target's family that reaches it.
    ///
    /// # Errors
    /// The last transport's [`ConnectError`].
    pub async fn connect(&self, target: ConnectTarget) -> Result<LinkId, ConnectError> {
        self.shared.connect(target).await
    }

    /// Where the application takes its messages; one at a time.
    pub fn inbox(&self) -> Inbox {
        let shared = &self.shared;
        shared.run(|core, now| {
            let room = core.room_beside(&shared.mailbox, now);
            core.machine.core_mut().attach_with(room, now);
        });
        let custody: Arc<dyn Custody> = Arc::clone(shared) as _;
        Inbox { mailbox: Arc::clone(&shared.mailbox), custody }
    }

    /// What happens, from now on.
    pub fn notices(&self) -> broadcast::Receiver<Notice> {
        self.shared.notices.subscribe()
    }

    /// Runs `act` on the machine and executes what it commands.
    pub fn with<T>(&self, act: impl FnOnce(&mut M, Timestamp) -> T) -> T {
        self.shared.run(|state, now| act(&mut state.machine, now))
    }

    /// The links as their drivers describe them.
    pub fn links(&self) -> Vec<Arc<dyn Link>> {
        let mut links: Vec<_> = self.shared.lock().links.values().cloned().collect();
        links.sort_by_key(|link| link.id());
        links
    }

    /// Settles every message, closes every link, stops every transport and task.
    pub async fn shutdown(&self) {
        self.shared.run(|state, now| state.machine.core_mut().shut_down(now));
        // Who writes the last batch ends after it.
        self.shared.lock().store = None;
        let transports = std::mem::take(&mut *lock(&self.shared.transports));
        for transport in transports {
            transport.shutdown().await;
        }
        self.shared.mailbox.close();
        for task in std::mem::take(&mut *lock(&self.shared.tasks)) {
            task.abort();
        }
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<M: Machine> Shared<M> {
    fn lock(&self) -> MutexGuard<'_, State<M>> {
        lock(&self.state)
    }

    /// Runs `act` under the lock, executes what the machine commands, and sets the timer.
    pub(crate) fn run<T>(&self, act: impl FnOnce(&mut State<M>, Timestamp) -> T) -> T {
        let mut state = self.lock();
        // Read under the lock: the machine's time must not run backwards between two threads.
        let now = (self.clock)();
        let result = act(&mut state, now);
        self.execute(&mut state, now);
        let rearm = match state.machine.next_deadline() {
            Some(at) if at < state.armed => {
                state.armed = at;
                true
            }
            Some(_) | None => false,
        };
        drop(state);
        if rearm {
            self.rearm.notify_one();
        }
        result
    }

    fn execute(&self, state: &mut State<M>, now: Timestamp) {
        while let Some(command) = state.machine.poll_command() {
            match command {
                Command::Transmit { link, seq, frame } => {
                    let failure = match state.links.get(&link) {
                        Some(link) => match link.try_send(frame) {
                            Ok(()) => continue,
                            Err(TrySendError::Full(_)) => TransmitFailure::Full,
                            Err(TrySendError::Closed(_)) => TransmitFailure::Closed,
                            Err(TrySendError::TooBig { max, .. }) => {
                                TransmitFailure::TooBig { max }
                            }
                        },
                        None => TransmitFailure::Closed,
                    };
                    state.machine.core_mut().transmit_failed(link, seq, failure, now);
                }
                Command::Deliver(delivery) => self.mailbox.push(delivery),
                Command::Settle { ticket, outcome } => {
                    if let Some(waiter) = state.waiters.remove(&ticket) {
                        // The receipt may have been dropped; the outcome then concerns nobody.
                        drop(waiter.send(outcome));
                    }
                }
                Command::Close { link, why } => {
                    tracing::debug!(%link, %why, "closing link");
                    if let Some(link) = state.links.get(&link) {
                        link.close();
                    }
                }
                Command::Connect(target) => {
                    if let Err(error) = self.dials.try_send(target) {
                        let target = error.into_inner();
                        state.machine.connected(&target, None, now);
                    }
                }
                Command::Persist(batch) => state.persist(batch, now),
                Command::Notice(notice) => {
                    tracing::debug!(?notice);
                    if let Notice::PeerForgotten { peer } = &notice {
                        self.directory.remove(peer);
                    }
                    // Nobody listening is no error.
                    drop(self.notices.send(notice));
                }
            }
        }
    }

    pub(crate) async fn connect(&self, target: ConnectTarget) -> Result<LinkId, ConnectError> {
        let mut result = Err(ConnectError::NotStarted);
        let transports: Vec<_> = lock(&self.transports).clone();
        for transport in transports {
            if transport.transport_type() == target.transport {
                result = transport.connect(target.clone()).await;
                if result.is_ok() {
                    break;
                }
            }
        }
        result
    }
}

impl<M> Drop for Shared<M> {
    fn drop(&mut self) {
        lock(&self.tasks).iter().for_each(JoinHandle::abort);
    }
}

/// Serves the machine's timers; ends when the driver is dropped.
async fn run_timers<M: Machine>(shared: Weak<Shared<M>>) {
    let mut caught_up = false;
    loop {
        let Some(driver) = shared.upgrade() else {
            return;
        };
        let sleep = driver.run(|state, now| {
            // Events may have been served inline meanwhile; look again rather than trust the alarm.
            let late = state.machine.next_deadline().map_or(Duration::ZERO, |at| now.since(at));
            if late >= STALLED && !caught_up {
                state.armed = now;
                return None;
            }
            if state.machine.next_deadline().is_some_and(|at| at <= now) {
                state.machine.on_timer(now);
            }
            let next = state.machine.next_deadline();
            let sleep = next.map_or(MAX_SLEEP, |at| at.since(now)).min(MAX_SLEEP);
            state.armed = now + sleep;
            Some(sleep)
        });
        caught_up = sleep.is_none();
        let Some(sleep) = sleep else {
            tokio::time::sleep(CATCH_UP).await;
            continue;
        };
        tokio::select! {
            () = tokio::time::sleep(sleep) => {}
            () = driver.rearm.notified() => {}
        }
    }
}

/// Where adapters report; keeps nothing alive.
struct DriverSink<M: Machine>(Weak<Shared<M>>);

impl<M: Machine> Sink for DriverSink<M> {
    fn next_link_id(&self) -> LinkId {
        LinkId(NEXT_LINK.fetch_add(1, Ordering::Relaxed))
    }

    fn event(&self, event: TransportEvent) {
        let Some(driver) = self.0.upgrade() else {
            return;
        };
        match event {
            TransportEvent::Discovered(hint) => {
                driver.run(|state, now| state.machine.discovered(hint, now));
            }
            TransportEvent::LinkUp(link) => driver.link_up(link),
            TransportEvent::LinkDown { link, reason } => driver.link_down(link, &reason),
        }
    }

    fn frames(&self, link: LinkId, frames: &mut Vec<Bytes>) {
        let Some(driver) = self.0.upgrade() else {
            return frames.clear();
        };
        driver.run(|state, now| state.machine.core_mut().frames_received(link, frames, now));
    }

    fn written(&self, link: LinkId, total: u64) {
        let Some(driver) = self.0.upgrade() else {
            return;
        };
        driver.run(|state, now| state.machine.core_mut().written(link, total, now));
    }
}

impl<M: Machine> Shared<M> {
    fn link_up(&self, link: Arc<dyn Link>) {
        let facts = LinkUp {
            link: link.id(),
            peer: link.peer(),
            transport: link.transport(),
            capabilities: link.capabilities(),
        };
        let remote = Address::new(link.path().remote);
        self.run(|state, now| {
            state.links.insert(facts.link, link);
            state.machine.link_up(facts, remote, now);
            if let Some(handle) = state.machine.core().peer(facts.peer) {
                self.directory.insert(facts.peer, handle);
            }
        });
    }

    fn link_down(&self, link: LinkId, reason: &DownReason) {
        tracing::debug!(%link, %reason, "link down");
        self.run(|state, now| {
            state.links.remove(&link);
            state.machine.link_down(link, reason, now);
        });
    }
}

impl<M: Machine> Tickets for Shared<M> {
    fn progress(&self, ticket: Ticket) -> Option<Progress> {
        self.lock().machine.core().progress(ticket)
    }

    fn outbox_id(&self, ticket: Ticket) -> Option<OutboxId> {
        self.lock().machine.core().outbox_id_of(ticket)
    }

    fn cancel(&self, ticket: Ticket) {
        self.run(|state, now| state.machine.core_mut().cancel(ticket, now));
    }
}

impl<M: Machine> Custody for Shared<M> {
    fn taken(&self, counts: [usize; TrafficClass::COUNT]) {
        self.run(|state, now| {
            for class in TrafficClass::ALL {
                let count = counts[class.index()];
                if count > 0 {
                    state.machine.core_mut().inbox_taken(class, count, now);
                }
            }
        });
    }

    fn answer(&self, id: MessageId, applied: bool) {
        self.run(|state, now| state.machine.core_mut().answer(id, applied, now));
    }

    fn detach(&self) {
        self.run(|state, now| {
            state.room_beside(&self.mailbox, now);
            state.machine.core_mut().detach();
        });
    }
}
