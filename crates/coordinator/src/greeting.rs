use std::time::Duration;

use bitcraps_types::{Epoch, LinkId, Timestamp};
use bitcraps_wire::{Body, Frame, Hello, HopHeader, NO_DEADLINE};

use crate::command::CloseReason;
use crate::config::bounds::LINKS_PER_PEER;
use crate::link::{Link, LinkUp};
use crate::peer::Peer;
use crate::{Command, Core, LinkChange, Notice, Standing};

/// First wait for an answer to a hello; doubles up to [`HELLO_WAIT_MAX`].
const HELLO_WAIT: Duration = Duration::from_millis(50);
const HELLO_WAIT_MAX: Duration = Duration::from_secs(1);
/// Epochs above its own that a node believes on a peer's mere word: more lives than a device has, and
/// so few that no liar uses them up.
const FARTHEST: u64 = 1 << 32;

impl Core {
    /// A link came up; its ends have proved their keys. It carries data once both have greeted.
    pub fn link_up(&mut self, facts: LinkUp, now: Timestamp) {
        let link = facts.link;
        if self.links.contains_key(&link) {
            return;
        }
        if facts.peer == self.config.local {
            return self.command(Command::Close { link, why: CloseReason::OwnKey });
        }
        let Some(handle) = self.enter(facts.peer, now) else {
            return self.command(Command::Close { link, why: CloseReason::TooManyPeers });
        };
        if self.peers[handle.0 as usize].links.len() >= LINKS_PER_PEER {
            return self.command(Command::Close { link, why: CloseReason::TooManyLinks });
        }
        let tag = self.fresh_tag();
        let challenge = self.rng.u64(..);
        let config = *self.config.transport(facts.transport);
        let energy_aware = self.config.energy_aware;
        let state = &mut self.peers[handle.0 as usize];
        let damping = state.damping[facts.transport.index()];
        let entry = Link::new(facts, config, energy_aware, tag, challenge, damping, now);
        let candidate = entry.candidate();
        state.links.push(entry);
        self.wake(handle.0);
        self.roster.push(handle.0, candidate);
        self.links.insert(link, handle.0);
        self.send_hello(handle.0, link, now);
        self.end_turn(now);
    }

    /// A link is gone. Messages on it move on at once, at no charge.
    pub fn link_down(&mut self, link: LinkId, now: Timestamp) {
        let Some(peer) = self.links.remove(&link) else {
            return;
        };
        let state = &mut self.peers[peer as usize];
        let Some(index) = state.link_index(link) else {
            return;
        };
        let gone = state.links.remove(index);
        self.roster.remove(peer, index);
        let transport = gone.facts.transport;
        let (id, reachable) = (state.id, state.is_reachable());
        let was_ready = gone.ready;
        self.drop_link_timer(link, gone.timer);
        self.absorb(&gone);
        let (damping, flapping) = gone.into_damping(now);
        self.peers[peer as usize].damping[transport.index()] = damping;
        if flapping {
            let change = LinkChange::Flapping;
            self.notice(Notice::LinkChanged { peer: id, link, transport, change });
        }
        self.rest(peer, now);
        self.notice(Notice::LinkGone { peer: id, link, transport });
        self.contest_without(peer, link, now);
        if was_ready && !reachable {
            self.notice(Notice::PeerUnreachable { peer: id });
        }
        let outgoing = &self.peers[peer as usize].outgoing;
        let stranded: Vec<u32> = outgoing
            .iter()
            .flat_map(|o| o.numbered())
            .filter(|slot| {
                self.messages.get(*slot).is_some_and(|m| m.copies().any(|c| c.link == link))
            })
            .collect();
        for slot in stranded {
            let Some(message) = self.messages.get_mut(slot) else {
                continue;
            };
            message.give_up_copies(|c| c.link == link);
            let waits = message.queued || message.told || message.has_copies();
            if !waits && self.config.resend {
                self.move_on(slot, None, crate::outbound::Reason::LocalError, now);
            }
        }
        self.mark_dirty(peer);
        self.end_turn(now);
    }

    pub(crate) fn send_hello(&mut self, peer: u32, link: LinkId, now: Timestamp) {
        let local = self.config.epoch;
        let state = &mut self.peers[peer as usize];
        let receiver_epoch = state.epoch.unwrap_or_default();
        let id = state.id;
        let Some(entry) = state.link_mut(link) else {
            return;
        };
        let hello = Hello {
            epoch: local,
            memory: self.store.memory.begins(&id),
            instance: self.instance,
            link_tag: entry.tag,
            challenge: entry.greeting.challenge,
            echo: entry.greeting.peer_challenge,
        };
        let wait = HELLO_WAIT * (1 << entry.greeting.sent.min(8));
        entry.greeting.sent += 1;
        entry.greeting.last_sent = Some(now);
        entry.greeting.resend_at = (!entry.ready).then(|| now + wait.min(HELLO_WAIT_MAX));
        let header = HopHeader { ttl: 1, deadline_ms: NO_DEADLINE, link_seq: 0, receiver_epoch };
        let frame = Frame { header, hop_ack: None, route: None, body: Body::Hello(hello) };
        self.transmit_unnumbered(peer, link, &frame, now);
        self.arm_link(peer, link, now);
    }

    /// A peer greets an incarnation of this node. Nobody signed that there is one above this, and a
    /// liar is believed only where it costs nothing: while no link carries anything, because whoever
    /// knows a later incarnation refuses this one.
    pub(crate) fn named(&mut self, peer: u32, epoch: Epoch) {
        let ahead = epoch.0.saturating_sub(self.config.epoch.0);
        let admitted = self.peers[peer as usize].standing == Standing::Admitted;
        if (1..=FARTHEST).contains(&ahead) && admitted && !self.peers.iter().any(Peer::is_reachable)
        {
            self.outrun(epoch);
        }
    }

    /// This node's key was seen in a higher epoch. Told once for each.
    pub fn outrun(&mut self, above: Epoch) {
        if above > self.config.epoch && self.outran < Some(above) {
            self.outran = Some(above);
            self.notice(Notice::EpochOutran { above });
        }
    }

    /// The highest epoch in which this node's key was seen, if it is above the one of this life: the
    /// next life has to be in one above that.
    pub const fn outran(&self) -> Option<Epoch> {
        self.outran
    }

    pub(crate) fn on_hello(&mut self, peer: u32, link: LinkId, hello: Hello, now: Timestamp) {
        let state = &mut self.peers[peer as usize];
        let known = state.epoch;
        match known {
            Some(known) if hello.epoch < known => {
                self.counters.stale_epoch += 1;
                // One that came up after the newer incarnation and answers: both are alive.
                let since = state.epoch_since;
                let other_is_there = state.links.iter().any(|l| l.ready && l.id() != link);
                let alive = state
                    .link_mut(link)
                    .is_some_and(|l| l.since > since && hello.echo == Some(l.greeting.challenge));
                if alive && other_is_there {
                    return self.shut_out(peer, link, hello, now);
                }
                let why = CloseReason::StaleIncarnation;
                return self.command(Command::Close { link, why });
            }
            Some(known) if hello.epoch == known => {
                if state.instance.is_some_and(|instance| instance != hello.instance) {
                    // No restart: that would have another epoch.
                    self.counters.stale_epoch += 1;
                    return self.shut_out(peer, link, hello, now);
                }
            }
            Some(_) if self.must_wait(peer, link, hello, now) => return,
            Some(_) | None => {}
        }
        self.greeted(peer, link, hello, now);
    }

    /// The other end of a link has said who it is, and nobody else answers for it.
    pub(crate) fn greeted(&mut self, peer: u32, link: LinkId, hello: Hello, now: Timestamp) {
        let state = &mut self.peers[peer as usize];
        let known = state.epoch;
        match known {
            Some(known) if hello.epoch == known => {}
            Some(_) | None => {
                state.epoch = Some(hello.epoch);
                state.instance = Some(hello.instance);
                state.epoch_since = now;
                state.refused_below = Default::default();
                state.memory = hello.memory;
                let id = state.id;
                let restarted = known.is_some();
                self.notice(Notice::PeerIncarnation { peer: id, epoch: hello.epoch, restarted });
                if let Some(known) = known {
                    self.forget_incarnation(peer, known, link, now);
                }
                self.remember(peer, hello.epoch, now);
                self.reckon_with(peer, now);
            }
        }
        let state = &mut self.peers[peer as usize];
        let (id, was_away) = (state.id, !state.is_reachable());
        let Some(entry) = state.link_mut(link) else {
            return;
        };
        let was_ready = entry.ready;
        let asked_anew = entry.greeting.peer_challenge != Some(hello.challenge);
        entry.peer_tag = Some(hello.link_tag);
        entry.greeting.peer_challenge = Some(hello.challenge);
        let echoes = hello.echo == Some(entry.greeting.challenge);
        let transport = entry.facts.transport;
        if echoes && !was_ready {
            entry.ready = true;
            entry.greeting.resend_at = None;
            entry.probe_at = now;
            self.link_changed(peer, link, None);
            self.notice(Notice::LinkReady { peer: id, link, transport });
        }
        let Some(entry) = self.peers[peer as usize].link_mut(link) else {
            return;
        };
        // The other end may lack our answer as long as it sent nothing but hellos; but two ends
        // that are both ready must not answer each other for ever.
        let just_answered =
            entry.greeting.last_sent.is_some_and(|at| now.since(at) < HELLO_WAIT / 2);
        let lacks_answer = !echoes || !entry.peer_ready;
        if asked_anew || lacks_answer && !(was_ready && just_answered) {
            self.send_hello(peer, link, now);
        }
        self.answered_contest(peer, hello, echoes, now);
        if echoes && !was_ready {
            self.send_probe(peer, link, now);
            self.arm_link(peer, link, now);
            if was_away {
                self.order_by_deadline(peer);
            }
            self.mark_dirty(peer);
        }
    }

    /// The peer greeted on `link` in a new incarnation; its other links belong to the old one.
    fn forget_incarnation(&mut self, peer: u32, known: Epoch, link: LinkId, now: Timestamp) {
        self.on_peer_restart(peer, known, now);
        let others: Vec<LinkId> = self.peers[peer as usize]
            .links
            .iter()
            .map(|l| l.id())
            .filter(|other| *other != link)
            .collect();
        for other in others {
            if let Some(entry) = self.peers[peer as usize].link_mut(other) {
                entry.ready = false;
                entry.peer_ready = false;
                entry.peer_tag = None;
                entry.since = now;
            }
            self.link_changed(peer, other, None);
            self.send_hello(peer, other, now);
        }
    }
}
