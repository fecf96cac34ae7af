//! Messages in custody of a store: durable before they are acknowledged, handed over to the
//! application, and forgotten once it took them.
//!
//! A message is *offered* before the application can be handed it, durably: after a crash those that
//! were not are handed over, and those that were are doubtful and never handed over again. Offers
//! are few, so that doubts are.

use std::collections::{BTreeMap, VecDeque};

use bitcraps_types::{AckLevel, LinkId, MessageId, PeerId, Sequence, Timestamp, TrafficClass};
use bitcraps_wire::Status;

use crate::config::bounds::OFFERED;
use crate::peer::Stream;
use crate::record::{Held, StreamId, Write};
use crate::store::{RECORD_BYTES, StoreState, Waiter};
use crate::{Command, Core, Delivery};

/// How far a message in custody is on its way to the application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    Held,
    /// The offer is being made durable.
    Offering,
    Offered,
}

/// A message that the store holds.
#[derive(Debug, Clone, Copy)]
struct Row {
    /// Bytes that it costs there.
    cost: usize,
    ack: AckLevel,
    /// The application has it, and has not answered.
    taken: bool,
}

/// What the application has not taken for good.
#[derive(Debug, Default)]
pub(crate) struct Custody {
    /// Durable, not handed over, oldest first; those with an offer are in front.
    waiting: [VecDeque<(Delivery, Mark)>; TrafficClass::COUNT],
    /// Messages that are being made durable.
    writing: [usize; TrafficClass::COUNT],
    /// Of both, those without an offer.
    unoffered: [usize; TrafficClass::COUNT],
    /// Offered, or being offered, and not taken.
    offered: usize,
    /// Handed over and not taken, oldest first; `None` for what no store holds.
    handed: [VecDeque<Option<MessageId>>; TrafficClass::COUNT],
    /// Every message that the store holds.
    rows: BTreeMap<MessageId, Row>,
    doubts: BTreeMap<MessageId, Delivery>,
}

impl Custody {
    pub(crate) fn held(&self) -> usize {
        self.rows.len()
    }

    pub(crate) fn doubts(&self) -> usize {
        self.doubts.len()
    }

    /// Messages of a class that will need room in the inbox.
    fn due(&self, class: TrafficClass) -> usize {
        self.waiting[class.index()].len() + self.writing[class.index()]
    }

    /// The oldest offer of a class that was under way is durable.
    pub(crate) fn offered(&mut self, class: TrafficClass) {
        let mut waiting = self.waiting[class.index()].iter_mut();
        if let Some((_, mark)) = waiting.find(|(_, mark)| *mark == Mark::Offering) {
            *mark = Mark::Offered;
        }
    }

    /// The application was handed a message.
    pub(crate) fn note_handed(&mut self, id: MessageId, held: bool) {
        self.handed[id.class.index()].push_back(held.then_some(id));
    }
}

impl Core {
    pub(crate) fn recall_inbox(&mut self, inbox: Vec<Held>) {
        for Held { id, ack, offered, payload } in inbox {
            let cost = payload.len() + RECORD_BYTES;
            self.store.bytes += cost;
            let custody = &mut self.store.custody;
            custody.rows.insert(id, Row { cost, ack, taken: false });
            // The link that brought it is of a former process.
            let delivery = Delivery { id, payload, ack, link: LinkId(0) };
            if offered {
                custody.doubts.insert(id, delivery);
            } else {
                custody.waiting[id.class.index()].push_back((delivery, Mark::Held));
                custody.unoffered[id.class.index()] += 1;
            }
        }
    }

    /// Whether there is room for a message of `len` bytes, or of what was reassembled.
    pub(crate) fn may_hold(&mut self, id: &MessageId, len: Option<usize>, now: Timestamp) -> bool {
        let key = (id.source, (id.epoch, id.class), id.sequence);
        let len = len.unwrap_or_else(|| self.reassembly.len_of(&key));
        self.store.custody.due(id.class) < self.room[id.class.index()]
            && self.store.is_ready()
            && self.store.has_room(len)
            && self.remember_source(id.source, now)
    }

    /// Takes custody of a whole message, for which there is room, once it is durable.
    pub(crate) fn hold(&mut self, peer: u32, delivery: Delivery, attempt: u16, now: Timestamp) {
        let Delivery { id, ack, link, .. } = delivery;
        let payload = delivery.payload.clone();
        let MessageId { epoch, class, sequence, .. } = id;
        let cost = payload.len() + RECORD_BYTES;
        if let Some(incoming) = self.peers[peer as usize].stream_mut((epoch, class)) {
            incoming.recorded = true;
            incoming.writing.insert(sequence, (link, attempt));
            if ack == AckLevel::Applied {
                let lowest_live = incoming.lowest_live;
                self.release_below(id.source, (epoch, class), lowest_live, now);
            }
        }
        self.store.bytes += cost;
        self.store.dirty.insert((peer, epoch, class));
        let custody = &mut self.store.custody;
        custody.rows.insert(id, Row { cost, ack, taken: false });
        custody.writing[class.index()] += 1;
        let offered = custody.unoffered[class.index()] == 0 && custody.offered < OFFERED;
        if offered {
            custody.offered += 1;
        } else {
            custody.unoffered[class.index()] += 1;
        }
        let write = Write::Hold(Held { id, ack, offered, payload });
        self.persist(write, Waiter::Held { peer, delivery, offered });
    }

    /// A message is durable: it is in custody, and acknowledged.
    pub(crate) fn held(&mut self, peer: u32, delivery: Delivery, offered: bool) {
        let MessageId { epoch, class, sequence, .. } = delivery.id;
        let custody = &mut self.store.custody;
        custody.writing[class.index()] -= 1;
        let mark = if offered { Mark::Offered } else { Mark::Held };
        custody.waiting[class.index()].push_back((delivery, mark));
        let Some(incoming) = self.peers[peer as usize].stream_mut((epoch, class)) else {
            return;
        };
        incoming.window.take(sequence);
        if let Some((link, attempt)) = incoming.writing.remove(&sequence) {
            self.pend_taken(peer, link, (epoch, class), sequence, attempt);
        }
    }

    /// A message could not be made durable. Remembered: no copy may be delivered after this answer.
    pub(crate) fn not_held(&mut self, peer: u32, delivery: &Delivery) {
        let MessageId { epoch, class, sequence, .. } = delivery.id;
        let custody = &mut self.store.custody;
        custody.writing[class.index()] -= 1;
        self.store.bytes -= custody.rows.remove(&delivery.id).map_or(0, |row| row.cost);
        let Some(incoming) = self.peers[peer as usize].stream_mut((epoch, class)) else {
            return;
        };
        if let Some((link, attempt)) = incoming.writing.remove(&sequence) {
            let stream = (epoch, class);
            self.refuse(peer, link, stream, sequence, attempt, Status::Unrecorded);
        }
    }

    /// Hands over what may be, and offers what may be next.
    pub(crate) fn hand_over_held(&mut self) {
        if self.store.state == StoreState::Absent {
            return;
        }
        for class in TrafficClass::ALL {
            while self.room[class.index()] > 0
                && let Some((delivery, _)) = self.store.custody.waiting[class.index()]
                    .pop_front_if(|(_, mark)| *mark == Mark::Offered)
            {
                self.room[class.index()] -= 1;
                self.store.custody.note_handed(delivery.id, true);
                self.counters.delivered += 1;
                self.command(Command::Deliver(delivery));
            }
            self.offer(class);
        }
    }

    fn offer(&mut self, class: TrafficClass) {
        let mut room = self.room[class.index()];
        let mut offers = Vec::new();
        let custody = &mut self.store.custody;
        if !matches!(self.store.state, StoreState::Ready) {
            return;
        }
        for (delivery, mark) in &mut custody.waiting[class.index()] {
            if room == 0 || (*mark == Mark::Held && custody.offered >= OFFERED) {
                break;
            }
            room -= 1;
            if *mark == Mark::Held {
                *mark = Mark::Offering;
                custody.offered += 1;
                custody.unoffered[class.index()] -= 1;
                offers.push(delivery.id);
            }
        }
        for id in offers {
            self.persist(Write::Offer(id), Waiter::Offered(class));
        }
    }

    /// The application took messages of a class that it was handed.
    pub(crate) fn taken_for_good(&mut self, class: TrafficClass, count: usize, now: Timestamp) {
        for _ in 0..count {
            let custody = &mut self.store.custody;
            let Some(taken) = custody.handed[class.index()].pop_front() else {
                return;
            };
            let Some(id) = taken else { continue };
            custody.offered -= 1;
            match custody.rows.get_mut(&id) {
                // One that asks for an answer is needed until there is one.
                Some(row) if row.ack == AckLevel::Applied => row.taken = true,
                Some(_) => self.release(id, now),
                None => {}
            }
        }
    }

    /// The store need not hold a message any more.
    fn release(&mut self, id: MessageId, now: Timestamp) {
        if let Some(row) = self.store.custody.rows.remove(&id) {
            self.store.bytes -= row.cost;
            self.persist_lazily(Write::Release(id), now);
        }
    }

    /// Nobody waits any more for the application's answers to messages below `lowest_live`.
    fn release_below(
        &mut self,
        source: PeerId,
        (epoch, class): Stream,
        lowest_live: Sequence,
        now: Timestamp,
    ) {
        let id = |sequence| MessageId { source, epoch, class, sequence };
        let rows = self.store.custody.rows.range(id(0)..id(lowest_live));
        let unwanted = rows.filter(|(_, row)| row.ack == AckLevel::Applied && row.taken);
        let unwanted: Vec<MessageId> = unwanted.map(|(id, _)| *id).collect();
        unwanted.into_iter().for_each(|id| self.release(id, now));
    }

    /// The application's verdict on a message that was delivered with [`AckLevel::Applied`]. With a
    /// store it is durable before it is told, and the first one counts.
    pub fn answer(&mut self, id: MessageId, applied: bool, now: Timestamp) {
        let MessageId { source, epoch, class, sequence } = id;
        let recorded = self.records(class, AckLevel::Applied);
        if recorded {
            self.wake_stream(StreamId { source, epoch, class }, now);
        }
        let Some(handle) = self.peer(source) else {
            return;
        };
        let peer = handle.0;
        if !recorded {
            return self.tell_answer(peer, id, applied, now);
        }
        let row = self.store.custody.rows.get(&id);
        let Some(incoming) = self.peers[peer as usize].stream_mut((epoch, class)) else {
            return;
        };
        let asked = row.is_some_and(|row| row.ack == AckLevel::Applied);
        if !asked || !self.store.is_ready() || incoming.deciding.contains_key(&sequence) {
            return;
        }
        incoming.deciding.insert(sequence, applied);
        self.store.dirty.insert((peer, epoch, class));
        if let Some(row) = self.store.custody.rows.remove(&id) {
            self.store.bytes -= row.cost;
        }
        self.store.custody.doubts.remove(&id);
        self.persist(Write::Release(id), Waiter::Answered { peer, id, applied });
    }

    /// The application's answer counts: the sender is told, now and at every repeat.
    pub(crate) fn tell_answer(&mut self, peer: u32, id: MessageId, applied: bool, now: Timestamp) {
        let stream = (id.epoch, id.class);
        let Some(incoming) = self.peers[peer as usize].stream_mut(stream) else {
            return;
        };
        let status = if applied { Status::Applied } else { Status::Refused };
        incoming.deciding.remove(&id.sequence);
        incoming.set_verdict(id.sequence, status);
        if let Some(link) = self.best_for_acks(peer, now) {
            self.pend_result(peer, link, stream, id.sequence, 0, status);
        }
        self.end_turn(now);
    }

    /// Messages that the application may have been handed before a crash, by identity: whether it
    /// was, only the application can know. They are never handed over again.
    pub fn doubts(&self) -> impl Iterator<Item = &Delivery> {
        self.store.custody.doubts.values()
    }

    /// Takes the messages of [`Self::doubts`]: the application knows of them, and the store forgets
    /// them. Those that ask for an answer may still be answered before the process ends.
    pub fn take_doubts(&mut self, now: Timestamp) -> Vec<Delivery> {
        let doubts = std::mem::take(&mut self.store.custody.doubts);
        for delivery in doubts.values() {
            match self.store.custody.rows.get_mut(&delivery.id) {
                Some(row) if row.ack == AckLevel::Applied => row.taken = true,
                Some(_) | None => self.release(delivery.id, now),
            }
        }
        doubts.into_values().collect()
    }
}
