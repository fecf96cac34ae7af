//! Nodes come to life, and are killed.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bitcraps_node::coordinator::Delivery;
use bitcraps_node::engine::DialerConfig;
use bitcraps_node::transport_api::Transport;
use bitcraps_node::transport_inet::{Identity as InternetIdentity, InetConfig, InetTransport};
use bitcraps_node::transport_wifi::{Identity as LinkIdentity, WifiConfig, WifiTransport};
use bitcraps_node::{BootClock, Node, Store};
use bitcraps_types::{AckLevel, Epoch};

use super::super::DemoError;
use super::super::apart::{Apart, Seating};
use super::super::ledger::Ending;
use super::{Running, STORE_BYTES, Table, far, relayed, tag_of};

impl Table {
    /// Starts a node in its next incarnation.
    pub(in super::super) async fn start(&self, index: usize) -> Result<(), DemoError> {
        let running = match far(self.len()) {
            Some(far) if far == index => self.start_apart(index).await?,
            _ => self.start_here(index).await?,
        };
        self.place(index).running = Some(running);
        Ok(())
    }

    async fn start_apart(&self, index: usize) -> Result<Running, DemoError> {
        let (key, own, epoch) = {
            let mut place = self.place(index);
            place.epoch += 1;
            (place.key, place.identity.peer_id(), place.epoch)
        };
        let others = (0..self.near()).map(|other| self.id(other));
        let seating = Seating {
            key,
            epoch,
            store: self.store(index),
            relay: self.relay.to_string(),
            // The smaller key of a pair dials.
            peers: others.filter(|peer| own < *peer).collect(),
            switches: self.switches,
        };
        let apart = Apart::start(index, &seating, Arc::clone(&self.ledger)).await;
        apart.map(Running::Apart).map_err(|why| DemoError::Apart { index, why })
    }

    async fn start_here(&self, index: usize) -> Result<Running, DemoError> {
        let (key, peer, listen, internet, builder) = {
            let mut place = self.place(index);
            place.epoch += 1;
            let epoch = Epoch(place.epoch);
            let opened = Store::open(&self.store(index), &place.identity, epoch, STORE_BYTES);
            let (store, damage) = opened?;
            if let Some(damage) = damage {
                return Err(DemoError::Damaged(damage));
            }
            let builder = Node::builder(&place.identity, epoch).store(store);
            let key = place.identity.signing_key().clone();
            (key, place.identity.peer_id(), place.listen, place.internet, builder)
        };
        let mut config = InetConfig::new(vec![internet]);
        config.relays = vec![self.relay.clone()];
        let internet = InetTransport::new(config, InternetIdentity::from(key.clone()));
        let internet = Arc::new(internet.map_err(DemoError::Internet)?);
        let lan = WifiTransport::new(WifiConfig::new(listen.to_vec()), LinkIdentity::from(key));
        let lan = Arc::new(lan.map_err(DemoError::Lan)?);
        let switches = self.switches;
        let radio: Arc<dyn Transport> = Arc::new(self.air.radio(peer));
        let node = builder
            .configure(|config| switches.apply(config))
            .dialer(DialerConfig::default())
            .transport(Arc::clone(&internet) as _)
            .transport(Arc::clone(&lan) as _)
            .transport(radio)
            .start()
            .await?;
        let node = Arc::new(node);
        for delivery in node.take_doubts() {
            self.ledger.doubted(tag_of(&delivery.payload), index);
        }
        for (id, receipt) in node.take_recalled() {
            let entry = self.ledger.recalled(index, id);
            let ledger = Arc::clone(&self.ledger);
            tokio::spawn(async move {
                let ending = Ending::from(Ok(receipt.await));
                if let Some(entry) = entry {
                    ledger.ended(entry, ending);
                }
            });
        }
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
        if let Some(bound) = internet.local_addresses().first() {
            place.internet = *bound;
        }
        Ok(Running::Here { node, collector })
    }

    /// Kills a node: of this process, first its wires and its radio fall silent, then it is gone; in
    /// a process of its own, with `kill -9`.
    pub(in super::super) async fn kill(&self, index: usize) {
        let running = self.place(index).running.take();
        match running {
            Some(Running::Here { node, collector }) => {
                self.silence(index, true);
                collector.abort();
                self.relayed.fetch_add(relayed(&node), Ordering::Relaxed);
                node.shutdown().await;
                self.silence(index, false);
            }
            Some(Running::Apart(apart)) => apart.kill().await,
            None => {}
        }
    }

    fn silence(&self, index: usize, silent: bool) {
        let own = self.wires.iter().filter(|((a, b, _), _)| *a == index || *b == index);
        own.for_each(|(_, wire)| wire.lose(if silent { 1_000 } else { 0 }));
        self.air.silence(self.id(index), silent);
    }
}
