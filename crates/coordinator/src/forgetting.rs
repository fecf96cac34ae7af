//! Who is forgotten, and when: peers without links that nobody named, so that the table stays as
//! large as the crowd that is there.

use std::collections::BTreeSet;
use std::time::Duration;

use bitcraps_types::{PeerId, Timestamp, TrafficClass};

use crate::config::bounds::{FORGET_AFTER, MAX_DEADLINE};
use crate::core::TimerKey;
use crate::peer::Peer;
use crate::{Core, Notice, PeerHandle};

/// Peers looked at for one that may be forgotten, when there is no room.
const LOOKED_AT: usize = 16;

/// How long a peer with which messages were exchanged is remembered without a link: as long as
/// either end may send one again, whose number tells the other whether it had it.
const REMEMBER: Duration = Duration::from_secs(MAX_DEADLINE.as_secs() + FORGET_AFTER.as_secs());

/// Peers without a link that may be forgotten, since when.
#[derive(Debug, Default)]
pub(crate) struct Idle {
    /// Nothing was exchanged with them.
    fresh: BTreeSet<(Timestamp, u32)>,
    /// Messages were.
    known: BTreeSet<(Timestamp, u32)>,
    /// A timer is set for the first of them.
    armed: bool,
}

impl Peer {
    /// Whether a message of it was ever taken, or one to it ever numbered.
    pub(crate) fn has_history(&self) -> bool {
        !self.former.is_empty()
            || self.incoming.iter().any(Option::is_some)
            || self.outgoing.iter().any(|o| o.numbers.end() > o.begin || !o.former.is_empty())
    }

    /// Whether messages to it wait for their outcome, or a store remembers what it sent: the bounds
    /// of both are elsewhere.
    fn is_needed(&self) -> bool {
        !self.former.is_empty()
            || self.outgoing.iter().any(|outgoing| outgoing.messages > 0)
            || self.incoming.iter().flatten().any(|incoming| incoming.recorded)
    }
}

impl Core {
    /// The handle of a peer, which is known from now on, until nothing was heard of it for ten
    /// minutes; longer when messages were exchanged. `None` when the table is full of peers that
    /// may not be forgotten.
    pub(crate) fn enter(&mut self, id: PeerId, now: Timestamp) -> Option<PeerHandle> {
        let handle = self.place(id, now)?;
        self.rest(handle.0, now);
        Some(handle)
    }

    /// The handle of a peer, known or new.
    pub(crate) fn place(&mut self, id: PeerId, now: Timestamp) -> Option<PeerHandle> {
        match self.peer(id) {
            Some(known) => Some(known),
            None if id == self.config.local || !self.has_place(now) => None,
            None => Some(self.seat(id)),
        }
    }

    /// Whether another peer fits; one that may be forgotten makes room.
    fn has_place(&mut self, now: Timestamp) -> bool {
        if self.known_peers() < self.config.peers {
            return true;
        }
        let may_go = |(_, slot): &&(Timestamp, u32)| !self.peers[*slot as usize].is_needed();
        let oldest = self.idle.fresh.iter().take(LOOKED_AT).find(may_go).copied();
        oldest.is_some_and(|(_, slot)| {
            self.forget(slot, now);
            true
        })
    }

    fn known_peers(&self) -> usize {
        self.peers.len() - self.vacant.len()
    }

    /// Gives a peer that is not known a place.
    fn seat(&mut self, id: PeerId) -> PeerHandle {
        let mut peer = Peer::new(id);
        for class in TrafficClass::ALL {
            peer.outgoing[class.index()].begin_at(self.begin[class.index()]);
        }
        match self.vacant.pop() {
            Some(slot) => {
                self.peers[slot as usize] = peer;
                PeerHandle(slot, self.roster.put(slot, id))
            }
            None => {
                self.peers.push(peer);
                self.roster.add(id)
            }
        }
    }

    /// The peer has no link, or was heard of again without one: its time runs from now on.
    pub(crate) fn rest(&mut self, slot: u32, now: Timestamp) {
        self.wake(slot);
        let peer = &mut self.peers[slot as usize];
        if peer.pinned || !peer.links.is_empty() {
            return;
        }
        let known = peer.has_history();
        peer.idle = Some((now, known));
        let idle = if known { &mut self.idle.known } else { &mut self.idle.fresh };
        idle.insert((now, slot));
        self.arm_forgetting();
    }

    /// The peer may not be forgotten any more.
    pub(crate) fn wake(&mut self, slot: u32) {
        if let Some((since, known)) = self.peers[slot as usize].idle.take() {
            let idle = if known { &mut self.idle.known } else { &mut self.idle.fresh };
            idle.remove(&(since, slot));
        }
    }

    fn arm_forgetting(&mut self) {
        let fresh = self.idle.fresh.first().map(|(since, _)| *since + FORGET_AFTER);
        let known = self.idle.known.first().map(|(since, _)| *since + REMEMBER);
        let due = [fresh, known].into_iter().flatten().min();
        if let Some(at) = due.filter(|_| !self.idle.armed) {
            self.idle.armed = true;
            self.set_timer(at, TimerKey::Forget);
        }
    }

    /// Forgets the first peer that is due, if one is; another call follows for the next.
    pub(crate) fn forget_due(&mut self, now: Timestamp) {
        self.idle.armed = false;
        let due = |first: Option<&(Timestamp, u32)>, after| {
            first.filter(|(since, _)| *since + after <= now).map(|(_, slot)| *slot)
        };
        let fresh = due(self.idle.fresh.first(), FORGET_AFTER);
        let slot = fresh.or_else(|| due(self.idle.known.first(), REMEMBER));
        if let Some(slot) = slot {
            if self.peers[slot as usize].is_needed() {
                self.rest(slot, now);
            } else {
                self.forget(slot, now);
            }
        }
        self.arm_forgetting();
    }

    fn forget(&mut self, slot: u32, now: Timestamp) {
        // What this turn has still to say to it is said first.
        self.end_turn(now);
        self.wake(slot);
        let gone = std::mem::replace(&mut self.peers[slot as usize], Peer::vacant());
        for class in TrafficClass::ALL {
            // Whoever meets it again in the same incarnations must not use a number twice.
            let end = gone.outgoing[class.index()].numbers.end();
            let begin = &mut self.begin[class.index()];
            *begin = end.max(*begin);
        }
        self.reassembly.remove_peer(gone.id);
        self.roster.clear(slot);
        self.vacant.push(slot);
        self.notice(Notice::PeerForgotten { peer: gone.id });
    }

    /// A peer that [`Self::add_peer`] made known is to be forgotten like others.
    pub fn release_peer(&mut self, id: PeerId, now: Timestamp) {
        if let Some(handle) = self.peer(id) {
            self.peers[handle.0 as usize].pinned = false;
            self.rest(handle.0, now);
        }
    }

    /// Whether the handle still means the peer that it was given for.
    pub fn is_current(&self, handle: PeerHandle) -> bool {
        self.roster.is_current(handle)
    }
}
