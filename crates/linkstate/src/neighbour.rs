use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bitcraps_types::{PeerId, Timestamp, TransportType};
use bitcraps_wire::{
    Alias, Carried, Digest, LinkState, MAX_LINK_STATE, Part, Presence, Quality, Want,
};
use bytes::Bytes;

use crate::bucket::Bucket;
use crate::graph::Hops;
use crate::roots::Roots;
use crate::table::{Origin, Page, Table};
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
pub(crate) struct Outgoing {
    due: Timestamp,
    tries: u32,
    /// The neighbour may not know the origin.
    introduce: bool,
    /// The neighbour may lack the full record that a delta changes.
    full: bool,
}

#[derive(Debug, Clone, Copy)]
struct Wanted {
    due: Timestamp,
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
    out: BTreeMap<PageKey, Outgoing>,
    haves: BTreeMap<PageKey, Timestamp>,
    wants: BTreeMap<PageKey, Wanted>,
    ranges: VecDeque<Part>,
    /// Nothing in the queues is due before; something may not be for longer.
    earliest: Timestamp,
    budget: Bucket,
    rate: u32,
    forgeries: Bucket,
    mismatches: u32,
    compared: Option<Timestamp>,
}

/// What a body is made of beside the queues.
pub(crate) struct Held<'a> {
    pub(crate) table: &'a Table,
    pub(crate) hops: &'a Hops,
    pub(crate) presence: Presence,
    pub(crate) root: u64,
}

impl Neighbour {
    pub(crate) fn new(peer: PeerId) -> Self {
        Self {
            peer,
            presence: None,
            met: false,
            links: [None; TransportType::COUNT],
            gone: [None; TransportType::COUNT],
            present_due: true,
            digest_due: true,
            out: BTreeMap::new(),
            haves: BTreeMap::new(),
            wants: BTreeMap::new(),
            ranges: VecDeque::new(),
            earliest: Timestamp::ZERO,
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
        self.out.clear();
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

    /// Queues a page; one that waits already does not wait longer.
    pub(crate) fn push(&mut self, key: PageKey, due: Timestamp, introduce: bool, full: bool) {
        let before = self.out.get(&key);
        let due = before.filter(|b| b.tries == 0).map_or(due, |before| before.due.min(due));
        let introduce = introduce || before.is_some_and(|before| before.introduce);
        let full = full || before.is_some_and(|before| before.full);
        self.out.insert(key, Outgoing { due, tries: 0, introduce, full });
        self.earliest = self.earliest.min(due);
        self.haves.remove(&key);
    }

    /// Tells it, at `due` at the latest, that a page is here.
    pub(crate) fn tell(&mut self, key: PageKey, due: Timestamp) {
        let due = self.haves.get(&key).map_or(due, |before| due.min(*before));
        self.haves.insert(key, due);
        self.earliest = self.earliest.min(due);
    }

    /// It has the page in the state in which it is here.
    pub(crate) fn has(&mut self, key: PageKey) {
        self.out.remove(&key);
        self.haves.remove(&key);
        self.wants.remove(&key);
    }

    pub(crate) fn want(&mut self, key: PageKey, introduce: bool, now: Timestamp) {
        let room = self.wants.len() < MAX_WANTS;
        self.earliest = self.earliest.min(now);
        match self.wants.get_mut(&key) {
            Some(wanted) => wanted.introduce |= introduce,
            None if room => drop(self.wants.insert(key, Wanted { due: now, tries: 0, introduce })),
            None => {}
        }
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
            self.out.clear();
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
        let pending = digest.pending || self.is_pending();
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

    /// When there may be something to send; [`Timestamp::MAX`] when there is nothing.
    pub(crate) fn next_due(&self) -> Timestamp {
        if !self.is_up() || self.earliest == Timestamp::MAX {
            return Timestamp::MAX;
        }
        self.earliest.max(self.budget.ready_at(self.cost(self.room())))
    }

    /// What is due first in the queues.
    fn first_due(&self) -> Timestamp {
        if self.present_due || self.digest_due || !self.ranges.is_empty() {
            return Timestamp::ZERO;
        }
        let out = self.out.values().map(|out| out.due);
        let wants = self.wants.values().map(|wanted| wanted.due);
        out.chain(wants).chain(self.haves.values().copied()).min().unwrap_or(Timestamp::MAX)
    }

    fn cost(&self, body: usize) -> Duration {
        let nanos = (body + FRAME) as u64 * 1_000_000_000 / u64::from(self.rate);
        Duration::from_nanos(nanos)
    }

    /// The bodies that are due and within the budget.
    pub(crate) fn flush(&mut self, held: &Held<'_>, now: Timestamp) -> Vec<Bytes> {
        let mut bodies = Vec::new();
        if self.next_due() > now {
            return bodies;
        }
        let mut records: VecDeque<PageKey> = {
            let due = self.out.iter().filter(|(_, out)| out.due <= now).map(|(key, _)| *key);
            let mut keys: Vec<_> = due.collect();
            keys.sort_by_key(|key| (held.hops.to(key.0), *key));
            keys.into()
        };
        let room = self.room();
        while self.budget.ready_at(self.cost(room)) <= now {
            let parts = self.parts(held, &mut records, room, now);
            if parts.is_empty() {
                break;
            }
            let body = LinkState { parts }.encode();
            self.budget.take(self.cost(body.len()), now);
            bodies.push(body);
        }
        self.earliest = self.first_due();
        bodies
    }

    /// What goes into the next body: first what is short and urgent.
    fn parts(
        &mut self,
        held: &Held<'_>,
        records: &mut VecDeque<PageKey>,
        room: usize,
        now: Timestamp,
    ) -> Vec<Part> {
        let mut parts = Vec::new();
        let mut left = room;
        let mut fits = |part: &Part| match left.checked_sub(part.encoded_len()) {
            Some(rest) => {
                left = rest;
                true
            }
            None => false,
        };
        if std::mem::take(&mut self.present_due) {
            let part = Part::Presence(held.presence);
            parts.extend(fits(&part).then_some(part));
        }
        if self.digest_due {
            let (pending, met) = (self.is_pending(), self.presence.is_some());
            let part = Part::Digest(Digest { root: held.root, pending, met });
            if fits(&part) {
                self.digest_due = false;
                parts.push(part);
            }
        }
        let wait = self.wait();
        self.wants.retain(|_, wanted| wanted.tries < TRIES || wanted.due > now);
        for (key, wanted) in self.wants.iter_mut().filter(|(_, wanted)| wanted.due <= now) {
            let (alias, page) = *key;
            let part = Part::Want(Want { alias, page, introduce: wanted.introduce });
            if fits(&part) {
                wanted.due = now + wait * 2_u32.pow(wanted.tries);
                wanted.tries += 1;
                parts.push(part);
            }
        }
        let mut tell = |until: Timestamp, left: &mut usize, parts: &mut Vec<Part>| {
            self.haves.retain(|(alias, page), due| {
                let origin = held.table.get(*alias);
                let version = origin.and_then(|origin| origin.version(*alias, *page));
                let Some(part) = version.map(Part::Have) else { return false };
                let Some(rest) = left.checked_sub(part.encoded_len()).filter(|_| *due <= until)
                else {
                    return true;
                };
                *left = rest;
                parts.push(part);
                false
            });
        };
        tell(now, &mut left, &mut parts);
        while let Some(key) = records.front() {
            let found =
                held.table.get(key.0).and_then(|origin| Some((origin, origin.pages.get(&key.1)?)));
            let (Some(out), Some((origin, page))) = (self.out.get_mut(key), found) else {
                self.out.remove(key);
                records.pop_front();
                continue;
            };
            let carried = carried(out, origin, page, now);
            let len: usize = carried.iter().map(Part::encoded_len).sum();
            if len > left && !parts.is_empty() {
                break;
            }
            if carried.len() > 1 && len > room {
                // Too much for one body: the full record goes first, and the delta when that came.
                parts.extend(carried.into_iter().take(1));
                left = 0;
                out.full = false;
                out.introduce = false;
                break;
            }
            left = left.saturating_sub(len);
            parts.extend(carried);
            out.due = now + wait * 2_u32.pow(out.tries);
            out.tries += 1;
            if out.tries > TRIES {
                self.out.remove(key);
            }
            records.pop_front();
        }
        if !parts.is_empty() {
            tell(now + EARLY, &mut left, &mut parts);
        }
        while let Some(part) = self.ranges.front().filter(|part| part.encoded_len() <= left) {
            left -= part.encoded_len();
            parts.push(part.clone());
            self.ranges.pop_front();
        }
        parts
    }
}

/// The records that bring a neighbour to the state of a page.
fn carried(out: &Outgoing, origin: &Origin, page: &Page, now: Timestamp) -> Vec<Part> {
    let seconds = now.since(page.born).as_nanos().div_ceil(1_000_000_000);
    let age = u16::try_from(seconds).unwrap_or(u16::MAX);
    let full = (out.full || page.delta.is_none()).then_some(&page.full);
    let records = full.into_iter().chain(&page.delta);
    let mut introduction = out.introduce.then_some(origin.introduction);
    let part = |record: &bitcraps_wire::Record| {
        let introduction = introduction.take();
        Part::Record(Carried { age, introduction, record: record.clone() })
    };
    records.map(part).collect()
}
