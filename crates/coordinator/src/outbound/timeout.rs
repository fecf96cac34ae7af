//! A message without an answer: when it is overdue, and what happens then.

use super::{Blocked, CRITICAL_CREDIT, ENERGY_RETRY, MOST_WAITS, RETRY_SOON, Reason, TIMEOUT_CAP};
use crate::flight::FlightState;
use crate::link::Link;
use crate::message::{Copy, Message};
use crate::{Core, Outcome, SizeBucket, TriedLink};
use bitcraps_types::{AckLevel, LinkId, Timestamp, TrafficClass};
use bitcraps_wire::Frame;
use std::time::Duration;

impl Core {
    /// How long the copy's answer may take, backed off once every link had its turn.
    pub(super) fn patience(&self, message: &Message, link: &Link) -> Duration {
        let bytes = (message.payload.len() + Frame::DATA_OVERHEAD).min(link.max_frame);
        let timeout = link.timeout(SizeBucket::of(bytes));
        let links = &self.peers[message.peer as usize].links;
        let ready = links.iter().filter(|l| l.ready && !l.is_down()).count().max(1) as u32;
        let doublings = (message.timeouts / ready).min(16);
        (timeout * (1 << doublings)).min(TIMEOUT_CAP.max(timeout))
    }

    /// When the copy's answer is overdue.
    pub(super) fn due(&self, message: &Message, copy: &Copy) -> Timestamp {
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
    pub(super) fn look_at(&self, message: &Message, copy: &Copy, now: Timestamp) -> Timestamp {
        let due = self.due(message, copy);
        let state = &self.peers[message.peer as usize];
        let link = state.links.iter().find(|l| l.id() == copy.link);
        let early = link
            .filter(|l| l.flights.get(copy.seq).is_some_and(|f| f.written.is_none()))
            .map(|link| copy.handed + self.patience(message, link));
        early.filter(|early| *early > now).map_or(due, |early| early.min(due))
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
        } else if let Some(retry) = message.retry_at.filter(|_| message.queued) {
            at = at.min(retry);
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
        if message.storing > 0 {
            // It has left nowhere, and may not before it is durable.
            return self.arm(slot, now);
        }
        if message.queued && message.retry_at.is_some_and(|at| at <= now) {
            // The link that had no room may have none for long; others may take it by now.
            message.retry_at = None;
            message.refused.clear();
            let (peer, class) = (message.peer, message.options.class);
            self.pump_class(peer, class, now);
            return self.arm(slot, now);
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
    pub(super) fn expire_copies(&mut self, slot: u32, now: Timestamp) -> Option<LinkId> {
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
    pub(super) fn resend(&mut self, slot: u32, exclude: Option<LinkId>, now: Timestamp) {
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
            Err(blocked) => {
                if self.park_refused(slot, blocked, now) {
                    return;
                }
                if let Some(ticket) = self.messages.ticket(slot) {
                    self.enqueue(ticket, true);
                }
                self.arm(slot, now);
            }
        }
    }

    /// Waits a little when every driver said no just now; asking again at once would spin. While
    /// one that said nothing has no room, the message keeps its place in the queue for that.
    pub(super) fn park_refused(&mut self, slot: u32, blocked: Blocked, now: Timestamp) -> bool {
        let Some(message) = self.messages.get_mut(slot) else {
            return false;
        };
        if message.refused.is_empty() {
            return false;
        }
        if blocked == Blocked::NoRoom {
            message.retry_at.get_or_insert(now + RETRY_SOON);
            if message.queued {
                self.arm(slot, now);
            }
            return false;
        }
        message.refused.clear();
        self.park(slot, now + RETRY_SOON);
        true
    }

    /// Asks the destination again for its application's answer, if the retry budget allows.
    pub(super) fn ask_again(&mut self, slot: u32, now: Timestamp) {
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
