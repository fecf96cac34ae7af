//! What an idle peer with three links costs a node, beside what its transports hold.
//!
//! The production driver and engine, in virtual time on one thread, with links that only answer: they
//! greet, reply to probes, and acknowledge one message of each class; one of each class comes from
//! the peer and is taken. Then nothing is sent for a minute. Counted is every byte that is allocated
//! from the first link on and still is at the end, the shares of tables in it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use allocation_counter::measure;
use async_trait::async_trait;
use bitcraps_coordinator::{Config, Driver, Inbox, Machine as _, SendOptions};
use bitcraps_engine::{DialerConfig, Engine};
use bitcraps_transport_api::{
    ConnectError, Link, LinkPath, QueueState, Sink, StartError, Transport, TransportEvent,
    TrySendError,
};
use bitcraps_types::{
    AckLevel, ConnectTarget, EnergyProfile, Epoch, Kbps, LinkCapabilities, LinkId, Medium, PeerId,
    Ratio, Timestamp, TrafficClass, TransportType,
};
use bitcraps_wire::{
    Body, Data, EndAck, Frame, Hello, HopAck, HopHeader, NO_DEADLINE, ProbeReply, StreamAck,
};
use bytes::Bytes;

use crate::{Arguments, Failure, Report, Row};

const LINKS: usize = 3;
const BYTES: usize = 200;
const IDLE: Duration = Duration::from_secs(60);
/// Frames that may wait for their answer: room that is made before anything is counted.
const WAITING: usize = 1 << 16;

/// Frames on their way, and whether any made no sense.
type Wire = Arc<Mutex<VecDeque<(LinkId, Bytes)>>>;

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

struct EchoLink {
    id: LinkId,
    peer: PeerId,
    wire: Wire,
}

impl Link for EchoLink {
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
        LinkCapabilities {
            max_frame: 65_536,
            nominal_rate: Kbps::at_least_one(100_000),
            energy: EnergyProfile::MAINS,
            metered: false,
            prior_reliability: Ratio::ONE,
            medium: Medium::Emulated,
        }
    }

    fn path(&self) -> LinkPath {
        LinkPath::default()
    }

    fn try_send(&self, frame: Bytes) -> Result<(), TrySendError> {
        lock(&self.wire).push_back((self.id, frame));
        Ok(())
    }

    fn queue(&self) -> QueueState {
        QueueState::default()
    }

    fn close(&self) {}
}

/// A transport that only hands out its sink.
#[derive(Default)]
struct Echo(OnceLock<Arc<dyn Sink>>);

#[async_trait]
impl Transport for Echo {
    fn transport_type(&self) -> TransportType {
        TransportType::WiFiDirect
    }

    async fn start(&self, sink: Arc<dyn Sink>) -> Result<(), StartError> {
        self.0.set(sink).map_err(|_| StartError::AlreadyStarted)
    }

    async fn connect(&self, target: ConnectTarget) -> Result<LinkId, ConnectError> {
        let (address, why) = (target.address.to_string(), "nobody is dialled".to_owned());
        Err(ConnectError::Unreachable { address, why })
    }

    async fn shutdown(&self) {}
}

/// A node whose links all answer.
struct Scene {
    driver: Driver<Engine>,
    inbox: Inbox,
    sink: Arc<dyn Sink>,
    wire: Wire,
    clock: Arc<AtomicU64>,
}

/// Measures it.
pub(super) fn run(arguments: &Arguments, report: &mut Report) -> Result<(), Failure> {
    // Its tasks never run: what they would do is done here, in virtual time.
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.map_err(Failure::io("runtime"))?;
    let _context = runtime.enter();
    let peers = arguments.size(1_000, 200);
    let clock = Arc::new(AtomicU64::new(3_600_000_000_000));
    let local = PeerId::from_bytes([0xff; 32]);
    let engine = Engine::new(Config::new(local, Epoch(1), arguments.seed), DialerConfig::default());
    let read = Arc::clone(&clock);
    let now = move || Timestamp::from_nanos(read.load(Ordering::Relaxed));
    let driver = Driver::start(engine, Arc::new(now));
    let echo = Arc::new(Echo::default());
    let registered = runtime.block_on(driver.register_transport(Arc::clone(&echo) as _));
    registered.map_err(|e| Failure::broken("node", e))?;
    let sink = echo.0.get().cloned().ok_or(Failure::Broken("no sink".to_owned()))?;
    let wire: Wire = Arc::new(Mutex::new(VecDeque::with_capacity(WAITING)));
    // What a transport holds for its links is made before anything is counted.
    let link = |n: usize| {
        let mut key = [1; 32];
        key[..8].copy_from_slice(&((n / LINKS) as u64).to_be_bytes());
        let peer = PeerId::from_bytes(key);
        Arc::new(EchoLink { id: sink.next_link_id(), peer, wire: Arc::clone(&wire) })
    };
    let links: Vec<Arc<EchoLink>> = (0..peers * LINKS).map(link).collect();
    let inbox = driver.inbox();
    let mut scene = Scene { driver, inbox, sink, wire, clock };
    let mut outcome = Ok(());
    let counted = measure(|| outcome = scene.play(&links));
    outcome?;
    let ready = scene.driver.peers().iter().flat_map(|p| &p.links).filter(|l| l.ready).count();
    if ready != links.len() {
        return Err(Failure::Broken(format!("{ready} of {} links are ready", links.len())));
    }
    let each = counted.bytes_current as f64 / peers as f64 / 1_024.0;
    let name = "memory of a node for an idle peer with three links, beside its transports'";
    report.push(Row::new(name, each, "KiB").at_most(64.0));
    Ok(())
}

impl Scene {
    fn play(&mut self, links: &[Arc<EchoLink>]) -> Result<(), Failure> {
        for link in links {
            self.sink.event(TransportEvent::LinkUp(Arc::clone(link) as _));
            self.answer()?;
        }
        self.pass(Duration::from_secs(5))?;
        for link in links.iter().step_by(LINKS) {
            for class in TrafficClass::ALL {
                let options = SendOptions::new(class).max_copies(1);
                let receipt = self.driver.send(link.peer, Bytes::from(vec![7; BYTES]), options);
                drop(receipt.map_err(|e| Failure::broken("send", e))?);
                self.hear(link.id, 2 + class as u32, None, Body::Data(message(class)));
                self.answer()?;
            }
            let taken = std::iter::from_fn(|| self.inbox.try_recv()).count();
            if taken != TrafficClass::COUNT {
                return Err(Failure::Broken(format!("{taken} messages came")));
            }
        }
        self.pass(IDLE)?;
        let open = self.driver.with(|engine, _| engine.core().unsettled());
        if open > 0 {
            return Err(Failure::Broken(format!("{open} messages stay open")));
        }
        Ok(())
    }

    /// Serves every timer of the time that passes.
    fn pass(&self, time: Duration) -> Result<(), Failure> {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let end = self.clock.load(Ordering::Relaxed) + nanos;
        loop {
            let due = self.driver.with(|engine, _| engine.next_deadline());
            let due = due.map_or(end, |at| at.as_nanos().min(end));
            self.clock.fetch_max(due, Ordering::Relaxed);
            self.driver.with(|engine, now| engine.on_timer(now));
            self.answer()?;
            if due >= end {
                return Ok(());
            }
        }
    }

    /// The other ends answer all that was sent.
    fn answer(&self) -> Result<(), Failure> {
        loop {
            let next = lock(&self.wire).pop_front();
            let Some((link, frame)) = next else { return Ok(()) };
            let frame = Frame::decode(frame).map_err(|e| Failure::broken("frame", e))?;
            let seen = HopAck {
                link_tag: 0,
                largest: frame.header.link_seq,
                bitmap: u64::MAX,
                dwell_us: 0,
            };
            match frame.body {
                Body::Hello(hello) => {
                    let answer = Hello {
                        epoch: Epoch(1),
                        memory: Epoch(1),
                        instance: 1,
                        link_tag: 1,
                        challenge: link.0,
                        echo: Some(hello.challenge),
                    };
                    self.hear(link, 0, None, Body::Hello(answer));
                }
                Body::Probe(probe) => {
                    let reply = ProbeReply { nonce: probe.nonce, dwell_us: 0 };
                    self.hear(link, 0, Some(seen), Body::ProbeReply(reply));
                }
                Body::Data(data) => {
                    let ack = Body::EndAck(EndAck { streams: vec![confirmed(&data)] });
                    self.hear(link, 0, Some(seen), ack);
                }
                _ => {}
            }
        }
    }

    fn hear(&self, link: LinkId, link_seq: u32, hop_ack: Option<HopAck>, body: Body) {
        let header =
            HopHeader { ttl: 1, deadline_ms: NO_DEADLINE, link_seq, receiver_epoch: Epoch(1) };
        let frame = Frame { header, hop_ack, route: None, body };
        self.sink.frames(link, &mut vec![frame.encode()]);
    }
}

/// The first message of a class from a peer.
fn message(class: TrafficClass) -> Data {
    Data {
        class,
        ack: AckLevel::PeerAcked,
        generation: 0,
        attempt: 1,
        source_epoch: Epoch(1),
        sequence: 0,
        behind_lowest_live: 0,
        total: BYTES as u32,
        offset: 0,
        payload: Bytes::from(vec![7; BYTES]),
    }
}

fn confirmed(data: &Data) -> StreamAck {
    StreamAck {
        class: data.class,
        source_epoch: data.source_epoch,
        cumulative: data.sequence + 1,
        base: data.sequence + 1,
        bitmap: Vec::new(),
        echo_sequence: data.sequence,
        echo_attempt: data.attempt,
        dwell_us: 0,
        results: Vec::new(),
        partials: Vec::new(),
    }
}
