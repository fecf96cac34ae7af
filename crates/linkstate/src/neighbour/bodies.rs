//! What is said to a neighbour: which parts go into which body.

use std::sync::Arc;
use std::time::Duration;

use bitcraps_types::Timestamp;
use bitcraps_wire::{Carried, Digest, LinkState, Part, Record, Want};
use bytes::Bytes;

use super::{EARLY, Held, Neighbour, Outgoing, PACE, REST, TRIES, Wanted};
use crate::table::{Origin, Page};

impl Neighbour {
    /// The bodies that are due and within the budget, once [`Self::next_due`] has come. O((queued here
    /// and said) log n).
    pub(crate) fn flush(&mut self, held: &Held<'_>, now: Timestamp) -> Vec<Bytes> {
        let mut bodies = Vec::new();
        if self.first_due() <= now {
            // What would be due a moment later goes along.
            while let Some(key) = self.out.first(now + PACE) {
                let Some(mut out) = self.out.remove(&key) else { break };
                let rank = held.graph.distance(held.hops, key.0);
                out.rank = Some(rank);
                self.out.insert(key, Timestamp::MAX, out);
                self.ready.insert((rank, key));
            }
            let room = self.room();
            while self.budget.ready_at(self.cost(room)) <= now {
                let parts = self.parts(held, room, now);
                if parts.is_empty() {
                    break;
                }
                let body = LinkState { parts }.encode();
                self.budget.take(self.cost(body.len()), now);
                bodies.push(body);
            }
            if self.rests_in(held) && !bodies.is_empty() {
                self.rests = now + REST;
            }
        }
        self.earliest = self.first_due();
        bodies
    }

    fn rests_in(&self, held: &Held<'_>) -> bool {
        held.crowded && !self.is_narrow(held.config)
    }

    /// What goes into the next body: first what is short and urgent.
    fn parts(&mut self, held: &Held<'_>, room: usize, now: Timestamp) -> Vec<Part> {
        let mut parts = Vec::new();
        let mut left = room;
        let mut fits = |part: &Part| match left.checked_sub(part.encoded_len()) {
            Some(rest) => {
                left = rest;
                true
            }
            None => false,
        };
        if std::mem::take(&mut self.present_due) {
            let part = Part::Presence(held.presence);
            parts.extend(fits(&part).then_some(part));
        }
        if self.digest_due {
            let (pending, met) = (self.is_pending(), self.presence.is_some());
            let part = Part::Digest(Digest { root: held.root, pending, met });
            if fits(&part) {
                self.digest_due = false;
                parts.push(part);
            }
        }
        let wait = self.wait() + if self.rests_in(held) { REST * 2 } else { Duration::ZERO };
        while let Some(key) = self.wants.first(now) {
            let Some((_, wanted)) = self.wants.get(&key).copied() else { break };
            if wanted.tries >= TRIES {
                self.wants.remove(&key);
                continue;
            }
            let (alias, page) = key;
            let part = Part::Want(Want { alias, page, introduce: wanted.introduce });
            if !fits(&part) {
                break;
            }
            let due = now + wait * 2_u32.pow(wanted.tries);
            self.wants.insert(key, due, Wanted { tries: wanted.tries + 1, ..wanted });
            parts.push(part);
        }
        self.tell_until(now, held, &mut left, &mut parts);
        while let Some((_, key)) = self.ready.first().copied() {
            let found =
                held.table.get(key.0).and_then(|origin| Some((origin, origin.pages.get(&key.1)?)));
            let (Some((origin, page)), Some((_, out))) = (found, self.out.get(&key).copied())
            else {
                self.drop_page(&key);
                continue;
            };
            let carried = carried(&out, origin, page, now);
            let len: usize = carried.iter().map(Part::encoded_len).sum();
            if len > left && !parts.is_empty() {
                break;
            }
            if carried.len() > 1 && len > room {
                // Too much for one body: the full record goes first, and the delta when that came.
                parts.extend(carried.into_iter().take(1));
                left = 0;
                if let Some(out) = self.out.get_mut(&key) {
                    (out.full, out.introduce) = (false, false);
                }
                break;
            }
            left = left.saturating_sub(len);
            parts.extend(carried);
            self.paced = now + PACE;
            self.drop_page(&key);
            if out.tries < TRIES {
                let due = now + wait * 2_u32.pow(out.tries);
                self.out.insert(key, due, Outgoing { rank: None, tries: out.tries + 1, ..out });
            }
        }
        if !parts.is_empty() {
            self.tell_until(now + EARLY, held, &mut left, &mut parts);
        }
        while let Some(part) = self.ranges.front().filter(|part| part.encoded_len() <= left) {
            left -= part.encoded_len();
            parts.push(part.clone());
            self.ranges.pop_front();
        }
        parts
    }

    /// Tells what is here and due by then, as far as there is room.
    fn tell_until(
        &mut self,
        until: Timestamp,
        held: &Held<'_>,
        left: &mut usize,
        parts: &mut Vec<Part>,
    ) {
        while let Some(key) = self.haves.first(until) {
            let origin = held.table.get(key.0);
            if let Some(version) = origin.and_then(|origin| origin.version(key.0, key.1)) {
                let part = Part::Have(version);
                let Some(rest) = left.checked_sub(part.encoded_len()) else { break };
                *left = rest;
                parts.push(part);
            }
            self.haves.remove(&key);
        }
    }
}

/// The records that bring a neighbour to the state of a page.
fn carried(out: &Outgoing, origin: &Origin, page: &Page, now: Timestamp) -> Vec<Part> {
    let seconds = now.since(page.born).as_nanos().div_ceil(1_000_000_000);
    let age = u16::try_from(seconds).unwrap_or(u16::MAX);
    let full = (out.full || page.delta.is_none()).then_some(&page.full);
    let records = full.into_iter().chain(&page.delta);
    let mut introduction = out.introduce.then_some(origin.introduction);
    let part = |record: &Arc<Record>| {
        let introduction = introduction.take();
        Part::Record(Carried { age, introduction, record: Record::clone(record) })
    };
    records.map(part).collect()
}
