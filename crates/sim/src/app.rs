use std::collections::VecDeque;
use std::time::Duration;

use bitcraps_coordinator::{Delivery, Machine, bounds};
use bitcraps_types::{AckLevel, MessageId, Timestamp, TrafficClass};

use crate::event::Event;
use crate::{NodeId, Simulation};

/// What an application says to messages that ask for its verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Success, at once.
    Applies,
    /// Refusal, at once.
    Refuses,
    /// Nothing, ever.
    Silent,
    /// Success, after a while.
    AppliesAfter(Duration),
}

/// How fast an application empties its inbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// Each message the moment it comes.
    AtOnce,
    /// One message after each such time.
    Every(Duration),
}

/// A message as the application got it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivered {
    /// When.
    pub at: Timestamp,
    /// In which of the node's lives, from 0.
    pub life: u32,
    /// What.
    pub delivery: Delivery,
    /// Whether it was taken out of the inbox or answered, and its node told.
    pub taken: bool,
}

/// The application of a node. It remembers all it was ever handed, over every life of the node and
/// without knowing how the node tells repeats apart.
#[derive(Debug)]
pub struct App {
    /// Messages of each class that its inbox holds.
    pub(crate) room: usize,
    pub(crate) attached: bool,
    pub(crate) pace: Pace,
    pub(crate) verdict: Verdict,
    pub(crate) delivered: Vec<Delivered>,
    /// Messages it was told of as doubtful.
    pub(crate) doubts: Vec<Delivery>,
    pub(crate) inbox: VecDeque<TrafficClass>,
    /// Whether the next look into the inbox is scheduled.
    pub(crate) taking: bool,
    pub(crate) peak_inbox: usize,
    /// Messages that it was handed and had no room for, or while it was gone.
    pub(crate) overruns: u64,
}

impl Default for App {
    fn default() -> Self {
        Self {
            room: bounds::INBOX_MESSAGES,
            attached: true,
            pace: Pace::AtOnce,
            verdict: Verdict::Applies,
            delivered: Vec::new(),
            doubts: Vec::new(),
            inbox: VecDeque::new(),
            taking: false,
            peak_inbox: 0,
            overruns: 0,
        }
    }
}

impl App {
    /// With an inbox for this many messages of each class.
    #[must_use]
    pub fn room(mut self, messages: usize) -> Self {
        self.room = messages;
        self
    }

    /// Not there before it is attached.
    #[must_use]
    pub fn absent(mut self) -> Self {
        self.attached = false;
        self
    }

    /// Emptying its inbox at this pace.
    #[must_use]
    pub fn pace(mut self, pace: Pace) -> Self {
        self.pace = pace;
        self
    }

    /// With this verdict.
    #[must_use]
    pub fn verdict(mut self, verdict: Verdict) -> Self {
        self.verdict = verdict;
        self
    }

    /// How many messages of a class wait in its inbox.
    pub(crate) fn waiting(&self, class: TrafficClass) -> usize {
        self.inbox.iter().filter(|c| **c == class).count()
    }

    /// Everything it was handed, in the order of arrival.
    pub fn delivered(&self) -> &[Delivered] {
        &self.delivered
    }

    /// Most messages that waited in the inbox at once.
    pub fn peak_inbox(&self) -> usize {
        self.peak_inbox
    }
}

/// What applications do with what they are handed.
impl Simulation {
    pub(crate) fn deliver(&mut self, node: NodeId, delivery: Delivery) {
        self.digest.shown(&delivery.id);
        self.digest.bytes(&delivery.payload);
        let now = self.now;
        let state = &mut self.nodes[node.index()];
        let (life, clock) = (state.life, state.clock(now));
        let (id, asked) = (delivery.id, delivery.ack == AckLevel::Applied);
        let room = state.app.attached && state.app.waiting(id.class) < state.app.room;
        state.app.overruns += u64::from(!room);
        let answers = matches!(state.app.verdict, Verdict::Applies | Verdict::Refuses);
        let taken = state.app.pace == Pace::AtOnce || asked && answers;
        state.app.delivered.push(Delivered { at: now, life, delivery, taken });
        match state.app.pace {
            Pace::AtOnce => {
                if let (Some(engine), true) = (&mut state.engine, state.app.attached) {
                    engine.core_mut().inbox_taken(id.class, 1, clock);
                }
            }
            Pace::Every(pause) => {
                state.app.inbox.push_back(id.class);
                state.app.peak_inbox = state.app.peak_inbox.max(state.app.inbox.len());
                if !std::mem::replace(&mut state.app.taking, true) {
                    let class = id.class;
                    let event = Event::Take { node, life, class };
                    self.queue.push(now + pause, event);
                }
            }
        }
        if !asked {
            return;
        }
        let state = &mut self.nodes[node.index()];
        let applied = state.app.verdict != Verdict::Refuses;
        match state.app.verdict {
            Verdict::Silent => {}
            Verdict::Applies | Verdict::Refuses => {
                if let Some(engine) = &mut state.engine {
                    engine.core_mut().answer(id, applied, clock);
                }
            }
            Verdict::AppliesAfter(pause) => {
                let event = Event::Verdict { node, life, id, applied };
                self.queue.push(now + pause, event);
            }
        }
    }

    pub(crate) fn take(&mut self, node: NodeId, life: u32, class: TrafficClass) {
        if let Some(until) = self.suspended(node) {
            return self.queue.push(until, Event::Take { node, life, class });
        }
        let now = self.now;
        let state = &mut self.nodes[node.index()];
        if state.life != life || state.engine.is_none() {
            return;
        }
        if let Some(class) = state.app.inbox.pop_front() {
            let first =
                |d: &&mut Delivered| d.life == life && !d.taken && d.delivery.class() == class;
            if let Some(delivered) = state.app.delivered.iter_mut().find(first) {
                delivered.taken = true;
            }
        }
        state.app.taking = false;
        let attached = state.app.attached;
        if let (Pace::Every(pause), Some(class)) =
            (state.app.pace, state.app.inbox.front().copied())
        {
            state.app.taking = true;
            let event = Event::Take { node, life, class };
            self.queue.push(now + pause, event);
        }
        self.trace(5, u64::from(node.0));
        if attached {
            self.with_engine(node, |engine, now| {
                engine.core_mut().inbox_taken(class, 1, now);
            });
        }
    }

    pub(crate) fn verdict(&mut self, node: NodeId, life: u32, id: MessageId, applied: bool) {
        if let Some(until) = self.suspended(node) {
            let event = Event::Verdict { node, life, id, applied };
            return self.queue.push(until, event);
        }
        if self.nodes[node.index()].life != life {
            return;
        }
        self.trace(6, u64::from(node.0));
        self.with_engine(node, |engine, now| {
            engine.core_mut().answer(id, applied, now);
        });
    }

    pub(crate) fn attach_if_present(&mut self, node: NodeId) {
        let app = &self.nodes[node.index()].app;
        if !app.attached {
            return;
        }
        let room = TrafficClass::ALL.map(|class| app.room.saturating_sub(app.waiting(class)));
        self.with_engine(node, |engine, now| {
            engine.core_mut().attach_with(room, now);
        });
    }

    /// The application of a node is there from now on.
    pub fn attach(&mut self, node: NodeId) {
        if !std::mem::replace(&mut self.nodes[node.index()].app.attached, true) {
            self.attach_if_present(node);
        }
    }

    /// The application of a node is gone until it is attached again; what waits in its inbox stays
    /// there.
    pub fn detach(&mut self, node: NodeId) {
        self.nodes[node.index()].app.attached = false;
        self.with_engine(node, |engine, _| engine.core_mut().detach());
    }
}
