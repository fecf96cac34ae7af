use std::time::Duration;

use bitcraps_types::{LinkId, Timestamp};

use crate::FailoverPolicy;

/// How long no advantage moves a preference again. One that returns to a link may have to leave it
/// at once; with this pause that makes at most one switch a second.
const HOLD: Duration = Duration::from_secs(2);

/// No link has this id: they are counted from 1.
const NONE: LinkId = LinkId(u64::MAX);

/// The link that messages of one class and size prefer, in 16 bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Preference {
    link: LinkId,
    held_until: Timestamp,
}

impl Preference {
    pub(crate) const UNDECIDED: Self = Self { link: NONE, held_until: Timestamp::ZERO };

    #[inline]
    pub(crate) fn link(self) -> Option<LinkId> {
        (self.link != NONE).then_some(self.link)
    }

    /// Whether only a better tier may displace it. The cheapest radio changes with the radios'
    /// states, and is followed at once.
    #[inline]
    pub(crate) fn is_held(self, policy: FailoverPolicy, now: Timestamp) -> bool {
        let steady = matches!(policy, FailoverPolicy::FastestFirst | FailoverPolicy::MostReliable);
        steady && now < self.held_until
    }

    /// Prefers `link` from now on. Tells whether that is a change of mind.
    pub(crate) fn choose(&mut self, link: LinkId, now: Timestamp) -> bool {
        if self.link == link {
            return false;
        }
        let changes = self.link != NONE;
        self.link = link;
        if changes {
            self.held_until = now + HOLD;
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_first_choice_is_free_and_a_change_rests_for_the_hold() {
        let at = Timestamp::from_millis;
        let held = |p: Preference, ms| p.is_held(FailoverPolicy::FastestFirst, at(ms));
        let mut preference = Preference::UNDECIDED;
        assert_eq!(preference.link(), None);
        assert!(!preference.choose(LinkId(1), at(10)));
        assert!(!held(preference, 10));
        assert!(!preference.choose(LinkId(1), at(20)));
        assert!(preference.choose(LinkId(2), at(30)));
        assert_eq!(preference.link(), Some(LinkId(2)));
        assert!(held(preference, 2_029) && !held(preference, 2_030));
        assert!(preference.is_held(FailoverPolicy::MostReliable, at(30)));
        assert!(!preference.is_held(FailoverPolicy::EnergyEfficient, at(30)));
        assert!(!preference.is_held(FailoverPolicy::LoadBalanced, at(30)));
        assert_eq!(size_of::<Preference>(), 16);
    }
}
