use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::{Graph, Slot};

const ABSENT: u32 = u32::MAX;

/// An immutable graph whose peers are numbered in breadth-first order, component by component, so
/// that neighbours lie near each other in memory.
///
/// Measures work on [`Self::graph`], whose numbers are called positions; [`Self::slot`] and
/// [`Self::position`] translate. 8 bytes a link and at most 16 bytes a peer.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    graph: Graph,
    /// Slot of each position.
    order: Vec<u32>,
    /// Position of each slot, [`ABSENT`] for a slot without a peer.
    positions: Vec<u32>,
    /// First position of each component, and at the end the number of peers.
    components: Vec<u32>,
}

impl Snapshot {
    /// Relabels a graph; its numbers become the slots. O(n + m log d).
    pub fn of(graph: &Graph) -> Self {
        let arcs = graph.targets().len();
        let row = |peer: u32| graph.row(peer).iter().copied();
        Self::relabelled(graph.peers(), arcs, |_| true, row)
    }

    /// From `slots` slots of which `present` are peers, with the neighbours that `row` gives.
    /// `arcs` is twice the number of links.
    pub(crate) fn relabelled<I: ExactSizeIterator<Item = u32>>(
        slots: usize,
        arcs: usize,
        present: impl Fn(u32) -> bool,
        row: impl Fn(u32) -> I,
    ) -> Self {
        let mut order = Vec::with_capacity(slots);
        let mut positions = vec![ABSENT; slots];
        let mut components = Vec::new();
        let mut offsets = Vec::with_capacity(slots + 1);
        let mut targets: Vec<u32> = Vec::with_capacity(arcs);
        offsets.push(0);
        let mut head = 0;
        for seed in 0..slots as u32 {
            if positions[seed as usize] != ABSENT || !present(seed) {
                continue;
            }
            components.push(order.len() as u32);
            positions[seed as usize] = order.len() as u32;
            order.push(seed);
            while let Some(&slot) = order.get(head) {
                head += 1;
                let begin = targets.len();
                for neighbour in row(slot) {
                    let position = &mut positions[neighbour as usize];
                    if *position == ABSENT {
                        *position = order.len() as u32;
                        order.push(neighbour);
                    }
                    targets.push(*position);
                }
                targets[begin..].sort_unstable();
                offsets.push(targets.len() as u32);
            }
        }
        components.push(order.len() as u32);
        Self { graph: Graph::of_rows(offsets, targets), order, positions, components }
    }

    /// The graph, in positions.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// How many peers there are.
    pub fn peers(&self) -> usize {
        self.order.len()
    }

    /// How many linked pairs there are.
    pub fn links(&self) -> usize {
        self.graph.links()
    }

    /// The slot of a position.
    pub fn slot(&self, position: u32) -> Option<Slot> {
        self.order.get(position as usize).copied().map(Slot)
    }

    /// The position of a slot; `None` when no peer is there.
    pub fn position(&self, slot: Slot) -> Option<u32> {
        self.positions.get(slot.0 as usize).copied().filter(|position| *position != ABSENT)
    }

    /// First position of each component, and at the end the number of peers: a component is a run
    /// of positions.
    pub(crate) fn component_starts(&self) -> &[u32] {
        &self.components
    }

    /// Bytes on the heap.
    pub fn memory(&self) -> usize {
        let words = self.order.capacity() + self.positions.capacity() + self.components.capacity();
        self.graph.memory() + 4 * words
    }
}

/// Where readers find the latest snapshot without waiting for whoever makes the next one.
#[derive(Debug, Default)]
pub struct Published(ArcSwap<Snapshot>);

impl Published {
    /// The latest. Wait-free.
    pub fn load(&self) -> Arc<Snapshot> {
        self.0.load_full()
    }

    /// Replaces it; readers keep what they have.
    pub fn store(&self, snapshot: Arc<Snapshot>) {
        self.0.store(snapshot);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relabelling_keeps_every_link_and_gathers_components() {
        let mut rng = fastrand::Rng::with_seed(5);
        for _ in 0..200 {
            let peers = rng.usize(0..30);
            let graph = crate::testing::random(peers, 0.08, &mut rng);
            let snapshot = Snapshot::of(&graph);
            let back = |position| snapshot.slot(position).unwrap().0;
            let mut links: Vec<_> = snapshot
                .graph()
                .link_list()
                .map(|(a, b)| (back(a).min(back(b)), back(a).max(back(b))))
                .collect();
            links.sort_unstable();
            assert!(links.iter().copied().eq(graph.link_list()));
            for position in 0..peers as u32 {
                let slot = snapshot.slot(position).unwrap();
                assert_eq!(snapshot.position(slot), Some(position));
                let row = snapshot.graph().row(position);
                assert!(row.is_sorted());
                let component =
                    snapshot.component_starts().partition_point(|start| *start <= position);
                for other in row {
                    let same = snapshot.component_starts().partition_point(|s| s <= other);
                    assert_eq!(component, same);
                }
            }
            assert_eq!(snapshot.position(Slot(peers as u32)), None);
            assert_eq!(snapshot.slot(peers as u32), None);
        }
    }

    #[test]
    fn a_snapshot_takes_at_most_16_bytes_a_link_and_24_a_peer() {
        let mut rng = fastrand::Rng::with_seed(6);
        let graph = crate::testing::random(2_000, 0.004, &mut rng);
        let snapshot = Snapshot::of(&graph);
        assert!(snapshot.memory() <= 16 * snapshot.links() + 24 * snapshot.peers());
    }

    #[test]
    fn readers_keep_what_they_loaded() {
        let published = Published::default();
        let before = published.load();
        let graph = Graph::from_links(2, &[(0, 1)]).unwrap();
        published.store(Arc::new(Snapshot::of(&graph)));
        assert_eq!((before.peers(), published.load().peers()), (0, 2));
    }
}
