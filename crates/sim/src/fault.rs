use std::time::Duration;

use bitcraps_types::{DownReason, Kbps, Ratio, Timestamp};
use bitcraps_wire::{Body, Frame};
use bytes::Bytes;

use crate::lane::Lane;
use crate::{NodeId, SimLink, Simulation};

/// The directions of a link that something concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Both.
    Both,
    /// Frames that this end sends.
    From(NodeId),
}

/// What an adapter says instead of taking a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It cannot send at all.
    Closed,
    /// Its queue is full.
    Full,
}

/// Something that is wrong with a direction of a link, or is not any more.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fault {
    /// Frames are taken and told as written, and nothing arrives.
    BlackHole(bool),
    /// Frames are taken and never written.
    Hang(bool),
    /// Frames are given back.
    Refuse(Option<Refusal>),
    /// Frames of more bytes than that vanish.
    DropLarger(Option<usize>),
    /// This share of frames vanishes.
    Loss(Ratio),
    /// This share of frames arrives twice.
    Duplication(Ratio),
    /// This share of frames arrives with one bit flipped.
    Corruption(Ratio),
    /// Frames take that long.
    Latency(Duration),
    /// Frames take up to that much longer.
    Jitter(Duration),
    /// Jitter lets frames overtake each other.
    Reorder(bool),
    /// Frames leave that fast.
    Rate(Kbps),
    /// The queue holds that many bytes.
    QueueBytes(usize),
}

/// A frame on its way, as a rule sees it.
#[derive(Debug, Clone, Copy)]
pub struct Passing<'a> {
    /// When it left.
    pub at: Timestamp,
    /// Over which link.
    pub link: SimLink,
    /// Who sent it.
    pub from: NodeId,
    /// To whom.
    pub to: NodeId,
    /// Its bytes.
    pub frame: &'a Bytes,
}

impl Passing<'_> {
    /// The frame, if it can be read.
    pub fn decoded(&self) -> Option<Frame> {
        Frame::decode(self.frame.clone()).ok()
    }

    /// Whether it acknowledges anything.
    pub fn bears_ack(&self) -> bool {
        self.decoded().is_some_and(|frame| {
            frame.hop_ack.is_some() || matches!(frame.body, Body::EndAck(_) | Body::ProbeReply(_))
        })
    }

    /// Whether it carries a message or a part of one.
    pub fn bears_data(&self) -> bool {
        self.decoded().is_some_and(|frame| matches!(frame.body, Body::Data(_)))
    }
}

/// What a rule does to a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// Nothing; the next rule sees it.
    Pass,
    /// It vanishes.
    Drop,
    /// It arrives that much later, whatever overtakes it; no further rule sees it.
    Delay(Duration),
    /// These take its place; no further rule sees them.
    Replace(Vec<Bytes>),
}

/// Decides about each frame of a direction that nothing else has swallowed.
pub(crate) type Rule = Box<dyn FnMut(&Passing<'_>) -> Fate + Send>;

/// How a node ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Death {
    /// Its peers are told that its links are gone.
    Told,
    /// Its peers hear nothing any more.
    Silent,
}

/// How a node that was dead comes back to its links.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Return {
    /// Every link comes up anew at both ends.
    NewLinks,
    /// Peers that still hold their end keep it; the returned node gets a new one.
    SameLinks,
    /// No link comes up.
    NoLinks,
}

impl Simulation {
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
}
