use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use bitcraps_quic_link::{CloseCode, Exchange, Incarnation, Tasks, crypto_provider};
use bitcraps_transport_api::{
    ConnectError, ConnectTarget, HintSource, Sink, StartError, Transport,
};
use bitcraps_types::{Address, LinkId, PeerId, TransportType};
use tokio::sync::{Mutex, oneshot, watch};

use crate::accept::accept;
use crate::config::{ConfigError, WifiConfig};
use crate::dial::dial;
use crate::discovery::{beacon, browse, open_ethers};
use crate::endpoint::EndpointFactory;
use crate::identity::Identity;
use crate::lan::Lan;
use crate::mdns::Mdns;
use crate::tls::Tls;

/// How long shutdown waits for QUIC to have told every peer.
const CLOSE_GRACE: Duration = Duration::from_millis(500);

/// The LAN as a [`Transport`]: one QUIC endpoint on each address configured, and on those of the Wi-Fi
/// Direct group that it is in.
///
/// Dropping it without [`Transport::shutdown`] stops every task, but tells no link as down.
pub struct WifiTransport {
    identity: Identity,
    config: WifiConfig,
    /// Held over the whole of a start or shutdown, so that they do not overlap.
    run: Mutex<Option<Run>>,
    /// What a dial needs; absent when not started. Locked for a clone only.
    lan: RwLock<Option<Arc<Lan>>>,
}

/// One start to its shutdown.
struct Run {
    tasks: Arc<Tasks>,
    /// Those of QUIC, which end when its endpoints are dropped.
    quic_tasks: Arc<Tasks>,
    stop: watch::Sender<bool>,
    mdns: Option<Mdns>,
}

impl WifiTransport {
    /// A transport of the node `identity`, not started.
    ///
    /// # Errors
    /// [`ConfigError`] when a relation stated at [`WifiConfig`] does not hold.
    pub fn new(config: WifiConfig, identity: Identity) -> Result<Self, ConfigError> {
        config.check()?;
        Ok(Self { identity, config, run: Mutex::new(None), lan: RwLock::new(None) })
    }

    /// The key it proves.
    pub fn peer(&self) -> PeerId {
        self.identity.peer()
    }

    /// The addresses its endpoints are bound to, in the order of the config, with the ports that
    /// the system chose; empty when not started.
    pub fn local_addresses(&self) -> Vec<SocketAddr> {
        match self.lan() {
            Some(lan) => lan.endpoints().iter().map(|e| e.address).collect(),
            None => Vec::new(),
        }
    }

    fn lan(&self) -> Option<Arc<Lan>> {
        let lan = self.lan.read().unwrap_or_else(PoisonError::into_inner);
        lan.clone()
    }

    fn set_lan(&self, lan: Option<Arc<Lan>>) {
        *self.lan.write().unwrap_or_else(PoisonError::into_inner) = lan;
    }

    fn begin(&self, sink: Arc<dyn Sink>) -> Result<(Run, Arc<Lan>), StartError> {
        let tasks = Arc::new(Tasks::default());
        let quic_tasks = Arc::new(Tasks::default());
        let broken =
            |what: &str, why: String| StartError::Unavailable { what: what.to_owned(), why };
        let tls = Tls::new(&self.identity, crypto_provider())
            .map_err(|error| broken("TLS", error.to_string()))?;
        let factory = EndpointFactory { identity: &self.identity, tls: &tls, tasks: &quic_tasks };
        let listen = self.config.listen.iter();
        let endpoints = listen.map(|&address| factory.bind(address));
        let endpoints = endpoints.collect::<Result<Vec<_>, _>>()?;
        let listening: Vec<_> = endpoints.iter().map(|e| e.address).collect();
        let ethers = match &self.config.beacon {
            Some(config) => open_ethers(&listening, config)?,
            None => Vec::new(),
        };
        let mdns = match self.config.mdns {
            Some(config) => Some(Mdns::start(self.identity.peer(), &listening, config)?),
            None => None,
        };
        let mut incarnation = Incarnation::default();
        aws_lc_rs::rand::fill(&mut incarnation)
            .map_err(|_| broken("random numbers", "the system gives none".to_owned()))?;
        let (stop, stopping) = watch::channel(false);
        let wifi = TransportType::WiFiDirect;
        let exchange = Exchange::new(wifi, self.peer(), incarnation, sink.clone(), &tasks);
        let lan = Arc::new(Lan {
            identity: self.identity.clone(),
            config: self.config.clone(),
            tls,
            endpoints: RwLock::new(endpoints),
            exchange: Arc::new(exchange),
            sink,
            tasks: Arc::downgrade(&tasks),
            quic_tasks: Arc::downgrade(&quic_tasks),
            stop: stopping,
        });
        for endpoint in lan.endpoints() {
            tasks.spawn(accept(lan.clone(), endpoint));
        }
        #[cfg(target_os = "linux")]
        if let Some(config) = &self.config.direct {
            tasks.spawn(crate::direct::station(lan.clone(), config.clone()));
        }
        if let Some(config) = &self.config.beacon {
            for ether in ethers {
                tasks.spawn(beacon(lan.clone(), config.clone(), ether));
            }
        }
        if let Some(mdns) = &mdns {
            tasks.spawn(browse(lan.clone(), mdns.events.clone()));
        }
        for known in &self.config.statics {
            lan.hint(known.peer, known.address, known.via, HintSource::Static);
        }
        let run = Run { tasks, quic_tasks, stop, mdns };
        Ok((run, lan))
    }
}

#[async_trait]
impl Transport for WifiTransport {
    fn transport_type(&self) -> TransportType {
        TransportType::WiFiDirect
    }

    fn listening(&self) -> Vec<Address> {
        let addresses = self.local_addresses();
        addresses.iter().map(|address| Address::new(address.to_string())).collect()
    }

    async fn start(&self, sink: Arc<dyn Sink>) -> Result<(), StartError> {
        let mut run = self.run.lock().await;
        if run.is_some() {
            return Err(StartError::AlreadyStarted);
        }
        let (begun, lan) = self.begin(sink)?;
        self.set_lan(Some(lan));
        *run = Some(begun);
        Ok(())
    }

    async fn connect(&self, target: ConnectTarget) -> Result<LinkId, ConnectError> {
        let (answer, dialled) = oneshot::channel();
        {
            let lan = self.lan().ok_or(ConnectError::NotStarted)?;
            let tasks = lan.tasks.upgrade().ok_or(ConnectError::NotStarted)?;
            // A task of the transport: it ends with it, also when the caller has gone.
            tasks.spawn(async move {
                let dialled = dial(lan, target).await;
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
        let Some(lan) = self.lan() else { return };
        self.set_lan(None);
        lan.exchange.shut();
        run.stop.send_replace(true);
        let endpoints = lan.endpoints();
        for endpoint in &endpoints {
            endpoint.quic.close(CloseCode::ShutDown.code().into(), b"");
        }
        if let Some(mdns) = run.mdns {
            mdns.shut_down().await;
        }
        run.tasks.join().await;
        let told = async {
            for endpoint in &endpoints {
                endpoint.quic.wait_idle().await;
            }
        };
        if tokio::time::timeout(CLOSE_GRACE, told).await.is_err() {
            tracing::debug!("QUIC was still closing connections at shutdown");
        }
        // The sockets go with the last of the endpoints and their tasks.
        drop((endpoints, lan));
        run.quic_tasks.abort().await;
    }
}

#[cfg(test)]
mod tests;
