use crate::Clustering;
use crate::Snapshot;
use crate::clustering::triangles;
use crate::topology::Topology;

/// Triangles at each slot, and the tallies by degree that the coefficients are made of.
#[derive(Debug, Clone, Default)]
pub(super) struct Corners {
    triangles: Vec<u32>,
    clustering: Clustering,
}

impl Corners {
    pub(super) fn of(snapshot: &Snapshot, slots: usize) -> Self {
        let mut corners = Self { triangles: vec![0; slots], clustering: Clustering::default() };
        for (position, count) in triangles(snapshot.graph()).into_iter().enumerate() {
            let position = position as u32;
            corners.clustering.add(snapshot.graph().degree(position), count);
            if let Some(slot) = snapshot.slot(position) {
                corners.triangles[slot.0 as usize] = count;
            }
        }
        corners
    }

    pub(super) fn clustering(&self) -> &Clustering {
        &self.clustering
    }

    /// A peer without links.
    pub(super) fn add(&mut self, slot: u32) {
        let at = slot as usize;
        if at >= self.triangles.len() {
            self.triangles.resize(at + 1, 0);
        }
        self.triangles[at] = 0;
        self.clustering.add(0, 0);
    }

    /// Takes a peer without links out.
    pub(super) fn remove(&mut self) {
        self.clustering.subtract(0, 0);
    }

    /// A pair was linked, or unlinked, whose ends have these neighbours in common.
    pub(super) fn changed(
        &mut self,
        topology: &Topology,
        a: u32,
        b: u32,
        shared: &[u32],
        linked: bool,
    ) {
        let count = shared.len() as u32;
        for slot in [a, b] {
            let now = topology.row(slot).len() as u32;
            let before = if linked { now - 1 } else { now + 1 };
            self.recount(slot, before, now, count, linked);
        }
        for slot in shared {
            let degree = topology.row(*slot).len() as u32;
            self.recount(*slot, degree, degree, 1, linked);
        }
    }

    fn recount(&mut self, slot: u32, before: u32, now: u32, count: u32, more: bool) {
        let triangles = &mut self.triangles[slot as usize];
        self.clustering.subtract(before, *triangles);
        *triangles = if more { *triangles + count } else { *triangles - count };
        self.clustering.add(now, *triangles);
    }
}
