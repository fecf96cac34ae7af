use std::collections::BTreeMap;
use std::time::Duration;

use bitcraps_coordinator::{
    Batch, Delivery, Held, Kept, Machine, OutboxId, Recalled, SourceRecord, StreamId, StreamRecord,
    Ticket, Write,
};
use bitcraps_types::{Epoch, MessageId, PeerId, Timestamp};

use crate::event::Event;
use crate::{NodeId, SendId, Simulation};

/// What becomes of a batch that is being written when its node dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Torn {
    /// It is lost.
    Lost,
    /// It is durable, and nobody was told.
    Written,
}

/// How a node's store behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreModel {
    /// How long it takes to make a batch durable.
    pub commit: Duration,
    /// Most bytes of messages that it is to hold.
    pub most_bytes: usize,
    /// What becomes of a batch that is being written when the node dies.
    pub torn: Torn,
}

impl StoreModel {
    /// A disk that flushes in 4 ms.
    pub const DISK: Self =
        Self { commit: Duration::from_millis(4), most_bytes: 64 << 20, torn: Torn::Lost };
}

/// What a store holds, in the plainest form: the meaning of [`Write`]s.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Records {
    begins: Epoch,
    /// With the time at which each is worth nothing any more.
    outbox: BTreeMap<OutboxId, (Kept, Timestamp)>,
    inbox: BTreeMap<MessageId, Held>,
    streams: BTreeMap<StreamId, StreamRecord>,
    sources: BTreeMap<PeerId, SourceRecord>,
}

impl Records {
    /// A new store, made in the incarnation `epoch`.
    pub const fn new(epoch: Epoch) -> Self {
        Self {
            begins: epoch,
            outbox: BTreeMap::new(),
            inbox: BTreeMap::new(),
            streams: BTreeMap::new(),
            sources: BTreeMap::new(),
        }
    }

    /// Applies a batch at `now`, on a clock that goes on over restarts. O(changes log records).
    pub fn apply(&mut self, batch: &Batch, now: Timestamp) {
        for write in batch {
            match write.clone() {
                Write::Keep(kept) => {
                    let due = now + kept.remaining;
                    self.outbox.insert(kept.id, (kept, due));
                }
                Write::Settle(id) => drop(self.outbox.remove(&id)),
                Write::Hold(held) => drop(self.inbox.insert(held.id, held)),
                Write::Offer(id) => {
                    if let Some(held) = self.inbox.get_mut(&id) {
                        held.offered = true;
                    }
                }
                Write::Release(id) => drop(self.inbox.remove(&id)),
                Write::Stream(record) => drop(self.streams.insert(record.stream, record)),
                Write::DropStream(id) => drop(self.streams.remove(&id)),
                Write::Source(record) => drop(self.sources.insert(record.source, record)),
                Write::DropSource(source) => drop(self.sources.remove(&source)),
                Write::Begins(epoch) => self.begins = epoch,
            }
        }
    }

    /// What the next incarnation is given at `now`.
    pub fn recalled(&self, most_bytes: usize, now: Timestamp) -> Recalled {
        let kept = |(kept, due): &(Kept, Timestamp)| {
            let remaining = due.since(now).min(kept.remaining);
            Kept { remaining, ..kept.clone() }
        };
        Recalled {
            begins: self.begins,
            most_bytes,
            outbox: self.outbox.values().map(kept).collect(),
            inbox: self.inbox.values().cloned().collect(),
            streams: self.streams.values().cloned().collect(),
            sources: self.sources.values().copied().collect(),
        }
    }
}

/// A node's store.
#[derive(Debug)]
pub(crate) struct Disk {
    model: StoreModel,
    records: Records,
    writing: Option<Batch>,
    broken: bool,
    commits: u64,
    /// Messages of the scenario by what the outbox calls them.
    sent: BTreeMap<OutboxId, SendId>,
}

impl Disk {
    pub(crate) fn new(model: StoreModel, epoch: Epoch) -> Self {
        Self {
            model,
            records: Records::new(epoch),
            writing: None,
            broken: false,
            commits: 0,
            sent: BTreeMap::new(),
        }
    }

    /// The node dies.
    pub(crate) fn tear(&mut self, now: Timestamp) {
        let batch = self.writing.take();
        if let Some(batch) = batch.filter(|_| self.model.torn == Torn::Written && !self.broken) {
            self.records.apply(&batch, now);
        }
    }
}

impl Simulation {
    /// A node's engine, which is new, is given what its store held.
    pub(crate) fn recall(&mut self, node: NodeId) {
        let now = self.now;
        let state = &mut self.nodes[node.index()];
        let clock = state.clock(now);
        let (Some(disk), Some(engine)) = (&mut state.disk, &mut state.engine) else {
            return;
        };
        let core = engine.core_mut();
        if disk.broken {
            return core.store_failed("broken".to_owned(), clock);
        }
        let tickets = core.recall(disk.records.recalled(disk.model.most_bytes, now), clock);
        for ticket in tickets {
            let id = core.outbox_id_of(ticket).and_then(|id| disk.sent.get(&id).copied());
            let Some(id) = id else { continue };
            state.open.insert(ticket, id);
            let message = &mut self.messages[id.0 as usize];
            if std::mem::take(&mut message.orphaned) {
                self.unsettled += 1;
            }
        }
        let doubts = core.take_doubts(clock);
        state.app.doubts.extend(doubts);
    }

    /// Notes what the outbox calls a message that was just taken.
    pub(crate) fn note_kept(&mut self, node: NodeId, ticket: Ticket, id: SendId) {
        let state = &mut self.nodes[node.index()];
        let kept = state.engine.as_ref().and_then(|engine| engine.core().outbox_id_of(ticket));
        if let (Some(disk), Some(kept)) = (&mut state.disk, kept) {
            disk.sent.insert(kept, id);
        }
    }

    pub(crate) fn write(&mut self, node: NodeId, batch: Batch) {
        let state = &mut self.nodes[node.index()];
        let life = state.life;
        let Some(disk) = &mut state.disk else {
            return;
        };
        let at = self.now + disk.model.commit;
        disk.writing = Some(batch);
        self.queue.push(at, Event::Written { node, life });
    }

    pub(crate) fn written(&mut self, node: NodeId, life: u32) {
        if let Some(until) = self.suspended(node) {
            return self.queue.push(until, Event::Written { node, life });
        }
        let now = self.now;
        let state = &mut self.nodes[node.index()];
        let Some(disk) = state.disk.as_mut().filter(|_| state.life == life) else {
            return;
        };
        let Some(batch) = disk.writing.take() else {
            return;
        };
        let broken = disk.broken;
        if !broken {
            disk.records.apply(&batch, now);
            disk.commits += 1;
        }
        self.trace(19, u64::from(node.0));
        self.with_engine(node, |engine, now| match broken {
            false => engine.core_mut().committed(now),
            true => engine.core_mut().store_failed("broken".to_owned(), now),
        });
    }

    /// A node's store makes nothing durable any more, until it is mended; the node learns it at its
    /// next batch.
    pub fn break_store(&mut self, node: NodeId) {
        self.trace(20, u64::from(node.0));
        if let Some(disk) = &mut self.nodes[node.index()].disk {
            disk.broken = true;
        }
    }

    /// A node's store works again from its next start on.
    pub fn mend_store(&mut self, node: NodeId) {
        self.trace(21, u64::from(node.0));
        if let Some(disk) = &mut self.nodes[node.index()].disk {
            disk.broken = false;
        }
    }

    /// A node that is dead loses what its store held: its next incarnation gets a new one.
    pub fn lose_store(&mut self, node: NodeId) {
        self.trace(22, u64::from(node.0));
        let state = &mut self.nodes[node.index()];
        let next = Epoch(state.config.epoch.0 + 1);
        if let Some(disk) = &mut state.disk {
            disk.records = Records::new(next);
        }
    }

    /// What a node's store holds.
    pub fn records(&self, node: NodeId) -> Option<&Records> {
        self.nodes[node.index()].disk.as_ref().map(|disk| &disk.records)
    }

    /// Batches that a node's store made durable.
    pub fn commits(&self, node: NodeId) -> u64 {
        self.nodes[node.index()].disk.as_ref().map_or(0, |disk| disk.commits)
    }

    /// Messages that a node's application was told of as doubtful, over every life of the node.
    pub fn doubts(&self, node: NodeId) -> &[Delivery] {
        &self.nodes[node.index()].app.doubts
    }
}
