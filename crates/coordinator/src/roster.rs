use std::hash::BuildHasher as _;

use bitcraps_types::{EnergyProfile, LinkId, PeerId, Timestamp, TrafficClass, TransportType};
use foldhash::fast::FixedState;
use hashbrown::HashTable;

use crate::policy::{Candidate, Tier};
use crate::preference::Preference;
use crate::{PeerHandle, SizeBucket};

/// Links of one peer that are kept in place: one of each transport.
const FEW: usize = TransportType::COUNT;

/// What a decision about one peer reads, and nothing else of it. With a million peers a decision
/// costs what it fetches from memory; here that lies side by side, on as few cache lines as it can.
#[derive(Debug)]
#[repr(C, align(64))]
struct Entry {
    id: PeerId,
    /// All candidates, when there are more than [`FEW`].
    many: Vec<Candidate>,
    len: u8,
    /// How often its slot was given to another peer.
    generation: u32,
    few: [Candidate; FEW],
    /// By class and by [`SizeBucket::index`]: those of a class are one cache line.
    preferences: [[Preference; SizeBucket::COUNT]; TrafficClass::COUNT],
}

const VACANT: Candidate = Candidate {
    link: LinkId(u64::MAX),
    latency_us: [u32::MAX; 4],
    undelivered_ppm: [u32::MAX; 4],
    picos_per_byte: u32::MAX,
    backlog_bytes: 0,
    max_payload: 0,
    unacked_bytes: 0,
    tier: [Tier::Down; 4],
    transport: TransportType::Bluetooth,
    load_bytes: 0.0,
    load_at: Timestamp::ZERO,
    energy: EnergyProfile::MAINS.marginal_energy(),
    active_at: None,
};

impl Entry {
    fn new(id: PeerId, generation: u32) -> Self {
        Self {
            id,
            many: Vec::new(),
            len: 0,
            generation,
            few: [VACANT; FEW],
            preferences: [[Preference::UNDECIDED; SizeBucket::COUNT]; TrafficClass::COUNT],
        }
    }

    fn candidates(&self) -> &[Candidate] {
        if self.many.is_empty() { &self.few[..usize::from(self.len)] } else { &self.many }
    }

    fn candidates_mut(&mut self) -> &mut [Candidate] {
        if self.many.is_empty() { &mut self.few[..usize::from(self.len)] } else { &mut self.many }
    }

    /// Replaces all candidates.
    fn set(&mut self, candidates: &[Candidate]) {
        if candidates.len() <= FEW {
            self.many = Vec::new();
            self.few[..candidates.len()].copy_from_slice(candidates);
            self.len = candidates.len() as u8;
        } else {
            self.many = candidates.to_vec();
        }
    }
}

/// Every peer that is known, by id and by slot. Each has a candidate for each of its links,
/// in the same order.
#[derive(Debug)]
pub(crate) struct Roster {
    /// Slots of `entries` by id. Holds no ids, so that a million fit a processor's cache.
    index: HashTable<u32>,
    hasher: FixedState,
    entries: Vec<Entry>,
}

impl Roster {
    pub(crate) fn new(seed: u64) -> Self {
        let hasher = FixedState::with_seed(seed);
        Self { index: HashTable::new(), hasher, entries: Vec::new() }
    }

    #[inline]
    pub(crate) fn find(&self, id: &PeerId) -> Option<PeerHandle> {
        let known = |slot: &u32| self.entries.get(*slot as usize).is_some_and(|e| e.id == *id);
        let slot = *self.index.find(self.hasher.hash_one(id), known)?;
        Some(PeerHandle(slot, self.entries.get(slot as usize)?.generation))
    }

    /// Whether the handle means the peer that is in its slot now.
    #[inline]
    pub(crate) fn is_current(&self, handle: PeerHandle) -> bool {
        let entry = self.entries.get(handle.0 as usize);
        entry.is_some_and(|entry| entry.generation == handle.1)
    }

    /// Adds a peer that is not there, in a slot of its own; slots are given in order.
    pub(crate) fn add(&mut self, id: PeerId) -> PeerHandle {
        let slot = self.entries.len() as u32;
        self.entries.push(Entry::new(id, 0));
        self.enter(slot, id);
        PeerHandle(slot, 0)
    }

    /// Gives the slot of a peer that was cleared to one that is not there; its generation.
    pub(crate) fn put(&mut self, slot: u32, id: PeerId) -> u32 {
        let entry = &mut self.entries[slot as usize];
        *entry = Entry::new(id, entry.generation);
        let generation = entry.generation;
        self.enter(slot, id);
        generation
    }

    /// Forgets the peer in a slot; its handles mean nobody from now on.
    pub(crate) fn clear(&mut self, slot: u32) {
        let entry = &mut self.entries[slot as usize];
        let hash = self.hasher.hash_one(entry.id);
        *entry = Entry::new(entry.id, entry.generation.wrapping_add(1));
        if let Ok(found) = self.index.find_entry(hash, |known| *known == slot) {
            found.remove();
        }
    }

    fn enter(&mut self, slot: u32, id: PeerId) {
        let (entries, hasher) = (&self.entries, &self.hasher);
        let rehash = |slot: &u32| hasher.hash_one(entries[*slot as usize].id);
        self.index.insert_unique(hasher.hash_one(id), slot, rehash);
    }

    /// The candidates of the peer that a handle means; none when that was forgotten.
    #[inline]
    pub(crate) fn candidates_of(&self, handle: PeerHandle) -> &[Candidate] {
        let entry = self.entries.get(handle.0 as usize);
        let current = entry.filter(|entry| entry.generation == handle.1);
        current.map_or(&[], Entry::candidates)
    }

    /// The candidates of a peer; none when there is no such peer.
    #[inline]
    pub(crate) fn candidates(&self, peer: u32) -> &[Candidate] {
        self.entries.get(peer as usize).map_or(&[], Entry::candidates)
    }

    pub(crate) fn candidate_mut(&mut self, peer: u32, index: usize) -> Option<&mut Candidate> {
        self.entries.get_mut(peer as usize)?.candidates_mut().get_mut(index)
    }

    pub(crate) fn push(&mut self, peer: u32, candidate: Candidate) {
        if let Some(entry) = self.entries.get_mut(peer as usize) {
            let mut all = entry.candidates().to_vec();
            all.push(candidate);
            entry.set(&all);
        }
    }

    pub(crate) fn remove(&mut self, peer: u32, index: usize) {
        if let Some(entry) = self.entries.get_mut(peer as usize) {
            let mut all = entry.candidates().to_vec();
            all.remove(index);
            entry.set(&all);
        }
    }

    /// What messages of `class` and this size prefer.
    #[inline]
    pub(crate) fn preference(
        &self,
        peer: u32,
        class: TrafficClass,
        bucket: SizeBucket,
    ) -> Preference {
        let entry = self.entries.get(peer as usize);
        entry.map_or(Preference::UNDECIDED, |e| e.preferences[class.index()][bucket.index()])
    }

    /// Messages of `class` and this size prefer `link` from now on. Tells whether that is a change
    /// of mind.
    pub(crate) fn prefer(
        &mut self,
        peer: u32,
        class: TrafficClass,
        bucket: SizeBucket,
        link: LinkId,
        now: Timestamp,
    ) -> bool {
        let entry = self.entries.get_mut(peer as usize);
        entry.is_some_and(|e| e.preferences[class.index()][bucket.index()].choose(link, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u64) -> PeerId {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&n.to_le_bytes());
        PeerId::from_bytes(bytes)
    }

    #[test]
    fn peers_are_found_by_id_however_many_there_are() {
        let mut roster = Roster::new(7);
        (0..5_000).for_each(|n| assert_eq!(roster.add(id(n)), PeerHandle(n as u32, 0)));
        (0..5_000).for_each(|n| assert_eq!(roster.find(&id(n)), Some(PeerHandle(n as u32, 0))));
        assert_eq!(roster.find(&id(5_000)), None);
        assert_eq!(roster.entries.len(), 5_000);
    }

    #[test]
    fn a_slot_is_used_again_and_the_old_handle_means_nobody() {
        let mut roster = Roster::new(7);
        let old = (0..100).map(|n| roster.add(id(n))).collect::<Vec<_>>();
        roster.push(40, Candidate { link: LinkId(1), ..VACANT });
        roster.clear(40);
        assert_eq!(roster.find(&id(40)), None);
        assert!(!roster.is_current(old[40]) && roster.is_current(old[41]));
        assert_eq!(roster.put(40, id(200)), 1);
        let new = PeerHandle(40, 1);
        assert_eq!(roster.find(&id(200)), Some(new));
        roster.push(40, Candidate { link: LinkId(2), ..VACANT });
        assert_eq!(roster.candidates_of(new).len(), 1);
        assert!(roster.candidates_of(old[40]).is_empty());
        for n in (0..100).filter(|n| *n != 40) {
            assert_eq!(roster.find(&id(n)), Some(old[n as usize]), "{n}");
        }
    }

    #[test]
    fn candidates_keep_their_order_in_place_and_beyond() {
        let mut roster = Roster::new(7);
        let peer = roster.add(id(1)).0;
        let links = |roster: &Roster| -> Vec<u64> {
            roster.candidates(peer).iter().map(|c| c.link.0).collect()
        };
        for n in 0..5 {
            roster.push(peer, Candidate { link: LinkId(n), ..VACANT });
            assert_eq!(links(&roster), (0..=n).collect::<Vec<_>>());
        }
        for (gone, left) in [(1, vec![0, 2, 3, 4]), (3, vec![0, 2, 3]), (0, vec![2, 3])] {
            roster.remove(peer, gone);
            assert_eq!(links(&roster), left);
        }
        if let Some(candidate) = roster.candidate_mut(peer, 1) {
            candidate.link = LinkId(9);
        }
        assert_eq!(links(&roster), [2, 9]);
        assert!(roster.candidates(1).is_empty(), "no such peer");
    }

    #[test]
    fn preferences_are_kept_by_class_and_size() {
        let mut roster = Roster::new(7);
        let peer = roster.add(id(1)).0;
        let (bulk, critical) = (TrafficClass::Bulk, TrafficClass::Critical);
        let (small, large) = (SizeBucket::Small, SizeBucket::Large);
        let now = Timestamp::ZERO;
        assert!(!roster.prefer(peer, bulk, small, LinkId(1), now));
        assert!(roster.prefer(peer, bulk, small, LinkId(2), now));
        assert_eq!(roster.preference(peer, bulk, small).link(), Some(LinkId(2)));
        assert_eq!(roster.preference(peer, bulk, large).link(), None);
        assert_eq!(roster.preference(peer, critical, small).link(), None);
        assert!(!roster.prefer(peer + 1, bulk, small, LinkId(1), now), "no such peer");
    }

    #[test]
    fn what_a_decision_by_speed_reads_of_a_link_is_one_cache_line() {
        assert_eq!(size_of::<Candidate>(), 128);
        assert!(std::mem::offset_of!(Candidate, load_bytes) >= 64);
        assert!(std::mem::offset_of!(Candidate, transport) < 64);
        assert_eq!(std::mem::offset_of!(Entry, few) % 64, 0);
        assert_eq!(std::mem::offset_of!(Entry, preferences) % 64, 0);
        assert_eq!(size_of::<[Preference; SizeBucket::COUNT]>(), 64);
    }
}
