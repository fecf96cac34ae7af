use std::time::Duration;

use bitcraps_types::Timestamp;

/// Least time that a link stays out of favour.
pub(crate) const HOLD: Duration = Duration::from_secs(1);
/// The hold doubles with each flap, up to 2^5 = 32 s.
const MAX_DOUBLINGS: u32 = 5;
/// A flap is a fall within this time of the last.
const FLAP_WITHIN: Duration = Duration::from_secs(10);
/// After so long without a fall, the history is forgotten and a new episode is reported again.
const QUIET: Duration = Duration::from_secs(60);
/// Falls in a row that are reported as flapping.
const REPORT_AT: u32 = 3;

/// How often something came and went, and how long it must wait for it (after route flap damping,
/// RFC 2439, with doubling holds instead of penalties).
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Damping {
    falls: u32,
    last: Option<Timestamp>,
}

/// What a fall means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fall {
    Single,
    /// The fall that makes it an episode of flapping; told once an episode.
    FlappingBegins,
    Flapping,
}

impl Damping {
    /// It fell out of favour.
    pub(crate) fn fall(&mut self, now: Timestamp) -> Fall {
        let recent = self.last.is_some_and(|last| now.since(last) < FLAP_WITHIN + self.hold());
        let quiet = self.last.is_none_or(|last| now.since(last) >= QUIET);
        self.falls = if recent {
            self.falls.saturating_add(1)
        } else if quiet {
            1
        } else {
            self.falls.max(1)
        };
        self.last = Some(now);
        match self.falls {
            0..=2 => Fall::Single,
            REPORT_AT if recent => Fall::FlappingBegins,
            _ => Fall::Flapping,
        }
    }

    /// How long it must behave before it is trusted again.
    pub(crate) fn hold(&self) -> Duration {
        HOLD * (1 << self.falls.saturating_sub(1).min(MAX_DOUBLINGS))
    }

    /// Whether it fell so lately that a successor must wait as well.
    pub(crate) fn holds(&self, now: Timestamp) -> bool {
        self.last.is_some_and(|last| now.since(last) < self.hold())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_millis(ms)
    }

    #[test]
    fn holds_double_while_falls_are_close() {
        let mut damping = Damping::default();
        assert!(!damping.holds(at(0)));
        assert_eq!(damping.fall(at(0)), Fall::Single);
        assert_eq!(damping.hold(), HOLD);
        assert!(damping.holds(at(999)) && !damping.holds(at(1_000)));
        assert_eq!(damping.fall(at(1_500)), Fall::Single);
        assert_eq!(damping.fall(at(3_000)), Fall::FlappingBegins);
        assert_eq!(damping.fall(at(4_000)), Fall::Flapping);
        assert_eq!(damping.hold(), 8 * HOLD);
        (0..20).for_each(|i| {
            damping.fall(at(5_000 + i));
        });
        assert_eq!(damping.hold(), 32 * HOLD);
    }

    #[test]
    fn a_second_episode_is_reported_again() {
        let mut damping = Damping::default();
        let episode = |damping: &mut Damping, from: u64| -> Vec<Fall> {
            (0..4).map(|i| damping.fall(at(from + 500 * i))).collect()
        };
        let expected = [Fall::Single, Fall::Single, Fall::FlappingBegins, Fall::Flapping];
        assert_eq!(episode(&mut damping, 0), expected);
        assert_eq!(episode(&mut damping, 62_000), expected);
    }
}
