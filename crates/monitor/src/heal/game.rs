use bitcraps_topology::{Constraints, optimize_for_gaming};
use bitcraps_types::PeerId;
use serde::{Deserialize, Serialize};

use super::View;

/// Shortcuts in one plan at most.
const SHORTCUTS: usize = 4;

/// What a network needs for a game.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Game {
    /// Who hosts it.
    pub host: PeerId,
    /// Pairs with the host that could be linked.
    pub star: Vec<(PeerId, PeerId)>,
    /// Pairs that shorten the longest ways that are left then.
    pub shortcuts: Vec<(PeerId, PeerId)>,
    /// Peers that must stay: their loss would cut players off.
    pub critical_relays: Vec<PeerId>,
    /// Links that the node which was asked makes now; the rest is for their ends to make.
    pub asked: u64,
}

/// The seed's `optimize_for_gaming`: a star to the host, shortcuts, and the relays to protect; `None`
/// when the host is not in the network.
pub fn game_of(view: &View, host: &PeerId) -> Option<Game> {
    let position = view.position(host)?;
    let pairs: Vec<(u32, u32)> = view.candidates().iter().map(|one| one.pair).collect();
    let constraints = Constraints { feasible: Some(&pairs), max_degree: None };
    let plan = optimize_for_gaming(view.present(), position, SHORTCUTS, &constraints);
    let peer = |at: u32| view.peers().get(at as usize).copied();
    let named = |pairs: Vec<(u32, u32)>| {
        pairs.into_iter().filter_map(|(a, b)| Some((peer(a)?, peer(b)?))).collect()
    };
    Some(Game {
        host: *host,
        star: named(plan.star),
        shortcuts: named(plan.shortcuts),
        critical_relays: plan.critical_relays.into_iter().filter_map(peer).collect(),
        asked: 0,
    })
}
