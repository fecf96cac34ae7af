use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bitcraps_types::{PeerId, Timestamp};

use super::healer::{MAX_REMEMBERED, PATIENCE, Pair};
use super::{Plan, View};

/// How long a link that was planned for others may take to be seen, and be theirs: a turn of waiting and
/// one of linking.
const OVERDUE: Duration = PATIENCE.saturating_mul(2);

/// The links that others made because they were planned, as everybody sees who plans alike: of links
/// that stand in for each other, all agree which one goes first.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Others {
    /// Planned for others, not there yet, and when that was so last.
    planned: BTreeMap<Pair, Timestamp>,
    made: BTreeSet<Pair>,
}

impl Others {
    /// Takes up what is planned for others than `me`, and what there is of it.
    pub(super) fn follow(&mut self, plans: &[Plan], me: &PeerId, view: &View, now: Timestamp) {
        for link in plans.iter().flat_map(|plan| &plan.links).filter(|link| link.owner != *me) {
            let pair = (link.a, link.b);
            if self.planned.len() < MAX_REMEMBERED || self.planned.contains_key(&pair) {
                self.planned.insert(pair, now);
            }
        }
        self.made.retain(|(a, b)| view.is_linked(a, b));
        let made = &mut self.made;
        self.planned.retain(|pair, at| {
            let is_made = view.is_linked(&pair.0, &pair.1);
            if is_made && made.len() < MAX_REMEMBERED {
                made.insert(*pair);
            }
            !is_made && now < *at + OVERDUE
        });
    }

    /// Those that are there, ascending.
    pub(super) fn made(&self) -> impl Iterator<Item = Pair> + '_ {
        self.made.iter().copied()
    }
}
