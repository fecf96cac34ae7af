use bitcraps_types::{ConnectTarget, DownReason, Hint, HintSource};

use crate::event::{Event, Told};
use crate::lane::Lane;
use crate::{NodeId, SimLink, Simulation, Way};

/// Links that engines ask for.
impl Simulation {
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
        let event = Event::Dialled { node, life, target: Box::new(target) };
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
