use std::collections::VecDeque;

use bitcraps_types::{AckLevel, Epoch, PeerId, Timestamp, TrafficClass};
use bitcraps_wire::{EndAck, MAX_RANGES, ResultEntry, Status, StreamAck};

use crate::{
    Command, Core, LastSuccess, Order, Outcome, Progress, RejectReason, Ticket, TriedLink,
};

/// Settled messages that a queue may hold before it is swept.
const STALE_ENTRIES: usize = 32;

/// Names a stream of messages to a peer: the incarnation of this node that numbered it, if not this
/// one, and the class.
type Sent = (Option<Epoch>, TrafficClass);

impl Core {
    /// Where an unsettled message stands; `None` once it is settled.
    pub fn progress(&self, ticket: Ticket) -> Option<Progress> {
        self.messages.by_ticket(ticket).filter(|m| !m.told).map(|m| m.progress())
    }

    /// The sender is no longer interested. A message of which no copy left ends as cancelled; one
    /// that left ends as unknown, unless its acknowledgement came before.
    pub fn cancel(&mut self, ticket: Ticket, now: Timestamp) {
        let Some(message) = self.messages.by_ticket(ticket) else {
            return;
        };
        let outcome = if message.left() {
            Outcome::Unknown { tried: message.tried() }
        } else {
            Outcome::Rejected { why: RejectReason::Cancelled }
        };
        let peer = message.peer;
        self.settle(ticket.slot, outcome, now);
        self.pump(peer, now);
    }

    /// Takes no more messages, and ends those that wait: unknown where a copy left, and where the
    /// outbox holds them, because they go on when the node starts again.
    pub fn shut_down(&mut self, now: Timestamp) {
        self.shut_down = true;
        let slots: Vec<u32> = self.messages.slots().collect();
        for slot in slots {
            let Some(message) = self.messages.get(slot) else {
                continue;
            };
            let outcome = if message.left() || message.kept {
                Outcome::Unknown { tried: message.tried() }
            } else {
                Outcome::Rejected { why: RejectReason::ShutDown }
            };
            if let Some(message) = self.messages.get_mut(slot) {
                message.kept = false;
            }
            self.settle(slot, outcome, now);
        }
        self.store_due();
    }

    /// Messages that have no outcome yet.
    pub fn unsettled(&self) -> usize {
        self.messages.slots().count()
    }

    /// Gives a message its one outcome and forgets it.
    pub(crate) fn settle(&mut self, slot: u32, outcome: Outcome, now: Timestamp) {
        let (Some(ticket), Some(message)) = (self.messages.ticket(slot), self.messages.get(slot))
        else {
            return;
        };
        // A message is large; what is needed of it is taken, and the rest forgotten where it is.
        let (peer, options, len) = (message.peer, message.options, message.payload.len());
        let (timer, sequence) = (message.timer, message.sequence);
        let (queued, left, told) = (message.queued, message.left(), message.told);
        let former = message.former;
        let kept = self.outbox_id(message).filter(|_| message.kept);
        self.messages.remove(slot);
        self.drop_message_timer(slot, timer);
        let class = options.class;
        self.node_bytes -= len;
        let metrics = &mut self.settled[class.index()];
        match outcome {
            Outcome::Delivered { .. } => {
                metrics.delivered += 1;
                metrics.settled += 1;
            }
            Outcome::Expired { .. } | Outcome::Unknown { .. } => metrics.settled += 1,
            Outcome::Sent { .. } | Outcome::Rejected { .. } => {}
        }
        let queue = &mut self.peers[peer as usize].outgoing[class.index()];
        queue.messages -= 1;
        queue.bytes -= len;
        let lowest_live = sequence.map_or(0, |sequence| queue.settle(former, sequence));
        if queued {
            queue.stale += 1;
            // Half of it at once, so that each settlement pays for two entries.
            if queue.stale > STALE_ENTRIES && queue.stale * 2 > queue.queue.len() {
                queue.stale = 0;
                let waits = |t: &Ticket| self.messages.by_ticket(*t).is_some_and(|m| m.queued);
                queue.queue.retain(waits);
            }
        }
        if let Some(key) = options.conflate
            && queue.conflated.get(&key) == Some(&ticket)
        {
            queue.conflated.remove(&key);
        }
        let full = queue.full.is_some();
        let mut released = Vec::new();
        if let Order::PerKey(key) = options.order
            && let Some(waiting) = queue.gates.get_mut(&key)
        {
            match waiting.iter().position(|t| *t == ticket) {
                Some(at) => {
                    waiting.remove(at);
                }
                // A copy may still arrive: successors wait until its number is given up for good.
                None if left && matches!(outcome, Outcome::Unknown { .. }) => {
                    queue.closing.insert((former, sequence.unwrap_or_default()), key);
                }
                None => released.push(key),
            }
        }
        if !queue.closing.is_empty() {
            let given_up = queue.closing.range((former, 0)..(former, lowest_live));
            let given_up: Vec<_> = given_up.map(|(number, _)| *number).collect();
            released.extend(given_up.iter().filter_map(|number| queue.closing.remove(number)));
        }
        if queued && full {
            // It may be the one that was to look for room.
            self.mark_dirty(peer);
        }
        for key in released {
            self.open_gate(peer, class, key);
        }
        match kept {
            Some(id) => self.forget_kept(ticket, id, len, outcome, told, now),
            None if told => {}
            None => self.command(Command::Settle { ticket, outcome }),
        }
    }

    /// The message of a key that was on its way is out of it: the next one may go.
    fn open_gate(&mut self, peer: u32, class: TrafficClass, key: u64) {
        let gates = &mut self.peers[peer as usize].outgoing[class.index()].gates;
        match gates.get_mut(&key).and_then(VecDeque::pop_front) {
            Some(next) => {
                if let Some(message) = self.messages.get_mut(next.slot) {
                    message.gated = false;
                }
                self.enqueue(next, false);
                self.mark_dirty(peer);
            }
            None => {
                gates.remove(&key);
            }
        }
    }

    /// The destination's word about messages sent to it.
    pub(crate) fn on_end_ack(&mut self, peer: u32, ack: EndAck, now: Timestamp) {
        for stream in ack.streams {
            self.on_stream_ack(peer, &stream, now);
        }
    }

    fn on_stream_ack(&mut self, peer: u32, ack: &StreamAck, now: Timestamp) {
        let class = ack.class;
        let queue = &self.peers[peer as usize].outgoing[class.index()];
        let former = (ack.source_epoch != self.config.epoch).then_some(ack.source_epoch);
        let Some(numbers) = queue.numbers_of(former) else {
            self.counters.stale_epoch += 1;
            return;
        };
        let stream = (former, class);
        let end = numbers.end();
        let highest_named = ack
            .bitmap
            .iter()
            .enumerate()
            .rev()
            .find(|(_, word)| **word != 0)
            .map(|(i, word)| ack.base + 64 * i as u64 + 63 - u64::from(word.leading_zeros()));
        let forged = ack.cumulative > end
            || highest_named.is_some_and(|s| s >= end)
            || ack.results.iter().any(|r| r.sequence >= end)
            || ack.partials.iter().any(|p| p.sequence >= end);
        // What a former incarnation sent and settled is not known any more.
        if forged && former.is_none() {
            self.counters.forged_acks += 1;
            return;
        }
        if numbers.slot_of(ack.echo_sequence).is_none() {
            self.counters.late_acks += 1;
        }
        for sequence in numbers.lowest_live()..ack.cumulative.min(end) {
            self.on_taken(peer, stream, sequence, ack, now);
        }
        for (i, word) in ack.bitmap.iter().enumerate() {
            let mut left = *word;
            while left != 0 {
                let bit = u64::from(left.trailing_zeros());
                left &= left - 1;
                self.on_taken(peer, stream, ack.base + 64 * i as u64 + bit, ack, now);
            }
        }
        for result in &ack.results {
            self.on_verdict(peer, stream, result, now);
        }
        for partial in &ack.partials {
            self.on_partial(peer, stream, partial, ack, now);
        }
    }

    /// The unsettled message of this number.
    fn sent(&self, peer: u32, stream: Sent, sequence: u64) -> Option<u32> {
        let (former, class) = stream;
        let queue = &self.peers[peer as usize].outgoing[class.index()];
        queue.numbers_of(former)?.slot_of(sequence)
    }

    /// The destination has custody of a message.
    fn on_taken(
        &mut self,
        peer: u32,
        stream: Sent,
        sequence: u64,
        ack: &StreamAck,
        now: Timestamp,
    ) {
        let Some(slot) = self.sent(peer, stream, sequence) else {
            return;
        };
        self.room_was_found(slot);
        let Some(message) = self.messages.get_mut(slot) else {
            return;
        };
        if message.options.ack == AckLevel::Applied {
            return self.await_verdict(slot, now);
        }
        let echoed = (ack.echo_sequence == sequence).then_some(ack.echo_attempt);
        self.delivered(slot, AckLevel::PeerAcked, echoed, now);
    }

    /// The destination has the message, and its application has not answered yet: what remains is
    /// to ask now and then, in case the answer was lost.
    fn await_verdict(&mut self, slot: u32, now: Timestamp) {
        let Some(message) = self.messages.get_mut(slot) else {
            return;
        };
        if std::mem::replace(&mut message.peer_acked, true) {
            return;
        }
        message.give_up_copies(|_| true);
        message.queued = false;
        message.owes = false;
        message.timeouts = 0;
        let total = message.payload.len() as u32;
        if let Some(fragments) = &mut message.fragments {
            fragments.acknowledge(0, total);
            fragments.link = None;
        }
        self.ask_again_later(slot, now);
    }

    fn delivered(&mut self, slot: u32, level: AckLevel, echoed: Option<u16>, now: Timestamp) {
        let Some(message) = self.messages.get(slot) else {
            return;
        };
        let by_echo = echoed.and_then(|attempt| message.copy_of(attempt));
        let copy = by_echo.or_else(|| message.copies().max_by_key(|c| c.handed));
        let link = copy.map(|c| TriedLink { link: c.link, transport: c.transport });
        let Some(link) = link.or_else(|| message.last_tried()) else {
            return;
        };
        let latency = now.since(message.accepted);
        let attempts = message.attempts;
        let peer = message.peer;
        self.last_success =
            Some(LastSuccess { link: link.link, transport: link.transport, at: now });
        if let Some(state) = self.peers[peer as usize].link_mut(link.link) {
            state.counters.delivered(latency);
        }
        let outcome = match message.options.ack {
            // No more was asked for; the ack came before the driver told that the frame left.
            AckLevel::Accepted => Outcome::Sent { link },
            AckLevel::PeerAcked | AckLevel::Applied => {
                Outcome::Delivered { level, link, attempts, latency }
            }
        };
        self.settle(slot, outcome, now);
    }

    fn on_verdict(&mut self, peer: u32, stream: Sent, result: &ResultEntry, now: Timestamp) {
        let Some(slot) = self.sent(peer, stream, result.sequence) else {
            return;
        };
        let Some(message) = self.messages.get(slot) else {
            return;
        };
        match result.status {
            Status::Applied if message.options.ack == AckLevel::Applied => {
                self.delivered(slot, AckLevel::Applied, None, now);
            }
            Status::Applied => self.delivered(slot, AckLevel::PeerAcked, None, now),
            Status::Refused => {
                self.settle(slot, Outcome::Rejected { why: RejectReason::Refused }, now);
            }
            Status::NotAdmitted => {
                self.settle(slot, Outcome::Rejected { why: RejectReason::NotAdmitted }, now);
            }
            Status::Late => {
                // Other copies may still be on their way, but all are at least as late.
                let tried = message.tried();
                self.settle(slot, Outcome::Expired { tried }, now);
            }
            Status::TooOld => {
                self.settle(slot, Outcome::Rejected { why: RejectReason::TooOld }, now);
            }
            Status::Unrecorded => {
                self.settle(slot, Outcome::Rejected { why: RejectReason::Unrecorded }, now);
            }
            Status::NoRoom => self.wait_for_room(slot, result.attempt, now),
        }
    }

    fn on_partial(
        &mut self,
        peer: u32,
        stream: Sent,
        partial: &bitcraps_wire::Partial,
        ack: &StreamAck,
        now: Timestamp,
    ) {
        let Some(slot) = self.sent(peer, stream, partial.sequence) else {
            return;
        };
        let Some(message) = self.messages.get_mut(slot) else {
            return;
        };
        let Some(fragments) = &mut message.fragments else {
            return;
        };
        let total = message.payload.len() as u32;
        let mut news = false;
        let newest = (ack.echo_sequence, ack.echo_attempt) == (partial.sequence, message.attempts);
        let listed = partial.ranges.len() < MAX_RANGES && partial.ranges != [(0, total)];
        if newest && listed && fragments.are_all_acked(total) {
            // It had all of it, nobody took it, and it gave up keeping it.
            fragments.forget();
        }
        for (start, end) in &partial.ranges {
            news |= *end <= total && fragments.acknowledge(*start, *end);
        }
        if news {
            // Progress: the wait for the rest starts anew.
            message.timeouts = 0;
            self.arm(slot, now);
        }
    }

    /// The peer came back in a new incarnation; `known` was its former one.
    pub(crate) fn on_peer_restart(&mut self, peer: u32, known: Epoch, now: Timestamp) {
        let id: PeerId = self.peers[peer as usize].id;
        self.reassembly.remove_peer(id);
        self.peers[peer as usize].acks = Default::default();
        self.retire_streams(peer, known, now);
    }
}
