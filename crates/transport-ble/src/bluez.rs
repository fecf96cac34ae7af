//! A Linux machine's radio: bluetoothd over D-Bus for adapters, advertisements and discovery, the
//! kernel's L2CAP sockets for channels.
//!
//! What is registered with bluetoothd belongs to the D-Bus connection, and channels to their
//! sockets: a process that ends, however it ends, leaves nothing behind.

mod bus;
mod channel;
mod looks;
mod sight;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bitcraps_types::Medium;
use bluer::l2cap::{Security, SecurityLevel, SeqPacket, SeqPacketListener, Socket, SocketAddr};
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;

use self::bus::{Adapter, Bus};
use self::channel::L2cap;
use self::looks::Looks;
use crate::advertisement::{Advertisement, Tag};
use crate::place::{Device, Place};
use crate::radio::{Channel, MAX_SDU, Radio, RadioError, RadioEvent};

/// Channel numbers tried, from 0x80: as many nodes can share an adapter.
const PSMS: std::ops::RangeInclusive<u16> = 0x80..=0x8f;

/// Callers that the kernel keeps until they are accepted.
const BACKLOG: u32 = 4;

/// A connection that fails to be established is ordinary on LE (status 0x3e, and others while the
/// last connection to the same device is being taken down); it is tried as often as fits into most
/// connection timeouts.
const ATTEMPTS: usize = 8;
/// Between two looks whether a connection is there: less than the shortest connection interval, 7.5 ms.
const LOOK: Duration = Duration::from_millis(5);
/// Between an attempt that failed and the next.
const PAUSE: Duration = Duration::from_millis(500);
/// How long an attempt stands alone before another one is made beside it, by whether this end's address is
/// the lesser.
///
/// Linux finds the channel that an answer is for by the number of the request alone, and takes the youngest
/// that has it: its own, or one that the other end asked for under the same number (`l2cap_core.c`,
/// `__l2cap_get_chan_by_ident`; seen with 6.12 at both ends). Two requests that cross, as those of both ends
/// for EATT or the first of a connection, are mistaken so: the older hears nothing, the younger speaks where
/// nobody listens, and their channels stay taken at one end. One that is asked for beside it has another
/// number, and comes through. Both ends that ask at once are likely to fare the same, which is why the two wait
/// for different times.
const ALONE: [Duration; 2] = [Duration::from_millis(2_500), Duration::from_millis(1_500)];
/// Attempts that stand at once. Each may cost the other end one of its places for callers.
const MAX_STANDING: usize = 3;
/// How long a connection that nobody waits for any more is seen through: many times what the other
/// end takes to answer.
const LINGER: Duration = Duration::from_secs(2);

/// A Bluetooth adapter of this machine.
pub struct Bluez {
    /// As bluetoothd calls it, `hci0`; the first one when absent.
    adapter: Option<String>,
    open: Mutex<Option<Open>>,
    /// Whether the adapter opened last is one that a program makes up.
    made_up: AtomicBool,
}

struct Open {
    bus: Bus,
    adapter: Adapter,
    looks: Looks,
    /// Accepts callers and listens to bluetoothd.
    tasks: JoinSet<()>,
}

impl Bluez {
    /// The adapter of this name (`hci0`), or the first one.
    pub fn new(adapter: Option<String>) -> Self {
        Self { adapter, open: Mutex::new(None), made_up: AtomicBool::new(false) }
    }

    /// Looks whether the adapter could be opened, and changes nothing; its name and its address.
    ///
    /// # Errors
    /// What [`Radio::open`] would fail with, as far as nothing but looking tells.
    pub async fn examine(&self) -> Result<(String, Device), RadioError> {
        let bus = Bus::connect().await?;
        let Adapter { name, device, .. } = bus.adapter(self.adapter.as_deref()).await?;
        socket(device, 0).map_err(|error| of_socket("make a Bluetooth channel", &error))?;
        Ok((name, device))
    }
}

fn address(device: Device, psm: u16) -> SocketAddr {
    let kind = match device.random {
        true => bluer::AddressType::LeRandom,
        false => bluer::AddressType::LePublic,
    };
    SocketAddr::new(bluer::Address(device.bytes), kind, psm)
}

/// A socket on the adapter `own`, with the properties that every channel has.
fn socket(own: Device, psm: u16) -> std::io::Result<Socket<SeqPacket>> {
    let socket = Socket::new_seq_packet()?;
    socket.bind(address(own, psm))?;
    // Noise encrypts and authenticates; Bluetooth's pairing would ask a person.
    socket.set_security(Security { level: SecurityLevel::Low, key_size: 0 })?;
    socket.set_recv_mtu(MAX_SDU as u16)?;
    Ok(socket)
}

/// Listens on the first channel number that is free.
fn listen(own: Device) -> Result<(SeqPacketListener, u16), RadioError> {
    for psm in PSMS {
        let listened = socket(own, psm).and_then(|socket| socket.listen(BACKLOG));
        match listened {
            Ok(listener) => return Ok((listener, psm)),
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {}
            Err(error) => return Err(of_socket("listen for Bluetooth channels", &error)),
        }
    }
    let why = format!("{PSMS:x?} are all taken by other programs");
    Err(RadioError::InUse { what: "every channel number".to_owned(), why })
}

/// Waits until the kernel has connected `socket`. `connect` may return before: readiness from before
/// its call passes for the end of it. Given up then, the socket would leave a channel half open at the
/// other end, and that refuses every further one for as long as it waits.
async fn established(socket: &SeqPacket) -> std::io::Result<()> {
    let mut byte = [0];
    loop {
        match socket.as_ref().send_mtu() {
            Err(error) if error.kind() == std::io::ErrorKind::NotConnected => {}
            connected => return connected.map(drop),
        }
        tokio::select! {
            // Nobody speaks before the caller has; this is how a failure is told.
            read = socket.recv(&mut byte) => {
                return Err(read.err().unwrap_or_else(|| std::io::ErrorKind::ConnectionRefused.into()));
            }
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

/// Connects a socket. Given up by the caller, it is seen through for [`LINGER`] before it is closed: the
/// kernel forgets a channel that it closes before the other end has answered, the other end does not,
/// and refuses every channel of the same number on this connection for as long as it waits.
async fn connect(own: Device, to: Place) -> std::io::Result<L2cap> {
    let (mut told, outcome) = oneshot::channel();
    tokio::spawn(async move {
        let connecting = async {
            let socket = socket(own, 0)?.connect(address(to.device, to.psm)).await?;
            established(&socket).await?;
            L2cap::new(socket, to.device)
        };
        tokio::pin!(connecting);
        let connected = tokio::select! {
            connected = &mut connecting => connected,
            () = told.closed() => {
                // Nobody asks how it ended.
                drop(tokio::time::timeout(LINGER, connecting).await);
                return;
            }
        };
        // Whoever does not want it any more has left it to be closed.
        drop(told.send(connected));
    });
    outcome.await.unwrap_or_else(|_| Err(std::io::ErrorKind::Interrupted.into()))
}

/// Connects, at most [`ATTEMPTS`] times: again after [`PAUSE`] when an attempt has failed, one more at once
/// when it was refused, and beside an attempt of which nothing is heard for [`ALONE`].
#[expect(clippy::disallowed_methods, reason = "a radio keeps the time of its runtime")]
async fn attempts(own: Device, to: Place) -> std::io::Result<L2cap> {
    let alone = ALONE[usize::from(own.bytes < to.device.bytes)];
    let mut standing = JoinSet::new();
    let (mut begun, mut abreast, mut next_at) = (0, 1, Instant::now());
    loop {
        let room = begun < ATTEMPTS && standing.len() < MAX_STANDING;
        tokio::select! {
            Some(ended) = standing.join_next() => {
                let error: std::io::Error = match ended {
                    Ok(Ok(channel)) => return Ok(channel),
                    Ok(Err(error)) => error,
                    Err(_) => std::io::ErrorKind::Interrupted.into(),
                };
                tracing::debug!(%to, %error, begun, "no connection");
                match error.kind() {
                    std::io::ErrorKind::Unsupported | std::io::ErrorKind::PermissionDenied => {
                        return Err(error);
                    }
                    std::io::ErrorKind::ConnectionRefused => {
                        abreast = (abreast + 1).min(MAX_STANDING);
                    }
                    _ => {}
                }
                if begun >= ATTEMPTS && standing.is_empty() {
                    return Err(error);
                }
                next_at = next_at.min(Instant::now() + PAUSE);
            }
            () = tokio::time::sleep_until(next_at), if room => {
                let most = MAX_STANDING.min(standing.len() + 1).max(abreast);
                while begun < ATTEMPTS && standing.len() < most {
                    standing.spawn(connect(own, to));
                    begun += 1;
                }
                next_at = Instant::now() + alone;
            }
        }
    }
}

fn of_socket(what: &str, error: &std::io::Error) -> RadioError {
    let (what, why) = (what.to_owned(), error.to_string());
    let absent = Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error());
    match error.kind() {
        std::io::ErrorKind::PermissionDenied => RadioError::NotPermitted { what, why },
        _ if error.raw_os_error() == absent => RadioError::Failed {
            what,
            why: "the kernel has no Bluetooth; `modprobe bluetooth`".to_owned(),
        },
        _ => RadioError::Failed { what, why },
    }
}

async fn accept(listener: SeqPacketListener, events: mpsc::Sender<RadioEvent>) {
    loop {
        match listener.accept().await {
            Ok((socket, from)) => {
                let random = from.addr_type == bluer::AddressType::LeRandom;
                let device = Device { bytes: from.addr.0, random };
                let called = match L2cap::new(socket, device) {
                    Ok(channel) => RadioEvent::Called(Arc::new(channel)),
                    Err(error) => {
                        tracing::debug!(%device, %error, "caller refused");
                        continue;
                    }
                };
                if events.send(called).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                let (what, why) = ("the Bluetooth listener".to_owned(), error.to_string());
                // Nobody to tell is a station that has closed.
                drop(events.send(RadioEvent::Lost(RadioError::Gone { what, why })).await);
                return;
            }
        }
    }
}

#[async_trait]
impl Radio for Bluez {
    async fn open(&self, tag: Tag, events: mpsc::Sender<RadioEvent>) -> Result<Place, RadioError> {
        let bus = Bus::connect().await?;
        let adapter = bus.adapter(self.adapter.as_deref()).await?;
        // Before anything can happen that it would miss.
        let watch = bus.watch(&adapter, events.clone()).await?;
        let (listener, psm) = listen(adapter.device)?;
        bus.advertise(&adapter, &Advertisement { psm, tag }).await?;
        let mut tasks = JoinSet::new();
        tasks.spawn(watch);
        tasks.spawn(accept(listener, events));
        self.made_up.store(adapter.is_made_up(), Ordering::Relaxed);
        let device = adapter.device;
        *self.open.lock().await = Some(Open { bus, adapter, looks: Looks::default(), tasks });
        Ok(Place { device, psm })
    }

    fn medium(&self) -> Medium {
        match self.made_up.load(Ordering::Relaxed) {
            true => Medium::Emulated,
            false => Medium::Real,
        }
    }

    async fn scan(&self, on: bool) -> Result<(), RadioError> {
        match &mut *self.open.lock().await {
            Some(Open { looks, adapter, .. }) => looks.set(adapter, on).await,
            None => Ok(()),
        }
    }

    async fn dial(&self, to: Place) -> Result<Arc<dyn Channel>, RadioError> {
        let own = match &*self.open.lock().await {
            Some(open) => open.adapter.device,
            None => {
                let (what, why) = ("the adapter".to_owned(), "it is not open".to_owned());
                return Err(RadioError::Gone { what, why });
            }
        };
        let channel = attempts(own, to).await;
        channel
            .map(|channel| Arc::new(channel) as Arc<dyn Channel>)
            .map_err(|error| of_socket("opening a Bluetooth channel", &error))
    }

    async fn close(&self) {
        let open = self.open.lock().await.take();
        if let Some(Open { bus, adapter, looks, mut tasks }) = open {
            // The listener is closed when its task has ended.
            tasks.shutdown().await;
            looks.end(&adapter).await;
            bus.close(&adapter).await;
        }
    }
}
