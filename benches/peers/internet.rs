//! The relay path of an internet link falls silent while a link over the LAN stands by.
//!
//! Each event has nodes of its own: one iroh connection, pinned to a relay because their sockets for
//! it are of different families, and a LAN link through a forwarder that is slower, as a crowded
//! Wi-Fi is, so that the relay is preferred. A gate before the relay swallows everything from then on.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bitcraps_transport_inet::{
    Identity, InetConfig, InetTransport, Relay as RelayUrl, RelayServer, RelayServerConfig,
};
use bitcraps_types::{Address, ConnectTarget, LinkId, PeerId, TransportType};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::books::{Books, EVERY, Record, lock, receive, send};
use super::echo::spawned;
use super::gate::Gate;
use super::lanes::{Measured, Share};
use super::node::{Node, PATIENCE, Settings};
use super::relay::Relay;
use crate::clock::wall;
use crate::{Arguments, Failure, Report};

const LANES: usize = 4;
/// What the LAN's forwarder holds a datagram back: more than the relay takes, on a busy machine too.
const LAN_DELAY: Duration = Duration::from_millis(8);
/// Before the event: the round trips are known by then.
const WARM: Duration = Duration::from_millis(400);
/// Past the switch, whatever it takes within the bound that is judged.
const HOLE: Duration = Duration::from_millis(300);
/// Past the deadline of the last message.
const DRAIN: Duration = Duration::from_millis(400);
/// Events of a lane that may turn out to be none before it is given up.
const MAX_VOID: usize = 20;

/// Measures with hedging and without.
pub(super) async fn run(arguments: &Arguments, report: &mut Report) -> Result<(), Failure> {
    let measured = Measured {
        lanes: LANES,
        what: "failover internet -> LAN, the relay path silent",
        p50: 60.0,
        p99: 150.0,
    };
    measured.in_lanes(arguments.events / 2, |share| Lane(share).run(), arguments, report).await
}

struct Lane(Share);

impl Lane {
    async fn run(self) -> Result<Record, Failure> {
        let server = relay_server().await?;
        let mut record = Record::default();
        for event in 0.. {
            let done = record.resumed.len() + record.never;
            if done >= self.0.events || record.void >= MAX_VOID {
                break;
            }
            record.add(self.event(event, &server).await?);
        }
        server.shut_down().await;
        Ok(record)
    }

    async fn event(&self, event: u64, server: &RelayServer) -> Result<Record, Failure> {
        let seed = self.0.seed.wrapping_mul(1_000_003).wrapping_add(event);
        let mut rng = fastrand::Rng::with_seed(seed);
        let scene = Scene::set(self.0.lane, self.0.hedging, seed, server).await?;
        let books = scene.books.clone();
        let sending = send(scene.near.clone(), scene.far.peer, books.clone());
        // Any moment between two messages.
        sleep(WARM + Duration::from_micros(rng.u64(0..5_000))).await;
        let in_use = lock(&books).in_use;
        let onset = (in_use == Some(scene.internet)).then(wall);
        scene.gate.fall_silent();
        sleep(HOLE).await;
        sending.abort();
        sleep(DRAIN + EVERY).await;
        let stats = scene.near.coordinator.get_transport_stats();
        let of = |transport| stats.get(&transport).map_or(0, |s| s.request_count);
        let transmissions = of(TransportType::WiFiDirect) + of(TransportType::Internet);
        scene.shut_down().await?;
        let mut record = lock(&books).record(onset.as_slice());
        record.transmissions = transmissions;
        // Before the event the LAN was in use.
        record.void += usize::from(onset.is_none());
        Ok(record)
    }
}

/// A relay that holds nobody back.
pub(super) async fn relay_server() -> Result<RelayServer, Failure> {
    let mut config = RelayServerConfig::new(SocketAddr::from(([127, 0, 0, 1], 0)));
    config.client_rate = NonZeroU32::MAX;
    RelayServer::start(config).await.map_err(|e| Failure::broken("relay", e))
}

/// Where `server` listens.
pub(super) fn address(server: &RelayServer) -> Result<SocketAddr, Failure> {
    let url = server.relay().to_string();
    let address = url.trim_start_matches("http://").parse();
    address.map_err(|e| Failure::broken("relay", e))
}

/// Adds the internet transport to the node with `key`, on one socket.
pub(super) async fn internet(
    node: &Node,
    key: u8,
    listen: IpAddr,
    relay: Option<RelayUrl>,
) -> Result<Arc<InetTransport>, Failure> {
    let mut config = InetConfig::new(vec![SocketAddr::new(listen, 0)]);
    config.relays = relay.into_iter().collect();
    let identity = Identity::from_seed(&[key; 32].into());
    let transport = InetTransport::new(config, identity);
    let transport = Arc::new(transport.map_err(|e| Failure::broken("internet transport", e))?);
    node.add(transport.clone()).await?;
    Ok(transport)
}

/// Opens a link over the internet from `node` to `peer` at `address`.
pub(super) async fn dial(
    node: &Node,
    peer: PeerId,
    address: impl ToString,
) -> Result<LinkId, Failure> {
    let address = Address::new(address.to_string());
    let target = ConnectTarget { transport: TransportType::Internet, peer, address, via: None };
    node.coordinator.connect(target).await.map_err(|e| Failure::broken("dial", e))
}

/// Two nodes, a link of each kind, and the receiving application.
struct Scene {
    near: Arc<Node>,
    far: Node,
    internet: LinkId,
    gate: Gate,
    _lan: Relay,
    books: Arc<Mutex<Books>>,
    application: JoinHandle<Result<(), Failure>>,
}

impl Scene {
    async fn set(
        lane: u8,
        hedging: bool,
        seed: u64,
        server: &RelayServer,
    ) -> Result<Self, Failure> {
        let settings = Settings { hedging, max_packet_size: None, seed };
        let ip = |last: u8| IpAddr::from([127, 0, 20 + lane, last]);
        let near = Node::start(1, &[ip(1)], &settings).await?;
        let far = Node::start(2, &[ip(11)], &settings).await?;
        let (Some(&from), Some(&to)) = (near.addresses().first(), far.addresses().first()) else {
            return Err(Failure::Broken("a node listens nowhere".to_owned()));
        };
        let lan = Relay::delayed(ip(21), to, LAN_DELAY).await?;
        near.dial(far.peer, lan.front, from).await?;

        let gate = Gate::start(address(server)?).await?;
        let url: RelayUrl = format!("http://{}", gate.front)
            .parse()
            .map_err(|e| Failure::broken("relay", format!("{e}")))?;
        let near_way = internet(&near, 1, ip(2), Some(url.clone())).await?;
        let far_way = internet(&far, 2, Ipv6Addr::LOCALHOST.into(), Some(url.clone())).await?;
        let reachable =
            async { tokio::join!(near_way.relay_connected(), far_way.relay_connected()) };
        let late = |_| Failure::Broken("the relay was not reached".to_owned());
        timeout(PATIENCE, reachable).await.map_err(late)?;
        let internet = dial(&near, far.peer, url).await?;
        near.trusts(far.peer, 2).await?;
        far.trusts(near.peer, 2).await?;

        let books = Arc::new(Mutex::new(Books::default()));
        let application = tokio::spawn(receive(far.coordinator.inbox(), books.clone()));
        Ok(Self { near: Arc::new(near), far, internet, gate, _lan: lan, books, application })
    }

    async fn shut_down(self) -> Result<(), Failure> {
        self.near.shut_down().await;
        self.far.shut_down().await;
        spawned(async { self.application.await.map_err(|e| Failure::broken("application", e))? })
            .await
    }
}
