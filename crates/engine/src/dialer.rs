use std::collections::{BTreeMap, VecDeque};
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
/// A hint not from the config is forgotten when nobody repeated it for so long.
const HINT_LIFE: Duration = Duration::from_secs(600);

/// What steers a [`Dialer`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DialerConfig {
    /// How long the end with the larger key leaves dialling to the other, so that a pair does not
    /// dial each other at once. After it, it dials too: the other may be unable to.
    pub grace: Duration,
    /// Whether peers that were only heard of are dialled, beside those of the config.
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
    dialling: bool,
    link: Option<LinkId>,
    failures: u32,
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
    links: BTreeMap<LinkId, (PeerId, TransportType, Address)>,
    dials: usize,
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
            links: BTreeMap::new(),
            dials: 0,
            ready: VecDeque::new(),
        }
    }

    /// A peer may be reachable at an address. O(log targets).
    pub fn discovered(&mut self, hint: Hint, now: Timestamp) {
        let fixed = hint.source == HintSource::Static;
        if hint.target.peer == self.local || !(fixed || self.config.dial_discovered) {
            return;
        }
        let key = (hint.target.peer, hint.target.transport, hint.target.address.clone());
        if let Some(known) = self.targets.get_mut(&key) {
            known.heard = now;
            if fixed {
                known.hint = hint;
            }
        } else {
            if self.targets.len() >= MAX_TARGETS && !self.forget_oldest() {
                return;
            }
            let first = self.local < hint.target.peer;
            let due = if first { now } else { now + self.config.grace };
            let link = self.links.iter().find(|(_, l)| **l == key).map(|(id, _)| *id);
            let target = Target { hint, heard: now, due, dialling: false, link, failures: 0 };
            self.targets.insert(key, target);
        }
        self.dial_due(now);
    }

    fn forget_oldest(&mut self) -> bool {
        let idle = self.targets.iter().filter(|(_, t)| {
            t.link.is_none() && !t.dialling && t.hint.source != HintSource::Static
        });
        let oldest = idle.min_by_key(|(_, t)| t.heard).map(|(key, _)| key.clone());
        oldest.is_some_and(|key| self.targets.remove(&key).is_some())
    }

    /// A link came up, dialled by either end.
    pub fn link_up(
        &mut self,
        link: LinkId,
        transport: TransportType,
        peer: PeerId,
        remote: Address,
    ) {
        let key = (peer, transport, remote);
        if let Some(target) = self.targets.get_mut(&key) {
            target.link = Some(link);
            target.failures = 0;
        }
        self.links.insert(link, key);
    }

    /// A link is gone; its address is dialled again, by the smaller key first.
    pub fn link_down(&mut self, link: LinkId, now: Timestamp) {
        self.links.remove(&link);
        let grace = self.config.grace;
        let local = self.local;
        let wait = self.jittered(BACKOFF / 4);
        for target in self.targets.values_mut().filter(|t| t.link == Some(link)) {
            target.link = None;
            let first = local < target.hint.target.peer;
            target.due = now + if first { wait } else { grace + wait };
        }
    }

    /// How a dial ended.
    pub fn connected(&mut self, target: &ConnectTarget, link: Option<LinkId>, now: Timestamp) {
        self.dials = self.dials.saturating_sub(1);
        let key = (target.peer, target.transport, target.address.clone());
        let wait = match self.targets.get(&key) {
            Some(known) => self.jittered((BACKOFF * (1 << known.failures.min(6))).min(BACKOFF_MAX)),
            None => return,
        };
        if let Some(known) = self.targets.get_mut(&key) {
            known.dialling = false;
            match link {
                Some(link) => {
                    // The link may have come and gone before its dial was reported.
                    known.link = self.links.contains_key(&link).then_some(link).or(known.link);
                    known.failures = 0;
                    known.due = now + wait;
                }
                None => {
                    known.failures = known.failures.saturating_add(1);
                    known.due = now + wait;
                }
            }
        }
        self.dial_due(now);
    }

    fn jittered(&mut self, wait: Duration) -> Duration {
        wait.mul_f64(0.75 + self.rng.f64() / 2.0)
    }

    /// When [`Self::on_timer`] wants to be called.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        if self.dials >= MAX_DIALS {
            return None;
        }
        let waiting = self.targets.values().filter(|t| self.wants(t));
        waiting.map(|t| t.due).min()
    }

    /// Whether the target is to be dialled when its time comes.
    fn wants(&self, target: &Target) -> bool {
        target.link.is_none() && !target.dialling && self.links_to(&target.hint.target) < MAX_LINKS
    }

    fn links_to(&self, target: &ConnectTarget) -> usize {
        let same = |peer: &PeerId, transport: &TransportType| {
            *peer == target.peer && *transport == target.transport
        };
        let up = self.links.values().filter(|(p, t, _)| same(p, t)).count();
        let range = (target.peer, target.transport, Address::new(""))..;
        let own = self.targets.range(range).take_while(|((p, t, _), _)| same(p, t));
        up + own.filter(|(_, t)| t.dialling).count()
    }

    /// Dials what is due and forgets what is old.
    pub fn on_timer(&mut self, now: Timestamp) {
        self.targets.retain(|_, t| {
            t.hint.source == HintSource::Static
                || t.link.is_some()
                || t.dialling
                || now.since(t.heard) < HINT_LIFE
        });
        self.dial_due(now);
    }

    fn dial_due(&mut self, now: Timestamp) {
        while self.dials < MAX_DIALS {
            let due = self.targets.iter().filter(|(_, t)| t.due <= now && self.wants(t));
            let Some(key) = due.min_by_key(|(_, t)| t.due).map(|(key, _)| key.clone()) else {
                return;
            };
            let Some(target) = self.targets.get_mut(&key) else {
                return;
            };
            target.dialling = true;
            self.dials += 1;
            self.ready.push_back(target.hint.target.clone());
        }
    }

    /// The next dial to make.
    pub fn poll_connect(&mut self) -> Option<ConnectTarget> {
        self.ready.pop_front()
    }

    /// Every known target. O(targets).
    pub fn targets(&self, now: Timestamp) -> Vec<TargetStatus> {
        let status = |t: &Target| TargetStatus {
            hint: t.hint.clone(),
            failures: t.failures,
            linked: t.link.is_some(),
            next_dial: self.wants(t).then(|| t.due.since(now)),
        };
        self.targets.values().map(status).collect()
    }
}
