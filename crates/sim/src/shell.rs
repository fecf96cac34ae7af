use bitcraps_coordinator::{Command, Machine, Notice};
use bitcraps_types::{DownReason, Epoch, LinkId, Timestamp};

use crate::event::{Event, LaneId, Told};
use crate::simulation::TIMERS_PER_INSTANT;
use crate::{Death, Fortune, NodeId, Return, SendId, SimLink, Simulation};

/// Commands of one turn after which an engine is taken for one that never ends: more than all the
/// messages that may wait at once, each with its notices.
const COMMANDS_PER_TURN: u32 = 1 << 20;

/// What a shell does around an engine: it hands in events and does what the engine says.
impl Simulation {
    /// Does something with a node's engine at the present moment of its clock, and what the engine
    /// wants done after it. `None` when the node is dead.
    pub fn with_engine<T>(
        &mut self,
        node: NodeId,
        act: impl FnOnce(&mut bitcraps_engine::Engine, Timestamp) -> T,
    ) -> Option<T> {
        let now = self.now;
        let state = &mut self.nodes[node.index()];
        let clock = state.clock(now);
        let result = state.engine.as_mut().map(|engine| act(engine, clock));
        if result.is_some() {
            self.obey(node);
        }
        result
    }

    /// Does everything that a node's engine wants done, and sets its timer.
    fn obey(&mut self, node: NodeId) {
        for turn in 0.. {
            if turn >= COMMANDS_PER_TURN {
                self.stuck = true;
                break;
            }
            let engine = self.nodes[node.index()].engine.as_mut();
            let Some(command) = engine.and_then(Machine::poll_command) else {
                break;
            };
            self.digest.word(u64::from(node.0));
            if let Some((left, death)) = self.nodes[node.index()].fuse {
                let left = left.checked_sub(1);
                self.nodes[node.index()].fuse = left.map(|left| (left, death));
                if left.is_none() {
                    return self.kill(node, death);
                }
            }
            self.do_command(node, command);
        }
        let state = &mut self.nodes[node.index()];
        if let Some(at) = state.deadline()
            && state.timer.is_none_or(|set| at < set)
        {
            let at = at.max(self.now);
            state.timer = Some(at);
            self.queue.push(at, Event::Timer { node });
        }
    }

    fn do_command(&mut self, node: NodeId, command: Command) {
        match command {
            Command::Transmit { link, seq, frame } => {
                self.digest.word(link.0);
                self.digest.bytes(&frame);
                let failed = self.transmit(link, frame);
                if let Err(failure) = failed {
                    self.digest.shown(&failure);
                    let now = self.now;
                    let state = &mut self.nodes[node.index()];
                    let clock = state.clock(now);
                    if let Some(engine) = &mut state.engine {
                        engine.core_mut().transmit_failed(link, seq, failure, clock);
                    }
                }
            }
            Command::Deliver(delivery) => self.deliver(node, delivery),
            Command::Settle { ticket, outcome } => {
                self.digest.shown(&outcome);
                let state = &mut self.nodes[node.index()];
                let open = state.open.remove(&ticket);
                match open.map(|id| &mut self.messages[id.0 as usize]) {
                    // A message that came back from the outbox may have had its outcome before.
                    Some(message) if message.outcome.is_some() => {}
                    Some(message) => {
                        message.outcome = Some((self.now, outcome));
                        self.unsettled -= 1;
                    }
                    None => self.stray_outcomes += 1,
                }
            }
            Command::Close { link, why } => {
                self.digest.shown(&why);
                self.close_end(link, DownReason::ClosedHere);
            }
            Command::Connect(target) => {
                self.digest.shown(&target);
                self.dial(node, target);
            }
            Command::Persist(batch) => {
                self.digest.shown(&batch);
                self.write(node, batch);
            }
            Command::Notice(notice) => {
                self.digest.shown(&notice);
                if let Notice::EpochOutran { above } = notice {
                    let life = self.nodes[node.index()].life;
                    self.at(self.now, move |sim| sim.begin_above(node, life, above));
                }
                self.nodes[node.index()].notice(self.now, notice);
            }
        }
    }

    /// When a node that is suspended will hear of an event; `None` when it hears it now.
    pub(crate) fn suspended(&self, node: NodeId) -> Option<Timestamp> {
        let until = self.nodes[node.index()].suspended_until;
        (until > self.now).then_some(until)
    }

    pub(crate) fn timer(&mut self, node: NodeId) {
        let suspended = self.suspended(node);
        let now = self.now;
        let state = &mut self.nodes[node.index()];
        if state.timer != Some(now) {
            return;
        }
        if let Some(until) = suspended {
            state.timer = Some(until);
            return self.queue.push(until, Event::Timer { node });
        }
        state.timer = None;
        if state.fired.0 != now {
            state.fired = (now, 0);
        }
        state.fired.1 += 1;
        self.stuck |= state.fired.1 > TIMERS_PER_INSTANT;
        let due = state.deadline().is_some_and(|at| at <= now);
        if due {
            self.trace(1, u64::from(node.0));
            self.with_engine(node, |engine, now| engine.on_timer(now));
        } else {
            self.obey(node);
        }
    }

    /// Has an adapter tell a node something, as the next thing that happens.
    pub(crate) fn tell(&mut self, node: NodeId, told: Told) {
        let life = self.nodes[node.index()].life;
        self.queue.push(self.now, Event::Told { node, life, told: Box::new(told) });
    }

    pub(crate) fn told(&mut self, node: NodeId, life: u32, told: Box<Told>) {
        if let Some(until) = self.suspended(node) {
            return self.queue.push(until, Event::Told { node, life, told });
        }
        if self.nodes[node.index()].life != life {
            return;
        }
        self.trace(2, u64::from(node.0));
        self.with_engine(node, |engine, now| match *told {
            Told::Up(facts, remote) => engine.link_up(facts, remote, now),
            Told::Down(link, reason) => engine.link_down(link, &reason, now),
            Told::Written(link, total) => engine.core_mut().written(link, total, now),
            Told::Discovered(hint) => engine.discovered(hint, now),
            Told::Connected(target, link) => engine.connected(&target, link, now),
        });
    }

    /// Tells a node at once that frames of it have left, if it can hear.
    pub(crate) fn tell_written(&mut self, node: NodeId, link: LinkId, total: u64) {
        if self.suspended(node).is_some() {
            return self.tell(node, Told::Written(link, total));
        }
        self.with_engine(node, |engine, now| {
            engine.core_mut().written(link, total, now);
        });
    }

    /// Hands frames to a node, unless it sleeps: then they are lost.
    pub(crate) fn hand_in(
        &mut self,
        node: NodeId,
        link: LinkId,
        frames: &mut Vec<bytes::Bytes>,
    ) -> bool {
        if self.suspended(node).is_some() {
            return false;
        }
        self.with_engine(node, |engine, now| {
            engine.core_mut().frames_received(link, frames, now);
        })
        .is_some()
    }

    pub(crate) fn send_message(&mut self, id: SendId) {
        let message = &self.messages[id.0 as usize];
        let (from, to) = (message.from, message.to);
        if let Some(until) = self.suspended(from) {
            return self.queue.push(until, Event::Send(id));
        }
        self.trace(3, u64::from(id.0));
        let message = &self.messages[id.0 as usize];
        let (payload, options) = (message.payload.clone(), message.options);
        let policy = message.policy;
        let peer = self.nodes[to.index()].peer;
        let now = self.now;
        let state = &mut self.nodes[from.index()];
        let clock = state.clock(now);
        let fortune = match &mut state.engine {
            None => Fortune::SenderDead,
            Some(engine) => {
                if engine.core().peer(peer).is_none() {
                    engine.seek(peer, clock);
                }
                let core = engine.core_mut();
                match core.send(peer, payload, options, policy, clock) {
                    Ok(ticket) => {
                        state.open.insert(ticket, id);
                        state.peak_open = state.peak_open.max(state.open.len());
                        Fortune::Taken(ticket)
                    }
                    Err(error) => Fortune::Refused(error),
                }
            }
        };
        if !matches!(fortune, Fortune::Taken(_)) {
            self.digest.shown(&fortune);
            self.unsettled -= 1;
        }
        let message = &mut self.messages[id.0 as usize];
        message.at = now;
        message.fortune = fortune;
        if let Fortune::Taken(ticket) = message.fortune {
            self.note_kept(from, ticket, id);
        }
        self.obey(from);
    }

    /// The sender is no longer interested in a message.
    pub fn cancel(&mut self, id: SendId) {
        self.trace(4, u64::from(id.0));
        let message = self.message(id);
        if let Fortune::Taken(ticket) = message.fortune
            && message.outcome.is_none()
            && !message.orphaned
        {
            let from = message.from;
            self.with_engine(from, |engine, now| engine.core_mut().cancel(ticket, now));
        }
    }

    /// A node dies at once: its engine is dropped, and with it what it had not sent.
    pub fn kill(&mut self, node: NodeId, death: Death) {
        self.trace(9, u64::from(node.0));
        let state = &mut self.nodes[node.index()];
        if state.engine.take().is_none() {
            return;
        }
        state.suspended_until = Timestamp::ZERO;
        state.fuse = None;
        if let Some(disk) = &mut state.disk {
            disk.tear(self.now);
        }
        state.app.inbox.clear();
        let orphans = std::mem::take(&mut state.open);
        for id in orphans.into_values() {
            let message = &mut self.messages[id.0 as usize];
            if message.outcome.is_none() {
                message.orphaned = true;
                self.unsettled -= 1;
            }
        }
        for link in self.links_of(node) {
            self.strand(link, node, death);
        }
    }

    /// A node dies in the middle of what it does, when it has done that many commands more.
    pub fn kill_after(&mut self, node: NodeId, commands: u64, death: Death) {
        self.trace(23, u64::from(node.0));
        self.nodes[node.index()].fuse = Some((commands, death));
    }

    /// How many commands a node may still do before it dies, if that was set.
    pub fn fuse_left(&self, node: NodeId) -> Option<u64> {
        self.nodes[node.index()].fuse.map(|(left, _)| left)
    }

    /// A dead node comes back with the next epoch and an empty memory.
    pub fn restart(&mut self, node: NodeId, way: Return) {
        if self.nodes[node.index()].engine.is_some() {
            return;
        }
        self.trace(10, u64::from(node.0));
        self.nodes[node.index()].restart();
        self.recall(node);
        self.attach_if_present(node);
        for link in self.links_of(node) {
            match way {
                Return::NoLinks => {}
                Return::NewLinks => {
                    self.take_down(link, DownReason::Replaced);
                    self.bring_up(link);
                }
                Return::SameLinks => self.rejoin(link, node),
            }
        }
    }

    /// The counter of a dead node's lives is put back, as when its disk is restored from a backup: its
    /// next life begins in the epoch after `epoch`.
    pub fn put_back(&mut self, node: NodeId, epoch: Epoch) {
        self.trace(24, u64::from(node.0));
        let state = &mut self.nodes[node.index()];
        if state.engine.is_none() {
            state.config.epoch = epoch;
        }
    }

    /// A node that found its key in a higher epoch ends its life and begins one above it.
    fn begin_above(&mut self, node: NodeId, life: u32, above: Epoch) {
        let state = &self.nodes[node.index()];
        if state.life != life || state.engine.is_none() {
            return;
        }
        self.kill(node, Death::Told);
        let state = &mut self.nodes[node.index()];
        state.config.epoch = state.config.epoch.max(above);
        self.restart(node, Return::NewLinks);
    }

    /// A node sleeps for that long: frames that come meanwhile are lost, every other event waits.
    /// Its clock goes on.
    pub fn suspend(&mut self, node: NodeId, duration: std::time::Duration) {
        self.trace(11, u64::from(node.0));
        self.nodes[node.index()].suspended_until = self.now + duration;
    }

    fn links_of(&self, node: NodeId) -> Vec<SimLink> {
        let with = |l: &(usize, &crate::link::Duplex)| l.1.nodes.contains(&node);
        let links = self.links.iter().enumerate().filter(with);
        links.map(|(at, _)| SimLink(at as u32)).collect()
    }

    /// Which lane carries frames that are sent under a link id, if the link is up.
    pub(crate) fn lane_of(&self, id: LinkId) -> Option<LaneId> {
        let at = usize::try_from(id.0.checked_sub(1)?).ok()?;
        let (link, side) = *self.ends.get(at)?;
        let up = self.links[link as usize].ids[side] == Some(id);
        let link = SimLink(link);
        up.then_some(LaneId { link, side })
    }
}
