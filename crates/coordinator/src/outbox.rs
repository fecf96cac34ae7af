//! Messages of this node's own that outlive its process: durable before their first copy leaves.

use std::time::Duration;

use bitcraps_types::{Epoch, Timestamp, TrafficClass};

use crate::message::Message;
use crate::record::{Kept, OutboxId, Write, is_kept, is_recorded};
use crate::store::{RECORD_BYTES, StoreState, Waiter};
use crate::{Command, Core, Order, Outcome, Progress, SendError, SendOptions, Ticket};

/// A message of the outbox as seen from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutboxEntry {
    /// Its identity.
    pub id: OutboxId,
    /// Its length in bytes.
    pub bytes: usize,
    /// How long it is still worth anything.
    pub remaining: Duration,
    /// Where it stands.
    pub progress: Progress,
    /// Whether a former incarnation of this node took it.
    pub recalled: bool,
}

impl Core {
    /// The outbox, by identity. O(messages).
    pub fn outbox(&self, now: Timestamp) -> Vec<OutboxEntry> {
        let kept = self.messages.slots().filter_map(|slot| self.messages.get(slot));
        let entry = |message: &Message| {
            Some(OutboxEntry {
                id: self.outbox_id(message).filter(|_| message.kept)?,
                bytes: message.payload.len(),
                remaining: message.deadline.since(now),
                progress: message.progress(),
                recalled: message.former.is_some(),
            })
        };
        let mut entries: Vec<OutboxEntry> = kept.filter_map(entry).collect();
        entries.sort_unstable_by_key(|entry| entry.id);
        entries
    }

    /// The message of a ticket, if it is in the outbox.
    pub fn outbox_id_of(&self, ticket: Ticket) -> Option<OutboxId> {
        let message = self.messages.by_ticket(ticket).filter(|message| message.kept)?;
        self.outbox_id(message)
    }

    pub(crate) fn outbox_id(&self, message: &Message) -> Option<OutboxId> {
        Some(OutboxId {
            destination: self.peers[message.peer as usize].id,
            epoch: message.former.unwrap_or(self.config.epoch),
            sequence: message.sequence?,
        })
    }

    /// Whether a message is to be kept, if it can be.
    pub(crate) fn keeps(&self, options: &SendOptions, len: usize) -> Result<bool, SendError> {
        match self.store.state {
            _ if !is_kept(options.class, options.ack) => Ok(false),
            StoreState::Absent => Ok(false),
            StoreState::Failed => Err(SendError::StoreFailed),
            StoreState::Ready if self.store.has_room(len) => Ok(true),
            StoreState::Ready => {
                let (bytes, most) = (self.store.bytes, self.store.most_bytes());
                Err(SendError::StoreFull { bytes, most })
            }
        }
    }

    /// A message that was just taken is to be kept: it gets its number, and leaves once it is
    /// durable.
    pub(crate) fn keep(&mut self, slot: u32, now: Timestamp) {
        let Some(message) = self.messages.get_mut(slot) else {
            return;
        };
        let state = &mut self.peers[message.peer as usize];
        let numbers = &mut state.outgoing[message.options.class.index()].numbers;
        message.sequence = numbers.give(slot);
        message.since = state.epoch.unwrap_or_default();
        message.kept = true;
        self.store.kept += 1;
        self.store.bytes += message.payload.len() + RECORD_BYTES;
        self.write_kept(slot, now);
    }

    /// Makes what the outbox says of a message durable, and the message wait for that.
    fn write_kept(&mut self, slot: u32, now: Timestamp) {
        let (Some(ticket), Some(message)) =
            (self.messages.ticket(slot), self.messages.get_mut(slot))
        else {
            return;
        };
        message.storing += 1;
        message.retry_at = None;
        let peer = message.peer as usize;
        if std::mem::take(&mut message.queued) {
            self.peers[peer].outgoing[message.options.class.index()].stale += 1;
        }
        let Some(message) = self.messages.get(slot) else { return };
        let Some(id) = self.outbox_id(message) else { return };
        let kept = Kept {
            id,
            since: message.since,
            options: message.options,
            policy: message.policy,
            remaining: message.deadline.since(now),
            payload: message.payload.clone(),
        };
        self.persist(Write::Keep(kept), Waiter::Leave(ticket));
    }

    /// What the outbox says of a message is durable.
    pub(crate) fn may_leave(&mut self, ticket: Ticket) {
        if self.messages.by_ticket(ticket).is_none() {
            return;
        }
        let Some(message) = self.messages.get_mut(ticket.slot) else {
            return;
        };
        message.storing -= 1;
        let (peer, gated) = (message.peer, message.gated);
        if !gated {
            self.enqueue(ticket, false);
            self.mark_dirty(peer);
        }
    }

    /// Whether a message is in the outbox cannot be known any more.
    pub(crate) fn never_durable(&mut self, ticket: Ticket, now: Timestamp) {
        if let Some(message) = self.messages.by_ticket(ticket) {
            let tried = message.tried();
            self.settle(ticket.slot, Outcome::Unknown { tried }, now);
        }
    }

    /// A message is settled, and its number given up: the outbox need not keep it. Tells whether
    /// its outcome has to wait until that is durable.
    pub(crate) fn forget_kept(
        &mut self,
        ticket: Ticket,
        id: OutboxId,
        len: usize,
        outcome: Outcome,
        told: bool,
        now: Timestamp,
    ) {
        self.store.kept -= 1;
        self.store.bytes -= len + RECORD_BYTES;
        let certain = matches!(outcome, Outcome::Rejected { .. }) && !told;
        match (certain, self.store.is_ready()) {
            // A crash must not bring back what was said never to leave.
            (true, true) => self.persist(Write::Settle(id), Waiter::Tell { ticket, outcome }),
            (true, false) => {
                let outcome = Outcome::Unknown { tried: Vec::new() };
                self.command(Command::Settle { ticket, outcome });
            }
            (false, _) => {
                self.persist_lazily(Write::Settle(id), now);
                if !told {
                    self.command(Command::Settle { ticket, outcome });
                }
            }
        }
    }

    /// Messages that a former incarnation kept go on under their own identities.
    pub(crate) fn recall_outbox(&mut self, mut outbox: Vec<Kept>, now: Timestamp) -> Vec<Ticket> {
        outbox.sort_unstable_by_key(|kept| kept.id);
        outbox.into_iter().filter_map(|kept| self.recall_kept(kept, now)).collect()
    }

    fn recall_kept(&mut self, kept: Kept, now: Timestamp) -> Option<Ticket> {
        let Kept { id, since, options, policy, remaining, payload } = kept;
        // A full table is no reason to forget: the next start may have room.
        let peer = self.enter(id.destination, now)?.0;
        let len = payload.len();
        let mut message = Message::new(peer, payload, options, policy, now);
        message.deadline = now + remaining;
        message.former = Some(id.epoch);
        message.sequence = Some(id.sequence);
        message.since = since;
        message.kept = true;
        // Whether a copy left, only its destination knows.
        message.doubtful = since != Epoch::default();
        let deadline = message.deadline;
        let ticket = self.messages.insert(message);
        self.store.kept += 1;
        self.store.bytes += len + RECORD_BYTES;
        let queue = &mut self.peers[peer as usize].outgoing[TrafficClass::Critical.index()];
        queue.former.entry(id.epoch).or_default().recall(id.sequence, ticket.slot);
        self.admit(ticket, len);
        self.set_message_timer(ticket.slot, Some(deadline));
        Some(ticket)
    }

    /// The peer greeted in an incarnation that is new to this node. What it may have had before and
    /// does not remember, nobody can know; what it remembers goes on; what it cannot have had goes to
    /// this one.
    pub(crate) fn reckon_with(&mut self, peer: u32, now: Timestamp) {
        let state = &self.peers[peer as usize];
        let (memory, epoch) = (state.memory, state.epoch.unwrap_or_default());
        let own: Vec<u32> = state.outgoing.iter().flat_map(|o| o.numbered()).collect();
        for slot in own {
            let (Some(ticket), Some(message)) =
                (self.messages.ticket(slot), self.messages.get_mut(slot))
            else {
                continue;
            };
            let recorded = is_recorded(message.options.class, message.options.ack);
            if recorded && message.since != Epoch::default() && message.since >= memory {
                self.go_on(ticket, now);
            } else if message.left() {
                let tried = message.tried();
                self.settle(slot, Outcome::Unknown { tried }, now);
            } else if message.kept {
                message.since = epoch;
                message.fragments = None;
                self.write_kept(slot, now);
            } else if message.fragments.take().is_some() {
                self.enqueue(ticket, true);
            }
        }
    }

    /// The destination remembers what it took of a message in former incarnations: it is sent again.
    fn go_on(&mut self, ticket: Ticket, now: Timestamp) {
        let Some(message) = self.messages.get_mut(ticket.slot) else {
            return;
        };
        message.give_up_copies(|_| true);
        message.fragments = None;
        message.peer_acked = false;
        message.retry_at = None;
        message.timeouts = 0;
        if !message.gated {
            self.enqueue(ticket, false);
            self.arm(ticket.slot, now);
        }
    }

    /// A peer that was away is there again: of what waited for it, what ends first goes first.
    pub(crate) fn order_by_deadline(&mut self, peer: u32) {
        for class in [TrafficClass::Critical, TrafficClass::Background] {
            let queue = &mut self.peers[peer as usize].outgoing[class.index()].queue;
            let deadline =
                |ticket: &Ticket| self.messages.by_ticket(*ticket).map(|message| message.deadline);
            queue.make_contiguous().sort_by_key(deadline);
        }
    }

    /// Puts a message that was taken where it waits: behind the others of its key, or in the queue.
    pub(crate) fn admit(&mut self, ticket: Ticket, len: usize) {
        let Some(message) = self.messages.get_mut(ticket.slot) else {
            return;
        };
        let (peer, options) = (message.peer, message.options);
        let queue = &mut self.peers[peer as usize].outgoing[options.class.index()];
        queue.messages += 1;
        queue.bytes += len;
        self.node_bytes += len;
        if let Some(key) = options.conflate {
            queue.conflated.insert(key, ticket);
        }
        if let Order::PerKey(key) = options.order {
            match queue.gates.get_mut(&key) {
                Some(waiting) => {
                    message.gated = true;
                    return waiting.push_back(ticket);
                }
                None => {
                    queue.gates.insert(key, Default::default());
                }
            }
        }
        self.enqueue(ticket, false);
    }
}
