//! What drivers say of frames: not taken, or written.

use super::{Reason, TransmitFailure};
use crate::Core;
use crate::message::Fragments;
use bitcraps_types::{LinkCapabilities, LinkId, Timestamp};

impl Core {
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

    pub(super) fn not_taken(
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
            return self.probe_not_taken(peer, link, seq, now);
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
        self.refresh_load(peer, index);
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
}
