use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use bitcraps_session::Identity;
use bitcraps_transport_api::{Address, ConnectError, ConnectTarget, Sink, StartError, Transport};
use bitcraps_types::{LinkId, PeerId, TransportType};
use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::advertisement::Tag;
use crate::config::{BleConfig, ConfigError};
use crate::place::{ParsePlaceError, Place};
use crate::radio::{self, Radio, RadioError};
use crate::station::{Parts, REQUEST_QUEUE, Request, Station};

/// Bluetooth LE as a [`Transport`]: one link for each peer in reach.
///
/// A radio that is not there when it starts is no error: like one that is lost later it is opened
/// again, after 1 s at first and every 8 s in the end, and [`Self::radio`] says what is the matter.
///
/// Dropping it without [`Transport::shutdown`] stops every task, but tells no link as down.
pub struct BleTransport {
    config: BleConfig,
    identity: Arc<Identity>,
    radio: Arc<dyn Radio>,
    /// Held over the whole of a start or shutdown, so that they do not overlap.
    run: Mutex<Option<Run>>,
    /// What a dial needs; absent when not started. Locked for a clone only.
    calls: RwLock<Option<Calls>>,
    refused: Arc<AtomicU64>,
}

/// One start to its shutdown.
struct Run {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Drop for Run {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Clone)]
struct Calls {
    requests: mpsc::Sender<Request>,
    place: watch::Receiver<Result<Place, RadioError>>,
}

impl BleTransport {
    /// A transport of the node `identity` over `radio`, not started.
    ///
    /// # Errors
    /// [`ConfigError`] when a relation stated at [`BleConfig`] does not hold.
    pub fn new(
        config: BleConfig,
        identity: Identity,
        radio: Arc<dyn Radio>,
    ) -> Result<Self, ConfigError> {
        config.check()?;
        let (identity, refused) = (Arc::new(identity), Arc::default());
        let (run, calls) = (Mutex::new(None), RwLock::new(None));
        Ok(Self { config, identity, radio, run, calls, refused })
    }

    /// The key it proves.
    pub fn peer(&self) -> PeerId {
        self.identity.peer()
    }

    /// Where others can call it now; `None` when it is not started or its radio is lost.
    pub fn place(&self) -> Option<Place> {
        self.radio()?.ok()
    }

    /// Where others can call it now, or why its radio does not work; `None` when it is not started.
    pub fn radio(&self) -> Option<Result<Place, RadioError>> {
        self.calls().map(|calls| calls.place.borrow().clone())
    }

    /// Callers turned away since it was made: those that proved no key or said nothing in time, who found
    /// no place, or for whom there was no room.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    fn calls(&self) -> Option<Calls> {
        self.calls.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_calls(&self, calls: Option<Calls>) {
        *self.calls.write().unwrap_or_else(PoisonError::into_inner) = calls;
    }
}

#[async_trait]
impl Transport for BleTransport {
    fn transport_type(&self) -> TransportType {
        TransportType::Bluetooth
    }

    fn listening(&self) -> Vec<Address> {
        self.place().map(|place| Address::new(place.to_string())).into_iter().collect()
    }

    async fn start(&self, sink: Arc<dyn Sink>) -> Result<(), StartError> {
        let mut run = self.run.lock().await;
        if run.is_some() {
            return Err(StartError::AlreadyStarted);
        }
        let (place, events) = match radio::open(&*self.radio, Tag::of(&self.peer())).await {
            Ok((place, events)) => (Ok(place), Some(events)),
            Err(error) => {
                tracing::warn!(%error, "no Bluetooth links yet; the radio is opened when it is there");
                self.radio.close().await;
                (Err(error), None)
            }
        };
        let (requests, taken) = mpsc::channel(REQUEST_QUEUE);
        let (place, told) = watch::channel(place);
        let (stop, stopping) = watch::channel(false);
        let parts = Parts {
            config: self.config.clone(),
            identity: self.identity.clone(),
            radio: self.radio.clone(),
            sink,
            place,
            refused: self.refused.clone(),
            requests: taken,
            stop: stopping,
        };
        let task = tokio::spawn(Station::new(parts, events).run());
        self.set_calls(Some(Calls { requests, place: told }));
        *run = Some(Run { stop, task });
        Ok(())
    }

    async fn connect(&self, target: ConnectTarget) -> Result<LinkId, ConnectError> {
        let calls = self.calls().ok_or(ConnectError::NotStarted)?;
        let address = target.address.as_str().to_owned();
        if target.transport != TransportType::Bluetooth {
            let why = format!("it belongs to {}", target.transport);
            return Err(ConnectError::BadAddress { address, why });
        }
        let place = address.parse().map_err(|error: ParsePlaceError| ConnectError::BadAddress {
            address,
            why: error.to_string(),
        })?;
        let (answer, answered) = oneshot::channel();
        let request = Request { peer: target.peer, place, answer };
        let sent = calls.requests.send(request).await;
        drop(calls);
        sent.map_err(|_| ConnectError::NotStarted)?;
        answered.await.unwrap_or(Err(ConnectError::NotStarted))
    }

    async fn shutdown(&self) {
        let mut run = self.run.lock().await;
        let Some(mut run) = run.take() else { return };
        self.set_calls(None);
        run.stop.send_replace(true);
        if let Err(error) = (&mut run.task).await {
            tracing::error!(%error, "the Bluetooth transport's task broke");
        }
    }
}
