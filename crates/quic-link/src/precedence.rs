//! Which of two connections over one path stays.
//!
//! Both ends decide alone and must decide alike, or they close one each and are left with none.

/// Random number of one run of one transport; a peer that shows another has restarted.
pub type Incarnation = [u8; 8];

/// Name of one connection that only its two ends know (derived from its TLS secrets).
pub type Tag = [u8; 8];

/// Which end opened a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialler {
    Us,
    Peer,
}

/// What is known of a connection when it is weighed against another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) dialler: Dialler,
    /// The other end's.
    pub(crate) incarnation: Incarnation,
    pub(crate) tag: Tag,
}

/// Whether `newcomer` takes the place of `standing`.
///
/// - A restarted peer, or one that dials again over its own path, has given up the former link.
/// - `replaces` is the link that the dialler of `newcomer` held for dead; it told so.
/// - `quiet`: nothing at all was heard on `standing` for two seconds.
/// - Otherwise both dialled at the same time: the one that the smaller key dialled stays.
pub(crate) fn newcomer_wins(
    standing: &Claim,
    quiet: bool,
    newcomer: &Claim,
    replaces: Option<Tag>,
    we_are_smaller: bool,
) -> bool {
    let restarted = standing.incarnation != newcomer.incarnation;
    let dialled_again = standing.dialler == newcomer.dialler;
    let given_up = replaces == Some(standing.tag);
    let smaller_dialled = (newcomer.dialler == Dialler::Us) == we_are_smaller;
    restarted || dialled_again || given_up || quiet || smaller_dialled
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Incarnation = [1; 8];
    const OTHER: Incarnation = [2; 8];

    fn claim(dialler: Dialler, incarnation: Incarnation, tag: u8) -> Claim {
        Claim { dialler, incarnation, tag: [tag; 8] }
    }

    #[test]
    fn crossing_dials_leave_the_same_one_at_both_ends_in_every_order() {
        // Connection 1 is dialled by the smaller key, 2 by the greater.
        for smaller in [true, false] {
            let own = if smaller { 1 } else { 2 };
            for first in [1, 2] {
                let at = |tag: u8| {
                    let dialler = if tag == own { Dialler::Us } else { Dialler::Peer };
                    claim(dialler, HERE, tag)
                };
                let (standing, newcomer) = (at(first), at(3 - first));
                let wins = newcomer_wins(&standing, false, &newcomer, None, smaller);
                let stays = if wins { 3 - first } else { first };
                assert_eq!(stays, 1, "smaller {smaller}, {first} came first");
            }
        }
    }

    #[test]
    fn a_dead_link_never_stands_in_the_way() {
        // We are the smaller and dialled the standing one: a crossing newcomer would lose.
        let standing = claim(Dialler::Us, HERE, 1);
        let newcomer = claim(Dialler::Peer, HERE, 2);
        let wins =
            |quiet, newcomer, replaces| newcomer_wins(&standing, quiet, &newcomer, replaces, true);
        assert!(!wins(false, newcomer, None));
        assert!(wins(true, newcomer, None), "quiet");
        assert!(wins(false, claim(Dialler::Peer, OTHER, 2), None), "restarted");
        assert!(wins(false, claim(Dialler::Us, HERE, 2), None), "dialled again");
        assert!(wins(false, newcomer, Some([1; 8])), "given up by the peer");
        assert!(!wins(false, newcomer, Some([3; 8])), "another was given up");
    }
}
