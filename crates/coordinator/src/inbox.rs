use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use bitcraps_types::{MessageId, TrafficClass};
use tokio::sync::Notify;

use crate::Delivery;
use crate::config::bounds::INBOX_MESSAGES;

/// Messages taken by the application that the machine has not heard of yet, before it is told: one
/// lock for many.
const TELL_EVERY: usize = 256;

/// Messages in custody that the application has not taken yet. Outlives the application's handle:
/// what is here was acknowledged.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    state: Mutex<State>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct State {
    queues: [VecDeque<Delivery>; TrafficClass::COUNT],
    taken: [usize; TrafficClass::COUNT],
    closed: bool,
}

impl Mailbox {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn push(&self, delivery: Delivery) {
        self.state().queues[delivery.class().index()].push_back(delivery);
        self.arrived.notify_one();
    }

    pub(crate) fn close(&self) {
        self.state().closed = true;
        self.arrived.notify_one();
    }

    /// By class: room beside what is waiting, and what was taken and not told yet.
    pub(crate) fn room(&self) -> [[usize; TrafficClass::COUNT]; 2] {
        let mut state = self.state();
        let taken = std::mem::take(&mut state.taken);
        let room = TrafficClass::ALL
            .map(|class| INBOX_MESSAGES.saturating_sub(state.queues[class.index()].len()));
        [room, taken]
    }

    /// The next message, and what the machine is to be told about those taken.
    fn pop(&self) -> Popped {
        let mut state = self.state();
        let next = TrafficClass::ALL.into_iter().find_map(|class| {
            let delivery = state.queues[class.index()].pop_front()?;
            state.taken[class.index()] += 1;
            Some(delivery)
        });
        let empty = state.queues.iter().all(VecDeque::is_empty);
        let due = empty || state.taken.iter().sum::<usize>() >= TELL_EVERY;
        let taken = if due { std::mem::take(&mut state.taken) } else { Default::default() };
        Popped { next, taken, closed: state.closed }
    }
}

struct Popped {
    next: Option<Delivery>,
    taken: [usize; TrafficClass::COUNT],
    closed: bool,
}

/// What an inbox tells the machine, whatever machine that is.
pub(crate) trait Custody: Send + Sync {
    fn taken(&self, counts: [usize; TrafficClass::COUNT]);
    fn answer(&self, id: MessageId, applied: bool);
    fn detach(&self);
}

/// Where the application takes its messages. While one exists, messages are taken into custody and
/// acknowledged; when it is dropped, nothing is, until there is a new one.
pub struct Inbox {
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) custody: Arc<dyn Custody>,
}

impl std::fmt::Debug for Inbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inbox").finish_non_exhaustive()
    }
}

impl Inbox {
    /// The next message, the most urgent class first; `None` after shutdown, once everything was
    /// taken. Cancel safe.
    pub async fn recv(&mut self) -> Option<Delivery> {
        loop {
            // A message that arrives after the look leaves its permit behind.
            let (next, closed) = self.take();
            if next.is_some() || closed {
                return next;
            }
            self.mailbox.arrived.notified().await;
        }
    }

    /// The next message, if one is there.
    pub fn try_recv(&mut self) -> Option<Delivery> {
        self.take().0
    }

    fn take(&mut self) -> (Option<Delivery>, bool) {
        let popped = self.mailbox.pop();
        if popped.taken.iter().any(|count| *count > 0) {
            self.custody.taken(popped.taken);
        }
        (popped.next, popped.closed)
    }

    /// Answers a message that was sent with [`AckLevel::Applied`]: the sender is told, now and at
    /// every repeat.
    ///
    /// [`AckLevel::Applied`]: bitcraps_types::AckLevel::Applied
    pub fn answer(&self, id: MessageId, applied: bool) {
        self.custody.answer(id, applied);
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.custody.detach();
    }
}
