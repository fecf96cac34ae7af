use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bitcraps_types::{PeerId, Timestamp};

use super::Plan;
use super::healer::{MAX_DOUBLINGS, MAX_PENDING, MAX_REMEMBERED, PATIENCE, Pair};

/// How long what a peer offers is left out that did not make one of its links; twice as long after each
/// further one. Meanwhile its pairs are there as far as their other ends offer them.
const DISTRUST: Duration = Duration::from_secs(600);

/// A link that a peer said it could make, and that was planned for it.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Debt {
    owner: PeerId,
    /// When it has been waited for long enough.
    due: Timestamp,
}

/// A peer that did not make a link which it had offered.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Distrust {
    failures: u32,
    until: Timestamp,
}

/// What others owe to the network, and who did not pay: what nobody makes must not stand in the way of
/// what somebody would.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Debts {
    /// The links of the last plans that are for others to make.
    open: BTreeMap<Pair, Debt>,
    distrusted: BTreeMap<PeerId, Distrust>,
}

impl Debts {
    /// Takes up what is planned for others, and who has not made it in time. Peers make
    /// [`MAX_PENDING`] links at once and have [`PATIENCE`] for these, and their plans settle first.
    pub(super) fn dun(&mut self, plans: &[Plan], me: &PeerId, settle: Duration, now: Timestamp) {
        let mut open = BTreeMap::new();
        let mut owed: BTreeMap<PeerId, usize> = BTreeMap::new();
        let mut late = BTreeSet::new();
        for link in plans.iter().flat_map(|plan| &plan.links).filter(|link| link.owner != *me) {
            let (pair, before) = ((link.a, link.b), owed.entry(link.owner).or_default());
            let turns = 1 + (*before / MAX_PENDING) as u32;
            *before += 1;
            // As long again, because others may have planned it later.
            let due = now + settle * 2 + PATIENCE * turns;
            let known = self.open.get(&pair).filter(|debt| debt.owner == link.owner);
            let debt = known.copied().unwrap_or(Debt { owner: link.owner, due });
            if now < debt.due {
                open.insert(pair, debt);
            } else {
                late.insert(link.owner);
            }
        }
        self.open = open;
        for owner in late {
            self.distrust(owner, now);
        }
    }

    fn distrust(&mut self, peer: PeerId, now: Timestamp) {
        let longest = DISTRUST * (1 << MAX_DOUBLINGS);
        self.distrusted.retain(|_, distrust| now < distrust.until + longest);
        if self.distrusted.len() >= MAX_REMEMBERED && !self.distrusted.contains_key(&peer) {
            let first = self.distrusted.iter().min_by_key(|(_, distrust)| distrust.until);
            first.map(|(peer, _)| *peer).and_then(|peer| self.distrusted.remove(&peer));
        }
        let failures = self.distrusted.get(&peer).map_or(0, |distrust| distrust.failures);
        let until = now + DISTRUST * (1 << failures.min(MAX_DOUBLINGS));
        self.distrusted.insert(peer, Distrust { failures: failures.saturating_add(1), until });
    }

    /// Whether what a peer offers is left out.
    pub(super) fn distrusts(&self, peer: &PeerId, now: Timestamp) -> bool {
        self.distrusted.get(peer).is_some_and(|distrust| now < distrust.until)
    }

    /// When the first debt is due.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.open.values().map(|debt| debt.due).min()
    }
}
