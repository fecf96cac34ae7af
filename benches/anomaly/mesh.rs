//! Simulated networks of production engines with traffic, fading links, and faults that are known.

use std::collections::BTreeSet;
use std::time::Duration;

use bitcraps_coordinator::SendOptions;
use bitcraps_linkstate::forger::{Forger, body};
use bitcraps_linkstate::{Config, alias_of};
use bitcraps_monitor::{AlertKind, Change, MonitorConfig};
use bitcraps_sim::{
    Death, Fate, Fault, LinkModel, NodeId, NodeSetup, Return, SimLink, Simulation, Way,
};
use bitcraps_types::{Epoch, PeerId, Ratio, TrafficClass};
use bitcraps_wire::{Body, Frame, HopHeader, NO_DEADLINE};
use bytes::Bytes;
use fastrand::Rng;

use super::rivals::normal;

/// Time between two looks.
pub(super) const TICK: Duration = Duration::from_secs(5);
/// Peers of a network: a hall.
pub(super) const PEERS: usize = 12;
/// Side of the hall, and how far Wi-Fi and Bluetooth carry in it, in metres.
const SIDE: f64 = 60.0;
const WIFI: f64 = 28.0;
const BLUETOOTH: f64 = 12.0;
/// Share of links that fade to another loss in a tick, and how far, as deviation of its logarithm.
const FADES: f64 = 0.02;
const FADING: f64 = 0.7;
/// Most that a link loses while nothing is wrong.
const MOST_LOSS: f64 = 0.08;
/// Bytes of a message, by class.
const BYTES: [usize; TrafficClass::COUNT] = [40, 200, 600, 4_000];
/// Time between two occasions to lie.
const LIES: Duration = Duration::from_secs(1);
/// Share of frames that a jammed node, or one direction of its links, loses by severity.
const LOSSES: [f64; Ailment::SEVERITIES] = [0.1, 0.2, 0.35, 0.5, 0.7, 0.95];

/// What may befall a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ailment {
    /// Every link of a peer loses frames, both ways.
    Jammed,
    /// Every link of a peer loses the frames that it sends.
    Asymmetric,
    /// A peer says what nobody signed: the more severe, the more often.
    Liar,
    /// A peer is gone without a word: the more severe, the more links it had.
    BatteryDeath,
    /// So many peers lose all links with the others.
    Partition,
}

impl Ailment {
    pub(super) const ALL: [Self; 5] =
        [Self::Jammed, Self::Asymmetric, Self::Liar, Self::BatteryDeath, Self::Partition];
    /// How many severities there are; the first is 1.
    pub(super) const SEVERITIES: usize = 6;

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Jammed => "jammed node",
            Self::Asymmetric => "asymmetric loss",
            Self::Liar => "liar",
            Self::BatteryDeath => "battery death",
            Self::Partition => "partition",
        }
    }
}

/// An emulated link with what it is like while nothing is wrong.
#[derive(Clone, Copy)]
struct Wire {
    ends: [usize; 2],
    link: SimLink,
    model: LinkModel,
}

impl Wire {
    fn touches(&self, peer: usize) -> bool {
        self.ends.contains(&peer)
    }
}

pub(super) struct Mesh {
    sim: Simulation,
    nodes: Vec<NodeId>,
    wires: Vec<Wire>,
    /// Peers whose links do not fade: something ails them.
    ailing: BTreeSet<usize>,
    rng: Rng,
}

impl Mesh {
    /// Peers at random places of a hall, all connected, that watch their network.
    pub(super) fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let mut sim = Simulation::new(seed);
        let publishes = |setup: &mut NodeSetup| setup.network = Some(Config::new(Epoch(1)));
        let nodes: Vec<NodeId> = (0..PEERS).map(|_| sim.add_node_with(publishes)).collect();
        let mut wires = Vec::new();
        for (a, b, far) in near_pairs(&mut rng) {
            let mut add = |model: LinkModel| {
                let link = sim.add_link(nodes[a], nodes[b], model);
                wires.push(Wire { ends: [a, b], link, model });
            };
            let loss = Ratio::clamped(0.001 + 0.02 * (far / WIFI).powi(4));
            add(LinkModel { loss, ..LinkModel::wifi() });
            if far < BLUETOOTH {
                add(LinkModel::bluetooth_le());
            }
        }
        for node in &nodes {
            sim.with_engine(*node, |engine, now| {
                engine.watch_health(MonitorConfig::default(), now)
            });
        }
        Self { sim, nodes, wires, ailing: BTreeSet::new(), rng }
    }

    /// One tick: each peer sends a message a second on average, to anybody and of any class.
    pub(super) fn tick(&mut self) {
        for from in 0..PEERS {
            let mut at = 0.0;
            loop {
                at -= (1.0 - self.rng.f64()).ln();
                let (to, class) = (self.rng.usize(..PEERS), self.rng.usize(..TrafficClass::COUNT));
                if at >= TICK.as_secs_f64() {
                    break;
                }
                if to == from {
                    continue;
                }
                let ([from, to], len) = ([from, to].map(|peer| self.nodes[peer]), BYTES[class]);
                let options = SendOptions::new(TrafficClass::ALL[class]);
                self.sim.at(self.sim.now() + Duration::from_secs_f64(at), move |sim| {
                    if sim.engine(from).is_some() {
                        sim.send(from, to, len, options, None);
                    }
                });
            }
        }
        for wire in &self.wires {
            let fades =
                self.rng.f64() < FADES && wire.ends.iter().all(|end| !self.ailing.contains(end));
            if fades {
                let loss = wire.model.loss.get() * (FADING * normal(&mut self.rng)).exp();
                let loss = Fault::Loss(Ratio::clamped(loss.min(MOST_LOSS)));
                self.sim.fault(wire.link, Way::Both, loss);
            }
        }
        self.sim.run_for(TICK);
    }

    /// Alerts that began to fire at any peer since this was asked before, with what they are about.
    pub(super) fn fired(&mut self) -> Vec<(AlertKind, String)> {
        let mut fired = Vec::new();
        for node in &self.nodes {
            if self.sim.engine(*node).is_none() {
                continue;
            }
            self.sim.with_engine(*node, |engine, _| {
                let Some(health) = engine.health_mut() else { return };
                let alerts = health.monitor_mut().alerts_mut();
                while let Some(change) = alerts.poll_transition() {
                    if change.change == Change::Fired {
                        fired.push((change.key.kind, change.what));
                    }
                }
            });
        }
        fired
    }

    /// Something befalls a peer, or some.
    pub(super) fn strike(&mut self, ailment: Ailment, severity: usize) {
        let victim = self.rng.usize(..PEERS);
        let loss = Fault::Loss(Ratio::clamped(LOSSES[severity - 1]));
        match ailment {
            Ailment::Jammed => self.afflict(victim, Way::Both, loss),
            Ailment::Asymmetric => self.afflict(victim, Way::From(self.nodes[victim]), loss),
            Ailment::Liar => self.lie(victim, severity as f64 / Ailment::SEVERITIES as f64),
            Ailment::BatteryDeath => {
                let mut peers: Vec<usize> = (0..PEERS).collect();
                peers.sort_by_key(|peer| self.wires.iter().filter(|w| w.touches(*peer)).count());
                let victim = peers[severity * PEERS / Ailment::SEVERITIES - 1];
                self.ailing.insert(victim);
                self.sim.kill(self.nodes[victim], Death::Silent);
            }
            Ailment::Partition => {
                self.ailing = self.around(victim, severity);
                for wire in self.cut() {
                    self.sim.fault(wire.link, Way::Both, Fault::BlackHole(true));
                }
            }
        }
    }

    /// All is as it was before the last strike.
    pub(super) fn recover(&mut self, ailment: Ailment) {
        match ailment {
            Ailment::Jammed | Ailment::Asymmetric => {
                for wire in self.wires.clone() {
                    if wire.ends.iter().any(|end| self.ailing.contains(end)) {
                        self.sim.fault(wire.link, Way::Both, Fault::Loss(wire.model.loss));
                    }
                }
            }
            // Its lies have an end of their own.
            Ailment::Liar => {}
            Ailment::BatteryDeath => {
                for peer in self.ailing.clone() {
                    let node = self.nodes[peer];
                    self.sim.restart(node, Return::NewLinks);
                    self.sim.with_engine(node, |engine, now| {
                        engine.watch_health(MonitorConfig::default(), now);
                    });
                }
            }
            Ailment::Partition => {
                for wire in self.cut() {
                    self.sim.fault(wire.link, Way::Both, Fault::BlackHole(false));
                }
            }
        }
        self.ailing.clear();
    }

    fn afflict(&mut self, victim: usize, way: Way, loss: Fault) {
        self.ailing.insert(victim);
        for wire in self.wires.iter().filter(|wire| wire.touches(victim)) {
            self.sim.fault(wire.link, way, loss);
        }
    }

    /// While it lasts, each second and with this probability, a peer tells each neighbour what nobody
    /// signed: that another peer is linked with nobody. It rides on whatever passes next; what is told
    /// of links passes too seldom in a calm network for lies to be told with it.
    fn lie(&mut self, victim: usize, share: f64) {
        self.ailing.insert(victim);
        let other = self.sim.peer_id(self.nodes[(victim + 1) % PEERS]);
        let lie = unsigned(&other);
        let end = self.sim.now() + super::LASTS as u32 * TICK;
        for wire in self.wires.clone().into_iter().filter(|wire| wire.touches(victim)) {
            let (lie, mut rng, mut next) = (lie.clone(), self.rng.fork(), self.sim.now());
            self.sim.rule(wire.link, Way::From(self.nodes[victim]), move |passing| {
                if passing.at > end || passing.at < next {
                    return Fate::Pass;
                }
                next = passing.at + LIES;
                let Some(Frame { header, .. }) = passing.decoded().filter(|_| rng.f64() < share)
                else {
                    return Fate::Pass;
                };
                let header = HopHeader { ttl: 1, deadline_ms: NO_DEADLINE, link_seq: 0, ..header };
                let body = Body::LinkState(lie.clone());
                let lie = Frame { header, hop_ack: None, route: None, body };
                Fate::Replace(vec![passing.frame.clone(), lie.encode()])
            });
        }
    }

    /// A peer and those nearest to it, as many as that.
    fn around(&self, peer: usize, many: usize) -> BTreeSet<usize> {
        let mut part = vec![peer];
        let mut at = 0;
        while let Some(here) = part.get(at).copied() {
            for wire in self.wires.iter().filter(|wire| wire.touches(here)) {
                let [a, b] = wire.ends;
                let there = if a == here { b } else { a };
                if part.len() < many && !part.contains(&there) {
                    part.push(there);
                }
            }
            at += 1;
        }
        part.into_iter().collect()
    }

    /// Wires between those that ail and the others.
    fn cut(&self) -> Vec<Wire> {
        let between = |wire: &&Wire| {
            self.ailing.contains(&wire.ends[0]) != self.ailing.contains(&wire.ends[1])
        };
        self.wires.iter().filter(between).copied().collect()
    }
}

fn unsigned(other: &PeerId) -> Bytes {
    let forger = Forger::new(900, 1);
    let mut record = forger.record(9, 0, &[]);
    record.version.alias = alias_of(other);
    body(vec![forger.carried(record)])
}

/// Pairs of peers within reach of each other and how far they are apart, of places at which all are
/// connected.
fn near_pairs(rng: &mut Rng) -> Vec<(usize, usize, f64)> {
    loop {
        let places: Vec<(f64, f64)> =
            (0..PEERS).map(|_| (rng.f64() * SIDE, rng.f64() * SIDE)).collect();
        let mut pairs = Vec::new();
        for a in 0..PEERS {
            for b in a + 1..PEERS {
                let far = (places[a].0 - places[b].0).hypot(places[a].1 - places[b].1);
                if far < WIFI {
                    pairs.push((a, b, far));
                }
            }
        }
        let mut reached = BTreeSet::from([0]);
        while let Some((a, b, _)) =
            pairs.iter().find(|(a, b, _)| reached.contains(a) != reached.contains(b))
        {
            reached.extend([*a, *b]);
        }
        if reached.len() == PEERS {
            return pairs;
        }
    }
}
