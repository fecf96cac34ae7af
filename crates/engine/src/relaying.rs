//! Messages across hops: ways opened for those who have no link, frames carried for others.

use bitcraps_coordinator::{Command, ForwardError, LinkUp, Standing, TransmitFailure};
use bitcraps_session::Command as Agreement;
use bitcraps_types::{Epoch, LinkId, Medium, PeerId, Timestamp};
use bitcraps_wire::{Body, Frame, HopHeader, MAX_VIA, NO_DEADLINE, Relayed, RelayedKind, Route};
use bytes::{BufMut, Bytes, BytesMut};

use crate::loops::Loops;
use crate::tunnels::{End, Tunnel, WAYS};
use crate::way::{capabilities, left_of, relayed_ways};
use crate::{Engine, Level};

/// Hops that a frame may travel: the recommended default of the internet protocol (RFC 1700), more than
/// a thousand nodes in one area are apart.
const TTL: u8 = 64;
/// Of a frame that has so few hops left, and no name to be known by, it is taken to be going round.
const TTL_ASTRAY: u8 = TTL / 2;
/// Where a frame says what it is, and its deadline.
const KIND_AT: usize = 2;
const DATA: u8 = 1;
const DEADLINE_AT: std::ops::Range<usize> = 4..8;

/// A frame that came from a neighbour, on its way from a source to a destination.
pub(crate) struct Passing {
    pub(crate) from: PeerId,
    pub(crate) ttl: u8,
    pub(crate) deadline_ms: u32,
    pub(crate) route: Route,
    pub(crate) relayed: Relayed,
}

fn is_data(frame: &[u8]) -> bool {
    frame.get(KIND_AT) == Some(&DATA)
}

fn deadline_of(frame: &[u8]) -> u32 {
    let bytes = frame.get(DEADLINE_AT).and_then(|bytes| bytes.first_chunk());
    bytes.map_or(NO_DEADLINE, |bytes| u32::from_be_bytes(*bytes))
}

impl Engine {
    /// A message is to go to a peer that may be known from the network only: makes it known.
    pub(crate) fn seek(&mut self, peer: PeerId, now: Timestamp) {
        if self.level_of(&peer) == Level::Area {
            self.core.meet(peer, self.admission.standing(peer), now);
        }
    }

    /// Makes sure that a peer who is known from the network is reached, by ways through relays when
    /// there is no other.
    pub fn reach(&mut self, peer: PeerId, now: Timestamp) {
        self.seek(peer, now);
        self.open(peer, now);
    }

    /// Opens ways to a peer for whom messages wait and to whom no link leads.
    pub(crate) fn open(&mut self, peer: PeerId, now: Timestamp) {
        let level = self.level_of(&peer);
        let (Some(network), Some(tunnels)) = (&self.network, &mut self.tunnels) else { return };
        if self.admission.standing(peer) != Standing::Admitted || level == Level::Local {
            return;
        }
        if level == Level::Beyond {
            return tunnels.wait_for(peer);
        }
        // A session may be with an incarnation of which the network has not heard yet.
        let sealed_for = tunnels.sessions.epoch_of(&peer);
        let epoch = network.epoch_of(&peer).max(sealed_for);
        let epoch = epoch.filter(|_| !relayed_ways(network, &peer).is_empty());
        let Some(epoch) = epoch else { return tunnels.wait_for(peer) };
        if tunnels.sessions.connect(peer, epoch, now, &mut tunnels.rng).is_err() {
            // Full, or an incarnation that is over: the network will know a later one.
            return tunnels.wait_for(peer);
        }
        if sealed_for == Some(epoch) {
            self.open_links(peer, now);
        }
        self.agree(now);
    }

    /// Does what the sessions want done.
    pub(crate) fn agree(&mut self, now: Timestamp) {
        while let Some(wanted) = self.tunnels.as_mut().and_then(|t| t.sessions.poll_command()) {
            match wanted {
                Agreement::Transmit { to, epoch, bytes } => {
                    let (Some(network), Some(tunnels)) = (&self.network, &mut self.tunnels) else {
                        return;
                    };
                    let mut ways = relayed_ways(network, &to);
                    tunnels.handshakes = tunnels.handshakes.wrapping_add(1);
                    if !ways.is_empty() {
                        let way = ways.swap_remove(tunnels.handshakes % ways.len());
                        let epoch = epoch.or_else(|| network.epoch_of(&to)).unwrap_or_default();
                        // What is lost is sent again, another way.
                        let _sent = self.send_along(
                            &way,
                            epoch,
                            RelayedKind::Handshake,
                            bytes,
                            NO_DEADLINE,
                            now,
                        );
                    }
                }
                Agreement::Established { peer, .. } => {
                    if let Some(network) = &mut self.network {
                        network.vouch(&peer, &mut self.core, now);
                    }
                    self.open_links(peer, now);
                }
                Agreement::Failed { peer } => {
                    if let Some(tunnels) = &mut self.tunnels {
                        tunnels.wait_for(peer);
                    }
                }
            }
        }
    }

    /// Brings up a link for each way to a peer that has none.
    pub(crate) fn open_links(&mut self, peer: PeerId, now: Timestamp) {
        let Some(network) = &self.network else { return };
        self.bring_up(peer, relayed_ways(network, &peer).into_iter().enumerate().collect(), now);
    }

    /// Brings up links for ways to a peer, by their numbers; those that are up stay as they are.
    pub(crate) fn bring_up(
        &mut self,
        peer: PeerId,
        ways: Vec<(usize, Vec<PeerId>)>,
        now: Timestamp,
    ) {
        let medium = |next: &PeerId| {
            let mut media = self.core.measures(*next, now).map(|link| link.medium);
            media.next().unwrap_or(Medium::Real)
        };
        let (Some(network), Some(tunnels)) = (&self.network, &mut self.tunnels) else { return };
        let admitted = self.admission.standing(peer) == Standing::Admitted;
        if !admitted || self.core.is_neighbour(peer) {
            return;
        }
        let Ok(evicted) = tunnels.room(peer, now) else { return tunnels.wait_for(peer) };
        let end = tunnels.ends.entry(peer).or_insert(End { links: [None; WAYS], used: now });
        end.used = now;
        let mut up = ways;
        up.retain(|(number, _)| end.links.get(*number).is_some_and(Option::is_none));
        tunnels.waiting.remove(&peer);
        let mut facts = Vec::new();
        for (number, way) in up {
            let link = tunnels.fresh_link();
            let medium = way.get(1).map_or(Medium::Real, medium);
            let (transport, capabilities) = capabilities(network, &way, medium);
            if let Some(end) = tunnels.ends.get_mut(&peer) {
                end.links[number] = Some(link);
            }
            tunnels.links.insert(link, Tunnel { peer, number, way, written: 0 });
            facts.push(LinkUp { link, peer, transport, capabilities });
        }
        if let Some(evicted) = evicted {
            self.close_links(evicted, now);
        }
        self.core.meet(peer, Standing::Admitted, now);
        for facts in facts {
            self.core.link_up(facts, now);
        }
    }

    /// Takes down every link to a peer that leads through relays.
    pub(crate) fn close_links(&mut self, peer: PeerId, now: Timestamp) {
        let Some(tunnels) = &mut self.tunnels else { return };
        let end = tunnels.ends.remove(&peer);
        for link in end.into_iter().flat_map(|end| end.links).flatten() {
            self.close_link(link, now);
        }
    }

    /// Takes down one of them.
    pub(crate) fn close_link(&mut self, link: LinkId, now: Timestamp) {
        let Some(tunnels) = &mut self.tunnels else { return };
        if let Some(tunnel) = tunnels.links.remove(&link) {
            if let Some(end) = tunnels.ends.get_mut(&tunnel.peer) {
                end.links[tunnel.number] = None;
                if end.links.iter().all(Option::is_none) {
                    tunnels.ends.remove(&tunnel.peer);
                }
            }
            self.core.link_down(link, now);
        }
    }

    /// Carries a frame of the core along the way that its link stands for.
    pub(crate) fn carry(&mut self, link: LinkId, seq: Option<u32>, frame: &Bytes, now: Timestamp) {
        let sent = self.seal_and_send(link, frame, now);
        let Some(tunnel) = self.tunnels.as_mut().and_then(|t| t.links.get_mut(&link)) else {
            return;
        };
        match sent {
            Ok(()) => {
                tunnel.written += 1;
                let written = tunnel.written;
                self.core.written(link, written, now);
            }
            Err(failure) => self.core.transmit_failed(link, seq, failure, now),
        }
    }

    fn seal_and_send(
        &mut self,
        link: LinkId,
        frame: &Bytes,
        now: Timestamp,
    ) -> Result<(), TransmitFailure> {
        let tunnels = self.tunnels.as_mut().ok_or(TransmitFailure::Closed)?;
        let tunnel = tunnels.links.get(&link).ok_or(TransmitFailure::Closed)?;
        let (peer, way) = (tunnel.peer, tunnel.way.clone());
        let mut inner = BytesMut::with_capacity(1 + frame.len());
        inner.put_u8(tunnel.number as u8);
        inner.put_slice(frame);
        if is_data(frame)
            && let Some(end) = tunnels.ends.get_mut(&peer)
        {
            end.used = now;
        }
        let sealed = tunnels.sessions.seal_ack(&peer, &inner, now);
        let sealed = sealed.map_err(|_| TransmitFailure::Closed)?;
        let epoch = tunnels.sessions.epoch_of(&peer).unwrap_or_default();
        let kind = RelayedKind::Sealed;
        self.send_along(&way, epoch, kind, sealed, deadline_of(frame), now).map_err(|why| match why
        {
            ForwardError::NoRoom(_) => TransmitFailure::Full,
            ForwardError::NoLink(_) | ForwardError::TooLarge { .. } => TransmitFailure::Closed,
        })
    }

    fn send_along(
        &mut self,
        way: &[PeerId],
        destination_epoch: Epoch,
        kind: RelayedKind,
        payload: Bytes,
        deadline_ms: u32,
        now: Timestamp,
    ) -> Result<(), ForwardError> {
        let (Some(next), Some(destination), Some(network)) =
            (way.get(1), way.last(), &self.network)
        else {
            return Err(ForwardError::NoLink(self.core.config().local));
        };
        let between = way.get(2..way.len() - 1).unwrap_or_default();
        let via = between.iter().take(MAX_VIA).map(|peer| network.alias_of(peer)).collect();
        let source = self.core.config().local;
        let frame = Frame {
            header: HopHeader {
                ttl: TTL,
                deadline_ms,
                link_seq: 0,
                receiver_epoch: Epoch::default(),
            },
            hop_ack: None,
            route: Some(Route { source, destination: *destination, destination_epoch }),
            body: Body::Relayed(Relayed { kind, via, payload }),
        };
        self.core.forward(*next, frame, true, now)
    }

    /// A frame between two others, or for this node, came from a neighbour.
    pub(crate) fn pass(&mut self, passing: Passing, now: Timestamp) {
        let Some(tunnels) = &mut self.tunnels else { return };
        let ends = [passing.from, passing.route.source, passing.route.destination];
        let me = self.core.config().local;
        let stranger =
            |peer: &PeerId| *peer != me && self.admission.standing(*peer) != Standing::Admitted;
        if ends.iter().any(stranger) {
            tunnels.counters.not_admitted += 1;
        } else if passing.route.source == me {
            tunnels.counters.looped += 1;
        } else if passing.route.destination == me {
            self.receive(passing, now);
        } else {
            self.relay(passing, now);
        }
    }

    fn receive(&mut self, passing: Passing, now: Timestamp) {
        let Some(tunnels) = &mut self.tunnels else { return };
        let (source, payload) = (passing.route.source, passing.relayed.payload);
        let epoch = self.core.config().epoch;
        if passing.route.destination_epoch != epoch {
            tunnels.counters.unopened += 1;
            if passing.route.destination_epoch < epoch {
                // It has not heard that this node restarted: a handshake proves it.
                self.open(source, now);
            }
            return;
        }
        match passing.relayed.kind {
            RelayedKind::Handshake => {
                let taken = tunnels.sessions.on_handshake(&source, &payload, now, &mut tunnels.rng);
                tunnels.counters.unopened += u64::from(taken.is_err());
            }
            RelayedKind::Sealed => match tunnels.sessions.open_ack(&source, &payload, now) {
                Ok(inner) => self.deliver(source, passing.from, &inner, now),
                Err(_) => tunnels.counters.unopened += 1,
            },
        }
        self.agree(now);
    }

    /// Hands a frame that was sealed for this node to the core, on the link that it belongs to.
    fn deliver(&mut self, source: PeerId, from: PeerId, inner: &Bytes, now: Timestamp) {
        let Some((number, _)) = inner.split_first() else { return };
        let (number, frame) = (usize::from(*number), inner.slice(1..));
        if number >= WAYS {
            if let Some(tunnels) = &mut self.tunnels {
                tunnels.counters.unopened += 1;
            }
            return;
        }
        let link = |engine: &Self| {
            let end = engine.tunnels.as_ref().and_then(|tunnels| tunnels.ends.get(&source));
            end.map(|end| end.links.get(number).copied().flatten())
        };
        if link(self).is_none() {
            self.open_links(source, now);
        }
        if link(self).flatten().is_none() {
            // The other end knows a way that this one has not heard of: back whence it came.
            let local = self.core.config().local;
            self.bring_up(source, vec![(number, vec![local, from, source])], now);
        }
        let Some(link) = link(self).flatten() else { return };
        if is_data(&frame)
            && let Some(end) = self.tunnels.as_mut().and_then(|t| t.ends.get_mut(&source))
        {
            end.used = now;
        }
        self.core.frames_received(link, &mut vec![frame], now);
    }

    fn relay(&mut self, passing: Passing, now: Timestamp) {
        let Passing { from, ttl, deadline_ms, route, mut relayed } = passing;
        let half_trip = self.core.half_trip(from, now);
        let (Some(network), Some(tunnels)) = (&self.network, &mut self.tunnels) else { return };
        let name = match relayed.kind {
            RelayedKind::Sealed => Loops::name(route.source, &relayed.payload),
            RelayedKind::Handshake => None,
        };
        let times = name.map_or(0, |name| tunnels.loops.times(&name));
        if ttl <= 1 || times > 1 {
            tunnels.counters.looped += 1;
            return;
        }
        let Some(deadline_ms) = left_of(deadline_ms, half_trip) else {
            tunnels.counters.late += 1;
            return;
        };
        // The destination, if it is a neighbour; the relay that was named, if it is one that answers;
        // the next one on this node's own way there, or on its way round those it comes from; or the one
        // that was named all the same, because what the view shows as a link may be suspect to its own
        // ends for long. What comes again has found nothing but doubts on its way round: it takes this
        // node's own way whatever is thought of it, once.
        let named = relayed.via.first().and_then(|alias| network.neighbour_of(*alias));
        let answers = |hop: &PeerId| self.core.is_answering(*hop);
        let onward = |next: &PeerId| *next != from && *next != route.source;
        let next = if self.core.is_neighbour(route.destination) {
            relayed.via.clear();
            Some(route.destination)
        } else if times > 0 || (name.is_none() && ttl <= TTL_ASTRAY) {
            relayed.via.clear();
            tunnels.straight_hop(network, &route.destination).filter(onward)
        } else if let Some(next) = named.filter(|next| answers(next) && onward(next)) {
            relayed.via.remove(0);
            Some(next)
        } else if let Some(next) =
            tunnels.next_hop(network, [from, route.source], &route.destination, answers)
        {
            relayed.via.clear();
            Some(next)
        } else {
            let next = named.filter(onward);
            if next.is_some() {
                relayed.via.remove(0);
            }
            next
        };
        let Some(next) = next else {
            tunnels.counters.no_way += 1;
            return;
        };
        let header =
            HopHeader { ttl: ttl - 1, deadline_ms, link_seq: 0, receiver_epoch: Epoch::default() };
        let body = Body::Relayed(relayed);
        let frame = Frame { header, hop_ack: None, route: Some(route), body };
        let len = frame.encoded_len();
        if !tunnels.may_relay(len, now) {
            tunnels.counters.no_room += 1;
            return;
        }
        match self.core.forward(next, frame, false, now) {
            Ok(()) => {
                tunnels.counters.relayed += 1;
                tunnels.counters.bytes += len as u64;
                if let Some(name) = name {
                    tunnels.loops.note(name);
                }
            }
            Err(ForwardError::NoRoom(_)) => tunnels.counters.no_room += 1,
            Err(ForwardError::NoLink(_) | ForwardError::TooLarge { .. }) => {
                tunnels.counters.no_way += 1;
            }
        }
    }

    /// Carries what the core wants sent over links that lead through relays; anything else is for
    /// the shell.
    pub(crate) fn take_relayed(&mut self, command: Command) -> Option<Command> {
        let now = self.core.turn();
        match command {
            Command::Transmit { link, seq, frame } if bitcraps_coordinator::is_relayed(link) => {
                self.carry(link, seq, &frame, now);
                None
            }
            Command::Close { link, .. } if bitcraps_coordinator::is_relayed(link) => {
                self.close_link(link, now);
                None
            }
            other => Some(other),
        }
    }
}
