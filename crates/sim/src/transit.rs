use std::time::Duration;

use bitcraps_coordinator::TransmitFailure;
use bitcraps_types::LinkId;
use bytes::Bytes;

use crate::event::{Event, LaneId};
use crate::lane::Recorded;
use crate::{Fate, NodeId, Passing, SimLink, Simulation, Way};

/// The way of a frame from one end of a link to the other.
impl Simulation {
    pub(crate) fn transmit(&mut self, id: LinkId, frame: Bytes) -> Result<(), TransmitFailure> {
        let lane = self.lane_of(id).ok_or(TransmitFailure::Closed)?;
        self.lane_mut(lane).take(frame)?;
        if !self.lane_mut(lane).is_serving() {
            self.serve(lane);
        }
        Ok(())
    }

    /// Schedules the departure of the frame at the head.
    pub(crate) fn serve(&mut self, id: LaneId) {
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
