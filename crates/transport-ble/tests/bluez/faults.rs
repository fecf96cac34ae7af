//! What goes wrong with neighbours, their addresses, their links and their reading.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use bitcraps_session::Identity;
use bitcraps_transport_api::conformance::Recorder;
use bitcraps_transport_api::{Address, Link, Sink, Transport as _, TransportEvent, TrySendError};
use bitcraps_transport_ble::{BleConfig, BleTransport, Bluez, Tag};
use bitcraps_types::LinkId;
use bytes::Bytes;
use tokio::process::Command;
use tokio::sync::oneshot;

use crate::{ADAPTERS, Node, PATIENCE, node};

/// How long the lesser tag leaves it to the greater one to call.
const YIELD: Duration = Duration::from_secs(10);
/// Addresses of fault 51.
const ADDRESSES: usize = 28;

/// One frame over a link, and its arrival.
async fn carries(link: &dyn Link, to: &Recorder, there: LinkId) {
    let seen = to.arrived(there);
    link.try_send(Bytes::from_static(b"still here")).unwrap();
    to.arrivals(there, seen + 1).await.unwrap();
}

async fn end(nodes: [Node; 2]) {
    for node in nodes {
        node.transport.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_50_who_is_to_call_and_looks_for_nobody_is_called_after_a_while() {
    let (lesser, greater) = (node(0, true), node(1, false));
    let tags = [&lesser, &greater].map(|node| Tag::of(&node.transport.peer()));
    assert!(tags[0] < tags[1]);
    let begun = Instant::now();
    tokio::join!(lesser.start(), greater.start());
    tokio::join!(lesser.link(), greater.link());
    let took = begun.elapsed();
    println!("RADIO bluetooth.other_end_calls_seconds {:.1}", took.as_secs_f64());
    assert!((YIELD..2 * YIELD).contains(&took), "{took:?}");
    end([lesser, greater]).await;
}

/// bluetoothd's own tool on the first adapter; it gives up when its standard input ends.
async fn btmgmt(words: [&str; 2]) {
    let mut command = Command::new("btmgmt");
    command.args(["--index", "0"]).args(words).stdin(Stdio::piped()).stdout(Stdio::null());
    let mut child = command.kill_on_drop(true).spawn().unwrap();
    let input = child.stdin.take();
    let done = tokio::time::timeout(PATIENCE, child.wait()).await.unwrap().unwrap();
    drop(input);
    assert!(done.success(), "btmgmt {words:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_51_and_52_a_peer_of_ever_new_addresses_is_one_peer() {
    // A controller that was off has a new random address, as one has every quarter of an hour.
    for words in [["power", "off"], ["privacy", "on"], ["power", "on"]] {
        btmgmt(words).await;
    }
    let (moving, near) = (node(0, true), node(1, true));
    tokio::join!(moving.start(), near.start());
    let mut paths = BTreeSet::new();
    let mut back = Vec::new();
    for _ in 0..ADDRESSES {
        let begun = Instant::now();
        let (there, here) = tokio::join!(near.link(), moving.link());
        back.push(begun.elapsed());
        assert_eq!((there.peer(), here.peer()), (moving.transport.peer(), near.transport.peer()));
        carries(&*there, &moving.told, here.id()).await;
        assert!(there.path().remote.ends_with("/random"), "{}", there.path());
        paths.insert(there.path().to_string());
        btmgmt(["power", "off"]).await;
        near.told.standing(0).await.unwrap();
        moving.told.standing(0).await.unwrap();
        btmgmt(["power", "on"]).await;
    }
    assert_eq!(paths.len(), ADDRESSES, "{paths:?}");
    back.sort_unstable();
    println!("RADIO bluetooth.links_back_at_new_addresses {ADDRESSES} {ADDRESSES}");
    println!("RADIO bluetooth.new_address_seconds_p50 {:.1}", back[ADDRESSES / 2].as_secs_f64());
    println!("RADIO bluetooth.new_address_seconds_worst {:.1}", back[ADDRESSES - 1].as_secs_f64());
    end([moving, near]).await;
    for words in [["power", "off"], ["privacy", "off"], ["power", "on"]] {
        btmgmt(words).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_54_the_late_end_of_a_former_link_leaves_the_new_one_alone() {
    let (far, former) = (node(0, false), node(1, false));
    tokio::join!(far.start(), former.start());
    former.transport.connect(far.target()).await.unwrap();
    let (old, _) = tokio::join!(far.link(), former.link());
    // The same peer, begun anew beside what it was.
    let again = node(1, false);
    again.start().await;
    again.transport.connect(far.target()).await.unwrap();
    let (there, here) = (again.link().await, far.told.link(1).await.unwrap());
    assert_ne!(old.id(), here.id());
    carries(&*there, &far.told, here.id()).await;
    far.told.downed(old.id()).await.unwrap();
    carries(&*there, &far.told, here.id()).await;
    carries(&*here, &again.told, there.id()).await;
    former.transport.shutdown().await;
    carries(&*there, &far.told, here.id()).await;
    assert_eq!((far.told.down(here.id()), again.told.down(there.id())), (None, None));
    end([far, again]).await;
}

/// A sink that takes nothing until it is let.
#[derive(Default)]
struct Deaf {
    told: Arc<Recorder>,
    hears: (Mutex<bool>, Condvar),
}

impl Sink for Deaf {
    fn next_link_id(&self) -> LinkId {
        self.told.next_link_id()
    }

    fn event(&self, event: TransportEvent) {
        self.told.event(event);
    }

    fn frames(&self, _: LinkId, frames: &mut Vec<Bytes>) {
        let (hears, changed) = &self.hears;
        drop(changed.wait_while(hears.lock().unwrap(), |hears| !*hears).unwrap());
        frames.clear();
    }

    fn written(&self, link: LinkId, total: u64) {
        self.told.written(link, total);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_57_a_peer_that_takes_nothing_holds_up_itself_alone() {
    const ROUNDS: usize = 100;
    // The deaf one and the other share an adapter, and a connection therefore. It has a thread of
    // its own, which stands still where its sink does, as a process would.
    let (far, near) = (node(0, false), node(1, false));
    tokio::join!(near.start(), far.start());
    let hearing = Arc::new(Deaf::default());
    let (place, placed) = oneshot::channel();
    let (over, ends) = oneshot::channel::<()>();
    let sink = hearing.clone();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let radio = Arc::new(Bluez::new(Some(ADAPTERS[0].to_owned())));
            let config = BleConfig { discover: false, ..BleConfig::default() };
            let deaf = BleTransport::new(config, Identity::from_seed(&[9; 32]), radio).unwrap();
            deaf.start(sink).await.unwrap();
            place.send((deaf.peer(), deaf.place().unwrap().to_string())).unwrap();
            ends.await.unwrap();
            deaf.shutdown().await;
        });
    });
    let (peer, address) = placed.await.unwrap();
    let mut target = far.target();
    near.transport.connect(target.clone()).await.unwrap();
    let (there, here) = tokio::join!(near.link(), far.link());
    target.peer = peer;
    target.address = Address::new(address);
    near.transport.connect(target).await.unwrap();
    let stalled = near.told.link(1).await.unwrap();
    // Until the channel, its credits and the queue are full, and stay so.
    let (mut given, mut full) = (0_usize, 0);
    while full < 100 {
        match stalled.try_send(Bytes::from_static(&[7; 1_000])) {
            Ok(()) => (given, full) = (given + 1, 0),
            Err(TrySendError::Full(_)) => {
                full += 1;
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            Err(error) => panic!("{error:?}"),
        }
    }
    let written = near.told.total_written(stalled.id());
    assert!((written as usize) < given, "{written} of {given}");
    let mut trips = Vec::new();
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        carries(&*there, &far.told, here.id()).await;
        carries(&*here, &near.told, there.id()).await;
        trips.push(begun.elapsed());
    }
    trips.sort_unstable();
    println!(
        "RADIO bluetooth.beside_a_stalled_peer_ms_p50 {:.2}",
        trips[ROUNDS / 2].as_secs_f64() * 1e3
    );
    println!(
        "RADIO bluetooth.beside_a_stalled_peer_ms_worst {:.2}",
        trips[ROUNDS - 1].as_secs_f64() * 1e3
    );
    assert_eq!(near.told.total_written(stalled.id()), written, "it takes nothing");
    assert_eq!((near.told.down(there.id()), near.told.down(stalled.id())), (None, None));
    // Once it hears again, everything passes.
    *hearing.hears.0.lock().unwrap() = true;
    hearing.hears.1.notify_all();
    let begun = Instant::now();
    while near.told.total_written(stalled.id()) < given as u64 {
        assert!(begun.elapsed() < PATIENCE, "{} of {given}", near.told.total_written(stalled.id()));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    over.send(()).unwrap();
    end([near, far]).await;
    thread.join().unwrap();
}
