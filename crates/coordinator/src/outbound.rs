use std::time::Duration;

use bitcraps_types::{AckLevel, LinkCapabilities, LinkId, PeerId, Timestamp, TrafficClass};
use bitcraps_wire::{Body, Data, Frame, HopHeader, MAX_MESSAGE, NO_DEADLINE};
use bytes::Bytes;

use crate::config::bounds;
use crate::explain::Decision;
use crate::flight::FlightState;
use crate::link::Link;
use crate::message::{Copy, Fragments, Message};
use crate::peer::Peer;
use crate::{
    Command, Core, FailoverPolicy, Notice, Order, Outcome, PeerHandle, RejectReason, SendError,
    SendOptions, SizeBucket, Ticket, Tier, TriedLink,
};

/// Hops that a frame may travel: more than the diameter of any mesh that is still of use.
const TTL: u8 = 16;
/// A retransmission timeout never grows beyond, unless the link's own is longer.
const TIMEOUT_CAP: Duration = Duration::from_secs(1);
/// Messages of one queue that are looked at for one that may go, past those that may not.
const PUMP_DEPTH: usize = 16;
/// How soon a message that every driver refused, or that waits for its budget, is tried again.
const RETRY_SOON: Duration = Duration::from_millis(10);
/// Doublings of that wait, so that many messages that wait for one budget do not keep looking.
const MOST_WAITS: u8 = 4;
/// What is sent again of a message to ask for an answer, when all of it has arrived.
const QUESTION_BYTES: u32 = 64;
/// How often a message under an energy cap looks whether a radio has woken up.
const ENERGY_RETRY: Duration = Duration::from_millis(100);
/// A driver whose oldest frame waits for less is draining.
const PATIENT: Duration = Duration::from_millis(4);
/// `LoadBalanced` waits for a draining link rather than load another one this much further ahead:
/// 4 ms in its cost's nanoseconds. Longer would idle a fast link beside a slow one.
const FAIR_SHARE_COST: u64 = 4_000_000;
/// A message is hedged only within this time of its deadline: waiting for a timeout would put it
/// at stake.
const HEDGE_HORIZON: Duration = Duration::from_millis(200);
/// What a hedge may take longer over another kind of link than over the best one: half the least
/// timeout, or waiting would have been as good.
const HEDGE_SLACK: Duration = Duration::from_millis(5);
/// Retries that Critical may borrow ahead of its budget.
const CRITICAL_CREDIT: f64 = 50.0;

/// Why a message did not leave now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Blocked {
    /// No link can take it.
    NoLink,
    /// Links there are, without room.
    NoRoom,
    /// The span of unsettled numbers is exhausted.
    Window,
    /// Every link would cost more than the message may.
    TooDear,
}

/// Why a message is transmitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    First,
    /// After a timeout.
    Timeout,
    /// A driver refused it, or its link is gone.
    LocalError,
    /// A second copy beside the one on its way.
    SecondCopy,
    /// The destination has it, and its application's answer may be lost.
    Question,
}

impl Core {
    /// Takes a message for `peer`. Never waits: the outcome comes as [`Command::Settle`].
    /// `policy` overrides the class's own.
    ///
    /// # Errors
    /// [`SendError`]; nothing was taken and no state has changed.
    pub fn send(
        &mut self,
        peer: PeerId,
        payload: Bytes,
        options: SendOptions,
        policy: Option<FailoverPolicy>,
        now: Timestamp,
    ) -> Result<Ticket, SendError> {
        let handle = self.peer(peer).ok_or(SendError::NoRoute(peer))?;
        self.send_to(handle, payload, options, policy, now)
    }

    /// [`Self::send`] without the lookup.
    ///
    /// # Errors
    /// [`SendError`]; nothing was taken and no state has changed.
    pub fn send_to(
        &mut self,
        handle: PeerHandle,
        payload: Bytes,
        options: SendOptions,
        policy: Option<FailoverPolicy>,
        now: Timestamp,
    ) -> Result<Ticket, SendError> {
        let peer = handle.0;
        let class = options.class;
        if self.shut_down {
            return Err(SendError::ShutDown);
        }
        if payload.len() > MAX_MESSAGE {
            return Err(SendError::TooLarge { len: payload.len(), max: MAX_MESSAGE });
        }
        if options.deadline > bounds::MAX_DEADLINE {
            return Err(SendError::DeadlineTooFar(options.deadline));
        }
        let replaced = self.replaceable(peer, &options);
        let queue = &self.peers[peer as usize].outgoing[class.index()];
        let keys_full = matches!(options.order, Order::PerKey(key)
            if queue.gates.len() >= bounds::ORDER_KEYS && !queue.gates.contains_key(&key));
        let freed = usize::from(replaced.is_some());
        let freed_bytes =
            replaced.and_then(|t| self.messages.by_ticket(t)).map_or(0, |m| m.payload.len());
        if queue.messages - freed >= bounds::QUEUE_MESSAGES
            || queue.bytes - freed_bytes + payload.len() > bounds::QUEUE_BYTES
            || self.node_bytes - freed_bytes + payload.len() > bounds::NODE_BYTES
            || keys_full
        {
            let (messages, bytes) = (queue.messages, queue.bytes);
            return Err(SendError::QueueFull { class, messages, bytes });
        }
        if let Some(old) = replaced {
            self.settle(old.slot, Outcome::Rejected { why: RejectReason::Superseded }, now);
        }
        let len = payload.len();
        let policy = policy.unwrap_or(FailoverPolicy::of_class(class));
        let message = Message::new(peer, payload, options, policy, now);
        let deadline = message.deadline;
        let ticket = self.messages.insert(message);
        let queue = &mut self.peers[peer as usize].outgoing[class.index()];
        queue.messages += 1;
        queue.bytes += len;
        self.node_bytes += len;
        if let Some(key) = options.conflate {
            queue.conflated.insert(key, ticket);
        }
        let gate = match options.order {
            Order::PerKey(key) => Some(key),
            Order::Unordered => None,
        };
        match gate.and_then(|key| queue.gates.get_mut(&key)) {
            Some(waiting) => waiting.push_back(ticket),
            None => {
                if let Some(key) = gate {
                    queue.gates.insert(key, Default::default());
                }
                self.enqueue(ticket, false);
            }
        }
        self.set_message_timer(ticket.slot, Some(deadline));
        self.pump(peer, now);
        Ok(ticket)
    }

    /// The waiting message that a new one of the same key replaces.
    fn replaceable(&self, peer: u32, options: &SendOptions) -> Option<Ticket> {
        let queue = &self.peers[peer as usize].outgoing[options.class.index()];
        let old = *queue.conflated.get(&options.conflate?)?;
        let message = self.messages.by_ticket(old)?;
        (!message.left()).then_some(old)
    }

    pub(crate) fn enqueue(&mut self, ticket: Ticket, front: bool) {
        let Some(message) = self.messages.get_mut(ticket.slot) else {
            return;
        };
        if message.queued {
            return;
        }
        message.queued = true;
        let (peer, class) = (message.peer, message.options.class);
        let queue = &mut self.peers[peer as usize].outgoing[class.index()].queue;
        if front {
            queue.push_front(ticket);
        } else {
            queue.push_back(ticket);
        }
    }

    /// Sends what may go to `peer`, class by class in the order of service. A class that cannot go
    /// on does not hold up the next.
    pub(crate) fn pump(&mut self, peer: u32, now: Timestamp) {
        for class in TrafficClass::ALL {
            self.pump_class(peer, class, now);
        }
    }

    fn pump_class(&mut self, peer: u32, class: TrafficClass, now: Timestamp) {
        let mut passed = 0;
        while passed < PUMP_DEPTH {
            let queue = &mut self.peers[peer as usize].outgoing[class.index()].queue;
            let Some(ticket) = queue.get(passed).copied() else {
                return;
            };
            let Some(message) = self.messages.by_ticket(ticket).filter(|m| m.queued) else {
                queue.remove(passed);
                let outgoing = &mut self.peers[peer as usize].outgoing[class.index()];
                outgoing.stale = outgoing.stale.saturating_sub(1);
                continue;
            };
            if message.deadline <= now {
                self.expire(ticket.slot, now);
                continue;
            }
            let reason = if message.attempts == 0 { Reason::First } else { Reason::LocalError };
            match self.transmit(ticket.slot, None, reason, now) {
                Ok(_) => {
                    // A fragmented message may have only begun; then it is still the head.
                    if self.messages.by_ticket(ticket).is_some_and(|m| m.queued) {
                        return;
                    }
                }
                Err(Blocked::TooDear) => {
                    self.park(ticket.slot, now + ENERGY_RETRY);
                    passed += 1;
                }
                Err(Blocked::NoLink | Blocked::NoRoom | Blocked::Window) => {
                    if !self.park_refused(ticket.slot, now) {
                        return;
                    }
                    passed += 1;
                }
            }
        }
    }

    /// Takes a message out of its queue until `at`.
    fn park(&mut self, slot: u32, at: Timestamp) {
        if let Some(message) = self.messages.get_mut(slot) {
            message.queued = false;
            message.retry_at = Some(at);
            let at = at.min(message.deadline);
            self.set_message_timer(slot, Some(at));
        }
    }

    /// Sends one transmission of a message over the best link that takes it, `exclude` and those
    /// that already refused it last.
    pub(crate) fn transmit(
        &mut self,
        slot: u32,
        exclude: Option<LinkId>,
        reason: Reason,
        now: Timestamp,
    ) -> Result<LinkId, Blocked> {
        let Some(message) = self.messages.get(slot) else {
            return Err(Blocked::NoLink);
        };
        let (peer, class) = (message.peer, message.options.class);
        let state = &self.peers[peer as usize];
        let candidates = self.roster.candidates(peer);
        let packet = self.packet(peer, class, message.policy, message.payload.len());
        let ranking = crate::policy::rank(candidates, &packet, now);
        let pinned = self.pinned(message);
        let mut blocked = Blocked::NoLink;
        let mut chosen = None;
        if let Some(index) = under_way(message, state) {
            let link = &state.links[index];
            if link.flights.is_full() || !has_room(link, class) {
                return Err(Blocked::NoRoom);
            }
            let link = link.id();
            return self.transmit_on(slot, index, reason, now).map(|()| link);
        }
        let mut draining = None;
        // A link that failed this message once is better than one that answers nothing; one that
        // failed it twice is not, every other time.
        let try_down = message.timeouts >= 2 && message.timeouts.is_multiple_of(2);
        let turn = |excluded: bool, down: bool| match (excluded, down) {
            (false, false) => 0,
            (false, true) => 2 - u8::from(try_down),
            (true, _) => 1 + u8::from(try_down),
        };
        for pass in 0..3 {
            for index in ranking.iter() {
                let link = &state.links[index];
                let excluded = exclude == Some(link.id());
                if !link.ready
                    || turn(excluded, link.is_down()) != pass
                    || (excluded && reason == Reason::SecondCopy)
                    || message.refused.contains(&link.id())
                    || pinned.is_some_and(|only| only != link.id())
                {
                    continue;
                }
                let dear = message
                    .options
                    .energy_cap
                    .is_some_and(|cap| candidates[index].marginal_energy(packet.bytes, now) > cap);
                if dear {
                    blocked = Blocked::TooDear;
                    continue;
                }
                if link.flights.is_full() || !has_room(link, class) {
                    blocked = Blocked::NoRoom;
                    // Background waits for the radio that costs least; others take the next.
                    if class == TrafficClass::Background && !link.is_suspect() {
                        return Err(blocked);
                    }
                    if link.queue_age(now) < PATIENT {
                        let full = crate::policy::score(&candidates[index], &packet, now);
                        draining = draining.or(Some(full));
                    }
                    continue;
                }
                let score = crate::policy::score(&candidates[index], &packet, now);
                if message.policy == FailoverPolicy::LoadBalanced
                    && draining.is_some_and(|full| {
                        full.tier == score.tier && score.cost > full.cost + FAIR_SHARE_COST
                    })
                {
                    return Err(Blocked::NoRoom);
                }
                chosen = Some(index);
                break;
            }
            if chosen.is_some() {
                break;
            }
        }
        let Some(index) = chosen else {
            return Err(blocked);
        };
        let link = state.links[index].id();
        let attempt = message.attempts.saturating_add(1);
        let decision = Decision::new(now, class, attempt, packet, candidates, ranking, link);
        self.peers[peer as usize].remember(decision);
        self.transmit_on(slot, index, reason, now).map(|()| link)
    }

    /// Without failover a message stays on the link of its first attempt while that exists, and a
    /// class on the link it uses.
    fn pinned(&self, message: &Message) -> Option<LinkId> {
        if self.config.auto_failover {
            return None;
        }
        let state = &self.peers[message.peer as usize];
        let incumbent = self.roster.incumbent(message.peer, message.options.class);
        let first = message.last_link.or(incumbent)?;
        state.link_index(first).map(|_| first)
    }

    fn transmit_on(
        &mut self,
        slot: u32,
        index: usize,
        reason: Reason,
        now: Timestamp,
    ) -> Result<(), Blocked> {
        let Some(message) = self.messages.get_mut(slot) else {
            return Err(Blocked::NoLink);
        };
        let (peer, class) = (message.peer, message.options.class);
        let state = &mut self.peers[peer as usize];
        let outgoing = &mut state.outgoing[class.index()];
        if message.sequence.is_none() {
            message.sequence = Some(outgoing.number(slot).ok_or(Blocked::Window)?);
        }
        let link = &state.links[index];
        let (id, transport) = (link.id(), link.facts.transport);
        message.retry_at = None;
        if reason != Reason::SecondCopy {
            // Sharing a load is no change of mind.
            let shared = message.policy == FailoverPolicy::LoadBalanced;
            if !shared {
                let before = self.roster.set_incumbent(peer, class, id);
                self.counters.switches += u64::from(before.is_some_and(|before| before != id));
            }
            self.note_failover(slot, id, reason, now);
        }
        let Some(message) = self.messages.get_mut(slot) else {
            return Err(Blocked::NoLink);
        };
        let max_payload = self.peers[peer as usize].links[index].max_payload();
        let whole = message.payload.len() <= max_payload && message.fragments.is_none();
        let begins = message.fragments.as_ref().is_none_or(|f| f.link != Some(id));
        if begins {
            message.attempts = message.attempts.saturating_add(1);
            message.first_handed.get_or_insert(now);
            message.last_link = Some(id);
            let bytes = (message.payload.len() + Frame::DATA_OVERHEAD) as f64;
            let link = &mut self.peers[peer as usize].links[index];
            link.counters.requests += 1;
            if reason == Reason::First {
                let state = &mut self.peers[peer as usize];
                state.retries.earn(1.0);
                state.hedges.earn(bytes);
                self.retries.earn(1.0);
                self.hedges.earn(bytes);
            }
        }
        let last = if whole {
            let len = self.messages.get(slot).map_or(0, |m| m.payload.len() as u32);
            Some(self.hand_over(slot, index, 0, len, now))
        } else {
            self.hand_over_fragments(slot, index, begins, max_payload as u32, now)
        };
        let Some(message) = self.messages.get_mut(slot) else {
            return Ok(());
        };
        if let Some(seq) = last {
            let attempt = message.attempts;
            message.queued = false;
            message.add_copy(Copy { link: id, transport, seq, attempt, handed: now, live: true });
            if let Some(fragments) = &mut message.fragments {
                fragments.link = None;
                fragments.cursor = 0;
            }
            if reason == Reason::First && whole {
                self.mandated_copy(slot, id, now);
            }
            self.arm(slot, now);
        }
        Ok(())
    }

    /// Reports `Sent` for a message that asked for no more: its last frame on `link` has left.
    fn tell_sent(&mut self, ticket: Ticket, link: LinkId, seq: u32) {
        if self.messages.by_ticket(ticket).is_none() {
            return;
        }
        let Some(message) = self.messages.get_mut(ticket.slot) else {
            return;
        };
        let copy = message.copies().find(|c| c.link == link && c.seq == seq).copied();
        if let Some(copy) = copy.filter(|_| message.options.ack == AckLevel::Accepted)
            && !std::mem::replace(&mut message.told, true)
        {
            let link = TriedLink { link, transport: copy.transport };
            self.command(Command::Settle { ticket, outcome: Outcome::Sent { link } });
        }
    }

    fn note_failover(&mut self, slot: u32, to: LinkId, reason: Reason, now: Timestamp) {
        let Some(message) = self.messages.get(slot) else {
            return;
        };
        let Some(from) = message.last_link.filter(|from| *from != to) else {
            return;
        };
        if matches!(reason, Reason::First | Reason::Question) {
            return;
        }
        let after = message.first_handed.map_or(Duration::ZERO, |at| now.since(at));
        let (peer, class) = (message.peer, message.options.class);
        self.counters.failovers += 1;
        let state = &mut self.peers[peer as usize];
        if let Some(link) = state.link_mut(from) {
            link.counters.failovers += 1;
        }
        let peer = state.id;
        self.notice(Notice::Failover { peer, class, from, to, after });
    }

    /// Hands the byte range `start..end` to a link; returns the frame's number.
    fn hand_over(&mut self, slot: u32, index: usize, start: u32, end: u32, now: Timestamp) -> u32 {
        let Some(message) = self.messages.get(slot) else {
            return 0;
        };
        let (peer, class) = (message.peer, message.options.class);
        let ticket = self.messages.ticket(slot);
        let state = &mut self.peers[peer as usize];
        let sequence = message.sequence.unwrap_or_default();
        let behind = sequence.saturating_sub(state.outgoing[class.index()].lowest_live());
        let more_waits = state.outgoing.iter().any(|o| o.queue.len() > 1);
        let link = &mut state.links[index];
        let payload = message.payload.slice(start as usize..end as usize);
        let bytes = Frame::DATA_OVERHEAD + payload.len();
        let seq = link.flights.push(bytes, ticket, !more_waits, now);
        let tell = message.options.ack == AckLevel::Accepted && !message.told;
        link.flights.describe_newest(start, tell);
        link.carried(now);
        let frame = Frame {
            header: HopHeader {
                ttl: TTL,
                deadline_ms: remaining_ms(message.deadline, now),
                link_seq: seq,
                receiver_epoch: state.epoch.unwrap_or_default(),
            },
            hop_ack: None,
            route: None,
            body: Body::Data(Data {
                class,
                ack: message.options.ack,
                generation: 0,
                attempt: message.attempts,
                source_epoch: self.config.epoch,
                sequence,
                behind_lowest_live: u16::try_from(behind).unwrap_or(u16::MAX),
                total: message.payload.len() as u32,
                offset: start,
                payload,
            }),
        };
        link.handed(bytes, Some(seq), now);
        let id = link.id();
        let due = link.timer.is_none_or(|at| at > now + link.timeout(SizeBucket::of(bytes)));
        self.refresh(peer, index);
        self.command(Command::Transmit { link: id, seq: Some(seq), frame: frame.encode() });
        if due {
            self.arm_link(peer, id, now);
        }
        seq
    }

    /// Hands over fragments while the link has room; returns the last one's number when the pass
    /// is complete, and leaves the message at the head of its queue when it is not.
    fn hand_over_fragments(
        &mut self,
        slot: u32,
        index: usize,
        begins: bool,
        most: u32,
        now: Timestamp,
    ) -> Option<u32> {
        let message = self.messages.get_mut(slot)?;
        let (peer, class) = (message.peer, message.options.class);
        let total = message.payload.len() as u32;
        let carrier = &self.peers[peer as usize].links[index];
        let (link, first) = (carrier.id(), carrier.flights.next_seq());
        let fragments = message.fragments.get_or_insert_with(|| Box::new(Fragments::default()));
        if begins {
            fragments.cursor = 0;
            fragments.link = Some(link);
            fragments.pass = Some((link, first));
        }
        let mut last = None;
        loop {
            let fragments = self.messages.get(slot)?.fragments.as_ref()?;
            let Some((start, end)) = fragments.next(total, most) else {
                break;
            };
            let state = &self.peers[peer as usize].links[index];
            if state.flights.is_full() || !has_room(state, class) {
                // Comes back when the driver has written some.
                let ticket = self.messages.ticket(slot)?;
                self.enqueue(ticket, true);
                return None;
            }
            last = Some(self.hand_over(slot, index, start, end, now));
            if let Some(fragments) = self.messages.get_mut(slot).and_then(|m| m.fragments.as_mut())
            {
                fragments.cursor = end;
            }
        }
        // Everything had arrived, yet no answer came: ask again with a little of it.
        if last.is_none() {
            let start = total.saturating_sub(most.min(QUESTION_BYTES));
            last = Some(self.hand_over(slot, index, start, total, now));
        }
        last
    }

    /// Critical messages travel two links at once where there are two good ones.
    fn mandated_copy(&mut self, slot: u32, first: LinkId, now: Timestamp) {
        let Some(message) = self.messages.get(slot) else {
            return;
        };
        let len = message.payload.len();
        let mandated = message.options.class == TrafficClass::Critical
            && message.options.max_copies >= 2
            && self.config.auto_failover;
        if !mandated {
            return;
        }
        let peer = message.peer;
        let Some(index) = self.uncorrelated(slot, first, len, Duration::MAX, now) else {
            return;
        };
        if self.peers[peer as usize].copies.take(len as f64 + 64.0, 0.0, now) {
            self.second_copy(slot, index, now);
        }
    }

    /// The best good link beside `first` that can carry `len` bytes whole, another kind of link
    /// preferred: its failures have other causes.
    fn uncorrelated(
        &self,
        slot: u32,
        first: LinkId,
        len: usize,
        slack: Duration,
        now: Timestamp,
    ) -> Option<usize> {
        let message = self.messages.get(slot)?;
        let class = message.options.class;
        let state = &self.peers[message.peer as usize];
        let kind = state.links.iter().find(|l| l.id() == first).map(|l| l.facts.transport);
        let candidates = self.roster.candidates(message.peer);
        let packet = self.packet(message.peer, class, message.policy, len);
        let ranking = crate::policy::rank(candidates, &packet, now);
        let bucket = SizeBucket::of(len + Frame::DATA_OVERHEAD);
        let usable = |index: &usize| {
            let link = &state.links[*index];
            link.id() != first
                && link.tier(bucket) <= Tier::BelowThreshold
                && link.max_payload() >= len
                && !link.flights.is_full()
                && has_room(link, class)
                && message
                    .options
                    .energy_cap
                    .is_none_or(|cap| candidates[*index].marginal_energy(len, now) <= cap)
        };
        let other_kind = |index: &usize| Some(state.links[*index].facts.transport) != kind;
        let best = |wanted: &dyn Fn(&usize) -> bool| ranking.iter().filter(usable).find(wanted);
        let fastest = best(&|_| true)?;
        let latency = |index: usize| candidates[index].latency_us[bucket.index()];
        let slack = u32::try_from(slack.as_micros()).unwrap_or(u32::MAX);
        let soon = latency(fastest).saturating_add(slack);
        best(&|index| other_kind(index) && latency(*index) <= soon).or(Some(fastest))
    }

    fn second_copy(&mut self, slot: u32, index: usize, now: Timestamp) {
        // The message is numbered already, so nothing can block it.
        self.transmit_on(slot, index, Reason::SecondCopy, now).unwrap_or_default();
    }

    /// How long the copy's answer may take, backed off once every link had its turn.
    fn patience(&self, message: &Message, link: &Link) -> Duration {
        let bytes = (message.payload.len() + Frame::DATA_OVERHEAD).min(link.max_frame);
        let timeout = link.timeout(SizeBucket::of(bytes));
        let links = &self.peers[message.peer as usize].links;
        let ready = links.iter().filter(|l| l.ready && !l.is_down()).count().max(1) as u32;
        let doublings = (message.timeouts / ready).min(16);
        (timeout * (1 << doublings)).min(TIMEOUT_CAP.max(timeout))
    }

    /// When the copy's answer is overdue.
    fn due(&self, message: &Message, copy: &Copy) -> Timestamp {
        let state = &self.peers[message.peer as usize];
        let Some(link) = state.links.iter().find(|l| l.id() == copy.link) else {
            return copy.handed;
        };
        let timeout = self.patience(message, link);
        match link.flights.get(copy.seq) {
            Some(flight) if flight.state != FlightState::Acked => match flight.written {
                Some(written) => written + timeout,
                None => flight.handed + timeout.max(link.queue_patience()),
            },
            // The hop acknowledged it and the end did not: the end gets as long again.
            Some(_) | None => copy.handed + (timeout * 2).min(TIMEOUT_CAP.max(timeout)),
        }
    }

    /// When to look whether the copy's answer is overdue. A frame that waits in the driver's queue
    /// is looked at as if it left at once: by then its driver has mostly told when it left, and
    /// that alone sets no timer.
    fn look_at(&self, message: &Message, copy: &Copy, now: Timestamp) -> Timestamp {
        let due = self.due(message, copy);
        let state = &self.peers[message.peer as usize];
        let link = state.links.iter().find(|l| l.id() == copy.link);
        let early = link
            .filter(|l| l.flights.get(copy.seq).is_some_and(|f| f.written.is_none()))
            .map(|link| copy.handed + self.patience(message, link));
        early.filter(|early| *early > now).map_or(due, |early| early.min(due))
    }

    fn hedge_due(&self, message: &Message) -> Option<Timestamp> {
        let mut copies = message.copies();
        let copy = copies.next()?;
        let wanted = self.config.hedging
            && self.config.auto_failover
            && self.config.resend
            && message.options.class == TrafficClass::Realtime
            && message.options.max_copies >= 2
            && !message.hedged
            && message.fragments.is_none()
            && copies.next().is_none();
        if !wanted {
            return None;
        }
        let state = &self.peers[message.peer as usize];
        if state.links.len() < 2 {
            return None;
        }
        let link = state.links.iter().find(|l| l.id() == copy.link)?;
        let bucket = SizeBucket::of(message.payload.len() + Frame::DATA_OVERHEAD);
        let at = copy.handed + link.hedge_delay(bucket)?;
        let horizon = message.deadline - HEDGE_HORIZON;
        Some(at.max(horizon)).filter(|at| *at < message.deadline)
    }

    /// Sets the message's one timer to whatever comes first.
    pub(crate) fn arm(&mut self, slot: u32, now: Timestamp) {
        let Some(message) = self.messages.get(slot) else {
            return;
        };
        let mut at = message.deadline;
        if self.config.resend && !message.queued {
            if let Some(look) = message.copies().map(|copy| self.look_at(message, copy, now)).min()
            {
                at = at.min(look);
            }
            if let Some(hedge) = self.hedge_due(message) {
                at = at.min(hedge);
            }
            if let Some(retry) = message.retry_at.filter(|_| !message.has_copies()) {
                at = at.min(retry);
            }
        }
        self.set_message_timer(slot, Some(at));
    }

    pub(crate) fn message_timer(&mut self, slot: u32, now: Timestamp) {
        let Some(message) = self.messages.get_mut(slot) else {
            return;
        };
        message.timer = None;
        if message.deadline <= now {
            return self.expire(slot, now);
        }
        if message.queued || !self.config.resend {
            return self.arm(slot, now);
        }
        if message.options.ack == AckLevel::Accepted && message.told {
            let deadline = message.deadline;
            return self.set_message_timer(slot, Some(deadline));
        }
        if message.peer_acked {
            return self.ask_again(slot, now);
        }
        let expired = self.expire_copies(slot, now);
        let Some(message) = self.messages.get_mut(slot) else {
            return;
        };
        if message.has_copies() {
            if self.messages.get(slot).and_then(|m| self.hedge_due(m)).is_some_and(|at| at <= now) {
                self.hedge(slot, now);
            }
            return self.arm(slot, now);
        }
        if message.retry_at.is_some_and(|at| at > now) {
            return self.arm(slot, now);
        }
        if expired.is_some() {
            message.timeouts = message.timeouts.saturating_add(1);
            message.owes = true;
        }
        message.refused.clear();
        self.resend(slot, expired, now);
    }

    /// Gives up copies whose answer is overdue; returns the link of the last.
    fn expire_copies(&mut self, slot: u32, now: Timestamp) -> Option<LinkId> {
        let message = self.messages.get(slot)?;
        let peer = message.peer;
        let overdue: Vec<Copy> =
            message.copies().filter(|copy| self.due(message, copy) <= now).copied().collect();
        for copy in &overdue {
            if let Some(message) = self.messages.get_mut(slot) {
                message.give_up_copies(|c| c.link == copy.link && c.seq == copy.seq);
            }
            let Some(link) = self.peers[peer as usize].link_mut(copy.link) else {
                continue;
            };
            link.counters.failures += 1;
            let bytes = link.flights.get(copy.seq).map_or(0, |f| f.bytes as usize);
            let bucket = SizeBucket::of(bytes);
            let waiting = link.flights.get(copy.seq).is_some_and(|f| f.written.is_none());
            let mut change = None;
            if link.flights.expire(copy.seq) {
                change = link.expired(bucket, now);
            }
            if waiting && link.queue_age(now) >= link.queue_patience() {
                change = link.suspect(bucket, now).or(change);
            }
            self.link_changed(peer, copy.link, change);
            self.arm_link(peer, copy.link, now);
        }
        overdue.last().map(|copy| copy.link)
    }

    /// Sends a message again, drawing on the retry budgets.
    fn resend(&mut self, slot: u32, exclude: Option<LinkId>, now: Timestamp) {
        let Some(message) = self.messages.get(slot) else {
            return;
        };
        let (peer, class) = (message.peer, message.options.class);
        let credit = if class == TrafficClass::Critical { CRITICAL_CREDIT } else { 0.0 };
        let costs = if message.owes { 1.0 } else { 0.0 };
        let own = &mut self.peers[peer as usize].retries;
        if !(own.has(costs, credit, now) && self.retries.take(costs, credit, now)) {
            self.counters.budget_waits += 1;
            if let Some(message) = self.messages.get_mut(slot) {
                message.retry_at = Some(now + RETRY_SOON * (1 << message.waits));
                message.waits = (message.waits + 1).min(MOST_WAITS);
            }
            return self.arm(slot, now);
        }
        own.take(costs, credit, now);
        let Some(message) = self.messages.get_mut(slot) else { return };
        message.waits = 0;
        let owed = std::mem::take(&mut message.owes);
        let exclude = exclude.or(message.last_link).filter(|_| owed);
        let reason = if owed { Reason::Timeout } else { Reason::LocalError };
        self.move_on(slot, exclude, reason, now);
    }

    /// Transmits again now, or as soon as a link has room.
    pub(crate) fn move_on(
        &mut self,
        slot: u32,
        exclude: Option<LinkId>,
        reason: Reason,
        now: Timestamp,
    ) {
        match self.transmit(slot, exclude, reason, now) {
            Ok(_) => {}
            Err(Blocked::TooDear) => self.park(slot, now + ENERGY_RETRY),
            Err(Blocked::NoLink | Blocked::NoRoom | Blocked::Window) => {
                if self.park_refused(slot, now) {
                    return;
                }
                if let Some(ticket) = self.messages.ticket(slot) {
                    self.enqueue(ticket, true);
                }
                self.arm(slot, now);
            }
        }
    }

    /// Waits a little when every driver said no just now; asking again at once would spin.
    fn park_refused(&mut self, slot: u32, now: Timestamp) -> bool {
        let refused =
            self.messages.get_mut(slot).is_some_and(|m| !std::mem::take(&mut m.refused).is_empty());
        if refused {
            self.park(slot, now + RETRY_SOON);
        }
        refused
    }

    /// Asks the destination again for its application's answer, if the retry budget allows.
    fn ask_again(&mut self, slot: u32, now: Timestamp) {
        let Some(message) = self.messages.get_mut(slot) else {
            return;
        };
        if message.retry_at.is_none_or(|at| at <= now) {
            message.give_up_copies(|_| true);
            message.refused.clear();
            message.timeouts = message.timeouts.saturating_add(1);
            let own = &mut self.peers[message.peer as usize].retries;
            if own.has(1.0, 0.0, now) && self.retries.take(1.0, 0.0, now) {
                own.take(1.0, 0.0, now);
                // Without a link now there will be one, or the deadline, later.
                self.transmit(slot, None, Reason::Question, now).unwrap_or(LinkId(0));
            }
        }
        self.ask_again_later(slot, now);
    }

    /// Sets the time of the next question: twice the patience with the link used last, growing.
    pub(crate) fn ask_again_later(&mut self, slot: u32, now: Timestamp) {
        let Some(message) = self.messages.get(slot) else {
            return;
        };
        let links = &self.peers[message.peer as usize].links;
        let link = links.iter().find(|l| Some(l.id()) == message.last_link);
        let wait = link.map_or(TIMEOUT_CAP, |link| self.patience(message, link) * 2);
        let at = (now + wait).min(message.deadline);
        if let Some(message) = self.messages.get_mut(slot) {
            message.queued = false;
            message.retry_at = Some(at);
        }
        self.set_message_timer(slot, Some(at));
    }

    fn hedge(&mut self, slot: u32, now: Timestamp) {
        let Some(message) = self.messages.get_mut(slot) else {
            return;
        };
        message.hedged = true;
        let (peer, len) = (message.peer, message.payload.len());
        let Some(first) = message.last_link else {
            return;
        };
        let Some(index) = self.uncorrelated(slot, first, len, HEDGE_SLACK, now) else {
            return;
        };
        let cost = (len + Frame::DATA_OVERHEAD) as f64;
        let own = &mut self.peers[peer as usize].hedges;
        if own.has(cost, 0.0, now) && self.hedges.take(cost, 0.0, now) {
            own.take(cost, 0.0, now);
            self.counters.hedges += 1;
            self.second_copy(slot, index, now);
        }
    }

    /// A driver did not take the frame `seq` of `link`. The message goes to the next candidate at
    /// no charge.
    pub fn transmit_failed(
        &mut self,
        link: LinkId,
        seq: Option<u32>,
        failure: TransmitFailure,
        now: Timestamp,
    ) {
        self.not_taken(link, seq, failure, now);
        self.end_turn(now);
    }

    fn not_taken(
        &mut self,
        link: LinkId,
        seq: Option<u32>,
        failure: TransmitFailure,
        now: Timestamp,
    ) {
        let Some(peer) = self.links.get(&link).copied() else {
            return;
        };
        let Some(state) = self.peers[peer as usize].link_mut(link) else {
            return;
        };
        let flight = seq.and_then(|seq| state.flights.get(seq).copied());
        state.not_taken(seq);
        let fits = |max| flight.is_some_and(|f| f.bytes as usize <= max);
        let mut cut_anew = false;
        let change = match failure {
            TransmitFailure::Full => {
                state.queue_full();
                None
            }
            TransmitFailure::Closed => {
                state.counters.failures += 1;
                state.refused_frame(now)
            }
            // A bound that the frame keeps, or that leaves no room for a payload, is no answer.
            TransmitFailure::TooBig { max } if fits(max) || max < LinkCapabilities::MIN_FRAME => {
                None
            }
            TransmitFailure::TooBig { max } => {
                state.fit(state.max_frame.min(max));
                cut_anew = true;
                None
            }
        };
        let idle = state.backlog().0 == 0;
        self.link_changed(peer, link, change);
        let Some(flight) = flight else { return };
        let Some(ticket) = flight.owner else {
            return self.probe_not_taken(peer, link, now);
        };
        if self.messages.by_ticket(ticket).is_none() {
            return;
        }
        let Some(message) = self.messages.get_mut(ticket.slot) else {
            return;
        };
        let stale = |f: &Fragments| !f.is_current(link, seq.unwrap_or_default());
        if message.fragments.as_deref().is_some_and(stale) {
            return;
        }
        if failure == TransmitFailure::Full
            && !idle
            && let Some(fragments) = &mut message.fragments
        {
            // The rest of the pass waits until the driver has room.
            if fragments.rewind(link, flight.offset) {
                message.take_back_all(link);
                self.enqueue(ticket, true);
                self.arm(ticket.slot, now);
            }
            return;
        }
        if message.fragments.is_some() {
            // A driver that is full with nothing in it will not tell when it has room.
            message.queued = false;
        }
        if let Some(fragments) = &mut message.fragments {
            fragments.link = None;
            fragments.cursor = 0;
            fragments.pass = None;
            message.take_back_all(link);
        } else {
            message.take_back(link, seq.unwrap_or_default());
        }
        if !cut_anew && !message.refused.contains(&link) {
            message.refused.push(link);
        }
        if message.peer_acked {
            return;
        }
        if !message.has_copies() && !message.queued {
            self.move_on(ticket.slot, None, Reason::LocalError, now);
        }
    }

    /// A link's driver tells that `total` frames have left its queue since the link came up.
    pub fn written(&mut self, link: LinkId, total: u64, now: Timestamp) {
        let Some(peer) = self.links.get(&link).copied() else {
            return;
        };
        let state = &mut self.peers[peer as usize];
        let Some(index) = state.link_index(link) else {
            return;
        };
        let more_waits = state.outgoing.iter().any(|o| !o.queue.is_empty());
        let (mut any_waited, mut waited) = (false, Vec::new());
        state.links[index].written(total, more_waits, now, |seq, owner| {
            any_waited = true;
            waited.extend(owner.map(|ticket| (seq, ticket)));
        });
        self.refresh(peer, index);
        if any_waited {
            // Their timers were set for frames that may wait much longer.
            for (seq, ticket) in waited {
                self.tell_sent(ticket, link, seq);
                self.arm(ticket.slot, now);
            }
            self.arm_link(peer, link, now);
        }
        self.pump(peer, now);
    }

    /// Ends a message whose time is up without an answer.
    pub(crate) fn expire(&mut self, slot: u32, now: Timestamp) {
        let Some(message) = self.messages.get(slot) else {
            return;
        };
        let tried: Vec<TriedLink> = message.tried();
        let outcome =
            if message.left() { Outcome::Unknown { tried } } else { Outcome::Expired { tried } };
        self.settle(slot, outcome, now);
    }
}

/// What a driver said when it did not take a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransmitFailure {
    /// Its queue is full; `written` will tell when it has room.
    Full,
    /// It cannot send at all.
    Closed,
    /// The frame exceeds what the link carries now.
    TooBig {
        /// Largest frame in bytes.
        max: usize,
    },
}

/// The link that carries the message's fragments just now, if nothing speaks against it.
fn under_way(message: &Message, state: &Peer) -> Option<usize> {
    let carrier = message.fragments.as_ref()?.link?;
    let usable = |l: &Link| l.id() == carrier && l.ready && !l.is_suspect();
    let index = state.links.iter().position(usable)?;
    (!message.refused.contains(&carrier)).then_some(index)
}

/// Whether the driver's queue may take another frame of `class`: traffic that cannot wait may go
/// ahead of the limit by two frames.
fn has_room(link: &Link, class: TrafficClass) -> bool {
    match class {
        TrafficClass::Realtime | TrafficClass::Critical => link.has_room_ahead(),
        TrafficClass::Background | TrafficClass::Bulk => link.has_room(),
    }
}

fn remaining_ms(deadline: Timestamp, now: Timestamp) -> u32 {
    let ms = deadline.since(now).as_nanos().div_ceil(1_000_000);
    u32::try_from(ms).unwrap_or(NO_DEADLINE).min(NO_DEADLINE - 1)
}
