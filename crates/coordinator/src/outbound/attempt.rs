//! One transmission of a message: which link takes it, and what is noted of that.

use super::{Blocked, FAIR_SHARE_COST, PATIENT, Reason, has_room, under_way};
use crate::explain::Decision;
use crate::message::{Copy, Message};
use crate::{Command, Core, FailoverPolicy, Notice, Outcome, SizeBucket, Ticket, TriedLink};
use bitcraps_types::{AckLevel, Epoch, LinkId, Timestamp, TrafficClass};
use bitcraps_wire::Frame;
use std::time::Duration;

impl Core {
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
        let packet = self.packet(peer, class, message.policy, message.payload.len(), now);
        let ranking = crate::policy::rank(candidates, &packet, now);
        let pinned = self.pinned(message);
        let mut blocked = Blocked::NoLink;
        let mut chosen = None;
        if let Some(index) = under_way(message, state) {
            let link = &state.links[index];
            if link.flights.is_full() || !has_room(link, class, now) {
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
                if link.flights.is_full() || !has_room(link, class, now) {
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
        let decision = Decision::new(now, class, attempt, packet, ranking, link);
        // Sharing a load is no change of mind, and neither is one message's second attempt.
        let shared = message.policy == FailoverPolicy::LoadBalanced;
        let first = ranking.first().map(|index| state.links[index].id());
        let preferred = pinned.or(first).filter(|_| reason == Reason::First && !shared);
        self.peers[peer as usize].remember(decision, candidates);
        if let Some(preferred) = preferred {
            let bucket = SizeBucket::of(packet.bytes + Frame::DATA_OVERHEAD);
            let switched = self.roster.prefer(peer, class, bucket, preferred, now);
            self.counters.switches += u64::from(switched);
        }
        self.transmit_on(slot, index, reason, now).map(|()| link)
    }

    /// Without failover a message stays on the link of its first attempt while that exists, and a
    /// class on the link it uses.
    pub(super) fn pinned(&self, message: &Message) -> Option<LinkId> {
        if self.config.auto_failover {
            return None;
        }
        let state = &self.peers[message.peer as usize];
        let class = message.options.class;
        let bucket = SizeBucket::of(message.payload.len() + Frame::DATA_OVERHEAD);
        let preference = self.roster.preference(message.peer, class, bucket);
        let first = message.last_link.or(preference.link())?;
        state.link_index(first).map(|_| first)
    }

    pub(super) fn transmit_on(
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
            message.sequence = Some(outgoing.numbers.give(slot).ok_or(Blocked::Window)?);
        }
        if message.since == Epoch::default() {
            message.since = state.epoch.unwrap_or_default();
        }
        let link = &state.links[index];
        let (id, transport) = (link.id(), link.facts.transport);
        message.retry_at = None;
        if reason != Reason::SecondCopy {
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
            if message.first_handed.is_none() {
                message.first_handed = Some(now);
                self.routing.record(now.since(message.accepted));
            }
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
    pub(super) fn tell_sent(&mut self, ticket: Ticket, link: LinkId, seq: u32) {
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

    pub(super) fn note_failover(&mut self, slot: u32, to: LinkId, reason: Reason, now: Timestamp) {
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
}
