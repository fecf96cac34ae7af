use std::collections::BTreeMap;

use bitcraps_types::{Epoch, LinkId, Sequence, Timestamp, TransportType};
use bytes::Bytes;

use crate::{FailoverPolicy, Progress, SendOptions, Ticket, TriedLink};

/// Links remembered as tried: as many as a peer has at once.
const TRIED: usize = crate::config::bounds::LINKS_PER_PEER;
/// Copies of one message on their way at once.
const COPIES: usize = 4;

/// One transmission that waits for its answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Copy {
    pub(crate) link: LinkId,
    pub(crate) transport: TransportType,
    /// Number of its last frame on the link.
    pub(crate) seq: u32,
    pub(crate) attempt: u16,
    pub(crate) handed: Timestamp,
    /// Its answer is still awaited. Afterwards it is only remembered, for acks that come late.
    pub(crate) live: bool,
}

/// Byte ranges of a message that still have to be sent or acknowledged.
#[derive(Debug, Default)]
pub(crate) struct Fragments {
    /// Acknowledged `start -> end`, ascending, apart.
    acked: BTreeMap<u32, u32>,
    /// First byte not handed over in the current pass.
    pub(crate) cursor: u32,
    /// The link that carries the current pass.
    pub(crate) link: Option<LinkId>,
    /// The link of the newest pass and the number of its first frame there; `None` once its driver
    /// gave it back.
    pub(crate) pass: Option<(LinkId, u32)>,
}

impl Fragments {
    /// Whether the frame `seq` of `link` belongs to the newest pass. Of a pass that was given back,
    /// every frame fails; the first one has said it all.
    pub(crate) fn is_current(&self, link: LinkId, seq: u32) -> bool {
        self.pass.is_some_and(|(of, first)| of == link && seq.wrapping_sub(first) as i32 >= 0)
    }

    /// The driver did not take what starts at `offset`: the pass goes on from there, once the link
    /// takes frames again. False when another link carries the message by now.
    pub(crate) fn rewind(&mut self, link: LinkId, offset: u32) -> bool {
        match self.link {
            Some(other) if other != link => return false,
            Some(_) => self.cursor = self.cursor.min(offset),
            None => self.cursor = offset,
        }
        self.link = Some(link);
        true
    }

    /// Whether every byte of `total` is acknowledged.
    pub(crate) fn are_all_acked(&self, total: u32) -> bool {
        self.acked.get(&0) == Some(&total)
    }

    /// Nothing is acknowledged any more.
    pub(crate) fn forget(&mut self) {
        self.acked.clear();
    }

    /// Marks `start..end` as arrived; tells whether that was news.
    pub(crate) fn acknowledge(&mut self, start: u32, end: u32) -> bool {
        if self.acked.range(..=start).next_back().is_some_and(|(_, e)| *e >= end) {
            return false;
        }
        let (mut start, mut end) = (start, end);
        let touching: Vec<(u32, u32)> = self
            .acked
            .range(..=end)
            .rev()
            .take_while(|(_, e)| **e >= start)
            .map(|(s, e)| (*s, *e))
            .collect();
        for (s, e) in touching {
            self.acked.remove(&s);
            start = start.min(s);
            end = end.max(e);
        }
        self.acked.insert(start, end);
        true
    }

    /// The next range of at most `most` bytes to send, from the cursor on; `None` at the end of the
    /// pass.
    pub(crate) fn next(&self, total: u32, most: u32) -> Option<(u32, u32)> {
        let mut start = self.cursor;
        if let Some((_, e)) = self.acked.range(..=start).next_back()
            && *e > start
        {
            start = *e;
        }
        if start >= total {
            return None;
        }
        let gap_end = self.acked.range(start..).next().map_or(total, |(s, _)| *s);
        Some((start, gap_end.min(start.saturating_add(most))))
    }
}

/// A message between `send` and its outcome.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) peer: u32,
    pub(crate) options: SendOptions,
    pub(crate) policy: FailoverPolicy,
    pub(crate) payload: Bytes,
    pub(crate) accepted: Timestamp,
    pub(crate) deadline: Timestamp,
    /// Given at the first transmission, or when it went into the outbox.
    pub(crate) sequence: Option<Sequence>,
    /// The incarnation of this node that numbered it, if not this one.
    pub(crate) former: Option<Epoch>,
    /// The oldest incarnation of its destination that a copy may have reached; 0 while none can.
    pub(crate) since: Epoch,
    /// The outbox holds it.
    pub(crate) kept: bool,
    /// A former incarnation of this node may have sent a copy.
    pub(crate) doubtful: bool,
    /// Batches that have to be durable before it may leave.
    pub(crate) storing: u8,
    /// It waits behind another of its ordering key.
    pub(crate) gated: bool,
    pub(crate) attempts: u16,
    copies: [Option<Copy>; COPIES],
    tried: [Option<TriedLink>; TRIED],
    /// Whole copies that were handed to a link, and not given back.
    handed: u16,
    /// Timeouts so far; they double the next one once every link had its turn.
    pub(crate) timeouts: u32,
    pub(crate) first_handed: Option<Timestamp>,
    pub(crate) hedged: bool,
    pub(crate) peer_acked: bool,
    /// It stands in its class queue.
    pub(crate) queued: bool,
    pub(crate) fragments: Option<Box<Fragments>>,
    pub(crate) timer: Option<Timestamp>,
    /// Links whose drivers refused the current attempt.
    pub(crate) refused: Vec<LinkId>,
    /// The outcome was told; the entry stays so that its number stays live.
    pub(crate) told: bool,
    /// When to try again, while it waits for a retry budget, a radio or a driver.
    pub(crate) retry_at: Option<Timestamp>,
    /// A timeout is not paid for yet: the next transmission draws on the retry budget.
    pub(crate) owes: bool,
    /// How often it waited for the retry budget in a row.
    pub(crate) waits: u8,
    /// The link that its last copy went over.
    pub(crate) last_link: Option<LinkId>,
}

impl Message {
    pub(crate) fn new(
        peer: u32,
        payload: Bytes,
        options: SendOptions,
        policy: FailoverPolicy,
        now: Timestamp,
    ) -> Self {
        Self {
            peer,
            options,
            policy,
            payload,
            accepted: now,
            deadline: now + options.deadline,
            sequence: None,
            former: None,
            since: Epoch::default(),
            kept: false,
            doubtful: false,
            storing: 0,
            gated: false,
            attempts: 0,
            copies: [None; COPIES],
            tried: [None; TRIED],
            handed: 0,
            timeouts: 0,
            first_handed: None,
            hedged: false,
            peer_acked: false,
            queued: false,
            fragments: None,
            timer: None,
            refused: Vec::new(),
            told: false,
            retry_at: None,
            owes: false,
            waits: 0,
            last_link: None,
        }
    }

    pub(crate) fn copies(&self) -> impl Iterator<Item = &Copy> {
        self.copies.iter().flatten().filter(|copy| copy.live)
    }

    pub(crate) fn has_copies(&self) -> bool {
        self.copies().next().is_some()
    }

    /// The copy of this attempt, even if nobody waits for its answer any more.
    pub(crate) fn copy_of(&self, attempt: u16) -> Option<&Copy> {
        self.copies.iter().flatten().find(|copy| copy.attempt == attempt)
    }

    /// Whether a whole copy left, or may have.
    pub(crate) fn left(&self) -> bool {
        self.handed > 0 || self.doubtful
    }

    /// A driver gave the copy back.
    pub(crate) fn take_back(&mut self, link: LinkId, seq: u32) {
        self.take_back_where(|c| c.link == link && c.seq == seq);
    }

    /// A driver gave a part of the copy on `link` back.
    pub(crate) fn take_back_all(&mut self, link: LinkId) {
        self.take_back_where(|c| c.link == link && c.live);
    }

    fn take_back_where(&mut self, gone: impl Fn(&Copy) -> bool) {
        for copy in &mut self.copies {
            if copy.as_ref().is_some_and(&gone) {
                *copy = None;
                self.handed = self.handed.saturating_sub(1);
            }
        }
    }

    /// Remembers a copy; the oldest gives way when there are too many.
    pub(crate) fn add_copy(&mut self, copy: Copy) {
        self.handed = self.handed.saturating_add(1);
        let free = self.copies.iter().position(Option::is_none).unwrap_or_else(|| {
            let oldest = self.copies.iter().enumerate();
            oldest.min_by_key(|(_, c)| c.map(|c| (c.live, c.handed))).map_or(0, |(i, _)| i)
        });
        self.copies[free] = Some(copy);
        let tried = TriedLink { link: copy.link, transport: copy.transport };
        if !self.tried.contains(&Some(tried))
            && let Some(free) = self.tried.iter_mut().find(|t| t.is_none())
        {
            *free = Some(tried);
        }
    }

    /// Nobody waits any more for the answers to these copies.
    pub(crate) fn give_up_copies(&mut self, gone: impl Fn(&Copy) -> bool) {
        for copy in self.copies.iter_mut().flatten() {
            copy.live &= !gone(copy);
        }
    }

    pub(crate) fn tried(&self) -> Vec<TriedLink> {
        self.tried.iter().flatten().copied().collect()
    }

    pub(crate) fn last_tried(&self) -> Option<TriedLink> {
        self.tried.iter().flatten().last().copied()
    }

    pub(crate) fn progress(&self) -> Progress {
        let attempts = self.attempts;
        if self.peer_acked {
            Progress::PeerAcked { attempts }
        } else if self.left() {
            Progress::InFlight { attempts }
        } else {
            Progress::Queued
        }
    }
}

/// Unsettled messages in a dense table.
#[derive(Debug, Default)]
pub(crate) struct Messages {
    entries: Vec<(u32, Option<Message>)>,
    free: Vec<u32>,
}

impl Messages {
    pub(crate) fn insert(&mut self, message: Message) -> Ticket {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.entries.push((0, None));
            (self.entries.len() - 1) as u32
        });
        let entry = &mut self.entries[slot as usize];
        entry.1 = Some(message);
        Ticket { slot, generation: entry.0 }
    }

    pub(crate) fn remove(&mut self, slot: u32) {
        if let Some((generation, message)) = self.entries.get_mut(slot as usize)
            && message.is_some()
        {
            *message = None;
            *generation = generation.wrapping_add(1);
            self.free.push(slot);
        }
    }

    pub(crate) fn get(&self, slot: u32) -> Option<&Message> {
        self.entries.get(slot as usize)?.1.as_ref()
    }

    pub(crate) fn get_mut(&mut self, slot: u32) -> Option<&mut Message> {
        self.entries.get_mut(slot as usize)?.1.as_mut()
    }

    pub(crate) fn ticket(&self, slot: u32) -> Option<Ticket> {
        let (generation, message) = self.entries.get(slot as usize)?;
        message.as_ref().map(|_| Ticket { slot, generation: *generation })
    }

    pub(crate) fn by_ticket(&self, ticket: Ticket) -> Option<&Message> {
        let (generation, message) = self.entries.get(ticket.slot as usize)?;
        message.as_ref().filter(|_| *generation == ticket.generation)
    }

    pub(crate) fn slots(&self) -> impl Iterator<Item = u32> + '_ {
        let used = self.entries.iter().enumerate().filter(|(_, e)| e.1.is_some());
        used.map(|(slot, _)| slot as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn fragments_name_exactly_what_is_missing(
            acks in prop::collection::vec((0u32..100, 1u32..30), 0..20), most in 1u32..40
        ) {
            let mut fragments = Fragments::default();
            let mut arrived = [false; 128];
            for (start, len) in acks {
                let end = start + len;
                let news = arrived[start as usize..end as usize].iter().any(|a| !a);
                prop_assert_eq!(fragments.acknowledge(start, end), news);
                arrived[start as usize..end as usize].fill(true);
            }
            let mut named = [false; 128];
            while let Some((start, end)) = fragments.next(128, most) {
                prop_assert!(start < end && end - start <= most);
                named[start as usize..end as usize].fill(true);
                fragments.cursor = end;
            }
            for i in 0..128 {
                prop_assert_eq!(named[i], !arrived[i], "byte {}", i);
            }
        }
    }

    #[test]
    fn a_ticket_of_a_settled_message_is_no_ticket_of_its_successor() {
        let mut messages = Messages::default();
        let message = || {
            let options = SendOptions::new(bitcraps_types::TrafficClass::Bulk);
            let policy = FailoverPolicy::LoadBalanced;
            Message::new(0, Bytes::new(), options, policy, Timestamp::ZERO)
        };
        let first = messages.insert(message());
        messages.remove(first.slot);
        let second = messages.insert(message());
        assert_eq!(first.slot, second.slot);
        assert!(messages.by_ticket(first).is_none() && messages.by_ticket(second).is_some());
    }
}
