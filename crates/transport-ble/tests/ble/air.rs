//! Radios in one process: whoever is open and within reach is seen and can be called.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use bitcraps_session::Identity;
use bitcraps_transport_api::conformance::Recorder;
use bitcraps_transport_api::{Address, ConnectTarget, Transport as _};
use bitcraps_transport_ble::{
    Advertisement, BleConfig, BleTransport, Channel, Device, Place, Radio, RadioError, RadioEvent,
    Tag,
};
use bitcraps_types::{Medium, TransportType};
use tokio::sync::{mpsc, watch};

/// Units on their way in one direction of a channel, as a receive window of credits.
const CREDITS: usize = 8;

struct Open {
    advertisement: Advertisement,
    events: mpsc::Sender<RadioEvent>,
    scans: bool,
}

#[derive(Default)]
struct World {
    open: BTreeMap<Device, Open>,
    unplugged: Vec<Device>,
    cuts: Vec<watch::Sender<bool>>,
    /// Channels opened so far.
    dials: usize,
}

/// The space between the radios.
#[derive(Clone, Default)]
pub(crate) struct Air(Arc<Mutex<World>>);

impl Air {
    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap()
    }

    /// A radio of address `number`.
    pub(crate) fn radio(&self, number: u8) -> Arc<AirRadio> {
        let device = Device { bytes: [number; 6], random: false };
        Arc::new(AirRadio { air: self.clone(), device })
    }

    /// Breaks every channel, as when two devices lose each other; both ends are told.
    pub(crate) fn cut(&self) {
        for cut in self.world().cuts.drain(..) {
            cut.send_replace(true);
        }
    }

    /// Channels opened so far.
    pub(crate) fn dials(&self) -> usize {
        self.world().dials
    }

    /// Whether anybody looks for others.
    pub(crate) fn scanned(&self) -> bool {
        self.world().open.values().any(|open| open.scans)
    }

    /// Whether radio `number` is open.
    pub(crate) fn is_open(&self, number: u8) -> bool {
        self.world().open.keys().any(|device| device.bytes == [number; 6])
    }

    /// Shows an advertisement to all that look.
    pub(crate) async fn show(&self, device: Device, advertisement: Advertisement, rssi: i16) {
        let to: Vec<_> = {
            let world = self.world();
            world.open.values().filter(|open| open.scans).map(|open| open.events.clone()).collect()
        };
        for to in to {
            to.send(RadioEvent::Sighted { device, advertisement, rssi }).await.unwrap();
        }
    }

    /// Takes an adapter out of the machine.
    pub(crate) async fn unplug(&self, number: u8) {
        let device = Device { bytes: [number; 6], random: false };
        let open = {
            let mut world = self.world();
            world.unplugged.push(device);
            world.open.remove(&device)
        };
        self.cut();
        if let Some(open) = open {
            let (what, why) = ("the adapter".to_owned(), "unplugged".to_owned());
            open.events.send(RadioEvent::Lost(RadioError::Gone { what, why })).await.unwrap();
        }
    }

    /// Puts it back.
    pub(crate) fn plug(&self, number: u8) {
        self.world().unplugged.retain(|device| device.bytes != [number; 6]);
    }
}

/// One radio.
pub(crate) struct AirRadio {
    air: Air,
    pub(crate) device: Device,
}

const RSSI: i16 = -60;

#[async_trait]
impl Radio for AirRadio {
    async fn open(&self, tag: Tag, events: mpsc::Sender<RadioEvent>) -> Result<Place, RadioError> {
        let (device, advertisement) = (self.device, Advertisement { psm: 0x80, tag });
        {
            let mut world = self.air.world();
            if world.unplugged.contains(&device) {
                let (adapter, why) = (device.to_string(), "unplugged".to_owned());
                return Err(RadioError::NoAdapter { adapter, why });
            }
            let open = Open { advertisement, events, scans: false };
            assert!(world.open.insert(device, open).is_none(), "opened twice");
        }
        self.air.show(device, advertisement, RSSI).await;
        Ok(Place { device, psm: advertisement.psm })
    }

    fn medium(&self) -> Medium {
        Medium::Emulated
    }

    async fn scan(&self, on: bool) -> Result<(), RadioError> {
        let (seen, events) = {
            let mut world = self.air.world();
            let Some(own) = world.open.get_mut(&self.device) else {
                let (what, why) = ("the adapter".to_owned(), "unplugged".to_owned());
                return Err(RadioError::Gone { what, why });
            };
            own.scans = on;
            let events = own.events.clone();
            let others = world.open.iter().filter(|(device, _)| **device != self.device);
            let seen: Vec<_> = others.map(|(at, open)| (*at, open.advertisement)).collect();
            (seen, events)
        };
        if on {
            for (device, advertisement) in seen {
                let rssi = RSSI;
                // As a driver does, drops what finds no room.
                drop(events.try_send(RadioEvent::Sighted { device, advertisement, rssi }));
            }
        }
        Ok(())
    }

    async fn dial(&self, to: Place) -> Result<Arc<dyn Channel>, RadioError> {
        let failed = |why: &str| RadioError::Failed {
            what: format!("opening a channel to {to}"),
            why: why.to_owned(),
        };
        let (channel, called, events) = {
            let mut world = self.air.world();
            if world.unplugged.contains(&self.device) {
                return Err(failed("this adapter is unplugged"));
            }
            let there = world.open.get(&to.device).ok_or_else(|| failed("nobody is there"))?;
            if there.advertisement.psm != to.psm {
                return Err(failed("no such channel"));
            }
            let events = there.events.clone();
            let [channel, called] = world.channel([self.device, to.device]);
            world.dials += 1;
            (channel, called, events)
        };
        let called = RadioEvent::Called(Arc::new(called));
        events.send(called).await.map_err(|_| failed("it has just gone"))?;
        Ok(Arc::new(channel))
    }

    async fn close(&self) {
        self.air.world().open.remove(&self.device);
    }
}

impl World {
    fn channel(&mut self, [near, far]: [Device; 2]) -> [AirChannel; 2] {
        let ((there, from_near), (back, from_far)) =
            (mpsc::channel(CREDITS), mpsc::channel(CREDITS));
        let (cut, broken) = watch::channel(false);
        self.cuts.push(cut);
        let end = |device, to, from| AirChannel {
            device,
            to,
            from: tokio::sync::Mutex::new(from),
            broken: broken.clone(),
        };
        [end(far, there, from_far), end(near, back, from_near)]
    }
}

/// One end of a channel.
pub(crate) struct AirChannel {
    device: Device,
    to: mpsc::Sender<Vec<u8>>,
    from: tokio::sync::Mutex<mpsc::Receiver<Vec<u8>>>,
    broken: watch::Receiver<bool>,
}

impl AirChannel {
    async fn unless_broken<T>(&self, act: impl Future<Output = io::Result<T>>) -> io::Result<T> {
        let mut broken = self.broken.clone();
        tokio::select! {
            biased;
            Ok(_) = broken.wait_for(|broken| *broken) => {
                Err(io::ErrorKind::ConnectionReset.into())
            }
            done = act => done,
        }
    }
}

#[async_trait]
impl Channel for AirChannel {
    fn device(&self) -> Device {
        self.device
    }

    async fn send(&self, unit: &[u8]) -> io::Result<()> {
        let sent = async {
            self.to.send(unit.to_vec()).await.map_err(|_| io::ErrorKind::BrokenPipe.into())
        };
        self.unless_broken(sent).await
    }

    async fn receive(&self, unit: &mut [u8]) -> io::Result<usize> {
        let received = async {
            let Some(got) = self.from.lock().await.recv().await else { return Ok(0) };
            unit[..got.len()].copy_from_slice(&got);
            Ok(got.len())
        };
        self.unless_broken(received).await
    }
}

/// A node and what it told.
pub(crate) struct Node {
    pub(crate) transport: Arc<BleTransport>,
    pub(crate) told: Arc<Recorder>,
    pub(crate) number: u8,
}

/// The identity of node `number`.
pub(crate) fn identity(number: u8) -> Identity {
    Identity::from_seed(&[number; 32])
}

impl Node {
    /// Node `number` with a radio of the same number, not started.
    pub(crate) fn new(air: &Air, number: u8, change: impl FnOnce(&mut BleConfig)) -> Self {
        let mut config = BleConfig::default();
        change(&mut config);
        let transport = BleTransport::new(config, identity(number), air.radio(number)).unwrap();
        Self { transport: Arc::new(transport), told: Arc::default(), number }
    }

    pub(crate) async fn start(&self) {
        self.transport.start(self.told.clone()).await.unwrap();
    }

    /// A node that looks for others.
    pub(crate) async fn started(air: &Air, number: u8) -> Self {
        let node = Self::new(air, number, |_| {});
        node.start().await;
        node
    }

    pub(crate) fn tag(&self) -> Tag {
        Tag::of(&self.transport.peer())
    }

    /// What dials it.
    pub(crate) fn target(&self) -> ConnectTarget {
        let device = Device { bytes: [self.number; 6], random: false };
        ConnectTarget {
            transport: TransportType::Bluetooth,
            peer: self.transport.peer(),
            address: Address::new(Place { device, psm: 0x80 }.to_string()),
            via: None,
        }
    }
}
