//! The link in use turns into a silent black hole, again and again.
//!
//! Each of several lanes runs its own pair of nodes with two links, each through a forwarder. Under
//! a message every 5 ms the link in use is killed; after the switch it is given back, and when it is
//! trusted again the other one, by then in use, is killed. Then the pair gives way to a new one, so
//! that no event suffers from the damping that the ones before have earned.

use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bitcraps_types::{LinkId, TransportType};
use tokio::time::sleep;

use super::books::{Books, EVERY, Record, lock, receive, send};
use super::echo::spawned;
use super::lanes::{Measured, Share};
use super::node::{Node, Settings};
use super::relay::Relay;
use crate::clock::wall;
use crate::{Arguments, Failure, Report};

const LANES: usize = 8;
const EVENTS_PER_PAIR: usize = 2;
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
    let measured =
        Measured { lanes: LANES, what: "black hole of the link in use", p50: 25.0, p99: 80.0 };
    measured.in_lanes(arguments.events, |share| Lane(share).run(), arguments, report).await
}

struct Lane(Share);

impl Lane {
    async fn run(self) -> Result<Record, Failure> {
        let mut record = Record::default();
        let mut pair = 0;
        while record.resumed.len() + record.never < self.0.events && record.void < MAX_VOID {
            let left = self.0.events - record.resumed.len() - record.never;
            record.add(self.pair(pair, left.min(EVENTS_PER_PAIR)).await?);
            pair += 1;
        }
        Ok(record)
    }

    async fn pair(&self, pair: u64, events: usize) -> Result<Record, Failure> {
        let seed = self.0.seed.wrapping_mul(1_000_003).wrapping_add(pair);
        let mut rng = fastrand::Rng::with_seed(seed);
        let scene = Scene::set(self.0.lane, self.0.hedging, seed).await?;
        let books = scene.books.clone();
        let sending = send(scene.near.clone(), scene.far.peer, books.clone());
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

    async fn shut_down(self) -> Result<(), Failure> {
        self.near.shut_down().await;
        self.far.shut_down().await;
        spawned(async { self.application.await.map_err(|e| Failure::broken("application", e))? })
            .await
    }
}
