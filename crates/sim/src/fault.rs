use std::time::Duration;

use bitcraps_types::{Kbps, Ratio, Timestamp};
use bitcraps_wire::{Body, Frame};
use bytes::Bytes;

use crate::{NodeId, SimLink};

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
