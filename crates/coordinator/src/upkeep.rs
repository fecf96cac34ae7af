use bitcraps_types::{LinkId, Timestamp};
use bitcraps_wire::{Body, Frame, HopAck, HopHeader, NO_DEADLINE, Probe, ProbeReply};

use crate::command::CloseReason;
use crate::flight::FlightState;
use crate::link::{FLIGHT_MAX_AGE, OutstandingProbe};
use crate::{Command, Core, SizeBucket};

impl Core {
    /// Sets a link's one timer to whatever comes first: a hello, a probe, a probe's answer, or the
    /// timeout of its oldest frame.
    pub(crate) fn arm_link(&mut self, peer: u32, link: LinkId, now: Timestamp) {
        let state = &mut self.peers[peer as usize];
        let contest = state.contest.filter(|contest| contest.link == link);
        let Some(entry) = state.link_mut(link) else {
            return;
        };
        let mut at = entry.next_probe(now);
        let mut sooner = |due: Option<Timestamp>| {
            at = match (at, due) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
        };
        sooner(contest.map(|contest| contest.due()));
        sooner(entry.greeting.resend_at);
        sooner((!entry.ready).then(|| entry.since + entry.connection_timeout()));
        sooner(entry.probe.map(|probe| entry.probe_due(&probe, now)));
        sooner(entry.arrivals.report_at().filter(|at| *at > now));
        let oldest = entry.flights.oldest_outstanding();
        sooner(oldest.map(|(_, flight)| entry.look_at(&flight, now)));
        self.set_link_timer(peer, link, at);
    }

    pub(crate) fn link_timer(&mut self, link: LinkId, now: Timestamp) {
        let Some(peer) = self.links.get(&link).copied() else {
            return;
        };
        let Some(entry) = self.peers[peer as usize].link_mut(link) else {
            return;
        };
        entry.timer = None;
        let patience = entry.connection_timeout();
        if !entry.ready && now.since(entry.since) >= patience {
            return self.command(Command::Close { link, why: CloseReason::NoHello(patience) });
        }
        if entry.greeting.resend_at.is_some_and(|at| at <= now) {
            self.send_hello(peer, link, now);
        }
        if self.peers[peer as usize].link_mut(link).is_some_and(|l| l.arrivals.is_due(now)) {
            self.mark_dirty(peer);
        }
        self.contest_timer(peer, link, now);
        self.overdue_flights(peer, link, now);
        self.overdue_probe(peer, link, now);
        self.probe_if_due(peer, link, now);
        self.arm_link(peer, link, now);
    }

    /// Gives up frames whose acknowledgement is overdue, whoever waits for them.
    fn overdue_flights(&mut self, peer: u32, link: LinkId, now: Timestamp) {
        let Some(entry) = self.peers[peer as usize].link_mut(link) else {
            return;
        };
        let mut change = None;
        let probe = entry.probe.map(|p| p.seq);
        while let Some((seq, flight)) = entry.flights.oldest_outstanding() {
            if entry.flight_due(&flight) > now || probe == Some(seq) {
                break;
            }
            entry.flights.expire(seq);
            change = entry.expired(flight.bucket, now).or(change);
            if flight.written.is_none() {
                change = entry.suspect(flight.bucket, now).or(change);
            }
        }
        entry.flights.forget(now - FLIGHT_MAX_AGE);
        self.link_changed(peer, link, change);
    }

    fn overdue_probe(&mut self, peer: u32, link: LinkId, now: Timestamp) {
        let Some(entry) = self.peers[peer as usize].link_mut(link) else {
            return;
        };
        let Some(probe) = entry.probe.filter(|probe| entry.probe_due(probe, now) <= now) else {
            return;
        };
        let unanswered =
            entry.flights.get(probe.seq).is_some_and(|f| f.state != FlightState::Acked);
        let change = if unanswered {
            entry.flights.expire(probe.seq);
            entry.probe_lost(probe.bucket, now)
        } else {
            // The reply was lost, but its frame's acknowledgement came: the data direction lives.
            entry.probe = None;
            None
        };
        self.link_changed(peer, link, change);
        let jitter = self.jitter();
        if let Some(entry) = self.peers[peer as usize].link_mut(link) {
            entry.schedule_probe(jitter, now);
        }
    }

    fn probe_if_due(&mut self, peer: u32, link: LinkId, now: Timestamp) {
        let Some(entry) = self.peers[peer as usize].link_mut(link) else {
            return;
        };
        let due = entry.next_probe(now).is_some_and(|at| at <= now);
        if !due {
            return;
        }
        self.send_probe(peer, link, now);
    }

    pub(crate) fn jitter(&mut self) -> f64 {
        (self.rng.f64() - 0.5) / 2.0
    }

    /// Asks the other end for a sign of life, at the size that is in doubt.
    pub(crate) fn send_probe(&mut self, peer: u32, link: LinkId, now: Timestamp) {
        let nonce = self.rng.u64(..);
        let jitter = self.jitter();
        let state = &mut self.peers[peer as usize];
        let receiver_epoch = state.epoch.unwrap_or_default();
        let Some(entry) = state.link_mut(link) else {
            return;
        };
        if entry.flights.is_full() || entry.probe.is_some() {
            return;
        }
        let bucket = entry.probe_bucket(now);
        let size = bucket.probe_size(entry.max_frame);
        let padding = size.saturating_sub(HopHeader::LEN + Probe::LEN);
        let padding = u16::try_from(padding).unwrap_or(u16::MAX).max(Probe::MIN_PADDING);
        let bytes = HopHeader::LEN + Probe::LEN + usize::from(padding);
        let seq = entry.flights.push(bytes, None, true, now);
        let header = HopHeader { ttl: 1, deadline_ms: NO_DEADLINE, link_seq: seq, receiver_epoch };
        let body = Body::Probe(Probe { nonce, padding });
        let frame = Frame { header, hop_ack: None, route: None, body };
        let due = now + entry.timeout(bucket);
        entry.probe = Some(OutstandingProbe { nonce, seq, bucket: SizeBucket::of(bytes), due });
        entry.handed(bytes, Some(seq), now);
        entry.schedule_probe(jitter, now);
        self.command(Command::Transmit { link, seq: Some(seq), frame: frame.encode() });
    }

    /// A frame that belongs to no message was not taken: if it was a probe, another one follows.
    pub(crate) fn probe_not_taken(
        &mut self,
        peer: u32,
        link: LinkId,
        seq: Option<u32>,
        now: Timestamp,
    ) {
        let jitter = self.jitter();
        if let Some(entry) = self.peers[peer as usize].link_mut(link)
            && entry.probe.is_some_and(|probe| Some(probe.seq) == seq)
        {
            entry.probe = None;
            entry.schedule_probe(jitter, now);
        }
        self.arm_link(peer, link, now);
    }

    pub(crate) fn on_probe(&mut self, peer: u32, link: LinkId, probe: Probe, now: Timestamp) {
        let state = &mut self.peers[peer as usize];
        let receiver_epoch = state.epoch.unwrap_or_default();
        let Some(entry) = state.link_mut(link) else {
            return;
        };
        if !entry.replies.take(1.0, 0.0, now) {
            self.counters.stray_probes += 1;
            // No answer at all: it could be larger than the question.
            entry.arrivals.forgo();
            return;
        }
        // The hop ack rides along where the reply stays within the size of its request.
        let room = usize::from(probe.padding) >= usize::from(Probe::MIN_PADDING) + HopAck::LEN;
        let detours = entry.needs_detour();
        let hop_ack = entry.arrivals.ack(0, now).filter(|_| room);
        if !room {
            entry.arrivals.forgo();
        } else if !detours {
            entry.arrivals.reported();
        }
        let header = HopHeader { ttl: 1, deadline_ms: NO_DEADLINE, link_seq: 0, receiver_epoch };
        let body = Body::ProbeReply(ProbeReply { nonce: probe.nonce, dwell_us: 0 });
        let frame = Frame { header, hop_ack, route: None, body };
        self.transmit_unnumbered(peer, link, &frame, now);
        self.mark_dirty(peer);
    }

    pub(crate) fn on_probe_reply(
        &mut self,
        peer: u32,
        link: LinkId,
        reply: ProbeReply,
        now: Timestamp,
    ) {
        let Some(entry) = self.peers[peer as usize].link_mut(link) else {
            return;
        };
        let Some(probe) = entry.probe.take_if(|probe| probe.nonce == reply.nonce) else {
            self.counters.stray_probes += 1;
            return;
        };
        // The reply says of its probe what a hop ack would.
        let (largest, dwell_us) = (probe.seq, reply.dwell_us);
        let ack = HopAck { link_tag: 0, largest, bitmap: 0, dwell_us };
        self.on_hop_ack(peer, link, ack, now);
        self.arm_link(peer, link, now);
    }
}
