use std::collections::VecDeque;
use std::time::Duration;

use bitcraps_coordinator::{Delivery, bounds};
use bitcraps_types::{Timestamp, TrafficClass};

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
    pub(crate) inbox: VecDeque<TrafficClass>,
    /// Whether the next look into the inbox is scheduled.
    pub(crate) taking: bool,
    pub(crate) peak_inbox: usize,
}

impl Default for App {
    fn default() -> Self {
        Self {
            room: bounds::INBOX_MESSAGES,
            attached: true,
            pace: Pace::AtOnce,
            verdict: Verdict::Applies,
            delivered: Vec::new(),
            inbox: VecDeque::new(),
            taking: false,
            peak_inbox: 0,
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

    /// Everything it was handed, in the order of arrival.
    pub fn delivered(&self) -> &[Delivered] {
        &self.delivered
    }

    /// Most messages that waited in the inbox at once.
    pub fn peak_inbox(&self) -> usize {
        self.peak_inbox
    }
}
