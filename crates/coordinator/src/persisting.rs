//! A driver's end of its store: where batches go, and who comes back with the answer.

use std::sync::mpsc::Sender;
use std::sync::{Arc, Weak};

use bitcraps_types::{Timestamp, TrafficClass};

use crate::driver::{Driver, Shared, State};
use crate::inbox::Mailbox;
use crate::receipt::Tickets;
use crate::{Batch, Machine, OutboxId, Recalled, Receipt};

impl<M: Machine> State<M> {
    /// Hands a batch to whoever writes it.
    pub(crate) fn persist(&mut self, batch: Batch, now: Timestamp) {
        let sent = self.store.as_ref().map(|store| store.send(batch));
        if !matches!(sent, Some(Ok(()))) {
            let why = "nobody writes to it".to_owned();
            self.machine.core_mut().store_failed(why, now);
        }
    }

    /// Room in the mailbox by class; the machine learns what was taken out of it.
    pub(crate) fn room_beside(
        &mut self,
        mailbox: &Mailbox,
        now: Timestamp,
    ) -> [usize; TrafficClass::COUNT] {
        let [room, taken] = mailbox.room();
        for class in TrafficClass::ALL {
            self.machine.core_mut().note_taken(class, taken[class.index()], now);
        }
        room
    }
}

impl<M: Machine> Driver<M> {
    /// Has batches made durable by whoever reads `store`, from what was recalled on; gives the
    /// receipts of what is in the outbox. To be called once, before anything else.
    ///
    /// The reader answers each batch with [`Core::committed`](crate::Core::committed) or
    /// [`Core::store_failed`](crate::Core::store_failed). It is to
    /// hold a [`WeakDriver`]: the end of the driver is the end of what it reads.
    pub fn with_store(&self, store: Sender<Batch>, recalled: Recalled) -> Vec<(OutboxId, Receipt)> {
        let shared = &self.shared;
        let recalled = shared.run(|state, now| {
            state.store = Some(store);
            let tickets = state.machine.core_mut().recall(recalled, now);
            let kept = tickets.into_iter().filter_map(|ticket| {
                let id = state.machine.core().outbox_id_of(ticket)?;
                Some((id, ticket, state.wait_for(ticket)))
            });
            kept.collect::<Vec<_>>()
        });
        let receipt = |(id, ticket, outcome)| {
            let tickets: Arc<dyn Tickets> = Arc::clone(shared) as _;
            (id, Receipt::new(ticket, outcome, tickets))
        };
        recalled.into_iter().map(receipt).collect()
    }

    /// A handle that keeps nothing alive.
    pub fn downgrade(&self) -> WeakDriver<M> {
        WeakDriver(Arc::downgrade(&self.shared))
    }
}

/// A [`Driver`] while it lasts.
pub struct WeakDriver<M: Machine>(Weak<Shared<M>>);

impl<M: Machine> WeakDriver<M> {
    /// The driver, if it is still there.
    pub fn upgrade(&self) -> Option<Driver<M>> {
        self.0.upgrade().map(|shared| Driver { shared })
    }
}

impl<M: Machine> std::fmt::Debug for WeakDriver<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WeakDriver").finish_non_exhaustive()
    }
}
