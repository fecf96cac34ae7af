//! Second copies: mandated for critical messages, hedges for realtime ones.

use super::{HEDGE_HORIZON, HEDGE_SLACK, Reason, has_room};
use crate::message::Message;
use crate::{Core, SizeBucket, Tier};
use bitcraps_types::{LinkId, Timestamp, TrafficClass};
use bitcraps_wire::Frame;
use std::time::Duration;

impl Core {
    /// Critical messages travel two links at once where there are two good ones.
    pub(super) fn mandated_copy(&mut self, slot: u32, first: LinkId, now: Timestamp) {
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
    pub(super) fn uncorrelated(
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
        let packet = self.packet(message.peer, class, message.policy, len, now);
        let ranking = crate::policy::rank(candidates, &packet, now);
        let bucket = SizeBucket::of(len + Frame::DATA_OVERHEAD);
        let usable = |index: &usize| {
            let link = &state.links[*index];
            link.id() != first
                && link.tier(bucket) <= Tier::BelowThreshold
                && link.max_payload() >= len
                && !link.flights.is_full()
                && has_room(link, class, now)
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

    pub(super) fn second_copy(&mut self, slot: u32, index: usize, now: Timestamp) {
        // The message is numbered already, so nothing can block it.
        self.transmit_on(slot, index, Reason::SecondCopy, now).unwrap_or_default();
    }

    pub(super) fn hedge_due(&self, message: &Message) -> Option<Timestamp> {
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

    pub(super) fn hedge(&mut self, slot: u32, now: Timestamp) {
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
}
