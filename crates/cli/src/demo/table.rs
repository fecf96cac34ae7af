use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use bitcraps_node::coordinator::{Delivery, Machine as _};
use bitcraps_node::engine::DialerConfig;
use bitcraps_node::transport_api::{Address, ConnectTarget, Hint, HintSource, Transport};
use bitcraps_node::transport_wifi::{Identity as LinkIdentity, WifiConfig, WifiTransport};
use bitcraps_node::{BootClock, Identity, Node};
use bitcraps_sim::radio::Ether;
use bitcraps_types::{AckLevel, Epoch, LinkId, PeerId, TransportType};
use tokio::task::JoinHandle;

use super::forwarder::Forwarder;
use super::ledger::{Ledger, Seat, Tag};
use super::{DemoError, Switches};

/// Paths between a pair over the LAN, each over its own loopback addresses.
pub(super) const PATHS: usize = 2;

/// A node's place: what survives its restarts.
struct Place {
    identity: Identity,
    epoch: u64,
    /// Where its LAN transport listens, once known.
    listen: [SocketAddr; PATHS],
    running: Option<Running>,
}

struct Running {
    node: Arc<Node>,
    collector: JoinHandle<()>,
}

/// The nodes of the demo, the wires between them and the air around them.
pub(super) struct Table {
    places: Vec<Mutex<Place>>,
    /// By (dialling node, listening node, path).
    wires: BTreeMap<(usize, usize, usize), Forwarder>,
    air: Ether,
    ledger: Arc<Ledger>,
    switches: Switches,
}

/// The wire or radio that a link runs over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Carrier {
    Wire { dialler: usize, listener: usize, path: usize },
    Radio,
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
        let places = (0..count).map(|index| {
            let mut key = [0; 32];
            rng.fill(&mut key);
            // 127.0.0.2 and up, two for each node: a network of 127.0.0.0/8 holds 120 nodes' worth.
            let host = |path: usize| (2 + PATHS * index + path) as u8;
            let listen = std::array::from_fn(|path| {
                SocketAddr::from((Ipv4Addr::new(127, 0, 0, host(path)), 0))
            });
            Mutex::new(Place {
                identity: Identity::from_seed(&key),
                epoch: 0,
                listen,
                running: None,
            })
        });
        let mut table = Self {
            places: places.collect(),
            wires: BTreeMap::new(),
            air: Ether::bluetooth_le(seed),
            ledger,
            switches,
        };
        for index in 0..count {
            table.start(index).await?;
        }
        for dialler in 0..count {
            for listener in 0..count {
                if table.id(dialler) < table.id(listener) {
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

    pub(super) fn id(&self, index: usize) -> PeerId {
        self.place(index).identity.peer_id()
    }

    /// The node and its incarnation, while it runs.
    pub(super) fn node(&self, index: usize) -> Option<(Arc<Node>, Seat)> {
        let place = self.place(index);
        let running = place.running.as_ref()?;
        Some((Arc::clone(&running.node), Seat { index, epoch: place.epoch }))
    }

    /// Whether the incarnation still runs.
    pub(super) fn lives(&self, seat: Seat) -> bool {
        let place = self.place(seat.index);
        place.running.is_some() && place.epoch == seat.epoch
    }

    /// Starts a node in its next incarnation.
    pub(super) async fn start(&self, index: usize) -> Result<(), DemoError> {
        let (key, peer, epoch, listen, builder) = {
            let mut place = self.place(index);
            place.epoch += 1;
            let builder = Node::builder(&place.identity, Epoch(place.epoch));
            let key = LinkIdentity::from(place.identity.signing_key().clone());
            (key, place.identity.peer_id(), place.epoch, place.listen, builder)
        };
        let lan = WifiTransport::new(WifiConfig::new(listen.to_vec()), key);
        let lan = Arc::new(lan.map_err(DemoError::Lan)?);
        let radio: Arc<dyn Transport> = Arc::new(self.air.radio(peer));
        let switches = self.switches;
        let node = builder
            .configure(|config| {
                config.deduplicate = switches.deduplicate;
                config.auto_failover = switches.failover;
                config.resend = switches.resend;
            })
            .dialer(DialerConfig::default())
            .transport(Arc::clone(&lan) as _)
            .transport(radio)
            .start()
            .await?;
        let node = Arc::new(node);
        let mut inbox = node.inbox();
        let ledger = Arc::clone(&self.ledger);
        let collector = tokio::spawn(async move {
            while let Some(delivery) = inbox.recv().await {
                let Delivery { id, payload, ack, .. } = delivery;
                ledger.delivered(tag_of(&payload), index, BootClock.now());
                if ack == AckLevel::Applied {
                    inbox.answer(id, true);
                }
            }
        });
        let mut place = self.place(index);
        let addresses = lan.local_addresses();
        for (listen, bound) in place.listen.iter_mut().zip(addresses) {
            *listen = bound;
        }
        debug_assert_eq!(place.epoch, epoch, "one start at a time");
        place.running = Some(Running { node, collector });
        Ok(())
    }

    /// Tells a node where those peers are that it dials: the smaller key of a pair dials.
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
                targets.push((TransportType::Bluetooth, self.air.address_of(peer), None));
            }
            for (transport, address, via) in targets {
                let target = ConnectTarget { transport, peer, address, via };
                let hint = Hint { target, source: HintSource::Static };
                node.with(|engine, now| engine.discovered(hint, now));
            }
        }
    }

    /// Kills a node: first its wires and its radio fall silent, then it is gone. Nobody is told.
    pub(super) async fn kill(&self, index: usize) {
        let Some(running) = self.place(index).running.take() else { return };
        self.silence(index, true);
        running.collector.abort();
        running.node.shutdown().await;
        self.silence(index, false);
    }

    fn silence(&self, index: usize, silent: bool) {
        let own = self.wires.iter().filter(|((a, b, _), _)| *a == index || *b == index);
        own.for_each(|(_, wire)| wire.lose(if silent { 1_000 } else { 0 }));
        self.air.silence(self.id(index), silent);
    }

    /// The carrier under `link` of node `index`, and the peer at its other end.
    pub(super) fn carrier(&self, index: usize, link: LinkId) -> Option<(Carrier, usize)> {
        let (node, _) = self.node(index)?;
        let link = node.links().into_iter().find(|l| l.id() == link)?;
        let other = (0..self.len()).find(|i| self.id(*i) == link.peer())?;
        if link.transport() == TransportType::Bluetooth {
            return Some((Carrier::Radio, other));
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
            if let Some(running) = running {
                running.node.shutdown().await;
                running.collector.abort();
            }
        }
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
