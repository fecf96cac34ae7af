mod hops;
mod reach;
mod tree;

use bitcraps_wire::Alias;
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use smallvec::SmallVec;

use self::reach::Reach;
pub(crate) use hops::{FAR, Hops};
pub(crate) use tree::Duty;

/// The neighbours of one origin, ascending: as many as most have are kept in place.
type Row = SmallVec<[u16; 12]>;
/// Pairs of origins of which each says that it has a link with the other. No more of them than there
/// are origins in the table.
#[derive(Debug)]
pub(crate) struct Graph {
    slots: HashMap<Alias, u16, FixedState>,
    aliases: Vec<Alias>,
    rows: Vec<Row>,
    free: Vec<u16>,
    /// Distances from those who are near.
    reach: Reach,
    /// Pairs that were linked or parted so far.
    changes: u64,
}

impl Graph {
    /// Without pairs. `hash` keys the hash of aliases.
    pub(crate) fn new(hash: u64) -> Self {
        let slots = HashMap::with_hasher(FixedState::with_seed(hash));
        Self {
            slots,
            aliases: Vec::new(),
            rows: Vec::new(),
            free: Vec::new(),
            reach: Reach::default(),
            changes: 0,
        }
    }

    fn slot(&mut self, alias: Alias) -> Option<u16> {
        if let Some(slot) = self.slots.get(&alias) {
            return Some(*slot);
        }
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => u16::try_from(self.rows.len()).ok()?,
        };
        if usize::from(slot) == self.rows.len() {
            self.rows.push(Row::new());
            self.aliases.push(alias);
        }
        self.aliases[usize::from(slot)] = alias;
        self.slots.insert(alias, slot);
        self.reach.came(slot);
        Some(slot)
    }

    pub(crate) fn insert(&mut self, a: Alias, b: Alias) {
        let Some((a, b)) = self.slot(a).zip(self.slot(b)) else { return };
        for (from, to) in [(a, b), (b, a)] {
            let row = &mut self.rows[usize::from(from)];
            let Err(at) = row.binary_search(&to) else { return };
            row.insert(at, to);
        }
        self.changes += 1;
        self.reach.linked(&self.rows, a, b);
    }

    pub(crate) fn remove(&mut self, a: Alias, b: Alias) {
        let ends = self.slots.get(&a).copied().zip(self.slots.get(&b).copied());
        let Some((a, b)) = ends else { return };
        for (from, to) in [(a, b), (b, a)] {
            let row = &mut self.rows[usize::from(from)];
            let Ok(at) = row.binary_search(&to) else { return };
            row.remove(at);
        }
        self.changes += 1;
        self.reach.parted(&self.rows, a, b);
        for end in [a, b].map(usize::from) {
            if self.rows[end].is_empty() && self.slots.remove(&self.aliases[end]).is_some() {
                self.free.push(end as u16);
                self.reach.went(end as u16);
            }
        }
    }

    /// Whether a pair is linked.
    #[cfg(test)]
    pub(crate) fn contains(&self, a: Alias, b: Alias) -> bool {
        let ends = self.slots.get(&a).zip(self.slots.get(&b));
        ends.is_some_and(|(a, b)| self.rows[usize::from(*a)].binary_search(b).is_ok())
    }
}

#[cfg(test)]
mod tests;
