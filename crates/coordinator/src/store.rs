//! The store's side of the core: what waits to be made durable, and what waits for it.

use std::collections::BTreeSet;
use std::time::Duration;

use bitcraps_types::{AckLevel, Epoch, MessageId, Timestamp, TrafficClass};

use crate::custody::Custody;
use crate::memory::Memory;
use crate::record::{Batch, Recalled, Write};
use crate::{Command, Core, Delivery, Notice, Outcome, Ticket};

/// How long a change that nothing waits for may wait for company: a commit costs a disk's flush.
const LAZY: Duration = Duration::from_millis(50);
/// What a message costs in the store beside its payload: its key, its options, its nonce and tag,
/// and its share of a page.
pub(crate) const RECORD_BYTES: usize = 256;

/// What happens when the batch that it waits for is durable.
#[derive(Debug)]
pub(crate) enum Waiter {
    /// A message of the outbox may leave.
    Leave(Ticket),
    /// A message that came is in custody.
    Held { peer: u32, delivery: Delivery, offered: bool },
    /// The oldest message of a class whose offer is under way may be handed over.
    Offered(TrafficClass),
    /// The application's answer may be told.
    Answered { peer: u32, id: MessageId, applied: bool },
    /// An outcome that must not be contradicted after a crash may be told.
    Tell { ticket: Ticket, outcome: Outcome },
}

/// Whether what must be durable can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreState {
    /// There is no store: nothing outlives the process.
    Absent,
    /// It works.
    Ready,
    /// It failed. What it would have to record is refused, everything else goes on.
    Failed,
}

/// The store as seen from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreStatus {
    /// Whether it works.
    pub state: StoreState,
    /// Messages in the outbox.
    pub outbox: usize,
    /// Messages in custody that the application has not taken for good.
    pub inbox: usize,
    /// Messages that the application may have been handed before a crash, and was not told of yet.
    pub doubts: usize,
    /// Bytes reckoned for all of them.
    pub bytes: usize,
    /// Most bytes that may be.
    pub most_bytes: usize,
    /// Batches made durable since the start.
    pub commits: u64,
}

/// What the core knows of its store.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) state: StoreState,
    pub(crate) memory: Memory,
    pub(crate) custody: Custody,
    /// What the next batch will hold.
    open: Batch,
    waiting: Vec<Waiter>,
    /// Streams whose state goes into the next batch: peer, incarnation, class.
    pub(crate) dirty: BTreeSet<(u32, Epoch, TrafficClass)>,
    /// Something waits for the next batch.
    urgent: bool,
    lazy: Option<Timestamp>,
    /// Those who wait for the batch that is being written.
    flying: Option<Vec<Waiter>>,
    /// Messages in the outbox.
    pub(crate) kept: usize,
    pub(crate) bytes: usize,
    most_bytes: usize,
    commits: u64,
}

impl Store {
    pub(crate) fn absent(epoch: Epoch) -> Self {
        Self {
            state: StoreState::Absent,
            memory: Memory::of_this_life(epoch),
            custody: Custody::default(),
            open: Vec::new(),
            waiting: Vec::new(),
            dirty: BTreeSet::new(),
            urgent: false,
            lazy: None,
            flying: None,
            kept: 0,
            bytes: 0,
            most_bytes: 0,
            commits: 0,
        }
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.state == StoreState::Ready
    }

    /// Whether there is one that does not work.
    pub(crate) fn is_lost(&self) -> bool {
        self.state == StoreState::Failed
    }

    /// Whether a payload of `len` bytes more may be held.
    pub(crate) fn has_room(&self, len: usize) -> bool {
        self.bytes + len + RECORD_BYTES <= self.most_bytes
    }

    pub(crate) fn most_bytes(&self) -> usize {
        self.most_bytes
    }
}

impl Core {
    /// There is a store, which held this when this incarnation began. To be called once, before
    /// anything else; the answer names the messages of the outbox, which go on under their former
    /// identities and have their outcomes told like others.
    ///
    /// From now on [`Command::Persist`] commands come, one at a time: each is to be answered with
    /// [`Self::committed`] or [`Self::store_failed`] before the next one comes.
    pub fn recall(&mut self, recalled: Recalled, now: Timestamp) -> Vec<Ticket> {
        let Recalled { begins, most_bytes, outbox, inbox, streams, sources } = recalled;
        self.store.state = StoreState::Ready;
        self.store.most_bytes = most_bytes;
        self.store.memory = Memory::recalled(begins, streams, sources);
        self.recall_inbox(inbox);
        self.recall_outbox(outbox, now)
    }

    /// What the last [`Command::Persist`] said is durable.
    pub fn committed(&mut self, now: Timestamp) {
        self.store.commits += 1;
        for waiter in self.store.flying.take().unwrap_or_default() {
            match waiter {
                Waiter::Leave(ticket) => self.may_leave(ticket),
                Waiter::Held { peer, delivery, offered } => self.held(peer, delivery, offered),
                Waiter::Offered(class) => self.store.custody.offered(class),
                Waiter::Answered { peer, id, applied } => self.tell_answer(peer, id, applied, now),
                Waiter::Tell { ticket, outcome } => {
                    self.command(Command::Settle { ticket, outcome });
                }
            }
        }
        self.hand_over_held();
        self.end_turn(now);
    }

    /// The store cannot make anything durable any more, or could not be opened at all. What waits
    /// for it is answered: nobody is told that something is certain that is not.
    pub fn store_failed(&mut self, why: String, now: Timestamp) {
        if self.store.state == StoreState::Failed {
            return;
        }
        self.store.state = StoreState::Failed;
        self.notice(Notice::StoreFailed { why });
        let mut waiting = self.store.flying.take().unwrap_or_default();
        waiting.append(&mut self.store.waiting);
        self.store.open.clear();
        self.store.dirty.clear();
        for waiter in waiting {
            match waiter {
                Waiter::Leave(ticket) => self.never_durable(ticket, now),
                Waiter::Held { peer, delivery, .. } => self.not_held(peer, &delivery),
                // What is durable is handed over after the next start; doubt would be worse.
                Waiter::Offered(_) | Waiter::Answered { .. } => {}
                // The message may come back after a crash.
                Waiter::Tell { ticket, .. } => {
                    let outcome = Outcome::Unknown { tried: Vec::new() };
                    self.command(Command::Settle { ticket, outcome });
                }
            }
        }
        self.end_turn(now);
    }

    /// How the store is doing.
    pub fn store_status(&self) -> StoreStatus {
        let store = &self.store;
        StoreStatus {
            state: store.state,
            outbox: store.kept,
            inbox: store.custody.held(),
            doubts: store.custody.doubts(),
            bytes: store.bytes,
            most_bytes: store.most_bytes,
            commits: store.commits,
        }
    }

    /// Whether a message that came has to be recorded before it is acknowledged.
    pub(crate) fn records(&self, class: TrafficClass, ack: AckLevel) -> bool {
        self.store.state != StoreState::Absent && crate::record::is_recorded(class, ack)
    }

    /// Puts a change into the next batch, which `waiter` waits for.
    pub(crate) fn persist(&mut self, write: Write, waiter: Waiter) {
        self.store.open.push(write);
        self.store.waiting.push(waiter);
        self.store.urgent = true;
    }

    /// Puts a change into the next batch, which leaves soon even if nothing waits for it.
    pub(crate) fn persist_lazily(&mut self, write: Write, now: Timestamp) {
        if !self.store.is_ready() {
            return;
        }
        self.store.open.push(write);
        if !self.store.urgent && self.store.lazy.is_none() {
            let at = now + LAZY;
            self.store.lazy = Some(at);
            self.set_store_timer(at);
        }
    }

    pub(crate) fn store_due(&mut self) {
        self.store.lazy = None;
        self.store.urgent = true;
    }

    /// Everything that is to be durable, while nothing else is being written.
    pub(crate) fn poll_batch(&mut self) -> Option<Command> {
        if !self.store.urgent || self.store.flying.is_some() || !self.store.is_ready() {
            return None;
        }
        self.store.urgent = false;
        let mut batch = std::mem::take(&mut self.store.open);
        for (peer, epoch, class) in std::mem::take(&mut self.store.dirty) {
            batch.extend(self.stream_record(peer, epoch, class).map(Write::Stream));
        }
        if let Some(at) = self.store.lazy.take() {
            self.drop_store_timer(at);
        }
        self.store.flying = Some(std::mem::take(&mut self.store.waiting));
        Some(Command::Persist(batch))
    }
}
