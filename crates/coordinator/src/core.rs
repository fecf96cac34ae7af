use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use bitcraps_types::{Epoch, LinkId, PeerId, Sequence, Timestamp, TrafficClass, TransportType};
use bitcraps_wire::Frame;
use bytes::{Bytes, BytesMut};
use foldhash::fast::FixedState;

use crate::budget::Budget;
use crate::config::bounds;
use crate::flight::AckedFlight;
use crate::forgetting::Idle;
use crate::link::{Change, Link};
use crate::message::Messages;
use crate::metrics::{Latencies, LinkCounters};
use crate::peer::{Peer, PeerHandle, hedge_budget};
use crate::policy::{self, Candidate, Ranking};
use crate::reassembly::Reassembly;
use crate::roster::Roster;
use crate::standing::strangers_allowance;
use crate::store::Store;
use crate::{
    ClassMetrics, Command, Config, Control, Counters, Decision, FailoverPolicy, LastSuccess,
    LinkChange, Notice, SizeBucket, TransportMetrics,
};

/// What a timer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum TimerKey {
    Message(u32),
    Link(LinkId),
    Reassembly,
    Store,
    Forget,
}

/// Size of the blocks that small frames share, in bytes: some allocations for a burst instead of
/// one for each frame, and little held by a frame that waits alone.
const BLOCK: usize = 16 * 1024;

/// Keeps the instance's number apart from the other uses of the seed.
const INSTANCE_SEED: u64 = 0x1257_a4ce;

/// Lookups only; never iterated, so its order decides nothing.
pub(crate) type Index<K, V> = HashMap<K, V, FixedState>;

/// The delivery machine of one node: peers, links, messages in flight, what was received.
///
/// Every `on_*` method takes what happened and `now`, and may leave [`Command`]s, which the caller
/// drains with [`Self::poll_command`]. [`Self::next_deadline`] tells when [`Self::on_timer`] wants
/// to be called. `now` must not run backwards.
#[derive(Debug)]
pub struct Core {
    pub(crate) config: Config,
    pub(crate) rng: fastrand::Rng,
    pub(crate) roster: Roster,
    pub(crate) peers: Vec<Peer>,
    pub(crate) links: Index<LinkId, u32>,
    pub(crate) messages: Messages,
    timers: BTreeSet<(Timestamp, TimerKey)>,
    /// When something last happened.
    pub(crate) turn: Timestamp,
    commands: VecDeque<Command>,
    /// Where small frames are encoded, one behind the other.
    block: BytesMut,
    pub(crate) reassembly: Reassembly,
    reassembly_timer: bool,
    pub(crate) counters: Counters,
    /// By class.
    pub(crate) settled: [ClassMetrics; TrafficClass::COUNT],
    gone: [LinkCounters; TransportType::COUNT],
    /// Of first transmissions, since their messages were taken.
    pub(crate) routing: Latencies,
    /// Messages that the application's inbox has room for, by class.
    pub(crate) room: [usize; TrafficClass::COUNT],
    pub(crate) node_bytes: usize,
    pub(crate) retries: Budget,
    pub(crate) hedges: Budget,
    pub(crate) last_success: Option<LastSuccess>,
    pub(crate) dirty: Vec<u32>,
    pub(crate) scratch: Vec<AckedFlight>,
    next_tag: u32,
    /// Slots of `peers` that are free.
    pub(crate) vacant: Vec<u32>,
    /// By class: numbers below may have been given out to peers that were forgotten.
    pub(crate) begin: [Sequence; TrafficClass::COUNT],
    pub(crate) idle: Idle,
    pub(crate) shut_down: bool,
    /// Tells this process from another one with the same key and epoch.
    pub(crate) instance: u64,
    /// What all strangers together may send.
    pub(crate) strangers: Budget,
    pub(crate) controls: VecDeque<Control>,
    /// Peers for whom a message waits and to whom no link leads. As many as there are peers.
    pub(crate) stranded: BTreeSet<PeerId>,
    pub(crate) store: Store,
    pub(crate) outran: Option<Epoch>,
}

impl Core {
    /// A machine without peers.
    pub fn new(config: Config) -> Self {
        let hasher = FixedState::with_seed(config.seed);
        let epoch = config.epoch;
        Self {
            rng: fastrand::Rng::with_seed(config.seed),
            roster: Roster::new(config.seed),
            peers: Vec::new(),
            links: HashMap::with_hasher(hasher),
            messages: Messages::default(),
            timers: BTreeSet::new(),
            turn: Timestamp::ZERO,
            commands: VecDeque::new(),
            block: BytesMut::new(),
            reassembly: Reassembly::default(),
            reassembly_timer: false,
            counters: Counters::default(),
            settled: [ClassMetrics::default(); TrafficClass::COUNT],
            gone: std::array::from_fn(|_| LinkCounters::new()),
            routing: Latencies::default(),
            room: [0; TrafficClass::COUNT],
            node_bytes: 0,
            retries: Budget::new(0.2, 10.0, 200.0),
            hedges: hedge_budget(),
            last_success: None,
            dirty: Vec::new(),
            scratch: Vec::new(),
            next_tag: 0,
            vacant: Vec::new(),
            begin: [0; TrafficClass::COUNT],
            idle: Idle::default(),
            shut_down: false,
            instance: fastrand::Rng::with_seed(config.seed ^ INSTANCE_SEED).u64(..),
            strangers: strangers_allowance(config.stranger_bytes_per_second),
            controls: VecDeque::new(),
            stranded: BTreeSet::new(),
            config,
            store: Store::absent(epoch),
            outran: None,
        }
    }

    /// How it is steered.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Steers it differently from now on. Identity, epoch and seed stay as they were; messages in
    /// flight finish under the policy they were sent with.
    pub fn reconfigure(&mut self, config: Config) {
        let Config { local, epoch, seed, .. } = self.config;
        if config.stranger_bytes_per_second != self.config.stranger_bytes_per_second {
            self.strangers = strangers_allowance(config.stranger_bytes_per_second);
        }
        self.config = Config { local, epoch, seed, ..config };
        for peer in 0..self.peers.len() {
            for index in 0..self.peers[peer].links.len() {
                let link = &mut self.peers[peer].links[index];
                let settings = *self.config.transport(link.facts.transport);
                link.reconfigure(settings, self.config.energy_aware);
                self.refresh(peer as u32, index);
            }
        }
    }

    /// The handle of a peer that is known, without a change. One hash lookup.
    pub fn peer(&self, id: PeerId) -> Option<PeerHandle> {
        self.roster.find(&id)
    }

    /// The incarnation of a peer that messages go to now; `None` before it greeted.
    pub fn epoch_of(&self, id: PeerId) -> Option<Epoch> {
        let handle = self.peer(id)?;
        self.peers[handle.0 as usize].epoch
    }

    /// The handle of a peer, which is known from now on, and not forgotten until
    /// [`Self::release_peer`]: messages to it may wait for a link. `None` when the table is full of
    /// others that may not be forgotten ([`Config::peers`]).
    pub fn add_peer(&mut self, id: PeerId, now: Timestamp) -> Option<PeerHandle> {
        let handle = self.place(id, now)?;
        self.wake(handle.0);
        self.peers[handle.0 as usize].pinned = true;
        Some(handle)
    }

    /// The next command, in the order they were made.
    #[must_use]
    pub fn poll_command(&mut self) -> Option<Command> {
        self.commands.pop_front().or_else(|| self.poll_batch())
    }

    /// When something last happened: the time of the commands that came of it.
    pub fn turn(&self) -> Timestamp {
        self.turn
    }

    pub(crate) fn command(&mut self, command: Command) {
        self.commands.push_back(command);
    }

    /// The frame as bytes. Small ones share their memory with others of the time, which spares an
    /// allocation each; a block lives as long as the last frame in it waits for its driver.
    pub(crate) fn encode(&mut self, frame: &Frame) -> Bytes {
        let len = frame.encoded_len();
        if len > BLOCK / 4 {
            return frame.encode();
        }
        if self.block.capacity() - self.block.len() < len {
            self.block = BytesMut::with_capacity(BLOCK);
        }
        frame.encode_into(&mut self.block);
        self.block.split().freeze()
    }

    pub(crate) fn notice(&mut self, notice: Notice) {
        self.commands.push_back(Command::Notice(notice));
    }

    /// When [`Self::on_timer`] wants to be called next; `None` while nothing is pending.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// Serves timers that are due, at most [`bounds::TIMERS_PER_TURN`]; the rest stays due.
    pub fn on_timer(&mut self, now: Timestamp) {
        for _ in 0..bounds::TIMERS_PER_TURN {
            match self.timers.first() {
                Some((at, key)) if *at <= now => {
                    let key = *key;
                    self.timers.pop_first();
                    match key {
                        TimerKey::Message(slot) => self.message_timer(slot, now),
                        TimerKey::Link(link) => self.link_timer(link, now),
                        TimerKey::Reassembly => self.reassembly_due(now),
                        TimerKey::Store => self.store_due(),
                        TimerKey::Forget => self.forget_due(now),
                    }
                }
                Some(_) | None => break,
            }
        }
        self.end_turn(now);
    }

    pub(crate) fn set_timer(&mut self, at: Timestamp, key: TimerKey) {
        self.timers.insert((at, key));
    }

    pub(crate) fn set_message_timer(&mut self, slot: u32, at: Option<Timestamp>) {
        let Some(message) = self.messages.get_mut(slot) else {
            return;
        };
        if message.timer == at {
            return;
        }
        let old = std::mem::replace(&mut message.timer, at);
        if let Some(old) = old {
            self.timers.remove(&(old, TimerKey::Message(slot)));
        }
        if let Some(at) = at {
            self.timers.insert((at, TimerKey::Message(slot)));
        }
    }

    pub(crate) fn drop_message_timer(&mut self, slot: u32, at: Option<Timestamp>) {
        if let Some(at) = at {
            self.timers.remove(&(at, TimerKey::Message(slot)));
        }
    }

    pub(crate) fn set_link_timer(&mut self, peer: u32, link: LinkId, at: Option<Timestamp>) {
        let Some(state) = self.peers[peer as usize].link_mut(link) else {
            return;
        };
        if state.timer == at {
            return;
        }
        let old = std::mem::replace(&mut state.timer, at);
        if let Some(old) = old {
            self.timers.remove(&(old, TimerKey::Link(link)));
        }
        if let Some(at) = at {
            self.timers.insert((at, TimerKey::Link(link)));
        }
    }

    pub(crate) fn drop_link_timer(&mut self, link: LinkId, at: Option<Timestamp>) {
        if let Some(at) = at {
            self.timers.remove(&(at, TimerKey::Link(link)));
        }
    }

    pub(crate) fn set_store_timer(&mut self, at: Timestamp) {
        self.timers.insert((at, TimerKey::Store));
    }

    pub(crate) fn drop_store_timer(&mut self, at: Timestamp) {
        self.timers.remove(&(at, TimerKey::Store));
    }

    pub(crate) fn arm_reassembly(&mut self, now: Timestamp) {
        if !self.reassembly_timer {
            self.reassembly_timer = true;
            self.timers.insert((now + bounds::REASSEMBLY_IDLE / 2, TimerKey::Reassembly));
        }
    }

    fn reassembly_due(&mut self, now: Timestamp) {
        self.reassembly_timer = false;
        self.reassembly.sweep(now);
        self.counters.evicted = self.reassembly.evicted;
        if !self.reassembly.is_empty() {
            self.arm_reassembly(now);
        }
    }

    pub(crate) fn fresh_tag(&mut self) -> u32 {
        self.next_tag = self.next_tag.wrapping_add(1).max(1);
        self.next_tag
    }

    pub(crate) fn mark_dirty(&mut self, peer: u32) {
        let state = &mut self.peers[peer as usize];
        if !state.in_turn {
            state.in_turn = true;
            self.dirty.push(peer);
        }
    }

    /// Sends what the turn has to acknowledge, and what may go now.
    pub(crate) fn end_turn(&mut self, now: Timestamp) {
        self.turn = now;
        let mut dirty = std::mem::take(&mut self.dirty);
        for peer in dirty.drain(..) {
            self.peers[peer as usize].in_turn = false;
            self.flush_acks(peer, now);
            self.pump(peer, now);
        }
        // Nothing above marks peers dirty; keep the memory for the next turn.
        if self.dirty.is_empty() {
            self.dirty = dirty;
        }
    }

    /// Brings what ranking reads up to date with what was handed to a link or written by it.
    pub(crate) fn refresh_load(&mut self, peer: u32, index: usize) {
        let link = &self.peers[peer as usize].links[index];
        if let Some(candidate) = self.roster.candidate_mut(peer, index) {
            link.update_load(candidate);
        }
    }

    /// Brings what ranking reads up to date with a link.
    pub(crate) fn refresh(&mut self, peer: u32, index: usize) {
        let link = &self.peers[peer as usize].links[index];
        if let Some(candidate) = self.roster.candidate_mut(peer, index) {
            *candidate = link.candidate();
        }
    }

    /// Tells what a link's new standing means, and brings ranking up to date.
    pub(crate) fn link_changed(&mut self, peer: u32, link: LinkId, change: Option<Change>) {
        let state = &mut self.peers[peer as usize];
        let Some(index) = state.link_index(link) else {
            return;
        };
        self.refresh(peer, index);
        let Some(change) = change else { return };
        // What waits for room on a link that fell, or for one that came back, is looked at anew.
        self.mark_dirty(peer);
        let state = &self.peers[peer as usize];
        let change = match change {
            Change::Suspect => LinkChange::Suspect,
            Change::Flapping => LinkChange::Flapping,
            Change::Down => LinkChange::Down,
            Change::Recovered => LinkChange::Recovered,
        };
        let transport = state.links[index].facts.transport;
        let peer = state.id;
        self.notice(Notice::LinkChanged { peer, link, transport, change });
    }

    /// The order in which a packet of `class` and `bytes` would try the peer's links now: what
    /// `send` calls at every attempt. No lock, no allocation. O(links).
    #[inline]
    pub fn decide(
        &self,
        peer: PeerHandle,
        class: TrafficClass,
        policy: FailoverPolicy,
        bytes: usize,
        now: Timestamp,
    ) -> Ranking {
        let packet = self.packet(peer.0, class, policy, bytes, now);
        policy::rank(self.roster.candidates_of(peer), &packet, now)
    }

    #[inline]
    pub(crate) fn packet(
        &self,
        peer: u32,
        class: TrafficClass,
        policy: FailoverPolicy,
        bytes: usize,
        now: Timestamp,
    ) -> policy::Packet {
        let bucket = SizeBucket::of(bytes + Frame::DATA_OVERHEAD);
        let preference = self.roster.preference(peer, class, bucket);
        policy::Packet {
            policy,
            bytes,
            energy_aware: self.config.energy_aware,
            incumbent: preference.link(),
            held: preference.is_held(policy, now),
            ceiling_us: policy::latency_ceiling(class).as_micros() as u32,
        }
    }

    /// The candidates of a peer, as ranking sees them; indices match [`Self::decide`]'s.
    pub fn candidates(&self, peer: PeerHandle) -> &[Candidate] {
        self.roster.candidates_of(peer)
    }

    /// The latest decisions about a peer, oldest first ([`bounds::DECISIONS`]).
    pub fn decisions(&self, peer: PeerId) -> Vec<Decision> {
        let known = self.peer(peer);
        known.map_or_else(Vec::new, |handle| {
            self.peers[handle.0 as usize].decisions.iter().cloned().collect()
        })
    }

    /// How messages ended, by class, in the order of [`TrafficClass::ALL`].
    pub const fn class_metrics(&self) -> &[ClassMetrics; TrafficClass::COUNT] {
        &self.settled
    }

    /// What was refused, dropped or repeated.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// The last link that confirmed a message.
    pub fn last_success(&self) -> Option<LastSuccess> {
        self.last_success
    }

    /// What happened over each transport since the node started, links that are gone included.
    pub fn transport_metrics(&self, transport: TransportType) -> TransportMetrics {
        self.counted_over(transport).metrics()
    }

    /// How long messages took from `send` to their acknowledgement over a transport, and how many
    /// each, ascending; up to 10 % too long. The counts only grow.
    pub fn transport_latencies(&self, transport: TransportType) -> Vec<(Duration, u64)> {
        self.counted_over(transport).latency_steps()
    }

    /// How long messages waited from `send` to the first transmission, and how many each, as in
    /// [`Self::transport_latencies`].
    pub fn routing_times(&self) -> Vec<(Duration, u64)> {
        self.routing.steps()
    }

    fn counted_over(&self, transport: TransportType) -> LinkCounters {
        let mut sum = self.gone[transport.index()].clone();
        let links = self.peers.iter().flat_map(|p| &p.links);
        links.filter(|l| l.facts.transport == transport).for_each(|l| sum.absorb(&l.counters));
        sum
    }

    pub(crate) fn absorb(&mut self, link: &Link) {
        self.gone[link.facts.transport.index()].absorb(&link.counters);
    }
}
