use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bitcraps_types::{
    Address, ConnectTarget, Hint, HintSource, LinkId, PeerId, Timestamp, TransportType,
};

/// Targets remembered: a few for each peer of a large crowd. The one heard of longest ago and
/// without a link gives way.
const MAX_TARGETS: usize = 4_096;
/// Links dialled to one peer over one transport: two interfaces and one to spare.
const MAX_LINKS: usize = 3;
/// Dials under way at once; more would compete with each other's handshakes.
const MAX_DIALS: usize = 16;
/// First wait after a failed dial; doubles up to [`BACKOFF_MAX`].
const BACKOFF: Duration = Duration::from_secs(1);
const BACKOFF_MAX: Duration = Duration::from_secs(60);
/// A link that did not last this long was no use: whoever dialled it waits twice as long before the
/// next one, from a quarter of [`BACKOFF`] up to [`BRIEF_MAX`]. A peer that is paused, or that closes
/// what it takes, would be dialled several times a second otherwise.
const BRIEF: Duration = Duration::from_secs(2);
const BRIEF_MAX: Duration = Duration::from_secs(16);
/// A hint not from the config is forgotten when nobody repeated it for so long.
const HINT_LIFE: Duration = Duration::from_secs(600);
/// How often old hints are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(60);
/// Dials in a row that may fail before an address not from the config must be heard of again: a
/// peer that changes its address often leaves dead ones behind.
const UNHEARD_FAILURES: u32 = 4;

/// What steers a [`Dialer`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DialerConfig {
    /// How long the end with the larger key leaves dialling to the other, so that a pair does not
    /// dial each other at once. After it, it dials too: the other may be unable to.
    pub grace: Duration,
    /// Whether peers that were only heard of are dialled, beside those of the config. Otherwise they are
    /// remembered, and dialled when healing asks for it.
    pub dial_discovered: bool,
}

impl Default for DialerConfig {
    fn default() -> Self {
        Self { grace: Duration::from_secs(3), dial_discovered: true }
    }
}

type Key = (PeerId, TransportType, Address);

#[derive(Debug)]
struct Target {
    hint: Hint,
    heard: Timestamp,
    /// When it may be dialled next.
    due: Timestamp,
    /// Where it stands in [`Dialer::waiting`].
    queued: Option<Timestamp>,
    dialling: bool,
    link: Option<LinkId>,
    failures: u32,
    /// Links in a row that did not last.
    brief: u32,
    /// Failures since it was heard of.
    unheard: u32,
    /// To be forgotten when the dial under way has ended.
    withdrawn: bool,
}

impl Target {
    fn is_fixed(&self) -> bool {
        self.hint.source == HintSource::Static
    }
}

/// A place where a peer may be reached, and how dialling it went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetStatus {
    /// The hint.
    pub hint: Hint,
    /// Dials that failed since the last that did not.
    pub failures: u32,
    /// Whether a link is up over it.
    pub linked: bool,
    /// Time until the next dial, if one is waiting.
    pub next_dial: Option<Duration>,
}

/// Decides when to dial whom: each known address of each peer gets a link, the pair's smaller key
/// dials first, failures back off with jitter, and nothing is dialled twice at once.
#[derive(Debug)]
pub struct Dialer {
    local: PeerId,
    rng: fastrand::Rng,
    config: DialerConfig,
    targets: BTreeMap<Key, Target>,
    /// Targets to dial, by time.
    waiting: BTreeSet<(Timestamp, Key)>,
    /// Links that are up, and since when.
    links: BTreeMap<LinkId, (Key, Timestamp)>,
    /// What healing asks for, beside what is dialled anyway.
    asked: BTreeSet<(PeerId, TransportType)>,
    /// Links that are up and dials under way, to each peer over each transport.
    busy: BTreeMap<(PeerId, TransportType), usize>,
    dials: usize,
    sweep_at: Timestamp,
    ready: VecDeque<ConnectTarget>,
}

impl Dialer {
    /// Knows nobody. `seed` steers the jitter.
    pub fn new(local: PeerId, seed: u64, config: DialerConfig) -> Self {
        Self {
            local,
            rng: fastrand::Rng::with_seed(seed ^ 0xd1a1),
            config,
            targets: BTreeMap::new(),
            waiting: BTreeSet::new(),
            links: BTreeMap::new(),
            asked: BTreeSet::new(),
            busy: BTreeMap::new(),
            dials: 0,
            sweep_at: Timestamp::ZERO,
            ready: VecDeque::new(),
        }
    }

    /// A peer may be reachable at an address. O(log targets), or O(targets) when there are as many
    /// as may be.
    pub fn discovered(&mut self, hint: Hint, now: Timestamp) {
        let fixed = hint.source == HintSource::Static;
        if hint.target.peer == self.local {
            return;
        }
        let key = key_of(&hint.target);
        if let Some(known) = self.targets.get_mut(&key) {
            known.heard = now;
            known.unheard = 0;
            known.withdrawn = false;
            if fixed {
                known.hint = hint;
            }
        } else {
            if self.targets.len() >= MAX_TARGETS && !self.forget_oldest() {
                return;
            }
            let first = self.local < hint.target.peer;
            let due = if first { now } else { now + self.config.grace };
            let link = self.links.iter().find(|(_, (l, _))| *l == key).map(|(id, _)| *id);
            let target = Target {
                hint,
                heard: now,
                due,
                queued: None,
                dialling: false,
                link,
                failures: 0,
                brief: 0,
                unheard: 0,
                withdrawn: false,
            };
            self.targets.insert(key.clone(), target);
        }
        self.queue(&key);
        self.dial_due(now);
    }

    /// The peer is not to be dialled there any more, unless it is heard of anew. A link that is up
    /// stays.
    pub fn withdraw(&mut self, target: &ConnectTarget) {
        let key = key_of(target);
        match self.targets.get_mut(&key) {
            // Its end is still to be told; until then it counts.
            Some(known) if known.dialling => known.withdrawn = true,
            Some(_) => {
                self.forget(&key);
            }
            None => {}
        }
    }

    /// The peer is not to be dialled anywhere any more, unless it is heard of anew. O(log targets)
    /// and the peer's own.
    pub fn withdraw_peer(&mut self, peer: PeerId) {
        for transport in TransportType::ALL {
            for key in self.keys_to(peer, transport) {
                if let Some(target) = self.targets.get(&key).map(|t| t.hint.target.clone()) {
                    self.withdraw(&target);
                }
            }
        }
    }

    /// Whether the config or an invitation names a place of the peer.
    pub(crate) fn has_fixed(&self, peer: PeerId) -> bool {
        let fixed = |key: &Key| self.targets.get(key).is_some_and(|t| t.is_fixed() && !t.withdrawn);
        TransportType::ALL.into_iter().any(|kind| self.keys_to(peer, kind).iter().any(fixed))
    }

    fn forget_oldest(&mut self) -> bool {
        let idle =
            self.targets.iter().filter(|(_, t)| t.link.is_none() && !t.dialling && !t.is_fixed());
        let oldest = idle.min_by_key(|(_, t)| t.heard).map(|(key, _)| key.clone());
        oldest.is_some_and(|key| self.forget(&key))
    }

    fn forget(&mut self, key: &Key) -> bool {
        let Some(gone) = self.targets.remove(key) else {
            return false;
        };
        if let Some(at) = gone.queued {
            self.waiting.remove(&(at, key.clone()));
        }
        true
    }

    /// A link came up, dialled by either end.
    pub fn link_up(
        &mut self,
        link: LinkId,
        transport: TransportType,
        peer: PeerId,
        remote: Address,
        now: Timestamp,
    ) {
        let key = (peer, transport, remote);
        if self.links.contains_key(&link) {
            return;
        }
        self.links.insert(link, (key.clone(), now));
        *self.busy.entry((peer, transport)).or_default() += 1;
        if let Some(target) = self.targets.get_mut(&key) {
            target.link = Some(link);
            target.failures = 0;
        }
        self.queue_all(peer, transport);
    }

    /// A link is gone; its address is dialled again, by the smaller key first.
    pub fn link_down(&mut self, link: LinkId, now: Timestamp) {
        let Some(((peer, transport, _), up)) = self.links.remove(&link) else {
            return;
        };
        self.release(peer, transport);
        let share = self.jittered(BACKOFF / 4);
        let grace = if self.local < peer { Duration::ZERO } else { self.config.grace };
        let lasted = now.since(up) >= BRIEF;
        for key in self.keys_to(peer, transport) {
            if let Some(target) = self.targets.get_mut(&key)
                && target.link == Some(link)
            {
                target.link = None;
                target.brief = if lasted { 0 } else { target.brief.saturating_add(1) };
                let doublings = target.brief.saturating_sub(1).min(6);
                target.due = now + grace + (share * (1 << doublings)).min(BRIEF_MAX);
            }
        }
        self.queue_all(peer, transport);
    }

    /// How a dial ended.
    pub fn connected(&mut self, target: &ConnectTarget, link: Option<LinkId>, now: Timestamp) {
        let key = key_of(target);
        // A link may have come and gone before its dial was reported.
        let up = link.filter(|link| self.links.contains_key(link));
        let Some(known) = self.targets.get_mut(&key).filter(|known| known.dialling) else {
            return;
        };
        known.dialling = false;
        let withdrawn = known.withdrawn;
        let doublings = known.failures.min(6);
        match link {
            Some(_) => {
                known.link = up.or(known.link);
                known.failures = 0;
                known.unheard = 0;
            }
            None => {
                known.failures = known.failures.saturating_add(1);
                known.unheard = known.unheard.saturating_add(1);
            }
        }
        let wait = self.jittered((BACKOFF * (1 << doublings)).min(BACKOFF_MAX));
        if let Some(known) = self.targets.get_mut(&key) {
            // A link that has come and gone by now has said when to dial again.
            known.due = (now + wait).max(known.due);
        }
        self.dials = self.dials.saturating_sub(1);
        self.release(target.peer, target.transport);
        if withdrawn {
            self.forget(&key);
        }
        self.queue_all(target.peer, target.transport);
        self.dial_due(now);
    }

    /// Whether a link with the peer is up over the transport, or a dial is under way.
    pub(crate) fn is_busy_with(&self, peer: PeerId, transport: TransportType) -> bool {
        self.busy.contains_key(&(peer, transport))
    }

    fn release(&mut self, peer: PeerId, transport: TransportType) {
        if let Some(busy) = self.busy.get_mut(&(peer, transport)) {
            *busy -= 1;
            if *busy == 0 {
                self.busy.remove(&(peer, transport));
            }
        }
    }

    fn jittered(&mut self, wait: Duration) -> Duration {
        wait.mul_f64(0.75 + self.rng.f64() / 2.0)
    }

    /// When [`Self::on_timer`] wants to be called. O(log targets).
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let first = self.waiting.first().filter(|_| self.dials < MAX_DIALS);
        first.map(|(at, _)| *at)
    }

    /// Whether the target is to be dialled when its time comes.
    fn wants(&self, target: &Target) -> bool {
        let to = (target.hint.target.peer, target.hint.target.transport);
        target.link.is_none()
            && !target.dialling
            && !target.withdrawn
            && (target.is_fixed() || self.config.dial_discovered || self.asked.contains(&to))
            && (target.is_fixed() || target.unheard < UNHEARD_FAILURES)
            && self.busy.get(&to).is_none_or(|busy| *busy < MAX_LINKS)
    }

    /// The targets of a peer on a transport: few.
    fn keys_to(&self, peer: PeerId, transport: TransportType) -> Vec<Key> {
        let range = self.targets.range((peer, transport, Address::new(""))..);
        let own = range.take_while(|((p, t, _), _)| (*p, *t) == (peer, transport));
        own.map(|(key, _)| key.clone()).collect()
    }

    fn queue_all(&mut self, peer: PeerId, transport: TransportType) {
        for key in self.keys_to(peer, transport) {
            self.queue(&key);
        }
    }

    /// Brings a target's place in `waiting` up to date.
    fn queue(&mut self, key: &Key) {
        let Some(target) = self.targets.get(key) else {
            return;
        };
        let (old, new) = (target.queued, self.wants(target).then_some(target.due));
        if old == new {
            return;
        }
        if let Some(at) = old {
            self.waiting.remove(&(at, key.clone()));
        }
        if let Some(at) = new {
            self.waiting.insert((at, key.clone()));
        }
        if let Some(target) = self.targets.get_mut(key) {
            target.queued = new;
        }
    }

    /// Dials what is due and forgets what is old. O(due), and O(targets) once a minute.
    pub fn on_timer(&mut self, now: Timestamp) {
        if now >= self.sweep_at {
            self.sweep_at = now + SWEEP_EVERY;
            let old: Vec<Key> = self
                .targets
                .iter()
                .filter(|(_, t)| t.link.is_none() && !t.dialling && is_old(t, now))
                .map(|(key, _)| key.clone())
                .collect();
            for key in old {
                self.forget(&key);
            }
        }
        self.dial_due(now);
    }

    fn dial_due(&mut self, now: Timestamp) {
        while self.dials < MAX_DIALS
            && let Some((at, key)) = self.waiting.first().cloned()
            && at <= now
        {
            let Some(target) = self.targets.get_mut(&key) else {
                self.waiting.pop_first();
                continue;
            };
            if is_old(target, now) {
                self.forget(&key);
                continue;
            }
            target.dialling = true;
            self.ready.push_back(target.hint.target.clone());
            self.dials += 1;
            let (peer, transport, _) = key;
            *self.busy.entry((peer, transport)).or_default() += 1;
            self.queue_all(peer, transport);
        }
    }

    /// The next dial to make.
    pub fn poll_connect(&mut self) -> Option<ConnectTarget> {
        self.ready.pop_front()
    }

    /// A link to a peer over a transport is asked for: every place where it may be is dialled at once.
    /// O(log targets) and the peer's own.
    pub fn ask(&mut self, peer: PeerId, transport: TransportType, now: Timestamp) {
        if self.asked.insert((peer, transport)) {
            for key in self.keys_to(peer, transport) {
                if let Some(target) = self.targets.get_mut(&key) {
                    target.due = target.due.min(now);
                }
                self.queue(&key);
            }
            self.dial_due(now);
        }
    }

    /// A link is asked for no more; the links with the peer over the transport.
    pub fn let_go(&mut self, peer: PeerId, transport: TransportType) -> Vec<LinkId> {
        self.asked.remove(&(peer, transport));
        self.queue_all(peer, transport);
        let own = self.links.iter().filter(|(_, ((p, t, _), _))| (*p, *t) == (peer, transport));
        own.map(|(link, _)| *link).collect()
    }

    /// Peers that were heard of, are neither linked nor dialled by themselves, and could be, with the
    /// transport. O((targets + links) log links).
    pub fn prospects(&self, now: Timestamp) -> BTreeSet<(PeerId, TransportType)> {
        let up: BTreeSet<PeerId> = self.links.values().map(|((peer, ..), _)| *peer).collect();
        let idle = |((peer, ..), target): &(&Key, &Target)| {
            let dialled = target.is_fixed() || self.config.dial_discovered;
            let may = target.unheard < UNHEARD_FAILURES && !is_old(target, now);
            may && !dialled && !up.contains(peer)
        };
        let all = self.targets.iter().filter(idle);
        all.map(|((peer, transport, _), _)| (*peer, *transport)).collect()
    }

    /// Every known target. O(targets).
    pub fn targets(&self, now: Timestamp) -> Vec<TargetStatus> {
        let status = |t: &Target| TargetStatus {
            hint: t.hint.clone(),
            failures: t.failures,
            linked: t.link.is_some(),
            next_dial: t.queued.map(|at| at.since(now)),
        };
        self.targets.values().map(status).collect()
    }
}

fn key_of(target: &ConnectTarget) -> Key {
    (target.peer, target.transport, target.address.clone())
}

/// Whether nobody has spoken of the target for too long.
fn is_old(target: &Target, now: Timestamp) -> bool {
    !target.is_fixed() && now.since(target.heard) >= HINT_LIFE
}

#[cfg(test)]
mod tests;
