use crate::{Clustering, Components, Cuts, Diameters, Snapshot};

/// The measures that are kept exact through every change.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MeasureSet {
    /// Peers.
    pub peers: usize,
    /// Linked pairs.
    pub links: usize,
    /// Components.
    pub components: usize,
    /// Peers of the largest component.
    pub largest_component: u32,
    /// Diameter of the largest component in hops; the greatest when several are the largest.
    pub diameter: u32,
    /// See [`Clustering::average_clustering`].
    pub average_clustering: f64,
    /// See [`Clustering::average_clustering_deg2`].
    pub average_clustering_deg2: f64,
    /// See [`Clustering::transitivity`].
    pub transitivity: f64,
    /// Peers whose loss splits their component.
    pub articulation_points: usize,
    /// Links whose loss splits their component.
    pub bridges: usize,
    /// Parts that no single peer's loss splits.
    pub blocks: usize,
}

impl MeasureSet {
    /// All of them from scratch; see each for its cost.
    pub fn of(snapshot: &Snapshot) -> Self {
        let components = Components::of(snapshot);
        let cuts = Cuts::of(snapshot.graph());
        let clustering = Clustering::of(snapshot.graph());
        Self {
            peers: snapshot.peers(),
            links: snapshot.links(),
            components: components.count(),
            largest_component: components.largest(),
            diameter: Diameters::of_largest(snapshot),
            average_clustering: clustering.average_clustering(),
            average_clustering_deg2: clustering.average_clustering_deg2(),
            transitivity: clustering.transitivity(),
            articulation_points: cuts.articulation_points().len(),
            bridges: cuts.bridges().len(),
            blocks: cuts.blocks(),
        }
    }
}
