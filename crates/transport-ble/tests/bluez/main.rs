//! Two nodes over BlueZ, on a machine with two adapters that see each other; `cargo xtask
//! test-radio` makes one. What is measured is printed; what does not hold fails.

#![expect(clippy::unwrap_used, reason = "the lint knows test functions only, not what they call")]
#![expect(clippy::disallowed_methods, reason = "what is measured is time")]
#![expect(clippy::print_stdout, reason = "figures are for whoever runs this")]

use std::sync::atomic::{AtomicUsize, Ordering};
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

fn node(number: usize, discover: bool) -> Node {
    let config = BleConfig { discover, ..BleConfig::default() };
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

/// Round trips of 200 bytes over a raw channel; milliseconds at the median.
async fn raw_round_trips(near: &dyn Channel, far: Arc<dyn Channel>) -> f64 {
    let echo = tokio::spawn(async move {
        let mut unit = [0; MAX_SDU];
        for _ in 0..ECHOES {
            let len = far.receive(&mut unit).await.unwrap();
            far.send(&unit[..len]).await.unwrap();
        }
        far
    });
    let mut unit = [0; MAX_SDU];
    let mut trips = Vec::new();
    for _ in 0..ECHOES {
        let begun = Instant::now();
        near.send(&[7; BYTES]).await.unwrap();
        near.receive(&mut unit).await.unwrap();
        trips.push(begun.elapsed());
    }
    let far = echo.await.unwrap();
    trips.sort_unstable();
    // And one way, units of a frame's size.
    let begun = Instant::now();
    let sink = tokio::spawn(async move {
        let mut unit = [0; MAX_SDU];
        for _ in 0..ECHOES {
            far.receive(&mut unit).await.unwrap();
        }
    });
    for _ in 0..ECHOES {
        near.send(&[7; 1_000]).await.unwrap();
    }
    sink.await.unwrap();
    let rate = (ECHOES * 1_000) as f64 / begun.elapsed().as_secs_f64() / 1e3;
    println!("RADIO bluetooth.raw_kilobytes_per_second {rate:.0}");
    percentile(&trips, 0.5)
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
async fn link_round_trips(near: &Meter, far: &Meter) -> f64 {
    let there = near.told.standing(1).await.unwrap().pop().unwrap();
    *far.echo.lock().unwrap() = far.told.standing(1).await.unwrap().pop();
    let mut trips = Vec::new();
    for _ in 0..ECHOES {
        let begun = Instant::now();
        let send = async { there.try_send(Bytes::from_static(&[7; BYTES])).unwrap() };
        near.after(1, send).await;
        trips.push(begun.elapsed());
    }
    trips.sort_unstable();
    *far.echo.lock().unwrap() = None;
    let begun = Instant::now();
    let send = async {
        let mut sent = 0;
        while sent < ECHOES {
            match there.try_send(Bytes::from_static(&[7; 1_000])) {
                Ok(()) => sent += 1,
                // Full, and not empty again for ten times as long.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    };
    far.after(ECHOES, send).await;
    let rate = (ECHOES * 1_000) as f64 / begun.elapsed().as_secs_f64() / 1e3;
    println!("RADIO bluetooth.link_kilobytes_per_second {rate:.0}");
    percentile(&trips, 0.5)
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b_meeting_beside_the_raw_sequence() {
    let (raw, near, far, radios) = raw_meeting().await;
    println!("RADIO bluetooth.raw_meeting_seconds {raw:.2}");
    let raw = raw_round_trips(&*near, far).await;
    println!("RADIO bluetooth.raw_round_trip_ms {raw:.2}");
    drop(near);
    for radio in radios {
        radio.close().await;
    }

    let meters: [Arc<Meter>; 2] = Default::default();
    let begun = Instant::now();
    let nodes = [0, 1].map(|number| node(number, true).transport);
    let (one, two) =
        tokio::join!(nodes[0].start(meters[0].clone()), nodes[1].start(meters[1].clone()),);
    one.unwrap();
    two.unwrap();
    let there = meters[0].told.standing(1).await.unwrap().pop().unwrap();
    let back = meters[1].told.standing(1).await.unwrap().pop().unwrap();
    let seconds = begun.elapsed().as_secs_f64();
    println!("RADIO bluetooth.link_meeting_seconds {seconds:.2}");
    assert_eq!((there.peer(), back.peer()), (nodes[1].peer(), nodes[0].peer()));
    println!("link {}: {:?}", there.path(), there.capabilities());
    let link = link_round_trips(&meters[0], &meters[1]).await;
    println!("RADIO bluetooth.link_round_trip_ms {link:.2}");
    nodes[0].shutdown().await;
    meters[1].told.standing(0).await.unwrap();
    nodes[1].shutdown().await;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c_adapter_off_and_on() {
    let rounds: usize = std::env::var("RADIO_ROUNDS").map_or(5, |n| n.parse().unwrap());
    let (near, far) = (node(0, true), node(1, true));
    tokio::join!(near.start(), far.start());
    tokio::join!(near.link(), far.link());
    let mut back = Vec::new();
    for round in 0..rounds {
        power(ADAPTERS[1], false).await;
        near.told.standing(0).await.unwrap();
        far.told.standing(0).await.unwrap();
        let begun = Instant::now();
        power(ADAPTERS[1], true).await;
        let (there, here) = (near.link().await, far.link().await);
        back.push(begun.elapsed());
        let seen = far.told.arrived(here.id());
        there.try_send(Bytes::from_static(b"back")).unwrap();
        far.told.arrivals(here.id(), seen + 1).await.unwrap();
        println!("round {round}: link back after {:.1?}", back[round]);
    }
    back.sort_unstable();
    println!("RADIO bluetooth.links_back_after_adapter_off {rounds} {rounds}");
    println!("RADIO bluetooth.back_seconds_p50 {:.1}", percentile(&back, 0.5) / 1e3);
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
