//! The same faults of drivers as in the simulator, on the production driver under tokio: the
//! transports are mocks, the clock stands still while somebody works.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bitcraps_coordinator::{
    Config, Driver, Inbox, Machine, Outcome, Receipt, SendOptions, tokio_clock,
};
use bitcraps_engine::{DialerConfig, Engine};
use bitcraps_transport_api::mock::{MockHandle, MockNetwork, MockTransport};
use bitcraps_transport_api::{
    ConnectError, ConnectTarget, Hint, HintSource, Sink, StartError, Transport,
};
use bitcraps_types::{Epoch, LinkId, PeerId, Timestamp, TrafficClass, TransportType};

use super::scene::{MS, SECOND};

/// Time from one end of a mock to the other.
const LATENCY: Duration = Duration::from_millis(5);
/// A confirmation without trouble: a round trip, and the timer's grain.
const CONFIRMED: Duration = Duration::from_millis(12);

/// A node on the production driver.
struct Party {
    id: PeerId,
    driver: Driver<Engine>,
    _inbox: Inbox,
}

impl Party {
    fn new(number: u8) -> Self {
        let id = PeerId::from_bytes([number; 32]);
        let config = Config::new(id, Epoch(1), u64::from(number));
        let driver = Driver::start(Engine::new(config, DialerConfig::default()), tokio_clock());
        let inbox = driver.inbox();
        Self { id, driver, _inbox: inbox }
    }

    /// A mock network to `other`, both ends in use.
    async fn join(&self, other: &Self, kind: TransportType) -> MockHandle {
        let network = MockNetwork::new(kind, self.id, other.id).with_latency(LATENCY);
        let (near, far, handle) = network.pair();
        self.driver.register_transport(Arc::new(near)).await.unwrap();
        other.driver.register_transport(Arc::new(far)).await.unwrap();
        handle
    }

    /// Waits until this many links carry data.
    async fn ready(&self, links: usize) {
        let mut notices = self.driver.notices();
        let ready = || {
            let peers = self.driver.peers();
            peers.iter().flat_map(|peer| &peer.links).filter(|link| link.ready).count()
        };
        while ready() < links {
            notices.recv().await.unwrap();
        }
    }

    fn send(&self, to: &Self, options: SendOptions) -> Receipt {
        self.driver.send(to.id, vec![7; 100], options).unwrap()
    }

    fn now(&self) -> Timestamp {
        self.driver.with(|_, now| now)
    }
}

/// Sends to both once each 10 ms for `duration`; how every message ended.
async fn traffic(
    near: &Party,
    to: [&Party; 2],
    options: SendOptions,
    duration: Duration,
) -> [Vec<Outcome>; 2] {
    let mut receipts = [Vec::new(), Vec::new()];
    let mut pace = tokio::time::interval(10 * MS);
    for _ in 0..duration.as_millis() / 10 {
        pace.tick().await;
        for (to, receipts) in to.iter().zip(&mut receipts) {
            receipts.push(near.send(to, options));
        }
    }
    let mut outcomes = [Vec::new(), Vec::new()];
    for (receipts, outcomes) in receipts.into_iter().zip(&mut outcomes) {
        for receipt in receipts {
            outcomes.push(receipt.await);
        }
    }
    outcomes
}

fn slowest(outcomes: &[Outcome]) -> Duration {
    let latency = |outcome: &Outcome| match outcome {
        Outcome::Delivered { latency, .. } => *latency,
        other => panic!("not delivered: {other:?}"),
    };
    outcomes.iter().map(latency).max().unwrap()
}

#[tokio::test(start_paused = true)]
async fn fault_07_a_blocked_driver_delays_no_other_link_and_no_other_peer() {
    let (near, far, third) = (Party::new(1), Party::new(2), Party::new(3));
    let wifi = near.join(&far, TransportType::WiFiDirect).await;
    near.join(&far, TransportType::Bluetooth).await;
    near.join(&third, TransportType::WiFiDirect).await;
    near.ready(3).await;
    let resume = {
        let wifi = wifi.clone();
        wifi.hang();
        tokio::spawn(async move {
            tokio::time::sleep(30 * SECOND).await;
            wifi.resume();
        })
    };
    let options = SendOptions::new(TrafficClass::Critical).max_copies(1);
    let [moved, beside] = traffic(&near, [&far, &third], options, 40 * SECOND).await;
    assert!(slowest(&beside) <= CONFIRMED, "{:?}", slowest(&beside));
    assert!(slowest(&moved) < 500 * MS, "{:?}", slowest(&moved));
    resume.await.unwrap();
    assert_eq!(far.driver.counters().delivered, 4_000, "what waited for 30 s came as a repeat");
}

/// A driver whose dials take half a minute.
struct Stuck;

#[async_trait]
impl Transport for Stuck {
    fn transport_type(&self) -> TransportType {
        TransportType::WiFiDirect
    }

    async fn start(&self, _sink: Arc<dyn Sink>) -> Result<(), StartError> {
        Ok(())
    }

    async fn connect(&self, target: ConnectTarget) -> Result<LinkId, ConnectError> {
        tokio::time::sleep(30 * SECOND).await;
        Err(ConnectError::TimedOut { address: target.address.as_str().to_owned(), millis: 30_000 })
    }

    async fn shutdown(&self) {}
}

fn discover(party: &Party, target: ConnectTarget) {
    let hint = Hint { target, source: HintSource::Static };
    party.driver.with(|engine, now| engine.discovered(hint, now));
}

#[tokio::test(start_paused = true)]
async fn fault_07_a_dial_that_blocks_holds_up_no_other_dial() {
    let (near, far) = (Party::new(1), Party::new(2));
    near.driver.register_transport(Arc::new(Stuck)).await.unwrap();
    let network = MockNetwork::new(TransportType::Bluetooth, near.id, far.id).with_latency(LATENCY);
    let (here, there, _handle) = network.link_on_start(false).pair();
    let target = there.target();
    near.driver.register_transport(Arc::new(here)).await.unwrap();
    far.driver.register_transport(Arc::new(there)).await.unwrap();
    let began = near.now();
    let stuck = ConnectTarget { transport: TransportType::WiFiDirect, ..target.clone() };
    discover(&near, stuck);
    discover(&near, target);
    near.ready(1).await;
    assert!(near.now().since(began) < 100 * MS, "{:?}", near.now().since(began));
    let outcome = near.send(&far, SendOptions::new(TrafficClass::Critical)).await;
    assert!(matches!(outcome, Outcome::Delivered { .. }));
}

/// The acknowledgement lay in the socket while the process did not run: that is no loss.
#[tokio::test(start_paused = true)]
async fn fault_11_after_a_stall_what_came_is_read_before_anything_is_judged_lost() {
    let (near, far) = (Party::new(1), Party::new(2));
    for kind in [TransportType::WiFiDirect, TransportType::Internet] {
        let network = MockNetwork::new(kind, near.id, far.id);
        let (here, there, _handle) = network.pair();
        near.driver.register_transport(Arc::new(here)).await.unwrap();
        far.driver.register_transport(Arc::new(there)).await.unwrap();
    }
    near.ready(2).await;
    for stall in [10 * MS, 50 * MS, 90 * MS] {
        let receipt = near.send(&far, SendOptions::new(TrafficClass::Realtime));
        tokio::time::advance(stall).await;
        let outcome = receipt.await;
        assert!(
            matches!(outcome, Outcome::Delivered { attempts: 1, .. }),
            "{stall:?}: {outcome:?}"
        );
    }
}

/// A driver that dies in each of its first dials.
struct Mortal {
    inner: MockTransport,
    deaths: AtomicU32,
    dialled: Arc<Mutex<Vec<Timestamp>>>,
    clock: bitcraps_coordinator::Clock,
}

#[async_trait]
impl Transport for Mortal {
    fn transport_type(&self) -> TransportType {
        self.inner.transport_type()
    }

    async fn start(&self, sink: Arc<dyn Sink>) -> Result<(), StartError> {
        self.inner.start(sink).await
    }

    async fn connect(&self, target: ConnectTarget) -> Result<LinkId, ConnectError> {
        self.dialled.lock().unwrap().push((self.clock)());
        let left = self.deaths.load(Ordering::Relaxed);
        if left > 0 {
            self.deaths.store(left - 1, Ordering::Relaxed);
            panic!("the driver dies while it dials, as the test wants it to");
        }
        self.inner.connect(target).await
    }

    async fn shutdown(&self) {
        self.inner.shutdown().await;
    }
}

#[tokio::test(start_paused = true)]
async fn fault_08_a_driver_that_panics_is_tried_again_with_back_off() {
    const DEATHS: u32 = 4;
    let (near, far) = (Party::new(1), Party::new(2));
    let network = MockNetwork::new(TransportType::WiFiDirect, near.id, far.id);
    let (here, there, handle) = network.with_latency(LATENCY).link_on_start(false).pair();
    let target = there.target();
    let dialled = Arc::new(Mutex::new(Vec::new()));
    let mortal = Mortal {
        inner: here,
        deaths: AtomicU32::new(DEATHS),
        dialled: Arc::clone(&dialled),
        clock: tokio_clock(),
    };
    near.driver.register_transport(Arc::new(mortal)).await.unwrap();
    far.driver.register_transport(Arc::new(there)).await.unwrap();
    discover(&near, target);
    // Messages wait for the link, and have their outcome whatever becomes of it.
    let options = SendOptions::new(TrafficClass::Critical);
    let patient: Vec<Receipt> = (0..10).map(|_| near.send(&far, options)).collect();
    let hasty = near.send(&far, options.deadline(SECOND));
    assert_eq!(hasty.await, Outcome::Expired { tried: Vec::new() });
    for receipt in patient {
        assert!(matches!(receipt.await, Outcome::Delivered { attempts: 1, .. }));
    }
    let times = dialled.lock().unwrap().clone();
    assert_eq!(times.len(), DEATHS as usize + 1);
    for (n, two) in times.windows(2).enumerate() {
        let wait = two[1].since(two[0]);
        let wanted = SECOND * (1 << n);
        let bounds = wanted.mul_f64(0.75)..wanted.mul_f64(1.25) + 10 * MS;
        assert!(bounds.contains(&wait), "wait {n} took {wait:?}");
    }
    // The link's own task dies with messages on their way, and no other link is there.
    handle.hang();
    let pending: Vec<Receipt> =
        (0..10).map(|_| near.send(&far, options.deadline(20 * SECOND))).collect();
    tokio::time::sleep(5 * MS).await;
    handle.go_down();
    handle.resume();
    tokio::time::sleep(3 * SECOND).await;
    handle.come_up();
    for receipt in pending {
        assert!(matches!(receipt.await, Outcome::Delivered { attempts: 2, .. }));
    }
    handle.go_down();
    let lost: Vec<Receipt> =
        (0..10).map(|_| near.send(&far, options.deadline(2 * SECOND))).collect();
    for receipt in lost {
        let outcome = receipt.await;
        assert!(
            matches!(outcome, Outcome::Unknown { .. } | Outcome::Expired { .. }),
            "{outcome:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn fault_57_a_write_that_never_completes_has_its_own_timer_queue_and_peer() {
    let (near, far, third) = (Party::new(1), Party::new(2), Party::new(3));
    let hung = near.join(&far, TransportType::WiFiDirect).await;
    near.join(&third, TransportType::WiFiDirect).await;
    near.ready(2).await;
    hung.hang();
    let deadline = 5 * SECOND;
    let options = SendOptions::new(TrafficClass::Critical).max_copies(1).deadline(deadline);
    let began = near.now();
    let first = near.send(&far, options);
    let timer = async {
        let outcome = first.await;
        (outcome, near.now().since(began))
    };
    let ([stuck, beside], (outcome, after)) =
        tokio::join!(traffic(&near, [&far, &third], options, 10 * SECOND), timer);
    assert!(matches!(outcome, Outcome::Unknown { .. }), "{outcome:?}");
    assert!((deadline..deadline + 2 * MS).contains(&after), "{after:?}");
    assert!(slowest(&beside) <= CONFIRMED, "{:?}", slowest(&beside));
    let told = |o: &Outcome| matches!(o, Outcome::Unknown { .. } | Outcome::Expired { .. });
    assert!(stuck.iter().all(told));
    assert!(hung.frames_taken() < 1_000, "a driver that writes nothing is not fed for ever");
}

#[tokio::test(start_paused = true)]
async fn fault_43_deregistration_in_mid_send_loses_no_receipt() {
    let (near, far) = (Party::new(1), Party::new(2));
    near.join(&far, TransportType::WiFiDirect).await;
    near.join(&far, TransportType::Bluetooth).await;
    near.ready(2).await;
    let options = SendOptions::new(TrafficClass::Critical).max_copies(1);
    let receipts: Vec<Receipt> = (0..500).map(|_| near.send(&far, options)).collect();
    near.driver.deregister_transport(TransportType::WiFiDirect).await;
    for receipt in receipts {
        assert!(matches!(receipt.await, Outcome::Delivered { .. }));
    }
    assert_eq!(near.driver.get_available_transports(far.id), [TransportType::Bluetooth]);
    near.driver.deregister_transport(TransportType::Bluetooth).await;
    let stranded = near.send(&far, options.deadline(SECOND)).await;
    assert_eq!(stranded, Outcome::Expired { tried: Vec::new() });
}
