use crate::Clustering;
use crate::Snapshot;
use crate::clustering::triangles;

/// Triangles at each slot, and the tallies by degree that the coefficients are made of.
#[derive(Debug, Clone, Default)]
pub(super) struct Corners {
    slots: Vec<Corner>,
    clustering: Clustering,
}

#[derive(Debug, Clone, Copy, Default)]
struct Corner {
    degree: u32,
    triangles: u32,
}

impl Corners {
    pub(super) fn of(snapshot: &Snapshot, slots: usize) -> Self {
        let mut corners =
            Self { slots: vec![Corner::default(); slots], clustering: Clustering::default() };
        for (position, count) in triangles(snapshot.graph()).into_iter().enumerate() {
            let position = position as u32;
            let corner = Corner { degree: snapshot.graph().degree(position), triangles: count };
            corners.clustering.add(corner.degree, count);
            if let Some(slot) = snapshot.slot(position) {
                corners.slots[slot.0 as usize] = corner;
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
        if at >= self.slots.len() {
            self.slots.resize(at + 1, Corner::default());
        }
        self.slots[at] = Corner::default();
        self.clustering.add(0, 0);
    }

    /// Takes a peer without links out.
    pub(super) fn remove(&mut self) {
        self.clustering.subtract(0, 0);
    }

    /// A pair was linked, or unlinked, whose ends have these neighbours in common.
    pub(super) fn changed(&mut self, a: u32, b: u32, shared: &[u32], linked: bool) {
        let change = if linked { 1 } else { -1 };
        let count = shared.len() as i32;
        [a, b].into_iter().for_each(|slot| self.recount(slot, change, change * count));
        shared.iter().for_each(|slot| self.recount(*slot, 0, change));
    }

    fn recount(&mut self, slot: u32, links: i32, triangles: i32) {
        let corner = &mut self.slots[slot as usize];
        self.clustering.subtract(corner.degree, corner.triangles);
        corner.degree = corner.degree.wrapping_add_signed(links);
        corner.triangles = corner.triangles.wrapping_add_signed(triangles);
        self.clustering.add(corner.degree, corner.triangles);
    }
}
