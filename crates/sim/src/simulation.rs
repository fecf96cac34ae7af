use std::time::Duration;

use bitcraps_coordinator::{Config, Core, FailoverPolicy, Machine, Notice, SendOptions};
use bitcraps_engine::{AdmissionConfig, DialerConfig, Engine};
use bitcraps_linkstate::Verified;
use bitcraps_types::{Epoch, PeerId, Timestamp};

use crate::digest::Digest;
use crate::event::{Event, EventQueue};
use crate::link::Duplex;
use crate::node::Node;
use crate::replay::Replay;
use crate::{App, Fortune, Message, NodeId, NodeSetup, Payload, SendId};

/// Events at one point in time after which the course is taken for one that never moves on: far
/// above what the largest network does at once.
const EVENTS_PER_INSTANT: u64 = 4_000_000;
/// Timers of one node at one point in time, likewise: an engine that is overdue asks again at
/// once, each time for thousands of its timers.
pub(crate) const TIMERS_PER_INSTANT: u32 = 1_000;

/// Nodes, links and what is still to happen. See the [crate's documentation](crate).
///
/// Nothing happens but in [`Self::run_until`] and its siblings; every other method takes effect at
/// the present moment.
pub struct Simulation {
    seed: u64,
    pub(crate) now: Timestamp,
    pub(crate) queue: EventQueue,
    pub(crate) nodes: Vec<Node>,
    pub(crate) links: Vec<Duplex>,
    /// Ends by link id, less one: which link, which side.
    pub(crate) ends: Vec<(u32, usize)>,
    pub(crate) replays: Vec<Replay>,
    pub(crate) messages: Vec<Message>,
    pub(crate) unsettled: usize,
    pub(crate) digest: Digest,
    verified: Verified,
    pub(crate) stray_outcomes: u64,
    events: u64,
    instant: u64,
    pub(crate) stuck: bool,
}

impl Simulation {
    /// An empty world at time zero. Everything random in it comes from `seed`.
    pub fn new(seed: u64) -> Self {
        let mut digest = Digest::default();
        digest.word(seed);
        Self {
            seed,
            now: Timestamp::ZERO,
            queue: EventQueue::default(),
            nodes: Vec::new(),
            links: Vec::new(),
            ends: Vec::new(),
            replays: Vec::new(),
            messages: Vec::new(),
            unsettled: 0,
            digest,
            verified: Verified::default(),
            stray_outcomes: 0,
            events: 0,
            instant: 0,
            stuck: false,
        }
    }

    /// A number that depends on the seed and on what it is for, and on nothing else.
    pub(crate) fn seed_of(&self, what: u64, index: u64) -> u64 {
        let mut rng = fastrand::Rng::with_seed(self.seed ^ what.wrapping_mul(0x9e37_79b9));
        rng.u64(..) ^ fastrand::Rng::with_seed(index.wrapping_add(what << 32)).u64(..)
    }

    /// The present.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Digest of everything that happened and was decided so far: equal for equal courses.
    pub fn trace_hash(&self) -> u64 {
        self.digest.value()
    }

    /// How many events happened so far.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// Adds a node with every default: exact timers, a clock that starts at zero, an application
    /// that takes everything at once and applies it.
    pub fn add_node(&mut self) -> NodeId {
        self.add_node_with(|_| ())
    }

    /// Adds a node after `change` had its way with the defaults.
    pub fn add_node_with(&mut self, change: impl FnOnce(&mut NodeSetup)) -> NodeId {
        let index = self.nodes.len() as u64;
        let mut key = [0; PeerId::LEN];
        fastrand::Rng::with_seed(self.seed_of(1, index)).fill(&mut key);
        let seed = self.seed_of(2, index);
        let mut setup = NodeSetup {
            config: Config::new(PeerId::from_bytes(key), Epoch(1), seed),
            dialer: DialerConfig::default(),
            admission: AdmissionConfig::default(),
            tick: Duration::ZERO,
            clock: Timestamp::ZERO,
            app: App::default(),
            store: None,
            network: None,
        };
        change(&mut setup);
        let id = NodeId(self.nodes.len() as u32);
        self.nodes.push(Node::new(setup, key, self.verified.clone()));
        self.recall(id);
        self.attach_if_present(id);
        id
    }

    /// Every node, in the order they were added.
    pub fn nodes(&self) -> impl Iterator<Item = NodeId> + use<> {
        (0..self.nodes.len() as u32).map(NodeId)
    }

    /// The key of a node.
    pub fn peer_id(&self, node: NodeId) -> PeerId {
        self.nodes[node.index()].peer
    }

    /// The node of a key.
    pub fn node_of(&self, peer: PeerId) -> Option<NodeId> {
        let at = self.nodes.iter().position(|node| node.peer == peer)?;
        Some(NodeId(at as u32))
    }

    /// What a node's own clock shows now; its engine speaks in this time.
    pub fn clock(&self, node: NodeId) -> Timestamp {
        self.nodes[node.index()].clock(self.now)
    }

    /// The engine of a node, `None` while it is dead.
    pub fn engine(&self, node: NodeId) -> Option<&Engine> {
        self.nodes[node.index()].engine.as_ref()
    }

    /// The delivery core of a node, `None` while it is dead.
    pub fn core(&self, node: NodeId) -> Option<&Core> {
        self.engine(node).map(Machine::core)
    }

    /// The application of a node.
    pub fn app(&self, node: NodeId) -> &App {
        &self.nodes[node.index()].app
    }

    /// What a node's engine announced, oldest first.
    pub fn notices(&self, node: NodeId) -> &[(Timestamp, Notice)] {
        &self.nodes[node.index()].notices
    }

    /// Most messages of a node that had no outcome at once.
    pub fn peak_unsettled(&self, node: NodeId) -> usize {
        self.nodes[node.index()].peak_open
    }

    /// Sends now.
    pub fn send(
        &mut self,
        from: NodeId,
        to: NodeId,
        payload: impl Into<Payload>,
        options: SendOptions,
        policy: Option<FailoverPolicy>,
    ) -> SendId {
        let id = self.schedule(self.now, from, to, payload.into(), options, policy);
        self.send_message(id);
        id
    }

    /// Sends at `at`, or now if that is past.
    pub fn send_at(
        &mut self,
        at: Timestamp,
        from: NodeId,
        to: NodeId,
        payload: impl Into<Payload>,
        options: SendOptions,
        policy: Option<FailoverPolicy>,
    ) -> SendId {
        let at = at.max(self.now);
        let id = self.schedule(at, from, to, payload.into(), options, policy);
        self.queue.push(at, Event::Send(id));
        id
    }

    fn schedule(
        &mut self,
        at: Timestamp,
        from: NodeId,
        to: NodeId,
        payload: Payload,
        options: SendOptions,
        policy: Option<FailoverPolicy>,
    ) -> SendId {
        let id = SendId(self.messages.len() as u32);
        self.messages.push(Message {
            from,
            to,
            payload: payload.into_bytes(id),
            options,
            policy,
            at,
            fortune: Fortune::Scheduled,
            outcome: None,
            orphaned: false,
        });
        self.unsettled += 1;
        id
    }

    /// A message, from its sender's side.
    pub fn message(&self, id: SendId) -> &Message {
        &self.messages[id.0 as usize]
    }

    /// Every message, in the order they were scheduled.
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// Does something at `at`, or as soon as the simulation runs if that is past.
    pub fn at(&mut self, at: Timestamp, action: impl FnOnce(&mut Self) + Send + 'static) {
        let at = at.max(self.now);
        self.queue.push(at, Event::Action(Box::new(action)));
    }

    /// Lets everything happen up to and at `until`, and ends there.
    pub fn run_until(&mut self, until: Timestamp) {
        while !self.stuck && self.queue.next_at().is_some_and(|at| at <= until) {
            self.step();
        }
        self.now = self.now.max(until);
    }

    /// Lets everything happen for that long.
    pub fn run_for(&mut self, duration: Duration) {
        self.run_until(self.now + duration);
    }

    /// Runs until every message has its outcome and every inbox is empty, for at most `limit`.
    /// Engines are never idle: they go on measuring their links. Tells whether it came to that.
    pub fn run_until_idle(&mut self, limit: Duration) -> bool {
        let until = self.now + limit;
        while !self.is_idle() {
            if self.stuck || self.queue.next_at().is_none_or(|at| at > until) {
                self.now = self.now.max(until);
                return false;
            }
            self.step();
        }
        true
    }

    fn is_idle(&self) -> bool {
        self.unsettled == 0 && self.nodes.iter().all(|node| node.app.inbox.is_empty())
    }

    /// Lets the next event happen; false when there is none.
    pub fn step(&mut self) -> bool {
        let Some((at, event)) = self.queue.pop() else {
            return false;
        };
        if at > self.now {
            self.now = at;
            self.instant = 0;
        }
        self.instant += 1;
        self.stuck |= self.instant > EVENTS_PER_INSTANT;
        self.happen(event);
        true
    }

    /// Notes that something happens, for the hash.
    pub(crate) fn trace(&mut self, what: u64, whom: u64) {
        self.events += 1;
        self.digest.word(self.now.as_nanos());
        self.digest.word(what << 48 ^ whom);
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Departure { lane, service } => self.departure(lane, service),
            Event::Arrival { lane, incarnation, frame } => self.arrival(lane, incarnation, frame),
            Event::Timer { node } => self.timer(node),
            Event::Told { node, life, told } => self.told(node, life, told),
            Event::Dialled { node, life, target } => self.dialled(node, life, *target),
            Event::PeerClosed { link, incarnation, side } => {
                self.peer_closed(link, incarnation, side)
            }
            Event::Send(id) => self.send_message(id),
            Event::Take { node, life, class } => self.take(node, life, class),
            Event::Verdict { node, life, id, applied } => self.verdict(node, life, id, applied),
            Event::Written { node, life } => self.written(node, life),
            Event::Row { replay } => self.row(replay),
            Event::Action(action) => {
                self.trace(8, 0);
                action(self);
            }
        }
    }
}
