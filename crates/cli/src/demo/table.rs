mod incarnation;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bitcraps_node::coordinator::Machine as _;
use bitcraps_node::transport_api::{Address, ConnectTarget, Hint, HintSource};
use bitcraps_node::transport_inet::{Relay, RelayServer, RelayServerConfig};
use bitcraps_node::{Identity, Node};
use bitcraps_sim::radio::Ether;
use bitcraps_types::{LinkId, PeerId, TransportType};
use tokio::task::JoinHandle;

use super::apart::{Apart, Figures, Order};
use super::forwarder::Forwarder;
use super::ledger::{Ending, Ledger, Seat, Tag};
use super::{DemoError, Switches};

/// Paths between a pair over the LAN, each over its own loopback addresses.
pub(super) const PATHS: usize = 2;

/// Where the far node listens: no way leads there from the addresses of the others.
pub(super) const FAR_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), 0);

/// Bytes of messages that a node's store may hold: far more than the demo ever has under way.
pub(super) const STORE_BYTES: usize = 64 << 20;

/// A node's place: what survives its restarts.
struct Place {
    key: [u8; 32],
    identity: Identity,
    epoch: u64,
    /// Where its LAN transport listens, once known.
    listen: [SocketAddr; PATHS],
    /// Where its internet transport listens, once known.
    internet: SocketAddr,
    running: Option<Running>,
}

enum Running {
    /// In this process.
    Here { node: Arc<Node>, collector: JoinHandle<()> },
    /// In a process of its own.
    Apart(Apart),
}

/// The nodes of the demo, the wires between them, the air around them and the relay above them.
///
/// The last of more than two nodes is far away: it runs in a process of its own, has neither wires
/// nor radio, and no path to another but through the relay. The one before it, of more than five, is
/// behind the first two: it has links to them alone, and others reach it across hops.
pub(super) struct Table {
    /// Holds the stores of all nodes; goes with the demo.
    stores: tempfile::TempDir,
    places: Vec<Mutex<Place>>,
    relay: Relay,
    /// Absent while it is down.
    relay_server: tokio::sync::Mutex<Option<RelayServer>>,
    relay_at: SocketAddr,
    /// By (dialling node, listening node, path).
    wires: BTreeMap<(usize, usize, usize), Forwarder>,
    air: Ether,
    ledger: Arc<Ledger>,
    switches: Switches,
    /// Frames that nodes handed on for others before they were killed.
    relayed: AtomicU64,
}

/// The wire or radio that a link runs over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Carrier {
    Wire { dialler: usize, listener: usize, path: usize },
    Radio,
    Internet,
}

/// The node that every near one also has a direct internet link to.
const HOST: usize = 0;

/// Which of `count` nodes is far away.
fn far(count: usize) -> Option<usize> {
    (count > 2).then_some(count - 1)
}

/// Nodes that the one behind them has links to.
pub(super) const RELAYS: usize = 2;

/// Which of `count` nodes is behind others.
pub(super) fn behind(count: usize) -> Option<usize> {
    (count > 3 + RELAYS).then_some(count - 2)
}

/// Frames that a node handed on for others.
fn relayed(node: &Node) -> u64 {
    let counters = node.with(|engine, _| engine.relay_counters());
    counters.map_or(0, |counters| counters.relayed)
}

/// Payload of a message with `tag`: recognisable, and every byte can be checked.
pub(super) fn payload(tag: Tag, len: usize) -> Vec<u8> {
    let mut bytes = tag.to_be_bytes().to_vec();
    bytes.extend((8..len.max(8)).map(|i| (tag as usize * 31 + i) as u8));
    bytes
}

/// The tag of a payload, if every byte is as it was sent.
pub(super) fn tag_of(bytes: &[u8]) -> Option<Tag> {
    let tag = Tag::from_be_bytes(*bytes.first_chunk()?);
    (payload(tag, bytes.len()) == bytes).then_some(tag)
}

impl Table {
    /// Starts `count` nodes and the wires between each pair.
    pub(super) async fn set(
        count: usize,
        seed: u64,
        ledger: Arc<Ledger>,
        switches: Switches,
    ) -> Result<Self, DemoError> {
        let mut rng = fastrand::Rng::with_seed(seed);
        let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let relay_server = RelayServer::start(RelayServerConfig::new(anywhere)).await?;
        let relay = relay_server.relay().clone();
        let relay_at = relay_server.local_address();
        let places = (0..count).map(|index| {
            let mut key = [0; 32];
            rng.fill(&mut key);
            // 127.0.0.2 and up, two for each node: a network of 127.0.0.0/8 holds 120 nodes' worth.
            let host = |path: usize| (2 + PATHS * index + path) as u8;
            let listen = std::array::from_fn(|path| {
                SocketAddr::from((Ipv4Addr::new(127, 0, 0, host(path)), 0))
            });
            Mutex::new(Place {
                key,
                identity: Identity::from_seed(&key),
                epoch: 0,
                listen,
                internet: anywhere,
                running: None,
            })
        });
        let mut table = Self {
            stores: tempfile::tempdir().map_err(DemoError::Stores)?,
            places: places.collect(),
            relay,
            relay_server: tokio::sync::Mutex::new(Some(relay_server)),
            relay_at,
            wires: BTreeMap::new(),
            air: Ether::bluetooth_le(seed),
            ledger,
            switches,
            relayed: AtomicU64::new(0),
        };
        for index in 0..count {
            table.start(index).await?;
        }
        for dialler in 0..table.near() {
            for listener in 0..table.near() {
                if table.are_close(dialler, listener) && table.id(dialler) < table.id(listener) {
                    for path in 0..PATHS {
                        let to = table.place(listener).listen[path];
                        let wire =
                            Forwarder::new(to, rng.u64(..)).await.map_err(DemoError::Wire)?;
                        table.wires.insert((dialler, listener, path), wire);
                    }
                }
            }
        }
        (0..count).for_each(|index| table.introduce(index));
        Ok(table)
    }

    fn place(&self, index: usize) -> std::sync::MutexGuard<'_, Place> {
        self.places[index].lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// Nodes with wires and radio: the first so many.
    pub(super) fn near(&self) -> usize {
        far(self.len()).unwrap_or(self.len())
    }

    /// Whether two near nodes have wires and radio between them.
    fn are_close(&self, a: usize, b: usize) -> bool {
        let Some(behind) = behind(self.len()) else { return true };
        (a != behind || b < RELAYS) && (b != behind || a < RELAYS)
    }

    /// Links that a near node has to another node when it has all of its own; through others, where
    /// it has none.
    fn wanted(&self, near: usize, other: usize) -> usize {
        if other >= self.near() || !self.are_close(near, other) {
            return 1;
        }
        PATHS + 1 + usize::from(near.min(other) == HOST)
    }

    /// Links that are ready, and those that the near nodes have when every pair has all of its own.
    pub(super) fn gathered(&self) -> (usize, usize) {
        let (mut ready, mut wanted) = (0, 0);
        for near in 0..self.near() {
            let Some((node, _)) = self.node(near) else { continue };
            let peers = node.peers();
            for other in (0..self.len()).filter(|other| *other != near) {
                let (id, most) = (self.id(other), self.wanted(near, other));
                let links = peers.iter().filter(|p| p.peer == id).flat_map(|p| &p.links);
                ready += links.filter(|link| link.ready).count().min(most);
                wanted += most;
                if other < self.near() && !self.are_close(near, other) {
                    node.with(|engine, now| engine.reach(id, now));
                }
            }
        }
        (ready, wanted)
    }

    /// Frames that nodes of this process handed on for others.
    pub(super) fn relayed(&self) -> u64 {
        let nodes = (0..self.len()).filter_map(|index| self.node(index));
        let running: u64 = nodes.map(|(node, _)| relayed(&node)).sum();
        self.relayed.load(Ordering::Relaxed) + running
    }

    pub(super) fn id(&self, index: usize) -> PeerId {
        self.place(index).identity.peer_id()
    }

    /// The node and its incarnation, while it runs in this process.
    pub(super) fn node(&self, index: usize) -> Option<(Arc<Node>, Seat)> {
        let place = self.place(index);
        let Some(Running::Here { node, .. }) = &place.running else { return None };
        Some((Arc::clone(node), Seat { index, epoch: place.epoch }))
    }

    /// The incarnation of a node, while it runs anywhere.
    pub(super) fn seat(&self, index: usize) -> Option<Seat> {
        let place = self.place(index);
        place.running.as_ref().map(|_| Seat { index, epoch: place.epoch })
    }

    /// What a node in a process of its own looks like.
    pub(super) fn figures(&self, index: usize) -> Option<Figures> {
        match &self.place(index).running {
            Some(Running::Apart(apart)) => Some(apart.figures()),
            Some(Running::Here { .. }) | None => None,
        }
    }

    /// Orders a message of a node in a process of its own.
    pub(super) fn order(&self, index: usize, order: Order) {
        let orders = match &self.place(index).running {
            Some(Running::Apart(apart)) => Some(apart.orders()),
            Some(Running::Here { .. }) | None => None,
        };
        let Order::Send { tag, .. } = order else { return };
        if orders.is_none_or(|orders| orders.try_send(order).is_err()) {
            self.ledger.ended(tag, Ending::Refused);
        }
    }

    fn store(&self, index: usize) -> PathBuf {
        self.stores.path().join(format!("node-{index}.redb"))
    }

    /// Whether the incarnation still runs.
    pub(super) fn lives(&self, seat: Seat) -> bool {
        let place = self.place(seat.index);
        place.running.is_some() && place.epoch == seat.epoch
    }

    /// Tells a node of this process where those peers are that it dials: the smaller key of a pair
    /// dials.
    pub(super) fn introduce(&self, index: usize) {
        let Some((node, _)) = self.node(index) else { return };
        let listen = self.place(index).listen;
        for other in 0..self.len() {
            let peer = self.id(other);
            if other == index {
                continue;
            }
            let mut targets = Vec::new();
            for (path, via) in listen.iter().enumerate() {
                if let Some(wire) = self.wires.get(&(index, other, path)) {
                    let address = Address::new(wire.near.to_string());
                    let via = Some(Address::new(via.to_string()));
                    targets.push((TransportType::WiFiDirect, address, via));
                }
            }
            if node.id() < peer {
                let internet = if other >= self.near() {
                    Some(self.relay.to_string())
                } else {
                    (index.min(other) == HOST).then(|| self.place(other).internet.to_string())
                };
                let internet = internet.into_iter();
                targets.extend(internet.map(|a| (TransportType::Internet, Address::new(a), None)));
                if other < self.near() && self.are_close(index, other) {
                    targets.push((TransportType::Bluetooth, self.air.address_of(peer), None));
                }
            }
            for (transport, address, via) in targets {
                let target = ConnectTarget { transport, peer, address, via };
                let hint = Hint { target, source: HintSource::Static };
                node.with(|engine, now| engine.discovered(hint, now));
            }
        }
    }

    /// Ends the relay: whoever is connected to it notices by himself.
    pub(super) async fn kill_relay(&self) {
        if let Some(relay) = self.relay_server.lock().await.take() {
            relay.shut_down().await;
        }
    }

    /// Starts the relay anew, where it was.
    pub(super) async fn start_relay(&self) -> Result<(), DemoError> {
        let relay = RelayServer::start(RelayServerConfig::new(self.relay_at)).await?;
        *self.relay_server.lock().await = Some(relay);
        Ok(())
    }

    /// The carrier under `link` of node `index`, and the peer at its other end.
    pub(super) fn carrier(&self, index: usize, link: LinkId) -> Option<(Carrier, usize)> {
        let (node, _) = self.node(index)?;
        let link = node.links().into_iter().find(|l| l.id() == link)?;
        let other = (0..self.len()).find(|i| self.id(*i) == link.peer())?;
        match link.transport() {
            TransportType::Bluetooth => return Some((Carrier::Radio, other)),
            TransportType::Internet => return Some((Carrier::Internet, other)),
            TransportType::WiFiDirect => {}
        }
        let remote = link.path().remote;
        let wires = self.wires.iter();
        let under =
            wires.filter(|((a, b, _), _)| (*a, *b) == (index, other) || (*a, *b) == (other, index));
        let found = under
            .filter(|(_, wire)| wire.near.to_string() == remote || wire.far.to_string() == remote)
            .map(|((dialler, listener, path), _)| Carrier::Wire {
                dialler: *dialler,
                listener: *listener,
                path: *path,
            })
            .next()?;
        Some((found, other))
    }

    /// Loses `permille` of a thousand datagrams on a wire.
    pub(super) fn lose(&self, carrier: Carrier, permille: u32) {
        if let Carrier::Wire { dialler, listener, path } = carrier
            && let Some(wire) = self.wires.get(&(dialler, listener, path))
        {
            wire.lose(permille);
        }
    }

    /// Stops every node.
    pub(super) async fn clear(&self) {
        for index in 0..self.len() {
            let running = self.place(index).running.take();
            match running {
                Some(Running::Here { node, collector }) => {
                    node.shutdown().await;
                    collector.abort();
                }
                Some(Running::Apart(apart)) => apart.leave().await,
                None => {}
            }
        }
        self.kill_relay().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_tells_its_tag_only_when_it_is_whole() {
        for len in [8, 9, 200] {
            let bytes = payload(77, len);
            assert_eq!((bytes.len(), tag_of(&bytes)), (len, Some(77)));
            let mut flipped = bytes.clone();
            flipped[len - 1] ^= 1;
            assert_ne!(tag_of(&flipped), Some(77));
        }
        assert_eq!(tag_of(&[1; 7]), None);
    }
}
