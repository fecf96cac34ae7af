//! A neighbour that means harm, beside a link that stands.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use bitcraps_session::Identity;
use bitcraps_session::link::Caller;
use bitcraps_transport_api::{ConnectError, ConnectTarget, Transport as _};
use bitcraps_transport_ble::{Bluez, Channel, MAX_SDU, Radio as _, Tag};
use bitcraps_types::PeerId;
use bytes::Bytes;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng as _;
use tokio::sync::mpsc;
use zbus::zvariant::Value;

use crate::{ADAPTERS, PATIENCE, node};

/// The service of an advertisement as bluetoothd writes it.
const SERVICE: &str = "d1ce0001-6c62-4372-a150-73b1c7a95e5c";

/// An advertisement as bluetoothd asks for it, of whatever bytes.
struct Shown(Vec<u8>);

#[zbus::interface(name = "org.bluez.LEAdvertisement1")]
impl Shown {
    #[zbus(property, name = "Type")]
    fn kind(&self) -> &str {
        "peripheral"
    }

    #[zbus(property)]
    fn service_data(&self) -> HashMap<String, Value<'static>> {
        HashMap::from([(SERVICE.to_owned(), Value::from(self.0.clone()))])
    }
}

/// Advertises `data` on `adapter` for a moment; whether bluetoothd does so.
async fn show(adapter: &str, data: Vec<u8>) -> bool {
    let bus = zbus::Connection::system().await.unwrap();
    let path = zbus::zvariant::ObjectPath::from_static_str_unchecked("/hostile");
    bus.object_server().at(&path, Shown(data)).await.unwrap();
    let to = format!("/org/bluez/{adapter}");
    let interface = Some("org.bluez.LEAdvertisingManager1");
    let body = (&path, HashMap::<&str, Value<'_>>::new());
    let shown =
        bus.call_method(Some("org.bluez"), to.as_str(), interface, "RegisterAdvertisement", &body);
    let shown = shown.await.is_ok();
    tokio::time::sleep(Duration::from_millis(300)).await;
    bus.close().await.unwrap();
    shown
}

/// A caller that takes what comes until the channel is closed.
async fn ended(channel: &dyn Channel) {
    let mut unit = [0; MAX_SDU];
    let closed = async { while channel.receive(&mut unit).await.unwrap_or(0) > 0 {} };
    tokio::time::timeout(PATIENCE, closed).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e_hostile_neighbours_are_refused_and_what_stands_is_not_disturbed() {
    const CALLS: usize = 1_000;
    let (near, far) = (node(0, false), node(1, true));
    tokio::join!(near.start(), far.start());
    let place = far.transport.place().unwrap();
    let id = near.transport.connect(far.target()).await.unwrap();
    let (there, here) = (near.link().await, far.link().await);
    assert_eq!(there.id(), id);
    let unharmed = async || {
        let seen = far.told.arrived(here.id());
        there.try_send(Bytes::from_static(b"still here")).unwrap();
        far.told.arrivals(here.id(), seen + 1).await.unwrap();
        assert_eq!((near.told.down(there.id()), far.told.down(here.id())), (None, None));
    };
    let hostile = Bluez::new(Some(ADAPTERS[0].to_owned()));
    let (tell, _events) = mpsc::channel(64);
    hostile.open(Tag([0xff; 8]), tell).await.unwrap();
    let begun = far.transport.refused();
    // At least: a channel may have been asked for twice.
    let refused_reaches = async |count: u64| {
        let waiting = Instant::now();
        while far.transport.refused() < count {
            assert!(waiting.elapsed() < PATIENCE, "{} of {count}", far.transport.refused());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };

    for bad in [vec![1], vec![2; 10], vec![1; 9], vec![1; 10], vec![0xff; 8]] {
        assert!(show(ADAPTERS[0], bad.clone()).await, "bluetoothd does not advertise {bad:?}");
    }
    unharmed().await;
    assert_eq!(far.transport.refused(), begun, "nobody called");

    // Garbage for a hello, of the right length too.
    let lens = [1, 96, 1_231, 1_232, MAX_SDU];
    for len in lens {
        let channel = hostile.dial(place).await.unwrap();
        channel.send(&vec![0xff; len]).await.unwrap();
        ended(&*channel).await;
    }
    let mut refused = begun + lens.len() as u64;
    refused_reaches(refused).await;

    // Another key than the one that was asked for.
    let stranger = ConnectTarget { peer: PeerId::from_bytes([3; 32]), ..far.target() };
    let wrong = near.transport.connect(stranger).await;
    assert!(matches!(wrong, Err(ConnectError::WrongPeer { .. })), "{wrong:?}");

    // A handshake, played again.
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let mut unit = [0; MAX_SDU];
    let channel = hostile.dial(place).await.unwrap();
    let (caller, hello) = Caller::new(&Identity::from_seed(&[9; 32]), &mut rng).unwrap();
    channel.send(&hello).await.unwrap();
    let len = channel.receive(&mut unit).await.unwrap();
    let (_, proof) = caller.finish(&unit[..len]).unwrap();
    channel.send(&proof).await.unwrap();
    far.told.standing(2).await.unwrap();
    drop(channel);
    far.told.standing(1).await.unwrap();
    let channel = hostile.dial(place).await.unwrap();
    channel.send(&hello).await.unwrap();
    assert!(channel.receive(&mut unit).await.unwrap() > 0);
    channel.send(&proof).await.unwrap();
    ended(&*channel).await;
    drop(channel);
    unharmed().await;
    // The one that hung up on the stranger, and the replay.
    refused += 2;
    refused_reaches(refused).await;

    // Calls that say nothing; what finds all places for callers taken is closed at once.
    let calls = Instant::now();
    let mut connected = 0;
    for call in 0..CALLS {
        connected += usize::from(hostile.dial(place).await.is_ok());
        if call % 100 == 0 {
            unharmed().await;
        }
    }
    let seconds = calls.elapsed().as_secs_f64();
    unharmed().await;
    println!("RADIO bluetooth.hostile_calls {connected} {CALLS}");
    println!("RADIO bluetooth.hostile_calls_seconds {seconds:.1}");
    // Who has hung up before being accepted has not been seen at all.
    refused_reaches(refused + connected as u64 * 8 / 10).await;
    println!("RADIO bluetooth.hostile_calls_refused {}", far.transport.refused() - refused);
    assert!(connected >= CALLS / 2, "{connected} calls came through");
    hostile.close().await;
    unharmed().await;
    near.transport.shutdown().await;
    far.transport.shutdown().await;
}
