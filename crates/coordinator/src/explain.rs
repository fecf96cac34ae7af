use bitcraps_types::{LinkId, Timestamp, TrafficClass, TransportType};

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
    candidates: Vec<Candidate>,
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
        ranking: Ranking,
        chosen: LinkId,
    ) -> Self {
        Self { at, class, attempt, packet, candidates: Vec::new(), ranking, chosen }
    }

    /// With these candidates, kept in the memory of a decision that is forgotten.
    pub(crate) fn among(mut self, candidates: &[Candidate], forgotten: Option<Self>) -> Self {
        self.candidates = forgotten.map(|f| f.candidates).unwrap_or_default();
        self.candidates.clear();
        self.candidates.extend_from_slice(candidates);
        self
    }

    /// The contenders, best first, with the scores of the function that decided.
    pub fn contenders(&self) -> Vec<Contender> {
        let ranked = self.ranking.iter().filter_map(|i| self.candidates.get(i).copied());
        ranked
            .map(|candidate| Contender {
                candidate,
                score: score(&candidate, &self.packet, self.at),
            })
            .collect()
    }

    /// The transport of the link that took it.
    pub fn transport(&self) -> Option<TransportType> {
        let taken = self.candidates.iter().find(|c| c.link == self.chosen);
        taken.map(|c| c.transport)
    }
}
