use std::cmp::Ordering;
use std::collections::BinaryHeap;

use bitcraps_coordinator::LinkUp;
use bitcraps_types::{
    Address, ConnectTarget, DownReason, Hint, LinkId, MessageId, Timestamp, TrafficClass,
};
use bytes::Bytes;

use crate::{NodeId, SendId, SimLink, Simulation};

/// One direction of a link: frames from the end `side` to the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LaneId {
    pub(crate) link: SimLink,
    pub(crate) side: usize,
}

/// What an adapter tells a node.
#[derive(Debug, Clone)]
pub(crate) enum Told {
    Up(LinkUp, Address),
    Down(LinkId, DownReason),
    Written(LinkId, u64),
    Discovered(Hint),
    Connected(ConnectTarget, Option<LinkId>),
}

pub(crate) type Action = Box<dyn FnOnce(&mut Simulation) + Send>;

/// What happens at a point in time. What is large and seldom is apart: the queue moves events about.
pub(crate) enum Event {
    /// The frame at the head of a lane's queue has left it.
    Departure { lane: LaneId, service: u64 },
    /// A frame is at the other end.
    Arrival { lane: LaneId, incarnation: u64, frame: Bytes },
    /// A node's engine wanted to be called.
    Timer { node: NodeId },
    /// An adapter tells something to a node that lived when it was noticed.
    Told { node: NodeId, life: u32, told: Box<Told> },
    /// A node finishes dialling.
    Dialled { node: NodeId, life: u32, target: Box<ConnectTarget> },
    /// An end learns that the other closed the link.
    PeerClosed { link: SimLink, incarnation: u64, side: usize },
    /// An application sends.
    Send(SendId),
    /// An application takes the oldest message out of its inbox.
    Take { node: NodeId, life: u32, class: TrafficClass },
    /// An application answers.
    Verdict { node: NodeId, life: u32, id: MessageId, applied: bool },
    /// A node's store finishes a batch.
    Written { node: NodeId, life: u32 },
    /// The next row of a trace begins.
    Row { replay: usize },
    /// The script of the scenario.
    Action(Action),
}

struct Entry {
    at: Timestamp,
    number: u64,
    event: Event,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    /// The heap's largest entry is the one that comes first.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}

/// What is still to happen, by time and then by the order in which it was decided.
#[derive(Default)]
pub(crate) struct EventQueue {
    heap: BinaryHeap<Entry>,
    number: u64,
}

impl EventQueue {
    pub(crate) fn push(&mut self, at: Timestamp, event: Event) {
        self.number += 1;
        self.heap.push(Entry { at, number: self.number, event });
    }

    pub(crate) fn next_at(&self) -> Option<Timestamp> {
        self.heap.peek().map(|entry| entry.at)
    }

    pub(crate) fn pop(&mut self) -> Option<(Timestamp, Event)> {
        self.heap.pop().map(|entry| (entry.at, entry.event))
    }

    /// The next frame that arrives over `lane` now, if that is what comes next.
    pub(crate) fn pop_arrival(&mut self, now: Timestamp, on: LaneId, of: u64) -> Option<Bytes> {
        let next = self.heap.peek()?;
        match &next.event {
            Event::Arrival { lane, incarnation, .. }
                if next.at == now && *lane == on && *incarnation == of => {}
            _ => return None,
        }
        match self.heap.pop()?.event {
            Event::Arrival { frame, .. } => Some(frame),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_by_time_then_by_insertion() {
        let mut queue = EventQueue::default();
        for (at, node) in [(5, 0), (3, 1), (5, 2), (3, 3), (4, 4)] {
            let node = NodeId(node);
            queue.push(Timestamp::from_millis(at), Event::Timer { node });
        }
        let mut order = Vec::new();
        while let Some((_, Event::Timer { node })) = queue.pop() {
            order.push(node.0);
        }
        assert_eq!(order, [1, 3, 4, 0, 2]);
    }
}
