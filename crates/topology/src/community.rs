use leiden_rs::{GraphDataBuilder, Leiden, LeidenConfig, LeidenError};

use crate::Graph;

/// Why there are no communities.
#[derive(Debug, thiserror::Error)]
#[error("the communities of {peers} peers were not found: {why}")]
pub struct CommunitiesError {
    peers: usize,
    #[source]
    why: LeidenError,
}

/// Peers gathered so that links are many within and few between: the seed's clusters.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Communities {
    of_peer: Vec<u32>,
    sizes: Vec<u32>,
    modularity: f64,
}

impl Communities {
    /// By the Leiden algorithm (Traag, Waltman and van Eck 2019) for modularity: each community is
    /// connected. The same for the same seed. About O(m log n).
    ///
    /// # Errors
    /// [`CommunitiesError`] when the library refuses.
    pub fn of(graph: &Graph, seed: u64) -> Result<Self, CommunitiesError> {
        let peers = graph.peers();
        if graph.links() == 0 {
            let of_peer = (0..peers as u32).collect();
            return Ok(Self { of_peer, sizes: vec![1; peers], modularity: 0.0 });
        }
        let failed = |why| CommunitiesError { peers, why };
        let mut builder = GraphDataBuilder::new(peers);
        for (a, b) in graph.link_list() {
            builder.add_edge(a as usize, b as usize, 1.0).map_err(failed)?;
        }
        let data = builder.build().map_err(failed)?;
        let config = LeidenConfig { seed: Some(seed), ..LeidenConfig::default() };
        let found = Leiden::new(config).run(&data).map_err(failed)?;
        Ok(Self::named(graph, |peer| found.partition.community_of(peer)))
    }

    /// Numbers communities in the order of their first peers.
    fn named(graph: &Graph, of: impl Fn(usize) -> usize) -> Self {
        let peers = graph.peers();
        let mut names: Vec<Option<u32>> = Vec::new();
        let mut sizes: Vec<u32> = Vec::new();
        let mut of_peer = Vec::with_capacity(peers);
        for peer in 0..peers {
            let raw = of(peer);
            if raw >= names.len() {
                names.resize(raw + 1, None);
            }
            let name = *names[raw].get_or_insert_with(|| {
                sizes.push(0);
                sizes.len() as u32 - 1
            });
            sizes[name as usize] += 1;
            of_peer.push(name);
        }
        let modularity = modularity(graph, &of_peer, sizes.len());
        Self { of_peer, sizes, modularity }
    }

    /// The community of each peer.
    pub fn of_peers(&self) -> &[u32] {
        &self.of_peer
    }

    /// Peers of each community.
    pub fn sizes(&self) -> &[u32] {
        &self.sizes
    }

    /// Share of links within communities, less what it would be by chance (Newman and Girvan 2004).
    pub fn modularity(&self) -> f64 {
        self.modularity
    }
}

fn modularity(graph: &Graph, of_peer: &[u32], communities: usize) -> f64 {
    let mut within = 0_u64;
    let mut ends = vec![0_u64; communities];
    for (peer, community) in of_peer.iter().enumerate() {
        let row = graph.row(peer as u32);
        ends[*community as usize] += row.len() as u64;
        within += row.iter().filter(|other| of_peer[**other as usize] == *community).count() as u64;
    }
    let all = 2.0 * graph.links() as f64;
    let chance: f64 = ends.iter().map(|ends| (*ends as f64 / all).powi(2)).sum();
    within as f64 / all - chance
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, graph};
    use crate::{UNREACHED, hop_distances};

    #[test]
    fn two_cliques_sharing_a_link_are_two_communities() {
        let clique =
            |from: u32| (from..from + 5).flat_map(move |a| (a + 1..from + 5).map(move |b| (a, b)));
        let links: Vec<_> = clique(0).chain(clique(5)).chain([(4, 5)]).collect();
        let found = Communities::of(&graph(10, &links), 7).unwrap();
        assert_eq!(found.of_peers(), [0, 0, 0, 0, 0, 1, 1, 1, 1, 1]);
        assert_eq!(found.sizes(), [5, 5]);
        assert!((found.modularity() - (40.0 / 42.0 - 0.5)).abs() < 1e-12);
    }

    #[test]
    fn every_community_is_connected_and_the_seed_decides() {
        let mut rng = fastrand::Rng::with_seed(61);
        for _ in 0..40 {
            let peers = rng.usize(1..60);
            let net = testing::varied(peers, &mut rng);
            let found = Communities::of(&net, 3).unwrap();
            assert_eq!(found, Communities::of(&net, 3).unwrap());
            assert_eq!(found.sizes().iter().sum::<u32>() as usize, peers);
            let inner: Vec<_> = net
                .link_list()
                .filter(|(a, b)| found.of_peers()[*a as usize] == found.of_peers()[*b as usize])
                .collect();
            let inner = graph(peers, &inner);
            for peer in 0..peers as u32 {
                let reached =
                    hop_distances(&inner, peer).iter().filter(|d| **d != UNREACHED).count();
                let community = found.of_peers()[peer as usize];
                assert_eq!(reached as u32, found.sizes()[community as usize]);
            }
        }
        assert_eq!(Communities::of(&graph(3, &[]), 1).unwrap().sizes(), [1, 1, 1]);
        assert_eq!(Communities::of(&graph(0, &[]), 1).unwrap(), Communities::default());
    }
}
