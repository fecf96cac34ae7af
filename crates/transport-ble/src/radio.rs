use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bitcraps_types::Medium;
use tokio::sync::mpsc;

use crate::advertisement::{Advertisement, Tag};
use crate::place::{Device, Place};

/// Largest unit that a channel carries, in bytes, the same at every node. Room for a handshake
/// message and for a frame of 1,024 bytes; more would keep a realtime frame waiting behind it for
/// longer than a connection interval or two.
pub const MAX_SDU: usize = 1_280;

/// Why the radio does not do what it was asked. The texts say what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RadioError {
    /// There is no such adapter.
    #[error("no Bluetooth adapter {adapter}: {why}")]
    NoAdapter {
        /// The name asked for.
        adapter: String,
        /// What is there instead, and what to do.
        why: String,
    },
    /// Bluetooth is switched off, which is left to whoever did so.
    #[error(
        "Bluetooth adapter {adapter} is switched off; `bluetoothctl power on`, and if that fails \
         `rfkill unblock bluetooth`, or its switch"
    )]
    Off {
        /// The adapter.
        adapter: String,
    },
    /// The daemon does not answer.
    #[error("bluetoothd does not answer: {0}; `systemctl start bluetooth`")]
    NoDaemon(String),
    /// The daemon cannot do what is needed.
    #[error("bluetoothd is too old or lacks {what}: {why}; BlueZ 5.50 or newer is needed")]
    TooOld {
        /// What is missing.
        what: String,
        /// What it said.
        why: String,
    },
    /// This user may not.
    #[error("not permitted to {what}: {why}; install packaging/dbus/bitcraps-bluetooth.conf")]
    NotPermitted {
        /// What was tried.
        what: String,
        /// What the system said.
        why: String,
    },
    /// Somebody else uses it.
    #[error("{what} is in use: {why}")]
    InUse {
        /// What is.
        what: String,
        /// What the system said.
        why: String,
    },
    /// It was there and is gone.
    #[error("{what} is gone: {why}")]
    Gone {
        /// What was lost.
        what: String,
        /// What the system said.
        why: String,
    },
    /// Anything else.
    #[error("{what} failed: {why}")]
    Failed {
        /// What was tried.
        what: String,
        /// What the system said.
        why: String,
    },
}

/// What a radio reports while it is open.
pub enum RadioEvent {
    /// A node was seen.
    Sighted {
        /// Where it was seen.
        device: Device,
        /// What it says.
        advertisement: Advertisement,
        /// How strongly it is received, in dBm; about -100 at the edge, and the least there is where that
        /// is not known.
        rssi: i16,
    },
    /// A device opened a channel to this node.
    Called(Arc<dyn Channel>),
    /// The radio is of no use any more: open it again.
    Lost(RadioError),
}

/// Events that wait for the station. More than a radio reports while the station handles one; a
/// sighting that finds no room is dropped and comes again, a call waits.
pub(crate) const EVENT_QUEUE: usize = 64;

/// What drives the hardware.
#[async_trait]
pub trait Radio: Send + Sync + 'static {
    /// Listens for channels and advertises the node `tag`; returns where others can call it.
    /// Reports to `events` until [`Self::close`], [`RadioEvent::Lost`] included. Not called again
    /// before `close`.
    ///
    /// # Errors
    /// [`RadioError`]; nothing is left open.
    async fn open(&self, tag: Tag, events: mpsc::Sender<RadioEvent>) -> Result<Place, RadioError>;

    /// What it really is, once it was opened.
    fn medium(&self) -> Medium;

    /// Starts or stops looking for others.
    ///
    /// # Errors
    /// [`RadioError`]; the radio is as before.
    async fn scan(&self, on: bool) -> Result<(), RadioError>;

    /// Opens a channel. May be dropped at any point, and leaves nothing then.
    ///
    /// # Errors
    /// [`RadioError`]; nothing is left of the attempt.
    async fn dial(&self, to: Place) -> Result<Arc<dyn Channel>, RadioError>;

    /// Ends what [`Self::open`] began: no advertisement, no listening, no scan, no event. Channels
    /// are left as they are, or break where they belong to what is closed. Does nothing when not open.
    async fn close(&self);
}

/// One channel: units up to [`MAX_SDU`] bytes, in order, none lost while it stands. Dropping the
/// last reference closes it.
#[async_trait]
pub trait Channel: Send + Sync + 'static {
    /// The device at the other end.
    fn device(&self) -> Device;

    /// Sends one unit. Dropped before it resolves, nothing was sent.
    ///
    /// # Errors
    /// Whatever ended the channel.
    async fn send(&self, unit: &[u8]) -> io::Result<()>;

    /// The next unit, into a buffer of [`MAX_SDU`] bytes or more; its length, 0 when the other end
    /// closed the channel. Dropped before it resolves, nothing was taken.
    ///
    /// # Errors
    /// Whatever ended the channel.
    async fn receive(&self, unit: &mut [u8]) -> io::Result<usize>;
}

/// How long a driver may take for what it does at once when it is well.
const RADIO_CALL: Duration = Duration::from_secs(10);

/// Opens the radio of a node, and reports what it tells.
pub(crate) async fn open(
    radio: &dyn Radio,
    tag: Tag,
) -> Result<(Place, mpsc::Receiver<RadioEvent>), RadioError> {
    let (tell, events) = mpsc::channel(EVENT_QUEUE);
    Ok((in_time("opening the adapter", radio.open(tag, tell)).await?, events))
}

/// What comes of a call to a driver, or that it did not answer.
pub(crate) async fn in_time<T>(
    what: &str,
    call: impl Future<Output = Result<T, RadioError>>,
) -> Result<T, RadioError> {
    match tokio::time::timeout(RADIO_CALL, call).await {
        Ok(done) => done,
        Err(_) => {
            let why = format!("no answer within {RADIO_CALL:?}");
            Err(RadioError::Failed { what: what.to_owned(), why })
        }
    }
}

/// Ends what [`open`] began.
pub(crate) async fn close(radio: &dyn Radio) {
    if tokio::time::timeout(RADIO_CALL, radio.close()).await.is_err() {
        tracing::warn!("the Bluetooth radio does not close within {RADIO_CALL:?}");
    }
}
