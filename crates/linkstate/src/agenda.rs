use std::collections::BTreeSet;
use std::hash::Hash;

use bitcraps_types::Timestamp;
use foldhash::fast::FixedState;
use hashbrown::HashMap;

/// Things by key, each due at a time. Looking up is O(1), every other operation O(log n).
#[derive(Debug)]
pub(crate) struct Agenda<K, V> {
    things: HashMap<K, (Timestamp, V), FixedState>,
    order: BTreeSet<(Timestamp, K)>,
}

impl<K: Ord + Copy + Hash, V> Agenda<K, V> {
    /// Without things. `hash` keys the hash of keys.
    pub(crate) fn new(hash: u64) -> Self {
        let things = HashMap::with_hasher(FixedState::with_seed(hash));
        Self { things, order: BTreeSet::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.things.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.things.is_empty()
    }

    /// When a thing is due, and the thing.
    pub(crate) fn get(&self, key: &K) -> Option<&(Timestamp, V)> {
        self.things.get(key)
    }

    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.things.get_mut(key).map(|(_, thing)| thing)
    }

    /// Puts a thing in the place of the one with its key.
    pub(crate) fn insert(&mut self, key: K, due: Timestamp, thing: V) {
        if let Some((before, _)) = self.things.insert(key, (due, thing)) {
            self.order.remove(&(before, key));
        }
        self.order.insert((due, key));
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        let (due, thing) = self.things.remove(key)?;
        self.order.remove(&(due, *key));
        Some(thing)
    }

    pub(crate) fn clear(&mut self) {
        self.things.clear();
        self.order.clear();
    }

    /// What is due first; [`Timestamp::MAX`] when there is nothing.
    pub(crate) fn first_due(&self) -> Timestamp {
        self.order.first().map_or(Timestamp::MAX, |(due, _)| *due)
    }

    /// The key that is due first, at `until` at the latest.
    pub(crate) fn first(&self, until: Timestamp) -> Option<K> {
        self.order.first().filter(|(due, _)| *due <= until).map(|(_, key)| *key)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn an_agenda_agrees_with_a_map_that_is_searched() {
        let mut rng = fastrand::Rng::with_seed(1);
        let mut agenda = Agenda::new(7);
        let mut model: BTreeMap<u8, (Timestamp, u32)> = BTreeMap::new();
        for step in 0..5_000 {
            let (key, due) = (rng.u8(..40), Timestamp::from_millis(rng.u64(..50)));
            match rng.u8(..3) {
                0 => assert_eq!(agenda.remove(&key), model.remove(&key).map(|(_, thing)| thing)),
                1 => {
                    agenda.insert(key, due, step);
                    model.insert(key, (due, step));
                }
                _ => assert_eq!(agenda.get(&key), model.get(&key)),
            }
            let first = model.iter().map(|(key, (due, _))| (*due, *key)).min();
            assert_eq!(agenda.first_due(), first.map_or(Timestamp::MAX, |(due, _)| due));
            assert_eq!(agenda.first(due), first.filter(|f| f.0 <= due).map(|(_, key)| key));
            assert_eq!((agenda.len(), agenda.is_empty()), (model.len(), model.is_empty()));
        }
        agenda.clear();
        assert!(agenda.is_empty() && agenda.first(Timestamp::MAX).is_none());
    }
}
