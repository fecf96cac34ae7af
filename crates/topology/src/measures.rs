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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::graph;
    use proptest::prelude::*;

    fn of(peers: usize, links: &[(u32, u32)]) -> MeasureSet {
        MeasureSet::of(&Snapshot::of(&graph(peers, links)))
    }

    fn told(set: &MeasureSet) -> [usize; 6] {
        let MeasureSet { components, articulation_points, bridges, blocks, .. } = *set;
        let (largest, diameter) = (set.largest_component as usize, set.diameter as usize);
        [components, largest, diameter, articulation_points, bridges, blocks]
    }

    fn clique(peers: std::ops::Range<u32>) -> Vec<(u32, u32)> {
        peers.clone().flat_map(|a| (a + 1..peers.end).map(move |b| (a, b))).collect()
    }

    #[test]
    fn shapes_that_are_known_by_heart() {
        let star: Vec<_> = (1..6).map(|b| (0, b)).collect();
        let lollipop = [clique(0..4), vec![(3, 4), (4, 5)]].concat();
        let caterpillar = [(0, 1), (1, 2), (0, 3), (1, 4), (2, 5)];
        let sharing = [clique(0..4), clique(3..7)].concat();
        for (name, peers, links, expected) in [
            ("empty", 0, &[][..], [0, 0, 0, 0, 0, 0]),
            ("one peer", 1, &[], [1, 1, 0, 0, 0, 0]),
            ("isolated peers", 3, &[], [3, 1, 0, 0, 0, 0]),
            ("a pair and one alone", 3, &[(0, 1)], [2, 2, 1, 0, 1, 1]),
            ("star", 6, &star, [1, 6, 2, 1, 5, 5]),
            ("lollipop", 6, &lollipop, [1, 6, 3, 2, 2, 3]),
            ("caterpillar", 6, &caterpillar, [1, 6, 4, 3, 5, 5]),
            ("two cliques sharing a peer", 7, &sharing, [1, 7, 2, 1, 0, 2]),
        ] {
            assert_eq!(told(&of(peers, links)), expected, "{name}");
        }
        let shared = of(7, &sharing);
        assert_eq!(shared.transitivity, 8.0 * 3.0 / (6.0 * 3.0 + 15.0));
    }

    fn networks() -> impl Strategy<Value = (usize, Vec<(u32, u32)>)> {
        (2_usize..30).prop_flat_map(|peers| {
            let end = 0..peers as u32;
            let pairs = proptest::collection::btree_set((end.clone(), end), 0..60);
            pairs.prop_map(move |pairs| {
                let mut links: Vec<_> = pairs
                    .into_iter()
                    .filter(|(a, b)| a != b)
                    .map(|(a, b)| (a.min(b), a.max(b)))
                    .collect();
                links.sort_unstable();
                links.dedup();
                (peers, links)
            })
        })
    }

    proptest! {
        #[test]
        fn names_of_peers_do_not_matter((peers, links) in networks(), seed: u64) {
            let mut names: Vec<u32> = (0..peers as u32).collect();
            fastrand::Rng::with_seed(seed).shuffle(&mut names);
            let name = |peer: u32| names[peer as usize];
            let renamed: Vec<_> = links.iter().map(|(a, b)| (name(*a), name(*b))).collect();
            prop_assert_eq!(of(peers, &links), of(peers, &renamed));
        }

        #[test]
        fn a_link_more_splits_nothing((peers, links) in networks(), a in 0_u32..30, b in 0_u32..30) {
            let before = of(peers, &links);
            let more = crate::with_links(&graph(peers, &links), &[(a, b)]);
            let after = MeasureSet::of(&Snapshot::of(&more));
            prop_assert!(after.components <= before.components);
            prop_assert!(after.largest_component >= before.largest_component);
            if after.components == before.components {
                prop_assert!(after.bridges <= before.bridges);
                prop_assert!(after.articulation_points <= before.articulation_points);
                prop_assert!(after.blocks <= before.blocks);
                prop_assert!(before.components > 1 || after.diameter <= before.diameter);
            }
        }
    }
}
