//! Which of two links to the same peer stays.

use std::time::Duration;

use bitcraps_types::{PeerId, Timestamp};

/// How long after a link came up another one may be the other half of two dials at once. Longer
/// than a dial takes on a busy radio.
pub(crate) const CROSSING: Duration = Duration::from_secs(5);

/// A link, as far as precedence is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Claim {
    /// The end that dialled.
    pub(crate) caller: PeerId,
    /// When it came up at this end.
    pub(crate) since: Timestamp,
}

/// Whether `newcomer` takes the place of `standing`. It does: who dials again has lost what stands.
/// Only when both ends dialled at once, the link that the greater key dialled stays, so that both
/// ends keep the same one.
pub(crate) fn newcomer_wins(standing: &Claim, newcomer: &Claim) -> bool {
    let crossed =
        standing.caller != newcomer.caller && newcomer.since.since(standing.since) < CROSSING;
    !crossed || newcomer.caller > standing.caller
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_that_cross_the_greater_key_stays_whatever_the_order() {
        let claim = |key: u8, millis| Claim {
            caller: PeerId::from_bytes([key; 32]),
            since: Timestamp::from_millis(millis),
        };
        let rows = [
            (claim(1, 0), claim(2, 4_999), true, "the greater comes second"),
            (claim(2, 0), claim(1, 4_999), false, "the greater came first"),
            (claim(2, 0), claim(1, 5_000), true, "too late to have crossed"),
            (claim(1, 0), claim(1, 1), true, "the same end dials again"),
            (claim(2, 0), claim(2, 9_000), true, "and later"),
        ];
        for (standing, newcomer, wins, why) in rows {
            assert_eq!(newcomer_wins(&standing, &newcomer), wins, "{why}");
        }
    }
}
