use std::time::Duration;

use bitcraps_types::{AckLevel, LinkId, MessageId, Timestamp, TrafficClass};
use bitcraps_wire::{Body, Data, Frame, HopAck, NO_DEADLINE, Status};
use bytes::Bytes;

use crate::peer::{AloneAcks, Incoming, PendingStream};
use crate::reassembly::{Added, Arrival, Key};
use crate::window::Seen;
use crate::{Command, Core, Delivery, SizeBucket};

/// Numbered frames of a link after which an ack leaves although more frames are there: what one
/// hop ack's bitmap covers.
const ACK_EVERY: u32 = 64;

impl Core {
    /// The application takes messages from now on: its inbox has room for `room` messages of each
    /// class. Complete messages that nobody took so far are handed over.
    pub fn attach(&mut self, room: usize, now: Timestamp) {
        for class in TrafficClass::ALL {
            self.inbox_taken(class, room, now);
        }
    }

    /// The application is gone: nothing is taken, and nothing acknowledged, until it returns.
    pub fn detach(&mut self) {
        self.room = [0; TrafficClass::COUNT];
    }

    /// The application took `count` messages of `class` out of its inbox.
    pub fn inbox_taken(&mut self, class: TrafficClass, count: usize, now: Timestamp) {
        let was_full = self.room[class.index()] == 0;
        self.room[class.index()] += count;
        if !was_full || self.reassembly.is_empty() {
            return;
        }
        for (key, arrival) in self.reassembly.complete(class) {
            self.hand_over_late(key, arrival, now);
        }
        self.end_turn(now);
    }

    /// Hands over a message that was whole before the application had room for it, unless it is
    /// worth nothing any more.
    fn hand_over_late(&mut self, key: Key, arrival: Arrival, now: Timestamp) {
        let (source, class, sequence) = key;
        let Some(handle) = self.peer(source) else { return };
        let incoming = &self.peers[handle.0 as usize].incoming[class.index()];
        let wanted = incoming.as_ref().is_some_and(|i| i.window.seen(sequence) == Seen::New);
        if !wanted || arrival.due <= now {
            self.reassembly.remove(&key);
        } else if self.take(handle.0, class, sequence, arrival.ack, None, arrival.link) {
            self.pend_taken(handle.0, arrival.link, class, sequence, arrival.attempt);
        }
    }

    /// The application's verdict on a message that was delivered with [`AckLevel::Applied`].
    pub fn answer(&mut self, id: MessageId, applied: bool, now: Timestamp) {
        let Some(handle) = self.peer(id.source) else {
            return;
        };
        let state = &mut self.peers[handle.0 as usize];
        if state.epoch != Some(id.epoch) {
            return;
        }
        let Some(incoming) = &mut state.incoming[id.class.index()] else {
            return;
        };
        let status = if applied { Status::Applied } else { Status::Refused };
        incoming.set_verdict(id.sequence, status);
        if let Some(link) = self.best_for_acks(handle.0, now) {
            self.pend_result(handle.0, link, id.class, id.sequence, 0, status);
        }
        self.end_turn(now);
    }

    /// Frames arrived on `link`: everything that was there. Leaves `frames` empty.
    pub fn frames_received(&mut self, link: LinkId, frames: &mut Vec<Bytes>, now: Timestamp) {
        let Some(peer) = self.links.get(&link).copied() else {
            self.counters.unexpected += frames.len() as u64;
            frames.clear();
            return;
        };
        for frame in frames.drain(..) {
            if !self.allows(peer, &frame, now) {
                continue;
            }
            match Frame::decode(frame) {
                Ok(frame) => self.on_frame(peer, link, frame, now),
                Err(_) => self.counters.undecodable += 1,
            }
            let state = &self.peers[peer as usize];
            let unreported =
                state.links.iter().find(|l| l.id() == link).map(|l| l.arrivals.unreported);
            if unreported.is_some_and(|count| count >= ACK_EVERY) {
                self.flush_acks(peer, now);
            }
        }
        self.mark_dirty(peer);
        self.end_turn(now);
    }

    fn on_frame(&mut self, peer: u32, link: LinkId, frame: Frame, now: Timestamp) {
        let Frame { header, hop_ack, route, body } = frame;
        if let Body::Hello(hello) = &body {
            return self.on_hello(peer, link, *hello, now);
        }
        let local = self.config.local;
        let epoch = self.config.epoch;
        let state = &mut self.peers[peer as usize];
        let id = state.id;
        let Some(at) = state.link_index(link) else {
            // The link went while its frames were being read.
            self.counters.unexpected += 1;
            return;
        };
        if header.receiver_epoch != epoch {
            self.counters.stale_epoch += 1;
            return;
        }
        if state.links[at].peer_tag.is_none() {
            self.counters.unexpected += 1;
            return;
        }
        if route.is_some_and(|r| {
            r.source != id || r.destination != local || r.destination_epoch != epoch
        }) {
            self.counters.foreign += 1;
            return;
        }
        // Only an end that has our hello sends these; acks leave before.
        state.links[at].peer_ready |= matches!(body, Body::Data(_) | Body::Probe(_));
        if let Some(ack) = hop_ack {
            self.on_hop_ack(peer, link, ack, now);
        }
        let state = &mut self.peers[peer as usize];
        match body {
            Body::Empty | Body::Hello(_) => {}
            Body::Data(data) => {
                state.links[at].arrivals.record(header.link_seq, now);
                self.on_data(peer, link, header.deadline_ms, data, now);
            }
            Body::EndAck(ack) => self.on_end_ack(peer, ack, now),
            Body::Probe(probe) => {
                state.links[at].arrivals.record(header.link_seq, now);
                self.on_probe(peer, link, probe, now);
            }
            Body::ProbeReply(reply) => self.on_probe_reply(peer, link, reply, now),
            body @ (Body::Join(_) | Body::JoinReply(_)) => self.on_control(peer, link, body, now),
        }
    }

    pub(crate) fn on_hop_ack(&mut self, peer: u32, via: LinkId, ack: HopAck, now: Timestamp) {
        let state = &mut self.peers[peer as usize];
        let (index, detour) = match ack.link_tag {
            0 => (state.link_index(via), false),
            tag => (state.links.iter().position(|l| l.tag == tag), true),
        };
        let Some(index) = index else {
            self.counters.late_acks += 1;
            return;
        };
        let link = &mut state.links[index];
        if !detour {
            link.direct_ack();
        }
        let mut acked = std::mem::take(&mut self.scratch);
        let known = link.flights.acknowledge(&ack, now, |flight| acked.push(flight));
        if !known {
            self.counters.forged_acks += 1;
        }
        let id = link.id();
        let mut change = None;
        for flight in acked.drain(..) {
            change = link.answered(flight, detour, now).or(change);
        }
        let suspect = link.is_suspect();
        self.scratch = acked;
        self.link_changed(peer, id, change);
        if suspect {
            self.arm_link(peer, id, now);
        }
    }

    fn on_data(&mut self, peer: u32, link: LinkId, deadline_ms: u32, data: Data, now: Timestamp) {
        let state = &mut self.peers[peer as usize];
        let source = state.id;
        if state.epoch != Some(data.source_epoch) {
            self.counters.stale_epoch += 1;
            return;
        }
        let Some(arrived_on) = state.link_index(link) else {
            return;
        };
        if self.turn_away(peer, link, &data) {
            return;
        }
        let state = &mut self.peers[peer as usize];
        let (class, sequence, attempt) = (data.class, data.sequence, data.attempt);
        let incoming =
            state.incoming[class.index()].get_or_insert_with(|| Box::new(Incoming::new()));
        let lowest_live = data.lowest_live();
        if let Some(acked) = incoming.unproven.filter(|acked| lowest_live > acked.sequence) {
            incoming.unproven = None;
            if let Some(path) = state.links.iter_mut().find(|l| l.id() == acked.path) {
                path.ack_arrived(acked.alone);
            }
        }
        if let Some(run) = &mut incoming.alone {
            run.oldest = run.oldest.max(lowest_live);
        }
        incoming.window.close_below(lowest_live);
        let half_trip = state.links[arrived_on].smoothed(SizeBucket::Small).unwrap_or_default() / 2;
        let due = match deadline_ms {
            NO_DEADLINE => Timestamp::MAX,
            left => now + Duration::from_millis(u64::from(left)) - half_trip,
        };
        let late = due <= now || incoming.verdict(sequence) == Some(Status::Late);
        match incoming.window.seen(sequence) {
            Seen::Duplicate if self.config.deduplicate => {
                self.counters.duplicates += 1;
                // Whoever waits for the application's verdict asks again, acknowledged or not.
                let among = |run: &mut AloneAcks| {
                    data.ack != AckLevel::Applied && (run.oldest..=run.newest).contains(&sequence)
                };
                if let Some(acked) = incoming.alone.take_if(among)
                    && let Some(path) = state.links.iter_mut().find(|l| l.id() == acked.path)
                {
                    incoming.unproven = None;
                    path.ack_lost();
                }
                return match incoming.verdict(sequence) {
                    Some(status) => {
                        self.pend_result(peer, link, class, sequence, attempt, status);
                    }
                    None => self.pend_taken(peer, link, class, sequence, attempt),
                };
            }
            Seen::TooOld => {
                self.counters.too_old += 1;
                return self.pend_result(peer, link, class, sequence, attempt, Status::TooOld);
            }
            Seen::New if late => {
                // Remembered: no copy that took longer may be delivered after this answer.
                self.counters.late += 1;
                incoming.set_verdict(sequence, Status::Late);
                self.reassembly.remove(&(source, class, sequence));
                return self.pend_result(peer, link, class, sequence, attempt, Status::Late);
            }
            Seen::New | Seen::Duplicate => {}
        }
        let payload = if data.payload.len() == data.total as usize {
            Some(data.payload.clone())
        } else {
            let arrival = Arrival { ack: data.ack, attempt, link, due };
            let added = self.reassembly.add(source, &data, arrival, now);
            self.counters.evicted = self.reassembly.evicted;
            self.arm_reassembly(now);
            match added {
                Added::Complete => None,
                Added::Incomplete => {
                    return self.pend_partial(peer, link, class, sequence, attempt);
                }
                Added::Refused => {
                    self.counters.bad_fragments += 1;
                    return;
                }
            }
        };
        if self.take(peer, class, sequence, data.ack, payload, link) {
            self.pend_taken(peer, link, class, sequence, attempt);
        } else {
            self.counters.no_custody += 1;
        }
    }

    /// Takes custody of a message: the duplicate window and the application's inbox in one step.
    /// The payload is what was reassembled, unless it came in one piece.
    fn take(
        &mut self,
        peer: u32,
        class: TrafficClass,
        sequence: u64,
        ack: AckLevel,
        payload: Option<Bytes>,
        link: LinkId,
    ) -> bool {
        if self.room[class.index()] == 0 {
            return false;
        }
        let state = &mut self.peers[peer as usize];
        let (Some(epoch), Some(incoming)) = (state.epoch, &mut state.incoming[class.index()])
        else {
            return false;
        };
        let source = state.id;
        let key = (source, class, sequence);
        let Some(payload) = payload.or_else(|| self.reassembly.take(&key)) else {
            return false;
        };
        // Parts of it may have come over a link of smaller frames.
        self.reassembly.remove(&key);
        self.room[class.index()] -= 1;
        incoming.window.take(sequence);
        self.counters.delivered += 1;
        let id = MessageId { source, epoch, class, sequence };
        self.command(Command::Deliver(Delivery { id, payload, ack, link }));
        true
    }

    /// Notes that the message is to be acknowledged when the turn ends.
    fn pend_taken(
        &mut self,
        peer: u32,
        link: LinkId,
        class: TrafficClass,
        sequence: u64,
        attempt: u16,
    ) {
        let pending = self.pending(peer, link, class);
        pending.echo = (sequence, attempt);
        pending.taken.push(sequence);
    }

    pub(crate) fn pend_result(
        &mut self,
        peer: u32,
        link: LinkId,
        class: TrafficClass,
        sequence: u64,
        attempt: u16,
        status: Status,
    ) {
        let pending = self.pending(peer, link, class);
        pending.echo = (sequence, attempt);
        pending.results.push(bitcraps_wire::ResultEntry { sequence, attempt, status });
    }

    fn pend_partial(
        &mut self,
        peer: u32,
        link: LinkId,
        class: TrafficClass,
        sequence: u64,
        attempt: u16,
    ) {
        let pending = self.pending(peer, link, class);
        pending.echo = (sequence, attempt);
        if !pending.partials.contains(&sequence) {
            pending.partials.push(sequence);
        }
    }

    fn pending(&mut self, peer: u32, link: LinkId, class: TrafficClass) -> &mut PendingStream {
        self.mark_dirty(peer);
        let acks = &mut self.peers[peer as usize].acks;
        acks.link = Some(link);
        acks.streams[class.index()].get_or_insert_with(PendingStream::default)
    }
}
