//! What a node knows of the whole network, and tells of its own links.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::OnceLock;
use std::time::Duration;

use bitcraps_coordinator::{Core, LinkMeasures, Notice, SILENT_PROBES, Silence, Standing};
use bitcraps_linkstate::{
    Change, Command, Config, Flag, Link, LinkDatabase, LinkFacts, Metrics, Verified, alias_of,
};
use bitcraps_monitor::Offer;
use bitcraps_topology::{EdgeInfo, Topology};
use bitcraps_types::{Epoch, PeerId, Timestamp, TransportType};
use bitcraps_wire::{Alias, Body, HopHeader};
use bytes::Bytes;

use crate::chart::Chart;

/// How often links are measured anew, and databases compared with those of neighbours.
const LOOK: Duration = Duration::from_secs(1);
/// How often a link that came up is looked at until its first round trip is measured: what is not
/// measured is not told, because the other end may have measured it already.
const UNMEASURED: Duration = Duration::from_millis(20);
/// How long a link has to be silent, beside [`SILENT_PROBES`], before it is taken to lead nowhere.
const SILENCE: Duration = Duration::from_millis(1_500);
/// How often a link is looked at that may become silent.
const DOUBT: Duration = Duration::from_millis(100);

/// Whether nobody is at the other end of a link, as far as probes can tell.
pub(crate) fn is_silent(link: &LinkMeasures) -> bool {
    link.silence.is_some_and(|Silence { lasts, lost_probes }| {
        lasts >= SILENCE && lost_probes >= SILENT_PROBES
    })
}

/// The network as this node sees it.
///
/// Links with admitted peers are published, what such neighbours say of others is taken and passed
/// on, and both together are kept as a [`Topology`]. Strangers are told nothing and believed
/// nothing.
pub struct Network {
    database: LinkDatabase,
    topology: Topology,
    /// Of the topology as it is, once somebody has asked for ways.
    chart: OnceLock<Chart>,
    me: PeerId,
    /// Origins of records; others are in the topology as ends of links only.
    origins: BTreeSet<PeerId>,
    /// What the database was told of own links.
    told: BTreeMap<(PeerId, TransportType), LinkFacts>,
    look_at: Timestamp,
    /// Neighbours with links that were not measured yet or may be silent, and when they are looked at
    /// again.
    soon: BTreeSet<PeerId>,
    soon_at: Timestamp,
    /// Neighbours with links that the network is told no more of, because they are silent.
    silent: BTreeSet<PeerId>,
    /// A pair was linked or parted since somebody looked at ways.
    changed: bool,
    /// The same since somebody looked at how the network hangs together.
    reshaped: bool,
    elsewhere: bool,
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network").field("peers", &self.topology.peers()).finish_non_exhaustive()
    }
}

impl Network {
    /// Knows nothing but this node. `seed` is that of its key, `hash` keys the hash of ids.
    pub(crate) fn new(seed: &[u8; 32], config: Config, hash: u64, now: Timestamp) -> Self {
        let me = bitcraps_linkstate::peer_of(seed);
        let mut network = Self {
            database: LinkDatabase::new(seed, config, now),
            topology: Topology::new(hash),
            chart: OnceLock::new(),
            me,
            origins: BTreeSet::new(),
            told: BTreeMap::new(),
            look_at: now + LOOK,
            soon: BTreeSet::new(),
            soon_at: Timestamp::MAX,
            silent: BTreeSet::new(),
            changed: false,
            reshaped: false,
            elsewhere: false,
        };
        let _first = network.topology.note_node(&me, now);
        network
    }

    /// What is found to be signed is known to other nodes of this process, and the other way round.
    pub(crate) fn share(&mut self, verified: Verified) {
        self.database.share(verified);
    }

    /// The peers and links that are known.
    pub const fn topology(&self) -> &Topology {
        &self.topology
    }

    /// This node.
    pub(crate) const fn me(&self) -> PeerId {
        self.me
    }

    /// Everybody who publishes, ascending.
    pub fn peers(&self) -> impl Iterator<Item = PeerId> + '_ {
        self.origins.iter().copied()
    }

    /// Every link that counts, ascending.
    pub fn links(&self) -> impl Iterator<Item = Link> {
        self.database.links()
    }

    /// Links that peers say they could make, and have not.
    pub fn offers(&self) -> impl Iterator<Item = Offer> + '_ {
        let offers = self.database.offers();
        offers.map(|(from, to, transport)| Offer { from, to, transport })
    }

    /// Tells the network which links this node could make.
    pub(crate) fn offer(
        &mut self,
        offers: BTreeSet<(PeerId, TransportType)>,
        core: &mut Core,
        now: Timestamp,
    ) {
        self.database.set_offers(offers, now);
        self.act(core, now);
    }

    /// Whether a peer publishes its links.
    pub(crate) fn knows(&self, peer: &PeerId) -> bool {
        self.origins.contains(peer)
    }

    /// The incarnation in which a peer publishes.
    pub(crate) fn epoch_of(&self, peer: &PeerId) -> Option<Epoch> {
        self.database.epoch_of(peer)
    }

    /// What a relay knows a peer by.
    pub(crate) fn alias_of(&self, peer: &PeerId) -> Alias {
        alias_of(&self.database.published_key(peer).unwrap_or(*peer))
    }

    /// The neighbour that an alias stands for.
    pub(crate) fn neighbour_of(&self, alias: Alias) -> Option<PeerId> {
        self.database.neighbour_of(alias)
    }

    /// A session with a peer was completed.
    pub(crate) fn vouch(&mut self, peer: &PeerId, core: &mut Core, now: Timestamp) {
        self.database.on_session(peer);
        self.act(core, now);
    }

    /// A round trip to a peer was measured across relays.
    pub(crate) fn judge(&mut self, peer: &PeerId, trip: Duration, core: &mut Core, now: Timestamp) {
        self.database.on_round_trip(peer, trip);
        self.act(core, now);
    }

    /// Whether a pair was linked or parted since this was asked.
    pub(crate) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// Whether a pair was linked or parted since [`Self::seen_shape`].
    pub(crate) const fn is_reshaped(&self) -> bool {
        self.reshaped
    }

    /// How the network hangs together is looked at now.
    pub(crate) const fn seen_shape(&mut self) {
        self.reshaped = false;
    }

    /// Whether every link of a way is there.
    pub(crate) fn has_way(&self, way: &[PeerId]) -> bool {
        way.windows(2).all(|ends| self.are_linked(&ends[0], &ends[1]))
    }

    /// Up to `count` ways to a peer that share no other peer, the fastest first, both ends included;
    /// none when no chain of links that count leads to it. What a way costs is the time until a
    /// message is expected to have arrived. O(count (n + m) log n).
    pub fn ways(&self, to: &PeerId, count: usize) -> Vec<Vec<PeerId>> {
        self.ways_by(to, count, |_| true)
    }

    /// [`Self::ways`] that begin with a neighbour for which `may_begin` holds.
    pub(crate) fn ways_by(
        &self,
        to: &PeerId,
        count: usize,
        may_begin: impl Fn(&PeerId) -> bool,
    ) -> Vec<Vec<PeerId>> {
        let chart = self.chart.get_or_init(|| Chart::of(&self.topology));
        chart.ways(&self.topology, (&self.me, to), count, may_begin, &[])
    }

    /// The fastest way to a peer that begins with a neighbour for which `may_begin` holds and leads
    /// `round` some; empty when there is none.
    pub(crate) fn way_round(
        &self,
        to: &PeerId,
        round: &[PeerId],
        may_begin: impl Fn(&PeerId) -> bool,
    ) -> Vec<PeerId> {
        let chart = self.chart.get_or_init(|| Chart::of(&self.topology));
        let mut ways = chart.ways(&self.topology, (&self.me, to), 1, may_begin, round);
        ways.pop().unwrap_or_default()
    }

    /// What was found to be wrong with what a peer says.
    pub fn flags(&self, peer: &PeerId) -> impl Iterator<Item = Flag> + use<> {
        self.database.flags(peer)
    }

    /// Equal for nodes that know the same.
    pub fn root(&self) -> u64 {
        self.database.root()
    }

    /// What was sent and taken of link state.
    pub const fn metrics(&self) -> &Metrics {
        self.database.metrics()
    }

    /// Whether another device was seen to publish links under this node's key and epoch.
    pub const fn is_elsewhere(&self) -> bool {
        self.elsewhere
    }

    /// Takes up the links with a peer that are there already.
    pub(crate) fn meet(&mut self, peer: PeerId, core: &mut Core, now: Timestamp) {
        self.measure(peer, core, now);
        self.act(core, now);
    }

    /// Something has happened that concerns links to a peer.
    pub(crate) fn observe(&mut self, notice: &Notice, core: &mut Core) {
        let (peer, now) = match notice {
            Notice::LinkReady { peer, .. }
            | Notice::LinkGone { peer, .. }
            | Notice::LinkChanged { peer, .. }
            | Notice::PeerStanding { peer, .. } => (*peer, core.turn()),
            Notice::PeerIncarnation { peer, restarted, .. } => {
                let now = core.turn();
                if *restarted {
                    // What the former one had, this one lacks.
                    self.forget_links(*peer, now);
                }
                (*peer, now)
            }
            Notice::Failover { .. }
            | Notice::StoreFailed { .. }
            | Notice::PeerUnreachable { .. }
            | Notice::PeerForgotten { .. }
            | Notice::Admission { .. }
            | Notice::LookDue
            | Notice::EpochOutran { .. }
            | Notice::KeyConflict { .. } => return,
        };
        self.meet(peer, core, now);
    }

    fn forget_links(&mut self, peer: PeerId, now: Timestamp) {
        for transport in TransportType::ALL {
            if self.told.remove(&(peer, transport)).is_some() {
                self.database.on_link_down(&peer, transport, now);
            }
        }
    }

    fn look_soon(&mut self, peer: PeerId, at: Timestamp) {
        self.soon.insert(peer);
        self.soon_at = self.soon_at.min(at);
    }

    /// Tells the database what is measured of the links with a peer now; whether a radio that a
    /// frame would wake is all there is.
    fn measure(&mut self, peer: PeerId, core: &Core, now: Timestamp) -> bool {
        let may = core.standing(peer) == Some(Standing::Admitted) && !core.is_contested(peer, now);
        let links = may.then(|| core.measures(peer, now)).into_iter().flatten();
        let mut found: BTreeMap<TransportType, LinkFacts> = BTreeMap::new();
        let mut awake = false;
        self.soon.remove(&peer);
        self.silent.remove(&peer);
        for link in links {
            if is_silent(&link) {
                self.silent.insert(peer);
                continue;
            }
            if let Some(Silence { lost_probes: 1.., .. }) = link.silence {
                self.look_soon(peer, now + DOUBT);
            }
            awake |= link.awake;
            let Some(round_trip) = link.round_trip else {
                self.look_soon(peer, now + UNMEASURED);
                continue;
            };
            let facts = facts(&link, round_trip);
            let best = found.entry(link.transport).or_insert(facts);
            best.latency = best.latency.min(facts.latency);
            if best.reliability.get() < facts.reliability.get() {
                best.reliability = facts.reliability;
            }
            best.rate = best.rate.max(facts.rate);
            best.room = best.room.min(facts.room);
        }
        for transport in TransportType::ALL {
            let key = (peer, transport);
            match found.get(&transport) {
                Some(facts) => {
                    if self.told.insert(key, *facts) != Some(*facts) {
                        self.database.on_link(&peer, transport, *facts, now);
                        // A link is up when both ends have proved their keys.
                        self.database.on_session(&peer);
                    }
                }
                None => {
                    if self.told.remove(&key).is_some() {
                        self.database.on_link_down(&peer, transport, now);
                    }
                }
            }
        }
        awake
    }

    /// A neighbour told of links. What cannot be read is counted by the core's metrics of frames.
    pub(crate) fn hear(&mut self, peer: PeerId, body: Bytes, core: &mut Core, now: Timestamp) {
        // A body of somebody with whom no link is shared, or that is no link state, says nothing.
        if self.database.on_body(&peer, body, now).is_ok() {
            self.act(core, now);
        }
    }

    pub(crate) fn next_deadline(&self) -> Timestamp {
        self.database.next_deadline().min(self.look_at).min(self.soon_at)
    }

    /// Serves what is due; whether links were measured anew.
    pub(crate) fn on_timer(&mut self, core: &mut Core, now: Timestamp) -> bool {
        let looks = self.look_at <= now;
        if looks {
            self.look_at = now + LOOK;
            let mut neighbours = self.silent.clone();
            neighbours.extend(self.told.keys().map(|(peer, _)| *peer));
            for peer in neighbours {
                if self.measure(peer, core, now) {
                    self.database.on_probe(&peer, now);
                }
            }
        }
        if self.soon_at <= now {
            self.soon_at = Timestamp::MAX;
            for peer in std::mem::take(&mut self.soon) {
                self.measure(peer, core, now);
            }
        }
        self.database.on_timer(now);
        self.act(core, now);
        looks
    }

    /// Does what the database wants done.
    fn act(&mut self, core: &mut Core, now: Timestamp) {
        while let Some(command) = self.database.poll_command() {
            match command {
                Command::Transmit { to, body } => {
                    // What finds no link is lost, and sent again like anything that is lost.
                    let _sent = core.send_control_to(to, Body::LinkState(body), now);
                }
                Command::Changed(change) => self.apply(change, now),
                // Kept by the database, for whoever asks.
                Command::Flagged { .. } => {}
                Command::RaiseEpoch { above } => core.outrun(above),
                Command::KeyElsewhere => self.elsewhere = true,
            }
        }
    }

    fn apply(&mut self, change: Change, now: Timestamp) {
        match change {
            Change::Peer(peer) => {
                self.chart = OnceLock::new();
                self.origins.insert(peer);
                // For one that finds no room there is nothing to be seen.
                let _full = self.topology.note_node(&peer, now);
            }
            Change::PeerGone(peer) => {
                self.chart = OnceLock::new();
                self.origins.remove(&peer);
                self.remove_lone(&peer);
            }
            Change::Link(link) => {
                let quality = link.quality;
                let info = EdgeInfo::of_units(
                    quality.transport(),
                    quality.latency(),
                    quality.rate(),
                    quality.reliability(),
                    now,
                );
                let are_new = !self.are_linked(&link.a, &link.b);
                // More than a topology holds is not shown.
                if self.topology.note_edge(&link.a, &link.b, info, now).is_ok() {
                    self.follow(&link.a, &link.b, are_new);
                }
            }
            Change::LinkGone { a, b, transport } => {
                // One that found no room was not there.
                if self.topology.remove_edge(&a, &b, transport).is_ok() {
                    self.follow(&a, &b, !self.are_linked(&a, &b));
                    self.remove_lone(&a);
                    self.remove_lone(&b);
                }
            }
        }
    }

    fn are_linked(&self, a: &PeerId, b: &PeerId) -> bool {
        !self.topology.links_between(a, b).is_empty()
    }

    /// The links of a pair have changed, and, when that is `reshaped`, whether it has any.
    fn follow(&mut self, a: &PeerId, b: &PeerId, reshaped: bool) {
        self.changed |= reshaped;
        self.reshaped |= reshaped;
        if self.chart.get_mut().is_some_and(|chart| !chart.update(&self.topology, a, b)) {
            self.chart = OnceLock::new();
        }
    }

    /// Removes a peer of which nothing is known any more.
    fn remove_lone(&mut self, peer: &PeerId) {
        let lone = |node: &bitcraps_topology::NodeInfo| node.connections.is_empty();
        let known = self.origins.contains(peer) || *peer == self.me;
        if !known && self.topology.node(peer).as_ref().is_some_and(lone) {
            // It was found a line ago. Another may come to its slot.
            let _gone = self.topology.remove_node(peer);
            self.chart = OnceLock::new();
        }
    }
}

fn facts(link: &LinkMeasures, round_trip: Duration) -> LinkFacts {
    LinkFacts {
        latency: round_trip / 2,
        reliability: link.delivery,
        rate: link.goodput,
        room: link.max_frame.saturating_sub(HopHeader::LEN),
    }
}

#[cfg(test)]
mod tests;
