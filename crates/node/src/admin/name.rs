//! Peers as people name them.

use std::collections::BTreeSet;

use bitcraps_types::{ParsePeerIdError, PeerId};

use super::protocol::{Refusal, RefusalKind};
use crate::Node;

/// Least digits of a name: two of a few thousand peers rarely share them.
const MIN_DIGITS: usize = 4;
/// Digits of a whole id.
const ALL_DIGITS: usize = 2 * PeerId::LEN;
/// Candidates that an ambiguous name lists.
const MAX_CANDIDATES: usize = 8;

/// Why a name names no peer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum NameError {
    /// It is too short to mean anything.
    #[error(
        "{0:?} is too short for a peer; write at least {MIN_DIGITS} digits of its id, which `bitcraps peers` lists"
    )]
    TooShort(String),
    /// It is no id.
    #[error("{name:?} is no peer id: {why}")]
    NotAnId {
        /// The name.
        name: String,
        /// What is wrong with it.
        why: ParsePeerIdError,
    },
    /// Nobody has it.
    #[error("no known peer's id starts with {0}; `bitcraps peers` lists those known")]
    Unknown(String),
    /// Several have it.
    #[error(
        "{count} peers' ids start with {name}: {}{}; write more digits",
        list(candidates),
        if candidates.len() < *count { ", .." } else { "" }
    )]
    Ambiguous {
        /// The name.
        name: String,
        /// How many.
        count: usize,
        /// The first of them.
        candidates: Vec<PeerId>,
    },
    /// It is this node's own.
    #[error("{} is this node itself", .0.short())]
    Own(PeerId),
}

fn list(peers: &[PeerId]) -> String {
    let digits: Vec<String> = peers.iter().map(|p| p.to_string()[..16].to_owned()).collect();
    digits.join(", ")
}

impl From<NameError> for Refusal {
    fn from(error: NameError) -> Self {
        let message = error.to_string();
        let (kind, candidates) = match error {
            NameError::TooShort(_) | NameError::NotAnId { .. } | NameError::Own(_) => {
                (RefusalKind::BadPeer, Vec::new())
            }
            NameError::Unknown(_) => (RefusalKind::UnknownPeer, Vec::new()),
            NameError::Ambiguous { candidates, .. } => (RefusalKind::AmbiguousPeer, candidates),
        };
        Self { kind, message, candidates }
    }
}

/// The peer that `name` means to `node`: a whole id, known or not, or the start of one that is known
/// or seen in the network.
pub(super) fn resolve(node: &Node, name: &str) -> Result<PeerId, NameError> {
    let mut known: BTreeSet<PeerId> = node.peers().into_iter().map(|status| status.peer).collect();
    node.with(|engine, _| known.extend(engine.network().into_iter().flat_map(|n| n.peers())));
    known.remove(&node.id());
    resolve_among(known.into_iter(), node.id(), name)
}

/// [`resolve`], also of those who were decided upon and never seen since.
pub(super) async fn resolve_decided(node: &Node, name: &str) -> Result<PeerId, NameError> {
    let decided = node.decided().await.into_iter().map(|(peer, _)| peer);
    let known: BTreeSet<PeerId> =
        node.peers().into_iter().map(|status| status.peer).chain(decided).collect();
    resolve_among(known.into_iter(), node.id(), name)
}

fn resolve_among(
    known: impl Iterator<Item = PeerId>,
    own: PeerId,
    name: &str,
) -> Result<PeerId, NameError> {
    let digits = name.to_ascii_lowercase();
    let found = digits.chars().enumerate().find(|(_, c)| !c.is_ascii_hexdigit());
    if let Some((at, found)) = found {
        let why = ParsePeerIdError::Digit { found, at };
        return Err(NameError::NotAnId { name: name.to_owned(), why });
    }
    if digits.len() >= ALL_DIGITS {
        let wrong = |why| NameError::NotAnId { name: name.to_owned(), why };
        let peer: PeerId = digits.parse().map_err(wrong)?;
        return if peer == own { Err(NameError::Own(own)) } else { Ok(peer) };
    }
    if digits.len() < MIN_DIGITS {
        return Err(NameError::TooShort(name.to_owned()));
    }
    let mut candidates: Vec<_> =
        known.filter(|peer| peer.to_string().starts_with(&digits)).collect();
    candidates.sort_unstable();
    match candidates[..] {
        [] if own.to_string().starts_with(&digits) => Err(NameError::Own(own)),
        [] => Err(NameError::Unknown(digits)),
        [peer] => Ok(peer),
        [..] => {
            let count = candidates.len();
            candidates.truncate(MAX_CANDIDATES);
            Err(NameError::Ambiguous { name: digits, count, candidates })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(start: &str) -> PeerId {
        format!("{start:0<64}").parse().unwrap()
    }

    fn known(name: &str) -> Result<PeerId, NameError> {
        let peers = [peer("abcd11"), peer("abcd22"), peer("12345")];
        resolve_among(peers.into_iter(), peer("77777"), name)
    }

    #[test]
    fn four_digits_that_fit_one_peer_name_it() {
        assert_eq!(known("1234"), Ok(peer("12345")));
        assert_eq!(known("ABCD1"), Ok(peer("abcd11")));
        assert_eq!(known("123"), Err(NameError::TooShort("123".to_owned())));
        assert_eq!(known("1235"), Err(NameError::Unknown("1235".to_owned())));
    }

    #[test]
    fn a_name_of_several_lists_them() {
        let candidates = vec![peer("abcd11"), peer("abcd22")];
        let error = NameError::Ambiguous { name: "abcd".to_owned(), count: 2, candidates };
        assert_eq!(known("abcd"), Err(error.clone()));
        assert_eq!(
            error.to_string(),
            "2 peers' ids start with abcd: abcd110000000000, abcd220000000000; write more digits"
        );
        let refusal = Refusal::from(error);
        assert_eq!(refusal.kind, RefusalKind::AmbiguousPeer);
        assert_eq!(refusal.candidates, [peer("abcd11"), peer("abcd22")]);
    }

    #[test]
    fn a_crowd_is_cut_short_and_counted() {
        let crowd = (0..9).map(|i| peer(&format!("abcd{i}")));
        let error = resolve_among(crowd, peer("7"), "abcd").unwrap_err();
        let NameError::Ambiguous { count, candidates, .. } = &error else { panic!("{error}") };
        assert_eq!((*count, candidates.len()), (9, 8));
        assert!(error.to_string().ends_with("abcd700000000000, ..; write more digits"), "{error}");
    }

    #[test]
    fn a_whole_id_needs_nobody_to_know_it() {
        let stranger = peer("99");
        assert_eq!(known(&stranger.to_string()), Ok(stranger));
        let long = format!("{stranger}0");
        let why = ParsePeerIdError::Length(65);
        assert_eq!(known(&long), Err(NameError::NotAnId { name: long.clone(), why }));
    }

    #[test]
    fn what_is_no_hexadecimal_is_no_name() {
        for (name, found, at) in [("abcx", 'x', 3), ("..", '.', 0), ("12é4", 'é', 2)] {
            let why = ParsePeerIdError::Digit { found, at };
            assert_eq!(known(name), Err(NameError::NotAnId { name: name.to_owned(), why }));
        }
    }

    #[test]
    fn oneself_is_no_peer() {
        let own = peer("77777");
        assert_eq!(known("7777"), Err(NameError::Own(own)));
        assert_eq!(known(&own.to_string()), Err(NameError::Own(own)));
    }
}
