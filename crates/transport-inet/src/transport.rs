use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use bitcraps_quic_link::{Exchange, Incarnation, Tasks, crypto_provider};
use bitcraps_transport_api::{
    Address, ConnectError, ConnectTarget, Hint, HintSource, Sink, StartError, Transport,
    TransportEvent,
};
use bitcraps_types::{LinkId, PeerId, TransportType};
use tokio::sync::{Mutex, oneshot, watch};

use crate::accept::accept;
use crate::address::{MAX_DIRECT, MAX_PEER_RELAYS, PeerAddress, Relay};
use crate::config::{ConfigError, InetConfig};
use crate::dial::dial;
use crate::endpoint;
use crate::identity::Identity;
use crate::internet::Internet;

/// The internet as a [`Transport`]: one iroh endpoint on every address configured, direct paths and
/// relays, one link for each peer.
///
/// Dropping it without [`Transport::shutdown`] stops every task, but tells no link as down.
pub struct InetTransport {
    identity: Identity,
    config: InetConfig,
    /// Held over the whole of a start or shutdown, so that they do not overlap.
    run: Mutex<Option<Run>>,
    /// What a dial needs; absent when not started. Locked for a clone only.
    internet: RwLock<Option<Arc<Internet>>>,
}

/// One start to its shutdown.
struct Run {
    tasks: Arc<Tasks>,
    stop: watch::Sender<bool>,
}

impl InetTransport {
    /// A transport of the node `identity`, not started.
    ///
    /// # Errors
    /// [`ConfigError`] when a relation stated at [`InetConfig`] does not hold.
    pub fn new(config: InetConfig, identity: Identity) -> Result<Self, ConfigError> {
        config.check()?;
        Ok(Self { identity, config, run: Mutex::new(None), internet: RwLock::new(None) })
    }

    /// The key it proves.
    pub fn peer(&self) -> PeerId {
        self.identity.peer()
    }

    /// The addresses its sockets are bound to, with the ports that the system chose; empty when not
    /// started.
    pub fn local_addresses(&self) -> Vec<SocketAddr> {
        self.internet().map(|internet| internet.endpoint.bound_sockets()).unwrap_or_default()
    }

    /// What others may dial to reach this node, as far as is known now: its public addresses of the
    /// config, those seen from here and by relays, and the relay that it is connected to, or until then the first of the
    /// config. `None` when not started, or when nothing is known yet.
    pub fn address(&self) -> Option<PeerAddress> {
        let known = self.internet()?.endpoint.addr();
        // Those of the config first, so that many interfaces do not crowd them out.
        let seen = known.ip_addrs().copied().filter(|at| !self.config.public.contains(at));
        let direct = self.config.public.iter().copied().chain(seen).take(MAX_DIRECT);
        let relays = known.relay_urls().filter_map(|url| url.as_str().parse().ok());
        let mut relays: Vec<Relay> = relays.take(MAX_PEER_RELAYS).collect();
        if relays.is_empty() {
            relays.extend(self.config.relays.first().cloned());
        }
        PeerAddress::new(direct, relays).ok()
    }

    /// Waits until this node is connected to a relay, and tells which; `None` when it is shut down
    /// first or not started. Never resolves without a relay in the config.
    pub async fn relay_connected(&self) -> Option<Relay> {
        let internet = self.internet()?;
        tokio::select! {
            () = internet.endpoint.online() => {
                let known = internet.endpoint.addr();
                known.relay_urls().find_map(|url| url.as_str().parse().ok())
            }
            () = internet.stopped() => None,
        }
    }

    fn internet(&self) -> Option<Arc<Internet>> {
        let internet = self.internet.read().unwrap_or_else(PoisonError::into_inner);
        internet.clone()
    }

    fn set_internet(&self, internet: Option<Arc<Internet>>) {
        *self.internet.write().unwrap_or_else(PoisonError::into_inner) = internet;
    }

    async fn begin(&self, sink: Arc<dyn Sink>) -> Result<(Run, Arc<Internet>), StartError> {
        let mut incarnation = Incarnation::default();
        crypto_provider().secure_random.fill(&mut incarnation).map_err(|_| {
            let (what, why) = ("random numbers".to_owned(), "the system gives none".to_owned());
            StartError::Unavailable { what, why }
        })?;
        let endpoint = endpoint::open(&self.identity, &self.config).await?;
        let tasks = Arc::new(Tasks::default());
        let (stop, stopping) = watch::channel(false);
        let kind = TransportType::Internet;
        let exchange = Exchange::new(kind, self.peer(), incarnation, sink.clone(), &tasks);
        let internet = Arc::new(Internet {
            endpoint,
            config: self.config.clone(),
            exchange: Arc::new(exchange),
            tasks: Arc::downgrade(&tasks),
            stop: stopping,
        });
        tasks.spawn(accept(internet.clone()));
        for known in &self.config.statics {
            let target = ConnectTarget {
                transport: kind,
                peer: known.peer,
                address: Address::new(known.address.to_string()),
                via: None,
            };
            sink.event(TransportEvent::Discovered(Hint { target, source: HintSource::Static }));
        }
        Ok((Run { tasks, stop }, internet))
    }
}

#[async_trait]
impl Transport for InetTransport {
    fn transport_type(&self) -> TransportType {
        TransportType::Internet
    }

    fn listening(&self) -> Vec<Address> {
        self.address().map(|address| Address::new(address.to_string())).into_iter().collect()
    }

    async fn start(&self, sink: Arc<dyn Sink>) -> Result<(), StartError> {
        let mut run = self.run.lock().await;
        if run.is_some() {
            return Err(StartError::AlreadyStarted);
        }
        let (begun, internet) = self.begin(sink).await?;
        self.set_internet(Some(internet));
        *run = Some(begun);
        Ok(())
    }

    async fn connect(&self, target: ConnectTarget) -> Result<LinkId, ConnectError> {
        let (answer, dialled) = oneshot::channel();
        {
            let internet = self.internet().ok_or(ConnectError::NotStarted)?;
            let tasks = internet.tasks.upgrade().ok_or(ConnectError::NotStarted)?;
            // A task of the transport: it ends with it, also when the caller has gone.
            tasks.spawn(async move {
                let dialled = dial(internet, target).await;
                if answer.send(dialled).is_err() {
                    tracing::debug!("a dial was answered after its caller had gone");
                }
            });
        }
        dialled.await.unwrap_or(Err(ConnectError::NotStarted))
    }

    async fn shutdown(&self) {
        let mut run = self.run.lock().await;
        let Some(run) = run.take() else { return };
        let Some(internet) = self.internet() else { return };
        self.set_internet(None);
        internet.exchange.shut();
        run.stop.send_replace(true);
        // Ends every connection and waits, as long as QUIC deems it useful, until the peers know.
        tokio::join!(internet.endpoint.close(), run.tasks.join());
    }
}
