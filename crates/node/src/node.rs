use std::collections::BTreeSet;
use std::ops::Deref;
use std::sync::Arc;

use bitcraps_coordinator::{
    self as coordinator, Delivery, Driver, Machine, OutboxEntry, OutboxId, Receipt, RegisterError,
};
use bitcraps_engine::HealthBrief;
use bitcraps_engine::monitor::{
    Betting, HealingConfig, HealthReport, MonitorConfig, WatchTableError,
};
use bitcraps_engine::{AdmissionConfig, DialerConfig, Engine};
use bitcraps_transport_api::Transport;
use bitcraps_types::{Address, ConnectTarget, Epoch, Hint, HintSource, PeerId, TransportType};
use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;
use zeroize::Zeroizing;

use crate::admission::{self, Ledger};
use crate::config::{Change, Privacy, StaticPeer};
use crate::life;
use crate::looks::{self, Gates, Table};
use crate::peers_file::{PeersFile, PeersFileError};
use crate::store::{Recorder, Shelf};
use crate::{
    BootClock, Chronicle, ChronicleHealth, Config, Damage, EpochError, EpochFile, Identity,
    IdentityError, Store, StoreError, StoreHealth,
};

/// Why a node did not start. Nothing is left running.
#[derive(Debug, thiserror::Error)]
pub enum StartNodeError {
    /// Its key.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// Its epoch.
    #[error(transparent)]
    Epoch(#[from] EpochError),
    /// Its local network.
    #[cfg(feature = "wifi")]
    #[error(transparent)]
    Lan(#[from] crate::LanError),
    /// What was decided about peers.
    #[error(transparent)]
    Peers(#[from] PeersFileError),
    /// The operating system gave no randomness.
    #[error("the operating system gave no randomness: {0}")]
    Randomness(String),
    /// Its Bluetooth links.
    #[cfg(all(feature = "bluetooth", target_os = "linux"))]
    #[error(transparent)]
    Bluetooth(#[from] crate::BluetoothError),
    /// Its internet links.
    #[cfg(feature = "internet")]
    #[error(transparent)]
    Internet(#[from] crate::InternetError),
    /// The configuration wants Bluetooth links and this build has none.
    #[cfg(not(all(feature = "bluetooth", target_os = "linux")))]
    #[error(
        "bluetooth.enabled is true, but this program was built without Bluetooth links; build it on \
         Linux with the feature `bluetooth`, or set bluetooth.enabled = false"
    )]
    NoBluetooth,
    /// The configuration wants internet links and this build has none.
    #[cfg(not(feature = "internet"))]
    #[error(
        "internet.listen names addresses, but this program was built without internet links; build it \
         with the feature `internet`, or set internet.enabled = false"
    )]
    NoInternet,
    /// A transport.
    #[error(transparent)]
    Transport(#[from] RegisterError),
}

/// Puts a node together from parts.
pub struct NodeBuilder {
    coordination: coordinator::Config,
    dialer: DialerConfig,
    transports: Vec<Arc<dyn Transport>>,
    peers: Vec<StaticPeer>,
    admission: AdmissionConfig,
    epoch_file: Option<EpochFile>,
    peers_file: Option<PeersFile>,
    store: Option<Result<(Store, Option<Damage>), StoreError>>,
    chronicle: Option<Result<(Chronicle, Option<Damage>), StoreError>>,
    /// Seed of the key under which links are published.
    key: Zeroizing<[u8; 32]>,
    privacy: Privacy,
    monitor: MonitorConfig,
    healing: HealingConfig,
}

impl NodeBuilder {
    /// How it heals the network.
    #[must_use]
    pub fn healing(mut self, healing: HealingConfig) -> Self {
        self.healing = healing;
        self
    }

    /// What other nodes are told of this one's links; its links, under its own key, unless said
    /// otherwise.
    #[must_use]
    pub fn privacy(mut self, privacy: Privacy) -> Self {
        self.privacy = privacy;
        self
    }

    /// When the network counts as unhealthy.
    #[must_use]
    pub fn monitor(mut self, monitor: MonitorConfig) -> Self {
        self.monitor = monitor;
        self
    }

    /// Keeps critical messages, and what was taken from whom, in `store` over restarts.
    #[must_use]
    pub fn store(mut self, store: Store) -> Self {
        self.store = Some(Ok((store, None)));
        self
    }

    /// Keeps what the network was in `chronicle` over restarts.
    #[must_use]
    pub fn chronicle(mut self, chronicle: Chronicle) -> Self {
        self.chronicle = Some(Ok((chronicle, None)));
        self
    }

    /// Changes how messages are delivered.
    #[must_use]
    pub fn configure(mut self, change: impl FnOnce(&mut coordinator::Config)) -> Self {
        change(&mut self.coordination);
        self
    }

    /// Changes how peers are dialled.
    #[must_use]
    pub fn dialer(mut self, dialer: DialerConfig) -> Self {
        self.dialer = dialer;
        self
    }

    /// Changes who may do what.
    #[must_use]
    pub fn admission(mut self, admission: AdmissionConfig) -> Self {
        self.admission = admission;
        self
    }

    /// Uses a transport beside those named before.
    #[must_use]
    pub fn transport(mut self, transport: Arc<dyn Transport>) -> Self {
        self.transports.push(transport);
        self
    }

    /// Starts the node. Call within a tokio runtime.
    ///
    /// # Errors
    /// [`StartNodeError::Transport`] for the first transport that does not start; those before it
    /// are stopped again.
    pub async fn start(self) -> Result<Node, StartNodeError> {
        let (peer, epoch) = (self.coordination.local, self.coordination.epoch);
        let ledger = Ledger::open(self.peers_file)?;
        let mut coordination = self.coordination;
        let mut chance = [0; 8];
        getrandom::fill(&mut chance).map_err(|e| StartNodeError::Randomness(e.to_string()))?;
        // Two processes with one key and epoch must not make the same choices.
        coordination.seed ^= u64::from_be_bytes(chance);
        let mut engine = Engine::new(coordination, self.dialer);
        let now = BootClock.now();
        engine.set_admission(self.admission, now);
        let privacy = self.privacy.into();
        let links =
            bitcraps_linkstate::Config { privacy, ..bitcraps_linkstate::Config::new(epoch) };
        engine.publish(&self.key, links, now);
        engine.watch_health(self.monitor, now);
        engine.defer_looks();
        engine.heal(self.healing, now);
        let mut chance = [0; 32];
        getrandom::fill(&mut chance).map_err(|e| StartNodeError::Randomness(e.to_string()))?;
        engine.relay_for(&self.key, chance, now);
        ledger.recall(&mut engine, now);
        let driver = Driver::start(engine, Arc::new(|| BootClock.now()));
        let shelf = self.store.map(|opened| Shelf::start(opened, &driver, epoch));
        let recorder = self.chronicle.map(|opened| Recorder::start(opened, &driver));
        for transport in self.transports {
            if let Err(error) = driver.register_transport(transport).await {
                driver.shutdown().await;
                return Err(error.into());
            }
        }
        let mut places = ledger.places();
        places.extend(self.peers.iter().flat_map(places_of));
        for target in places {
            let hint = Hint { target, source: HintSource::Static };
            driver.with(|engine, now| engine.discovered(hint, now));
        }
        let shelf = shelf.unwrap_or_default();
        let ledger = Arc::new(Mutex::new(ledger));
        let keeper = tokio::spawn(admission::keep(Arc::clone(&ledger), driver.clone()));
        let gates = Arc::new(Gates::default());
        let looker = tokio::spawn(looks::take(driver.clone(), Arc::clone(&gates)));
        let epoch_file = Arc::new(std::sync::Mutex::new(self.epoch_file));
        let outran = Arc::new(watch::Sender::new(None));
        let raising =
            life::keep_above(Arc::clone(&epoch_file), driver.clone(), Arc::clone(&outran));
        let raiser = tokio::spawn(raising);
        let recorder = Arc::new(recorder.unwrap_or_default());
        let scribe = tokio::spawn(Arc::clone(&recorder).keep(driver.clone()));
        let tasks = [keeper, looker, raiser, scribe];
        Ok(Node { driver, peer, epoch, ledger, tasks, gates, shelf, recorder, epoch_file, outran })
    }
}

/// A running node: [`Driver`] around the [`Engine`], with an identity. Everything that the driver
/// can do, the node can.
pub struct Node {
    driver: Driver<Engine>,
    peer: PeerId,
    epoch: Epoch,
    pub(crate) ledger: Arc<Mutex<Ledger>>,
    /// One makes proofs of invitations durable, one looks at the network's health, one keeps the
    /// epoch file above what is seen of this node's key, one writes down what the network was.
    tasks: [JoinHandle<()>; 4],
    gates: Arc<Gates>,
    shelf: Shelf,
    recorder: Arc<Recorder>,
    /// Holds the lock that keeps a second process from using the identity.
    epoch_file: life::Held,
    outran: Arc<watch::Sender<Option<Epoch>>>,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Deref for Node {
    type Target = Driver<Engine>;

    fn deref(&self) -> &Self::Target {
        &self.driver
    }
}

impl Node {
    /// A node of `identity` in its incarnation `epoch`, which must be higher than any before and
    /// durable by now.
    pub fn builder(identity: &Identity, epoch: Epoch) -> NodeBuilder {
        let peer = identity.peer_id();
        NodeBuilder {
            coordination: coordinator::Config::new(peer, epoch, seed(peer, epoch)),
            dialer: DialerConfig::default(),
            transports: Vec::new(),
            peers: Vec::new(),
            admission: AdmissionConfig::default(),
            epoch_file: None,
            peers_file: None,
            store: None,
            chronicle: None,
            key: Zeroizing::new(identity.signing_key().to_bytes()),
            privacy: Privacy::default(),
            monitor: MonitorConfig::default(),
            healing: HealingConfig::default(),
        }
    }

    /// A builder for what a checked configuration says: key and epoch from the data directory
    /// (made when missing), and the transports it enables.
    ///
    /// # Errors
    /// [`StartNodeError`]; the epoch may have been advanced, which costs nothing. A store that does
    /// not work is no error: the node runs, says so, and refuses what would have to be in it.
    pub fn configured(config: &Config) -> Result<NodeBuilder, StartNodeError> {
        let identity = Identity::load_or_create(&config.node().key_file())?;
        let mut epoch_file = EpochFile::open(&config.node().epoch_file())?;
        #[cfg(feature = "wifi")]
        let lan = crate::lan::addresses(config)?;
        #[cfg(not(all(feature = "bluetooth", target_os = "linux")))]
        if config.bluetooth().enabled {
            return Err(StartNodeError::NoBluetooth);
        }
        #[cfg(not(feature = "internet"))]
        if config.internet().is_on() {
            return Err(StartNodeError::NoInternet);
        }
        let mut epoch = epoch_file.advance()?;
        let keeping = config.store();
        let store = keeping
            .enabled
            .then(|| Store::open(&keeping.path, &identity, epoch, keeping.max_bytes));
        if let Some(Ok((store, _))) = &store
            && let Ok(last) = store.last_epoch()
            && epoch <= last
        {
            // The counter was put back, and the store knows better.
            epoch = epoch_file.raise_above(last)?;
        }
        let mut builder = Self::builder(&identity, epoch);
        builder.coordination = config.coordination(identity.peer_id(), epoch);
        builder.peers = config.peers().to_vec();
        builder.admission = config.admission_rules();
        builder.peers_file = Some(PeersFile::new(&config.node().peers_file()));
        builder.epoch_file = Some(epoch_file);
        builder.privacy = config.node().privacy;
        builder.monitor = *config.monitor();
        builder.healing = config.healing_rules();
        builder.dialer.dial_discovered = config.healing().link_discovered;
        builder.store = store;
        let past = config.history();
        builder.chronicle = past.enabled.then(|| Chronicle::open(&past.path, epoch));
        #[cfg(feature = "wifi")]
        if lan.is_some() || config.wifi_direct().enabled {
            let addresses = lan.unwrap_or_default();
            let lan = crate::lan::transport(config, addresses, &identity, epoch)?;
            builder.transports.push(Arc::new(lan));
        }
        #[cfg(all(feature = "bluetooth", target_os = "linux"))]
        if let Some(bluetooth) = crate::bluetooth::transport(config, &identity)? {
            builder.transports.push(Arc::new(bluetooth));
        }
        #[cfg(feature = "internet")]
        if let Some(internet) = crate::internet::transport(config, &identity)? {
            builder.transports.push(Arc::new(internet));
        }
        Ok(builder)
    }

    /// Its key.
    pub fn id(&self) -> PeerId {
        self.peer
    }

    /// Its incarnation.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The outbox: critical messages that have no outcome yet, by identity. Empty without a store.
    pub fn outbox(&self) -> Vec<OutboxEntry> {
        self.with(|engine, now| engine.core().outbox(now))
    }

    /// New receipts of the messages that a former incarnation of this node left in the outbox. Each
    /// is given once; those that nobody takes go on all the same.
    pub fn take_recalled(&self) -> Vec<(OutboxId, Receipt)> {
        self.shelf.take_recalled()
    }

    /// Messages of which nobody but the application can know whether it had them before a crash:
    /// acknowledged, perhaps handed over, never handed over again. Each is given once. Those that
    /// ask for an answer may still get one, by [`Inbox::answer`](coordinator::Inbox::answer).
    pub fn take_doubts(&self) -> Vec<Delivery> {
        self.with(|engine, now| engine.core_mut().take_doubts(now))
    }

    /// What is known of the store.
    pub fn store_health(&self) -> StoreHealth {
        self.shelf.health(self.with(|engine, _| engine.core().store_status()))
    }

    /// What is known of the file of the network's past.
    pub fn chronicle_health(&self) -> ChronicleHealth {
        self.recorder.health()
    }

    /// The health of the network as this node sees it.
    pub fn health_report(&self) -> Option<HealthReport> {
        // What costs is reckoned while the machine goes on.
        self.with(|engine, now| engine.health_brief(now)).map(HealthBrief::complete)
    }

    /// Whether the whole network's risk of a split is low enough to bet: paused above 0.8, and open
    /// again after ten seconds at 0.6 or below, unless `[coordination.betting]` says otherwise.
    pub fn betting(&self) -> watch::Receiver<Betting> {
        self.gates.network()
    }

    /// Watches whether `players` stay together, this node among them or not: the gate of a table. It is
    /// open until a look at the network says otherwise, and reckons as [`Self::betting`] does with the
    /// probability that its players are parted within the next 10 s.
    ///
    /// # Errors
    /// [`WatchTableError`]; nothing has changed.
    pub fn watch_table(
        &self,
        players: impl IntoIterator<Item = PeerId>,
    ) -> Result<Table, WatchTableError> {
        Table::watch(&self.driver, &self.gates, players.into_iter().collect())
    }

    /// The epoch in which this node's key was seen, if it is above the one of this life: the node was
    /// restored from a backup, or another device has its key. Peers that know that epoch refuse this
    /// life. When it is told, the epoch file is above it, so that the next life is taken; what was
    /// sent in this one cannot become part of the other, which is why nobody but the program can
    /// end it.
    pub fn outran(&self) -> watch::Receiver<Option<Epoch>> {
        self.outran.subscribe()
    }

    /// Settles every message, closes every link, stops every transport and task, writes what is
    /// to be kept, and lets go of the identity. Messages of the outbox go on when the node starts
    /// again.
    pub async fn shutdown(&self) {
        self.driver.shutdown().await;
        self.shelf.finish().await;
        self.recorder.finish(&self.driver).await;
        life::release(&self.epoch_file);
    }

    /// Puts the live part of `new` in force, and tells everything that changed. Messages in flight
    /// finish under the policy they were sent with.
    pub fn reload(&self, old: &Config, new: &Config) -> Vec<Change> {
        let [before, after] = [old, new].map(|config| {
            config.peers().iter().flat_map(places_of).collect::<BTreeSet<ConnectTarget>>()
        });
        self.with(|engine, now| {
            let core = engine.core_mut();
            let mut coordination = core.config().clone();
            apply(new, &mut coordination);
            core.reconfigure(coordination);
            engine.set_admission(new.admission_rules(), now);
            engine.watch_health(*new.monitor(), now);
            engine.heal(new.healing_rules(), now);
            before.difference(&after).for_each(|target| engine.withdrawn(target, now));
            for target in after {
                engine.discovered(Hint { target, source: HintSource::Static }, now);
            }
        });
        Config::diff(old, new)
    }
}

/// Where the configuration says that a peer may be reached.
fn places_of(peer: &StaticPeer) -> Vec<ConnectTarget> {
    let local = peer.addresses.iter().map(ToString::to_string);
    let local = local.map(|address| (TransportType::WiFiDirect, address));
    let internet = (!peer.internet.is_empty()).then(|| peer.internet.join(" "));
    let internet = internet.map(|address| (TransportType::Internet, address));
    let place = |(transport, address)| ConnectTarget {
        transport,
        peer: peer.id,
        address: Address::new(address),
        via: None,
    };
    local.chain(internet).map(place).collect()
}

impl Config {
    /// How the node `peer` delivers in its incarnation `epoch`, as this configuration says.
    pub fn coordination(&self, peer: PeerId, epoch: Epoch) -> coordinator::Config {
        let mut coordination = coordinator::Config::new(peer, epoch, seed(peer, epoch));
        apply(self, &mut coordination);
        coordination
    }
}

/// The delivery settings of a checked configuration.
fn apply(config: &Config, coordination: &mut coordinator::Config) {
    let transport = config.transport();
    coordination.default_policy = transport.default_policy.into();
    coordination.energy_aware = transport.energy_aware_mode;
    coordination.auto_failover = transport.auto_failover_enabled;
    coordination.peers = config.admission().max_peers;
    let strangers = config.admission().stranger_bytes_per_second;
    coordination.stranger_bytes_per_second = strangers;
    for kind in TransportType::ALL {
        let limits = transport.limits(kind);
        coordination.transports[kind.index()] = coordinator::TransportConfig {
            max_packet_size: limits.max_packet_size,
            connection_timeout: limits.connection_timeout,
            reliability_threshold: limits.reliability_threshold,
        };
    }
}

impl From<crate::config::Policy> for coordinator::FailoverPolicy {
    fn from(policy: crate::config::Policy) -> Self {
        match policy {
            crate::config::Policy::FastestFirst => Self::FastestFirst,
            crate::config::Policy::MostReliable => Self::MostReliable,
            crate::config::Policy::EnergyEfficient => Self::EnergyEfficient,
            crate::config::Policy::LoadBalanced => Self::LoadBalanced,
        }
    }
}

/// Jitter and challenges differ between nodes and incarnations; that is all they are asked for.
fn seed(peer: PeerId, epoch: Epoch) -> u64 {
    let head = peer.as_bytes().first_chunk::<8>().copied().unwrap_or_default();
    u64::from_be_bytes(head) ^ epoch.0.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
