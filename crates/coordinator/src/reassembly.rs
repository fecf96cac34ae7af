use std::collections::BTreeMap;

use bitcraps_types::{PeerId, Sequence, Timestamp, TrafficClass};
use bitcraps_wire::{Data, MAX_RANGES, Partial};
use bytes::{Bytes, BytesMut};

use crate::config::bounds::{
    REASSEMBLY_IDLE, REASSEMBLY_NODE_BYTES, REASSEMBLY_NODE_MESSAGES, REASSEMBLY_PEER_BYTES,
    REASSEMBLY_RANGES,
};

/// One incomplete message.
#[derive(Debug)]
struct Assembly {
    generation: u8,
    total: u32,
    /// Grows with what arrives: a claim of 16 MiB costs nothing before its bytes come.
    bytes: BytesMut,
    /// Received `start -> end`, ascending, apart.
    ranges: BTreeMap<u32, u32>,
    touched: Timestamp,
}

/// Key of an incomplete message.
type Key = (PeerId, TrafficClass, Sequence);

/// What became of a fragment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Added {
    /// The message is whole. It stays until [`Reassembly::remove`], in case nobody takes it yet.
    Complete(Bytes),
    /// More is missing.
    Incomplete,
    /// It contradicts what came before, or there is no room.
    Refused,
}

/// Incomplete messages of all peers, bounded per peer and in total.
#[derive(Debug, Default)]
pub(crate) struct Reassembly {
    messages: BTreeMap<Key, Assembly>,
    bytes: usize,
    per_peer: BTreeMap<PeerId, usize>,
    pub(crate) evicted: u64,
}

impl Reassembly {
    /// Adds a fragment. O(log messages + log ranges + length).
    pub(crate) fn add(&mut self, peer: PeerId, data: &Data, now: Timestamp) -> Added {
        let key = (peer, data.class, data.sequence);
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
        if !self.make_room(&key, growth) {
            return Added::Refused;
        }
        let message = self.messages.entry(key).or_insert_with(|| Assembly {
            generation: data.generation,
            total: data.total,
            bytes: BytesMut::new(),
            ranges: BTreeMap::new(),
            touched: now,
        });
        match insert(&mut message.ranges, start, end) {
            Inserted::New => {}
            Inserted::Known => {
                return whole(message).map_or(Added::Incomplete, Added::Complete);
            }
            Inserted::Overlaps => return Added::Refused,
        }
        message.touched = now;
        if message.bytes.len() < end as usize {
            message.bytes.resize(end as usize, 0);
        }
        message.bytes[start as usize..end as usize].copy_from_slice(&data.payload);
        self.bytes += growth;
        *self.per_peer.entry(peer).or_default() += growth;
        whole(message).map_or(Added::Incomplete, Added::Complete)
    }

    /// Room for `growth` bytes more of `key`: from the peer's own oldest, then from the oldest of
    /// all. False when the message alone is too large.
    fn make_room(&mut self, key: &Key, growth: usize) -> bool {
        let peer = key.0;
        while self.per_peer.get(&peer).copied().unwrap_or(0) + growth > REASSEMBLY_PEER_BYTES {
            let range = (peer, TrafficClass::Realtime, 0)..=(peer, TrafficClass::Bulk, u64::MAX);
            let others = self.messages.range(range).filter(|(k, _)| *k != key);
            let Some(oldest) = others.min_by_key(|(_, a)| a.touched).map(|(k, _)| *k) else {
                return false;
            };
            self.evict(&oldest);
        }
        let new = !self.messages.contains_key(key);
        while self.bytes + growth > REASSEMBLY_NODE_BYTES
            || (new && self.messages.len() >= REASSEMBLY_NODE_MESSAGES)
        {
            let others = self.messages.iter().filter(|(k, _)| *k != key);
            let Some(oldest) = others.min_by_key(|(_, a)| a.touched).map(|(k, _)| *k) else {
                return false;
            };
            self.evict(&oldest);
        }
        true
    }

    fn evict(&mut self, key: &Key) {
        self.remove(key);
        self.evicted += 1;
    }

    /// Forgets a message: it was taken, or its sender gave it up.
    pub(crate) fn remove(&mut self, key: &Key) {
        if let Some(gone) = self.messages.remove(key) {
            self.bytes -= gone.bytes.len();
            if let Some(held) = self.per_peer.get_mut(&key.0) {
                *held -= gone.bytes.len();
                if *held == 0 {
                    self.per_peer.remove(&key.0);
                }
            }
        }
    }

    /// Forgets everything of `peer`: it restarted.
    pub(crate) fn remove_peer(&mut self, peer: PeerId) {
        let range = (peer, TrafficClass::Realtime, 0)..=(peer, TrafficClass::Bulk, u64::MAX);
        let keys: Vec<Key> = self.messages.range(range).map(|(k, _)| *k).collect();
        keys.iter().for_each(|key| self.remove(key));
    }

    /// Gives up what rested too long. O(messages).
    pub(crate) fn sweep(&mut self, now: Timestamp) {
        let rested = |a: &Assembly| now.since(a.touched) >= REASSEMBLY_IDLE;
        let keys: Vec<Key> =
            self.messages.iter().filter(|(_, a)| rested(a)).map(|(k, _)| *k).collect();
        keys.iter().for_each(|key| self.evict(key));
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

    /// Whole messages that nobody has taken yet.
    pub(crate) fn complete(&self) -> impl Iterator<Item = (Key, Bytes)> + '_ {
        self.messages.iter().filter_map(|(key, a)| whole(a).map(|bytes| (*key, bytes)))
    }
}

fn whole(message: &Assembly) -> Option<Bytes> {
    let complete = message.ranges.get(&0) == Some(&message.total);
    complete.then(|| Bytes::copy_from_slice(&message.bytes))
}

enum Inserted {
    New,
    Known,
    Overlaps,
}

/// Adds `start..end`, merging neighbours. A range within a known one is known; one that overlaps
/// in part is refused.
fn insert(ranges: &mut BTreeMap<u32, u32>, start: u32, end: u32) -> Inserted {
    let before = ranges.range(..=start).next_back().map(|(s, e)| (*s, *e));
    if let Some((_, known_end)) = before
        && end <= known_end
    {
        return Inserted::Known;
    }
    if before.is_some_and(|(_, known_end)| known_end > start) {
        return Inserted::Overlaps;
    }
    let after = ranges.range(start..).next().map(|(s, e)| (*s, *e));
    if after.is_some_and(|(next, _)| next < end) {
        return Inserted::Overlaps;
    }
    let joins_before = before.filter(|(_, known_end)| *known_end == start);
    let joins_after = after.filter(|(next, _)| *next == end);
    if joins_before.is_none() && joins_after.is_none() && ranges.len() >= REASSEMBLY_RANGES {
        return Inserted::Overlaps;
    }
    if let Some((next, _)) = joins_after {
        ranges.remove(&next);
    }
    let end = joins_after.map_or(end, |(_, e)| e);
    ranges.insert(joins_before.map_or(start, |(s, _)| s), end);
    Inserted::New
}
