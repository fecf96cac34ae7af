use std::fmt;

use bitcraps_types::{Epoch, LinkId, PeerId, Timestamp};
use bitcraps_wire::{Body, Data, Frame, HopHeader, NO_DEADLINE, Route, Status};
use bytes::Bytes;

use crate::budget::Budget;
use crate::command::CloseReason;
use crate::window::Seen;
use crate::{Command, Core, Notice, Outcome, PeerHandle, RejectReason};

/// What one stranger may send in a second, in bytes, and what it may have saved up: greetings,
/// probes, an invitation's proof, and a large message or two that is refused with an answer.
const STRANGER_RATE: f64 = 16_384.0;
const STRANGER_BURST: f64 = 262_144.0;
/// Seconds' worth that all strangers together may have saved up.
const STRANGERS_BURST: f64 = 4.0;
/// Bodies that wait for the machine around the core. One that looks for them after every turn
/// finds a few.
const MAX_CONTROLS: usize = 256;

/// What a peer may do here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    /// Nothing of this node's: it is refused at link-up and never dialled.
    Blocked,
    /// It may link, be greeted and be probed; messages from it are refused with an answer, and
    /// none are sent to it.
    Stranger,
    /// Messages go both ways.
    Admitted,
}

impl Standing {
    /// Lower-case name, as in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Blocked => "blocked",
            Self::Stranger => "stranger",
            Self::Admitted => "admitted",
        }
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A body that is not about delivery, for the machine around the core.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Control {
    /// Who sent it, proved by the link.
    pub peer: PeerId,
    /// The link it came by.
    pub link: LinkId,
    /// What it says.
    pub body: Body,
    /// The header and the way of a frame that is between others.
    pub passing: Option<(HopHeader, Route)>,
    /// When it came.
    pub at: Timestamp,
}

/// What both ends of a greeted link know of it, and nobody made beforehand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Session {
    /// The other end.
    pub peer: PeerId,
    /// Its incarnation.
    pub peer_epoch: Epoch,
    /// This end's challenge.
    pub challenge: u64,
    /// The other end's.
    pub peer_challenge: u64,
}

/// The allowance of one stranger.
pub(crate) const fn stranger_allowance() -> Budget {
    Budget::new(0.0, STRANGER_RATE, STRANGER_BURST)
}

/// The allowance of all strangers together.
pub(crate) fn strangers_allowance(bytes_per_second: u32) -> Budget {
    let rate = f64::from(bytes_per_second);
    Budget::new(0.0, rate, (STRANGERS_BURST * rate).max(STRANGER_BURST))
}

impl Core {
    /// What a peer may do; `None` for one that is not known. A peer is admitted until
    /// [`Self::set_standing`] says otherwise.
    pub fn standing(&self, id: PeerId) -> Option<Standing> {
        let handle = self.peer(id)?;
        Some(self.peers[handle.0 as usize].standing)
    }

    /// What a known peer may do from now on. When that is less than before, messages to it end, as
    /// unknown where a copy left; when it is blocked, its links are closed.
    pub fn set_standing(&mut self, id: PeerId, standing: Standing, now: Timestamp) {
        let Some(handle) = self.peer(id) else {
            return;
        };
        let state = &mut self.peers[handle.0 as usize];
        let before = std::mem::replace(&mut state.standing, standing);
        if before == standing {
            return;
        }
        self.notice(Notice::PeerStanding { peer: id, standing });
        if standing == Standing::Admitted {
            return;
        }
        self.reassembly.remove_peer(id);
        for slot in self.messages.slots().collect::<Vec<_>>() {
            let Some(message) = self.messages.get(slot).filter(|m| m.peer == handle.0) else {
                continue;
            };
            let outcome = if message.left() {
                Outcome::Unknown { tried: message.tried() }
            } else {
                Outcome::Rejected { why: RejectReason::NotAdmitted }
            };
            self.settle(slot, outcome, now);
        }
        if standing == Standing::Blocked {
            let links = self.peers[handle.0 as usize].links.iter().map(|l| l.id());
            for link in links.collect::<Vec<_>>() {
                self.command(Command::Close { link, why: CloseReason::Blocked });
            }
        }
    }

    /// The handle of a peer whose standing is known, and which is known itself from now on, until it
    /// had no link for [`bounds::FORGET_AFTER`](crate::bounds::FORGET_AFTER) and nobody spoke of it;
    /// a day longer when messages were exchanged. `None` when the table is full of peers that may
    /// not be forgotten.
    pub fn meet(&mut self, id: PeerId, standing: Standing, now: Timestamp) -> Option<PeerHandle> {
        if self.peer(id).is_some() {
            self.set_standing(id, standing, now);
            return self.enter(id, now);
        }
        let handle = self.enter(id, now)?;
        self.peers[handle.0 as usize].standing = standing;
        Some(handle)
    }

    /// Every known peer.
    pub fn peer_ids(&self) -> Vec<PeerId> {
        self.peers.iter().filter(|peer| !peer.vacant).map(|peer| peer.id).collect()
    }

    /// Whether another device was seen lately that uses the peer's key.
    pub fn is_contested(&self, id: PeerId, now: Timestamp) -> bool {
        let handle = self.peer(id);
        handle.is_some_and(|h| self.peers[h.0 as usize].shut_out(now).is_some())
    }

    /// Whether a frame may be looked at: those of strangers only within their allowance.
    pub(crate) fn allows(&mut self, peer: u32, frame: &Bytes, now: Timestamp) -> bool {
        let state = &mut self.peers[peer as usize];
        if state.standing == Standing::Admitted {
            return true;
        }
        let cost = frame.len() as f64;
        let allowed = state.allowance.take(cost, 0.0, now) && self.strangers.take(cost, 0.0, now);
        self.counters.stranger_frames += u64::from(!allowed);
        allowed
    }

    /// Refuses a message whose sender is not admitted, or was not when a copy of it came. What was
    /// delivered before is no longer to be refused. Tells whether it was.
    pub(crate) fn turn_away(&mut self, peer: u32, link: LinkId, data: &Data) -> bool {
        let (class, sequence) = (data.class, data.sequence);
        let stream = (data.source_epoch, class);
        let state = &mut self.peers[peer as usize];
        if state.epoch != Some(data.source_epoch) {
            return self.turn_away_former(peer, link, data);
        }
        let refused_below = &mut state.refused_below[class.index()];
        if state.standing == Standing::Admitted {
            if sequence >= *refused_below {
                return false;
            }
        } else {
            *refused_below = sequence.saturating_add(1).max(*refused_below);
        }
        let incoming = state.incoming[class.index()].as_ref();
        if incoming.is_some_and(|i| i.window.seen(sequence) == Seen::Duplicate) {
            return false;
        }
        self.counters.not_admitted += 1;
        self.pend_result(peer, link, stream, sequence, data.attempt, Status::NotAdmitted);
        true
    }

    /// [`Self::turn_away`] of what a former incarnation of the sender left in its outbox.
    fn turn_away_former(&mut self, peer: u32, link: LinkId, data: &Data) -> bool {
        let stream = (data.source_epoch, data.class);
        let state = &mut self.peers[peer as usize];
        if state.standing == Standing::Admitted || state.epoch.is_none_or(|e| e <= stream.0) {
            return false;
        }
        match state.stream(stream).map(|incoming| incoming.window.seen(data.sequence)) {
            Some(Seen::Duplicate) => return false,
            Some(Seen::New | Seen::TooOld) => {}
            // No copy may be delivered after this answer.
            None => state.forgotten = state.forgotten.max(stream.0),
        }
        self.counters.not_admitted += 1;
        self.refuse(peer, link, stream, data.sequence, data.attempt, Status::NotAdmitted);
        true
    }

    /// Keeps a body for the machine around the core.
    pub(crate) fn on_control(&mut self, peer: u32, link: LinkId, body: Body, now: Timestamp) {
        let peer = self.peers[peer as usize].id;
        self.keep_control(Control { peer, link, body, passing: None, at: now });
    }

    /// Keeps a frame between others for the machine around the core.
    pub(crate) fn on_passing(
        &mut self,
        peer: PeerId,
        link: LinkId,
        header: HopHeader,
        route: Route,
        body: Body,
        now: Timestamp,
    ) {
        let passing = Some((header, route));
        self.keep_control(Control { peer, link, body, passing, at: now });
    }

    fn keep_control(&mut self, control: Control) {
        if self.controls.len() >= MAX_CONTROLS {
            self.counters.unexpected += 1;
            return;
        }
        self.controls.push_back(control);
    }

    /// The next body that is not about delivery, in the order they came.
    pub fn poll_control(&mut self) -> Option<Control> {
        self.controls.pop_front()
    }

    /// What both ends know of a link; `None` before the other end's hello.
    pub fn session(&self, link: LinkId) -> Option<Session> {
        let state = &self.peers[*self.links.get(&link)? as usize];
        let entry = state.links.iter().find(|l| l.id() == link)?;
        Some(Session {
            peer: state.id,
            peer_epoch: state.epoch?,
            challenge: entry.greeting.challenge,
            peer_challenge: entry.greeting.peer_challenge?,
        })
    }

    /// Links to a peer that carry data, in the order they came up.
    pub fn ready_links(&self, id: PeerId) -> Vec<LinkId> {
        let known = self.peer(id);
        known.map_or_else(Vec::new, |handle| {
            let links = &self.peers[handle.0 as usize].links;
            links.iter().filter(|l| l.ready).map(|l| l.id()).collect()
        })
    }

    /// Whether a message of the peer was ever taken, or one to it ever numbered.
    pub fn has_history(&self, id: PeerId) -> bool {
        self.peer(id).is_some_and(|handle| self.peers[handle.0 as usize].has_history())
    }

    /// Sends a body that is not about delivery to a neighbour, over the fastest of its links that has
    /// room. Nobody acknowledges it. False when there is none.
    pub fn send_control_to(&mut self, id: PeerId, body: Body, now: Timestamp) -> bool {
        let header =
            HopHeader { ttl: 1, deadline_ms: NO_DEADLINE, link_seq: 0, receiver_epoch: Epoch(0) };
        let frame = Frame { header, hop_ack: None, route: None, body };
        self.forward(id, frame, true, now).is_ok()
    }

    /// Sends a body that is not about delivery over a link. Nobody acknowledges it.
    pub fn send_control(&mut self, link: LinkId, body: Body, now: Timestamp) {
        let Some(peer) = self.links.get(&link).copied() else {
            return;
        };
        let receiver_epoch = self.peers[peer as usize].epoch.unwrap_or_default();
        let header = HopHeader { ttl: 1, deadline_ms: NO_DEADLINE, link_seq: 0, receiver_epoch };
        let frame = Frame { header, hop_ack: None, route: None, body };
        self.transmit_unnumbered(peer, link, &frame, now);
    }
}
