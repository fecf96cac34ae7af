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
use zbus::zvariant::{OwnedObjectPath, OwnedValue, Value};

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

/// Looks at what was heard, one every 50 ms, before the scan is begun anew.
const LOOKS_OF_ONE_SCAN: usize = 30;

/// How long an answer of bluetoothd is waited for.
const ANSWER: Duration = Duration::from_secs(1);

/// What bluetoothd tells of everything that it knows, by path, interface and property.
type Objects = HashMap<OwnedObjectPath, HashMap<String, HashMap<String, OwnedValue>>>;

/// Advertises `data` on one adapter until the other has heard it.
async fn show([from, to]: [&str; 2], data: Vec<u8>) {
    let bus = zbus::Connection::system().await.unwrap();
    let path = zbus::zvariant::ObjectPath::from_static_str_unchecked("/hostile");
    bus.object_server().at(&path, Shown(data.clone())).await.unwrap();
    let [from, to] = [from, to].map(|adapter| format!("/org/bluez/{adapter}"));
    let body = (&path, HashMap::<&str, Value<'_>>::new());
    let advertising = "org.bluez.LEAdvertisingManager1";
    bus.call_method(
        Some("org.bluez"),
        from.as_str(),
        Some(advertising),
        "RegisterAdvertisement",
        &body,
    )
    .await
    .unwrap();
    let heard = async || {
        let objects = "org.freedesktop.DBus.ObjectManager";
        let told = bus.call_method(Some("org.bluez"), "/", Some(objects), "GetManagedObjects", &());
        let told = told.await.unwrap();
        let known: Objects = told.body().deserialize().unwrap();
        known.into_iter().any(|(path, interfaces)| {
            let device = interfaces.get("org.bluez.Device1");
            let told = device.and_then(|device| device.get("ServiceData")).cloned();
            let told = told.and_then(|told| HashMap::<String, OwnedValue>::try_from(told).ok());
            let service =
                told.and_then(|told| Vec::<u8>::try_from(told.get(SERVICE)?.clone()).ok());
            path.starts_with(&format!("{to}/")) && service.as_ref() == Some(&data)
        })
    };
    // Virtual controllers tell of an advertisement at the beginning of a look at most.
    let begun = Instant::now();
    for look in 0.. {
        if heard().await {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "nobody heard {data:?}");
        if look % LOOKS_OF_ONE_SCAN == 0 {
            for method in ["StopDiscovery", "StartDiscovery"] {
                let interface = Some("org.bluez.Adapter1");
                let asked = bus.call_method(Some("org.bluez"), to.as_str(), interface, method, &());
                // There is none to be stopped at first; and bluetoothd 5.66 never answers who stops its own
                // while it begins or ends another one's.
                drop(tokio::time::timeout(ANSWER, asked).await);
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    bus.close().await.unwrap();
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
    let [far_adapter, near_adapter] = ADAPTERS;
    let (far, near) = (node(0, true), node(1, false));
    let tags = [&near, &far].map(|node| Tag::of(&node.transport.peer()));
    // Virtual controllers have one connection each: the hostile neighbour is on the adapter of a node, and
    // shares its connection. On it that node alone may call. Linux gives an answer to whatever channel has
    // the number of the request, be it one that the other end asked for under that number long ago, and
    // a thousand calls use each number several times.
    assert!(tags[0] > tags[1], "the far end leaves it to the near one to call");
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
    let hostile = Bluez::new(Some(near_adapter.to_owned()));
    let (tell, _events) = mpsc::channel(64);
    // Under the tag of one to whom the far end has a link, and whom it does not call therefore.
    hostile.open(tags[0], tell).await.unwrap();
    let begun = far.transport.refused();
    // At least: a channel may have been asked for twice.
    let refused_reaches = async |count: u64| {
        let waiting = Instant::now();
        while far.transport.refused() < count {
            assert!(waiting.elapsed() < PATIENCE, "{} of {count}", far.transport.refused());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };

    for bad in [vec![1], vec![2; 10], vec![1; 10]] {
        show([near_adapter, far_adapter], bad).await;
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
