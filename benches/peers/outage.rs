//! The link in use turns into a silent black hole, again and again.
//!
//! Each of several lanes runs its own pair of nodes with two links, each through a forwarder. Under
//! a message every 5 ms the link in use is killed; after the switch it is given back, and when it is
//! trusted again the other one, by then in use, is killed. Then the pair gives way to a new one, so
//! that no event suffers from the damping that the ones before have earned.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bitcraps_coordinator::{Inbox, Outcome, SendOptions};
use bitcraps_types::{LinkId, TrafficClass, TransportType};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::echo::spawned;
use super::node::{Node, Settings};
use super::relay::Relay;
use crate::clock::wall;
use crate::sample::quantile;
use crate::{Arguments, Failure, Report, Row};

const LANES: usize = 8;
const EVENTS_PER_PAIR: usize = 2;
const EVERY: Duration = Duration::from_millis(5);
const BYTES: usize = 100;
/// Before the first event of a pair: the round trip is known by then.
const WARM: Duration = Duration::from_millis(400);
/// How long a hole lasts: past the switch, whatever it takes within the bound that is judged.
const HOLE: Duration = Duration::from_millis(160);
/// Past the deadline of the last message.
const DRAIN: Duration = Duration::from_millis(400);
/// Events of a lane that may turn out to be none before it is given up.
const MAX_VOID: usize = 50;

/// Measures with hedging and without.
pub(super) async fn run(arguments: &Arguments, report: &mut Report) -> Result<(), Failure> {
    for hedging in [true, false] {
        let start = wall();
        let mut lanes = JoinSet::new();
        for lane in 0..LANES {
            let events = arguments.events.div_ceil(LANES);
            let seed = arguments.seed.wrapping_mul(1_000) + lane as u64;
            lanes.spawn(Lane { lane: lane as u8, events, hedging, seed }.run());
        }
        let mut all = Record::default();
        while let Some(lane) = lanes.join_next().await {
            all.add(lane.map_err(|e| Failure::broken("lane", e))??);
        }
        all.report(hedging, (wall() - start) as f64 / 1e9, report);
    }
    Ok(())
}

/// What happened, by the applications' own books.
#[derive(Default)]
struct Record {
    /// From onset to the first delivery of a message sent after it, in ms.
    resumed: Vec<f64>,
    never: usize,
    void: usize,
    sent: usize,
    lost: usize,
    twice: usize,
    unconfirmed: usize,
    transmissions: u64,
}

impl Record {
    fn add(&mut self, other: Self) {
        self.resumed.extend(other.resumed);
        self.never += other.never;
        self.void += other.void;
        self.sent += other.sent;
        self.lost += other.lost;
        self.twice += other.twice;
        self.unconfirmed += other.unconfirmed;
        self.transmissions += other.transmissions;
    }

    fn report(mut self, hedging: bool, seconds: f64, report: &mut Report) {
        let with = if hedging { "hedging on" } else { "hedging off" };
        let name = |what: &str| format!("black hole of the link in use, {with}: {what}");
        let quantiles = [("p50", 0.5, Some(25.0)), ("p99", 0.99, Some(80.0)), ("max", 1.0, None)];
        for (label, q, most) in quantiles {
            let value = quantile(&mut self.resumed, q);
            let row = Row::new(name(&format!("resume {label}")), value, "ms");
            report.push(match most {
                Some(most) => row.at_most(most),
                None => row,
            });
        }
        let count = |what, value: usize| Row::new(name(what), value as f64, "");
        report.push(count("events", self.resumed.len()));
        report.push(count("events that never resumed", self.never).at_most(0.0));
        report
            .push(count("events void, the link killed not in use or its pair not back", self.void));
        report.push(count("messages sent", self.sent));
        report.push(count("messages lost", self.lost).at_most(0.0));
        report.push(count("messages received twice", self.twice).at_most(0.0));
        report.push(count("messages received and not confirmed", self.unconfirmed));
        let each = self.transmissions as f64 / self.sent.max(1) as f64;
        report.push(Row::new(name("transmissions a message"), each, "").at_most(1.10));
        report.push(Row::new(name("time taken"), seconds, "s"));
    }
}

struct Lane {
    lane: u8,
    events: usize,
    hedging: bool,
    seed: u64,
}

impl Lane {
    async fn run(self) -> Result<Record, Failure> {
        let mut record = Record::default();
        let mut pair = 0;
        while record.resumed.len() + record.never < self.events && record.void < MAX_VOID {
            let left = self.events - record.resumed.len() - record.never;
            record.add(self.pair(pair, left.min(EVENTS_PER_PAIR)).await?);
            pair += 1;
        }
        Ok(record)
    }

    async fn pair(&self, pair: u64, events: usize) -> Result<Record, Failure> {
        let seed = self.seed.wrapping_mul(1_000_003).wrapping_add(pair);
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut scene = Scene::set(self.lane, self.hedging, seed).await?;
        let books = scene.books.clone();
        let sending = scene.send();
        let (mut onsets, mut void) = (Vec::new(), 0);
        sleep(WARM).await;
        for event in 0..events {
            // On a machine that starves its processes a link may fall again and again, and is then
            // kept out of use for longer than anybody waits: the pair's other events are void.
            if event > 0 && !scene.trusted().await {
                void += events - event;
                break;
            }
            // Any moment between two messages.
            sleep(WARM / 4 + Duration::from_micros(rng.u64(0..5_000))).await;
            let Some(link) = lock(&books).in_use else {
                return Err(Failure::Broken("no message was confirmed before".to_owned()));
            };
            onsets.push(wall());
            scene.set_hole(link, true);
            sleep(HOLE).await;
            scene.set_hole(link, false);
        }
        sleep(EVERY * 20).await;
        sending.abort();
        sleep(DRAIN).await;
        let stats = scene.near.coordinator.get_transport_stats();
        let transmissions = stats.get(&TransportType::WiFiDirect).map_or(0, |s| s.request_count);
        scene.shut_down().await?;
        let books = lock(&books);
        let mut record = books.record(&onsets);
        record.transmissions = transmissions;
        record.void += void;
        Ok(record)
    }
}

/// What the two applications wrote down, by message.
#[derive(Default)]
struct Books {
    sent_at: Vec<u64>,
    outcomes: Vec<Option<Outcome>>,
    received_at: BTreeMap<usize, Vec<u64>>,
    in_use: Option<LinkId>,
}

fn lock(books: &Mutex<Books>) -> MutexGuard<'_, Books> {
    books.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Books {
    fn record(&self, onsets: &[u64]) -> Record {
        let mut record = Record { sent: self.sent_at.len(), ..Record::default() };
        for (number, outcome) in self.outcomes.iter().enumerate() {
            let received = self.received_at.get(&number).map_or(0, Vec::len);
            record.lost += usize::from(received == 0);
            record.twice += usize::from(received > 1);
            let confirmed = matches!(outcome, Some(Outcome::Delivered { .. }));
            record.unconfirmed += usize::from(received > 0 && !confirmed);
        }
        for onset in onsets {
            let first = self.sent_at.partition_point(|at| at < onset);
            // One that arrived at the first attempt never met the hole.
            let untouched = matches!(
                self.outcomes.get(first),
                Some(Some(Outcome::Delivered { attempts: 1, .. }))
            );
            if untouched {
                record.void += 1;
                continue;
            }
            let arrivals = (first..self.sent_at.len())
                .filter_map(|number| self.received_at.get(&number)?.first().copied());
            match arrivals.min() {
                Some(at) => record.resumed.push((at - onset) as f64 / 1e6),
                None => record.never += 1,
            }
        }
        record
    }
}

/// Two nodes, two links through a forwarder each, and the receiving application.
struct Scene {
    near: Arc<Node>,
    far: Node,
    relays: Vec<(LinkId, Relay)>,
    books: Arc<Mutex<Books>>,
    application: tokio::task::JoinHandle<Result<(), Failure>>,
}

impl Scene {
    async fn set(lane: u8, hedging: bool, seed: u64) -> Result<Self, Failure> {
        let settings = Settings { hedging, max_packet_size: None, seed };
        let ip = |last: u8| IpAddr::from([127, 0, 1 + lane, last]);
        let near = Node::start(1, &[ip(1), ip(2)], &settings).await?;
        let far = Node::start(2, &[ip(11), ip(12)], &settings).await?;
        let mut relays = Vec::new();
        for (at, (from, to)) in near.addresses().into_iter().zip(far.addresses()).enumerate() {
            let relay = Relay::start(ip(21 + at as u8), to).await?;
            let link = near.dial(far.peer, relay.front, from).await?;
            relays.push((link, relay));
        }
        near.trusts(far.peer, 2).await?;
        far.trusts(near.peer, 2).await?;
        let books = Arc::new(Mutex::new(Books::default()));
        let application = tokio::spawn(receive(far.coordinator.inbox(), books.clone()));
        Ok(Self { near: Arc::new(near), far, relays, books, application })
    }

    /// Waits until both ends trust both links; false when they do not in time.
    async fn trusted(&self) -> bool {
        self.near.trusts(self.far.peer, 2).await.is_ok()
            && self.far.trusts(self.near.peer, 2).await.is_ok()
    }

    fn set_hole(&self, link: LinkId, hole: bool) {
        let found = self.relays.iter().filter(|(of, _)| *of == link);
        found.for_each(|(_, relay)| relay.set_hole(hole));
    }

    /// Sends a message every 5 ms until aborted.
    fn send(&mut self) -> tokio::task::JoinHandle<Result<(), Failure>> {
        let (near, peer, books) = (self.near.clone(), self.far.peer, self.books.clone());
        tokio::spawn(async move {
            let mut tick = interval(EVERY);
            tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tick.tick().await;
                let number = {
                    let mut books = lock(&books);
                    books.sent_at.push(wall());
                    books.outcomes.push(None);
                    books.sent_at.len() - 1
                };
                let mut body = vec![7; BYTES];
                body[..8].copy_from_slice(&(number as u64).to_le_bytes());
                let options = SendOptions::new(TrafficClass::Realtime);
                let receipt = near.coordinator.send(peer, body, options);
                let receipt = receipt.map_err(|e| Failure::broken("send", e))?;
                let books = books.clone();
                // Writes its line whatever becomes of this sender.
                drop(tokio::spawn(async move {
                    let outcome = receipt.await;
                    let mut books = lock(&books);
                    if let Outcome::Delivered { link, .. } = &outcome {
                        books.in_use = Some(link.link);
                    }
                    books.outcomes[number] = Some(outcome);
                }));
            }
        })
    }

    async fn shut_down(self) -> Result<(), Failure> {
        self.near.shut_down().await;
        self.far.shut_down().await;
        spawned(async { self.application.await.map_err(|e| Failure::broken("application", e))? })
            .await
    }
}

/// The receiving application: writes down every message that it is handed.
async fn receive(mut inbox: Inbox, books: Arc<Mutex<Books>>) -> Result<(), Failure> {
    while let Some(delivery) = inbox.recv().await {
        let Some(head) = delivery.payload.first_chunk() else {
            return Err(Failure::Broken("a message without a number".to_owned()));
        };
        let number = usize::try_from(u64::from_le_bytes(*head)).unwrap_or(usize::MAX);
        lock(&books).received_at.entry(number).or_default().push(wall());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use bitcraps_coordinator::TriedLink;
    use bitcraps_types::AckLevel;

    fn delivered(attempts: u16) -> Option<Outcome> {
        let link = TriedLink { link: LinkId(1), transport: TransportType::WiFiDirect };
        let latency = Duration::from_millis(1);
        Some(Outcome::Delivered { level: AckLevel::PeerAcked, link, attempts, latency })
    }

    #[test]
    fn the_books_tell_loss_repeats_and_the_time_to_the_first_delivery() {
        let ms = |ms: u64| ms * 1_000_000;
        let books = Books {
            sent_at: (0..6).map(|i| ms(5 * i)).collect(),
            outcomes: vec![
                delivered(1),
                delivered(2),
                delivered(2),
                None,
                delivered(1),
                Some(Outcome::Unknown { tried: Vec::new() }),
            ],
            received_at: BTreeMap::from([
                (0, vec![ms(1)]),
                (1, vec![ms(30)]),
                (2, vec![ms(24), ms(25)]),
                (4, vec![ms(31)]),
                (5, vec![ms(32)]),
            ]),
            in_use: None,
        };
        let record = books.record(&[ms(4), ms(19)]);
        assert_eq!(record.resumed, [20.0], "the second message was the first to arrive");
        assert_eq!((record.void, record.never), (1, 0), "number 4 went through at once");
        assert_eq!((record.lost, record.twice, record.unconfirmed), (1, 1, 1));
    }
}
