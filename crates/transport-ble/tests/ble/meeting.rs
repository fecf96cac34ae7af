//! How nodes find, keep and find again each other. Time is tokio's, and paused but for one.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bitcraps_session::link::{Answerer, Caller};
use bitcraps_transport_api::conformance::Recorder;
use bitcraps_transport_api::{
    Address, ConnectError, ConnectTarget, DownReason, Sink, Transport as _, TransportEvent,
};
use bitcraps_transport_ble::{Channel, MAX_SDU, Radio as _, RadioError, RadioEvent, Tag};
use bitcraps_types::{LinkId, TransportType};
use bytes::Bytes;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng as _;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::air::{Air, AirRadio, Node, identity};

async fn exchange(one: &Node, two: &Node) {
    let [near] = one.told.standing(1).await.unwrap().try_into().ok().unwrap();
    let [far] = two.told.standing(1).await.unwrap().try_into().ok().unwrap();
    assert_eq!((near.peer(), far.peer()), (two.transport.peer(), one.transport.peer()));
    let (before, back) = (two.told.arrived(far.id()), one.told.arrived(near.id()));
    near.try_send(Bytes::from_static(b"there")).unwrap();
    far.try_send(Bytes::from_static(b"back")).unwrap();
    let there = two.told.arrivals(far.id(), before + 1).await.unwrap();
    assert_eq!(there.last().map(|frame| &frame[..]), Some(&b"there"[..]));
    let back = one.told.arrivals(near.id(), back + 1).await.unwrap();
    assert_eq!(back.last().map(|frame| &frame[..]), Some(&b"back"[..]));
}

#[tokio::test(start_paused = true)]
async fn two_nodes_that_see_each_other_have_one_link_and_one_dial() {
    let air = Air::default();
    let (one, two) = (Node::started(&air, 1).await, Node::started(&air, 2).await);
    exchange(&one, &two).await;
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(air.dials(), 1);
    exchange(&one, &two).await;
    one.transport.shutdown().await;
    let [far] = [two.told.link(0).await.unwrap()];
    assert_eq!(two.told.downed(far.id()).await, Ok(DownReason::ClosedByPeer));
    two.transport.shutdown().await;
    assert!(!air.is_open(1) && !air.is_open(2));
}

#[tokio::test(start_paused = true)]
async fn a_link_that_breaks_comes_back() {
    let air = Air::default();
    let (one, two) = (Node::started(&air, 1).await, Node::started(&air, 2).await);
    exchange(&one, &two).await;
    for round in 0..20 {
        let before = two.told.link(round).await.unwrap();
        // One that breaks sooner counts as refused, and is dialled ever more seldom.
        tokio::time::sleep(Duration::from_secs(10)).await;
        air.cut();
        let reason = two.told.downed(before.id()).await.unwrap();
        // The other end may have dialled again before this one looked.
        assert!(matches!(reason, DownReason::Failed(_) | DownReason::Replaced), "{reason}");
        two.told.link(round + 1).await.unwrap();
        one.told.link(round + 1).await.unwrap();
        exchange(&one, &two).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_adapter_unplugged_and_back_fifty_times_leaves_nothing_behind() {
    let air = Air::default();
    let (one, two) = (Node::started(&air, 1).await, Node::started(&air, 2).await);
    exchange(&one, &two).await;
    for round in 0..50 {
        air.unplug(2).await;
        one.told.standing(0).await.unwrap();
        two.told.standing(0).await.unwrap();
        if round % 2 == 0 {
            // Long enough for several tries to open it.
            tokio::time::sleep(Duration::from_secs(40)).await;
            assert_eq!(two.transport.place(), None, "round {round}");
        }
        air.plug(2);
        exchange(&one, &two).await;
        assert!(two.transport.place().is_some(), "round {round}");
    }
    two.transport.shutdown().await;
    one.transport.shutdown().await;
    assert!(!air.is_open(1) && !air.is_open(2) && !air.scanned());
}

#[tokio::test(start_paused = true)]
async fn dials_that_cross_leave_one_link() {
    for round in 0..20 {
        let air = Air::default();
        let [one, two] = [1, 2].map(|number| Node::new(&air, number, |c| c.discover = false));
        one.start().await;
        two.start().await;
        let (there, back) = (two.target(), one.target());
        let (there, back) = tokio::join!(one.transport.connect(there), two.transport.connect(back));
        assert!(there.is_ok() && back.is_ok(), "round {round}: {there:?} {back:?}");
        // What yields is told within the time that a farewell takes.
        tokio::time::sleep(Duration::from_secs(3)).await;
        exchange(&one, &two).await;
    }
}

#[expect(clippy::disallowed_methods, reason = "a test keeps the time of its runtime")]
fn now() -> Instant {
    Instant::now()
}

/// Radio 9, on which a test answers by hand as peer 9, and what calls it.
async fn by_hand(air: &Air) -> (Arc<AirRadio>, ConnectTarget, mpsc::Receiver<Arc<dyn Channel>>) {
    let radio = air.radio(9);
    let (events, mut told) = mpsc::channel(64);
    let place = radio.open(Tag::of(&identity(9).peer()), events).await.unwrap();
    let (tell, calls) = mpsc::channel(8);
    tokio::spawn(async move {
        while let Some(event) = told.recv().await {
            if let RadioEvent::Called(channel) = event {
                drop(tell.send(channel).await);
            }
        }
    });
    let target = ConnectTarget {
        transport: TransportType::Bluetooth,
        peer: identity(9).peer(),
        address: Address::new(place.to_string()),
        via: None,
    };
    (radio, target, calls)
}

#[tokio::test(start_paused = true)]
async fn who_is_called_and_says_nothing_is_called_again_while_there_is_time() {
    let air = Air::default();
    let node = Node::new(&air, 1, |c| c.discover = false);
    node.start().await;
    let (_radio, target, mut calls) = by_hand(&air).await;
    let begun = now();
    let dialling = node.transport.connect(target.clone());
    let answering = async {
        let silent = calls.recv().await.unwrap();
        let answered = calls.recv().await.unwrap();
        assert_eq!(begun.elapsed().as_secs(), 4);
        let mut unit = [0; MAX_SDU];
        let len = answered.receive(&mut unit).await.unwrap();
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let (_, reply) = Answerer::answer(&identity(9), &unit[..len], &mut rng).unwrap();
        answered.send(&reply).await.unwrap();
        (silent, answered)
    };
    let (linked, _channels) = tokio::join!(dialling, answering);
    linked.unwrap();
    let [link] = node.told.standing(1).await.unwrap().try_into().ok().unwrap();
    assert_eq!(link.peer(), identity(9).peer());

    // One that never says anything: called three times, 4 + 4 + 2 s.
    let node = Node::new(&air, 2, |c| c.discover = false);
    node.start().await;
    let begun = now();
    let counting = async {
        let mut silent = Vec::new();
        for _ in 0..3 {
            silent.push(calls.recv().await.unwrap());
        }
        silent
    };
    let (dialled, _channels) = tokio::join!(node.transport.connect(target), counting);
    let error = dialled.unwrap_err();
    assert!(matches!(error, ConnectError::TimedOut { millis: 10_000, .. }), "{error}");
    assert_eq!(begun.elapsed().as_secs(), 10);
    assert!(calls.try_recv().is_err(), "called a fourth time");
}

#[tokio::test(start_paused = true)]
async fn a_dial_is_answered_with_the_link_that_the_other_end_made_meanwhile() {
    let air = Air::default();
    let node = Node::new(&air, 1, |c| c.discover = false);
    node.start().await;
    let (radio, target, mut calls) = by_hand(&air).await;
    let calling = async {
        let silent = calls.recv().await.unwrap();
        let place = node.transport.place().unwrap();
        let channel = radio.dial(place).await.unwrap();
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let (caller, hello) = Caller::new(&identity(9), &mut rng).unwrap();
        channel.send(&hello).await.unwrap();
        let mut unit = [0; MAX_SDU];
        let len = channel.receive(&mut unit).await.unwrap();
        let (_, proof) = caller.finish(&unit[..len]).unwrap();
        channel.send(&proof).await.unwrap();
        (silent, channel)
    };
    let (linked, _channels) = tokio::join!(node.transport.connect(target), calling);
    let [link] = node.told.standing(1).await.unwrap().try_into().ok().unwrap();
    assert_eq!(linked.unwrap(), link.id());
    assert_eq!(air.dials(), 2, "one from each end");
}

#[tokio::test(start_paused = true)]
async fn a_full_radio_refuses_who_comes_next_and_takes_it_when_there_is_room() {
    let air = Air::default();
    let [hub, first, second] = [1, 2, 3].map(|number| {
        Node::new(&air, number, |config| {
            config.discover = false;
            config.max_links = if number == 1 { 1 } else { 7 };
        })
    });
    for node in [&hub, &first, &second] {
        node.start().await;
    }
    first.transport.connect(hub.target()).await.unwrap();
    hub.told.standing(1).await.unwrap();
    // The refusal comes after the handshake: the link is up at the caller for a moment.
    let refused = second.transport.connect(hub.target()).await.unwrap();
    assert_eq!(second.told.downed(refused).await, Ok(DownReason::ClosedByPeer));
    exchange(&hub, &first).await;
    first.transport.shutdown().await;
    hub.told.standing(0).await.unwrap();
    second.transport.connect(hub.target()).await.unwrap();
    exchange(&hub, &second).await;
}

#[tokio::test(start_paused = true)]
async fn a_link_in_use_is_not_disturbed_by_who_comes_and_goes() {
    let air = Air::default();
    let (one, two) = (Node::started(&air, 1).await, Node::started(&air, 2).await);
    exchange(&one, &two).await;
    let link = one.told.link(0).await.unwrap();
    for number in 3..8 {
        let other = Node::started(&air, number).await;
        one.told.standing(2).await.unwrap();
        other.transport.shutdown().await;
        one.told.standing(1).await.unwrap();
    }
    assert_eq!(one.told.down(link.id()), None);
    exchange(&one, &two).await;
}

#[tokio::test(start_paused = true)]
async fn a_radio_that_is_missing_at_the_start_is_told_and_used_when_it_is_there() {
    let air = Air::default();
    let (one, two) = (Node::started(&air, 1).await, Node::new(&air, 2, |_| {}));
    air.unplug(2).await;
    assert_eq!(two.transport.radio(), None);
    two.start().await;
    let (adapter, why) = ("02:02:02:02:02:02/public".to_owned(), "unplugged".to_owned());
    let missing = RadioError::NoAdapter { adapter, why };
    assert_eq!(two.transport.radio(), Some(Err(missing.clone())));
    let refused = two.transport.connect(one.target()).await;
    let address = one.target().address.as_str().to_owned();
    assert_eq!(refused, Err(ConnectError::Unreachable { address, why: missing.to_string() }));
    tokio::time::sleep(Duration::from_secs(90)).await;
    assert_eq!(two.transport.radio(), Some(Err(missing)));
    air.plug(2);
    exchange(&one, &two).await;
    assert!(matches!(two.transport.radio(), Some(Ok(_))));
    two.transport.shutdown().await;
    assert_eq!(two.transport.radio(), None);
}

/// A recorder that keeps whoever tells it of a link as down until the other end of `go` is dropped.
struct Slow {
    told: Arc<Recorder>,
    go: Mutex<std::sync::mpsc::Receiver<()>>,
}

impl Sink for Slow {
    fn next_link_id(&self) -> LinkId {
        self.told.next_link_id()
    }

    fn event(&self, event: TransportEvent) {
        let down = matches!(event, TransportEvent::LinkDown { .. });
        self.told.event(event);
        if down {
            self.go.lock().unwrap().recv().unwrap_err();
        }
    }

    fn frames(&self, link: LinkId, frames: &mut Vec<Bytes>) {
        self.told.frames(link, frames);
    }

    fn written(&self, link: LinkId, total: u64) {
        self.told.written(link, total);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_link_told_as_down_is_no_answer_to_a_dial() {
    let air = Air::default();
    let [one, two] = [1, 2].map(|number| Node::new(&air, number, |c| c.discover = false));
    let (done, go) = std::sync::mpsc::channel();
    let slow = Slow { told: one.told.clone(), go: Mutex::new(go) };
    one.transport.start(Arc::new(slow)).await.unwrap();
    two.start().await;
    let first = one.transport.connect(two.target()).await.unwrap();
    one.told.link(0).await.unwrap().close();
    one.told.downed(first).await.unwrap();
    let second = one.transport.connect(two.target()).await.unwrap();
    drop(done);
    assert_ne!(first, second);
    exchange(&one, &two).await;
    one.transport.shutdown().await;
    two.transport.shutdown().await;
}
