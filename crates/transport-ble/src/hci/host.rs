//! Everything that a radio does while it is open, in one task of one thread.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bt_hci::cmd::controller_baseband::Reset;
use bt_hci::controller::ExternalController;
use bt_hci::param::FilterDuplicates;
use embassy_time::Duration as Span;
use tokio::sync::{mpsc, oneshot, watch};
use trouble_host::advertise::{AdvFilterPolicy, Advertisement as Shown, AdvertisementParameters};
use trouble_host::connection::{ConnectConfig, Connection, RequestedConnParams, ScanConfig};
use trouble_host::prelude::{L2capChannel, LeCreditConnResultCode};
use trouble_host::scan::{ScanSession, Scanner};
use trouble_host::{BleHostError, Error, HostResources};

use super::bearer::{Bearer, Share};
use super::channel::{Driver, HciChannel, ends, terms};
use super::h4::{H4, H4Error};
use super::pool::Pool;
use super::port::Port;
use super::sight::{self, Sights};
use super::tasks::{Task, Tasks};
use crate::advertisement::{Advertisement, Tag};
use crate::place::{Device, Place};
use crate::radio::{RadioError, RadioEvent};

/// The channel number of every node: a controller is driven by one process.
pub(super) const PSM: u16 = 0x80;

/// Connections at once: as many as a node has links, and a few callers that prove themselves.
const CONNECTIONS: usize = 11;
/// Channels at once, of which two nodes that call each other have two for a moment.
pub(super) const CHANNELS: usize = 16;
/// Tasks begun and not yet taken over: those of every connection and channel at once, and orders.
const BEGUN: usize = 2 * CONNECTIONS + CHANNELS;

/// Commands to the controller that wait for their answers at once. Controllers take one or a few.
const SLOTS: usize = 4;

/// Between two attempts at something that the other end, or the controller, was not ready for.
const PAUSE: Duration = Duration::from_millis(100);
/// How often a channel is asked for: the other end listens when its host has noticed the connection.
const ATTEMPTS: usize = 20;
/// How long a controller may take to be reset when the radio is closed.
const LAST_RESET: Duration = Duration::from_secs(1);

/// How often a node advertises, as through BlueZ.
const ADVERTISE: (Span, Span) = (Span::from_millis(100), Span::from_millis(150));
/// Half of the time of a look belongs to it, the rest to links and to being found.
const SCAN: (Span, Span) = (Span::from_millis(60), Span::from_millis(30));

type Controller = ExternalController<H4, SLOTS>;
pub(super) type Stack<'r> = trouble_host::Stack<'r, Controller, Pool>;
type Failure = BleHostError<H4Error>;

/// What a radio is asked to do while it is open.
pub(super) enum Order {
    Scan { on: bool, answer: oneshot::Sender<Result<(), RadioError>> },
    Dial { to: Place, answer: oneshot::Sender<Result<HciChannel, RadioError>> },
}

/// What tasks of a radio share.
pub(super) struct Host<'s, 'r> {
    pub(super) stack: &'s Stack<'r>,
    events: mpsc::Sender<RadioEvent>,
    begin: mpsc::Sender<Task<'s>>,
    /// The connections that stand, by the device at the other end.
    bearers: watch::Sender<()>,
    standing: RefCell<BTreeMap<Device, Rc<Bearer<'s>>>>,
    looking: RefCell<Option<ScanSession<'s, false>>>,
}

/// What a failure means while doing `what`.
fn failed(what: &str, failure: Failure) -> RadioError {
    let (what, why) = match failure {
        BleHostError::Controller(error) => {
            return RadioError::Gone {
                what: "the Bluetooth controller".to_owned(),
                why: error.to_string(),
            };
        }
        BleHostError::BleHost(error) => (what.to_owned(), format!("{error:?}")),
    };
    RadioError::Failed { what, why }
}

/// Drives the controller at `port` as the device `own`, and advertises the node `tag`, until
/// nobody gives `orders` any more. `ready` is told when others can call.
///
/// # Errors
/// What made the radio useless.
pub(super) async fn run(
    port: &Port,
    own: Device,
    tag: Tag,
    events: mpsc::Sender<RadioEvent>,
    mut orders: mpsc::Receiver<Order>,
    ready: oneshot::Sender<()>,
) -> Result<(), RadioError> {
    let (reader, writer) = port.open().await?;
    let (line, writing) = H4::new(reader, writer);
    let mut resources = Box::new(HostResources::<Pool, CONNECTIONS, CHANNELS>::new());
    let stack = trouble_host::new(Controller::new(line), &mut *resources)
        .set_random_address(sight::address(own))
        .register_l2cap_spsm(PSM)
        .build();
    let (begin, begun) = mpsc::channel(BEGUN);
    let sights = Sights { events: events.clone() };
    let host = Rc::new(Host {
        stack: &stack,
        events,
        begin,
        bearers: watch::Sender::new(()),
        standing: RefCell::default(),
        looking: RefCell::default(),
    });
    let mut tasks = Tasks::new(begun);
    host.begin(Rc::clone(&host).advertise(Advertisement { psm: PSM, tag }, ready));
    let mut runner = stack.runner();
    let mut running = pin!(runner.run_with_handler(&sights));
    let mut writing = pin!(writing);
    let done = async {
        while let Some(order) = orders.recv().await {
            match order {
                Order::Scan { on, answer } => host.begin(Rc::clone(&host).look(on, answer)),
                Order::Dial { to, answer } => host.begin(Rc::clone(&host).dialled(to, answer)),
            }
        }
    };
    let gone = |why: String| RadioError::Gone { what: "the Bluetooth controller".to_owned(), why };
    tokio::select! {
        // Tasks first: between two packets of which the line gives one alone, all that one woke goes on.
        biased;
        never = std::future::poll_fn(|context| tasks.poll(context)) => match never {},
        ran = &mut running => {
            let failure = ran.err().unwrap_or(BleHostError::Controller(H4Error::Closed));
            return Err(failed("driving the Bluetooth controller", failure));
        }
        error = &mut writing => return Err(gone(error.to_string())),
        () = done => {}
    }
    // A controller on a serial line would go on advertising, and hold its connections.
    tokio::select! {
        _ = running => {}
        _ = writing => {}
        reset = tokio::time::timeout(LAST_RESET, stack.command(Reset::new())) => {
            tracing::debug!(?reset, "closed");
        }
    }
    Ok(())
}

impl<'s, 'r: 's> Host<'s, 'r> {
    /// Does something beside everything else.
    pub(super) fn begin(&self, task: impl Future<Output = ()> + 's) {
        if self.begin.try_send(Box::pin(task)).is_err() {
            tracing::warn!("more than {BEGUN} connections and channels begin at once");
        }
    }

    /// Is found by others, and takes their connections.
    async fn advertise(self: Rc<Self>, advertisement: Advertisement, ready: oneshot::Sender<()>) {
        let data = sight::written(&advertisement);
        let parameters = AdvertisementParameters {
            interval_min: ADVERTISE.0,
            interval_max: ADVERTISE.1,
            filter_policy: AdvFilterPolicy::default(),
            ..AdvertisementParameters::default()
        };
        let shown = Shown::ConnectableScannableUndirected { adv_data: &data, scan_data: &[] };
        let (mut peripheral, mut ready) = (self.stack.peripheral(), Some(ready));
        loop {
            // A controller stops when somebody connects, and refuses while it has no connection to give.
            match peripheral.advertise(&parameters, shown).await {
                Ok(advertiser) => {
                    if ready.take().is_some_and(|ready| ready.send(()).is_err()) {
                        tracing::debug!("closed while it was opened");
                    }
                    if let Ok(connection) = advertiser.accept().await {
                        self.connected(connection);
                        continue;
                    }
                }
                Err(error) => tracing::debug!(?error, "not advertised"),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Starts or stops looking for others.
    async fn look(self: Rc<Self>, on: bool, answer: oneshot::Sender<Result<(), RadioError>>) {
        let looking = self.looking.take();
        let done = match (on, looking) {
            (true, None) => {
                let config = ScanConfig {
                    active: false,
                    interval: SCAN.0,
                    window: SCAN.1,
                    filter_duplicates: FilterDuplicates::Enabled,
                    ..ScanConfig::default()
                };
                let mut central = self.stack.central();
                let begun = Scanner::new(&mut central).scan(&config).await;
                begun.map(|session| drop(self.looking.replace(Some(session))))
            }
            (false, Some(session)) => {
                session.stop().await;
                Ok(())
            }
            (_, looking) => {
                drop(self.looking.replace(looking));
                Ok(())
            }
        };
        drop(answer.send(done.map_err(|failure| failed("looking for others", failure))));
    }

    /// Takes a connection that was made.
    fn connected(self: &Rc<Self>, connection: Connection<'s, Pool>) -> Rc<Bearer<'s>> {
        let bearer = Rc::new(Bearer::new(connection));
        tracing::debug!(device = %bearer.device(), "connected");
        self.standing.borrow_mut().insert(bearer.device(), Rc::clone(&bearer));
        self.begin(Rc::clone(&bearer).serve(Rc::clone(self)));
        self.bearers.send_replace(());
        bearer
    }

    /// Forgets a connection that is gone; another one to the same device may stand already.
    pub(super) fn gone(&self, bearer: &Rc<Bearer<'s>>) {
        let mut standing = self.standing.borrow_mut();
        if standing.get(&bearer.device()).is_some_and(|stands| Rc::ptr_eq(stands, bearer)) {
            standing.remove(&bearer.device());
        }
        self.bearers.send_replace(());
    }

    /// The connection to `device`, once there is one that either end has made.
    async fn bearer(&self, device: Device) -> Rc<Bearer<'s>> {
        let mut bearers = self.bearers.subscribe();
        loop {
            let stands = self.standing.borrow().get(&device).cloned();
            match stands.filter(|bearer| bearer.is_up()) {
                Some(bearer) => return bearer,
                // It lives as long as this.
                None => drop(bearers.changed().await),
            }
        }
    }

    /// A connection to `device`.
    async fn connect(self: &Rc<Self>, device: Device) -> Result<Rc<Bearer<'s>>, Failure> {
        let stands = self.standing.borrow().get(&device).cloned();
        if let Some(bearer) = stands.filter(|bearer| bearer.is_up()) {
            return Ok(bearer);
        }
        let config = ConnectConfig {
            scan_config: ScanConfig {
                filter_accept_list: &[sight::address(device)],
                interval: SCAN.0,
                window: SCAN.1,
                ..ScanConfig::default()
            },
            connect_params: RequestedConnParams {
                min_connection_interval: Span::from_millis(15),
                max_connection_interval: Span::from_millis(30),
                supervision_timeout: Span::from_secs(4),
                ..RequestedConnParams::default()
            },
        };
        let mut central = self.stack.central();
        tokio::select! {
            connection = central.connect(&config) => Ok(self.connected(connection?)),
            // It has called at the same moment.
            bearer = self.bearer(device) => Ok(bearer),
        }
    }

    /// Opens a channel, for as long as `answer` is waited for; then carries it.
    async fn dialled(
        self: Rc<Self>,
        to: Place,
        mut answer: oneshot::Sender<Result<HciChannel, RadioError>>,
    ) {
        let opened = tokio::select! {
            opened = self.dial(to) => opened,
            () = answer.closed() => return,
        };
        match opened {
            Ok((share, near, driver)) => {
                // Whoever does not want it any more has left it to be closed.
                drop(answer.send(Ok(near)));
                driver.run(self.stack, &share).await;
            }
            Err(error) => drop(answer.send(Err(error))),
        }
    }

    async fn dial(
        self: &Rc<Self>,
        to: Place,
    ) -> Result<(Share<'s>, HciChannel, Driver<'s>), RadioError> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            let connected = self.connect(to.device).await;
            let bearer = connected.map_err(|failure| failed("connecting", failure))?;
            let share = bearer.share();
            match L2capChannel::create(self.stack, &bearer.connection, to.psm, &terms()).await {
                Ok(channel) => {
                    return match ends(channel, to.device) {
                        Some((near, driver)) => Ok((share, near, driver)),
                        None => Err(RadioError::Failed {
                            what: "opening a Bluetooth channel".to_owned(),
                            why: "the other device takes no whole unit".to_owned(),
                        }),
                    };
                }
                Err(BleHostError::BleHost(
                    error @ (Error::Disconnected
                    | Error::NotFound
                    | Error::L2capConnectError(
                        LeCreditConnResultCode::NoResources
                        | LeCreditConnResultCode::ScidAlreadyAllocated,
                    )),
                )) if attempts < ATTEMPTS => {
                    tracing::debug!(%to, ?error, attempts, "no channel yet");
                }
                Err(failure) => return Err(failed("opening a Bluetooth channel", failure)),
            }
            drop(share);
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Tells of a channel that the other end has opened, and carries it.
    pub(super) fn called(
        self: &Rc<Self>,
        share: Share<'s>,
        channel: L2capChannel<'s, Pool>,
    ) -> impl Future<Output = ()> + use<'s, 'r> {
        let host = Rc::clone(self);
        async move {
            let Some((near, driver)) = ends(channel, share.device()) else { return };
            let called = RadioEvent::Called(Arc::new(near));
            if host.events.send(called).await.is_ok() {
                driver.run(host.stack, &share).await;
            }
        }
    }
}
