use bitcraps_types::{LinkId, Timestamp, TrafficClass, TransportType};

use crate::config::bounds::LINKS_PER_PEER;
use crate::policy::{Candidate, Packet, Ranking, Score, score};

/// One decision as it was made: the candidates as they stood, and the order that [`rank`] gave.
///
/// [`rank`]: crate::policy::rank
#[derive(Debug, Clone)]
pub struct Decision {
    /// When.
    pub at: Timestamp,
    /// The message's class.
    pub class: TrafficClass,
    /// Which transmission of the message, from 1.
    pub attempt: u16,
    /// What was asked.
    pub packet: Packet,
    candidates: [Option<Candidate>; LINKS_PER_PEER],
    ranking: Ranking,
    /// The link that took it.
    pub chosen: LinkId,
}

/// One link's part in a decision.
#[derive(Debug, Clone, Copy)]
pub struct Contender {
    /// What was known of it.
    pub candidate: Candidate,
    /// What ranking made of that.
    pub score: Score,
}

impl Decision {
    pub(crate) fn new(
        at: Timestamp,
        class: TrafficClass,
        attempt: u16,
        packet: Packet,
        candidates: &[Candidate],
        ranking: Ranking,
        chosen: LinkId,
    ) -> Self {
        let mut kept = [None; LINKS_PER_PEER];
        for (slot, candidate) in kept.iter_mut().zip(candidates) {
            *slot = Some(*candidate);
        }
        Self { at, class, attempt, packet, candidates: kept, ranking, chosen }
    }

    /// The contenders, best first, with the scores of the function that decided.
    pub fn contenders(&self) -> Vec<Contender> {
        let ranked = self.ranking.iter().filter_map(|i| self.candidates[i]);
        ranked
            .map(|candidate| Contender {
                candidate,
                score: score(&candidate, &self.packet, self.at),
            })
            .collect()
    }

    /// The transport of the link that took it.
    pub fn transport(&self) -> Option<TransportType> {
        let taken = self.candidates.iter().flatten().find(|c| c.link == self.chosen);
        taken.map(|c| c.transport)
    }
}
