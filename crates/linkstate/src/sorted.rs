use smallvec::SmallVec;

/// A map of a few entries in one piece of memory: with a thousand origins there are thousands of
/// them. As many as most have, `N`, are kept in place. Looking up is O(log n), changing O(n).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sorted<K, V, const N: usize>(SmallVec<[(K, V); N]>);

impl<K, V, const N: usize> Default for Sorted<K, V, N> {
    fn default() -> Self {
        Self(SmallVec::new())
    }
}

impl<K: Ord, V, const N: usize> Sorted<K, V, N> {
    fn at(&self, key: &K) -> Result<usize, usize> {
        self.0.binary_search_by(|(here, _)| here.cmp(key))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        self.at(key).ok().map(|at| &self.0[at].1)
    }

    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.at(key).ok().map(|at| &mut self.0[at].1)
    }

    pub(crate) fn contains_key(&self, key: &K) -> bool {
        self.at(key).is_ok()
    }

    /// Gives what was there before.
    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        match self.at(&key) {
            Ok(at) => Some(std::mem::replace(&mut self.0[at].1, value)),
            Err(at) => {
                self.0.reserve_exact(1);
                self.0.insert(at, (key, value));
                None
            }
        }
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        let at = self.at(key).ok()?;
        Some(self.0.remove(at).1)
    }

    /// Ascending.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = (&K, &V)> {
        self.0.iter().map(|(key, value)| (key, value))
    }

    pub(crate) fn keys(&self) -> impl DoubleEndedIterator<Item = &K> {
        self.0.iter().map(|(key, _)| key)
    }

    pub(crate) fn values(&self) -> impl DoubleEndedIterator<Item = &V> {
        self.0.iter().map(|(_, value)| value)
    }
}

/// Of entries with one key the last counts.
impl<K: Ord, V, const N: usize> FromIterator<(K, V)> for Sorted<K, V, N> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut entries: SmallVec<[(K, V); N]> = entries.into_iter().collect();
        if !entries.is_sorted_by(|(a, _), (b, _)| a < b) {
            entries.sort_by(|(a, _), (b, _)| a.cmp(b));
            entries.reverse();
            entries.dedup_by(|(a, _), (b, _)| a == b);
            entries.reverse();
        }
        entries.shrink_to_fit();
        Self(entries)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn it_agrees_with_a_map() {
        let mut rng = fastrand::Rng::with_seed(1);
        let (mut sorted, mut model) = (Sorted::<_, _, 4>::default(), BTreeMap::new());
        for step in 0..5_000 {
            let key = rng.u8(..20);
            match rng.u8(..4) {
                0 => assert_eq!(sorted.remove(&key), model.remove(&key)),
                1 => {
                    if let Some(value) = sorted.get_mut(&key) {
                        *value += 1;
                    }
                    model.entry(key).and_modify(|value| *value += 1);
                }
                _ => assert_eq!(sorted.insert(key, step), model.insert(key, step)),
            }
            assert!(sorted.iter().eq(&model) && sorted.keys().eq(model.keys()));
            assert!(sorted.values().eq(model.values()));
            assert_eq!(sorted.is_empty(), model.is_empty());
            assert_eq!(sorted.get(&key), model.get(&key));
            assert_eq!(sorted.contains_key(&key), model.contains_key(&key));
        }
    }

    #[test]
    fn of_what_has_one_key_the_last_counts() {
        let mut rng = fastrand::Rng::with_seed(2);
        for len in 0..40 {
            let entries: Vec<(u8, usize)> = (0..len).map(|at| (rng.u8(..10), at)).collect();
            let sorted: Sorted<_, _, 4> = entries.iter().copied().collect();
            assert!(sorted.iter().eq(&entries.iter().copied().collect::<BTreeMap<_, _>>()));
        }
    }
}
