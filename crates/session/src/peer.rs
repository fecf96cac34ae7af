use std::time::Duration;

use bitcraps_types::{Epoch, PeerId, Timestamp};
use bytes::{BufMut, Bytes, BytesMut};

use crate::Tag;
use crate::bucket::Bucket;
use crate::handshake::Initiation;
use crate::seal::{Cover, MAC};
use crate::session::Session;

/// How long the keys of a session that was replaced still open what was sealed with them: longer
/// than a message is under way, whose sender seals it again after less time than this.
pub const OLD_KEYS_KEPT: Duration = Duration::from_secs(300);
/// How much earlier the sender gives an old session up than the receiver forgets its keys: a copy
/// may still be under way for that long.
pub(crate) const MARGIN: Duration = Duration::from_secs(60);
/// Age at which a session in use is replaced. An hour bounds what one stolen key opens, at about one
/// byte in ten seconds.
pub const REKEY_AFTER: Duration = Duration::from_secs(3_600);
/// How much later the end that answered does it, so that the two seldom do it at once.
pub(crate) const REKEY_LAG: Duration = Duration::from_secs(30);
/// When a replacement is tried again that failed.
const REKEY_RETRY: Duration = Duration::from_secs(60);
/// Replaced sessions remembered of one peer. A peer that restarts or loses its sessions more often
/// within [`OLD_KEYS_KEPT`] has its messages sealed again.
const MAX_OLD: usize = 3;
/// First wait for an answer: above the round trip of most paths.
const FIRST_RETRY: Duration = Duration::from_millis(300);
/// Longest wait for an answer.
const MAX_RETRY: Duration = Duration::from_secs(10);
/// Transmissions of one message of a handshake: about a minute, then the peer is not there.
const ATTEMPTS: u32 = 10;

pub(crate) const CONFIRMATION: u8 = 5;
pub(crate) const NO_SESSION: u8 = 6;

/// Sends one message again and again until it is answered.
pub(crate) struct Repeated {
    pub(crate) bytes: Bytes,
    wait: Duration,
    left: u32,
    due: Timestamp,
}

impl Repeated {
    pub(crate) fn new(bytes: Bytes, now: Timestamp) -> Self {
        Self { bytes, wait: FIRST_RETRY, left: ATTEMPTS - 1, due: now + FIRST_RETRY }
    }

    /// The message when it is to be sent again; `None` when it was sent often enough.
    fn again(&mut self, now: Timestamp) -> Option<Bytes> {
        self.left = self.left.checked_sub(1)?;
        self.wait = (self.wait * 2).min(MAX_RETRY);
        self.due = now + self.wait;
        Some(self.bytes.clone())
    }
}

/// A handshake started here.
pub(crate) struct Started {
    pub(crate) initiation: Initiation,
    pub(crate) tag: Tag,
    pub(crate) epoch: Epoch,
    pub(crate) sent: Repeated,
}

/// A session that the other end may not know of yet: the initiation could have been a replay.
pub(crate) struct Unconfirmed {
    pub(crate) session: Session,
    /// The initiation it answers.
    pub(crate) initiation: Bytes,
    pub(crate) reply: Repeated,
}

struct Old {
    session: Session,
    until: Timestamp,
}

/// What is known of one peer.
pub(crate) struct Peer {
    pub(crate) id: PeerId,
    pub(crate) key: [u8; 32],
    /// Its latest incarnation that proved itself.
    pub(crate) epoch: Option<Epoch>,
    /// The newest initiation of that incarnation that was answered.
    pub(crate) answered: Option<u64>,
    pub(crate) started: Option<Started>,
    pub(crate) unconfirmed: Option<Unconfirmed>,
    /// What seals.
    pub(crate) current: Option<Session>,
    rekey_at: Timestamp,
    /// Newest first.
    old: Vec<Old>,
    pub(crate) initiations: Bucket,
    pub(crate) notices: Bucket,
    pub(crate) last_used: Timestamp,
    /// Where the timer table has it.
    pub(crate) scheduled: Option<Timestamp>,
}

/// What a timer of a peer asks for.
pub(crate) enum Due {
    Transmit(Bytes, Epoch),
    Failed,
    Rekey(Epoch),
}

impl Peer {
    pub(crate) fn new(id: PeerId, key: [u8; 32], now: Timestamp) -> Self {
        Self {
            id,
            key,
            epoch: None,
            answered: None,
            started: None,
            unconfirmed: None,
            current: None,
            rekey_at: Timestamp::MAX,
            old: Vec::new(),
            // A lost reply makes an initiation come again after 0.3 s.
            initiations: Bucket::new(4, Duration::from_millis(250)),
            notices: Bucket::new(2, Duration::from_secs(1)),
            last_used: now,
            scheduled: None,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.started.is_none()
            && self.unconfirmed.is_none()
            && self.current.is_none()
            && self.old.is_empty()
    }

    /// Makes `session` the one that seals.
    pub(crate) fn install(&mut self, session: Session, now: Timestamp) {
        if self.epoch < Some(session.peer_epoch) {
            self.epoch = Some(session.peer_epoch);
            self.answered = None;
        }
        let lag = if session.initiated_here { Duration::ZERO } else { REKEY_LAG };
        self.rekey_at = session.established + REKEY_AFTER + lag;
        let replaced = self.current.replace(session);
        self.retire(replaced, now);
        self.last_used = now;
    }

    /// Keeps the keys of a session for what is under way.
    fn retire(&mut self, session: Option<Session>, now: Timestamp) {
        if let Some(session) = session {
            self.old.insert(0, Old { session, until: now + OLD_KEYS_KEPT });
            self.old.truncate(MAX_OLD);
        }
    }

    /// The session with this tag at this end, and whether it is confirmed.
    pub(crate) fn opening(&mut self, tag: Tag) -> Option<(&mut Session, bool)> {
        let current = self.current.as_mut().map(|session| (session, true));
        let unconfirmed = self.unconfirmed.as_mut().map(|next| (&mut next.session, false));
        let old = self.old.iter_mut().map(|old| (&mut old.session, true));
        let mut all = current.into_iter().chain(unconfirmed).chain(old);
        all.find(|(session, _)| session.own_tag == tag)
    }

    /// The other end knows the session that was made for it.
    pub(crate) fn confirm(&mut self, now: Timestamp) -> bool {
        let Some(next) = self.unconfirmed.take() else { return false };
        self.install(next.session, now);
        true
    }

    /// Whether the peer can be expected to open what is sealed under its tag.
    pub(crate) fn holds(&self, tag: Tag, now: Timestamp) -> bool {
        let lives =
            |session: &Session| session.peer_tag == tag && Some(session.peer_epoch) == self.epoch;
        self.current.as_ref().is_some_and(lives)
            || self.old.iter().any(|old| lives(&old.session) && now + MARGIN < old.until)
    }

    /// The third message of the handshake that established the current session.
    pub(crate) fn confirmation(&mut self) -> Option<Bytes> {
        let session = self.current.as_mut()?;
        let counter = session.next_ack;
        session.next_ack += 1;
        let mut head = BytesMut::with_capacity(13 + MAC);
        head.put_u8(CONFIRMATION);
        head.put_slice(&session.peer_tag.0);
        head.put_u64(counter);
        session.sealing.seal(&Cover::Confirmation { counter }, &head, &[])
    }

    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        let started = self.started.as_ref().map(|started| started.sent.due);
        let reply = self.unconfirmed.as_ref().map(|next| next.reply.due);
        let rekey = self.current.as_ref().map(|_| self.rekey_at);
        let old = self.old.iter().map(|old| old.until).min();
        [started, reply, rekey, old].into_iter().flatten().min()
    }

    /// Everything that is due at `now`; at most three things.
    pub(crate) fn on_timer(&mut self, now: Timestamp) -> Vec<Due> {
        let mut due = Vec::new();
        self.old.retain(|old| old.until > now);
        if let Some(started) = self.started.as_mut().filter(|started| started.sent.due <= now) {
            match started.sent.again(now) {
                Some(bytes) => due.push(Due::Transmit(bytes, started.epoch)),
                None => {
                    self.started = None;
                    self.rekey_at = now + REKEY_RETRY;
                    if self.current.is_none() {
                        due.push(Due::Failed);
                    }
                }
            }
        }
        if let Some(next) = self.unconfirmed.as_mut().filter(|next| next.reply.due <= now) {
            match next.reply.again(now) {
                Some(bytes) => due.push(Due::Transmit(bytes, next.session.peer_epoch)),
                None => self.unconfirmed = None,
            }
        }
        if let Some(session) = self.current.as_ref().filter(|_| self.rekey_at <= now) {
            if now.since(self.last_used) >= REKEY_AFTER {
                // Not used any more: the next message makes a new one.
                let session = self.current.take();
                self.retire(session, now);
            } else if self.started.is_none() && self.unconfirmed.is_none() {
                due.push(Due::Rekey(session.peer_epoch));
                self.rekey_at = now + REKEY_RETRY;
            } else {
                self.rekey_at = now + REKEY_RETRY;
            }
        }
        due
    }
}
