//! Two [`Core`]s, the wires between them and a clock that jumps from event to event: everything
//! that happens is a function of what the test does.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use bitcraps_types::{
    AckLevel, EnergyProfile, Epoch, Kbps, LinkCapabilities, LinkId, Medium, PeerId, Ratio,
    Timestamp, TransportType,
};
use bitcraps_wire::Frame;
use bytes::Bytes;

use crate::command::CloseReason;
use crate::{
    Command, Config, Core, Delivery, FailoverPolicy, LinkChange, LinkUp, Notice, Outcome,
    SendError, SendOptions, Ticket, Tier, TransmitFailure,
};

pub(super) fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

pub(super) fn us(n: u64) -> Duration {
    Duration::from_micros(n)
}

pub(super) fn peer_id(n: u8) -> PeerId {
    PeerId::from_bytes([n; 32])
}

pub(super) fn config(n: u8) -> Config {
    Config::new(peer_id(n), Epoch(u64::from(n)), u64::from(n))
}

/// What a wire is like; the same both ways.
#[derive(Debug, Clone, Copy)]
pub(super) struct Profile {
    pub(super) transport: TransportType,
    pub(super) capabilities: LinkCapabilities,
    /// From the last byte's departure to the frame's arrival.
    pub(super) latency: Duration,
    /// None: a frame leaves at once.
    pub(super) rate: Option<Kbps>,
    /// Frames that the driver's queue holds.
    pub(super) queue: usize,
}

impl Profile {
    /// A mains-powered link of 100 Mbit/s nominal that takes `latency` one way.
    pub(super) fn new(transport: TransportType, latency: Duration) -> Self {
        Self {
            transport,
            capabilities: LinkCapabilities {
                max_frame: 65_536,
                nominal_rate: Kbps::new(100_000).unwrap(),
                energy: EnergyProfile::MAINS,
                metered: false,
                prior_reliability: Ratio::ONE,
                medium: Medium::Emulated,
            },
            latency,
            rate: None,
            queue: 4_096,
        }
    }

    pub(super) fn wifi(latency: Duration) -> Self {
        Self::new(TransportType::WiFiDirect, latency)
    }

    pub(super) fn internet(latency: Duration) -> Self {
        Self::new(TransportType::Internet, latency)
    }

    pub(super) fn bluetooth(latency: Duration) -> Self {
        Self::new(TransportType::Bluetooth, latency)
    }

    pub(super) fn rate(mut self, kbps: u32) -> Self {
        let rate = Kbps::new(kbps).unwrap();
        self.rate = Some(rate);
        self.capabilities.nominal_rate = rate;
        self
    }

    pub(super) fn max_frame(mut self, bytes: usize) -> Self {
        self.capabilities.max_frame = bytes;
        self
    }

    pub(super) fn queue(mut self, frames: usize) -> Self {
        self.queue = frames;
        self
    }

    pub(super) fn energy(mut self, energy: EnergyProfile) -> Self {
        self.capabilities.energy = energy;
        self
    }

    pub(super) fn metered(mut self) -> Self {
        self.capabilities.metered = true;
        self
    }
}

/// What the wire does with a frame that left the driver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fate {
    Pass,
    Lose,
    Late(Duration),
    Twice(Duration),
    Become(Bytes),
}

type Hook = Box<dyn FnMut(&Frame, Timestamp) -> Fate>;

/// One direction of a wire.
pub(super) struct Lane {
    hook: Hook,
    /// What the driver says to the next frames; None takes them.
    pub(super) refuses: Option<TransmitFailure>,
    /// Takes frames and never writes them.
    pub(super) stalled: bool,
    free_at: Timestamp,
    waiting: VecDeque<Timestamp>,
    taken: u64,
    written: u64,
    /// Every frame that was taken, with its time.
    pub(super) log: Vec<(Timestamp, Frame)>,
}

impl Lane {
    fn new() -> Self {
        Self {
            hook: Box::new(|_, _| Fate::Pass),
            refuses: None,
            stalled: false,
            free_at: Timestamp::ZERO,
            waiting: VecDeque::new(),
            taken: 0,
            written: 0,
            log: Vec::new(),
        }
    }
}

pub(super) struct Wire {
    pub(super) profile: Profile,
    /// The link at each end, while it is up.
    ends: [Option<LinkId>; 2],
    /// By the sending side.
    pub(super) lanes: [Lane; 2],
}

impl Wire {
    /// One that is not up.
    pub(super) fn new(profile: Profile) -> Self {
        Self { profile, ends: [None; 2], lanes: [Lane::new(), Lane::new()] }
    }
}

pub(super) struct Node {
    pub(super) core: Core,
    pub(super) outcomes: Vec<(Timestamp, Ticket, Outcome)>,
    pub(super) delivered: Vec<(Timestamp, Delivery)>,
    pub(super) notices: Vec<(Timestamp, Notice)>,
    pub(super) closes: Vec<(Timestamp, LinkId, CloseReason)>,
    /// Room is given back at once for what the application was handed.
    pub(super) takes: bool,
    /// What the application says to messages that ask for it.
    pub(super) answer: Option<bool>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Written { side: usize, wire: usize },
    Arrive { side: usize, link: LinkId, frame: Bytes },
}

/// Room that the application of a node in these tests has for each class.
pub(super) const ROOM: usize = 1_000;

pub(super) struct Pair {
    pub(super) now: Timestamp,
    pub(super) nodes: [Node; 2],
    pub(super) wires: Vec<Wire>,
    events: BinaryHeap<Reverse<(Timestamp, u64, Event)>>,
    order: u64,
    next_link: u64,
}

impl Pair {
    /// Two attached nodes, greeted over every wire.
    pub(super) fn new(profiles: &[Profile]) -> Self {
        Self::configured([config(1), config(2)], profiles)
    }

    pub(super) fn configured(configs: [Config; 2], profiles: &[Profile]) -> Self {
        let mut pair = Self::apart(configs, profiles);
        for side in [0, 1] {
            pair.nodes[side].core.attach(ROOM, pair.now);
        }
        for wire in 0..profiles.len() {
            pair.up(wire);
        }
        pair.drive_for(ms(2_000));
        for wire in 0..profiles.len() {
            assert!(pair.status(0, wire).ready && pair.status(1, wire).ready);
        }
        pair.clear();
        pair
    }

    /// Two nodes without an application, and no wire is up.
    pub(super) fn apart(configs: [Config; 2], profiles: &[Profile]) -> Self {
        let node = |config| Node {
            core: Core::new(config),
            outcomes: Vec::new(),
            delivered: Vec::new(),
            notices: Vec::new(),
            closes: Vec::new(),
            takes: true,
            answer: Some(true),
        };
        Self {
            now: Timestamp::from_millis(1_000),
            nodes: configs.map(node),
            wires: profiles.iter().map(|profile| Wire::new(*profile)).collect(),
            events: BinaryHeap::new(),
            order: 0,
            next_link: 0,
        }
    }

    /// Forgets what was recorded.
    pub(super) fn clear(&mut self) {
        for node in &mut self.nodes {
            node.outcomes.clear();
            node.delivered.clear();
            node.notices.clear();
            node.closes.clear();
        }
        for wire in &mut self.wires {
            wire.lanes.iter_mut().for_each(|lane| lane.log.clear());
        }
    }

    pub(super) fn id(&self, side: usize) -> PeerId {
        self.nodes[side].core.config().local
    }

    /// Brings a wire up at both ends.
    pub(super) fn up(&mut self, wire: usize) {
        (0..2).for_each(|side| self.appear(side, wire));
        (0..2).for_each(|side| self.tell_up(side, wire));
    }

    /// Brings a wire up at one end; frames to the other are lost until it is up there.
    pub(super) fn up_at(&mut self, side: usize, wire: usize) {
        self.appear(side, wire);
        self.tell_up(side, wire);
    }

    fn appear(&mut self, side: usize, wire: usize) {
        self.next_link += 1;
        let link = LinkId(1_000 * (side as u64 + 1) + self.next_link);
        let lane = Lane::new();
        let state = &mut self.wires[wire];
        state.ends[side] = Some(link);
        state.lanes[side] = lane;
    }

    fn tell_up(&mut self, side: usize, wire: usize) {
        let link = self.link(side, wire);
        let state = &self.wires[wire];
        let facts = LinkUp {
            link,
            peer: self.nodes[1 - side].core.config().local,
            transport: state.profile.transport,
            capabilities: state.profile.capabilities,
        };
        self.nodes[side].core.link_up(facts, self.now);
        self.obey(side);
    }

    pub(super) fn is_up(&self, side: usize, wire: usize) -> bool {
        self.wires[wire].ends[side].is_some()
    }

    /// Both ends learn that the wire is gone.
    pub(super) fn down(&mut self, wire: usize) {
        for side in [0, 1] {
            self.down_at(side, wire);
        }
    }

    pub(super) fn down_at(&mut self, side: usize, wire: usize) {
        if let Some(link) = self.wires[wire].ends[side].take() {
            self.nodes[side].core.link_down(link, self.now);
            self.obey(side);
        }
    }

    /// A node comes back in a new incarnation, with its application, over new links.
    pub(super) fn restart(&mut self, side: usize, epoch: u64) {
        let up: Vec<usize> =
            (0..self.wires.len()).filter(|w| self.wires[*w].ends[side].is_some()).collect();
        for wire in &up {
            self.wires[*wire].ends[side] = None;
            self.down_at(1 - side, *wire);
        }
        self.restart_over(side, epoch, &up);
    }

    /// A node comes back over these wires alone; the other end has not noticed of the rest.
    pub(super) fn restart_over(&mut self, side: usize, epoch: u64, back: &[usize]) {
        let config = Config { epoch: Epoch(epoch), ..self.nodes[side].core.config().clone() };
        self.nodes[side].core = Core::new(config);
        self.nodes[side].core.attach(ROOM, self.now);
        for wire in &mut self.wires {
            wire.ends[side] = None;
        }
        for wire in back {
            self.down_at(1 - side, *wire);
            self.up(*wire);
        }
    }

    /// Time passes in which nobody ran: a suspended machine.
    pub(super) fn sleep(&mut self, time: Duration) {
        self.now += time;
    }

    pub(super) fn link(&self, side: usize, wire: usize) -> LinkId {
        self.wires[wire].ends[side].expect("the wire is up")
    }

    /// What becomes of frames that `side` sends over `wire`.
    pub(super) fn hook(
        &mut self,
        side: usize,
        wire: usize,
        hook: impl FnMut(&Frame, Timestamp) -> Fate + 'static,
    ) {
        self.wires[wire].lanes[side].hook = Box::new(hook);
    }

    /// Takes everything and delivers nothing, both ways.
    pub(super) fn black_hole(&mut self, wire: usize) {
        self.hook(0, wire, |_, _| Fate::Lose);
        self.hook(1, wire, |_, _| Fate::Lose);
    }

    pub(super) fn heal(&mut self, wire: usize) {
        self.hook(0, wire, |_, _| Fate::Pass);
        self.hook(1, wire, |_, _| Fate::Pass);
    }

    pub(super) fn log(&self, side: usize, wire: usize) -> &[(Timestamp, Frame)] {
        &self.wires[wire].lanes[side].log
    }

    pub(super) fn send(
        &mut self,
        side: usize,
        payload: impl Into<Bytes>,
        options: SendOptions,
    ) -> Ticket {
        self.try_send(side, payload, options).unwrap()
    }

    pub(super) fn try_send(
        &mut self,
        side: usize,
        payload: impl Into<Bytes>,
        options: SendOptions,
    ) -> Result<Ticket, SendError> {
        self.send_by(side, payload, options, None)
    }

    pub(super) fn send_by(
        &mut self,
        side: usize,
        payload: impl Into<Bytes>,
        options: SendOptions,
        policy: Option<FailoverPolicy>,
    ) -> Result<Ticket, SendError> {
        let peer = self.id(1 - side);
        let sent = self.nodes[side].core.send(peer, payload.into(), options, policy, self.now);
        self.obey(side);
        sent
    }

    pub(super) fn cancel(&mut self, side: usize, ticket: Ticket) {
        self.nodes[side].core.cancel(ticket, self.now);
        self.obey(side);
    }

    /// Calls a core and does what it commands.
    pub(super) fn with<T>(
        &mut self,
        side: usize,
        act: impl FnOnce(&mut Core, Timestamp) -> T,
    ) -> T {
        let done = act(&mut self.nodes[side].core, self.now);
        self.obey(side);
        done
    }

    /// Frames arrive at `side` on `wire` now, whoever sent them.
    pub(super) fn inject(&mut self, side: usize, wire: usize, frames: &[Frame]) {
        let link = self.link(side, wire);
        let mut frames: Vec<Bytes> = frames.iter().map(Frame::encode).collect();
        self.with(side, |core, now| core.frames_received(link, &mut frames, now));
    }

    fn event(&mut self, at: Timestamp, event: Event) {
        self.order += 1;
        self.events.push(Reverse((at, self.order, event)));
    }

    /// Does what `side` commands until it has no more to say.
    pub(super) fn obey(&mut self, side: usize) {
        while let Some(command) = self.nodes[side].core.poll_command() {
            let now = self.now;
            let node = &mut self.nodes[side];
            match command {
                Command::Transmit { link, seq, frame } => self.transmit(side, link, seq, frame),
                Command::Deliver(delivery) => {
                    let (id, class, ack) = (delivery.id, delivery.class(), delivery.ack);
                    node.delivered.push((now, delivery));
                    if node.takes {
                        node.core.inbox_taken(class, 1, now);
                    }
                    if let (AckLevel::Applied, Some(applied)) = (ack, node.answer) {
                        node.core.answer(id, applied, now);
                    }
                }
                Command::Settle { ticket, outcome } => node.outcomes.push((now, ticket, outcome)),
                Command::Close { link, why } => {
                    node.closes.push((now, link, why));
                    for wire in 0..self.wires.len() {
                        if self.wires[wire].ends[side] == Some(link) {
                            self.down_at(side, wire);
                        }
                    }
                }
                Command::Connect(target) => panic!("a core does not dial {target:?}"),
                Command::Persist(batch) => unreachable!("nothing was recalled: {batch:?}"),
                Command::Notice(notice) => node.notices.push((now, notice)),
            }
        }
    }

    fn transmit(&mut self, side: usize, link: LinkId, seq: Option<u32>, frame: Bytes) {
        let now = self.now;
        let wire = self.wires.iter().position(|w| w.ends[side] == Some(link));
        let Some(wire) = wire else {
            let core = &mut self.nodes[side].core;
            return core.transmit_failed(link, seq, TransmitFailure::Closed, now);
        };
        let profile = self.wires[wire].profile;
        let far = self.wires[wire].ends[1 - side];
        let lane = &mut self.wires[wire].lanes[side];
        let max = profile.capabilities.max_frame;
        let refusal = match lane.refuses {
            Some(refusal) => Some(refusal),
            None if frame.len() > max => Some(TransmitFailure::TooBig { max }),
            None if lane.taken - lane.written >= profile.queue as u64 => {
                Some(TransmitFailure::Full)
            }
            None => None,
        };
        if let Some(refusal) = refusal {
            return self.nodes[side].core.transmit_failed(link, seq, refusal, now);
        }
        lane.taken += 1;
        let decoded = Frame::decode(frame.clone()).expect("a core sends valid frames");
        lane.log.push((now, decoded.clone()));
        if lane.stalled {
            return;
        }
        let air = profile.rate.map_or(Duration::ZERO, |rate| rate.air_time(frame.len()));
        let gone = now.max(lane.free_at) + air;
        lane.free_at = gone;
        lane.waiting.push_back(gone);
        let fate = (lane.hook)(&decoded, now);
        self.event(gone, Event::Written { side, wire });
        let Some(link) = far else { return };
        let side = 1 - side;
        let arrives = gone + profile.latency;
        let arrive = |frame| Event::Arrive { side, link, frame };
        match fate {
            Fate::Pass => self.event(arrives, arrive(frame)),
            Fate::Lose => {}
            Fate::Late(by) => self.event(arrives + by, arrive(frame)),
            Fate::Twice(apart) => {
                self.event(arrives, arrive(frame.clone()));
                self.event(arrives + apart, arrive(frame));
            }
            Fate::Become(frame) => self.event(arrives, arrive(frame)),
        }
    }

    /// The next time at which something happens.
    fn next(&self) -> Option<Timestamp> {
        let event = self.events.peek().map(|Reverse((at, ..))| *at);
        let timers = self.nodes.iter().filter_map(|n| n.core.next_deadline());
        timers.chain(event).min().map(|at| at.max(self.now))
    }

    /// Lets time run up to `end`, and everything happen that is due until then.
    pub(super) fn drive_until(&mut self, end: Timestamp) {
        let mut still = 0;
        while let Some(at) = self.next().filter(|at| *at <= end) {
            still = if at == self.now { still + 1 } else { 0 };
            assert!(still < 100_000, "time stands still at {at:?}");
            self.now = at;
            self.step();
        }
        self.now = end;
    }

    pub(super) fn drive_for(&mut self, time: Duration) {
        self.drive_until(self.now + time);
    }

    /// Lets time run until `done`; panics when that takes longer than `most`.
    pub(super) fn drive_till(&mut self, most: Duration, done: impl Fn(&Self) -> bool) {
        let end = self.now + most;
        while !done(self) {
            let Some(at) = self.next().filter(|at| *at <= end) else {
                panic!("not within {most:?}");
            };
            self.now = at;
            self.step();
        }
    }

    /// Everything that happens now: what was written, what arrives, what is due.
    fn step(&mut self) {
        let mut due = Vec::new();
        while let Some(Reverse((at, ..))) = self.events.peek() {
            if *at > self.now {
                break;
            }
            if let Some(Reverse((_, _, event))) = self.events.pop() {
                due.push(event);
            }
        }
        let mut arrivals: Vec<(usize, LinkId, Vec<Bytes>)> = Vec::new();
        for event in due {
            match event {
                Event::Written { side, wire } => self.written(side, wire),
                Event::Arrive { side, link, frame } => {
                    let of = |a: &&mut (usize, LinkId, Vec<Bytes>)| (a.0, a.1) == (side, link);
                    match arrivals.iter_mut().find(of) {
                        Some((_, _, frames)) => frames.push(frame),
                        None => arrivals.push((side, link, vec![frame])),
                    }
                }
            }
        }
        for (side, link, mut frames) in arrivals {
            if self.wires.iter().any(|w| w.ends[side] == Some(link)) {
                self.with(side, |core, now| core.frames_received(link, &mut frames, now));
            }
        }
        for side in [0, 1] {
            let due = self.nodes[side].core.next_deadline();
            if due.is_some_and(|at| at <= self.now) {
                self.with(side, Core::on_timer);
            }
        }
    }

    fn written(&mut self, side: usize, wire: usize) {
        let now = self.now;
        let lane = &mut self.wires[wire].lanes[side];
        let before = lane.written;
        while lane.waiting.front().is_some_and(|gone| *gone <= now) {
            lane.waiting.pop_front();
            lane.written += 1;
        }
        let total = lane.written;
        let Some(link) = self.wires[wire].ends[side].filter(|_| total > before) else {
            return;
        };
        self.with(side, |core, now| core.written(link, total, now));
    }

    /// The one outcome of a ticket.
    pub(super) fn outcome(&self, side: usize, ticket: Ticket) -> Option<&Outcome> {
        self.settled(side, ticket).map(|(_, outcome)| outcome)
    }

    /// When and how a ticket was settled.
    pub(super) fn settled(&self, side: usize, ticket: Ticket) -> Option<(Timestamp, &Outcome)> {
        let mut all = self.nodes[side].outcomes.iter().filter(|(_, t, _)| *t == ticket);
        let first = all.next().map(|(at, _, outcome)| (*at, outcome));
        assert!(all.next().is_none(), "{ticket:?} was settled twice");
        first
    }

    /// What the application of `side` was handed, in order.
    pub(super) fn payloads(&self, side: usize) -> Vec<Bytes> {
        let delivered = self.nodes[side].delivered.iter();
        delivered.map(|(_, d)| d.payload.clone()).collect()
    }

    pub(super) fn changes(&self, side: usize, wire: usize) -> Vec<LinkChange> {
        let link = self.link(side, wire);
        let notices = self.nodes[side].notices.iter();
        notices
            .filter_map(|(_, n)| match n {
                Notice::LinkChanged { link: of, change, .. } if *of == link => Some(*change),
                _ => None,
            })
            .collect()
    }

    pub(super) fn status(&self, side: usize, wire: usize) -> crate::LinkStatus {
        let link = self.link(side, wire);
        let peers = self.nodes[side].core.peers(self.now);
        let mut links = peers.into_iter().flat_map(|p| p.links);
        links.find(|l| l.facts.link == link).expect("the core knows the link")
    }

    pub(super) fn tier(&self, side: usize, wire: usize) -> Tier {
        self.status(side, wire).tier
    }

    pub(super) fn link_state(&mut self, side: usize, wire: usize) -> &mut crate::link::Link {
        let link = self.link(side, wire);
        let peers = self.nodes[side].core.peers.iter_mut();
        peers.flat_map(|p| &mut p.links).find(|l| l.id() == link).expect("the core knows the link")
    }
}

/// Which data frames of a log there are: (sequence, offset, payload length, attempt).
pub(super) fn data_of(log: &[(Timestamp, Frame)]) -> Vec<(u64, u32, usize, u16)> {
    log.iter()
        .filter_map(|(_, frame)| match &frame.body {
            bitcraps_wire::Body::Data(d) => {
                Some((d.sequence, d.offset, d.payload.len(), d.attempt))
            }
            _ => None,
        })
        .collect()
}

pub(super) fn is_data(frame: &Frame) -> bool {
    matches!(frame.body, bitcraps_wire::Body::Data(_))
}
