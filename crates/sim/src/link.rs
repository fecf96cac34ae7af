use std::time::Duration;

use bitcraps_coordinator::{LinkUp, TransmitFailure};
use bitcraps_types::{Address, ConnectTarget, DownReason, Hint, HintSource, LinkId, Timestamp};
use bytes::Bytes;

use crate::event::{Event, LaneId, Told};
use crate::fault::{Fate, Fault, Passing, Way};
use crate::lane::{Lane, LaneStats, Recorded};
use crate::{Death, LinkModel, NodeId, Simulation};

/// A link between two nodes, over all its incarnations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SimLink(pub(crate) u32);

/// Both directions of a link.
pub(crate) struct Duplex {
    pub(crate) nodes: [NodeId; 2],
    /// `lanes[i]` carries what `nodes[i]` sends.
    pub(crate) lanes: [Lane; 2],
    /// What each end calls the link, while it holds it to be up.
    pub(crate) ids: [Option<LinkId>; 2],
    /// Frames of former incarnations never arrive.
    pub(crate) incarnation: u64,
}

impl Simulation {
    /// Adds a link that is the same both ways, and brings it up.
    pub fn add_link(&mut self, a: NodeId, b: NodeId, model: LinkModel) -> SimLink {
        let link = self.add_link_down(a, b, [model; 2]);
        self.bring_up(link);
        link
    }

    /// Adds a link that is not up: `models` say how it carries what `a` and what `b` send.
    pub fn add_link_down(&mut self, a: NodeId, b: NodeId, models: [LinkModel; 2]) -> SimLink {
        let link = SimLink(self.links.len() as u32);
        let [there, back] = models;
        let index = u64::from(link.0) * 2;
        let lanes =
            [Lane::new(there, self.seed_of(3, index)), Lane::new(back, self.seed_of(3, index + 1))];
        self.links.push(Duplex { nodes: [a, b], lanes, ids: [None; 2], incarnation: 0 });
        link
    }

    /// Every link, in the order they were added.
    pub fn links(&self) -> impl Iterator<Item = SimLink> + use<> {
        (0..self.links.len() as u32).map(SimLink)
    }

    /// The ends of a link, in the order they were given.
    pub fn ends(&self, link: SimLink) -> [NodeId; 2] {
        self.duplex(link).nodes
    }

    fn duplex(&self, link: SimLink) -> &Duplex {
        &self.links[link.0 as usize]
    }

    fn duplex_mut(&mut self, link: SimLink) -> &mut Duplex {
        &mut self.links[link.0 as usize]
    }

    fn lane_mut(&mut self, lane: LaneId) -> &mut Lane {
        &mut self.duplex_mut(lane.link).lanes[lane.side]
    }

    fn lanes(&self, link: SimLink, way: Way) -> Vec<LaneId> {
        let nodes = self.duplex(link).nodes;
        let concerned = |side: &usize| match way {
            Way::Both => true,
            Way::From(node) => nodes[*side] == node,
        };
        let sides = [0, 1].into_iter().filter(concerned);
        sides.map(|side| LaneId { link, side }).collect()
    }

    fn next_link_id(&mut self, lane: LaneId) -> LinkId {
        self.ends.push((lane.link.0, lane.side));
        LinkId(self.ends.len() as u64)
    }

    fn remote(link: SimLink, side: usize) -> Address {
        Address::new(format!("sim:{}:{}", link.0, 1 - side))
    }

    /// Brings a link up at every end that is alive and does not hold it to be up.
    pub fn bring_up(&mut self, link: SimLink) {
        let holds = |ids: &[Option<LinkId>; 2]| ids.iter().any(Option::is_some);
        if !holds(&self.duplex(link).ids) {
            let duplex = self.duplex_mut(link);
            duplex.incarnation += 1;
            duplex.lanes.iter_mut().for_each(Lane::reset);
        }
        for side in [0, 1] {
            let duplex = self.duplex(link);
            let node = duplex.nodes[side];
            let alive = self.nodes[node.index()].engine.is_some();
            if duplex.ids[side].is_some() || !alive {
                continue;
            }
            let peer = self.nodes[duplex.nodes[1 - side].index()].peer;
            let nominal = duplex.lanes[side].nominal;
            let id = self.next_link_id(LaneId { link, side });
            self.duplex_mut(link).ids[side] = Some(id);
            let facts = LinkUp {
                link: id,
                peer,
                transport: nominal.transport,
                capabilities: nominal.capabilities(),
            };
            self.tell(node, Told::Up(facts, Self::remote(link, side)));
        }
    }

    /// Takes a link down at both ends.
    pub fn take_down(&mut self, link: SimLink, reason: DownReason) {
        for side in [0, 1] {
            self.drop_end(link, side, &reason);
        }
    }

    /// One end does not hold the link any more, and its adapter tells so.
    fn drop_end(&mut self, link: SimLink, side: usize, reason: &DownReason) {
        let duplex = self.duplex_mut(link);
        let node = duplex.nodes[side];
        if let Some(id) = duplex.ids[side].take() {
            duplex.lanes[side].reset();
            self.tell(node, Told::Down(id, reason.clone()));
        }
    }

    /// An engine closes its end; the other learns it when the word arrives.
    pub(crate) fn close_end(&mut self, id: LinkId, reason: DownReason) {
        let Some(LaneId { link, side }) = self.lane_of(id) else {
            return;
        };
        let duplex = self.duplex(link);
        let (incarnation, latency) = (duplex.incarnation, duplex.lanes[side].model.latency);
        let deaf = duplex.lanes[side].swallows(0);
        self.drop_end(link, side, &reason);
        if !deaf {
            let side = 1 - side;
            let event = Event::PeerClosed { link, incarnation, side };
            self.queue.push(self.now + latency, event);
        }
    }

    pub(crate) fn peer_closed(&mut self, link: SimLink, incarnation: u64, side: usize) {
        if self.duplex(link).incarnation == incarnation {
            self.trace(12, u64::from(link.0));
            self.drop_end(link, side, &DownReason::ClosedByPeer);
        }
    }

    /// The end of a node that died.
    pub(crate) fn strand(&mut self, link: SimLink, node: NodeId, death: Death) {
        for lane in self.lanes(link, Way::From(node)) {
            self.duplex_mut(link).ids[lane.side] = None;
            self.lane_mut(lane).reset();
        }
        if death == Death::Told {
            self.take_down(link, DownReason::ClosedByPeer);
        }
    }

    /// A node that was dead gets its end again; the other end never let go of its own.
    pub(crate) fn rejoin(&mut self, link: SimLink, node: NodeId) {
        let held = self.duplex(link).ids.iter().any(Option::is_some);
        if held && self.duplex(link).nodes.contains(&node) {
            self.bring_up(link);
        }
    }

    /// What an end calls the link now, if it holds it to be up.
    pub fn link_id(&self, link: SimLink, node: NodeId) -> Option<LinkId> {
        let duplex = self.duplex(link);
        let side = duplex.nodes.iter().position(|n| *n == node)?;
        duplex.ids[side]
    }

    /// The link behind an id.
    pub fn link_of(&self, id: LinkId) -> Option<SimLink> {
        let at = usize::try_from(id.0.checked_sub(1)?).ok()?;
        self.ends.get(at).map(|(link, _)| SimLink(*link))
    }

    /// Something is wrong, or not any more, with a link from now on.
    pub fn fault(&mut self, link: SimLink, way: Way, fault: Fault) {
        self.digest.shown(&fault);
        self.trace(13, u64::from(link.0));
        self.change_lanes(link, way, |lane| match fault {
            Fault::BlackHole(on) => lane.black_hole = on,
            Fault::Hang(on) => lane.hung = on,
            Fault::Refuse(refusal) => lane.refusal = refusal,
            Fault::DropLarger(most) => lane.largest = most,
            Fault::Loss(share) => lane.model.loss = share,
            Fault::Duplication(share) => lane.model.duplication = share,
            Fault::Corruption(share) => lane.model.corruption = share,
            Fault::Latency(latency) => lane.model.latency = latency,
            Fault::Jitter(jitter) => lane.model.jitter = jitter,
            Fault::Reorder(on) => lane.model.reorder = on,
            Fault::Rate(rate) => lane.model.rate = rate,
            Fault::QueueBytes(bytes) => lane.model.queue_bytes = bytes,
        });
    }

    /// Changes how directions of a link carry frames; what is leaving just now goes on at once.
    pub(crate) fn change_lanes(&mut self, link: SimLink, way: Way, change: impl Fn(&mut Lane)) {
        let now = self.now;
        for id in self.lanes(link, way) {
            let lane = self.lane_mut(id);
            lane.progress(now);
            change(lane);
            self.serve(id);
        }
    }

    /// [`Self::fault`] at `at`.
    pub fn fault_at(&mut self, at: Timestamp, link: SimLink, way: Way, fault: Fault) {
        self.at(at, move |sim| sim.fault(link, way, fault));
    }

    /// Puts every direction back to how the scenario made it, rules included. Whether the link is
    /// up does not change.
    pub fn heal(&mut self, link: SimLink) {
        self.trace(14, u64::from(link.0));
        self.change_lanes(link, Way::Both, |lane| {
            lane.model = lane.nominal;
            (lane.black_hole, lane.hung) = (false, false);
            (lane.refusal, lane.largest) = (None, None);
            lane.rules.clear();
        });
    }

    /// A rule decides about frames of a link from now on, after the rules that are there already.
    pub fn rule(
        &mut self,
        link: SimLink,
        way: Way,
        rule: impl FnMut(&Passing<'_>) -> Fate + Clone + Send + 'static,
    ) {
        for lane in self.lanes(link, way) {
            self.lane_mut(lane).rules.push(Box::new(rule.clone()));
        }
    }

    /// No rule decides about frames of a link any more.
    pub fn clear_rules(&mut self, link: SimLink, way: Way) {
        for lane in self.lanes(link, way) {
            self.lane_mut(lane).rules.clear();
        }
    }

    /// The link comes and goes `times` times from now on: down for `down`, then up for `up`. Silent
    /// flaps are black holes that no adapter tells of.
    pub fn flap(&mut self, link: SimLink, [down, up]: [Duration; 2], times: u32, silent: bool) {
        for i in 0..times {
            let begin = self.now + (down + up) * i;
            let end = begin + down;
            if silent {
                self.fault_at(begin, link, Way::Both, Fault::BlackHole(true));
                self.fault_at(end, link, Way::Both, Fault::BlackHole(false));
            } else {
                let why = DownReason::Failed("flap".to_owned());
                self.at(begin, move |sim| sim.take_down(link, why));
                self.at(end, move |sim| sim.bring_up(link));
            }
        }
    }

    /// Frames that `from` sends over a link are remembered from now on.
    pub fn record(&mut self, link: SimLink, from: NodeId) {
        for lane in self.lanes(link, Way::From(from)) {
            self.lane_mut(lane).recording.get_or_insert_default();
        }
    }

    /// What was remembered since [`Self::record`].
    pub fn recorded(&self, link: SimLink, from: NodeId) -> &[Recorded] {
        let duplex = self.duplex(link);
        let side = duplex.nodes.iter().position(|n| *n == from);
        let recording = side.and_then(|side| duplex.lanes[side].recording.as_ref());
        recording.map_or(&[], Vec::as_slice)
    }

    /// Hands a frame to a node at once, as if it came over a link; false when the node does not
    /// hold the link to be up, or cannot hear.
    pub fn inject(&mut self, link: SimLink, to: NodeId, frame: Bytes) -> bool {
        self.trace(15, u64::from(to.0));
        self.digest.bytes(&frame);
        match self.link_id(link, to) {
            Some(id) => self.hand_in(to, id, &mut vec![frame]),
            None => false,
        }
    }

    /// What a direction of a link did so far.
    pub fn lane_stats(&self, link: SimLink, from: NodeId) -> LaneStats {
        let duplex = self.duplex(link);
        let side = duplex.nodes.iter().position(|n| *n == from);
        side.map_or_else(LaneStats::default, |side| duplex.lanes[side].stats)
    }

    /// How a direction of a link is now.
    pub fn model(&self, link: SimLink, from: NodeId) -> Option<LinkModel> {
        let duplex = self.duplex(link);
        let side = duplex.nodes.iter().position(|n| *n == from)?;
        Some(duplex.lanes[side].model)
    }

    pub(crate) fn transmit(&mut self, id: LinkId, frame: Bytes) -> Result<(), TransmitFailure> {
        let lane = self.lane_of(id).ok_or(TransmitFailure::Closed)?;
        self.lane_mut(lane).take(frame)?;
        if !self.lane_mut(lane).is_serving() {
            self.serve(lane);
        }
        Ok(())
    }

    /// Schedules the departure of the frame at the head.
    fn serve(&mut self, id: LaneId) {
        let now = self.now;
        let lane = self.lane_mut(id);
        if let Some(at) = lane.serve(now) {
            let service = lane.services;
            let event = Event::Departure { lane: id, service };
            self.queue.push(at, event);
        }
    }

    pub(crate) fn departure(&mut self, id: LaneId, service: u64) {
        let now = self.now;
        let lane = self.lane_mut(id);
        if lane.services != service {
            return;
        }
        self.trace(16, u64::from(id.link.0) * 2 + id.side as u64);
        // Everything that leaves at this very moment is told in one word.
        loop {
            let lane = self.lane_mut(id);
            let Some(frame) = lane.depart(now) else { break };
            self.launch(id, frame);
            let lane = self.lane_mut(id);
            match lane.serve(now) {
                Some(at) if at <= now => {}
                Some(at) => {
                    let service = lane.services;
                    let event = Event::Departure { lane: id, service };
                    self.queue.push(at, event);
                    break;
                }
                None => break,
            }
        }
        let duplex = self.duplex(id.link);
        let (node, total) = (duplex.nodes[id.side], duplex.lanes[id.side].written);
        if let Some(link) = duplex.ids[id.side] {
            self.tell_written(node, link, total);
        }
    }

    /// A frame is on its way; faults, rules and luck decide what becomes of it.
    fn launch(&mut self, id: LaneId, frame: Bytes) {
        let now = self.now;
        let duplex = &mut self.links[id.link.0 as usize];
        let (from, to) = (duplex.nodes[id.side], duplex.nodes[1 - id.side]);
        let incarnation = duplex.incarnation;
        let lane = &mut duplex.lanes[id.side];
        let luck = lane.draw();
        let swallowed = lane.swallows(frame.len());
        let mut fate = Fate::Pass;
        if !swallowed {
            let passing = Passing { at: now, link: id.link, from, to, frame: &frame };
            let mut rules = lane.rules.iter_mut();
            let decided = rules.find_map(|rule| Some(rule(&passing)).filter(|f| *f != Fate::Pass));
            fate = decided.unwrap_or(Fate::Pass);
        }
        if swallowed || luck.lost || fate == Fate::Drop {
            lane.stats.lost += 1;
            return;
        }
        let mut extra = Duration::ZERO;
        let mut frames = match fate {
            Fate::Pass | Fate::Drop => vec![frame],
            Fate::Delay(delay) => {
                extra = delay;
                vec![frame]
            }
            Fate::Replace(frames) => frames,
        };
        if let (Some(share), Some(first)) = (luck.flipped, frames.first_mut()) {
            *first = flipped(first, share);
        }
        if let (true, Some(first)) = (luck.doubled, frames.first().cloned()) {
            frames.push(first);
        }
        for frame in frames {
            let at = match extra {
                Duration::ZERO => lane.arrival(luck.jitter, now),
                extra => now + lane.model.latency + luck.jitter + extra,
            };
            let event = Event::Arrival { lane: id, incarnation, frame };
            self.queue.push(at, event);
        }
    }

    pub(crate) fn arrival(&mut self, id: LaneId, incarnation: u64, frame: Bytes) {
        let mut frames = vec![frame];
        while let Some(next) = self.queue.pop_arrival(self.now, id, incarnation) {
            frames.push(next);
        }
        self.trace(17, u64::from(id.link.0) * 2 + id.side as u64);
        frames.iter().for_each(|frame| self.digest.bytes(frame));
        let count = frames.len() as u64;
        let duplex = self.duplex(id.link);
        let to = duplex.nodes[1 - id.side];
        let end = duplex.ids[1 - id.side].filter(|_| duplex.incarnation == incarnation);
        let heard = end.is_some_and(|link| self.hand_in(to, link, &mut frames));
        let stats = &mut self.lane_mut(id).stats;
        if heard {
            stats.arrived += count;
        } else {
            stats.lost += count;
        }
    }

    /// Where the end of `node` is dialled; tell another node with [`Self::discover`].
    fn target(&self, link: SimLink, side: usize) -> ConnectTarget {
        let duplex = self.duplex(link);
        ConnectTarget {
            transport: duplex.lanes[side].nominal.transport,
            peer: self.nodes[duplex.nodes[1 - side].index()].peer,
            address: Self::remote(link, side),
            via: None,
        }
    }

    /// An end of a link that is down learns where the other may be reached. Its engine dials in its
    /// own time, and the dial succeeds when frames pass both ways.
    pub fn discover(&mut self, link: SimLink, node: NodeId, source: HintSource) {
        for lane in self.lanes(link, Way::From(node)) {
            let target = self.target(link, lane.side);
            self.tell(node, Told::Discovered(Hint { target, source }));
        }
    }

    /// A node dials: the answer comes after a round trip, or when its patience ends.
    pub(crate) fn dial(&mut self, node: NodeId, target: ConnectTarget) {
        let state = &self.nodes[node.index()];
        let patience = state.config.transports[target.transport.index()].connection_timeout;
        let wait = match self.dialled_link(&target) {
            Some(link) => self.duplex(link).lanes.iter().map(|l| l.model.latency).sum(),
            None => patience,
        };
        let life = state.life;
        let event = Event::Dialled { node, life, target };
        self.queue.push(self.now + patience.min(wait), event);
    }

    /// The link that an address leads over, if frames pass it both ways.
    fn dialled_link(&self, target: &ConnectTarget) -> Option<SimLink> {
        let address = target.address.as_str().strip_prefix("sim:")?;
        let (link, side) = address.split_once(':')?;
        let (link, side) = (SimLink(link.parse().ok()?), side.parse::<usize>().ok()?);
        let duplex = self.links.get(link.0 as usize)?;
        let there = &self.nodes[duplex.nodes.get(side)?.index()];
        let passes = |lane: &Lane| !lane.swallows(0) && !lane.hung && lane.refusal.is_none();
        let whole = there.engine.is_some() && duplex.lanes.iter().all(passes);
        (whole && there.peer == target.peer).then_some(link)
    }

    pub(crate) fn dialled(&mut self, node: NodeId, life: u32, target: ConnectTarget) {
        if self.nodes[node.index()].life != life {
            return;
        }
        self.trace(18, u64::from(node.0));
        let link = self.dialled_link(&target);
        if let Some(link) = link {
            // An end that never learned of the other's death gives way to the new incarnation.
            if self.duplex(link).ids.iter().any(Option::is_none) {
                self.take_down(link, DownReason::Replaced);
            }
            self.bring_up(link);
        }
        let id = link.and_then(|link| self.link_id(link, node));
        self.tell(node, Told::Connected(target, id));
    }
}

/// The frame with one bit flipped, at `share` of its length.
fn flipped(frame: &Bytes, share: f64) -> Bytes {
    let mut bytes = frame.to_vec();
    let bit = (share * (bytes.len() * 8) as f64) as usize;
    if let Some(byte) = bytes.get_mut(bit / 8) {
        *byte ^= 1 << (bit % 8);
    }
    bytes.into()
}
