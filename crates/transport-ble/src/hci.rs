//! A Bluetooth controller that this process drives itself, over HCI: for machines without BlueZ, and
//! for controllers that exist in another process only.
//!
//! The host is `trouble_host`. It belongs to one thread, on which everything between
//! [`Radio::open`] and [`Radio::close`] is one task; what comes from other devices can break that
//! thread at worst, which is told as a lost radio.

mod bearer;
mod channel;
mod guard;
mod h4;
mod host;
mod pool;
mod port;
mod sight;
mod tasks;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use async_trait::async_trait;
use bitcraps_types::Medium;
use tokio::sync::{Mutex, mpsc, oneshot};

use self::host::{Order, PSM};
pub use self::port::{ParsePortError, Port};
use crate::advertisement::Tag;
use crate::place::{Device, Place};
use crate::radio::{Channel, Radio, RadioError, RadioEvent};

/// Orders that the radio's thread has not looked at. The station gives one at a time.
const ORDERS: usize = 4;

/// A Bluetooth controller at a [`Port`].
pub struct Hci {
    port: Port,
    /// As which it is seen; the same for as long as this is.
    own: Device,
    open: Mutex<Option<Open>>,
}

struct Open {
    orders: mpsc::Sender<Order>,
    /// Told when the thread uses the controller no longer.
    ended: oneshot::Receiver<Result<(), RadioError>>,
}

impl Hci {
    /// The controller at `port`, under an address made up for the life of this value.
    ///
    /// # Errors
    /// [`RadioError`] when the operating system gives no randomness.
    pub fn new(port: Port) -> Result<Self, RadioError> {
        let mut bytes = [0; 6];
        getrandom::fill(&mut bytes).map_err(|error| RadioError::Failed {
            what: "making up a Bluetooth address".to_owned(),
            why: error.to_string(),
        })?;
        // A static random address (Core 5.4, vol. 6, part B, 1.3.2.1).
        bytes[0] |= 0xc0;
        Ok(Self { port, own: Device { bytes, random: true }, open: Mutex::new(None) })
    }

    /// What does not work without its thread.
    async fn order<T>(
        &self,
        order: impl FnOnce(oneshot::Sender<Result<T, RadioError>>) -> Order,
    ) -> Result<T, RadioError> {
        let (answer, answered) = oneshot::channel();
        let orders = self.open.lock().await.as_ref().map(|open| open.orders.clone());
        let gone = |why: &str| RadioError::Gone {
            what: "the Bluetooth controller".to_owned(),
            why: why.to_owned(),
        };
        let orders = orders.ok_or_else(|| gone("it is not open"))?;
        orders.send(order(answer)).await.map_err(|_| gone("it is lost"))?;
        drop(orders);
        answered.await.unwrap_or_else(|_| Err(gone("it is lost")))
    }
}

/// What a thread that broke said.
fn broken(panic: &(dyn Any + Send)) -> RadioError {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    RadioError::Failed {
        what: "the host of the Bluetooth controller".to_owned(),
        why: text.unwrap_or("it broke").to_owned(),
    }
}

/// What the thread of an open radio does, from its begin to its end.
fn drive(
    port: &Port,
    own: Device,
    tag: Tag,
    events: mpsc::Sender<RadioEvent>,
    orders: mpsc::Receiver<Order>,
    ready: oneshot::Sender<()>,
) -> Result<(), RadioError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| RadioError::Failed {
        what: "starting the host of the Bluetooth controller".to_owned(),
        why: error.to_string(),
    })?;
    runtime.block_on(host::run(port, own, tag, events, orders, ready))
}

#[async_trait]
impl Radio for Hci {
    async fn open(&self, tag: Tag, events: mpsc::Sender<RadioEvent>) -> Result<Place, RadioError> {
        let (orders, taken) = mpsc::channel(ORDERS);
        let (ready, is_ready) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        let (port, own) = (self.port.clone(), self.own);
        let thread = std::thread::Builder::new().name("bluetooth-hci".to_owned());
        let spawned = thread.spawn(move || {
            let told = events.clone();
            let driven = AssertUnwindSafe(|| drive(&port, own, tag, events, taken, ready));
            let ended = catch_unwind(driven).unwrap_or_else(|panic| Err(broken(&*panic)));
            // First, because whoever waits for it may be the one who would make room for the next.
            drop(end.send(ended.clone()));
            if let Err(error) = ended {
                // Nobody to tell is a station that has closed, or was never open.
                drop(told.blocking_send(RadioEvent::Lost(error)));
            }
        });
        spawned.map_err(|error| RadioError::Failed {
            what: "starting the host of the Bluetooth controller".to_owned(),
            why: error.to_string(),
        })?;
        if is_ready.await.is_err() {
            let ended = ended.await.unwrap_or(Ok(()));
            return Err(ended.err().unwrap_or_else(|| RadioError::Gone {
                what: "the Bluetooth controller".to_owned(),
                why: "it was closed".to_owned(),
            }));
        }
        *self.open.lock().await = Some(Open { orders, ended });
        Ok(Place { device: self.own, psm: PSM })
    }

    fn medium(&self) -> Medium {
        match self.port {
            Port::Serial(_) => Medium::Real,
            Port::Tcp(_) => Medium::Emulated,
        }
    }

    async fn scan(&self, on: bool) -> Result<(), RadioError> {
        self.order(|answer| Order::Scan { on, answer }).await
    }

    async fn dial(&self, to: Place) -> Result<Arc<dyn Channel>, RadioError> {
        let opened = self.order(|answer| Order::Dial { to, answer }).await;
        opened.map(|channel| Arc::new(channel) as Arc<dyn Channel>)
    }

    async fn close(&self) {
        let open = self.open.lock().await.take();
        if let Some(Open { orders, ended }) = open {
            drop(orders);
            // How it ended was told as an event.
            drop(ended.await);
        }
    }
}
