//! A network that heals itself: two groups of nodes joined by a relay, over real sockets. The alert about
//! its risk fires, a link is made round the relay, and then the relay is killed.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bitcraps_monitor::{
    AlertKind, AlertState, HealingConfig, HealthIssue, MonitorConfig, Outcome, Rule,
};
use bitcraps_node::coordinator::{GamePacketType, Machine as _, Outcome as Delivery};
use bitcraps_node::engine::DialerConfig;
use bitcraps_node::transport_api::{Address, ConnectTarget, Hint, HintSource};
use bitcraps_node::transport_wifi::{Identity as LinkIdentity, WifiConfig, WifiTransport};
use bitcraps_node::{Identity, Node};
use bitcraps_topology::{Constraints, Graph, two_vertex_connected};
use bitcraps_types::{Epoch, Ratio, TransportType};
use serde::Serialize;
use tokio::task::JoinHandle;
use tokio::time::{Instant, interval, timeout};

use super::forwarder::Forwarder;
use super::{DemoError, GATHER, clock};

const NODES: usize = 7;
const RELAY: usize = 6;
/// Links at the start: each group among itself, and both with the relay.
const LINKS: [(u32, u32); 8] = [(0, 1), (1, 2), (0, 2), (3, 4), (4, 5), (3, 5), (2, 6), (3, 6)];
/// Offers: each node of a group could link with each of the other.
const OFFERS: usize = 18;
/// A network that one relay holds together is above this risk, one with two ways is not.
const RISKY: f64 = 0.05;
/// Time between two looks.
const LOOK: Duration = Duration::from_millis(5);
/// Longest wait for the alert and the links.
const HEAL: Duration = Duration::from_secs(20);
/// How long is watched whether more links are made than are needed.
const WATCH: Duration = Duration::from_secs(3);
/// Longest wait for a message round the relay that is gone.
const ARRIVE: Duration = Duration::from_secs(10);
/// Slowest repair after the alert that passes, in milliseconds.
pub(super) const REPAIR_MS: f64 = 2_000.0;

/// What came of the barbell.
#[derive(Debug, Clone, Serialize)]
pub(super) struct HealingReport {
    /// Nodes at which the alert about the risk of a split fired.
    pub(super) alerts_fired: usize,
    /// Links that healing made.
    pub(super) links_added: usize,
    /// The fewest that are enough.
    pub(super) links_optimum: usize,
    /// Whether any node of one group could not reach one of the other when the relay was gone.
    pub(super) split_after_kill: bool,
    /// Time from the first alert to the first link, in milliseconds.
    pub(super) repair_ms: Option<f64>,
}

impl HealingReport {
    /// In a line, for people.
    pub(super) fn text(&self) -> String {
        let Self { links_added, links_optimum, split_after_kill, repair_ms, .. } = self;
        let took = repair_ms.map_or("-".to_owned(), |ms| format!("{ms:.1} ms"));
        let end = if *split_after_kill { "split" } else { "nothing split" };
        format!(
            "{links_added} of {links_optimum} links made round a single relay, {took} after the alert; {end} \
             when it was killed"
        )
    }

    /// Every broken promise.
    pub(super) fn failures(&self) -> Vec<String> {
        let mut failures = Vec::new();
        if self.alerts_fired == 0 {
            failures.push("healing: no alert fired though one relay held the network".to_owned());
        }
        if self.links_added != self.links_optimum {
            failures.push(format!(
                "healing: {} links were made, {} are enough",
                self.links_added, self.links_optimum
            ));
        }
        if self.repair_ms.is_none_or(|ms| ms > REPAIR_MS) {
            failures.push(format!("healing: no link within {REPAIR_MS} ms of the alert"));
        }
        if self.split_after_kill {
            failures.push("healing: the groups were parted when the relay was killed".to_owned());
        }
        failures
    }
}

/// A node with an application that takes what comes, and where it listens.
struct Seat {
    node: Arc<Node>,
    at: SocketAddr,
    application: JoinHandle<()>,
}

impl Seat {
    async fn take(index: usize, seed: u64) -> Result<Self, DemoError> {
        let mut key = [0; 32];
        fastrand::Rng::with_seed(seed ^ (0xba << 8 | index as u64)).fill(&mut key);
        let identity = Identity::from_seed(&key);
        let host = SocketAddr::from((Ipv4Addr::new(127, 0, 1, 2 + index as u8), 0));
        let link_key = LinkIdentity::from(identity.signing_key().clone());
        let lan = WifiTransport::new(WifiConfig::new(vec![host]), link_key);
        let lan = Arc::new(lan.map_err(DemoError::Lan)?);
        let builder = Node::builder(&identity, Epoch(1))
            .dialer(DialerConfig { dial_discovered: false, ..DialerConfig::default() })
            .healing(healing(0))
            .transport(Arc::clone(&lan) as _);
        let node = Arc::new(builder.start().await?);
        let at = lan.local_addresses().first().copied().unwrap_or(host);
        let mut inbox = node.inbox();
        let application = tokio::spawn(async move { while inbox.recv().await.is_some() {} });
        Ok(Self { node, at, application })
    }

    async fn leave(&self) {
        self.node.shutdown().await;
        self.application.abort();
    }

    /// Tells the node where another one is.
    fn hear(&self, of: &Self, at: SocketAddr, source: HintSource) {
        let target = ConnectTarget {
            transport: TransportType::WiFiDirect,
            peer: of.node.id(),
            address: Address::new(at.to_string()),
            via: Some(Address::new(self.at.to_string())),
        };
        self.node.with(|engine, now| engine.discovered(Hint { target, source }, now));
    }

    fn is_alerted(&self) -> bool {
        self.node.with(|engine, now| {
            let health = engine.health();
            health.is_some_and(|health| {
                let alerts = health.monitor().alerts().active(now);
                alerts.iter().any(|alert| {
                    alert.key.kind == AlertKind::PartitionRisk && alert.state == AlertState::Firing
                })
            })
        })
    }

    /// Links that it made to heal the network.
    fn made(&self) -> usize {
        self.node.with(|engine, _| {
            let healing = engine.healing().map(|healing| healing.healer());
            let linked = |healer: &bitcraps_monitor::Healer| {
                healer.repairs().filter(|repair| repair.outcome == Outcome::Linked).count()
            };
            healing.map_or(0, linked)
        })
    }

    /// Whether it sees the network as it is, and knows of every link that could be made.
    fn sees_all(&self) -> bool {
        self.node.with(|engine, _| {
            engine.network().is_some_and(|network| {
                let topology = network.topology();
                let linked = topology.peers() == NODES && topology.linked_pairs() == LINKS.len();
                linked && network.offers().count() == OFFERS
            })
        })
    }
}

/// Healing of the risk of a split alone, by so many links at most.
fn healing(links: usize) -> HealingConfig {
    let mut config = HealingConfig::default();
    config.policies.iter_mut().for_each(|policy| policy.links = 0);
    let policy = &mut config.policies[HealthIssue::HighPartitionRisk.index()];
    (policy.threshold, policy.links) = (RISKY, links);
    config
}

/// Looks often, and has the alert fire at once.
fn watching() -> MonitorConfig {
    let mut config = MonitorConfig {
        health_check_interval: Duration::from_millis(500),
        partition_risk_alert_threshold: Ratio::clamped(RISKY),
        ..MonitorConfig::default()
    };
    for (kind, rule) in AlertKind::ALL.into_iter().zip(&mut config.rules) {
        if kind == AlertKind::PartitionRisk {
            *rule = Rule { hold: Duration::ZERO, ..*rule };
        }
    }
    config
}

/// Plays the scene with keys drawn from `seed`.
pub(super) async fn play(seed: u64) -> Result<HealingReport, DemoError> {
    let mut seats = Vec::new();
    for index in 0..NODES {
        seats.push(Seat::take(index, seed).await?);
    }
    let mut wires = Vec::new();
    for (a, b) in LINKS {
        let (a, b) = (&seats[a as usize], &seats[b as usize]);
        let (from, to) = if a.node.id() < b.node.id() { (a, b) } else { (b, a) };
        let wire = Forwarder::new(to.at, seed).await.map_err(DemoError::Wire)?;
        from.hear(to, wire.near, HintSource::Static);
        wires.push(wire);
    }
    for near in 0..3 {
        for far in 3..6 {
            // Found, and not linked: the groups are in range of each other.
            seats[near].hear(&seats[far], seats[far].at, HintSource::Beacon);
            seats[far].hear(&seats[near], seats[near].at, HintSource::Beacon);
        }
    }
    let mut look = interval(LOOK);
    let gathered = timeout(GATHER, async {
        while !seats.iter().all(Seat::sees_all) {
            look.tick().await;
        }
    });
    let gathered = gathered.await.is_ok();
    if !gathered {
        let ready = seats.iter().filter(|seat| seat.sees_all()).count();
        return Err(DemoError::NotGathered { after: GATHER, ready, wanted: NODES });
    }
    for seat in &seats {
        seat.node.with(|engine, now| {
            engine.watch_health(watching(), now);
            engine.heal(healing(NODES), now);
        });
    }
    let (mut alerted, mut repaired) = (None::<Instant>, None::<Instant>);
    let mut fired = [false; NODES];
    let begun = clock();
    while begun.elapsed() < HEAL && repaired.is_none_or(|at| at.elapsed() < WATCH) {
        look.tick().await;
        for (fired, seat) in fired.iter_mut().zip(&seats) {
            *fired |= seat.is_alerted();
        }
        if alerted.is_none() && fired.contains(&true) {
            alerted = Some(clock());
        }
        if repaired.is_none() && seats.iter().any(|seat| seat.made() > 0) {
            repaired = Some(clock());
        }
    }
    let links_added = seats.iter().map(Seat::made).sum();
    for (wire, (a, b)) in wires.iter().zip(LINKS) {
        if [a, b].contains(&(RELAY as u32)) {
            wire.lose(1_000);
        }
    }
    // Nobody hears it go.
    seats[RELAY].leave().await;
    let mut receipts = Vec::new();
    for near in &seats[..3] {
        for far in &seats[3..RELAY] {
            let options = GamePacketType::ChatMessage.options();
            receipts.push(near.node.send(far.node.id(), &b"still there?"[..], options));
        }
    }
    let mut split = false;
    let until = clock() + ARRIVE;
    for receipt in receipts {
        let arrived = match receipt {
            Ok(receipt) => {
                let outcome = tokio::time::timeout_at(until, receipt).await;
                matches!(outcome, Ok(Delivery::Delivered { .. }))
            }
            Err(_) => false,
        };
        split |= !arrived;
    }
    for seat in &seats[..RELAY] {
        seat.leave().await;
    }
    // A list of pairs of numbers below it.
    let barbell = Graph::from_links(NODES, &LINKS).unwrap_or_default();
    let optimum = two_vertex_connected(&barbell, usize::MAX, &Constraints::default()).len();
    let repair = alerted.zip(repaired).map(|(alerted, repaired)| {
        let time = repaired.saturating_duration_since(alerted);
        (time.as_secs_f64() * 1e4).round() / 10.0
    });
    Ok(HealingReport {
        alerts_fired: fired.into_iter().filter(|fired| *fired).count(),
        links_added,
        links_optimum: optimum,
        split_after_kill: split,
        repair_ms: repair,
    })
}

#[cfg(test)]
mod tests;
