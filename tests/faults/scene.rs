//! What scenarios share: the seeds, a pair of nodes with two links, and what is read from them.

use std::ops::Range;
use std::time::Duration;

use bitcraps_coordinator::{LinkChange, LinkStatus, Notice, Outcome, SendOptions};
use bitcraps_sim::{LinkModel, NodeId, SendId, SimLink, Simulation};
use bitcraps_types::{AckLevel, Epoch, Timestamp, TrafficClass};
use bitcraps_wire::{Body, Data, Frame, HopHeader, NO_DEADLINE};
use bytes::Bytes;

/// Each scenario runs on each of them.
pub(super) const SEEDS: Range<u64> = 1..6;

pub(super) const MS: Duration = Duration::from_millis(1);
pub(super) const SECOND: Duration = Duration::from_secs(1);

/// Says which seed it was when a scenario fails.
struct Running(u64);

impl Drop for Running {
    #[expect(clippy::print_stderr, reason = "the seed is what makes a failure reproducible")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failed with seed {}", self.0);
        }
    }
}

/// Runs a scenario on every seed.
pub(super) fn each_seed(scenario: impl Fn(u64)) {
    for seed in SEEDS {
        let _running = Running(seed);
        scenario(seed);
    }
}

/// Two nodes with two links between them, both measured.
pub(super) struct Pair {
    pub(super) sim: Simulation,
    pub(super) a: NodeId,
    pub(super) b: NodeId,
    /// Preferred while nothing is wrong.
    pub(super) used: SimLink,
    pub(super) standby: SimLink,
}

impl Pair {
    pub(super) fn new(seed: u64, used: LinkModel, standby: LinkModel) -> Self {
        let mut sim = Simulation::new(seed);
        let (a, b) = (sim.add_node(), sim.add_node());
        let used = sim.add_link(a, b, used);
        let standby = sim.add_link(a, b, standby);
        sim.run_for(2 * SECOND);
        Self { sim, a, b, used, standby }
    }

    /// `count` messages from `a` to `b`, one each `interval`, the first now.
    pub(super) fn stream(
        &mut self,
        count: u32,
        interval: Duration,
        len: usize,
        options: SendOptions,
    ) -> Vec<SendId> {
        let from = self.sim.now();
        let send = |i| self.sim.send_at(from + interval * i, self.a, self.b, len, options, None);
        (0..count).map(send).collect()
    }

    /// How `a` sees a link.
    pub(super) fn status(&self, link: SimLink) -> LinkStatus {
        status(&self.sim, self.a, link)
    }

    /// Changes of a link's standing that `a` was told.
    pub(super) fn changes(&self, link: SimLink) -> Vec<(Timestamp, LinkChange)> {
        changes(&self.sim, self.a, link)
    }

    /// Ends the scenario: everything settles, and the simulator finds nothing wrong.
    pub(super) fn settle(&mut self) {
        settle(&mut self.sim);
    }
}

/// Runs until everything is settled, and holds the simulator's check against it.
pub(super) fn settle(sim: &mut Simulation) {
    assert!(sim.run_until_idle(600 * SECOND), "messages stay open");
    sim.check_settled().unwrap();
}

/// How a node sees a link.
pub(super) fn status(sim: &Simulation, node: NodeId, link: SimLink) -> LinkStatus {
    let id = sim.link_id(link, node).unwrap();
    let peers = sim.core(node).unwrap().peers(sim.clock(node));
    let mut links = peers.into_iter().flat_map(|peer| peer.links);
    links.find(|status| status.facts.link == id).unwrap()
}

/// Changes of a link's standing that a node was told, over all its incarnations.
pub(super) fn changes(sim: &Simulation, node: NodeId, of: SimLink) -> Vec<(Timestamp, LinkChange)> {
    let change = |(at, notice): &(Timestamp, Notice)| match notice {
        Notice::LinkChanged { link, change, .. } if sim.link_of(*link) == Some(of) => {
            Some((*at, *change))
        }
        _ => None,
    };
    sim.notices(node).iter().filter_map(change).collect()
}

/// A message's time from `send` to its first delivery.
pub(super) fn transit(sim: &Simulation, id: SendId) -> Option<Duration> {
    let message = sim.message(id);
    let found = sim.app(message.to).delivered().iter().find(|d| {
        d.delivery.payload == message.payload && d.delivery.class() == message.options.class
    });
    found.map(|record| record.at.since(message.at))
}

/// The link that brought a message.
pub(super) fn carrier(sim: &Simulation, id: SendId) -> Option<SimLink> {
    let message = sim.message(id);
    let found =
        sim.app(message.to).delivered().iter().find(|d| d.delivery.payload == message.payload);
    found.and_then(|record| sim.link_of(record.delivery.link))
}

/// A confirmed message's attempts and latency, as its sender was told.
pub(super) fn confirmed(sim: &Simulation, id: SendId) -> (u16, Duration) {
    match &sim.message(id).outcome {
        Some((_, Outcome::Delivered { attempts, latency, .. })) => (*attempts, *latency),
        other => panic!("message {id:?} ended as {other:?}"),
    }
}

/// One copy only, so that what is seen is failover and not the second path.
pub(super) fn single(class: TrafficClass) -> SendOptions {
    SendOptions::new(class).max_copies(1)
}

/// A frame for the first incarnation of a node, as a peer that knows the protocol would make it.
pub(super) fn frame(link_seq: u32, body: Body) -> Frame {
    let header = HopHeader { ttl: 1, deadline_ms: NO_DEADLINE, link_seq, receiver_epoch: Epoch(1) };
    Frame { header, hop_ack: None, route: None, body }
}

/// `payload` as the bytes from `offset` on of message `sequence`, which is `total` bytes long.
pub(super) fn fragment(sequence: u64, total: u32, offset: u32, payload: Bytes) -> Data {
    Data {
        class: TrafficClass::Critical,
        ack: AckLevel::PeerAcked,
        generation: 0,
        attempt: 1,
        source_epoch: Epoch(1),
        sequence,
        behind_lowest_live: u16::try_from(sequence).unwrap_or(u16::MAX),
        total,
        offset,
        payload,
    }
}

/// The data frames that a node sent over a link since it was recorded.
pub(super) fn data_sent(sim: &Simulation, link: SimLink, from: NodeId) -> Vec<Data> {
    let frames = sim.recorded(link, from).iter().map(|r| Frame::decode(r.frame.clone()));
    let data = frames.filter_map(|frame| match frame.unwrap().body {
        Body::Data(data) => Some(data),
        _ => None,
    });
    data.collect()
}

/// A third node with a link to `b`, whose frames the test makes up.
pub(super) fn intruder(sim: &mut Simulation, b: NodeId, model: LinkModel) -> (NodeId, SimLink) {
    let c = sim.add_node();
    let link = sim.add_link(c, b, model);
    sim.run_for(SECOND);
    (c, link)
}
