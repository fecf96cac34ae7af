//! A destination that is alive and has no room: its sender waits, and asks again with one message.
//!
//! More leave as those are taken: twice as many each time up to half of what was too much, one more
//! from there on (slow start and congestion avoidance of TCP, RFC 5681, 3.1, with refusals in place
//! of losses). Neither the retry budget nor the links pay for what would be refused. While nothing is
//! taken, waits double from one refused question to the next (zero-window probes, RFC 9293, 3.8.6.1).

use std::time::Duration;

use bitcraps_types::{Timestamp, TrafficClass};

use super::TIMEOUT_CAP;
use crate::Core;

/// The first wait: about what an application takes to make room for some messages.
const FIRST_WAIT: Duration = Duration::from_millis(10);

/// Unanswered messages from which their number is not the limit any more: about the round trip of a
/// slow link at the rate of a quick application.
const MAX_WINDOW: u32 = 256;

/// What is known of a destination's full inbox for one class.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FullInbox {
    /// When it was refused last. What left before says nothing of the room now.
    since: Timestamp,
    /// When it was refused, or asked without credit, last.
    asked: Timestamp,
    wait: Duration,
    /// Messages that may leave before another one is answered.
    credit: u32,
    /// Messages that may be unanswered at a time.
    window: u32,
    /// The window from which it grows by one a round trip.
    threshold: u32,
    /// Taken since the window grew by one.
    taken: u32,
}

impl FullInbox {
    fn new(now: Timestamp) -> Self {
        Self {
            since: now,
            asked: now,
            wait: FIRST_WAIT,
            credit: 0,
            window: 1,
            threshold: MAX_WINDOW,
            taken: 0,
        }
    }

    /// A message that left at `handed` was refused.
    fn refused(&mut self, handed: Timestamp, now: Timestamp) {
        if handed < self.since {
            return;
        }
        *self = Self {
            wait: (self.wait * 2).clamp(FIRST_WAIT, TIMEOUT_CAP),
            threshold: (self.window / 2).max(1),
            ..Self::new(now)
        };
    }

    /// A message that left at `handed` was taken.
    fn taken(&mut self, handed: Timestamp) {
        if handed < self.since {
            return;
        }
        self.wait = Duration::ZERO;
        self.credit += 1;
        self.taken += 1;
        if self.window < self.threshold || self.taken >= self.window {
            self.taken = 0;
            self.window += 1;
            self.credit += 1;
        }
    }

    /// When the next message may leave.
    fn asks_at(&self) -> Timestamp {
        if self.credit > 0 { self.since } else { self.asked + self.wait.max(FIRST_WAIT) }
    }

    /// A message left.
    fn left(&mut self, now: Timestamp) {
        match self.credit.checked_sub(1) {
            Some(rest) => self.credit = rest,
            // The next one waits for the answer, or as long as that may take.
            None => self.asked = now,
        }
    }
}

impl Core {
    /// When the next message of a class may leave for a peer that had no room.
    pub(super) fn asks_at(&self, peer: u32, class: TrafficClass) -> Option<Timestamp> {
        self.peers[peer as usize].outgoing[class.index()].full.as_ref().map(FullInbox::asks_at)
    }

    /// A message left although there may be no room.
    pub(super) fn asked_for_room(&mut self, peer: u32, class: TrafficClass, now: Timestamp) {
        if let Some(full) = &mut self.peers[peer as usize].outgoing[class.index()].full {
            full.left(now);
        }
    }

    /// Sets the timer of the first message in the queue to when it may leave.
    pub(super) fn look_at_room(&mut self, slot: u32, at: Timestamp, now: Timestamp) {
        let Some(message) = self.messages.get_mut(slot) else {
            return;
        };
        if message.retry_at.replace(at) != Some(at) {
            self.arm(slot, now);
        }
    }

    /// The destination had no room for this attempt at a message: it was not lost, and costs no
    /// retry.
    pub(crate) fn wait_for_room(&mut self, slot: u32, attempt: u16, now: Timestamp) {
        let (Some(ticket), Some(message)) =
            (self.messages.ticket(slot), self.messages.get_mut(slot))
        else {
            return;
        };
        let Some(handed) = message.copy_of(attempt).map(|copy| copy.handed) else {
            return;
        };
        if message.peer_acked {
            return;
        }
        message.give_up_copies(|copy| copy.attempt == attempt);
        message.timeouts = 0;
        message.owes = false;
        let (peer, class) = (message.peer, message.options.class);
        let full = &mut self.peers[peer as usize].outgoing[class.index()].full;
        match full {
            None => *full = Some(FullInbox::new(now)),
            Some(full) => full.refused(handed, now),
        }
        if message.has_copies() || message.queued || message.told {
            return;
        }
        message.refused.clear();
        message.retry_at = None;
        if let Some(fragments) = &mut message.fragments {
            fragments.link = None;
            fragments.cursor = 0;
        }
        // One that is too large for the room there is does not hold up others; of what is not kept,
        // a message without a number may not stand before one that holds the window back.
        let front = !message.kept;
        self.enqueue(ticket, front);
        self.arm(slot, now);
        self.mark_dirty(peer);
    }

    /// The destination took custody of a message.
    pub(crate) fn room_was_found(&mut self, slot: u32) {
        let Some(message) = self.messages.get(slot) else {
            return;
        };
        let peer = message.peer;
        let outgoing = &mut self.peers[peer as usize].outgoing[message.options.class.index()];
        let Some(full) = &mut outgoing.full else {
            return;
        };
        if let Some(handed) = message.copies().map(|copy| copy.handed).max() {
            full.taken(handed);
        }
        if full.window >= MAX_WINDOW || outgoing.queue.is_empty() {
            outgoing.full = None;
        }
        self.mark_dirty(peer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_nanos(ms * 1_000_000)
    }

    /// Lets messages leave at `now` for as long as they may.
    fn leave(full: &mut FullInbox, now: Timestamp) -> u32 {
        let mut left = 0;
        while full.asks_at() <= now {
            full.left(now);
            left += 1;
        }
        left
    }

    #[test]
    fn questions_that_are_refused_wait_twice_as_long_up_to_the_cap() {
        let mut full = FullInbox::new(at(0));
        let mut now = at(0);
        for wait in [10, 20, 40, 80, 160, 320, 640, 1_000, 1_000] {
            let next = now + Duration::from_millis(wait);
            assert_eq!(full.asks_at(), next);
            now = next;
            assert_eq!(leave(&mut full, now), 1);
            full.refused(now, now);
        }
    }

    #[test]
    fn what_is_taken_lets_twice_as_many_leave_and_later_one_more() {
        let mut full = FullInbox::new(at(0));
        assert_eq!(leave(&mut full, at(10)), 1);
        full.taken(at(10));
        for (now, may) in [(12, 2), (14, 4), (16, 8)] {
            assert_eq!(leave(&mut full, at(now)), may);
            (0..may).for_each(|_| full.taken(at(now)));
        }
        assert_eq!(leave(&mut full, at(18)), 16);
        full.refused(at(18), at(19));
        assert_eq!((full.window, full.threshold), (1, 8));
        // What left before it was refused tells nothing.
        full.taken(at(18));
        full.refused(at(18), at(20));
        assert_eq!(full.asks_at(), at(29), "something was taken: the wait starts anew");
        assert_eq!(leave(&mut full, at(29)), 1);
        full.taken(at(29));
        for (now, may) in [(30, 2), (31, 4), (32, 8), (33, 9), (34, 10)] {
            assert_eq!(leave(&mut full, at(now)), may, "at {now} ms");
            (0..may).for_each(|_| full.taken(at(now)));
        }
    }

    #[test]
    fn a_question_without_an_answer_is_asked_again() {
        let mut full = FullInbox::new(at(0));
        assert_eq!(leave(&mut full, at(10)), 1);
        assert_eq!(full.asks_at(), at(20));
        assert_eq!(leave(&mut full, at(20)), 1);
    }
}
