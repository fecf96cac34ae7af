use std::time::Duration;

use bitcraps_types::{AckLevel, LinkId, MessageId, Timestamp, TrafficClass};
use bitcraps_wire::{Body, Data, Frame, HopAck, NO_DEADLINE, Status};
use bytes::Bytes;

use crate::peer::{AloneAcks, Incoming, PendingStream, Stream};
use crate::reassembly::{Added, Arrival, Key};
use crate::record::is_kept;
use crate::store::StoreState;
use crate::window::Seen;
use crate::{Command, Core, Delivery, SizeBucket};

/// Share of a transport's least timeout for which the hop ack of a frame for others may wait for a
/// frame to travel with: 1.25 ms over Wi-Fi and the internet, 7.5 ms over Bluetooth. What it waited
/// for is told with it and no part of the round trip.
const RELAYED_ACK_HOLD: u32 = 8;

impl Core {
    /// The application takes messages from now on: its inbox has room for `room` messages of each
    /// class. Complete messages that nobody took so far are handed over.
    pub fn attach(&mut self, room: usize, now: Timestamp) {
        self.attach_with([room; TrafficClass::COUNT], now);
    }

    /// [`Self::attach`] with room by class.
    pub fn attach_with(&mut self, room: [usize; TrafficClass::COUNT], now: Timestamp) {
        self.detach();
        for class in TrafficClass::ALL {
            self.has_room(class, room[class.index()], now);
        }
    }

    /// The application is gone: nothing is taken, and nothing acknowledged, until it returns.
    pub fn detach(&mut self) {
        self.room = [0; TrafficClass::COUNT];
    }

    /// The application took `count` messages of `class` out of its inbox, the oldest ones.
    pub fn inbox_taken(&mut self, class: TrafficClass, count: usize, now: Timestamp) {
        self.note_taken(class, count, now);
        self.has_room(class, count, now);
    }

    /// [`Self::inbox_taken`] of an inbox that takes no more.
    pub fn note_taken(&mut self, class: TrafficClass, count: usize, now: Timestamp) {
        if self.store.state != StoreState::Absent {
            self.taken_for_good(class, count, now);
        }
    }

    fn has_room(&mut self, class: TrafficClass, count: usize, now: Timestamp) {
        let was_full = self.room[class.index()] == 0;
        self.room[class.index()] += count;
        self.hand_over_held();
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
        let (source, stream, sequence) = key;
        let Some(handle) = self.peer(source) else { return };
        let incoming = self.peers[handle.0 as usize].stream(stream);
        let wanted = incoming.is_some_and(|i| i.window.seen(sequence) == Seen::New);
        if !wanted || arrival.due <= now {
            return self.reassembly.remove(&key);
        }
        self.take(handle.0, stream, sequence, arrival, None, now);
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
            let many = state.links.iter().find(|l| l.id() == link).map(|l| l.arrivals.are_many());
            if many == Some(true) {
                self.flush_acks(peer, now);
            }
        }
        self.mark_dirty(peer);
        self.end_turn(now);
    }

    fn on_frame(&mut self, peer: u32, link: LinkId, frame: Frame, now: Timestamp) {
        let Frame { header, hop_ack, route, body } = frame;
        if let Body::Hello(hello) = &body {
            self.named(peer, header.receiver_epoch);
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
        if let (Body::Relayed(_), Some(route)) = (&body, route) {
            let entry = &mut state.links[at];
            // The answer, or the next frame for others, mostly comes back this way soon.
            let hold = entry.facts.transport.timeout_floor() / RELAYED_ACK_HOLD;
            entry.arrivals.record(header.link_seq, hold, now);
            if entry.timer.is_none_or(|at| at > now + hold) {
                self.arm_link(peer, link, now);
            }
            if let Some(ack) = hop_ack {
                self.on_hop_ack(peer, link, ack, now);
            }
            return self.on_passing(id, link, header, route, body, now);
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
            // What has a route went another way, above.
            Body::Empty | Body::Hello(_) | Body::Relayed(_) => {}
            Body::Data(data) => {
                state.links[at].arrivals.record(header.link_seq, Duration::ZERO, now);
                self.on_data(peer, link, header.deadline_ms, data, now);
            }
            Body::EndAck(ack) => self.on_end_ack(peer, ack, now),
            Body::Probe(probe) => {
                state.links[at].arrivals.record(header.link_seq, Duration::ZERO, now);
                self.on_probe(peer, link, probe, now);
            }
            Body::ProbeReply(reply) => self.on_probe_reply(peer, link, reply, now),
            body @ (Body::Join(_) | Body::JoinReply(_) | Body::LinkState(_)) => {
                self.on_control(peer, link, body, now);
            }
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
        let state = &self.peers[peer as usize];
        let source = state.id;
        let (class, sequence, attempt) = (data.class, data.sequence, data.attempt);
        let stream = (data.source_epoch, class);
        let Some(arrived_on) = state.link_index(link) else {
            return;
        };
        if self.turn_away(peer, link, &data) {
            return;
        }
        let state = &mut self.peers[peer as usize];
        if state.epoch == Some(data.source_epoch) {
            let own = &mut state.incoming[class.index()];
            own.get_or_insert_with(|| Box::new(Incoming::new()));
        } else if state.epoch < Some(data.source_epoch) || !is_kept(class, data.ack) {
            // Only an outbox outlives its sender's incarnation.
            self.counters.stale_epoch += 1;
            return;
        } else if !self.open_former(peer, data.source_epoch, now) {
            self.counters.too_old += 1;
            return self.pend_result(peer, link, stream, sequence, attempt, Status::TooOld);
        }
        let (recorded, lost) = (self.records(class, data.ack), self.store.is_lost());
        let state = &mut self.peers[peer as usize];
        let half_trip = state.links[arrived_on].smoothed(SizeBucket::Small).unwrap_or_default() / 2;
        let lowest_live = data.lowest_live();
        let mut path_proved = None;
        let Some(incoming) = state.stream_mut(stream) else {
            return;
        };
        if let Some(acked) = incoming.unproven.filter(|acked| lowest_live > acked.sequence) {
            incoming.unproven = None;
            path_proved = Some(acked);
        }
        if let Some(run) = &mut incoming.alone {
            run.oldest = run.oldest.max(lowest_live);
        }
        incoming.lowest_live = incoming.lowest_live.max(lowest_live);
        incoming.window.close_below(lowest_live);
        let due = match deadline_ms {
            NO_DEADLINE => Timestamp::MAX,
            left => now + Duration::from_millis(u64::from(left)) - half_trip,
        };
        let verdict = incoming.verdict(sequence);
        let late = due <= now || verdict == Some(Status::Late);
        let unrecorded = (recorded && lost).then_some(Status::Unrecorded);
        let for_good = [Status::Unrecorded, Status::NotAdmitted];
        let refused = verdict.filter(|status| for_good.contains(status)).or(unrecorded);
        let seen = incoming.window.seen(sequence);
        let mut path_lost = None;
        if seen == Seen::Duplicate {
            // Whoever waits for the application's verdict asks again, acknowledged or not.
            let among = |run: &mut AloneAcks| {
                data.ack != AckLevel::Applied && (run.oldest..=run.newest).contains(&sequence)
            };
            path_lost = incoming.alone.take_if(among).map(|run| run.path);
        }
        if let Some(writing) = incoming.writing.get_mut(&sequence) {
            // It is being made durable; the newest copy is what will be acknowledged.
            *writing = (link, attempt);
            self.counters.duplicates += 1;
            return;
        }
        if let Some(acked) = path_proved
            && let Some(path) = state.link_mut(acked.path)
        {
            path.ack_arrived(acked.alone);
        }
        match seen {
            Seen::Duplicate if self.config.deduplicate => {
                self.counters.duplicates += 1;
                if let Some(path) = path_lost.and_then(|path| state.link_mut(path)) {
                    path.ack_lost();
                    if let Some(incoming) = state.stream_mut(stream) {
                        incoming.unproven = None;
                    }
                }
                return match verdict {
                    Some(status) => {
                        self.pend_result(peer, link, stream, sequence, attempt, status);
                    }
                    None => self.pend_taken(peer, link, stream, sequence, attempt),
                };
            }
            Seen::TooOld => {
                self.counters.too_old += 1;
                return self.pend_result(peer, link, stream, sequence, attempt, Status::TooOld);
            }
            Seen::New if late => {
                // Remembered: no copy that took longer may be delivered after this answer.
                self.counters.late += 1;
                self.refuse(peer, link, stream, sequence, attempt, Status::Late);
                return self.reassembly.remove(&(source, stream, sequence));
            }
            Seen::New | Seen::Duplicate => {}
        }
        if let Some(status) = refused.filter(|_| seen == Seen::New) {
            self.refuse(peer, link, stream, sequence, attempt, status);
            return self.reassembly.remove(&(source, stream, sequence));
        }
        let arrival = Arrival { ack: data.ack, attempt, link, due };
        let fragmented = data.payload.len() != data.total as usize;
        let payload = if !fragmented {
            Some(data.payload.clone())
        } else {
            let added = self.reassembly.add(source, &data, arrival, now);
            self.counters.evicted = self.reassembly.evicted;
            self.arm_reassembly(now);
            match added {
                Added::Complete => None,
                Added::Incomplete => {
                    return self.pend_partial(peer, link, stream, sequence, attempt);
                }
                Added::Refused => {
                    self.counters.bad_fragments += 1;
                    return;
                }
            }
        };
        if !self.take(peer, stream, sequence, arrival, payload, now) {
            self.counters.no_custody += 1;
            self.pend_result(peer, link, stream, sequence, attempt, Status::NoRoom);
            if fragmented {
                self.pend_partial(peer, link, stream, sequence, attempt);
            }
        }
    }

    /// Takes custody of a message: the duplicate window and the application's inbox in one step, or
    /// the store. The payload is what was reassembled, unless it came in one piece. False when there
    /// is no room for it now.
    fn take(
        &mut self,
        peer: u32,
        stream: Stream,
        sequence: u64,
        arrival: Arrival,
        payload: Option<Bytes>,
        now: Timestamp,
    ) -> bool {
        let (epoch, class) = stream;
        let Arrival { ack, attempt, link, .. } = arrival;
        if self.room[class.index()] == 0 {
            return false;
        }
        let source = self.peers[peer as usize].id;
        let key = (source, stream, sequence);
        let id = MessageId { source, epoch, class, sequence };
        let recorded = self.records(class, ack);
        if recorded && !self.may_hold(&id, payload.as_ref().map(Bytes::len), now) {
            return false;
        }
        let Some(payload) = payload.or_else(|| self.reassembly.take(&key)) else {
            return false;
        };
        // Parts of it may have come over a link of smaller frames.
        self.reassembly.remove(&key);
        let delivery = Delivery { id, payload, ack, link };
        if recorded {
            self.hold(peer, delivery, attempt, now);
            return true;
        }
        let Some(incoming) = self.peers[peer as usize].stream_mut(stream) else {
            return false;
        };
        incoming.window.take(sequence);
        self.room[class.index()] -= 1;
        self.counters.delivered += 1;
        if self.store.state != StoreState::Absent {
            self.store.custody.note_handed(id, false);
        }
        self.command(Command::Deliver(delivery));
        self.pend_taken(peer, link, stream, sequence, attempt);
        true
    }

    /// Refuses a message for good, and remembers: no copy may be delivered after this answer.
    pub(crate) fn refuse(
        &mut self,
        peer: u32,
        link: LinkId,
        stream: Stream,
        sequence: u64,
        attempt: u16,
        status: Status,
    ) {
        if let Some(incoming) = self.peers[peer as usize].stream_mut(stream) {
            incoming.set_verdict(sequence, status);
        }
        self.pend_result(peer, link, stream, sequence, attempt, status);
    }

    /// Notes that the message is to be acknowledged when the turn ends.
    pub(crate) fn pend_taken(
        &mut self,
        peer: u32,
        link: LinkId,
        stream: Stream,
        sequence: u64,
        attempt: u16,
    ) {
        let pending = self.pending(peer, link, stream);
        pending.echo = (sequence, attempt);
        pending.taken.push(sequence);
    }

    pub(crate) fn pend_result(
        &mut self,
        peer: u32,
        link: LinkId,
        stream: Stream,
        sequence: u64,
        attempt: u16,
        status: Status,
    ) {
        let pending = self.pending(peer, link, stream);
        pending.echo = (sequence, attempt);
        pending.results.push(bitcraps_wire::ResultEntry { sequence, attempt, status });
    }

    fn pend_partial(
        &mut self,
        peer: u32,
        link: LinkId,
        stream: Stream,
        sequence: u64,
        attempt: u16,
    ) {
        let pending = self.pending(peer, link, stream);
        pending.echo = (sequence, attempt);
        if !pending.partials.contains(&sequence) {
            pending.partials.push(sequence);
        }
    }

    fn pending(&mut self, peer: u32, link: LinkId, stream: Stream) -> &mut PendingStream {
        self.mark_dirty(peer);
        let (epoch, class) = stream;
        let state = &mut self.peers[peer as usize];
        let acks = &mut state.acks;
        acks.link = Some(link);
        if state.epoch == Some(epoch) {
            acks.streams[class.index()].get_or_insert_with(PendingStream::default)
        } else {
            acks.former.entry(stream).or_default()
        }
    }
}
