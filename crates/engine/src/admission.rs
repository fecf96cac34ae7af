use std::collections::{BTreeMap, BTreeSet};

use bitcraps_coordinator::{Budget, CloseReason, Standing};
use bitcraps_types::{LinkId, PeerId, Timestamp};

/// Decisions about single peers: everybody a person ever admitted, invited or blocked. The same
/// bound holds for each list of the config.
pub const MAX_DECISIONS: usize = 16_384;
/// Links of strangers at once when nobody says: enough for those who are about to join, an eighth
/// of what a LAN holds.
pub const STRANGER_LINKS: usize = 64;
/// Links at once of peers that nobody named and that never exchanged a message, where everybody is
/// admitted: half of what a LAN holds, so that the other half is there for players.
const NEWCOMER_LINKS: usize = 256;
/// Links of strangers that may come up in a second, and at once.
const STRANGER_LINKS_PER_SECOND: f64 = 20.0;
const STRANGER_LINKS_BURST: f64 = 40.0;

// The oldest stranger gives way to the newest: none does so sooner than in a second, within which
// an invitation is proved over any link.
const _: () = assert!(STRANGER_LINKS as f64 - STRANGER_LINKS_BURST >= STRANGER_LINKS_PER_SECOND);

/// Who is admitted without being named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AdmissionMode {
    /// Whoever links.
    #[default]
    Open,
    /// Nobody.
    AllowList,
    /// Nobody, but whoever proves an invitation is named by it.
    Invitation,
}

/// Who may do what, as the operator wrote it down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdmissionConfig {
    /// Who is admitted without being named.
    pub mode: AdmissionMode,
    /// Admitted in every mode, unless blocked.
    pub allow: BTreeSet<PeerId>,
    /// Refused in every mode.
    pub block: BTreeSet<PeerId>,
    /// Links of strangers at once. At least 1.
    pub stranger_links: usize,
}

impl Default for AdmissionConfig {
    /// Open, with nobody named.
    fn default() -> Self {
        Self {
            mode: AdmissionMode::Open,
            allow: BTreeSet::new(),
            block: BTreeSet::new(),
            stranger_links: STRANGER_LINKS,
        }
    }
}

/// What was decided about one peer while the node ran, by a person or by an invitation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It is admitted, in every mode.
    Admitted,
    /// It is refused.
    Blocked,
}

/// As many decisions are remembered as may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{MAX_DECISIONS} peers are decided upon, which is the most; forget some of them")]
pub struct TooManyDecisions;

/// What becomes of a link that came up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Welcome {
    /// It stays.
    Stays,
    /// It stays, in place of this one.
    InPlaceOf(LinkId),
    /// It is closed.
    Refused(CloseReason),
}

/// Who may do what: the config, what was decided since, and the links of those whom nobody named.
/// Everything is O(log n).
#[derive(Debug)]
pub(crate) struct Admission {
    config: AdmissionConfig,
    decisions: BTreeMap<PeerId, Decision>,
    /// Links of peers that nobody named, by age: link ids only grow.
    unnamed: BTreeMap<LinkId, PeerId>,
    arrivals: Budget,
}

impl Admission {
    pub(crate) fn new(config: AdmissionConfig) -> Self {
        Self {
            config,
            decisions: BTreeMap::new(),
            unnamed: BTreeMap::new(),
            arrivals: Budget::new(0.0, STRANGER_LINKS_PER_SECOND, STRANGER_LINKS_BURST),
        }
    }

    pub(crate) fn config(&self) -> &AdmissionConfig {
        &self.config
    }

    pub(crate) fn reconfigure(&mut self, config: AdmissionConfig) {
        self.config = config;
    }

    /// Decides about one peer, or takes a decision back.
    pub(crate) fn decide(
        &mut self,
        peer: PeerId,
        decision: Option<Decision>,
    ) -> Result<(), TooManyDecisions> {
        match decision {
            Some(decision) => {
                let known = self.decisions.contains_key(&peer);
                if !known && self.decisions.len() >= MAX_DECISIONS {
                    return Err(TooManyDecisions);
                }
                self.decisions.insert(peer, decision);
            }
            None => {
                self.decisions.remove(&peer);
            }
        }
        Ok(())
    }

    /// What a peer may do. Whatever blocks it wins.
    pub(crate) fn standing(&self, peer: PeerId) -> Standing {
        let decision = self.decisions.get(&peer);
        if decision == Some(&Decision::Blocked) || self.config.block.contains(&peer) {
            return Standing::Blocked;
        }
        match self.config.mode {
            AdmissionMode::Open => Standing::Admitted,
            AdmissionMode::AllowList | AdmissionMode::Invitation if self.is_named(peer) => {
                Standing::Admitted
            }
            AdmissionMode::AllowList | AdmissionMode::Invitation => Standing::Stranger,
        }
    }

    /// Whether somebody admitted it while the node ran, or before. Those that the config allows may
    /// never come.
    pub(crate) fn is_friend(&self, peer: PeerId) -> bool {
        self.decisions.get(&peer) == Some(&Decision::Admitted)
    }

    /// Whether somebody admitted or blocked it by its key.
    pub(crate) fn is_named(&self, peer: PeerId) -> bool {
        self.decisions.contains_key(&peer)
            || self.config.allow.contains(&peer)
            || self.config.block.contains(&peer)
    }

    /// A link came up. `is_established` tells whether messages were exchanged with a peer.
    pub(crate) fn link_up(
        &mut self,
        link: LinkId,
        peer: PeerId,
        is_established: impl Fn(PeerId) -> bool,
        now: Timestamp,
    ) -> Welcome {
        let standing = self.standing(peer);
        if standing == Standing::Blocked {
            return Welcome::Refused(CloseReason::Blocked);
        }
        if self.is_named(peer) {
            return Welcome::Stays;
        }
        let most = match standing {
            Standing::Admitted => NEWCOMER_LINKS,
            Standing::Stranger | Standing::Blocked => {
                if !self.arrivals.take(1.0, 0.0, now) {
                    return Welcome::Refused(CloseReason::NoRoomForStrangers);
                }
                self.config.stranger_links
            }
        };
        self.unnamed.insert(link, peer);
        while self.unnamed.len() > most {
            let Some((oldest, whose)) = self.unnamed.pop_first() else {
                break;
            };
            // One who is admitted and has exchanged messages is no newcomer any more.
            if self.standing(whose) != Standing::Admitted || !is_established(whose) {
                return Welcome::InPlaceOf(oldest);
            }
        }
        Welcome::Stays
    }

    /// A link is gone.
    pub(crate) fn link_down(&mut self, link: LinkId) {
        self.unnamed.remove(&link);
    }
}

#[cfg(test)]
mod tests;
