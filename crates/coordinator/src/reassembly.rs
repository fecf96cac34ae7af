use std::collections::{BTreeMap, BTreeSet};

use bitcraps_types::{AckLevel, LinkId, PeerId, Sequence, Timestamp, TrafficClass};
use bitcraps_wire::{Data, MAX_RANGES, Partial};
use bytes::{Bytes, BytesMut};

use crate::config::bounds::{
    REASSEMBLY_IDLE, REASSEMBLY_NODE_BYTES, REASSEMBLY_NODE_MESSAGES, REASSEMBLY_PEER_BYTES,
    REASSEMBLY_PEER_MESSAGES, REASSEMBLY_RANGES,
};
use crate::peer::Stream;

/// What the newest fragment of a message said beside its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Arrival {
    pub(crate) ack: AckLevel,
    pub(crate) attempt: u16,
    pub(crate) link: LinkId,
    /// When the message is worthless.
    pub(crate) due: Timestamp,
}

/// One incomplete message, or one that nobody has taken yet.
#[derive(Debug)]
struct Assembly {
    generation: u8,
    total: u32,
    /// Grows with what arrives: a claim of 16 MiB costs nothing before its bytes come.
    bytes: BytesMut,
    /// Received `start -> end`, ascending, apart.
    ranges: BTreeMap<u32, u32>,
    touched: Timestamp,
    arrival: Arrival,
}

/// Key of an incomplete message.
pub(crate) type Key = (PeerId, Stream, Sequence);

/// What became of a fragment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Added {
    /// The message is whole. It stays until it is taken out.
    Complete,
    /// More is missing.
    Incomplete,
    /// It contradicts what came before, or there is no room.
    Refused,
}

/// What is held of one peer.
#[derive(Debug, Default)]
struct Holding {
    bytes: usize,
    by_age: BTreeSet<(Timestamp, Stream, Sequence)>,
}

/// Incomplete messages of all peers, bounded per peer and in total.
#[derive(Debug, Default)]
pub(crate) struct Reassembly {
    messages: BTreeMap<Key, Assembly>,
    by_age: BTreeSet<(Timestamp, Key)>,
    per_peer: BTreeMap<PeerId, Holding>,
    whole: BTreeSet<Key>,
    bytes: usize,
    pub(crate) evicted: u64,
}

impl Reassembly {
    /// Adds a fragment. O(log messages + log ranges + length).
    pub(crate) fn add(
        &mut self,
        peer: PeerId,
        data: &Data,
        arrival: Arrival,
        now: Timestamp,
    ) -> Added {
        let key = (peer, (data.source_epoch, data.class), data.sequence);
        if let Some(known) = self.messages.get(&key) {
            if data.generation < known.generation || known.total != data.total {
                return Added::Refused;
            }
            if data.generation > known.generation {
                self.remove(&key);
            }
        }
        let (start, end) = (data.offset, data.offset + data.payload.len() as u32);
        // What the buffer would have to grow to hold it.
        let held = self.messages.get(&key).map_or(0, |a| a.bytes.len());
        let growth = (end as usize).saturating_sub(held);
        if held + growth > REASSEMBLY_PEER_BYTES || !self.make_room(&key, growth) {
            return Added::Refused;
        }
        let message = self.messages.entry(key).or_insert_with(|| Assembly {
            generation: data.generation,
            total: data.total,
            bytes: BytesMut::new(),
            ranges: BTreeMap::new(),
            touched: now,
            arrival,
        });
        let before = message.touched;
        match message.insert(start, end, &data.payload) {
            Inserted::New => message.touched = now,
            Inserted::Known => {}
            Inserted::Contradicts => return Added::Refused,
        }
        message.arrival = arrival;
        let touched = message.touched;
        let whole = message.is_whole();
        let (_, stream, sequence) = key;
        let holding = self.per_peer.entry(peer).or_default();
        holding.bytes += growth;
        holding.by_age.remove(&(before, stream, sequence));
        holding.by_age.insert((touched, stream, sequence));
        self.by_age.remove(&(before, key));
        self.by_age.insert((touched, key));
        self.bytes += growth;
        if !whole {
            return Added::Incomplete;
        }
        self.whole.insert(key);
        Added::Complete
    }

    /// Room for `growth` bytes more of `key`: from the peer's own oldest, then from the oldest of
    /// all. False when nothing else is left to give way.
    fn make_room(&mut self, key: &Key, growth: usize) -> bool {
        let new = !self.messages.contains_key(key);
        let (peer, stream, sequence) = *key;
        while let Some(holding) = self.per_peer.get(&peer)
            && (holding.bytes + growth > REASSEMBLY_PEER_BYTES
                || (new && holding.by_age.len() >= REASSEMBLY_PEER_MESSAGES))
        {
            let mut oldest = holding.by_age.iter().map(|(_, c, s)| (*c, *s));
            let Some((c, s)) = oldest.find(|other| *other != (stream, sequence)) else {
                return false;
            };
            self.evict(&(peer, c, s));
        }
        while self.bytes + growth > REASSEMBLY_NODE_BYTES
            || (new && self.messages.len() >= REASSEMBLY_NODE_MESSAGES)
        {
            let mut oldest = self.by_age.iter().map(|(_, other)| *other);
            let Some(other) = oldest.find(|other| other != key) else {
                return false;
            };
            self.evict(&other);
        }
        true
    }

    fn evict(&mut self, key: &Key) {
        self.remove(key);
        self.evicted += 1;
    }

    /// Forgets a message.
    pub(crate) fn remove(&mut self, key: &Key) {
        self.take_out(key);
    }

    fn take_out(&mut self, key: &Key) -> Option<Assembly> {
        let gone = self.messages.remove(key)?;
        self.bytes -= gone.bytes.len();
        self.by_age.remove(&(gone.touched, *key));
        self.whole.remove(key);
        let (peer, stream, sequence) = *key;
        if let Some(holding) = self.per_peer.get_mut(&peer) {
            holding.bytes -= gone.bytes.len();
            holding.by_age.remove(&(gone.touched, stream, sequence));
            if holding.by_age.is_empty() {
                self.per_peer.remove(&peer);
            }
        }
        Some(gone)
    }

    /// The bytes of a whole message, which is forgotten, or `None`. No copy.
    pub(crate) fn take(&mut self, key: &Key) -> Option<Bytes> {
        if !self.whole.contains(key) {
            return None;
        }
        self.take_out(key).map(|message| message.bytes.freeze())
    }

    /// Forgets everything of `peer`: it restarted.
    pub(crate) fn remove_peer(&mut self, peer: PeerId) {
        let held = self.per_peer.get(&peer).map(|h| h.by_age.iter().copied().collect());
        let held: Vec<_> = held.unwrap_or_default();
        held.iter().for_each(|(_, stream, sequence)| self.remove(&(peer, *stream, *sequence)));
    }

    /// Gives up what rested too long. O(messages given up).
    pub(crate) fn sweep(&mut self, now: Timestamp) {
        while let Some((touched, key)) = self.by_age.first().copied() {
            if now.since(touched) < REASSEMBLY_IDLE {
                break;
            }
            self.evict(&key);
        }
    }

    /// Length of a message that is whole, in bytes; 0 when there is none.
    pub(crate) fn len_of(&self, key: &Key) -> usize {
        self.messages.get(key).map_or(0, |message| message.bytes.len())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// What arrived of a message, for its sender.
    pub(crate) fn partial(&self, key: &Key) -> Option<Partial> {
        let message = self.messages.get(key)?;
        let ranges = message.ranges.iter().map(|(s, e)| (*s, *e)).take(MAX_RANGES).collect();
        Some(Partial { sequence: key.2, generation: message.generation, ranges })
    }

    /// Whole messages of a class that nobody has taken yet. O(whole messages).
    pub(crate) fn complete(&self, class: TrafficClass) -> Vec<(Key, Arrival)> {
        let of_class = self.whole.iter().filter(|key| key.1.1 == class);
        of_class.filter_map(|key| Some((*key, self.messages.get(key)?.arrival))).collect()
    }
}

enum Inserted {
    New,
    Known,
    /// Its bytes differ from those that came before, or there are too many holes.
    Contradicts,
}

impl Assembly {
    fn is_whole(&self) -> bool {
        self.ranges.get(&0) == Some(&self.total)
    }

    /// Adds the bytes of `start..end`. Where they overlap with others, as after a change of the
    /// fragment size, they must be the same.
    fn insert(&mut self, start: u32, end: u32, payload: &[u8]) -> Inserted {
        let touching: Vec<(u32, u32)> = self
            .ranges
            .range(..=end)
            .rev()
            .take_while(|(_, e)| **e >= start)
            .map(|(s, e)| (*s, *e))
            .collect();
        for (s, e) in &touching {
            let (from, to) = (start.max(*s), end.min(*e));
            if from < to {
                let known = &self.bytes[from as usize..to as usize];
                let new = &payload[(from - start) as usize..(to - start) as usize];
                if known != new {
                    return Inserted::Contradicts;
                }
            }
        }
        if touching.iter().any(|(s, e)| *s <= start && end <= *e) {
            return Inserted::Known;
        }
        if touching.is_empty() && self.ranges.len() >= REASSEMBLY_RANGES {
            return Inserted::Contradicts;
        }
        let (mut first, mut last) = (start, end);
        for (s, e) in touching {
            self.ranges.remove(&s);
            first = first.min(s);
            last = last.max(e);
        }
        self.ranges.insert(first, last);
        if self.bytes.len() < end as usize {
            self.bytes.resize(end as usize, 0);
        }
        self.bytes[start as usize..end as usize].copy_from_slice(payload);
        Inserted::New
    }
}

#[cfg(test)]
mod tests;
