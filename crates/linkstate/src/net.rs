//! A network in virtual time, for tests and evaluations: databases, links between them, loss. It is
//! trusted: its methods panic on numbers of nodes that there are not.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use crate::{Change, Command, Config, Flag, Link, LinkDatabase, LinkFacts, Verified};
use bitcraps_types::{Epoch, Kbps, PeerId, Ratio, Timestamp, TransportType};
use bytes::Bytes;
use fastrand::Rng;

/// Header of a frame.
pub const FRAME: usize = 20;
/// Time between two probes of a neighbour.
pub const PROBE: Duration = Duration::from_secs(1);

/// Ends, the lower first, and what carries it.
pub type LinkName = (PeerId, PeerId, TransportType);

/// One node.
pub struct Node {
    /// Its database.
    pub db: LinkDatabase,
    /// Its key.
    pub id: PeerId,
    /// How its database is steered.
    pub config: Config,
    /// Whether it is there.
    pub alive: bool,
    /// What the announced changes add up to.
    pub view: BTreeMap<LinkName, Link>,
    /// The sum of the hashes of what is in the view, by which views are told apart at once.
    seen: u64,
    /// Origins that were announced and not taken back.
    pub peers: BTreeSet<PeerId>,
    /// Who was flagged, and why.
    pub flagged: Vec<(PeerId, Flag)>,
    /// Everything else that its database wanted done.
    pub others: Vec<Command>,
    /// Bytes sent, frame headers included.
    pub sent: u64,
    /// Bodies sent.
    pub frames: u64,
    timer: Option<Timestamp>,
    seed: [u8; 32],
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrive { to: usize, from: usize, transport: usize, body: Bytes },
    Timer(usize),
    Probe(usize),
}

/// The network.
pub struct Net {
    /// By number.
    pub nodes: Vec<Node>,
    /// The present moment.
    pub now: Timestamp,
    /// Links that are up, and their latency.
    pub links: BTreeMap<(usize, usize, TransportType), Duration>,
    queue: BinaryHeap<Reverse<(Timestamp, u64, Event)>>,
    number: u64,
    /// What decides losses.
    pub rng: Rng,
    /// Probability that a body is lost.
    pub loss: f64,
    /// Bytes of the largest body that was sent.
    pub largest: usize,
    /// Bodies that were not read.
    pub unread: u64,
    ids: BTreeMap<PeerId, usize>,
    /// What any of the databases found to be signed.
    verified: Verified,
}

/// The Ed25519 seed of a node.
pub fn seed(number: usize) -> [u8; 32] {
    let mut seed = [0x5E; 32];
    seed[..8].copy_from_slice(&(number as u64).to_be_bytes());
    seed
}

/// A link of 10 Mbit/s without losses.
pub fn facts(latency: Duration) -> LinkFacts {
    let rate = Kbps::at_least_one(10_000);
    LinkFacts { latency, reliability: Ratio::ONE, rate, room: 1_100 }
}

impl Net {
    /// Without nodes.
    pub fn new(seed: u64) -> Self {
        Self {
            nodes: Vec::new(),
            now: Timestamp::from_millis(1_000),
            links: BTreeMap::new(),
            queue: BinaryHeap::new(),
            number: 0,
            rng: Rng::with_seed(seed),
            loss: 0.0,
            largest: 0,
            unread: 0,
            ids: BTreeMap::new(),
            verified: Verified::default(),
        }
    }

    /// Adds a node, and gives its number.
    pub fn add(&mut self, change: impl FnOnce(&mut Config)) -> usize {
        let number = self.nodes.len();
        let mut config = Config::new(Epoch(1));
        change(&mut config);
        let seed = seed(number);
        let id = PeerId::from_bytes(
            ed25519_dalek::SigningKey::from_bytes(&seed).verifying_key().to_bytes(),
        );
        let mut db = LinkDatabase::new(&seed, config, self.now);
        db.share(self.verified.clone());
        self.nodes.push(Node {
            db,
            id,
            config,
            alive: true,
            view: BTreeMap::new(),
            seen: 0,
            peers: BTreeSet::new(),
            flagged: Vec::new(),
            others: Vec::new(),
            sent: 0,
            frames: 0,
            timer: None,
            seed,
        });
        self.ids.insert(id, number);
        let first = PROBE.mul_f64(self.rng.f64());
        self.push(self.now + first, Event::Probe(number));
        number
    }

    fn push(&mut self, at: Timestamp, event: Event) {
        self.number += 1;
        self.queue.push(Reverse((at, self.number, event)));
    }

    /// Links two nodes over Wi-Fi.
    pub fn link(&mut self, a: usize, b: usize, latency: Duration) {
        self.link_over(a, b, TransportType::WiFiDirect, facts(latency));
    }

    /// Links two nodes; told again, the link has other facts.
    pub fn link_over(&mut self, a: usize, b: usize, over: TransportType, facts: LinkFacts) {
        self.links.insert((a.min(b), a.max(b), over), facts.latency);
        for (node, peer) in [(a, b), (b, a)] {
            let peer = self.nodes[peer].id;
            if self.nodes[node].alive {
                self.nodes[node].db.on_link(&peer, over, facts, self.now);
                self.drain(node);
            }
        }
    }

    /// Takes a link away; both ends notice at once.
    pub fn unlink(&mut self, a: usize, b: usize) {
        self.unlink_over(a, b, TransportType::WiFiDirect);
    }

    /// Takes a link away; both ends notice at once.
    pub fn unlink_over(&mut self, a: usize, b: usize, over: TransportType) {
        self.links.remove(&(a.min(b), a.max(b), over));
        for (node, peer) in [(a, b), (b, a)] {
            let peer = self.nodes[peer].id;
            if self.nodes[node].alive {
                self.nodes[node].db.on_link_down(&peer, over, self.now);
                self.drain(node);
            }
        }
    }

    /// A node dies; its neighbours notice at once.
    pub fn kill(&mut self, node: usize) {
        self.nodes[node].alive = false;
        let links: Vec<_> = self.links.keys().copied().collect();
        for (a, b, over) in links.into_iter().filter(|(a, b, _)| *a == node || *b == node) {
            self.unlink_over(a, b, over);
        }
    }

    /// A node starts again, in its next epoch and without memory.
    pub fn restart(&mut self, node: usize) {
        let Epoch(epoch) = self.nodes[node].config.epoch;
        self.restart_in(node, Epoch(epoch + 1));
    }

    /// A node starts again, without memory.
    pub fn restart_in(&mut self, node: usize, epoch: Epoch) {
        let now = self.now;
        let node = &mut self.nodes[node];
        node.config.epoch = epoch;
        node.db = LinkDatabase::new(&node.seed, node.config, now);
        node.db.share(self.verified.clone());
        node.view.clear();
        node.seen = 0;
        node.peers.clear();
        node.alive = true;
        node.timer = None;
    }

    /// Does what a node's database wants done.
    pub fn drain(&mut self, number: usize) {
        while let Some(command) = self.nodes[number].db.poll_command() {
            match command {
                Command::Transmit { to, body } => self.transmit(number, &to, body),
                Command::Changed(change) => self.nodes[number].apply(change),
                Command::Flagged { peer, flag } => self.nodes[number].flagged.push((peer, flag)),
                other => self.nodes[number].others.push(other),
            }
        }
        let next = self.nodes[number].db.next_deadline().max(self.now);
        if self.nodes[number].timer != Some(next) {
            self.nodes[number].timer = Some(next);
            self.push(next, Event::Timer(number));
        }
    }

    fn transmit(&mut self, from: usize, to: &PeerId, body: Bytes) {
        let to = self.ids[to];
        self.largest = self.largest.max(body.len());
        self.nodes[from].sent += (body.len() + FRAME) as u64;
        self.nodes[from].frames += 1;
        let over =
            |over: &TransportType| self.links.contains_key(&(from.min(to), from.max(to), *over));
        let Some(over) = TransportType::ALL.into_iter().rev().find(over) else { return };
        if self.rng.f64() < self.loss {
            return;
        }
        let latency = self.links[&(from.min(to), from.max(to), over)];
        let arrives = self.now + latency.mul_f64(0.9 + 0.2 * self.rng.f64());
        self.push(arrives, Event::Arrive { to, from, transport: over.index(), body });
    }

    /// Sends a body as if `from` had made it.
    pub fn inject(&mut self, from: usize, to: usize, body: Bytes) {
        let id = self.nodes[to].id;
        self.transmit(from, &id, body);
    }

    fn step(&mut self) {
        let Some(Reverse((at, _, event))) = self.queue.pop() else { return };
        self.now = at;
        match event {
            Event::Arrive { to, from, transport, body } => {
                let over = TransportType::ALL[transport];
                let up = self.links.contains_key(&(from.min(to), from.max(to), over));
                if up && self.nodes[to].alive {
                    let id = self.nodes[from].id;
                    self.unread += u64::from(self.nodes[to].db.on_body(&id, body, at).is_err());
                    self.drain(to);
                }
            }
            Event::Timer(node) => {
                if self.nodes[node].timer == Some(at) && self.nodes[node].alive {
                    self.nodes[node].timer = None;
                    self.nodes[node].db.on_timer(at);
                    self.drain(node);
                }
            }
            Event::Probe(node) => {
                self.push(at + PROBE, Event::Probe(node));
                if self.nodes[node].alive {
                    for other in self.neighbours(node) {
                        let id = self.nodes[other].id;
                        self.nodes[node].db.on_probe(&id, at);
                    }
                    self.drain(node);
                }
            }
        }
    }

    /// With whom a node is linked.
    pub fn neighbours(&self, node: usize) -> BTreeSet<usize> {
        let pairs = self.links.keys();
        let other = |(a, b, _): &(usize, usize, _)| match node {
            _ if node == *a => Some(*b),
            _ if node == *b => Some(*a),
            _ => None,
        };
        pairs.filter_map(other).collect()
    }

    /// Runs for a time.
    pub fn run(&mut self, time: Duration) {
        let until = self.now + time;
        self.run_until(until, |_| false);
        self.now = until;
    }

    /// Runs until `done`, asked after each event, or until a time; whether it was done.
    pub fn run_until(&mut self, until: Timestamp, mut done: impl FnMut(&Self) -> bool) -> bool {
        while !done(self) {
            if self.queue.peek().is_none_or(|Reverse((at, ..))| *at > until) {
                return false;
            }
            self.step();
        }
        true
    }

    /// How long it takes until `done`, up to a limit.
    pub fn time_until(
        &mut self,
        limit: Duration,
        done: impl FnMut(&Self) -> bool,
    ) -> Option<Duration> {
        let start = self.now;
        self.run_until(start + limit, done).then(|| self.now.since(start))
    }

    /// The nodes that are there.
    pub fn alive(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| node.alive)
    }

    /// Whether all databases are equal.
    pub fn is_equal(&self) -> bool {
        let mut roots = self.alive().map(|node| node.db.root());
        let first = roots.next();
        roots.all(|root| Some(root) == first)
    }

    /// The links there are, as a view names them.
    pub fn truth(&self) -> BTreeSet<LinkName> {
        let alive = |(a, b, _): &&(usize, usize, _)| self.nodes[*a].alive && self.nodes[*b].alive;
        let named = self.links.keys().filter(alive).map(|(a, b, over)| {
            let (a, b) = (self.nodes[*a].id, self.nodes[*b].id);
            (a.min(b), a.max(b), *over)
        });
        named.collect()
    }

    /// Whether every node sees exactly these links.
    pub fn all_see(&self, truth: &BTreeSet<LinkName>) -> bool {
        let sum = sum(truth);
        self.alive().all(|node| node.seen == sum && node.view.len() == truth.len())
    }

    /// Bytes sent by all, frame headers included.
    pub fn sent(&self) -> u64 {
        self.nodes.iter().map(|node| node.sent).sum()
    }

    /// Panics unless every node's view is what its database says, and every body was read.
    pub fn check(&self) {
        assert_eq!(self.unread, 0, "a body was not read");
        for node in self.alive() {
            let links =
                node.db.links().map(|link| ((link.a, link.b, link.quality.transport()), link));
            assert_eq!(node.view, links.collect(), "changes add up");
            assert_eq!(node.seen, sum(node.view.keys()), "and so do their hashes");
        }
    }

    /// Hops from a node to every node that it reaches.
    pub fn hops(&self, from: usize) -> BTreeMap<usize, usize> {
        let mut seen = BTreeMap::from([(from, 0)]);
        let mut open = VecDeque::from([from]);
        while let Some(node) = open.pop_front() {
            for other in self.neighbours(node) {
                if !seen.contains_key(&other) {
                    seen.insert(other, seen[&node] + 1);
                    open.push_back(other);
                }
            }
        }
        seen
    }

    /// Hops between the two nodes farthest apart.
    pub fn diameter(&self) -> usize {
        let far = |from: usize| self.hops(from).into_values().max().unwrap_or(0);
        (0..self.nodes.len()).map(far).max().unwrap_or(0)
    }

    /// Links without all of which everybody still reaches everybody, in random order.
    pub fn spare_links(&mut self, count: usize) -> Vec<(usize, usize)> {
        let mut all: Vec<_> = self.links.keys().map(|(a, b, _)| (*a, *b)).collect();
        self.rng.shuffle(&mut all);
        let key = |(a, b)| (a, b, TransportType::WiFiDirect);
        let mut spare = BTreeMap::new();
        for link in all {
            let Some(latency) = self.links.remove(&key(link)) else { continue };
            if spare.len() < count && self.hops(link.0).contains_key(&link.1) {
                spare.insert(link, latency);
            } else {
                self.links.insert(key(link), latency);
            }
        }
        self.links.extend(spare.iter().map(|(link, latency)| (key(*link), *latency)));
        let mut spare: Vec<_> = spare.into_keys().collect();
        self.rng.shuffle(&mut spare);
        spare
    }

    /// Points in a unit square, linked when near: `nodes` of them, connected, with about `degree`
    /// links each.
    pub fn geometric(seed: u64, nodes: usize, degree: f64, latency: Duration) -> Self {
        let mut net = Self::new(seed);
        // Refreshes have their own tests; here they would be in the way of equality.
        let hour = Duration::from_secs(3_600);
        for _ in 0..nodes {
            net.add(|config| config.refresh = hour);
        }
        let places: Vec<(f64, f64)> = (0..nodes).map(|_| (net.rng.f64(), net.rng.f64())).collect();
        let square = |a: usize, b: usize| {
            let (dx, dy) = (places[a].0 - places[b].0, places[a].1 - places[b].1);
            dx * dx + dy * dy
        };
        let reach = degree / (std::f64::consts::PI * nodes as f64);
        for a in 0..nodes {
            for b in 0..a {
                if square(a, b) < reach {
                    net.link(a, b, latency);
                }
            }
        }
        // What is apart is joined at its nearest points.
        loop {
            let mut joined = BTreeSet::from([0]);
            let mut open = vec![0];
            while let Some(node) = open.pop() {
                open.extend(net.neighbours(node).into_iter().filter(|other| joined.insert(*other)));
            }
            let apart: Vec<_> = (0..nodes).filter(|node| !joined.contains(node)).collect();
            let pairs = apart.iter().flat_map(|a| joined.iter().map(move |b| (*a, *b)));
            let nearest = pairs.min_by(|x, y| square(x.0, x.1).total_cmp(&square(y.0, y.1)));
            let Some((a, b)) = nearest else { return net };
            net.link(a, b, latency);
        }
    }
}

/// The sum of the hashes of some links.
fn sum<'a>(names: impl IntoIterator<Item = &'a LinkName>) -> u64 {
    let hash = |name: &LinkName| {
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        hasher.finish()
    };
    names.into_iter().map(hash).fold(0, u64::wrapping_add)
}

impl Node {
    fn apply(&mut self, change: Change) {
        match change {
            Change::Link(link) => {
                let name = (link.a, link.b, link.quality.transport());
                if self.view.insert(name, link).is_none() {
                    self.seen = self.seen.wrapping_add(sum([&name]));
                }
            }
            Change::LinkGone { a, b, transport } => {
                let gone = self.view.remove(&(a, b, transport));
                assert!(gone.is_some(), "a link went that was not there");
                self.seen = self.seen.wrapping_sub(sum([&(a, b, transport)]));
            }
            Change::Peer(peer) => assert!(self.peers.insert(peer), "a peer came twice"),
            Change::PeerGone(peer) => {
                assert!(self.peers.remove(&peer), "a peer went that was not there");
            }
        }
    }
}
