use std::io::ErrorKind;
use std::ops::Deref;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use bt_hci::param::Status;
use tokio::sync::watch;
use trouble_host::connection::{Connection, ConnectionEvent};
use trouble_host::prelude::L2capChannel;

use super::channel::terms;
use super::host::Host;
use super::pool::Pool;
use super::sight;
use crate::place::Device;

/// How long a connection without a channel is kept: whoever connected asks for one within a few
/// connection intervals, and a controller has few connections to give.
const IDLE: Duration = Duration::from_secs(2);

/// How long the end of a connection that stands no longer may take to be told: the controllers say it to each
/// other first.
const END: Duration = Duration::from_secs(5);

/// A connection to a device, on which either end may open channels.
pub(super) struct Bearer<'s> {
    pub(super) connection: Connection<'s, Pool>,
    device: Device,
    /// How many channels stand or are being opened.
    channels: watch::Sender<usize>,
    /// Why it is gone, once it is.
    lost: watch::Sender<Option<ErrorKind>>,
}

/// A channel of a bearer, or an attempt at one.
pub(super) struct Share<'s>(Rc<Bearer<'s>>);

impl<'s> Deref for Share<'s> {
    type Target = Bearer<'s>;

    fn deref(&self) -> &Bearer<'s> {
        &self.0
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        self.0.channels.send_modify(|channels| *channels -= 1);
    }
}

impl<'s> Bearer<'s> {
    pub(super) fn new(connection: Connection<'s, Pool>) -> Self {
        let device = sight::device(connection.peer_address());
        let (channels, lost) = (watch::Sender::new(0), watch::Sender::new(None));
        Self { connection, device, channels, lost }
    }

    pub(super) fn device(&self) -> Device {
        self.device
    }

    /// Whether it stands.
    pub(super) fn is_up(&self) -> bool {
        self.connection.is_connected() && self.lost.borrow().is_none()
    }

    /// Why it is gone, once it is.
    pub(super) async fn lost(&self) -> ErrorKind {
        let mut lost = self.lost.subscribe();
        let why = lost.wait_for(Option::is_some).await;
        why.ok().and_then(|why| *why).unwrap_or(ErrorKind::ConnectionAborted)
    }

    /// Keeps the bearer for a channel, until what is returned is dropped.
    pub(super) fn share(self: &Rc<Self>) -> Share<'s> {
        self.channels.send_modify(|channels| *channels += 1);
        Share(Rc::clone(self))
    }

    /// Has been without a channel for [`IDLE`].
    async fn idle(&self) {
        let mut channels = self.channels.subscribe();
        loop {
            let none = channels.wait_for(|channels| *channels == 0).await.is_ok();
            tokio::select! {
                () = tokio::time::sleep(IDLE), if none => return,
                _ = channels.changed() => {}
            }
        }
    }

    /// What happened to the connection next. Its end finds no room in the host's queue when the other end makes
    /// much happen at once: all that is in the queue comes first.
    async fn event(&self) -> ConnectionEvent {
        tokio::select! {
            biased;
            event = self.connection.next() => event,
            () = tokio::time::sleep(END), if !self.connection.is_connected() => {
                ConnectionEvent::Disconnected { reason: Status::UNSPECIFIED }
            }
        }
    }

    /// Takes channels that the other end opens, until the connection is gone.
    pub(super) async fn serve(self: Rc<Self>, host: Rc<Host<'s, '_>>) {
        let listener = L2capChannel::listen(host.stack, &self.connection);
        let mut idle = pin!(self.idle());
        let (mut listening, mut wanted) = (true, true);
        let why = loop {
            tokio::select! {
                event = self.event() => match event {
                    ConnectionEvent::Disconnected { reason } => break reason,
                    ConnectionEvent::RequestConnectionParams(request) => {
                        let answered = request.accept(None, host.stack).await;
                        tracing::debug!(device = %self.device, ?answered, "other intervals");
                    }
                    _ => {}
                },
                pending = listener.next(), if listening => match pending {
                    // Here, because until it is answered the same one would come again.
                    Ok(pending) => match pending.accept(host.stack, &terms()).await {
                        Ok(channel) => host.begin(host.called(self.share(), channel)),
                        Err(error) => {
                            tracing::debug!(device = %self.device, ?error, "caller refused");
                        }
                    },
                    // How it ended comes as an event.
                    Err(_) => listening = false,
                },
                () = &mut idle, if wanted => {
                    wanted = false;
                    self.connection.disconnect();
                }
            }
        };
        tracing::debug!(device = %self.device, ?why, "disconnected");
        self.lost.send_replace(Some(match why {
            Status::CONN_TIMEOUT => ErrorKind::TimedOut,
            _ => ErrorKind::ConnectionReset,
        }));
        host.gone(&self);
    }
}
