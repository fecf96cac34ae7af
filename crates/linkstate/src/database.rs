mod forgetting;
mod intake;
mod suspicion;
mod view;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bitcraps_types::{PeerId, Timestamp, TransportType};
use bitcraps_wire::{Alias, MAX_RECORD_LINKS, Part, Presence, Quality, Record};
use bytes::Bytes;
use smallvec::SmallVec;

use self::suspicion::Suspicion;
use crate::graph::{Duty, Graph, Hops};
use crate::identity::{Privacy, Publisher, Verified, peer_of};
use crate::neighbour::{Held, Neighbour, PageKey};
use crate::own::{Links, Own};
use crate::reconcile::{self, EVERYTHING};
use crate::roots::Roots;
use crate::shown::Shown;
use crate::table::{ClaimKey, Claims, Origin, Table};
use crate::{BodyError, Change, Command, Config, LinkFacts, Metrics, alias_of};

/// Origins that are remembered, with a completed session or without: about 1 kB each.
pub const MAX_ORIGINS: usize = 16_384;
/// Peers with a completed session that are remembered; more than the sessions there are at once.
const MAX_VERIFIED: usize = 8_192;
/// Links of this node that are published: what its pages hold.
const MAX_OWN_LINKS: usize = 64;
/// Offers that are published: more than a plan takes of one node.
pub const MAX_OFFERS: usize = 16;
/// How long a link may be named after it went: news of it is under way for that long.
const GRACE: Duration = Duration::from_secs(10);
/// How long a neighbour that gets a record from somebody else waits to be told that it is here.
const TELL_AFTER: Duration = Duration::from_millis(150);
/// How long an acknowledgement waits for others to go with.
const ACK_AFTER: Duration = Duration::from_millis(8);
/// How often the table is searched for what is too old, and suspicions are looked at.
const AGEING: Duration = Duration::from_secs(5);
/// How old the count of hops may be; it decides nothing but what waits for what.
const HOPS: Duration = Duration::from_millis(500);
/// Hops within which a narrow link passes changes of quality on at once.
const NEAR: u16 = 2;
/// How long changes of quality wait that are as far as that again; twice as long at each doubling.
const FAR_WAIT: Duration = Duration::from_secs(4);

/// What a node knows of every link of the network: facts and `now` in, commands out.
///
/// Taking a record costs the verification of a signature (50 µs) and, where more than 64 peers are
/// within two links, O(n + m) for n origins and m links; everything else O(log n) or what it says.
pub struct LinkDatabase {
    me: PeerId,
    config: Config,
    publisher: Publisher,
    own: Own,
    /// What this node has to say of its links.
    own_links: Links,
    /// Links that this node could make.
    own_offers: BTreeSet<(PeerId, TransportType)>,
    table: Table,
    roots: Roots,
    unverified: usize,
    verified: BTreeSet<PeerId>,
    graph: Graph,
    hops: Hops,
    /// Before this, hops are not counted again.
    hops_at: Timestamp,
    neighbours: BTreeMap<PeerId, Neighbour>,
    by_alias: BTreeMap<Alias, PeerId>,
    shown: Shown,
    /// What is told of when it is still so then.
    suspicions: BTreeMap<Suspicion, Timestamp>,
    ageing_at: Timestamp,
    /// When something is due next, as of the last flush, after which nothing changes it.
    due: Timestamp,
    commands: VecDeque<Command>,
    metrics: Metrics,
    /// What others of this process found to be signed.
    shared: Option<Verified>,
}

impl LinkDatabase {
    /// Empty, for the node with this Ed25519 seed.
    pub fn new(seed: &[u8; 32], config: Config, now: Timestamp) -> Self {
        let publisher = Publisher::new(seed, config.epoch, config.privacy);
        let me = peer_of(seed);
        Self {
            me,
            config,
            own: Own::new(config.refresh),
            own_links: Links::new(),
            own_offers: BTreeSet::new(),
            table: Table::new(publisher.hash),
            roots: Roots::default(),
            unverified: 0,
            verified: BTreeSet::new(),
            graph: Graph::new(publisher.hash),
            hops: Hops::default(),
            hops_at: now,
            neighbours: BTreeMap::new(),
            by_alias: BTreeMap::new(),
            shown: Shown::new(publisher.hash),
            suspicions: BTreeMap::new(),
            ageing_at: now + AGEING,
            due: now + AGEING,
            commands: VecDeque::new(),
            metrics: Metrics::default(),
            shared: None,
            publisher,
        }
    }

    /// Shares what is found to be signed with other databases of this process, as in a simulation of
    /// many nodes. What is taken and refused stays the same.
    pub fn share(&mut self, verified: Verified) {
        self.shared = Some(verified);
    }

    /// What came and went.
    pub const fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Equal for equal databases.
    pub fn root(&self) -> u64 {
        self.table.root()
    }

    /// How many origins are known, this node included once it has published.
    pub fn origins(&self) -> usize {
        self.table.len()
    }

    /// How many records are held.
    pub fn pages(&self) -> usize {
        self.table.pages()
    }

    /// The key under which a neighbour publishes; not its own when it uses pseudonyms.
    pub fn published_key(&self, neighbour: &PeerId) -> Option<PeerId> {
        let (presence, _) = self.neighbours.get(neighbour)?.presence?;
        Some(presence.introduction.key)
    }

    /// The incarnation in which a peer publishes; `None` when it is not known.
    pub fn epoch_of(&self, peer: &PeerId) -> Option<bitcraps_types::Epoch> {
        let key = self.published_key(peer).unwrap_or(*peer);
        let origin = self.table.get(alias_of(&key))?;
        (origin.introduction.key == key).then_some(origin.introduction.epoch)
    }

    /// The neighbour that publishes under an alias.
    pub fn neighbour_of(&self, alias: Alias) -> Option<PeerId> {
        self.by_alias.get(&alias).copied()
    }

    /// A link of this node is up, or what is measured of it has changed.
    pub fn on_link(
        &mut self,
        peer: &PeerId,
        transport: TransportType,
        facts: LinkFacts,
        now: Timestamp,
    ) {
        if *peer == self.me {
            return;
        }
        let new = || Neighbour::new(*peer, self.publisher.hash);
        let neighbour = self.neighbours.entry(*peer).or_insert_with(new);
        let was_up = neighbour.is_up();
        neighbour.set_link(transport, Some(facts), &self.config, now);
        if !was_up {
            neighbour.reset();
        }
        self.show_own(peer);
        self.publish_links(now);
        self.flush(now);
    }

    /// A link of this node is down.
    pub fn on_link_down(&mut self, peer: &PeerId, transport: TransportType, now: Timestamp) {
        let Some(neighbour) = self.neighbours.get_mut(peer) else { return };
        if neighbour.set_link(transport, None, &self.config, now).is_none() {
            return;
        }
        if !neighbour.is_up() {
            neighbour.reset();
        }
        self.show_own(peer);
        self.publish_links(now);
        self.flush(now);
    }

    /// The links that this node could make and has not: published beside those that it has, as far as
    /// there is room, unless the node uses a pseudonym. Peers that publish nothing under their own key
    /// are not named. Each change counts as a change of links.
    pub fn set_offers(&mut self, offers: BTreeSet<(PeerId, TransportType)>, now: Timestamp) {
        if self.own_offers != offers {
            self.own_offers = offers;
            self.publish_links(now);
            self.flush(now);
        }
    }

    /// A session with a peer was completed: it has the key it says, and is no invention.
    pub fn on_session(&mut self, peer: &PeerId) {
        if self.verified.len() >= MAX_VERIFIED || !self.verified.insert(*peer) {
            return;
        }
        let alias = alias_of(peer);
        let Some(origin) = self.table.get_mut(alias).filter(|o| o.introduction.key == *peer) else {
            return;
        };
        if !std::mem::replace(&mut origin.verified, true) {
            self.unverified -= 1;
        }
        for (neighbour, transport) in origin.claims().keys().copied() {
            self.show(alias, neighbour, transport);
        }
    }

    /// A probe goes to a neighbour now; what tells whether both databases are equal goes with it.
    pub fn on_probe(&mut self, peer: &PeerId, now: Timestamp) {
        if let Some(neighbour) = self.neighbours.get_mut(peer) {
            neighbour.probe();
            self.flush(now);
        }
    }

    /// A body came from a neighbour.
    ///
    /// # Errors
    /// [`BodyError`]; nothing of it was read.
    pub fn on_body(&mut self, from: &PeerId, body: Bytes, now: Timestamp) -> Result<(), BodyError> {
        if !self.neighbours.get(from).is_some_and(Neighbour::is_up) {
            return Err(BodyError::NoNeighbour(*from));
        }
        let state = bitcraps_wire::LinkState::decode(body)?;
        for part in state.parts {
            self.on_part(from, part, now);
        }
        self.flush(now);
        Ok(())
    }

    fn on_part(&mut self, from: &PeerId, part: Part, now: Timestamp) {
        match part {
            Part::Presence(presence) => self.on_presence(from, presence, now),
            Part::Digest(digest) => {
                self.roots.set(self.table.root(), now);
                let own = self.publisher.alias;
                let Some(neighbour) = self.neighbours.get_mut(from) else { return };
                let leads = neighbour.alias().is_some_and(|alias| own < alias);
                if neighbour.differs(digest, &self.roots, leads, now) {
                    neighbour.compare(reconcile::opening(&self.table, EVERYTHING));
                    self.metrics.reconciliations += 1;
                }
            }
            Part::Record(carried) => self.on_record(from, carried, now),
            Part::Have(version) => self.on_have(from, &version, now),
            Part::Want(want) => {
                let key = (want.alias, want.page);
                let here =
                    self.table.get(want.alias).is_some_and(|o| o.pages.contains_key(&want.page));
                if let Some(neighbour) = self.neighbours.get_mut(from).filter(|_| here) {
                    neighbour.push(key, now, want.introduce, true);
                }
            }
            Part::Summary(summary) => {
                let answers = reconcile::answers(&self.table, &summary);
                if let Some(neighbour) = self.neighbours.get_mut(from) {
                    answers.into_iter().for_each(|answer| neighbour.compare(answer));
                }
            }
            Part::Listing(listing) => self.on_listing(from, &listing, now),
        }
    }

    fn on_presence(&mut self, from: &PeerId, presence: Presence, now: Timestamp) {
        let alias = alias_of(&presence.introduction.key);
        if alias == self.publisher.alias {
            return;
        }
        let Some(neighbour) = self.neighbours.get_mut(from) else { return };
        // One alias is one neighbour's: nobody takes the place of another.
        if self.by_alias.get(&alias).is_some_and(|other| other != from) {
            return;
        }
        let before = neighbour.presence.replace((presence, alias));
        if before == Some((presence, alias)) {
            return;
        }
        neighbour.probe();
        if let Some((_, before)) = before {
            self.by_alias.remove(&before);
        }
        self.by_alias.insert(alias, *from);
        self.show_again(alias);
        self.show_own(from);
        self.publish_links(now);
    }

    fn links_to_publish(&self) -> Links {
        let mut links = Links::new();
        if self.config.privacy == Privacy::Nothing {
            return links;
        }
        for neighbour in self.neighbours.values() {
            if let Some((_, alias)) = neighbour.presence.filter(|(presence, _)| presence.listed) {
                links.extend(neighbour.qualities().map(|q| ((alias, q.transport()), q)));
            }
        }
        while links.len() > MAX_OWN_LINKS {
            links.pop_last();
        }
        if self.config.privacy == Privacy::Neighbours {
            for (peer, transport) in self.own_offers.iter().take(MAX_OFFERS) {
                let alias = alias_of(peer);
                let known = self.table.get(alias).is_some_and(|o| o.introduction.key == *peer);
                if known && links.len() < MAX_OWN_LINKS {
                    links.entry((alias, *transport)).or_insert(Quality::offer(*transport));
                }
            }
        }
        links
    }

    fn publish_links(&mut self, now: Timestamp) {
        self.own_links = self.links_to_publish();
        self.publish(now);
    }

    fn publish(&mut self, now: Timestamp) {
        for record in self.own.publish(&self.own_links, &self.publisher, now) {
            let alias = self.publisher.alias;
            if self.table.get(alias).is_none() {
                let origin = Origin::new(self.publisher.introduction, true);
                self.table.insert(alias, origin);
                self.commands
                    .push_back(Command::Changed(Change::Peer(self.publisher.introduction.key)));
            }
            self.store(Arc::new(record), None, now, now);
        }
    }

    /// Puts a record that was checked into the table, and sends it on: what its origin says of its
    /// links now, and of which it says something else.
    fn store(
        &mut self,
        record: Arc<Record>,
        from: Option<&PeerId>,
        born: Timestamp,
        now: Timestamp,
    ) -> Option<(Claims, Vec<ClaimKey>)> {
        let (alias, page) = (record.version.alias, record.version.page);
        let origin = self.table.get(alias)?;
        let (first, before) = (origin.pages.is_empty(), origin.claims());
        self.table.put(record, born)?;
        let claims = self.table.get(alias)?.claims();
        let (changed, structural) = self.claims_changed(alias, &before, &claims);
        self.spread((alias, page), &claims, from, first, structural, now);
        Some((claims, changed))
    }

    /// Sends a page to the neighbours that get it from here, and tells the others of it.
    fn spread(
        &mut self,
        key: PageKey,
        claims: &Claims,
        from: Option<&PeerId>,
        introduce: bool,
        structural: bool,
        now: Timestamp,
    ) {
        let own = self.publisher.alias;
        let ends: SmallVec<[Alias; MAX_RECORD_LINKS]> =
            claims.keys().map(|(end, _)| *end).collect();
        let near = self.neighbours.values().filter(|near| near.is_up());
        let near = near.filter_map(Neighbour::alias);
        let hops = self.graph.distance(&self.hops, key.0);
        let tree = self.graph.tree(key.0, &ends, own, near);
        for neighbour in self.neighbours.values_mut() {
            let Some(alias) = neighbour.alias().filter(|_| neighbour.is_up()) else { continue };
            if from == Some(&neighbour.peer) {
                neighbour.has(key);
                neighbour.tell(key, now + ACK_AFTER);
                continue;
            }
            match tree.duty(alias) {
                duty @ (Duty::Mine | Duty::Unknown) => {
                    let waits = !structural && neighbour.is_narrow(&self.config);
                    let wait = if waits { far_wait(hops) } else { Duration::ZERO };
                    neighbour.pass(key, wait, introduce, duty == Duty::Mine, now);
                }
                // One of the two tells; the other does when it is not told.
                Duty::Tell if own < alias => neighbour.tell(key, now + TELL_AFTER),
                Duty::Tell => neighbour.tell(key, now + TELL_AFTER * 2),
                Duty::Others => {}
            }
        }
    }

    /// The earliest time at which [`Self::on_timer`] may have something to do.
    pub const fn next_deadline(&self) -> Timestamp {
        self.due
    }

    /// Publishes, sends and forgets what is due.
    pub fn on_timer(&mut self, now: Timestamp) {
        if self.ageing_at <= now {
            self.ageing_at = now + AGEING;
            self.forget_old(now);
            self.judge(now);
        }
        if self.own.next_due(&self.publisher).is_some_and(|due| due <= now) {
            self.publish(now);
        }
        self.flush(now);
    }

    /// The next thing to be done. To be asked until there is none after each call.
    pub fn poll_command(&mut self) -> Option<Command> {
        self.commands.pop_front()
    }

    fn flush(&mut self, now: Timestamp) {
        self.roots.set(self.table.root(), now);
        if self.hops_at <= now {
            let own = self.neighbours.values().filter(|n| n.is_up()).filter_map(Neighbour::alias);
            if self.graph.count(&mut self.hops, self.publisher.alias, own) {
                self.hops_at = now + HOPS;
            }
        }
        let held = Held {
            table: &self.table,
            graph: &self.graph,
            hops: &self.hops,
            presence: Presence {
                introduction: self.publisher.introduction,
                listed: self.config.privacy != Privacy::Nothing,
            },
            root: self.table.root(),
            config: &self.config,
            crowded: self.roots.are_many(now),
        };
        let mut due = self.own.next_due(&self.publisher).unwrap_or(Timestamp::MAX);
        due = due.min(self.ageing_at);
        for (peer, neighbour) in &mut self.neighbours {
            let at = neighbour.not_before();
            if at > now && at >= due {
                continue;
            }
            let mut next = neighbour.next_due();
            if next <= now {
                for body in neighbour.flush(&held, now) {
                    self.metrics.bodies_sent += 1;
                    self.metrics.bytes_sent += body.len() as u64;
                    self.commands.push_back(Command::Transmit { to: *peer, body });
                }
                next = neighbour.next_due();
            }
            due = due.min(next);
        }
        self.due = due;
    }
}

/// How long a change of quality of an origin waits before it goes over a narrow link.
fn far_wait(hops: u16) -> Duration {
    match hops {
        ..=NEAR => Duration::ZERO,
        3..=4 => FAR_WAIT,
        5..=8 => FAR_WAIT * 2,
        _ => FAR_WAIT * 4,
    }
}
