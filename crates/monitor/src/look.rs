use std::sync::Arc;

use bitcraps_topology::{
    Components, Cuts, ReportOptions, RiskOptions, Snapshot, Topology, TopologyReport, p_cut,
};
use bitcraps_types::{PeerId, Timestamp};

use crate::contacts::Contacts;
use crate::monitor::HORIZON;
use crate::table::{TABLE_HORIZON, TableId};

/// Above so many peers a look is allowed less work.
const MANY_PEERS: usize = 1_024;

/// How a network hangs together: what has changed when it comes apart or together.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Shape {
    components: usize,
    articulation_points: Vec<u32>,
}

impl Shape {
    /// O(n + m).
    pub fn of(snapshot: &Snapshot) -> Self {
        let cuts = Cuts::of(snapshot.graph());
        let slot = |position: &u32| snapshot.slot(*position).map(|slot| slot.0);
        let mut articulation_points: Vec<u32> =
            cuts.articulation_points().iter().filter_map(slot).collect();
        articulation_points.sort_unstable();
        Self { components: Components::of(snapshot).count(), articulation_points }
    }
}

/// A look at a network that has begun. It is judged apart from the monitor, which serves others
/// meanwhile: of a large network that takes tens of milliseconds.
#[derive(Debug)]
pub struct Look {
    /// Copied when the monitor has them as well.
    pub(crate) contacts: Arc<Contacts>,
    pub(crate) before: Shape,
    /// Whether it is due anyway, and not only when the network hangs together otherwise than before.
    pub(crate) due: bool,
    pub(crate) tables: Vec<(TableId, Vec<PeerId>)>,
    pub(crate) at: Timestamp,
}

/// What a look has found.
#[derive(Debug)]
pub struct Findings {
    pub(crate) contacts: Arc<Contacts>,
    pub(crate) shape: Shape,
    /// `None` when there is nothing new to say.
    pub(crate) report: Option<TopologyReport>,
    /// The probability that the players of each table are parted within [`TABLE_HORIZON`].
    pub(crate) cuts: Vec<(TableId, f64)>,
    pub(crate) at: Timestamp,
}

impl Look {
    /// Judges `topology`, of which `snapshot` is. Costs what the report does.
    pub fn judge(self, topology: &Topology, snapshot: &Snapshot) -> Findings {
        let Self { mut contacts, before, due, tables, at } = self;
        let shape = Shape::of(snapshot);
        if !due && shape == before {
            return Findings { contacts, shape, report: None, cuts: Vec::new(), at };
        }
        let links = topology.links().map(|(a, b, link)| (a, b, link.reliability()));
        Arc::make_mut(&mut contacts).observe(links, at);
        let lives = contacts.lives(topology, snapshot, HORIZON);
        let risk = if snapshot.peers() > MANY_PEERS {
            RiskOptions { samples: 256, passes: 8, ..RiskOptions::default() }
        } else {
            RiskOptions::default()
        };
        let settled = if tables.is_empty() {
            Vec::new()
        } else {
            contacts.lives(topology, snapshot, TABLE_HORIZON)
        };
        let position = |peer: &PeerId| snapshot.position(topology.slot_of(peer)?);
        let cuts = tables.into_iter().map(|(table, players)| {
            let places: Vec<u32> = players.iter().filter_map(position).collect();
            // One whom nobody sees is parted from the others.
            let risk = if places.len() < players.len() {
                1.0
            } else {
                p_cut(snapshot, &settled, &places, &risk).value
            };
            (table, risk)
        });
        let cuts = cuts.collect();
        // Suggestions are for whoever asks.
        let options = ReportOptions { risk, suggestions: 0, ..ReportOptions::default() };
        let report = TopologyReport::of(snapshot, &lives, &options);
        Findings { contacts, shape, report: Some(report), cuts, at }
    }
}
