//! The network as a graph, and exact answers about it: distances, diameter, clustering, single
//! points of failure, risk of partition, paths, communities, links worth adding.
//!
//! This crate contains no networking code, reads no clock and draws no randomness of its own: time
//! is a parameter, and what is sampled is sampled from a seed. petgraph holds the truth and appears
//! in no signature.

mod augment;
mod clustering;
mod community;
mod component;
mod cut;
mod diameter;
mod disjoint;
mod distance;
mod edge;
#[cfg(all(feature = "formats", any(test, feature = "fuzz")))]
pub mod fuzz;
mod graph;
mod live;
mod lowlink;
mod measures;
mod node;
mod path;
#[cfg(feature = "formats")]
pub mod read;
mod report;
mod risk;
mod row;
mod snapshot;
mod suggestion;
mod topology;
mod walkthrough;
mod wavefront;

#[cfg(test)]
mod testing;

pub use augment::{
    Constraints, GamePlan, optimize_for_gaming, shortcuts, star, two_edge_connected,
    two_vertex_connected, weakness, with_links,
};
pub use clustering::Clustering;
pub use community::{Communities, CommunitiesError};
pub use component::Components;
pub use cut::{Critical, Criticality, Cuts};
pub use diameter::Diameters;
pub use disjoint::{Disjoint, MAX_DISJOINT_PATHS, disjoint_paths};
pub use distance::{UNREACHED, hop_distances};
pub use edge::{EdgeInfo, EdgeInfoError};
pub use graph::{BuildGraphError, Graph, LinkIndex};
pub use live::{ChangeError, Dated, LinkChange, LiveTopology, Upkeep};
pub use measures::MeasureSet;
pub use node::{NodeInfo, NodeType, Slot};
pub use path::{Metric, Path, shortest_path};
pub use report::{ReportOptions, SuggestedLink, TopologyReport};
pub use risk::{
    CurrentSplit, Estimate, ExpectedLoss, LinkLife, LossRanking, Material, PartitionRisk,
    RELIABILITY_PERIOD, RiskOptions, p_cut,
};
pub use snapshot::{Published, Snapshot};
pub use suggestion::{Suggestion, suggested_links};
pub use topology::{
    AddEdgeError, AddNodeError, Aged, EdgeError, LinkWeight, Topology, UnknownPeer,
};
pub use walkthrough::walkthrough_risk;
pub use wavefront::hop_histogram;
