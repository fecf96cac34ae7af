use std::collections::VecDeque;

use crate::Tally;

/// Trials that a share is of at least: one more that fails moves it by less than anybody minds.
const TRIALS: u64 = 30;
/// Looks over which so many have to come together: half an hour. Of what is tried more rarely nothing
/// is said.
const LOOKS: usize = 360;

/// The share of what went well among the last trials: those of the last look, or of as many looks as
/// it takes for [`TRIALS`]. A message a second is a handful of trials for each look and class, of which
/// two that fail are half: such a share says nothing of the network.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Share {
    /// Tallies of the last looks, as far back as is needed.
    tallies: VecDeque<Tally>,
}

impl Share {
    /// Takes up the tally of a look; `None` when nothing came to an end since the look before, or not
    /// enough of late. Amortised O(1).
    pub(crate) fn observe(&mut self, tally: Tally) -> Option<f64> {
        if self.tallies.back().is_some_and(|before| tally.all < before.all) {
            // It counts from nothing again.
            self.tallies.clear();
        }
        let idle = self.tallies.back().is_some_and(|before| tally.all == before.all);
        self.tallies.push_back(tally);
        let enough = |before: &Tally| tally.all - before.all >= TRIALS;
        while self.tallies.len() > LOOKS + 1 || self.tallies.get(1).is_some_and(enough) {
            self.tallies.pop_front();
        }
        let before = self.tallies.front().copied().filter(|before| !idle && enough(before));
        before.and_then(|before| tally.share_since(Some(before)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(good: u64, all: u64) -> Tally {
        Tally { good, all }
    }

    #[test]
    fn a_share_is_of_thirty_trials_or_of_a_look_that_has_more() {
        let mut share = Share::default();
        assert_eq!(share.observe(tally(0, 0)), None);
        assert_eq!(share.observe(tally(28, 29)), None);
        assert_eq!(share.observe(tally(29, 30)), Some(29.0 / 30.0));
        // Two that fail of two are two of the last 32.
        assert_eq!(share.observe(tally(29, 32)), Some(29.0 / 32.0));
        // Nothing new, nothing to say.
        assert_eq!(share.observe(tally(29, 32)), None);
        // A look that has enough of its own speaks for itself.
        assert_eq!(share.observe(tally(39, 72)), Some(0.25));
        // And the looks before it are forgotten once those behind it are enough.
        assert_eq!(share.observe(tally(68, 101)), Some(39.0 / 69.0));
        assert_eq!(share.observe(tally(69, 102)), Some(1.0));
    }

    #[test]
    fn one_that_starts_again_begins_anew() {
        let mut share = Share::default();
        share.observe(tally(0, 0));
        assert_eq!(share.observe(tally(50, 100)), Some(0.5));
        assert_eq!(share.observe(tally(3, 4)), None);
        assert_eq!(share.observe(tally(33, 34)), Some(1.0));
    }

    #[test]
    fn what_is_tried_too_rarely_is_not_judged_and_the_past_is_bounded() {
        let mut share = Share::default();
        let said = (0..10_000).filter_map(|look| share.observe(tally(look / 13, look / 13)));
        assert_eq!(said.count(), 0);
        assert_eq!(share.tallies.len(), LOOKS + 1);
    }
}
