//! What a handle does to a pair of mocks.

use std::sync::Arc;
use std::time::Duration;

use bitcraps_transport_api::conformance::Recorder;
use bitcraps_transport_api::mock::{MockHandle, MockNetwork, MockTransport, expect};
use bitcraps_transport_api::{
    ConnectError, DownReason, Link, QueueState, Sink, Transport, TransportEvent, TrySendError,
};
use bitcraps_types::{EnergyProfile, Kbps, LinkCapabilities, LinkId, Medium, Ratio, TransportType};
use bytes::Bytes;

use crate::{FAR, NEAR};

struct Pair {
    near: MockTransport,
    far: MockTransport,
    handle: MockHandle,
    near_told: Arc<Recorder>,
    far_told: Arc<Recorder>,
}

fn network() -> MockNetwork {
    MockNetwork::new(TransportType::Bluetooth, NEAR, FAR)
}

async fn started(network: MockNetwork) -> Pair {
    let (near, far, handle) = network.pair();
    let (near_told, far_told) = (Arc::<Recorder>::default(), Arc::<Recorder>::default());
    near.start(near_told.clone()).await.unwrap();
    far.start(far_told.clone()).await.unwrap();
    Pair { near, far, handle, near_told, far_told }
}

impl Pair {
    async fn links(&self, nth: usize) -> [Arc<dyn Link>; 2] {
        let near = self.near_told.link(nth).await.unwrap();
        let far = self.far_told.link(nth).await.unwrap();
        [near, far]
    }
}

fn frame(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

#[tokio::test(start_paused = true)]
async fn links_tell_what_the_network_was_made_with() {
    let energy = EnergyProfile::BLUETOOTH_LE;
    let rate = Kbps::at_least_one(300);
    let made = network()
        .with_reliability(0.9)
        .with_rate(rate)
        .with_energy(energy)
        .with_metered(true)
        .with_max_frame(LinkCapabilities::MIN_FRAME - 1);
    let pair = started(made).await;
    for link in pair.links(0).await {
        let told = LinkCapabilities {
            max_frame: LinkCapabilities::MIN_FRAME,
            nominal_rate: rate,
            energy,
            metered: true,
            prior_reliability: Ratio::new(0.9).unwrap(),
            medium: Medium::Emulated,
        };
        assert_eq!(link.capabilities(), told);
    }
    assert_eq!((pair.near.peer(), pair.far.peer()), (NEAR, FAR));
    assert_eq!(pair.handle.near_target(), pair.near.target());
    assert_eq!(pair.handle.far_target(), pair.far.target());
}

#[tokio::test(start_paused = true)]
async fn a_failing_mock_gives_every_frame_back_and_stays_up() {
    let pair = started(network()).await;
    let [near, far] = pair.links(0).await;
    pair.handle.set_failing(true);
    assert_eq!(near.try_send(frame("no")), Err(TrySendError::Closed(frame("no"))));
    assert_eq!(far.try_send(frame("no")), Err(TrySendError::Closed(frame("no"))));
    pair.handle.outbound().set_failing(false);
    assert_eq!(near.try_send(frame("yes")), Ok(()));
    assert_eq!(far.try_send(frame("no")), Err(TrySendError::Closed(frame("no"))));
    assert_eq!(pair.far_told.arrivals(far.id(), 1).await.unwrap(), [frame("yes")]);
    assert_eq!(pair.near_told.down(near.id()), None);
    assert_eq!((pair.handle.frames_taken(), pair.handle.bytes_taken()), (1, 3));
    assert_eq!(pair.handle.inbound().frames_taken(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_hanging_mock_fills_to_its_bound_and_writes_nothing() {
    let pair = started(network().with_queue_frames(3)).await;
    let [near, far] = pair.links(0).await;
    pair.handle.hang();
    for _ in 0..3 {
        assert_eq!(near.try_send(frame("wait")), Ok(()));
    }
    assert_eq!(near.try_send(frame("full")), Err(TrySendError::Full(frame("full"))));
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    assert_eq!(near.queue(), QueueState { frames: 3, bytes: 12 });
    assert_eq!(pair.near_told.total_written(near.id()), 0);
    pair.handle.resume();
    assert_eq!(pair.far_told.arrivals(far.id(), 3).await.unwrap().len(), 3);
    assert_eq!(pair.near_told.total_written(near.id()), 3);
    assert_eq!(near.queue(), QueueState::default());
}

#[tokio::test(start_paused = true)]
async fn a_black_hole_writes_and_delivers_nothing() {
    let pair = started(network()).await;
    let [near, far] = pair.links(0).await;
    pair.handle.set_one_way(true);
    assert_eq!(far.try_send(frame("lost")), Ok(()));
    assert_eq!(near.try_send(frame("there")), Ok(()));
    assert_eq!(pair.far_told.arrivals(far.id(), 1).await.unwrap(), [frame("there")]);
    pair.handle.set_black_hole(true);
    assert_eq!(near.try_send(frame("lost")), Ok(()));
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    assert_eq!(pair.near_told.total_written(near.id()), 2);
    assert_eq!(pair.far_told.total_written(far.id()), 1);
    pair.handle.set_black_hole(false);
    assert_eq!(far.try_send(frame("back")), Ok(()));
    assert_eq!(pair.near_told.arrivals(near.id(), 1).await.unwrap(), [frame("back")]);
    assert_eq!(near.try_send(frame("again")), Ok(()));
    let arrived = pair.far_told.arrivals(far.id(), 2).await.unwrap();
    assert_eq!(arrived, [frame("there"), frame("again")]);
}

#[tokio::test(start_paused = true)]
async fn exactly_the_next_frames_are_dropped() {
    let pair = started(network()).await;
    let [near, far] = pair.links(0).await;
    pair.handle.drop_next(1);
    pair.handle.drop_next(1);
    for text in ["a", "b", "c", "d"] {
        assert_eq!(near.try_send(frame(text)), Ok(()));
    }
    let arrived = pair.far_told.arrivals(far.id(), 2).await.unwrap();
    assert_eq!(arrived, [frame("c"), frame("d")]);
    assert_eq!(pair.near_told.total_written(near.id()), 4);
}

#[tokio::test(start_paused = true)]
async fn a_network_that_went_down_comes_up_with_a_fresh_link() {
    let pair = started(network()).await;
    let [near, far] = pair.links(0).await;
    pair.handle.go_down();
    let refused = pair.near.connect(pair.handle.far_target()).await;
    assert!(matches!(refused, Err(ConnectError::Unreachable { .. })), "{refused:?}");
    for (told, link) in [(&pair.near_told, &near), (&pair.far_told, &far)] {
        let reason = told.downed(link.id()).await.unwrap();
        assert_eq!(reason, DownReason::Failed("the mock went down".to_owned()));
        assert_eq!(link.try_send(frame("x")), Err(TrySendError::Closed(frame("x"))));
    }
    pair.handle.come_up();
    let [near_again, far_again] = pair.links(1).await;
    assert_ne!(near_again.id(), near.id());
    assert_eq!(near_again.try_send(frame("again")), Ok(()));
    assert_eq!(pair.far_told.arrivals(far_again.id(), 1).await.unwrap(), [frame("again")]);
}

#[tokio::test(start_paused = true)]
async fn latency_is_the_time_between_the_ends() {
    let latency = Duration::from_millis(40);
    let pair = started(network().with_latency(latency).link_on_start(false)).await;
    let clock = Elapsed::start();
    pair.near.connect(pair.handle.far_target()).await.unwrap();
    assert_eq!(clock.elapsed(), latency * 2);
    let [near, far] = pair.links(0).await;
    let clock = Elapsed::start();
    assert_eq!(near.try_send(frame("far away")), Ok(()));
    pair.far_told.arrivals(far.id(), 1).await.unwrap();
    assert_eq!(clock.elapsed(), latency);
    assert_eq!(near.try_send(frame("on its way")), Ok(()));
    tokio::time::sleep(latency / 2).await;
    near.close();
    assert_eq!(pair.near_told.downed(near.id()).await.unwrap(), DownReason::ClosedHere);
    assert_eq!(far.try_send(frame("not known yet")), Ok(()));
    assert_eq!(pair.far_told.downed(far.id()).await.unwrap(), DownReason::ClosedByPeer);
    assert_eq!(clock.elapsed(), latency * 5 / 2);
    assert_eq!(pair.far_told.arrivals(far.id(), 2).await.unwrap().len(), 2);
}

struct Elapsed(tokio::time::Instant);

impl Elapsed {
    #[expect(clippy::disallowed_methods, reason = "the paused clock is what the test is about")]
    fn start() -> Self {
        Self(tokio::time::Instant::now())
    }

    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// A sink whose owner sends under the lock that the sink takes, as a coordinator does.
struct Reentrant {
    owner: std::sync::Mutex<Option<Arc<dyn Link>>>,
    ids: std::sync::atomic::AtomicU64,
}

impl Sink for Reentrant {
    fn next_link_id(&self) -> LinkId {
        let _owner = self.owner.lock().unwrap();
        LinkId(self.ids.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
    }

    fn event(&self, event: TransportEvent) {
        let mut owner = self.owner.lock().unwrap();
        if let TransportEvent::LinkUp(link) = event {
            link.try_send(frame("hello")).unwrap();
            *owner = Some(link);
        }
    }

    fn frames(&self, _: LinkId, frames: &mut Vec<Bytes>) {
        let owner = self.owner.lock().unwrap();
        for frame in frames.drain(..) {
            if frame.len() < 64 {
                let longer = [frame.as_ref(), b"!"].concat();
                owner.iter().for_each(|link| link.try_send(longer.clone().into()).unwrap());
            }
        }
    }

    fn written(&self, _: LinkId, _: u64) {
        drop(self.owner.lock().unwrap());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sending_under_the_sinks_own_lock_does_not_deadlock() {
    let (near, far, handle) = MockTransport::pair(TransportType::Internet, NEAR, FAR);
    let told = Arc::<Recorder>::default();
    let ids = 1_000.into();
    near.start(Arc::new(Reentrant { owner: std::sync::Mutex::default(), ids })).await.unwrap();
    far.start(told.clone()).await.unwrap();
    let far_link = told.link(0).await.unwrap();
    for turn in 1..=59 {
        let arrived = told.arrivals(far_link.id(), turn).await.unwrap();
        far_link.try_send(arrived[turn - 1].clone()).unwrap();
    }
    let last = told.arrivals(far_link.id(), 60).await.unwrap();
    assert_eq!(last[59].len(), "hello".len() + 59);
    assert_eq!(handle.frames_taken(), 60);
    near.shutdown().await;
    assert_eq!(told.downed(far_link.id()).await.unwrap(), DownReason::ClosedByPeer);
}

#[test]
fn mocks_with_expectations_are_transports_too() {
    let mut link = expect::MockLink::new();
    link.expect_id().once().return_const(LinkId(7));
    let link: Arc<dyn Link> = Arc::new(link);
    assert_eq!(link.id(), LinkId(7));
    let mut transport = expect::MockTransport::new();
    transport.expect_transport_type().once().return_const(TransportType::Internet);
    let transport: Arc<dyn Transport> = Arc::new(transport);
    assert_eq!(transport.transport_type(), TransportType::Internet);
}
