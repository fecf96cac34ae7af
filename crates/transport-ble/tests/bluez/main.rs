//! Two nodes over BlueZ, on a machine with two adapters that see each other; `cargo xtask
//! test-radio` makes one. What is measured is printed; what does not hold fails.

#![expect(clippy::unwrap_used, reason = "the lint knows test functions only, not what they call")]
#![expect(clippy::disallowed_methods, reason = "what is measured is time")]
#![expect(clippy::print_stdout, reason = "figures are for whoever runs this")]

mod faults;
mod hostile;
mod looking;
mod meeting;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bitcraps_session::Identity;
use bitcraps_transport_api::conformance::{CASES, Ends, Fixture, Recorder};
use bitcraps_transport_api::{Address, ConnectTarget, Link, Sink, Transport as _, TransportEvent};
use bitcraps_transport_ble::{
    BleConfig, BleTransport, Bluez, Channel, MAX_SDU, Radio as _, RadioEvent, Tag,
};
use bitcraps_types::{LinkId, PeerId, TransportType};
use bytes::Bytes;
use tokio::process::Command;
use tokio::sync::{Notify, mpsc};

const ADAPTERS: [&str; 2] = ["hci0", "hci1"];
/// Larger than anything here takes on a machine that emulates its processor.
const PATIENCE: Duration = Duration::from_secs(60);
const ECHOES: usize = 500;
const BYTES: usize = 200;

struct Node {
    transport: Arc<BleTransport>,
    told: Arc<Recorder>,
}

/// What the transport does goes to a file, for whoever looks for the reason of a failure.
fn logged() {
    let path = std::env::temp_dir().join("transport.log");
    let file = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
    let log = tracing_subscriber::fmt().with_ansi(false).with_writer(Mutex::new(file));
    // Only the first test of a process finds none.
    drop(log.with_env_filter("bitcraps_transport_ble=debug").try_init());
}

fn node(number: usize, discover: bool) -> Node {
    node_of(number, BleConfig { discover, ..BleConfig::default() })
}

fn node_of(number: usize, config: BleConfig) -> Node {
    logged();
    let radio = Arc::new(Bluez::new(Some(ADAPTERS[number].to_owned())));
    let identity = Identity::from_seed(&[number as u8 + 1; 32]);
    let transport = BleTransport::new(config, identity, radio).unwrap();
    Node { transport: Arc::new(transport), told: Arc::default() }
}

impl Node {
    async fn start(&self) {
        self.transport.start(self.told.clone()).await.unwrap();
    }

    fn target(&self) -> ConnectTarget {
        ConnectTarget {
            transport: TransportType::Bluetooth,
            peer: self.transport.peer(),
            address: Address::new(self.transport.place().unwrap().to_string()),
            via: None,
        }
    }

    async fn link(&self) -> Arc<dyn Link> {
        self.told.standing(1).await.unwrap().pop().unwrap()
    }
}

struct Adapters;

#[async_trait]
impl Fixture for Adapters {
    async fn ends(&self) -> Ends {
        let [near, far] = [node(0, false), node(1, false)];
        let (near_peer, far_peer): (PeerId, PeerId) = (near.transport.peer(), far.transport.peer());
        let (near, far_transport) = (near.transport, Arc::clone(&far.transport));
        Ends {
            near,
            far: far_transport,
            near_peer,
            far_peer,
            target: Box::new(move || far.target()),
            dead: Some(Address::new("00:AA:01:EE:00:99/public/128")),
            bad: Some(Address::new("00:AA:01:EE:00:99")),
            stall: None,
        }
    }

    fn one_link_per_peer(&self) -> bool {
        true
    }

    fn many_frames(&self) -> usize {
        1_000
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_contract() {
    let mut failed = 0;
    for case in CASES {
        let begun = Instant::now();
        let verdict = (case.run)(&Adapters).await;
        println!("{} in {:.1?}: {verdict:?}", case.name, begun.elapsed());
        failed += usize::from(verdict.is_err());
    }
    println!("RADIO bluetooth.conformance_cases {} {}", CASES.len() - failed, CASES.len());
    assert_eq!(failed, 0);
}

fn percentile(sorted: &[Duration], share: f64) -> f64 {
    let at = (sorted.len() as f64 * share) as usize;
    sorted[at.min(sorted.len() - 1)].as_secs_f64() * 1e3
}

/// A raw channel, whose far end sends units back, or keeps them and tells of each.
struct Raw {
    near: Arc<dyn Channel>,
    /// Asks the far end to keep what comes from now on.
    keep: Arc<AtomicBool>,
    kept: mpsc::Receiver<()>,
}

impl Raw {
    fn new(near: Arc<dyn Channel>, far: Arc<dyn Channel>) -> Self {
        let keep = Arc::new(AtomicBool::new(false));
        let (tell, kept) = mpsc::channel(ECHOES);
        let keeps = keep.clone();
        tokio::spawn(async move {
            let mut unit = [0; MAX_SDU];
            while let Ok(len @ 1..) = far.receive(&mut unit).await {
                match keeps.load(Ordering::SeqCst) {
                    true => tell.send(()).await.unwrap(),
                    false => far.send(&unit[..len]).await.unwrap(),
                }
            }
        });
        Self { near, keep, kept }
    }

    /// Round trips of 200 bytes.
    async fn round_trips(&self, count: usize, trips: &mut Vec<Duration>) {
        let mut unit = [0; MAX_SDU];
        for _ in 0..count {
            let begun = Instant::now();
            self.near.send(&[7; BYTES]).await.unwrap();
            self.near.receive(&mut unit).await.unwrap();
            trips.push(begun.elapsed());
        }
    }

    /// How long units of a frame's size take one way.
    async fn one_way(&mut self, count: usize) -> Duration {
        self.keep.store(true, Ordering::SeqCst);
        let begun = Instant::now();
        for _ in 0..count {
            self.near.send(&[7; 1_000]).await.unwrap();
        }
        for _ in 0..count {
            self.kept.recv().await.unwrap();
        }
        let took = begun.elapsed();
        self.keep.store(false, Ordering::SeqCst);
        took
    }
}

/// A node's sink as a coordinator is one: frames are answered in the call that brings them, and
/// nobody is woken for one that nobody waits for.
#[derive(Default)]
struct Meter {
    told: Arc<Recorder>,
    echo: Mutex<Option<Arc<dyn Link>>>,
    arrived: AtomicUsize,
    awaited: AtomicUsize,
    reached: Notify,
}

impl Sink for Meter {
    fn next_link_id(&self) -> LinkId {
        self.told.next_link_id()
    }

    fn event(&self, event: TransportEvent) {
        self.told.event(event);
    }

    fn frames(&self, _: LinkId, frames: &mut Vec<Bytes>) {
        let arrived = self.arrived.fetch_add(frames.len(), Ordering::SeqCst) + frames.len();
        let echo = self.echo.lock().unwrap();
        for frame in frames.drain(..) {
            if let Some(back) = &*echo {
                back.try_send(frame).unwrap();
            }
        }
        if arrived >= self.awaited.load(Ordering::SeqCst) {
            self.reached.notify_one();
        }
    }

    fn written(&self, link: LinkId, total: u64) {
        self.told.written(link, total);
    }
}

impl Meter {
    /// `act`, and then `count` frames more than there are.
    async fn after(&self, count: usize, act: impl Future<Output = ()>) {
        let awaited = self.arrived.load(Ordering::SeqCst) + count;
        self.awaited.store(awaited, Ordering::SeqCst);
        act.await;
        while self.arrived.load(Ordering::SeqCst) < awaited {
            tokio::time::timeout(PATIENCE, self.reached.notified()).await.unwrap();
        }
    }
}

/// The same over a link.
struct Linked<'a> {
    near: &'a Meter,
    far: &'a Meter,
    there: Arc<dyn Link>,
    back: Arc<dyn Link>,
}

impl Linked<'_> {
    async fn round_trips(&self, count: usize, trips: &mut Vec<Duration>) {
        *self.far.echo.lock().unwrap() = Some(self.back.clone());
        for _ in 0..count {
            let begun = Instant::now();
            let send = async { self.there.try_send(Bytes::from_static(&[7; BYTES])).unwrap() };
            self.near.after(1, send).await;
            trips.push(begun.elapsed());
        }
        *self.far.echo.lock().unwrap() = None;
    }

    async fn one_way(&self, count: usize, frame: &'static [u8]) -> Duration {
        let begun = Instant::now();
        let send = async {
            let mut sent = 0;
            while sent < count {
                match self.there.try_send(Bytes::from_static(frame)) {
                    Ok(()) => sent += 1,
                    // Full, and not empty again for ten times as long.
                    Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
                }
            }
        };
        self.far.after(count, send).await;
        begun.elapsed()
    }
}

fn rate(bytes: usize, took: Duration) -> f64 {
    bytes as f64 / took.as_secs_f64() / 1e3
}

/// Both in turn, so that what else the machine does meets both.
async fn side_by_side(raw: &mut Raw, link: &Linked<'_>) {
    const TURNS: usize = 10;
    let (mut bare, mut linked) = (Vec::new(), Vec::new());
    let [mut bare_took, mut linked_took, mut small_took] = [Duration::ZERO; 3];
    for _ in 0..TURNS {
        raw.round_trips(ECHOES / TURNS, &mut bare).await;
        link.round_trips(ECHOES / TURNS, &mut linked).await;
        bare_took += raw.one_way(ECHOES / TURNS).await;
        linked_took += link.one_way(ECHOES / TURNS, &[7; 1_000]).await;
        small_took += link.one_way(ECHOES / TURNS, &[7; BYTES]).await;
    }
    for (whose, mut trips) in [("raw", bare), ("link", linked)] {
        trips.sort_unstable();
        println!("RADIO bluetooth.{whose}_round_trip_ms {:.2}", percentile(&trips, 0.5));
    }
    let (long, short) = (ECHOES * 1_000, ECHOES * BYTES);
    println!("RADIO bluetooth.raw_kilobytes_per_second {:.0}", rate(long, bare_took));
    println!("RADIO bluetooth.link_kilobytes_per_second {:.0}", rate(long, linked_took));
    println!(
        "RADIO bluetooth.link_small_frames_kilobytes_per_second {:.0}",
        rate(short, small_took)
    );
}

/// Discovery, connection and channel, with nothing of the transport but its radio.
async fn raw_meeting() -> (f64, Arc<dyn Channel>, Arc<dyn Channel>, [Bluez; 2]) {
    let radios = ADAPTERS.map(|name| Bluez::new(Some(name.to_owned())));
    let begun = Instant::now();
    let (mut tell, mut called) = mpsc::channel(64);
    radios[1].open(Tag([1; 8]), tell).await.unwrap();
    let (told, mut seen) = mpsc::channel(64);
    radios[0].open(Tag([0; 8]), told).await.unwrap();
    let mut on = true;
    radios[0].scan(on).await.unwrap();
    let place = loop {
        match tokio::time::timeout(Duration::from_secs(4), seen.recv()).await {
            Ok(Some(RadioEvent::Sighted { device, advertisement, .. }))
                if advertisement.tag == Tag([1; 8]) =>
            {
                break bitcraps_transport_ble::Place { device, psm: advertisement.psm };
            }
            Ok(Some(_)) => {}
            Ok(None) => panic!("the radio ended"),
            // A virtual controller reports who advertises when a look begins, and may have stopped
            // advertising for a connection that has just ended.
            Err(_) => {
                on = !on;
                radios[0].scan(on).await.unwrap();
                radios[1].close().await;
                (tell, called) = mpsc::channel(64);
                radios[1].open(Tag([1; 8]), tell).await.unwrap();
            }
        }
        assert!(begun.elapsed() < PATIENCE, "nobody was seen");
    };
    if on {
        radios[0].scan(false).await.unwrap();
    }
    let near = radios[0].dial(place).await.unwrap();
    let far = loop {
        match called.recv().await.unwrap() {
            RadioEvent::Called(channel) => break channel,
            RadioEvent::Sighted { .. } => {}
            RadioEvent::Lost(error) => panic!("{error}"),
        }
    };
    (begun.elapsed().as_secs_f64(), near, far, radios)
}

/// Two fresh nodes that find each other.
async fn link_meeting(
    meters: &[Arc<Meter>; 2],
) -> (f64, [Arc<BleTransport>; 2], [Arc<dyn Link>; 2]) {
    // One link each: the bare radios that come later are none of theirs.
    let config = BleConfig { max_links: 1, ..BleConfig::default() };
    let begun = Instant::now();
    let nodes = [0, 1].map(|number| node_of(number, config.clone()).transport);
    let (one, two) =
        tokio::join!(nodes[0].start(meters[0].clone()), nodes[1].start(meters[1].clone()));
    one.unwrap();
    two.unwrap();
    let there = meters[0].told.standing(1).await.unwrap().pop().unwrap();
    let back = meters[1].told.standing(1).await.unwrap().pop().unwrap();
    let seconds = begun.elapsed().as_secs_f64();
    assert_eq!((there.peer(), back.peer()), (nodes[1].peer(), nodes[0].peer()));
    (seconds, nodes, [there, back])
}

/// The link ends, and the other end has heard of it.
async fn part(nodes: &[Arc<BleTransport>; 2], meters: &[Arc<Meter>; 2]) {
    nodes[0].shutdown().await;
    meters[1].told.standing(0).await.unwrap();
    nodes[1].shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b_meeting_beside_the_raw_sequence() {
    const TURNS: usize = 3;
    let meters: [Arc<Meter>; 2] = Default::default();
    let (mut bare, mut linked) = (Vec::new(), Vec::new());
    let (nodes, [there, back]) = loop {
        let (seconds, near, far, radios) = raw_meeting().await;
        bare.push(Duration::from_secs_f64(seconds));
        drop((near, far));
        for radio in radios {
            radio.close().await;
        }
        let (seconds, nodes, links) = link_meeting(&meters).await;
        linked.push(Duration::from_secs_f64(seconds));
        if linked.len() == TURNS {
            break (nodes, links);
        }
        part(&nodes, &meters).await;
    };
    for (whose, mut times) in [("raw", bare), ("link", linked)] {
        println!("{whose}: {times:.1?}");
        times.sort_unstable();
        let seconds = times[TURNS / 2].as_secs_f64();
        println!("RADIO bluetooth.{whose}_meeting_seconds {seconds:.2}");
    }
    println!("link {}: {:?}", there.path(), there.capabilities());
    // A bare channel beside the link, over the same connection.
    let (near, far, radios) = raw_channel().await;
    let linked = Linked { near: &meters[0], far: &meters[1], there, back };
    side_by_side(&mut Raw::new(near, far), &linked).await;
    for radio in radios {
        radio.close().await;
    }
    drop(linked);
    part(&nodes, &meters).await;
}

/// A channel between two radios that know where the other is.
async fn raw_channel() -> (Arc<dyn Channel>, Arc<dyn Channel>, [Bluez; 2]) {
    let radios = ADAPTERS.map(|name| Bluez::new(Some(name.to_owned())));
    let (tell, mut called) = mpsc::channel(64);
    let place = radios[1].open(Tag([1; 8]), tell).await.unwrap();
    let (tell, _events) = mpsc::channel(64);
    radios[0].open(Tag([0; 8]), tell).await.unwrap();
    let near = radios[0].dial(place).await.unwrap();
    near.send(b"this one").await.unwrap();
    // A channel may have been asked for twice.
    loop {
        match called.recv().await.unwrap() {
            RadioEvent::Called(far) => {
                let mut unit = [0; MAX_SDU];
                let said = tokio::time::timeout(Duration::from_secs(2), far.receive(&mut unit));
                if matches!(said.await, Ok(Ok(8))) {
                    return (near, far, radios);
                }
            }
            RadioEvent::Sighted { .. } => {}
            RadioEvent::Lost(error) => panic!("{error}"),
        }
    }
}

async fn power(adapter: &str, on: bool) {
    let to = if on { "true" } else { "false" };
    let path = format!("/org/bluez/{adapter}");
    let words = ["--system", "--print-reply", "--dest=org.bluez", &path];
    let set = "org.freedesktop.DBus.Properties.Set";
    let mut command = Command::new("dbus-send");
    command.args(words).arg(set).arg("string:org.bluez.Adapter1").arg("string:Powered");
    let done = command.arg(format!("variant:boolean:{to}")).output().await.unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// Open files of this process, and tasks of this runtime.
fn held() -> (usize, usize) {
    let files = std::fs::read_dir("/proc/self/fd").unwrap().count();
    (files, tokio::runtime::Handle::current().metrics().num_alive_tasks())
}

/// Waits until no more is held than `most`.
async fn held_no_more_than(most: (usize, usize)) {
    let begun = Instant::now();
    loop {
        let (files, tasks) = held();
        if files <= most.0 && tasks <= most.1 {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{files} files and {tasks} tasks, {most:?} before");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c_adapter_off_and_on() {
    let rounds: usize = std::env::var("RADIO_ROUNDS").map_or(50, |n| n.parse().unwrap());
    let (near, far) = (node(0, true), node(1, true));
    tokio::join!(near.start(), far.start());
    tokio::join!(near.link(), far.link());
    let mut back = Vec::new();
    // What is held with a link that stands, after everything has happened once.
    let mut before = None;
    for round in 0..rounds {
        // Either end's adapter in turn.
        let adapter = ADAPTERS[round % 2];
        power(adapter, false).await;
        near.told.standing(0).await.unwrap();
        far.told.standing(0).await.unwrap();
        let begun = Instant::now();
        power(adapter, true).await;
        let (there, here) = (near.link().await, far.link().await);
        back.push(begun.elapsed());
        let seen = far.told.arrived(here.id());
        there.try_send(Bytes::from_static(b"back")).unwrap();
        far.told.arrivals(here.id(), seen + 1).await.unwrap();
        println!("round {round}: {adapter}, link back after {:.1?}", back[round]);
        if round == 1 {
            // Channels that nobody waits for are seen to their end for 2 s.
            tokio::time::sleep(Duration::from_secs(3)).await;
            before = Some(held());
        }
    }
    held_no_more_than(before.unwrap()).await;
    back.sort_unstable();
    println!("RADIO bluetooth.links_back_after_adapter_off {rounds} {rounds}");
    println!("RADIO bluetooth.back_seconds_p50 {:.1}", percentile(&back, 0.5) / 1e3);
    println!("RADIO bluetooth.back_seconds_worst {:.1}", percentile(&back, 1.0) / 1e3);
    near.transport.shutdown().await;
    far.transport.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d_errors_name_what_is_missing() {
    let none = Bluez::new(Some("hci9".to_owned()));
    let (tell, _events) = mpsc::channel(4);
    let missing = none.open(Tag([0; 8]), tell.clone()).await.unwrap_err().to_string();
    assert_eq!(missing, "no Bluetooth adapter hci9: there is hci0, hci1");
    power("hci0", false).await;
    let off = Bluez::new(Some("hci0".to_owned()));
    let error = off.open(Tag([0; 8]), tell).await.unwrap_err().to_string();
    power("hci0", true).await;
    assert!(error.starts_with("Bluetooth adapter hci0 is switched off"), "{error}");
}
