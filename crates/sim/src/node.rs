use std::collections::BTreeMap;

use bitcraps_coordinator::{Config, Machine, Notice, Ticket};
use bitcraps_engine::{AdmissionConfig, DialerConfig, Engine};
use bitcraps_linkstate::Verified;
use bitcraps_types::{Epoch, PeerId, Timestamp};
use std::time::Duration;

use crate::store::Disk;
use crate::{App, Death, SendId, StoreModel};

/// A node of the simulation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub(crate) u32);

impl NodeId {
    /// Its position among the nodes, in the order they were added.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// Notices kept of one node; later ones are only counted.
const NOTICES: usize = 1 << 20;

/// How a node is made.
#[derive(Debug)]
pub struct NodeSetup {
    /// What steers its core. Key, epoch and seed are set already.
    pub config: Config,
    /// What steers its dialer.
    pub dialer: DialerConfig,
    /// Whom it admits.
    pub admission: AdmissionConfig,
    /// Granularity of its timers: they fire at the first multiple that is not too early. Zero for
    /// exact timers; the production driver's are of 1 ms.
    pub tick: Duration,
    /// What its clock shows when the simulation begins.
    pub clock: Timestamp,
    /// Its application.
    pub app: App,
    /// Its store, if it has one.
    pub store: Option<StoreModel>,
    /// Publishes its links, learns of those of others, and relays. Its key becomes one that signs; the epoch
    /// is its own.
    pub network: Option<bitcraps_linkstate::Config>,
}

/// A node: the production engine, and around it what a shell would do.
pub(crate) struct Node {
    pub(crate) peer: PeerId,
    pub(crate) config: Config,
    pub(crate) dialer: DialerConfig,
    admission: AdmissionConfig,
    network: Option<([u8; 32], bitcraps_linkstate::Config)>,
    /// What any node of the simulation found to be signed.
    verified: Verified,
    tick: Duration,
    clock: Timestamp,
    /// `None` while it is dead.
    pub(crate) engine: Option<Engine>,
    /// How often it was started, less one.
    pub(crate) life: u32,
    /// The timer that is scheduled.
    pub(crate) timer: Option<Timestamp>,
    /// When its timers fired last, and how often at that point in time.
    pub(crate) fired: (Timestamp, u32),
    pub(crate) suspended_until: Timestamp,
    pub(crate) app: App,
    pub(crate) disk: Option<Disk>,
    /// It dies when it has done that many commands more.
    pub(crate) fuse: Option<(u64, Death)>,
    pub(crate) open: BTreeMap<Ticket, SendId>,
    pub(crate) peak_open: usize,
    pub(crate) notices: Vec<(Timestamp, Notice)>,
    pub(crate) notices_dropped: u64,
}

impl Node {
    /// `key` is the seed of the key of a node that publishes.
    pub(crate) fn new(mut setup: NodeSetup, key: [u8; 32], verified: Verified) -> Self {
        if setup.network.is_some() {
            setup.config.local = bitcraps_linkstate::peer_of(&key);
        }
        let mut node = Self {
            peer: setup.config.local,
            disk: setup.store.map(|model| Disk::new(model, setup.config.epoch)),
            fuse: None,
            engine: None,
            config: setup.config,
            dialer: setup.dialer,
            admission: setup.admission,
            network: setup.network.map(|network| (key, network)),
            verified,
            tick: setup.tick,
            clock: setup.clock,
            life: 0,
            timer: None,
            fired: (Timestamp::ZERO, 0),
            suspended_until: Timestamp::ZERO,
            app: setup.app,
            open: BTreeMap::new(),
            peak_open: 0,
            notices: Vec::new(),
            notices_dropped: 0,
        };
        node.boot();
        node
    }

    fn boot(&mut self) {
        let mut engine = Engine::new(self.config.clone(), self.dialer);
        engine.set_admission(self.admission.clone(), self.clock);
        if let Some((key, network)) = self.network {
            let network = bitcraps_linkstate::Config { epoch: self.config.epoch, ..network };
            engine.publish(&key, network, self.clock);
            engine.share_verified(self.verified.clone());
            let mut chance = [0; 32];
            fastrand::Rng::with_seed(self.config.seed).fill(&mut chance);
            engine.relay_for(&key, chance, self.clock);
        }
        self.engine = Some(engine);
    }

    /// What its clock shows at `now`.
    pub(crate) fn clock(&self, now: Timestamp) -> Timestamp {
        self.clock + now.since(Timestamp::ZERO)
    }

    /// When its engine's next timer fires, in the simulation's time.
    pub(crate) fn deadline(&self) -> Option<Timestamp> {
        let due = self.engine.as_ref()?.next_deadline()?;
        if due == Timestamp::MAX {
            return None;
        }
        let nanos = due.since(self.clock).as_nanos();
        let tick = self.tick.as_nanos().max(1);
        let nanos = nanos.div_ceil(tick) * tick;
        Some(Timestamp::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
    }

    pub(crate) fn notice(&mut self, now: Timestamp, notice: Notice) {
        if self.notices.len() < NOTICES {
            self.notices.push((now, notice));
        } else {
            self.notices_dropped += 1;
        }
    }

    /// The next life begins, with the next epoch.
    pub(crate) fn restart(&mut self) {
        self.life += 1;
        self.config.epoch = Epoch(self.config.epoch.0 + 1);
        self.config.seed = self.config.seed.wrapping_add(1);
        self.boot();
        self.timer = None;
        self.app.inbox.clear();
        self.app.taking = false;
    }
}
