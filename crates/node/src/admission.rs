//! Who may do what, beyond a run of the node: decisions are made durable before they are put in
//! force, and before anybody is told of them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bitcraps_coordinator::{Driver, Notice, Standing};
use bitcraps_engine::{
    AdmissionConfig, AdmissionMode, Decision, Engine, Grant, InvitationName, MAX_USES, Redemption,
    TooManyDecisions, TooManyInvitations, TooManyJoins,
};
use bitcraps_types::{Address, ConnectTarget, HintSource, PeerId, Timestamp, TransportType};
use bitcraps_wire::{Invitation, JoinVerdict, MAX_INVITATION_ADDRESSES, SECRET};
use tokio::sync::Mutex;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::timeout;

use crate::clock::wall_seconds;
use crate::config::Mode;
use crate::invitation_code::{Code, CodeError, invitation_in};
use crate::peers_file::{Book, KnownInvitation, KnownPeer, PeersFile, PeersFileError};
use crate::{Config, Node};

/// Longest life of an invitation: a month.
pub const MAX_INVITATION_LIFE: Duration = Duration::from_secs(31 * 24 * 3_600);
/// How often a join looks for its answer, should a notice of it be lost.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long an invitation of no more use is remembered, so that whoever comes late is told why.
const REMEMBERED: u64 = 7 * 24 * 3_600;

/// What was decided, and the file that keeps it; a node without one keeps it in memory.
pub(crate) struct Ledger {
    file: Option<PeersFile>,
    book: Book,
}

impl Ledger {
    pub(crate) fn open(file: Option<PeersFile>) -> Result<Self, PeersFileError> {
        let book = file.as_ref().map_or_else(|| Ok(Book::default()), PeersFile::load)?;
        Ok(Self { file, book })
    }

    /// Changes the book, on disk first. On an error nothing has changed.
    async fn change(&mut self, change: impl FnOnce(&mut Book)) -> Result<(), PeersFileError> {
        let mut book = self.book.clone();
        change(&mut book);
        if book == self.book {
            return Ok(());
        }
        if let Some(file) = self.file.clone() {
            let text = book.clone();
            let stored = tokio::task::spawn_blocking(move || file.store(&text)).await;
            // A task that is cut off is that of a runtime that stops.
            stored.unwrap_or(Ok(()))?;
        }
        self.book = book;
        Ok(())
    }
}

/// Why a decision was not made. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecideError {
    /// It cannot be kept.
    #[error(transparent)]
    File(#[from] PeersFileError),
    /// There are as many as may be.
    #[error(transparent)]
    Full(#[from] TooManyDecisions),
    /// The configuration says otherwise.
    #[error("peer {} is in admission.block of the configuration; take it out there", .0.short())]
    BlockedByConfig(PeerId),
}

/// Why there is no invitation. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InviteError {
    /// This node takes none.
    #[error(
        "admission.mode is allow_list, so no invitation would be taken; set it to \"invitation\""
    )]
    Closed,
    /// It would last too long, or not at all.
    #[error("an invitation lasts from 1 s to {days} days, not {0:?}", days = MAX_INVITATION_LIFE.as_secs() / 86_400)]
    Life(Duration),
    /// It would admit too many, or nobody.
    #[error("an invitation admits 1 to {MAX_USES} peers, not {0}")]
    Uses(u32),
    /// There are as many as may be.
    #[error(transparent)]
    Full(#[from] TooManyInvitations),
    /// It cannot be kept.
    #[error(transparent)]
    File(#[from] PeersFileError),
    /// The operating system gave no randomness for its secret.
    #[error("the operating system gave no randomness for an invitation: {0}")]
    Randomness(String),
}

/// An invitation as it was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invited {
    /// What to pass on, and to nobody else.
    pub code: String,
    /// Where the invited will look for this node; empty when it listens nowhere.
    pub addresses: Vec<(TransportType, Address)>,
}

/// Why an invitation did not work. Unless it says otherwise, nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JoinError {
    /// The text is no invitation.
    #[error(transparent)]
    Code(#[from] CodeError),
    /// It is this node's own.
    #[error("this is an invitation of this node itself; pass it on to somebody else")]
    Own,
    /// The inviter is blocked here.
    #[error("peer {}, who invites, is blocked by this node; admit or forget it before", .0.short())]
    Blocked(PeerId),
    /// Too many at once.
    #[error(transparent)]
    Full(#[from] TooManyJoins),
    /// The inviter was not reached, or did not answer.
    #[error(
        "peer {} did not answer within {} s; see that its node runs and can be reached at {places}, \
         then try again",
        peer.short(), within.as_secs()
    )]
    NotReached {
        /// The inviter.
        peer: PeerId,
        /// How long it was waited for.
        within: Duration,
        /// Where it was looked for.
        places: String,
    },
    /// The inviter said no.
    #[error("peer {} did not admit this node: {}", peer.short(), told(*verdict))]
    Refused {
        /// The inviter.
        peer: PeerId,
        /// Why; never [`JoinVerdict::Admitted`].
        verdict: JoinVerdict,
    },
    /// The inviter admitted this node, and this node cannot keep that it admits the inviter.
    #[error("peer {} admits this node, but not the other way round: {why}", peer.short())]
    HalfDone {
        /// The inviter.
        peer: PeerId,
        /// Why.
        why: DecideError,
    },
}

fn told(verdict: JoinVerdict) -> &'static str {
    match verdict {
        JoinVerdict::Admitted => "it did",
        JoinVerdict::Expired => "the invitation has expired; ask for a new one",
        JoinVerdict::UsedUp => "the invitation is used up; ask for a new one",
        JoinVerdict::Unknown => {
            "it made no such invitation, or has forgotten it; ask for a new one"
        }
        JoinVerdict::Wrong => "the secret of the invitation is wrong; ask for a new one",
        JoinVerdict::Closed => "it takes no invitations; ask to be put on its allow list",
        JoinVerdict::Unavailable => "it cannot store its decision; its owner has to look after it",
    }
}

impl From<Mode> for AdmissionMode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Open => Self::Open,
            Mode::AllowList => Self::AllowList,
            Mode::Invitation => Self::Invitation,
        }
    }
}

impl Config {
    /// Who may do what, as this configuration says: the static peers are allowed as well, because
    /// their keys are written down.
    pub fn admission_rules(&self) -> AdmissionConfig {
        let settings = self.admission();
        let named = self.peers().iter().map(|peer| peer.id);
        AdmissionConfig {
            mode: settings.mode.into(),
            allow: settings.allow.iter().copied().chain(named).collect(),
            block: settings.block.clone(),
            stranger_links: settings.stranger_links,
        }
    }
}

fn places(peer: PeerId, known: &KnownPeer) -> Vec<ConnectTarget> {
    let target = |transport, address| ConnectTarget { transport, peer, address, via: None };
    let lan = known
        .lan
        .iter()
        .map(|socket| target(TransportType::WiFiDirect, Address::new(socket.to_string())));
    let internet = known.internet.as_ref();
    let internet = internet.map(|text| target(TransportType::Internet, Address::new(text.clone())));
    lan.chain(internet).collect()
}

impl Ledger {
    /// Puts what was decided in former runs in force. Before there are links.
    pub(crate) fn recall(&self, engine: &mut Engine, now: Timestamp) {
        let wall = wall_seconds();
        for (peer, known) in &self.book.peers {
            if let Err(error) = engine.decide(*peer, known.decision, now) {
                tracing::error!(peer = %peer.short(), %error, "a decision is not in force");
            }
        }
        for known in &self.book.invitations {
            let left = Duration::from_secs(known.expires.saturating_sub(wall));
            let grant = Grant {
                secret: known.secret,
                expires: now + left.min(MAX_INVITATION_LIFE),
                uses: known.uses,
                used_by: known.used_by.clone(),
            };
            if let Err(error) = engine.grant(grant, now) {
                tracing::error!(%error, "an invitation is not in force");
            }
        }
    }

    /// Where peers may be reached, as their invitations said.
    pub(crate) fn places(&self) -> Vec<ConnectTarget> {
        self.book.peers.iter().flat_map(|(peer, known)| places(*peer, known)).collect()
    }
}

/// Makes proofs of invitations durable, and has their peers told. Ends with the driver.
pub(crate) async fn keep(ledger: Arc<Mutex<Ledger>>, driver: Driver<Engine>) {
    let mut notices = driver.notices();
    loop {
        while let Some(redemption) = driver.with(|engine, _| engine.poll_redemption()) {
            redeem(&ledger, &driver, redemption).await;
        }
        match notices.recv().await {
            // Looked at anew with every notice: a slow listener loses notices, not the state.
            Ok(Notice::Admission { .. }) | Err(RecvError::Lagged(_)) => {}
            Ok(_) => continue,
            Err(RecvError::Closed) => return,
        }
    }
}

async fn redeem(ledger: &Mutex<Ledger>, driver: &Driver<Engine>, redemption: Redemption) {
    let Redemption { peer, invitation } = redemption;
    let mut ledger = ledger.lock().await;
    let kept = ledger.change(|book| {
        book.peers.entry(peer).or_default().decision = Some(Decision::Admitted);
        let known = |k: &&mut KnownInvitation| InvitationName::of(&k.secret) == invitation;
        if let Some(known) = book.invitations.iter_mut().find(known) {
            known.used_by.insert(peer);
        }
    });
    let kept = kept.await;
    match &kept {
        Ok(()) => tracing::info!(peer = %peer.short(), "admitted by invitation"),
        Err(error) => tracing::error!(peer = %peer.short(), %error, "not admitted"),
    }
    driver.with(|engine, now| engine.redeem(redemption, kept.is_ok(), now));
}

/// Ends a join however the one who waits for it goes.
struct JoinGuard<'a> {
    driver: &'a Driver<Engine>,
    inviter: PeerId,
    /// What is to be forgotten again, unless the join works.
    targets: Vec<ConnectTarget>,
}

impl Drop for JoinGuard<'_> {
    fn drop(&mut self) {
        self.driver.with(|engine, now| {
            engine.end_join(self.inviter);
            self.targets.iter().for_each(|target| engine.withdrawn(target, now));
        });
    }
}

impl Node {
    /// What a peer may do here.
    pub fn standing(&self, peer: PeerId) -> Standing {
        self.with(|engine, _| engine.standing(peer))
    }

    /// Peers that were decided upon, by key.
    pub async fn decided(&self) -> Vec<(PeerId, Decision)> {
        let ledger = self.ledger.lock().await;
        let peers = ledger.book.peers.iter();
        peers.filter_map(|(peer, known)| Some((*peer, known.decision?))).collect()
    }

    /// Admits a peer, from now on and after restarts.
    ///
    /// # Errors
    /// [`DecideError`]; nothing has changed.
    pub async fn admit(&self, peer: PeerId) -> Result<(), DecideError> {
        if self.with(|engine, _| engine.admission().block.contains(&peer)) {
            return Err(DecideError::BlockedByConfig(peer));
        }
        self.decide(peer, Decision::Admitted, |_| ()).await
    }

    /// Blocks a peer, from now on and after restarts: its links are closed, and it is dialled no more.
    ///
    /// # Errors
    /// [`DecideError`]; nothing has changed.
    pub async fn block(&self, peer: PeerId) -> Result<(), DecideError> {
        self.decide(peer, Decision::Blocked, |known| *known = KnownPeer::default()).await
    }

    async fn decide(
        &self,
        peer: PeerId,
        decision: Decision,
        change: impl FnOnce(&mut KnownPeer),
    ) -> Result<(), DecideError> {
        let mut ledger = self.ledger.lock().await;
        if !ledger.book.peers.contains_key(&peer)
            && ledger.book.peers.len() >= bitcraps_engine::MAX_DECISIONS
        {
            return Err(TooManyDecisions.into());
        }
        let changed = ledger.change(|book| {
            let known = book.peers.entry(peer).or_default();
            change(known);
            known.decision = Some(decision);
        });
        changed.await?;
        self.with(|engine, now| engine.decide(peer, Some(decision), now))?;
        Ok(())
    }

    /// Takes back what was decided about a peer, and forgets the addresses that a join gave it. What
    /// it may do is then up to the configuration. Tells whether anything was known.
    ///
    /// # Errors
    /// [`DecideError::File`]; nothing has changed.
    pub async fn forget(&self, peer: PeerId) -> Result<bool, DecideError> {
        let mut ledger = self.ledger.lock().await;
        let known = ledger.book.peers.get(&peer).cloned();
        let changed = ledger.change(|book| {
            book.peers.remove(&peer);
        });
        changed.await?;
        self.with(|engine, now| {
            for target in known.iter().flat_map(|known| places(peer, known)) {
                engine.withdrawn(&target, now);
            }
            engine.decide(peer, None, now)
        })?;
        Ok(known.is_some())
    }

    /// Makes an invitation that admits `uses` peers within `life`, and is kept over restarts.
    ///
    /// # Errors
    /// [`InviteError`]; nothing has changed.
    pub async fn invite(&self, life: Duration, uses: u32) -> Result<Invited, InviteError> {
        if self.with(|engine, _| engine.admission().mode == AdmissionMode::AllowList) {
            return Err(InviteError::Closed);
        }
        if life.as_secs() == 0 || life > MAX_INVITATION_LIFE {
            return Err(InviteError::Life(life));
        }
        if !(1..=MAX_USES).contains(&uses) {
            return Err(InviteError::Uses(uses));
        }
        let mut secret = [0; SECRET];
        getrandom::fill(&mut secret).map_err(|e| InviteError::Randomness(e.to_string()))?;
        let addresses = self.listening();
        let of = |kind| addresses.iter().filter(move |(k, _)| *k == kind).map(|(_, a)| a.as_str());
        let lan = of(TransportType::WiFiDirect).filter_map(|a| a.parse().ok());
        let invitation = Invitation {
            inviter: self.id(),
            secret,
            lan: lan.take(MAX_INVITATION_ADDRESSES).collect(),
            internet: of(TransportType::Internet).next().map(str::to_owned),
        };
        let mut ledger = self.ledger.lock().await;
        let wall = wall_seconds();
        let expires = wall + life.as_secs();
        let name = self.with(|engine, now| {
            let used_by = BTreeSet::new();
            engine.grant(Grant { secret, expires: now + life, uses, used_by }, now)
        })?;
        let remembered: BTreeSet<InvitationName> =
            self.with(|engine, _| engine.grants().map(|(name, _)| name).collect());
        let kept = ledger.change(|book| {
            book.invitations.retain(|known| {
                known.expires + REMEMBERED > wall
                    && remembered.contains(&InvitationName::of(&known.secret))
            });
            let used_by = BTreeSet::new();
            book.invitations.push(KnownInvitation { secret, expires, uses, used_by });
        });
        if let Err(error) = kept.await {
            self.with(|engine, _| engine.withdraw_grant(name));
            return Err(error.into());
        }
        Ok(Invited { code: Code(&invitation).to_string(), addresses })
    }

    /// Joins whoever made the invitation: dials it, proves the secret, and admits it here when this
    /// node is admitted there, for which it waits that long. Kept over restarts, with the addresses of
    /// the invitation.
    ///
    /// # Errors
    /// [`JoinError`].
    pub async fn join(&self, code: &str, patience: Duration) -> Result<PeerId, JoinError> {
        let invitation = invitation_in(code)?;
        let peer = invitation.inviter;
        if peer == self.id() {
            return Err(JoinError::Own);
        }
        if self.standing(peer) == Standing::Blocked {
            return Err(JoinError::Blocked(peer));
        }
        let known = KnownPeer {
            decision: Some(Decision::Admitted),
            lan: invitation.lan.clone(),
            internet: invitation.internet.clone(),
        };
        let targets = places(peer, &known);
        let mut notices = self.notices();
        let fixed: BTreeSet<ConnectTarget> = self.with(|engine, now| {
            let fixed = engine.targets(now).into_iter().map(|status| status.hint);
            let fixed = fixed.filter(|hint| hint.source == HintSource::Static);
            fixed.map(|hint| hint.target).collect()
        });
        self.with(|engine, now| engine.join(&invitation, targets.clone(), now))?;
        let new = targets.iter().filter(|target| !fixed.contains(target)).cloned();
        let mut guard = JoinGuard { driver: self, inviter: peer, targets: new.collect() };
        let answered = async {
            loop {
                if let Some(verdict) = self.with(|engine, _| engine.verdict(peer)) {
                    return verdict;
                }
                // Looked at anew with every notice, and now and then without one.
                drop(timeout(LOOK_EVERY, notices.recv()).await);
            }
        };
        match timeout(patience, answered).await {
            Ok(JoinVerdict::Admitted) => {}
            Ok(verdict) => return Err(JoinError::Refused { peer, verdict }),
            Err(_) => {
                let places: Vec<&str> = targets.iter().map(|t| t.address.as_str()).collect();
                let places = if places.is_empty() {
                    "no address (the invitation names none)".to_owned()
                } else {
                    places.join(", ")
                };
                return Err(JoinError::NotReached { peer, within: patience, places });
            }
        }
        let kept = self.decide(peer, Decision::Admitted, |old| *old = known).await;
        kept.map_err(|why| JoinError::HalfDone { peer, why })?;
        guard.targets.clear();
        Ok(peer)
    }
}
