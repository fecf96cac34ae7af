mod exchange;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bitcraps_types::{Epoch, MessageId, PeerId, Timestamp};
use bytes::{BufMut, Bytes, BytesMut};
use rand_core::CryptoRng;

use crate::bucket::Bucket;
use crate::handshake::Suite;
use crate::identity::agreement_key;
use crate::peer::{Due, Peer};
use crate::seal::{Cover, MAC, MAX_PAYLOAD};
use crate::session::Session;
use crate::{Command, ConnectError, Identity, OVERHEAD, OpenError, SealError, Sealed, Tag};

/// Peers with a session: about 2 kB each, so that the table stays within some megabytes.
pub const MAX_PEERS: usize = 4_096;
/// A peer that was idle for so long makes room for another.
const IDLE: Duration = Duration::from_secs(600);

/// What does not change while a node runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// This node's incarnation.
    pub epoch: Epoch,
    /// What handshakes rest on; a peer that speaks another one is refused.
    pub suite: Suite,
}

/// The sessions of a node: facts and `now` in, commands out.
///
/// Operations on one peer take O(log peers), and those of a handshake two to four scalar
/// multiplications (about 0.2 ms).
pub struct Sessions {
    identity: Identity,
    config: Config,
    peers: BTreeMap<PeerId, Peer>,
    due: BTreeSet<(Timestamp, PeerId)>,
    commands: VecDeque<Command>,
    /// Number of the next initiation; one sequence for all peers, so that a peer that was forgotten
    /// here does not take the next one for a replay.
    next_initiation: u64,
    /// Handshakes answered: an answer costs 0.2 ms, so that strangers take 1 % of a core at most.
    answers: Bucket,
    /// Notices to peers without a session.
    notices: Bucket,
}

impl Sessions {
    /// Without sessions.
    pub const fn new(identity: Identity, config: Config) -> Self {
        Self {
            identity,
            config,
            peers: BTreeMap::new(),
            due: BTreeSet::new(),
            commands: VecDeque::new(),
            next_initiation: 1,
            answers: Bucket::new(64, Duration::from_millis(20)),
            notices: Bucket::new(16, Duration::from_millis(100)),
        }
    }

    /// What this node is to others.
    pub const fn peer(&self) -> PeerId {
        self.identity.peer()
    }

    /// How many peers are known.
    pub fn len(&self) -> usize {
        self.peers.len()
    }

    /// Whether no peer is known.
    pub fn is_empty(&self) -> bool {
        self.peers.is_empty()
    }

    /// Makes sure that a session with this incarnation of the peer is established or under way.
    /// Asking again costs nothing.
    ///
    /// # Errors
    /// [`ConnectError`]; nothing was started.
    pub fn connect(
        &mut self,
        peer: PeerId,
        epoch: Epoch,
        now: Timestamp,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<(), ConnectError> {
        let key = self.admit(&peer, Some(epoch), now)?;
        let entry = self.peers.entry(peer).or_insert_with(|| Peer::new(peer, key, now));
        let of_epoch = |session: &Session| session.peer_epoch == epoch;
        let known = entry.current.as_ref().is_some_and(of_epoch)
            || entry.unconfirmed.as_ref().is_some_and(|next| of_epoch(&next.session))
            || entry.started.as_ref().is_some_and(|started| started.epoch == epoch);
        if !known {
            self.start(peer, epoch, now, rng);
        }
        Ok(())
    }

    /// Whether [`Self::seal`] works.
    pub fn is_established(&self, peer: &PeerId) -> bool {
        self.epoch_of(peer).is_some()
    }

    /// The incarnation of the peer that can open what is sealed now; `None` when nothing can be.
    pub fn epoch_of(&self, peer: &PeerId) -> Option<Epoch> {
        self.peers.get(peer)?.current.as_ref().map(|session| session.peer_epoch)
    }

    /// Whether the peer can be expected to open what was sealed under `tag`. What it cannot open is
    /// sealed again, in the next generation.
    pub fn holds(&self, peer: &PeerId, tag: Tag, now: Timestamp) -> bool {
        self.peers.get(peer).is_some_and(|peer| peer.holds(tag, now))
    }

    /// Seals a message of this node. The same arguments give the same bytes while the session lasts;
    /// another payload under the same identity needs another `generation`. O(length).
    ///
    /// # Errors
    /// [`SealError`].
    pub fn seal(
        &mut self,
        to: &PeerId,
        id: &MessageId,
        generation: u8,
        payload: &[u8],
        now: Timestamp,
    ) -> Result<Sealed, SealError> {
        if id.source != self.peer() {
            return Err(SealError::Source(id.source));
        }
        let too_large = SealError::TooLarge { len: payload.len(), bound: MAX_PAYLOAD };
        if payload.len() > MAX_PAYLOAD {
            return Err(too_large);
        }
        let peer = self.peers.get_mut(to).filter(|peer| peer.current.is_some());
        let peer = peer.ok_or(SealError::NoSession(*to))?;
        peer.last_used = now;
        let session = peer.current.as_ref().ok_or(SealError::NoSession(*to))?;
        let tag = session.peer_tag;
        let cover = Cover::Message { id, to, generation };
        let bytes = session.sealing.seal(&cover, &tag.0, payload).ok_or(too_large)?;
        Ok(Sealed { bytes, tag })
    }

    /// Opens a message to this node. Whether it came before is not asked here. O(length).
    ///
    /// # Errors
    /// [`OpenError`]. With [`OpenError::NoSession`] the sender is told, so that it seals again.
    pub fn open(
        &mut self,
        id: &MessageId,
        generation: u8,
        sealed: &[u8],
        now: Timestamp,
    ) -> Result<Bytes, OpenError> {
        let (tag, body) = sealed.split_first_chunk().ok_or(OpenError::Length(sealed.len()))?;
        if sealed.len() < OVERHEAD || sealed.len() > MAX_PAYLOAD + OVERHEAD {
            return Err(OpenError::Length(sealed.len()));
        }
        let to = self.peer();
        let cover = Cover::Message { id, to: &to, generation };
        self.opened(&id.source, Tag(*tag), now, |session| {
            session.opening.open(&cover, body).ok_or(OpenError::Authentication)
        })
    }

    /// Seals an acknowledgement, or anything else that is said once and not repeated: no two calls
    /// give the same bytes. [`OVERHEAD`] and 8 bytes longer than what it says.
    ///
    /// # Errors
    /// [`SealError`].
    pub fn seal_ack(
        &mut self,
        to: &PeerId,
        payload: &[u8],
        now: Timestamp,
    ) -> Result<Bytes, SealError> {
        let too_large = SealError::TooLarge { len: payload.len(), bound: MAX_PAYLOAD };
        if payload.len() > MAX_PAYLOAD {
            return Err(too_large);
        }
        let peer = self.peers.get_mut(to).filter(|peer| peer.current.is_some());
        let peer = peer.ok_or(SealError::NoSession(*to))?;
        peer.last_used = now;
        let session = peer.current.as_mut().ok_or(SealError::NoSession(*to))?;
        let counter = session.next_ack;
        session.next_ack += 1;
        let mut head = BytesMut::with_capacity(Tag::LEN + 8);
        head.put_slice(&session.peer_tag.0);
        head.put_u64(counter);
        session.sealing.seal(&Cover::Ack { counter }, &head, payload).ok_or(too_large)
    }

    /// Opens an acknowledgement, once.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open_ack(
        &mut self,
        from: &PeerId,
        sealed: &[u8],
        now: Timestamp,
    ) -> Result<Bytes, OpenError> {
        let length = OpenError::Length(sealed.len());
        let (tag, rest) = sealed.split_first_chunk().ok_or(length)?;
        let (counter, body) = rest.split_first_chunk().ok_or(length)?;
        if body.len() < MAC || body.len() > MAX_PAYLOAD + MAC {
            return Err(length);
        }
        let counter = u64::from_be_bytes(*counter);
        self.opened(from, Tag(*tag), now, |session| {
            if !session.acks.is_new(counter) {
                return Err(OpenError::Replay(counter));
            }
            let cover = Cover::Ack { counter };
            let payload = session.opening.open(&cover, body).ok_or(OpenError::Authentication)?;
            session.acks.mark(counter);
            Ok(payload)
        })
    }

    /// Opens something with the session that has `tag`; what opens confirms the session.
    fn opened(
        &mut self,
        from: &PeerId,
        tag: Tag,
        now: Timestamp,
        open: impl FnOnce(&mut Session) -> Result<Bytes, OpenError>,
    ) -> Result<Bytes, OpenError> {
        let found = self.peers.get_mut(from).and_then(|peer| peer.opening(tag));
        let Some((session, confirmed)) = found else {
            self.tell_no_session(from, tag, now);
            return Err(OpenError::NoSession(tag));
        };
        let payload = open(session)?;
        if let Some(peer) = self.peers.get_mut(from) {
            peer.last_used = now;
        }
        if !confirmed {
            self.confirmed(from, now);
        }
        Ok(payload)
    }

    fn confirmed(&mut self, from: &PeerId, now: Timestamp) {
        if self.peers.get_mut(from).is_some_and(|peer| peer.confirm(now)) {
            self.announce(from);
        }
        self.reschedule(from);
    }

    fn announce(&mut self, peer: &PeerId) {
        let session = self.peers.get(peer).and_then(|entry| entry.current.as_ref());
        if let Some(Session { peer_epoch: epoch, peer_tag: tag, .. }) = session {
            self.commands.push_back(Command::Established { peer: *peer, epoch: *epoch, tag: *tag });
        }
    }

    /// The earliest time at which [`Self::on_timer`] has something to do.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Sends again what was not answered, replaces sessions, forgets old keys.
    pub fn on_timer(&mut self, now: Timestamp, rng: &mut (impl CryptoRng + ?Sized)) {
        while let Some((_, id)) = self.due.first().copied().filter(|(at, _)| *at <= now) {
            let Some(peer) = self.peers.get_mut(&id) else {
                self.due.pop_first();
                continue;
            };
            for due in peer.on_timer(now) {
                match due {
                    Due::Transmit(bytes, epoch) => {
                        let epoch = Some(epoch);
                        self.commands.push_back(Command::Transmit { to: id, epoch, bytes });
                    }
                    Due::Failed => self.commands.push_back(Command::Failed { peer: id }),
                    Due::Rekey(epoch) => self.start(id, epoch, now, rng),
                }
            }
            self.reschedule(&id);
        }
    }

    /// The next thing to be done. To be asked until there is none after each call.
    pub fn poll_command(&mut self) -> Option<Command> {
        self.commands.pop_front()
    }

    /// The agreement key of a peer for which there is room.
    fn admit(
        &mut self,
        peer: &PeerId,
        epoch: Option<Epoch>,
        now: Timestamp,
    ) -> Result<[u8; 32], ConnectError> {
        if *peer == self.peer() {
            return Err(ConnectError::Own(*peer));
        }
        if let Some(known) = self.peers.get(peer) {
            return match (epoch, known.epoch) {
                (Some(asked), Some(known)) if asked < known => {
                    Err(ConnectError::Stale { asked, known })
                }
                _ => Ok(known.key),
            };
        }
        let key = agreement_key(peer).ok_or(ConnectError::Key(*peer))?;
        if self.peers.len() >= MAX_PEERS {
            let idlest = self.peers.values().min_by_key(|peer| peer.last_used);
            let idlest =
                idlest.filter(|peer| now.since(peer.last_used) >= IDLE).map(|peer| peer.id);
            self.forget(&idlest.ok_or(ConnectError::Full(MAX_PEERS))?);
        }
        Ok(key)
    }

    fn forget(&mut self, peer: &PeerId) {
        if let Some(at) = self.peers.remove(peer).and_then(|peer| peer.scheduled) {
            self.due.remove(&(at, *peer));
        }
    }

    fn transmit(&mut self, to: &PeerId, bytes: Option<Bytes>) {
        let epoch = self.peers.get(to).and_then(|peer| peer.epoch);
        if let Some(bytes) = bytes {
            self.commands.push_back(Command::Transmit { to: *to, epoch, bytes });
        }
    }

    /// Puts a peer's timer where it belongs, and forgets a peer of which nothing is left.
    fn reschedule(&mut self, id: &PeerId) {
        let Some(peer) = self.peers.get_mut(id) else { return };
        if peer.is_empty() {
            self.forget(id);
            return;
        }
        let next = peer.next_due();
        let before = std::mem::replace(&mut peer.scheduled, next);
        if before != next {
            if let Some(at) = before {
                self.due.remove(&(at, *id));
            }
            if let Some(at) = next {
                self.due.insert((at, *id));
            }
        }
    }
}
