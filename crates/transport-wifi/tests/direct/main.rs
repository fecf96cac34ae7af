//! Two transports with nothing but Wi-Fi Direct, on a machine with two radios that hear each other and
//! a wpa_supplicant for each; `cargo xtask test-radio` makes one. What is measured is printed, beside
//! what the bare calls take in the same run.

#![expect(clippy::unwrap_used, reason = "the lint knows test functions only, not what they call")]
#![expect(clippy::disallowed_methods, reason = "what is measured is time")]
#![expect(clippy::print_stdout, reason = "figures are for whoever runs this")]

mod raw;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use bitcraps_transport_api::conformance::Recorder;
use bitcraps_transport_api::{Link, Sink, Transport as _, TransportEvent};
use bitcraps_transport_wifi::{DirectConfig, Identity, WifiConfig, WifiTransport};
use bitcraps_types::LinkId;
use bytes::Bytes;
use quinn::Connection;
use raw::{Raw, address, quic};
use tokio::sync::Notify;

/// Larger than anything here takes on a machine that emulates its processor.
const PATIENCE: Duration = Duration::from_secs(90);
/// What is carried to measure a rate.
const FRAME: usize = 16_000;
const FRAMES: usize = 100;
/// How often, by turns with the rival.
const TURNS: usize = 5;

fn buses() -> [String; 2] {
    let other = std::env::var("OTHER_BUS").unwrap();
    ["unix:path=/run/dbus/system_bus_socket".to_owned(), other]
}

const INTERFACES: [&str; 2] = ["wlan0", "wlan1"];

/// A sink that dials whoever it hears of, as an engine would, and counts what comes.
#[derive(Default)]
struct Meter {
    told: Recorder,
    transport: OnceLock<Weak<WifiTransport>>,
    arrived: AtomicUsize,
    reached: Notify,
}

impl Sink for Meter {
    fn next_link_id(&self) -> LinkId {
        self.told.next_link_id()
    }

    fn event(&self, event: TransportEvent) {
        if let TransportEvent::Discovered(hint) = &event
            && let Some(transport) = self.transport.get().and_then(Weak::upgrade)
            && transport.peer() < hint.target.peer
        {
            let target = hint.target.clone();
            tokio::spawn(async move { transport.connect(target).await });
        }
        self.told.event(event);
    }

    fn frames(&self, _: LinkId, frames: &mut Vec<Bytes>) {
        self.arrived.fetch_add(frames.len(), Ordering::SeqCst);
        frames.clear();
        self.reached.notify_one();
    }

    fn written(&self, link: LinkId, total: u64) {
        self.told.written(link, total);
    }
}

impl Meter {
    async fn until(&self, count: usize) {
        let all = async {
            while self.arrived.load(Ordering::SeqCst) < count {
                self.reached.notified().await;
            }
        };
        tokio::time::timeout(PATIENCE, all).await.unwrap();
    }

    async fn link(&self) -> Arc<dyn Link> {
        self.told.standing(1).await.unwrap().pop().unwrap()
    }
}

struct Node {
    transport: Arc<WifiTransport>,
    meter: Arc<Meter>,
}

fn node(number: usize) -> Node {
    node_with(number, None)
}

fn node_with(number: usize, pin: Option<&str>) -> Node {
    let direct = DirectConfig {
        interface: Some(INTERFACES[number].to_owned()),
        bus: Some(buses()[number].clone()),
        pin: pin.map(str::to_owned),
        ..DirectConfig::default()
    };
    let config = WifiConfig { direct: Some(direct), ..WifiConfig::new(Vec::new()) };
    let identity = Identity::from_seed(&[number as u8 + 1; 32].into());
    let transport = Arc::new(WifiTransport::new(config, identity).unwrap());
    let meter = Arc::new(Meter::default());
    meter.transport.set(Arc::downgrade(&transport)).unwrap();
    Node { transport, meter }
}

/// Both at once, until a frame has crossed; how long that took.
async fn meet(nodes: &[Node; 2]) -> f64 {
    let begun = Instant::now();
    for node in nodes {
        node.transport.start(node.meter.clone()).await.unwrap();
    }
    let met = async {
        let there = nodes[0].meter.link().await;
        nodes[1].meter.link().await;
        there.try_send(Bytes::from_static(b"first")).unwrap();
        nodes[1].meter.until(1).await;
    };
    tokio::time::timeout(PATIENCE, met).await.unwrap();
    begun.elapsed().as_secs_f64()
}

async fn part(nodes: [Node; 2]) {
    for node in nodes {
        node.transport.shutdown().await;
    }
}

async fn link_rate([near, far]: &[Node; 2]) -> f64 {
    let link = near.meter.link().await;
    let before = far.meter.arrived.load(Ordering::SeqCst);
    let frame = Bytes::from(vec![7; FRAME]);
    let begun = Instant::now();
    let mut sent = 0;
    while sent < FRAMES {
        match link.try_send(frame.clone()) {
            Ok(()) => sent += 1,
            // Full, and not empty again for as long.
            Err(_) => tokio::time::sleep(Duration::from_millis(2)).await,
        }
    }
    far.meter.until(before + FRAMES).await;
    (FRAME * FRAMES) as f64 / begun.elapsed().as_secs_f64() / 1e3
}

/// One stream of quinn's, from one end to the other; kB/s.
async fn raw_rate(caller: &Connection, called: &Connection, bytes: &[u8]) -> f64 {
    let begun = Instant::now();
    let send = async {
        let mut stream = caller.open_uni().await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream.finish().unwrap();
    };
    let receive = async {
        let mut stream = called.accept_uni().await.unwrap();
        stream.read_to_end(bytes.len()).await.unwrap().len()
    };
    let ((), len) = tokio::join!(send, receive);
    assert_eq!(len, bytes.len());
    bytes.len() as f64 / begun.elapsed().as_secs_f64() / 1e3
}

/// The link and quinn on the same interfaces by turns: each one's median, in kB/s.
async fn rates(nodes: &[Node; 2]) -> [f64; 2] {
    let on = |node: &Node| match node.transport.local_addresses()[0] {
        SocketAddr::V6(mut address) => {
            address.set_port(0);
            address
        }
        SocketAddr::V4(address) => panic!("{address}: a group has IPv6"),
    };
    let [(_caller, caller), (_called, called)] = quic(on(&nodes[0]), on(&nodes[1])).await;
    let bulk = vec![7; FRAME * FRAMES];
    let mut rates = [Vec::new(), Vec::new()];
    for _ in 0..TURNS {
        rates[0].push(link_rate(nodes).await);
        rates[1].push(raw_rate(&caller, &called, &bulk).await);
    }
    caller.close(0_u32.into(), b"");
    rates.map(|mut rates| {
        rates.sort_unstable_by(f64::total_cmp);
        rates[TURNS / 2]
    })
}

async fn raw_meeting() -> f64 {
    let [one, two] = buses();
    let (mut near, mut far) =
        tokio::join!(Raw::open(&one, INTERFACES[0]), Raw::open(&two, INTERFACES[1]));
    let begun = Instant::now();
    let (there, here) = tokio::join!(near.find(), far.find());
    println!("raw: found after {:.2?}", begun.elapsed());
    let answer = async {
        far.called().await;
        far.connect(&here, 0).await
    };
    let (owner, client) = tokio::join!(near.connect(&there, 15), answer);
    println!("raw: group after {:.2?}", begun.elapsed());
    let (local, remote) = tokio::join!(address(&owner.name), address(&client.name));
    println!("raw: addresses after {:.2?}", begun.elapsed());
    let [(_caller, caller), (_called, called)] = quic(local, remote).await;
    raw_rate(&caller, &called, b"first").await;
    let seconds = begun.elapsed().as_secs_f64();
    caller.close(0_u32.into(), b"");
    far.leave(&client).await;
    near.leave(&owner).await;
    seconds
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_beside_the_raw_sequence() {
    let seconds = tokio::time::timeout(PATIENCE, raw_meeting()).await.unwrap();
    println!("RADIO wifi_direct.raw_meeting_seconds {seconds:.2}");
    let nodes = [node(0), node(1)];
    let fresh = meet(&nodes).await;
    println!("RADIO wifi_direct.link_meeting_seconds {fresh:.2}");
    let [link, raw] = rates(&nodes).await;
    println!("RADIO wifi_direct.link_kilobytes_per_second {link:.0}");
    println!("RADIO wifi_direct.raw_kilobytes_per_second {raw:.0}");
    part(nodes).await;
    let nodes = [node(0), node(1)];
    let again = meet(&nodes).await;
    println!("RADIO wifi_direct.again_seconds {again:.2}");
    part(nodes).await;
    // And with a number that both were given, by devices that have no group stored.
    for (bus, interface) in buses().iter().zip(INTERFACES) {
        Raw::open(bus, interface).await.forget().await;
    }
    let nodes = [0, 1].map(|number| node_with(number, Some("12345670")));
    let numbered = meet(&nodes).await;
    println!("RADIO wifi_direct.with_a_number_seconds {numbered:.2}");
    part(nodes).await;
}
