//! The messages of handshakes, in and out.

use bitcraps_types::{Epoch, PeerId, Timestamp};
use bytes::{BufMut, Bytes, BytesMut};
use rand_core::CryptoRng;

use super::Sessions;
use crate::handshake::{self, Context, Suite};
use crate::peer::{CONFIRMATION, NO_SESSION, Peer, Repeated, Started, Unconfirmed};
use crate::seal::{Cover, MAC};
use crate::session::Session;
use crate::{Command, HandshakeError, Tag};

impl Sessions {
    /// Takes a handshake message.
    ///
    /// # Errors
    /// [`HandshakeError`]. It is dropped, and to be counted.
    pub fn on_handshake(
        &mut self,
        from: &PeerId,
        bytes: &Bytes,
        now: Timestamp,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<(), HandshakeError> {
        let length = HandshakeError::Length(bytes.len());
        let (&kind, rest) = bytes.split_first().ok_or(length)?;
        let (tag, rest) = rest.split_first_chunk().ok_or(length)?;
        let (tag, suite) = (Tag(*tag), self.config.suite);
        match kind {
            CONFIRMATION => self.on_confirmation(from, tag, rest, now),
            NO_SESSION if rest.is_empty() => {
                self.on_no_session(from, tag, now, rng);
                Ok(())
            }
            NO_SESSION => Err(length),
            _ if kind == suite.kind() => self.on_initiation(from, tag, bytes, now, rng),
            _ if kind == suite.kind() + 1 => self.on_reply(from, tag, rest, now),
            1 | 2 => Err(HandshakeError::Suite { offered: Suite::Classic, spoken: suite }),
            #[cfg(feature = "hybrid")]
            3 | 4 => Err(HandshakeError::Suite { offered: Suite::Hybrid, spoken: suite }),
            _ => Err(HandshakeError::Kind(kind)),
        }
    }

    fn on_initiation(
        &mut self,
        from: &PeerId,
        tag: Tag,
        bytes: &Bytes,
        now: Timestamp,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<(), HandshakeError> {
        let length = HandshakeError::Length(bytes.len());
        let (epoch, message) =
            bytes.get(1 + Tag::LEN..).and_then(|rest| rest.split_first_chunk()).ok_or(length)?;
        let epoch = Epoch(u64::from_be_bytes(*epoch));
        let suite = self.config.suite;
        if message.len() != suite.initiation_len() {
            return Err(length);
        }
        let key = self.admit(from, Some(epoch), now)?;
        if let Some(peer) = self.peers.get_mut(from) {
            if !peer.initiations.take(now) {
                return Err(HandshakeError::Busy);
            }
            if let Some(next) = peer.unconfirmed.as_ref().filter(|n| n.initiation == *bytes) {
                let (to, epoch, bytes) = (*from, Some(epoch), next.reply.bytes.clone());
                self.commands.push_back(Command::Transmit { to, epoch, bytes });
                return Ok(());
            }
        }
        // Both started at once: the lower id's handshake is the one that both finish.
        let own = self.peers.get(from).and_then(|peer| peer.started.as_ref());
        if own.is_some_and(|own| own.epoch >= epoch) && self.identity.peer() < *from {
            return Ok(());
        }
        if !self.answers.take(now) {
            return Err(HandshakeError::Busy);
        }
        let context = Context {
            suite,
            initiator: *from,
            initiator_epoch: epoch,
            responder: self.peer(),
            responder_epoch: self.config.epoch,
            tag,
        };
        let response = handshake::receive(&context, &self.identity, &key, message, rng)?;
        let counter = response.counter;
        let peer = self.peers.entry(*from).or_insert_with(|| Peer::new(*from, key, now));
        let newest = peer.answered.filter(|_| peer.epoch == Some(epoch));
        if let Some(newest) = newest.filter(|newest| counter <= *newest) {
            return Err(HandshakeError::Replay { counter, newest });
        }
        let (keys, own_tag, noise) = response.answer(rng)?;
        peer.epoch = Some(epoch);
        peer.answered = Some(counter);
        peer.started = None;
        let mut reply = BytesMut::with_capacity(1 + Tag::LEN + noise.len());
        reply.put_u8(suite.kind() + 1);
        reply.put_slice(&tag.0);
        reply.put_slice(&noise);
        let reply = reply.freeze();
        peer.unconfirmed = Some(Unconfirmed {
            session: Session::new(&keys, (own_tag, tag), epoch, false, now),
            initiation: bytes.clone(),
            reply: Repeated::new(reply.clone(), now),
        });
        self.commands.push_back(Command::Transmit { to: *from, epoch: Some(epoch), bytes: reply });
        self.reschedule(from);
        Ok(())
    }

    fn on_reply(
        &mut self,
        from: &PeerId,
        tag: Tag,
        rest: &[u8],
        now: Timestamp,
    ) -> Result<(), HandshakeError> {
        let unexpected = HandshakeError::Unexpected(tag);
        let peer = self.peers.get_mut(from).ok_or(unexpected)?;
        let finished = peer.current.as_ref().is_some_and(|session| session.own_tag == tag);
        if finished {
            // The confirmation was lost. Not more often than once a reply that could be one.
            let to_confirm = peer.initiations.take(now);
            let confirmation = to_confirm.then(|| peer.confirmation()).flatten();
            self.transmit(from, confirmation);
            return Ok(());
        }
        let started = peer.started.as_mut().filter(|started| started.tag == tag);
        let started = started.ok_or(unexpected)?;
        let (keys, peer_tag) = started.initiation.finish(rest)?;
        let session = Session::new(&keys, (tag, peer_tag), started.epoch, true, now);
        peer.started = None;
        peer.unconfirmed = None;
        peer.install(session, now);
        let confirmation = peer.confirmation();
        self.transmit(from, confirmation);
        self.announce(from);
        self.reschedule(from);
        Ok(())
    }

    fn on_confirmation(
        &mut self,
        from: &PeerId,
        tag: Tag,
        rest: &[u8],
        now: Timestamp,
    ) -> Result<(), HandshakeError> {
        let (counter, body) = rest
            .split_first_chunk()
            .filter(|(_, body)| body.len() == MAC)
            .ok_or(HandshakeError::Length(1 + Tag::LEN + rest.len()))?;
        let cover = Cover::Confirmation { counter: u64::from_be_bytes(*counter) };
        let found = self.peers.get_mut(from).and_then(|peer| peer.opening(tag));
        let (session, confirmed) = found.ok_or(HandshakeError::Unexpected(tag))?;
        if session.opening.open(&cover, body).is_none() {
            return Err(HandshakeError::Authentication);
        }
        if !confirmed {
            self.confirmed(from, now);
        }
        Ok(())
    }

    /// Somebody says that the peer has no session any more. That may be wrong, so nothing is given
    /// up for it; a new session is made, which proves itself.
    fn on_no_session(
        &mut self,
        from: &PeerId,
        tag: Tag,
        now: Timestamp,
        rng: &mut (impl CryptoRng + ?Sized),
    ) {
        let Some(peer) = self.peers.get_mut(from) else { return };
        let current = peer.current.as_ref().filter(|session| session.peer_tag == tag);
        let epoch = current.map(|session| session.peer_epoch);
        let idle = peer.started.is_none() && peer.unconfirmed.is_none();
        if let Some(epoch) = epoch.filter(|_| idle && peer.notices.take(now)) {
            self.start(*from, epoch, now, rng);
        }
    }

    pub(super) fn start(
        &mut self,
        peer: PeerId,
        epoch: Epoch,
        now: Timestamp,
        rng: &mut (impl CryptoRng + ?Sized),
    ) {
        let Some(entry) = self.peers.get_mut(&peer) else { return };
        let tag = Tag::random(rng);
        let context = Context {
            suite: self.config.suite,
            initiator: self.identity.peer(),
            initiator_epoch: self.config.epoch,
            responder: peer,
            responder_epoch: epoch,
            tag,
        };
        let counter = self.next_initiation;
        self.next_initiation += 1;
        let started = handshake::initiate(&context, &self.identity, &entry.key, counter, rng);
        // It fails for no key that was admitted; then the peer is as one that does not answer.
        if let Ok((initiation, noise)) = started {
            let mut bytes = BytesMut::with_capacity(1 + Tag::LEN + 8 + noise.len());
            bytes.put_u8(self.config.suite.kind());
            bytes.put_slice(&tag.0);
            bytes.put_u64(self.config.epoch.0);
            bytes.put_slice(&noise);
            let bytes = bytes.freeze();
            let sent = Repeated::new(bytes.clone(), now);
            entry.started = Some(Started { initiation, tag, epoch, sent });
            self.commands.push_back(Command::Transmit { to: peer, epoch: Some(epoch), bytes });
        }
        self.reschedule(&peer);
    }

    pub(super) fn tell_no_session(&mut self, to: &PeerId, tag: Tag, now: Timestamp) {
        let known = self.peers.get_mut(to);
        let epoch = known.as_ref().and_then(|peer| peer.epoch);
        let bucket = known.map_or(&mut self.notices, |peer| &mut peer.notices);
        if bucket.take(now) {
            let mut bytes = BytesMut::with_capacity(1 + Tag::LEN);
            bytes.put_u8(NO_SESSION);
            bytes.put_slice(&tag.0);
            self.commands.push_back(Command::Transmit { to: *to, epoch, bytes: bytes.freeze() });
        }
    }
}
