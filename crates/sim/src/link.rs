use bitcraps_coordinator::LinkUp;
use bitcraps_types::{Address, DownReason, LinkId};

use crate::event::{Event, LaneId, Told};
use crate::fault::Way;
use crate::lane::{Lane, LaneStats};
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

    pub(crate) fn duplex(&self, link: SimLink) -> &Duplex {
        &self.links[link.0 as usize]
    }

    pub(crate) fn duplex_mut(&mut self, link: SimLink) -> &mut Duplex {
        &mut self.links[link.0 as usize]
    }

    pub(crate) fn lane_mut(&mut self, lane: LaneId) -> &mut Lane {
        &mut self.duplex_mut(lane.link).lanes[lane.side]
    }

    pub(crate) fn lanes(&self, link: SimLink, way: Way) -> Vec<LaneId> {
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

    pub(crate) fn remote(link: SimLink, side: usize) -> Address {
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
}
