use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bitcraps_coordinator::{
    Delivery, Inbox, Machine as _, Outcome, PeerStatus, Receipt, SendOptions,
};
use bitcraps_node::transport_wifi::{Identity as LinkIdentity, WifiConfig, WifiTransport};
use bitcraps_node::{Identity, Node};
use bitcraps_transport_api::Transport;
use bitcraps_types::{
    Address, ConnectTarget, Epoch, Hint, HintSource, LinkId, PeerId, TransportType,
};

/// Bounds a failure only: everything awaited here takes milliseconds, on a busy machine seconds.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for something that must come.
pub(super) async fn soon<T>(what: &str, coming: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, coming).await {
        Ok(came) => came,
        Err(_) => panic!("{what}: nothing within {PATIENCE:?}"),
    }
}

/// A node with its application, and what survives its restarts.
pub(super) struct Seat {
    pub(super) identity: Identity,
    epoch: u64,
    /// Where it listens, one link each.
    pub(super) listen: Vec<SocketAddr>,
    pub(super) node: Node,
    pub(super) inbox: Inbox,
}

/// `count` keys, the smallest first: the first one dials all others, at once.
fn identities(count: usize) -> Vec<Identity> {
    let mut found: Vec<_> = (1..=count).map(|n| Identity::from_seed(&[n as u8; 32])).collect();
    found.sort_by_key(Identity::peer_id);
    found
}

async fn started(
    identity: &Identity,
    epoch: u64,
    listen: &[SocketAddr],
    over: impl FnOnce(Arc<dyn Transport>) -> Arc<dyn Transport>,
) -> (Node, Vec<SocketAddr>) {
    let key = LinkIdentity::from(identity.signing_key().clone());
    let config = WifiConfig::new(listen.to_vec());
    assert!(config.beacon.is_none() && config.mdns.is_none(), "nobody is looked for");
    let lan = Arc::new(WifiTransport::new(config, key).unwrap());
    let builder = Node::builder(identity, Epoch(epoch)).transport(over(Arc::clone(&lan) as _));
    let node = builder.start().await.unwrap();
    (node, lan.local_addresses())
}

impl Seat {
    /// `count` nodes that listen on `paths` loopback addresses each and know nobody.
    pub(super) async fn seats(count: usize, paths: usize) -> Vec<Self> {
        Self::seats_over(count, paths, |_, lan| lan).await
    }

    /// The same; node `number` of them uses what `over` makes of its transport.
    pub(super) async fn seats_over(
        count: usize,
        paths: usize,
        over: impl Fn(usize, Arc<dyn Transport>) -> Arc<dyn Transport>,
    ) -> Vec<Self> {
        let mut seats = Vec::new();
        let mut hosts = 2..;
        for (number, identity) in identities(count).into_iter().enumerate() {
            let hosts = hosts.by_ref().take(paths);
            let listen: Vec<_> =
                hosts.map(|host| (Ipv4Addr::new(127, 0, 0, host), 0).into()).collect();
            let (node, listen) = started(&identity, 1, &listen, |lan| over(number, lan)).await;
            let inbox = node.inbox();
            seats.push(Self { identity, epoch: 1, listen, node, inbox });
        }
        seats
    }

    /// Ends the node and starts its next incarnation at the same addresses; gives what the former
    /// one's application had not taken yet.
    pub(super) async fn restart(&mut self) -> Vec<Delivery> {
        self.node.shutdown().await;
        let mut left = Vec::new();
        while let Some(delivery) = self.inbox.recv().await {
            left.push(delivery);
        }
        self.epoch += 1;
        let (node, listen) = started(&self.identity, self.epoch, &self.listen, |lan| lan).await;
        assert_eq!(listen, self.listen, "the same addresses");
        self.inbox = node.inbox();
        self.node = node;
        left
    }

    pub(super) fn id(&self) -> PeerId {
        self.identity.peer_id()
    }

    /// Learns where `peer` listens.
    pub(super) fn meet(&self, peer: PeerId, address: SocketAddr) {
        let address = Address::new(address.to_string());
        let transport = TransportType::WiFiDirect;
        let target = ConnectTarget { transport, peer, address, via: None };
        let hint = Hint { target, source: HintSource::Static };
        self.node.with(|engine, now| engine.discovered(hint, now));
    }

    /// What it knows of `peer`.
    pub(super) fn status(&self, peer: PeerId) -> PeerStatus {
        self.node.peers().into_iter().find(|p| p.peer == peer).unwrap()
    }

    /// Waits until what it knows of `peer` satisfies `is`; it looks whenever something is noticed.
    pub(super) async fn until(&self, what: &str, peer: PeerId, is: impl Fn(&PeerStatus) -> bool) {
        let mut notices = self.node.notices();
        soon(what, async {
            while !is(&self.status(peer)) {
                notices.recv().await.unwrap();
            }
        })
        .await;
    }

    /// Waits until `links` links to `peer` carry data.
    pub(super) async fn linked(&self, peer: PeerId, links: usize) {
        let ready = |p: &PeerStatus| p.links.iter().filter(|l| l.ready).count() == links;
        self.until("links", peer, ready).await;
    }

    /// Sends, and the receipt.
    pub(super) fn send(&self, to: PeerId, payload: Vec<u8>, options: SendOptions) -> Receipt {
        self.node.send(to, payload, options).unwrap()
    }

    /// Takes every message that lies in its inbox now, and counts each.
    pub(super) fn took(&mut self) -> BTreeMap<Vec<u8>, u32> {
        let inbox = &mut self.inbox;
        counted(std::iter::from_fn(|| inbox.try_recv()))
    }
}

/// How often each payload is among `deliveries`.
pub(super) fn counted(deliveries: impl IntoIterator<Item = Delivery>) -> BTreeMap<Vec<u8>, u32> {
    let mut counts = BTreeMap::new();
    for delivery in deliveries {
        *counts.entry(delivery.payload.to_vec()).or_default() += 1;
    }
    counts
}

/// The outcomes, in order.
pub(super) async fn settled(receipts: impl IntoIterator<Item = Receipt>) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    for receipt in receipts {
        outcomes.push(soon("an outcome", receipt).await);
    }
    outcomes
}

/// The link that carried a delivered message.
pub(super) fn carrier(outcome: &Outcome) -> LinkId {
    match outcome {
        Outcome::Delivered { link, .. } => link.link,
        other => panic!("not delivered: {other:?}"),
    }
}
