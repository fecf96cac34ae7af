//! Frames between others, and links whose frames others carry.

use bitcraps_types::{LinkId, PeerId, Timestamp};
use bitcraps_wire::{Frame, HopAck};

use crate::policy::{self, FailoverPolicy, Tier};
use crate::{Command, Core, SizeBucket, Standing};

/// Ids of links that lead through relays begin here. Drivers count theirs up from 1, and no process
/// sees so many.
const RELAYED: u64 = 1 << 32;

/// Whether the frames of a link are carried by other links.
pub const fn is_relayed(link: LinkId) -> bool {
    link.0 >= RELAYED
}

/// The `number`th link that leads through relays.
pub const fn relayed_link(number: u64) -> LinkId {
    LinkId(RELAYED.saturating_add(number))
}

/// Why a frame was not handed on. Nothing changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ForwardError {
    /// No link to the next hop carries data, or it may not relay.
    #[error("no link leads to {0}")]
    NoLink(PeerId),
    /// Its links carry nothing so large.
    #[error("{len} bytes are more than a link to {next} carries")]
    TooLarge {
        /// The next hop.
        next: PeerId,
        /// Length in bytes.
        len: usize,
    },
    /// Its links have no room now.
    #[error("links to {0} have no room now")]
    NoRoom(PeerId),
}

impl Core {
    /// Hands a frame to the next hop, over the fastest of its links that has room; one that flaps, and
    /// passes for dead while it answers, is better than none. Its header is completed here. Frames of
    /// others wait behind everything of this node: they are not handed over where bulk would not be. The
    /// next hop acknowledges a frame that has a route, which says something of the link; that it arrived is
    /// for the ends of the path to say. Nobody here sends it again.
    ///
    /// # Errors
    /// [`ForwardError`].
    pub fn forward(
        &mut self,
        next: PeerId,
        mut frame: Frame,
        own: bool,
        now: Timestamp,
    ) -> Result<(), ForwardError> {
        let handle = self.peer(next).ok_or(ForwardError::NoLink(next))?;
        let state = &self.peers[handle.0 as usize];
        let len = frame.encoded_len();
        let packet = policy::Packet {
            policy: FailoverPolicy::FastestFirst,
            bytes: len,
            energy_aware: self.config.energy_aware,
            incumbent: None,
            held: false,
            ceiling_us: u32::MAX,
        };
        let ranking = policy::rank(self.roster.candidates(handle.0), &packet, now);
        let mut error = ForwardError::NoLink(next);
        let mut chosen = None;
        for link in ranking.iter().map(|index| &state.links[index]) {
            if !link.ready || link.is_mute() || is_relayed(link.id()) {
                continue;
            }
            if link.max_frame < len {
                error = ForwardError::TooLarge { next, len };
            } else if link.flights.is_full() {
                error = ForwardError::NoRoom(next);
            } else if own && link.has_room_ahead() || link.has_room(now) {
                chosen = Some(link.id());
                break;
            } else {
                error = ForwardError::NoRoom(next);
            }
        }
        let epoch = state.epoch;
        let admitted = state.standing == Standing::Admitted;
        let link = chosen.filter(|_| admitted).ok_or(error)?;
        frame.header.receiver_epoch = epoch.unwrap_or_default();
        if frame.route.is_none() {
            // What is told to a neighbour has acknowledgements of its own, or none.
            self.transmit_unnumbered(handle.0, link, &frame, now);
            return Ok(());
        }
        let entry =
            self.peers[handle.0 as usize].link_mut(link).ok_or(ForwardError::NoLink(next))?;
        if !entry.needs_detour() && len + HopAck::LEN <= entry.max_frame {
            frame.hop_ack = entry.take_report(now);
        }
        let len = frame.encoded_len();
        let seq = entry.flights.push(len, None, true, now);
        entry.handed(len, Some(seq), now);
        let due = now + entry.timeout(SizeBucket::of(len));
        let arms = entry.timer.is_none_or(|at| at > due);
        frame.header.link_seq = seq;
        let frame = self.encode(&frame);
        self.command(Command::Transmit { link, seq: Some(seq), frame });
        if arms {
            self.arm_link(handle.0, link, now);
        }
        Ok(())
    }

    /// Whether a link of its own leads to the peer and answers, frames of the size of a packet
    /// included.
    pub fn is_answering(&self, id: PeerId) -> bool {
        self.peer(id).is_some_and(|handle| {
            let mut links = self.peers[handle.0 as usize].links.iter();
            links
                .any(|link| !is_relayed(link.id()) && link.tier(SizeBucket::Packet) < Tier::Suspect)
        })
    }

    /// What a link relies on does not answer: it is out of favour until it answers itself.
    pub fn doubt(&mut self, link: LinkId, now: Timestamp) {
        let Some(peer) = self.links.get(&link).copied() else { return };
        let Some(entry) = self.peers[peer as usize].link_mut(link) else { return };
        let change = entry.suspect(SizeBucket::Small, now);
        self.link_changed(peer, link, change);
        self.arm_link(peer, link, now);
        self.end_turn(now);
    }

    /// Whether a message for the peer has no outcome yet.
    pub fn has_unsettled(&self, id: PeerId) -> bool {
        self.peer(id).is_some_and(|handle| {
            self.peers[handle.0 as usize].outgoing.iter().any(|outgoing| outgoing.messages > 0)
        })
    }

    /// Whether a link of its own leads to the peer and carries data.
    pub fn is_neighbour(&self, id: PeerId) -> bool {
        self.peer(id).is_some_and(|handle| {
            let links = &self.peers[handle.0 as usize].links;
            links.iter().any(|link| link.ready && !link.is_down() && !is_relayed(link.id()))
        })
    }

    /// Half the round trip to a neighbour over its fastest link, as far as it was measured.
    pub fn half_trip(&self, id: PeerId, now: Timestamp) -> std::time::Duration {
        let trips = self.measures(id, now).filter_map(|link| link.round_trip);
        trips.min().unwrap_or_default() / 2
    }

    /// Round trip to a peer over the fastest link that leads through relays, as far as it was
    /// measured.
    pub fn relayed_trip(&self, id: PeerId) -> Option<std::time::Duration> {
        let links = &self.peers[self.peer(id)?.0 as usize].links;
        let relayed = links.iter().filter(|link| is_relayed(link.id()));
        relayed.filter_map(|link| link.smoothed(SizeBucket::Small)).min()
    }

    /// The next peer for whom a message waits and to whom no link leads.
    pub fn poll_stranded(&mut self) -> Option<PeerId> {
        self.stranded.pop_first()
    }

    pub(crate) fn strand(&mut self, peer: u32) {
        let state = &self.peers[peer as usize];
        if !state.links.iter().any(|link| link.ready) {
            self.stranded.insert(state.id);
        }
    }
}
