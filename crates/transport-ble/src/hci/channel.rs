use std::io;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Mutex, mpsc};
use trouble_host::prelude::{CreditFlowPolicy, L2capChannel, L2capChannelConfig};

use super::bearer::Bearer;
use super::host::Stack;
use super::pool::Pool;
use crate::place::Device;
use crate::radio::{Channel, MAX_SDU};

/// Units that the other end may send before it is told that there is room for more: a unit is one
/// packet, and costs one credit. Sixteen are some connection intervals' worth.
///
/// `trouble_host` gives credits back for what has arrived, when something is received, whether the
/// rest was received or not, and loses what its queue has no room for. It is held to this by being
/// told to give back all credits at once, when none is left ([`terms`]), and by receiving as many
/// units at a stretch as there are credits ([`Driver::run`]): what is left of one stretch is less than
/// that, and less than twice as many ever wait.
const CREDITS: usize = 16;
const _: () = assert!(2 * CREDITS <= trouble_host::config::L2CAP_RX_QUEUE_SIZE);

/// Length of a unit in the first packet of it.
const SDU_LENGTH: usize = 2;

/// The least that a packet may hold, in bytes (Core 5.4, vol. 3, part A, 4.22).
const MIN_MPS: u16 = 23;

/// Units on their way from the transport to its channel: one that is being sent, and the next.
const OUTGOING: usize = 2;
/// Units on their way from a channel to the transport: one stretch, and one that is being received.
const INCOMING: usize = 2 * CREDITS;

/// How long a channel that nobody holds any more may take for what it was given to send.
const LINGER: Duration = Duration::from_secs(1);

/// What is asked of every channel.
pub(super) fn terms() -> L2capChannelConfig {
    L2capChannelConfig {
        mtu: Some(MAX_SDU as u16),
        mps: Some((MAX_SDU + SDU_LENGTH) as u16),
        flow_policy: CreditFlowPolicy::Every(CREDITS as u16),
        initial_credits: Some(CREDITS as u16),
    }
}

/// How a channel ended: closed by the other end, or broken.
type End = Option<io::ErrorKind>;

/// The end of a channel that belongs to the transport.
pub(super) struct HciChannel {
    device: Device,
    outgoing: mpsc::Sender<Vec<u8>>,
    incoming: Mutex<mpsc::Receiver<Vec<u8>>>,
    ended: Arc<OnceLock<End>>,
}

impl HciChannel {
    /// How it ended; one that was given up with its radio has broken.
    fn end(&self) -> End {
        *self.ended.get().unwrap_or(&Some(io::ErrorKind::ConnectionAborted))
    }
}

#[async_trait]
impl Channel for HciChannel {
    fn device(&self) -> Device {
        self.device
    }

    async fn send(&self, unit: &[u8]) -> io::Result<()> {
        if unit.len() > MAX_SDU {
            let why = format!("{} bytes, a channel takes {MAX_SDU}", unit.len());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        match self.outgoing.reserve().await {
            Ok(room) => {
                room.send(unit.to_vec());
                Ok(())
            }
            Err(_) => Err(self.end().unwrap_or(io::ErrorKind::BrokenPipe).into()),
        }
    }

    async fn receive(&self, unit: &mut [u8]) -> io::Result<usize> {
        match self.incoming.lock().await.recv().await {
            Some(got) => {
                unit[..got.len()].copy_from_slice(&got);
                Ok(got.len())
            }
            None => self.end().map_or(Ok(0), |kind| Err(kind.into())),
        }
    }
}

/// The end of a channel that belongs to the radio's thread.
pub(super) struct Driver<'s> {
    channel: L2capChannel<'s, Pool>,
    outgoing: mpsc::Receiver<Vec<u8>>,
    incoming: mpsc::Sender<Vec<u8>>,
    ended: Arc<OnceLock<End>>,
}

/// Both ends of a channel, or nothing when the other device does not take a whole unit: it is no node.
pub(super) fn ends<'s>(
    channel: L2capChannel<'s, Pool>,
    device: Device,
) -> Option<(HciChannel, Driver<'s>)> {
    let (mtu, mps) = (channel.peer_mtu(), channel.peer_mps());
    if usize::from(mtu) < MAX_SDU || mps < MIN_MPS {
        tracing::debug!(%device, mtu, mps, "a channel that takes no whole unit");
        return None;
    }
    let ended = Arc::default();
    let (outgoing, to_send) = mpsc::channel(OUTGOING);
    let (received, incoming) = mpsc::channel(INCOMING);
    let near =
        HciChannel { device, outgoing, incoming: Mutex::new(incoming), ended: Arc::clone(&ended) };
    Some((near, Driver { channel, outgoing: to_send, incoming: received, ended }))
}

impl<'s> Driver<'s> {
    /// Carries units until either end closes the channel, or the connection below it is gone.
    pub(super) async fn run(self, stack: &Stack<'_>, bearer: &Bearer<'s>) {
        let Self { channel, mut outgoing, incoming, ended } = self;
        let (mut writer, mut reader) = channel.split();
        // Neither is dropped in the middle of a unit: what it has done of it would be lost.
        let mut write = pin!(async {
            while let Some(unit) = outgoing.recv().await {
                if let Err(error) = writer.send(stack, &unit).await {
                    return format!("{error:?}");
                }
            }
            "closed here".to_owned()
        });
        let read = async {
            let mut unit = [0; MAX_SDU];
            loop {
                let Ok(stretch) = incoming.reserve_many(CREDITS).await else {
                    return std::future::pending().await;
                };
                for room in stretch {
                    match reader.receive(stack, &mut unit).await {
                        Ok(len) => room.send(unit[..len].to_vec()),
                        Err(error) => return format!("{error:?}"),
                    }
                }
            }
        };
        let abandoned = async {
            incoming.closed().await;
            tokio::time::sleep(LINGER).await;
        };
        let why = tokio::select! {
            why = &mut write => why,
            why = read => why,
            _ = bearer.lost() => "the connection is gone".to_owned(),
            () = abandoned => "closed here, with something unsent".to_owned(),
        };
        tracing::trace!(device = %bearer.device(), why, "channel closed");
        // The channel is told of it before the connection is.
        let end = if bearer.is_up() { None } else { Some(bearer.lost().await) };
        ended.get_or_init(|| end);
        // Before `write` ends: it gives the credits that it has not used back to a channel that stands, whatever
        // the other end has given meanwhile, and their sum is not checked.
        reader.disconnect();
    }
}
