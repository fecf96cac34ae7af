//! Messages that wait: taken from the application, ordered by class, sent when a link has room.

use super::{Blocked, ENERGY_RETRY, PUMP_DEPTH, PUMP_EXPIRED, Reason};
use crate::config::bounds;
use crate::message::Message;
use crate::{
    Core, FailoverPolicy, Order, Outcome, PeerHandle, RejectReason, SendError, SendOptions, Sought,
    Standing, Ticket,
};
use bitcraps_types::{PeerId, Timestamp, TrafficClass};
use bitcraps_wire::MAX_MESSAGE;
use bytes::Bytes;

impl Core {
    /// Takes a message for `peer`. Never waits: the outcome comes as [`Command::Settle`](crate::Command::Settle).
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
        let sought = || Sought { known: self.peer_ids().len(), network: None };
        let handle =
            self.peer(peer).ok_or_else(|| SendError::NoRoute { to: peer, sought: sought() })?;
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
        self.turn = now;
        if self.shut_down {
            return Err(SendError::ShutDown);
        }
        if !self.roster.is_current(handle) {
            return Err(SendError::Forgotten);
        }
        let state = &self.peers[peer as usize];
        if state.standing != Standing::Admitted {
            return Err(SendError::NotAdmitted(state.id));
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
        let kept = self.keeps(&options, payload.len())?;
        if kept && queue.numbers.is_full() {
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
        if kept {
            self.keep(ticket.slot, now);
        }
        self.admit(ticket, len);
        self.pump(peer, now);
        // One that left has its timer.
        if self.messages.by_ticket(ticket).is_some_and(|m| m.timer.is_none()) {
            self.set_message_timer(ticket.slot, Some(deadline));
        }
        Ok(ticket)
    }

    /// The waiting message that a new one of the same key replaces.
    pub(super) fn replaceable(&self, peer: u32, options: &SendOptions) -> Option<Ticket> {
        let queue = &self.peers[peer as usize].outgoing[options.class.index()];
        let old = *queue.conflated.get(&options.conflate?)?;
        let message = self.messages.by_ticket(old)?;
        (!message.left()).then_some(old)
    }

    pub(crate) fn enqueue(&mut self, ticket: Ticket, front: bool) {
        let Some(message) = self.messages.get_mut(ticket.slot) else {
            return;
        };
        if message.queued || message.storing > 0 {
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

    pub(super) fn pump_class(&mut self, peer: u32, class: TrafficClass, now: Timestamp) {
        let (mut passed, mut expired) = (0, 0);
        let asks = self.peers[peer as usize].outgoing[class.index()].full.is_some();
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
                if expired == PUMP_EXPIRED {
                    // The next turn goes on, and the timers of the rest make one.
                    return self.mark_dirty(peer);
                }
                expired += 1;
                self.expire(ticket.slot, now);
                continue;
            }
            if let Some(at) = self.asks_at(peer, class).filter(|at| *at > now) {
                return self.look_at_room(ticket.slot, at, now);
            }
            let reason = if message.attempts == 0 { Reason::First } else { Reason::LocalError };
            match self.transmit(ticket.slot, None, reason, now) {
                Ok(_) => {
                    // A fragmented message may have only begun; then it is still the head.
                    if self.messages.by_ticket(ticket).is_some_and(|m| m.queued) {
                        return;
                    }
                    if asks {
                        self.asked_for_room(peer, class, now);
                    }
                }
                Err(Blocked::TooDear) => {
                    self.park(ticket.slot, now + ENERGY_RETRY);
                    passed += 1;
                }
                Err(blocked) => {
                    if blocked == Blocked::NoLink {
                        self.strand(peer);
                    }
                    if !self.park_refused(ticket.slot, blocked, now) {
                        return;
                    }
                    passed += 1;
                }
            }
        }
    }

    /// Takes a message out of its queue until `at`.
    pub(super) fn park(&mut self, slot: u32, at: Timestamp) {
        if let Some(message) = self.messages.get_mut(slot) {
            message.queued = false;
            message.retry_at = Some(at);
            let at = at.min(message.deadline);
            self.set_message_timer(slot, Some(at));
        }
    }
}
