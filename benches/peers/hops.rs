//! Nodes that share no link: what a message costs across relays, and how soon it goes another way
//! when the relay in use dies. Whole nodes of the product over loopback sockets.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bitcraps_coordinator::{Outcome, SendOptions};
use bitcraps_node::{Identity, Node};
use bitcraps_transport_wifi::{StaticPeer, WifiConfig, WifiTransport};
use bitcraps_types::{Epoch, PeerId, TrafficClass};
use bytes::Bytes;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::books::{BYTES, EVERY, lock};
use super::node::{LOOK, PATIENCE};
use super::relay::Relay;
use crate::clock::wall;
use crate::sample::{median, quantile};
use crate::{Arguments, Failure, Report, Row};

/// Relays between the ends of a diamond.
const RELAYS: usize = 2;
/// Before a relay dies: both ways are measured by then.
const WARM: Duration = Duration::from_millis(1_500);
/// After it: longer than the slowest return that is judged.
const AFTER: Duration = Duration::from_millis(600);
const DRAIN: Duration = Duration::from_secs(20);
const ROUNDS: usize = 7;
/// Deaths at the same time.
const LANES: usize = 4;
/// Hops of the long row.
const HOPS: usize = 4;

/// Measures both.
pub(super) async fn run(arguments: &Arguments, report: &mut Report) -> Result<(), Failure> {
    rows(arguments, report).await?;
    deaths(arguments, report).await
}

fn address(net: u8, node: usize) -> SocketAddr {
    SocketAddr::new(IpAddr::from([127, 0, net, 10 + node as u8]), 0)
}

/// Nodes and the links between them, each through a forwarder or none.
struct Scene {
    nodes: Vec<Node>,
    forwarders: Vec<((usize, usize), Relay)>,
    applications: JoinSet<()>,
    /// When the last node was handed each message, by number.
    received: Arc<Mutex<BTreeMap<u64, Vec<u64>>>>,
}

impl Scene {
    /// Nodes linked in the pairs that are named: the higher one dials. In a net of its own.
    async fn set(
        net: u8,
        count: usize,
        pairs: &[(usize, usize)],
        mortal: bool,
    ) -> Result<Self, Failure> {
        let mut scene = Self {
            nodes: Vec::new(),
            forwarders: Vec::new(),
            applications: JoinSet::new(),
            received: Arc::default(),
        };
        let mut listening: Vec<SocketAddr> = Vec::new();
        for number in 0..count {
            let mut lan = WifiConfig::new(vec![address(net, number)]);
            for pair in pairs.iter().filter(|(_, higher)| *higher == number) {
                let (peer, mut address) = (scene.nodes[pair.0].id(), listening[pair.0]);
                if mortal {
                    let forwarder = Relay::start(address.ip(), address).await?;
                    address = forwarder.front;
                    scene.forwarders.push((*pair, forwarder));
                }
                lan.statics.push(StaticPeer { peer, address, via: None });
            }
            let mut seed = [net; 32];
            seed[0] = number as u8;
            let identity = Identity::from_seed(&seed);
            let lan = WifiTransport::new(lan, identity.signing_key().clone().into());
            let lan = Arc::new(lan.map_err(|e| Failure::broken("LAN transport", e))?);
            let node = Node::builder(&identity, Epoch(1)).transport(lan.clone()).start().await;
            let node = node.map_err(|e| Failure::broken("node", e))?;
            let (mut inbox, received) = (node.inbox(), Arc::clone(&scene.received));
            scene.applications.spawn(async move {
                while let Some(delivery) = inbox.recv().await {
                    let head = delivery.payload.first_chunk().filter(|_| number + 1 == count);
                    if let Some(head) = head {
                        let number = u64::from_le_bytes(*head);
                        lock(&received).entry(number).or_default().push(wall());
                    }
                }
            });
            scene.nodes.push(node);
            listening.extend(lan.local_addresses());
        }
        Ok(scene)
    }

    /// Nobody hears anything of a node any more, or all do again.
    fn silence(&self, node: usize) {
        let of = self.forwarders.iter().filter(|((a, b), _)| *a == node || *b == node);
        of.for_each(|(_, forwarder)| forwarder.set_hole(true));
    }

    fn carried(&self, node: usize) -> u64 {
        self.nodes[node].with(|engine, _| engine.relay_counters().map_or(0, |c| c.relayed))
    }

    async fn shut_down(self) {
        for node in &self.nodes {
            node.shutdown().await;
        }
    }
}

/// Waits until a node sees that many links of the network, and a message to `peer` is confirmed.
async fn reaches(node: &Node, links: usize, peer: PeerId) -> Result<(), Failure> {
    let seen = || node.with(|engine, _| engine.network().map_or(0, |n| n.links().count()));
    let waited = timeout(PATIENCE, async {
        while seen() < links {
            sleep(LOOK).await;
        }
    });
    waited.await.map_err(|_| Failure::Broken(format!("{} of {links} links seen", seen())))?;
    node.with(|engine, now| engine.reach(peer, now));
    let first = node.send(peer, Bytes::from_static(b""), SendOptions::new(TrafficClass::Critical));
    match first.map_err(|e| Failure::broken("send", e))?.await {
        Outcome::Delivered { .. } => Ok(()),
        other => Err(Failure::Broken(format!("the first message ended as {other:?}"))),
    }
}

async fn acked(node: &Node, peer: PeerId, times: usize) -> Result<Vec<f64>, Failure> {
    let payload = Bytes::from(vec![7; BYTES]);
    let mut samples = Vec::with_capacity(times);
    for _ in 0..times {
        let start = wall();
        let receipt = node.send(peer, payload.clone(), SendOptions::new(TrafficClass::Realtime));
        let outcome = receipt.map_err(|e| Failure::broken("send", e))?.await;
        if matches!(outcome, Outcome::Delivered { attempts: 1, .. }) {
            samples.push((wall() - start) as f64 / 1e3);
        }
    }
    if samples.len() < times / 2 {
        let all = format!("{} of {times} messages confirmed at once", samples.len());
        return Err(Failure::Broken(all));
    }
    Ok(samples)
}

/// One hop and four, in turn, between the same nodes.
async fn rows(arguments: &Arguments, report: &mut Report) -> Result<(), Failure> {
    let pairs: Vec<_> = (0..HOPS).map(|node| (node, node + 1)).collect();
    let scene = Scene::set(90, HOPS + 1, &pairs, false).await?;
    let nodes = &scene.nodes;
    let (near, far) = (nodes[1].id(), nodes[HOPS].id());
    reaches(&nodes[0], HOPS, far).await?;
    let times = arguments.size(1_000, 300);
    let mut found: [Vec<f64>; 4] = Default::default();
    for round in 0..=ROUNDS {
        let mut one = acked(&nodes[0], near, times).await?;
        let mut four = acked(&nodes[0], far, times).await?;
        // The first round warms up.
        if round > 0 {
            found[0].push(quantile(&mut four, 0.1));
            found[1].push(quantile(&mut one, 0.1));
            found[2].push(quantile(&mut four, 0.5));
            found[3].push(quantile(&mut one, 0.5));
        }
    }
    scene.shut_down().await;
    let [p10, one_p10, p50, one_p50] = &mut found;
    let name = |q| format!("hops: send to end-to-end ack across {HOPS} hops, 100 B, {q}");
    let row = Row::new(name("p10"), median(p10), "us").beside("one hop", median(one_p10));
    report.push(row.ratio_at_most(4.5));
    let row = Row::new(name("p50"), median(p50), "us").beside("one hop", median(one_p50));
    report.push(row.ratio_at_most(4.5));
    Ok(())
}

/// What was found of one relay's death.
#[derive(Debug, Default)]
struct Event {
    resumed: Option<f64>,
    sent: usize,
    lost: usize,
    twice: usize,
}

/// Critical messages every 5 ms across two relays, in a single copy each so that nothing but another
/// way helps; the busier relay is stopped.
async fn deaths(arguments: &Arguments, report: &mut Report) -> Result<(), Failure> {
    let mut resumed = Vec::new();
    let mut total = Event::default();
    let events = arguments.events.div_ceil(4);
    let mut lanes = JoinSet::new();
    for lane in 0..LANES {
        let numbers: Vec<usize> = (lane..events).step_by(LANES).collect();
        lanes.spawn(async move {
            let mut found = Vec::new();
            for number in numbers {
                found.push(death(100 + (number % 100) as u8).await?);
            }
            Ok::<_, Failure>(found)
        });
    }
    while let Some(lane) = lanes.join_next().await {
        for event in lane.map_err(|e| Failure::broken("lane", e))?? {
            resumed.extend(event.resumed);
            total.sent += event.sent;
            total.lost += event.lost;
            total.twice += event.twice;
        }
    }
    if resumed.is_empty() {
        return Err(Failure::Broken(format!("no message came after any of {events} deaths")));
    }
    let name = |row: &str| format!("hops: the relay in use dies: {row}");
    let never = events - resumed.len();
    for (label, q, most) in [("p50", 0.5, 80.0), ("p99", 0.99, 250.0)] {
        let value = quantile(&mut resumed, q);
        report.push(Row::new(name(&format!("resume {label}")), value, "ms").at_most(most));
    }
    let count = |what, value: usize| Row::new(name(what), value as f64, "");
    report.push(count("events", events));
    report.push(count("events that never resumed", never).at_most(0.0));
    report.push(count("critical messages sent", total.sent));
    report.push(count("critical messages lost", total.lost).at_most(0.0));
    report.push(count("messages received twice", total.twice).at_most(0.0));
    Ok(())
}

async fn death(net: u8) -> Result<Event, Failure> {
    let scene = Scene::set(net, 2 + RELAYS, &[(0, 1), (0, 2), (1, 3), (2, 3)], true).await?;
    let (source, far) = (&scene.nodes[0], scene.nodes[3].id());
    reaches(source, 4, far).await?;
    let mut tick = interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut receipts, mut sent_at) = (Vec::new(), Vec::new());
    let (start, mut onset) = (wall(), None);
    let before = [1, 2].map(|relay| scene.carried(relay));
    let since = |at: u64| Duration::from_nanos(wall() - at);
    while onset.is_none_or(|at| since(at) < AFTER) {
        tick.tick().await;
        if onset.is_none() && since(start) >= WARM {
            let [first, second] = [1, 2].map(|relay| scene.carried(relay) - before[relay - 1]);
            onset = Some(wall());
            scene.silence(if first >= second { 1 } else { 2 });
        }
        let mut body = vec![7; BYTES];
        body[..8].copy_from_slice(&(sent_at.len() as u64).to_le_bytes());
        sent_at.push(wall());
        let options = SendOptions::new(TrafficClass::Critical).max_copies(1);
        let receipt = source.send(far, body, options);
        receipts.push(receipt.map_err(|e| Failure::broken("send", e))?);
    }
    // What is not confirmed in that time counts by what the far end was handed.
    let settled = async {
        for receipt in receipts {
            drop(receipt.await);
        }
    };
    drop(timeout(DRAIN, settled).await);
    let received = std::mem::take(&mut *lock(&scene.received));
    scene.shut_down().await;
    let mut event = Event { sent: sent_at.len(), ..Event::default() };
    let onset = onset.unwrap_or_default();
    for (number, at) in sent_at.iter().enumerate() {
        let arrivals = received.get(&(number as u64)).map_or(&[][..], Vec::as_slice);
        event.lost += usize::from(arrivals.is_empty());
        event.twice += usize::from(arrivals.len() > 1);
        if let Some(first) = arrivals.first().filter(|_| *at >= onset) {
            let after = (first - onset) as f64 / 1e6;
            event.resumed = Some(event.resumed.map_or(after, |before| before.min(after)));
        }
    }
    Ok(event)
}
