mod bodies;

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use bitcraps_types::{PeerId, Timestamp, TransportType};
use bitcraps_wire::{Alias, Digest, MAX_LINK_STATE, Part, Presence, Quality};

use crate::agenda::Agenda;
use crate::bucket::Bucket;
use crate::graph::{Graph, Hops};
use crate::roots::Roots;
use crate::table::Table;
use crate::{Config, LinkFacts};

/// Least room for a body: what the smallest frame has beside its header and a hop
/// acknowledgement.
pub const MIN_ROOM: usize = 216;
/// Header of a frame, which counts against the budget.
const FRAME: usize = 20;
/// Transmissions of a record that is not acknowledged; then the comparison of databases is left to
/// repair it.
const TRIES: u32 = 6;
/// What is added to three times the latency of a link to wait for an acknowledgement.
const PATIENCE: Duration = Duration::from_millis(15);
/// How much earlier than due something is told when a body goes anyway: it costs 14 bytes so, and a
/// frame of its own later.
const EARLY: Duration = Duration::from_millis(300);
/// Records passed on to a neighbour that are not acknowledged yet, beyond which it is told what is here
/// instead of being sent it: when everybody hears of everything at once, each record comes from
/// several sides, and whoever lacks it asks one of them. Several times what changes at once when a node
/// with many links dies.
const WINDOW: usize = 32;
/// The same where nobody knows a way to the neighbour yet, so that several may pass the same on.
const NARROW_WINDOW: usize = 3;
/// Time between bodies with records that are passed on: what comes meanwhile goes together. The first
/// record waits for nothing, and hops take longer.
const PACE: Duration = Duration::from_millis(5);
/// Time between any two bodies while everybody hears of everybody: each costs a frame, and what a
/// neighbour has by then from somebody else need not go at all. A narrow link's budget makes them wait
/// anyway.
const REST: Duration = Duration::from_millis(25);
/// How much longer than for one neighbour's answer the next one waits to be asked for the same.
const ASK_ANOTHER: Duration = Duration::from_millis(50);
/// Records, wishes and ranges queued for one neighbour beyond which they are left to the next
/// comparison.
const MAX_WANTS: usize = 1_024;
const MAX_RANGES: usize = 64;
/// Forged records taken from a neighbour at once, and how long until one more is verified: 50 µs
/// each.
const FORGERIES: u32 = 16;
const FORGERY_INTERVAL: Duration = Duration::from_secs(4);

pub(crate) type PageKey = (Alias, u8);

/// A page on its way to a neighbour.
#[derive(Debug, Clone, Copy)]
struct Outgoing {
    /// By which it is among what is to go now; none while it is due later.
    rank: Option<u16>,
    tries: u32,
    /// The neighbour may not know the origin.
    introduce: bool,
    /// The neighbour may lack the full record that a delta changes.
    full: bool,
}

#[derive(Debug, Clone, Copy)]
struct Wanted {
    tries: u32,
    introduce: bool,
}

/// A peer with which a link is up, or was a moment ago.
pub(crate) struct Neighbour {
    pub(crate) peer: PeerId,
    pub(crate) presence: Option<(Presence, Alias)>,
    /// It has this node's presence.
    met: bool,
    links: [Option<LinkFacts>; TransportType::COUNT],
    /// When each link went.
    gone: [Option<Timestamp>; TransportType::COUNT],
    pub(crate) present_due: bool,
    digest_due: bool,
    out: Agenda<PageKey, Outgoing>,
    /// What of it goes now, the nearest origin first.
    ready: BTreeSet<(u16, PageKey)>,
    haves: Agenda<PageKey, ()>,
    wants: Agenda<PageKey, Wanted>,
    ranges: VecDeque<Part>,
    /// Nothing in the queues is due before; something may not be for longer.
    earliest: Timestamp,
    /// Records that are passed on do not go before.
    paced: Timestamp,
    /// Nothing goes before.
    rests: Timestamp,
    budget: Bucket,
    rate: u32,
    forgeries: Bucket,
    mismatches: u32,
    compared: Option<Timestamp>,
}

/// What a body is made of beside the queues.
pub(crate) struct Held<'a> {
    pub(crate) table: &'a Table,
    pub(crate) graph: &'a Graph,
    pub(crate) hops: &'a Hops,
    pub(crate) presence: Presence,
    pub(crate) root: u64,
    pub(crate) config: &'a Config,
    /// So much changes that records come in crowds.
    pub(crate) crowded: bool,
}

impl Neighbour {
    /// `hash` keys the hash of what it names.
    pub(crate) fn new(peer: PeerId, hash: u64) -> Self {
        Self {
            peer,
            presence: None,
            met: false,
            links: [None; TransportType::COUNT],
            gone: [None; TransportType::COUNT],
            present_due: true,
            digest_due: true,
            out: Agenda::new(hash),
            ready: BTreeSet::new(),
            haves: Agenda::new(hash),
            wants: Agenda::new(hash),
            ranges: VecDeque::new(),
            earliest: Timestamp::ZERO,
            paced: Timestamp::ZERO,
            rests: Timestamp::ZERO,
            budget: Bucket::new(Duration::from_secs(1)),
            rate: 1,
            forgeries: Bucket::new(FORGERY_INTERVAL * FORGERIES),
            mismatches: 0,
            compared: None,
        }
    }

    pub(crate) fn alias(&self) -> Option<Alias> {
        self.presence.map(|(_, alias)| alias)
    }

    pub(crate) fn is_up(&self) -> bool {
        self.links.iter().any(Option::is_some)
    }

    /// What may be published of the links with it.
    pub(crate) fn qualities(&self) -> impl Iterator<Item = Quality> + '_ {
        TransportType::ALL.into_iter().filter_map(|transport| {
            let facts = self.links[transport.index()]?;
            Some(Quality::new(transport, facts.latency, facts.reliability, facts.rate))
        })
    }

    /// Gives what was known before.
    pub(crate) fn set_link(
        &mut self,
        transport: TransportType,
        facts: Option<LinkFacts>,
        config: &Config,
        now: Timestamp,
    ) -> Option<LinkFacts> {
        let before = std::mem::replace(&mut self.links[transport.index()], facts);
        if facts.is_none() && before.is_some() {
            self.gone[transport.index()] = Some(now);
        }
        let wide = TransportType::ALL
            .into_iter()
            .any(|kind| kind != TransportType::Bluetooth && self.links[kind.index()].is_some());
        self.rate = if wide { config.budget } else { config.bluetooth_budget }.max(1);
        before
    }

    /// Whether a link was there less than `grace` ago.
    pub(crate) fn had(&self, transport: TransportType, grace: Duration, now: Timestamp) -> bool {
        self.links[transport.index()].is_some()
            || self.gone[transport.index()].is_some_and(|gone| now.since(gone) < grace)
    }

    /// Whether nothing of it is worth remembering.
    pub(crate) fn is_over(&self, grace: Duration, now: Timestamp) -> bool {
        TransportType::ALL.into_iter().all(|transport| !self.had(transport, grace, now))
    }

    /// Forgets what was to be said: the other end may be another incarnation when it returns.
    pub(crate) fn reset(&mut self) {
        self.met = false;
        self.present_due = true;
        self.digest_due = true;
        self.forget_pages();
        self.haves.clear();
        self.wants.clear();
        self.ranges.clear();
        self.earliest = Timestamp::ZERO;
        self.mismatches = 0;
        self.compared = None;
    }

    pub(crate) fn is_narrow(&self, config: &Config) -> bool {
        self.rate == config.bluetooth_budget && self.rate < config.budget
    }

    fn room(&self) -> usize {
        let rooms = self.links.iter().flatten().map(|facts| facts.room);
        rooms.min().unwrap_or(MIN_ROOM).clamp(MIN_ROOM, MAX_LINK_STATE)
    }

    fn wait(&self) -> Duration {
        let latencies = self.links.iter().flatten().map(|facts| facts.latency);
        let latency = latencies.min().unwrap_or(Duration::ZERO).min(Duration::from_secs(2));
        latency * 3 + PATIENCE
    }

    pub(crate) fn takes_forgery(&mut self, now: Timestamp) -> bool {
        self.forgeries.take(FORGERY_INTERVAL, now)
    }

    /// Whether records of it are still verified.
    pub(crate) fn is_trusted(&self, now: Timestamp) -> bool {
        self.forgeries.ready_at(FORGERY_INTERVAL) <= now
    }

    /// A probe goes to it now: the digest goes with it.
    pub(crate) fn probe(&mut self) {
        self.digest_due = true;
        self.earliest = Timestamp::ZERO;
    }

    /// Passes a page on, or tells that it is here when much is on its way already.
    pub(crate) fn pass(
        &mut self,
        key: PageKey,
        wait: Duration,
        introduce: bool,
        sure: bool,
        now: Timestamp,
    ) {
        let due = self.paced.max(now + wait);
        let window = if sure { WINDOW } else { NARROW_WINDOW };
        self.push_within(window, key, due, introduce, false);
    }

    /// Sends a page that it lacks, likewise.
    pub(crate) fn fill(&mut self, key: PageKey, introduce: bool, full: bool, now: Timestamp) {
        self.push_within(WINDOW, key, now, introduce, full);
    }

    fn push_within(
        &mut self,
        window: usize,
        key: PageKey,
        due: Timestamp,
        introduce: bool,
        full: bool,
    ) {
        if self.out.len() < window || self.out.get(&key).is_some() {
            self.push(key, due, introduce, full);
        } else {
            self.tell(key, due);
        }
    }

    /// Queues a page; one that waits already does not wait longer.
    pub(crate) fn push(&mut self, key: PageKey, due: Timestamp, introduce: bool, full: bool) {
        let mut new = Outgoing { rank: None, tries: 0, introduce, full };
        let mut due = due;
        if let Some((before_due, before)) = self.out.get(&key) {
            new.rank = before.rank;
            new.introduce |= before.introduce;
            new.full |= before.full;
            if new.rank.is_some() || before.tries == 0 {
                due = due.min(*before_due);
            }
        }
        let due = if new.rank.is_some() { Timestamp::MAX } else { due };
        self.earliest = self.earliest.min(if new.rank.is_some() { Timestamp::ZERO } else { due });
        self.out.insert(key, due, new);
        self.haves.remove(&key);
    }

    /// Tells it, at `due` at the latest, that a page is here.
    pub(crate) fn tell(&mut self, key: PageKey, due: Timestamp) {
        let due = self.haves.get(&key).map_or(due, |(before, ())| due.min(*before));
        self.haves.insert(key, due, ());
        self.earliest = self.earliest.min(due);
    }

    /// It has the page in the state in which it is here.
    pub(crate) fn has(&mut self, key: PageKey) {
        self.drop_page(&key);
        self.haves.remove(&key);
        self.wants.remove(&key);
    }

    fn drop_page(&mut self, key: &PageKey) {
        if let Some(Outgoing { rank: Some(rank), .. }) = self.out.remove(key) {
            self.ready.remove(&(rank, *key));
        }
    }

    fn forget_pages(&mut self) {
        self.out.clear();
        self.ready.clear();
    }

    /// Asks for a page at `due`, unless it is asked for already.
    pub(crate) fn want(&mut self, key: PageKey, introduce: bool, due: Timestamp) {
        if let Some(wanted) = self.wants.get_mut(&key) {
            wanted.introduce |= introduce;
        } else if self.wants.len() < MAX_WANTS {
            self.wants.insert(key, due, Wanted { tries: 0, introduce });
            self.earliest = self.earliest.min(due);
        }
    }

    /// When somebody else may be asked for a page that this neighbour is asked for.
    pub(crate) fn asked_until(&self, key: &PageKey) -> Option<Timestamp> {
        self.wants.get(key).map(|(due, _)| *due + ASK_ANOTHER)
    }

    pub(crate) fn got(&mut self, key: PageKey) {
        self.wants.remove(&key);
    }

    pub(crate) fn compare(&mut self, part: Part) {
        if self.ranges.len() < MAX_RANGES {
            self.ranges.push_back(part);
            self.earliest = Timestamp::ZERO;
        }
    }

    fn is_pending(&self) -> bool {
        !(self.out.is_empty() && self.wants.is_empty() && self.ranges.is_empty())
    }

    /// Takes its digest; whether the databases are to be compared.
    pub(crate) fn differs(
        &mut self,
        digest: Digest,
        roots: &Roots,
        leads: bool,
        now: Timestamp,
    ) -> bool {
        self.met = digest.met;
        if !digest.met {
            self.present_due = true;
            self.earliest = Timestamp::ZERO;
        }
        if digest.root == roots.latest() {
            self.forget_pages();
            self.wants.clear();
            self.ranges.clear();
            self.mismatches = 0;
            return false;
        }
        // It is where this node was a moment ago: what came since is on its way.
        if roots.was(digest.root, now) {
            return false;
        }
        self.mismatches += 1;
        let pending = digest.pending || self.is_pending() || roots.are_many(now);
        // What is on its way arrives first, and one end begins, so that both do not. Those who meet
        // begin at once.
        let patience = match (pending, self.compared.is_none(), leads) {
            (true, _, _) => 4,
            (false, true, true) => 1,
            (false, true, false) | (false, false, true) => 2,
            (false, false, false) => 3,
        };
        let rested = self.compared.is_none_or(|at| now.since(at) >= self.wait() * 4);
        let begins = self.mismatches >= patience && rested && self.met && self.presence.is_some();
        if begins {
            self.mismatches = 0;
            self.compared = Some(now);
            self.ranges.clear();
        }
        begins
    }

    /// [`Self::next_due`] is no earlier. What the budget and the links say of it takes longer to see.
    pub(crate) fn not_before(&self) -> Timestamp {
        self.earliest.max(self.rests)
    }

    /// When there may be something to send; [`Timestamp::MAX`] when there is nothing.
    pub(crate) fn next_due(&self) -> Timestamp {
        if self.earliest == Timestamp::MAX || !self.is_up() {
            return Timestamp::MAX;
        }
        self.earliest.max(self.rests).max(self.budget.ready_at(self.cost(self.room())))
    }

    /// What is due first in the queues.
    fn first_due(&self) -> Timestamp {
        let ready = !self.ready.is_empty() || !self.ranges.is_empty();
        if self.present_due || self.digest_due || ready {
            return Timestamp::ZERO;
        }
        self.out.first_due().min(self.wants.first_due()).min(self.haves.first_due())
    }

    fn cost(&self, body: usize) -> Duration {
        let nanos = (body + FRAME) as u64 * 1_000_000_000 / u64::from(self.rate);
        Duration::from_nanos(nanos)
    }
}
