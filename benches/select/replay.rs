//! The whole way of a message over a link whose far end acknowledges at once.
//!
//! A real second machine makes the acknowledgements beforehand; they are replayed to a sender in
//! the same state, so that what is measured is the sender's part alone: numbering, ranking, the
//! entry in flight, its timer, the encoded frame, the decoded acknowledgement, the outcome, and
//! through the driver also the lock, the clock and the receipt.

use std::future::Future as _;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use async_trait::async_trait;
use bitcraps_coordinator::{Command, Core, Driver, LinkUp, Outcome, Receipt, SendOptions};
use bitcraps_transport_api::{
    ConnectError, ConnectTarget, Link, LinkPath, QueueState, Sink, StartError, Transport,
    TransportEvent, TrySendError,
};
use bitcraps_types::{LinkCapabilities, LinkId, PeerId, Timestamp, TrafficClass, TransportType};
use bytes::Bytes;
use tokio::runtime::{Builder, Runtime};

use crate::clock::{self, thread_each};
use crate::coupling::{FAR, near_config};
use crate::sample::interleaved;
use crate::{Arguments, Coupling, Event, Failure, Report, Row};

const LEAST_PER_SECOND: f64 = 500_000.0;
const PAYLOAD: usize = 100;
const CLASS: TrafficClass = TrafficClass::Realtime;
const KIND: [TransportType; 1] = [TransportType::WiFiDirect];
/// Messages before the clock runs.
const WARM: usize = 2_048;

/// Measures one message at a time and batches of 32, alone, in the driver, and both ends together.
pub(super) fn run(arguments: &Arguments, report: &mut Report) -> Result<(), Failure> {
    let seed = arguments.seed;
    let messages = arguments.size(200_000, 40_000);
    let single = Script::record(1, messages, seed)?;
    let batched = Script::record(32, messages, seed)?;
    let runtime =
        Builder::new_current_thread().enable_time().build().map_err(Failure::io("runtime"))?;
    let (mut one, mut many) = (|| in_core(&single, seed), || in_core(&batched, seed));
    let mut driven_one = || in_driver(&single, seed, &runtime);
    let mut driven_many = || in_driver(&batched, seed, &runtime);
    let (mut both_one, mut both_many) =
        (|| both_ends(1, messages, seed), || both_ends(32, messages, seed));
    let [one, many, driven_one, driven_many, both_one, both_many] = interleaved(
        5,
        [&mut one, &mut many, &mut driven_one, &mut driven_many, &mut both_one, &mut both_many],
    )?;
    let rate = |name, ns: f64| Row::new(name, 1e9 / ns, "messages/s");
    let name = "full send and ack, 100 B, one thread, driver with receipts, one at a time";
    report.push(rate(name, driven_one).at_least(LEAST_PER_SECOND));
    let others = [
        ("full send and ack, driver with receipts, acks of 32 at once", driven_many),
        ("full send and ack, machine alone, one at a time", one),
        ("full send and ack, machine alone, acks of 32 at once", many),
        ("both ends of a message, two machines alone, one at a time", both_one),
        ("both ends of a message, two machines alone, acks of 32 at once", both_many),
    ];
    for (name, ns) in others {
        report.push(rate(name, ns));
    }
    let (_, allocations) = counted(|| in_core(&single, seed))?;
    let each = allocations as f64 / (messages + WARM) as f64;
    report.push(Row::new("allocations a message, machine alone", each, "allocations"));
    Ok(())
}

fn counted(work: impl FnOnce() -> Result<f64, Failure>) -> Result<(f64, u64), Failure> {
    let mut result = Ok(0.0);
    let counted = allocation_counter::measure(|| result = work());
    Ok((result?, counted.count_total))
}

/// What a sender is told, from its first link to the outcome of its last message.
struct Script {
    events: Vec<(Timestamp, Event)>,
    /// The first event that is measured.
    from: usize,
    messages: usize,
}

impl Script {
    fn record(batch: usize, messages: usize, seed: u64) -> Result<Self, Failure> {
        let mut coupling = Coupling::new(&KIND, CLASS, PAYLOAD, seed)?;
        let messages = messages / batch * batch;
        for _ in 0..(WARM + messages) / batch {
            coupling.exchange(batch)?;
        }
        let expected = (WARM + messages) as u64;
        if coupling.counts() != [expected; 3] {
            return Err(Failure::Broken(format!(
                "sent, confirmed and received: {:?}, not {expected} each",
                coupling.counts()
            )));
        }
        let events = coupling.take_log();
        let sends = events.iter().enumerate().filter(|(_, (_, e))| matches!(e, Event::Send));
        let from = sends.map(|(at, _)| at).nth(WARM).unwrap_or_default();
        Ok(Self { events, from, messages })
    }

    fn check(&self, delivered: usize) -> Result<(), Failure> {
        if delivered == self.messages {
            return Ok(());
        }
        let messages = self.messages;
        Err(Failure::Broken(format!("{delivered} of {messages} messages were confirmed")))
    }
}

/// The sender's part in the machine alone, in ns of CPU a message.
fn in_core(script: &Script, seed: u64) -> Result<f64, Failure> {
    let mut core = Core::new(near_config(seed));
    let payload = Bytes::from(vec![7; PAYLOAD]);
    let mut frames = Vec::new();
    let mut delivered = 0;
    let (before, measured) = script.events.split_at(script.from);
    let mut play = |events: &[(Timestamp, Event)]| {
        for (now, event) in events {
            match event {
                Event::Up(up) => core.link_up(*up, *now),
                Event::Send => {
                    let options = SendOptions::new(CLASS);
                    core.send(FAR, payload.clone(), options, None, *now)
                        .map_err(|e| Failure::broken("send", e))?;
                }
                Event::Written(link, total) => core.written(*link, *total, *now),
                Event::Frames(link, arrived) => {
                    frames.extend_from_slice(arrived);
                    core.frames_received(*link, &mut frames, *now);
                }
                Event::Timer => core.on_timer(*now),
            }
            while let Some(command) = core.poll_command() {
                if let Command::Settle { outcome: Outcome::Delivered { .. }, .. } = command {
                    delivered += 1;
                }
            }
        }
        Ok::<_, Failure>(std::mem::take(&mut delivered))
    };
    play(before)?;
    let mut result = Ok(0);
    let ns = thread_each(script.messages, || result = play(measured));
    script.check(result?)?;
    Ok(ns)
}

/// Both ends of each message, in ns of CPU.
fn both_ends(batch: usize, messages: usize, seed: u64) -> Result<f64, Failure> {
    let mut coupling = Coupling::new(&KIND, CLASS, PAYLOAD, seed)?.unrecorded();
    for _ in 0..WARM / batch {
        coupling.exchange(batch)?;
    }
    let rounds = messages / batch;
    let mut result = Ok(());
    let ns = thread_each(rounds * batch, || {
        result = (0..rounds).try_for_each(|_| coupling.exchange(batch));
    });
    result?;
    let [sent, delivered, received] = coupling.counts();
    if delivered == sent && received == sent {
        Ok(ns)
    } else {
        Err(Failure::Broken(format!("of {sent} messages {delivered} were confirmed")))
    }
}

/// A link whose frames go nowhere: what its far end says is known already.
struct Outlet(LinkUp);

impl Link for Outlet {
    fn id(&self) -> LinkId {
        self.0.link
    }

    fn peer(&self) -> PeerId {
        self.0.peer
    }

    fn transport(&self) -> TransportType {
        self.0.transport
    }

    fn capabilities(&self) -> LinkCapabilities {
        self.0.capabilities
    }

    fn path(&self) -> LinkPath {
        LinkPath::default()
    }

    fn try_send(&self, frame: Bytes) -> Result<(), TrySendError> {
        drop(frame);
        Ok(())
    }

    fn queue(&self) -> QueueState {
        QueueState::default()
    }

    fn close(&self) {}
}

/// A transport whose sink is spoken to by whoever holds it.
#[derive(Default)]
struct Mouthpiece(Mutex<Option<Arc<dyn Sink>>>);

impl Mouthpiece {
    fn sink(&self) -> Option<Arc<dyn Sink>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl Transport for Mouthpiece {
    fn transport_type(&self) -> TransportType {
        TransportType::WiFiDirect
    }

    async fn start(&self, sink: Arc<dyn Sink>) -> Result<(), StartError> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(sink);
        Ok(())
    }

    async fn connect(&self, _target: ConnectTarget) -> Result<LinkId, ConnectError> {
        Err(ConnectError::NotStarted)
    }

    async fn shutdown(&self) {}
}

/// The sender's part through the driver, in ns of CPU a message. The machine is told the recorded
/// time; the system's clock is read all the same, because a node would.
fn in_driver(script: &Script, seed: u64, runtime: &Runtime) -> Result<f64, Failure> {
    let _context = runtime.enter();
    let time = Arc::new(AtomicU64::new(0));
    let told = Arc::clone(&time);
    let driver = Driver::start(
        Core::new(near_config(seed)),
        Arc::new(move || {
            std::hint::black_box(clock::wall());
            Timestamp::from_nanos(told.load(Ordering::Relaxed))
        }),
    );
    let mouthpiece = Arc::new(Mouthpiece::default());
    let registered = runtime.block_on(driver.register_transport(mouthpiece.clone()));
    registered.map_err(|e| Failure::broken("transport", e))?;
    let no_sink = || Failure::Broken("the driver gave no sink".to_owned());
    let mut sender = Sender {
        sink: mouthpiece.sink().ok_or_else(no_sink)?,
        driver,
        time,
        payload: vec![7; PAYLOAD].into(),
        receipts: Vec::new(),
        frames: Vec::new(),
        delivered: 0,
    };
    let (before, measured) = script.events.split_at(script.from);
    // Outside of the runtime, where no budget makes a receipt wait that is ready.
    sender.play(before)?;
    sender.delivered = 0;
    let mut result = Ok(());
    let ns = thread_each(script.messages, || result = sender.play(measured));
    result?;
    script.check(sender.delivered)?;
    runtime.block_on(sender.driver.shutdown());
    Ok(ns)
}

struct Sender {
    driver: Driver<Core>,
    sink: Arc<dyn Sink>,
    time: Arc<AtomicU64>,
    payload: Bytes,
    receipts: Vec<Receipt>,
    frames: Vec<Bytes>,
    delivered: usize,
}

impl Sender {
    fn play(&mut self, events: &[(Timestamp, Event)]) -> Result<(), Failure> {
        let mut context = Context::from_waker(Waker::noop());
        for (now, event) in events {
            self.time.store(now.as_nanos(), Ordering::Relaxed);
            match event {
                Event::Up(up) => self.sink.event(TransportEvent::LinkUp(Arc::new(Outlet(*up)))),
                Event::Send => {
                    let options = SendOptions::new(CLASS);
                    let receipt = self
                        .driver
                        .send(FAR, self.payload.clone(), options)
                        .map_err(|e| Failure::broken("send", e))?;
                    self.receipts.push(receipt);
                }
                Event::Written(link, total) => self.sink.written(*link, *total),
                Event::Frames(link, frames) => {
                    self.frames.extend_from_slice(frames);
                    self.sink.frames(*link, &mut self.frames);
                    self.receipts.retain_mut(|receipt| {
                        match Pin::new(receipt).poll(&mut context) {
                            Poll::Ready(outcome) => {
                                self.delivered +=
                                    usize::from(matches!(outcome, Outcome::Delivered { .. }));
                                false
                            }
                            Poll::Pending => true,
                        }
                    });
                }
                Event::Timer => self.driver.with(|core, now| core.on_timer(now)),
            }
        }
        Ok(())
    }
}
