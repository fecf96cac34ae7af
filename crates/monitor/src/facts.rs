use std::time::Duration;

use bitcraps_types::{PeerId, TrafficClass, TransportType};

/// What went well of what was tried, since the node started. Grows only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// What went well.
    pub good: u64,
    /// Everything that came to an end.
    pub all: u64,
}

impl Tally {
    /// Share of what came to an end since an earlier tally; `None` when nothing did.
    pub(crate) fn share_since(self, before: Option<Self>) -> Option<f64> {
        let before = before.unwrap_or_default();
        let all = self.all.saturating_sub(before.all);
        let good = self.good.saturating_sub(before.good).min(all);
        (all > 0).then(|| good as f64 / all as f64)
    }
}

/// What a node knows of itself and its neighbours, beside the report on the network.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Facts {
    /// This node.
    pub me: Option<PeerId>,
    /// Messages confirmed of those settled, by class.
    pub delivery: [Tally; TrafficClass::COUNT],
    /// Transmissions confirmed of those that ended, by transport.
    pub transports: [Tally; TransportType::COUNT],
    /// Transports that had a link and have none that anybody answers on.
    pub transports_down: Vec<TransportType>,
    /// Admitted peers that were linked and cannot be reached now.
    pub lost: Vec<LostPeer>,
    /// Peers that say of links what cannot be true, with what it is.
    pub poisoned: Vec<(PeerId, String)>,
    /// Peers whose key two devices use.
    pub conflicts: Vec<PeerId>,
    /// Share of frames that links deliver, averaged over pairs.
    pub link_reliability: Option<f64>,
    /// Share of frames that this node's own links deliver, as it measures them, averaged over links.
    pub own_reliability: Option<f64>,
    /// Latency of links, averaged over pairs.
    pub link_latency: Option<Duration>,
    /// Bytes this node has relayed for others since it started, and what it could relay in a second, in
    /// bytes, as measured.
    pub relayed: Option<(u64, f64)>,
}

/// An admitted peer that cannot be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LostPeer {
    /// Who.
    pub peer: PeerId,
    /// Whether it is in a part of the network that has split off: no trouble of its own.
    pub split_off: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_of_what_ended_in_between() {
        let tally = |good, all| Tally { good, all };
        assert_eq!(tally(3, 4).share_since(None), Some(0.75));
        assert_eq!(tally(3, 4).share_since(Some(tally(3, 3))), Some(0.0));
        assert_eq!(tally(3, 4).share_since(Some(tally(3, 4))), None);
        // A node that restarted counts from nothing: no share above 1, and none below 0.
        assert_eq!(tally(1, 2).share_since(Some(tally(5, 6))), None);
    }
}
