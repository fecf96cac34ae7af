use std::ops::Deref;
use std::sync::Arc;

use bitcraps_coordinator::{self as coordinator, Driver, Machine, RegisterError};
use bitcraps_engine::{DialerConfig, Engine};
use bitcraps_transport_api::Transport;
use bitcraps_types::{Address, ConnectTarget, Epoch, Hint, HintSource, PeerId, TransportType};

use crate::config::{Change, StaticPeer};
use crate::{BootClock, Config, EpochError, EpochFile, Identity, IdentityError};

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
    epoch_file: Option<EpochFile>,
}

impl NodeBuilder {
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
        let engine = Engine::new(self.coordination, self.dialer);
        let driver = Driver::start(engine, Arc::new(|| BootClock.now()));
        for transport in self.transports {
            if let Err(error) = driver.register_transport(transport).await {
                driver.shutdown().await;
                return Err(error.into());
            }
        }
        let node = Node { driver, peer, epoch, _epoch_file: self.epoch_file };
        node.know(&self.peers);
        Ok(node)
    }
}

/// A running node: [`Driver`] around the [`Engine`], with an identity. Everything that the driver
/// can do, the node can.
pub struct Node {
    driver: Driver<Engine>,
    peer: PeerId,
    epoch: Epoch,
    /// Holds the lock that keeps a second process from using the identity.
    _epoch_file: Option<EpochFile>,
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
            epoch_file: None,
        }
    }

    /// A builder for what a checked configuration says: key and epoch from the data directory
    /// (made when missing), and the transports it enables.
    ///
    /// # Errors
    /// [`StartNodeError`]; the epoch may have been advanced, which costs nothing.
    pub fn configured(config: &Config) -> Result<NodeBuilder, StartNodeError> {
        let identity = Identity::load_or_create(&config.node().key_file())?;
        let mut epoch_file = EpochFile::open(&config.node().epoch_file())?;
        #[cfg(feature = "wifi")]
        let lan = crate::lan::addresses(config)?;
        let epoch = epoch_file.advance()?;
        let mut builder = Self::builder(&identity, epoch);
        builder.coordination = config.coordination(identity.peer_id(), epoch);
        builder.peers = config.peers().to_vec();
        builder.epoch_file = Some(epoch_file);
        #[cfg(feature = "wifi")]
        if let Some(addresses) = lan {
            let lan = crate::lan::transport(config, addresses, &identity, epoch)?;
            builder.transports.push(Arc::new(lan));
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

    /// Puts the live part of `new` in force, and tells everything that changed. Messages in flight
    /// finish under the policy they were sent with.
    pub fn reload(&self, old: &Config, new: &Config) -> Vec<Change> {
        self.with(|engine, _| {
            let core = engine.core_mut();
            let mut coordination = core.config().clone();
            apply(new, &mut coordination);
            core.reconfigure(coordination);
        });
        self.know(new.peers());
        Config::diff(old, new)
    }

    fn know(&self, peers: &[StaticPeer]) {
        for peer in peers {
            for address in &peer.addresses {
                let target = ConnectTarget {
                    transport: TransportType::WiFiDirect,
                    peer: peer.id,
                    address: Address::new(address.to_string()),
                    via: None,
                };
                let hint = Hint { target, source: HintSource::Static };
                self.with(|engine, now| engine.discovered(hint, now));
            }
        }
    }
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
