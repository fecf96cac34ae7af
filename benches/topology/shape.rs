//! Seeded networks.

use std::collections::BTreeSet;

use bitcraps_topology::Graph;
use bitcraps_types::PeerId;

use crate::Failure;

fn built(peers: usize, links: &[(u32, u32)]) -> Result<Graph, Failure> {
    Graph::from_links(peers, links).map_err(|e| Failure::broken("a generated graph", e))
}

/// Peers at random places of a square, linked within a range that gives `degree` in the mean.
pub(super) fn geometric(peers: usize, degree: f64, seed: u64) -> Result<Graph, Failure> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let range = (degree / (peers as f64 * std::f64::consts::PI)).sqrt();
    let cells = ((1.0 / range) as usize).max(1);
    let places: Vec<(f64, f64)> = (0..peers).map(|_| (rng.f64(), rng.f64())).collect();
    let cell = |at: f64| ((at * cells as f64) as usize).min(cells - 1);
    let mut grid = vec![Vec::new(); cells * cells];
    for (peer, place) in places.iter().enumerate() {
        grid[cell(place.0) * cells + cell(place.1)].push(peer as u32);
    }
    let mut links = Vec::new();
    for (peer, place) in places.iter().enumerate() {
        let (x, y) = (cell(place.0), cell(place.1));
        for row in x.saturating_sub(1)..=(x + 1).min(cells - 1) {
            for column in y.saturating_sub(1)..=(y + 1).min(cells - 1) {
                let near = grid[row * cells + column].iter().filter(|other| **other > peer as u32);
                links.extend(near.filter_map(|other| {
                    let there = places[*other as usize];
                    let apart = (place.0 - there.0).hypot(place.1 - there.1);
                    (apart <= range).then_some((peer as u32, *other))
                }));
            }
        }
    }
    built(peers, &links)
}

/// Each new peer linked with `links` others, the likelier the more links they have (Barabasi and
/// Albert 1999).
pub(super) fn scale_free(peers: usize, links: usize, seed: u64) -> Result<Graph, Failure> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut ends: Vec<u32> = Vec::new();
    let mut all = Vec::new();
    for peer in 0..peers as u32 {
        let mut chosen: Vec<u32> = Vec::new();
        if peer as usize <= links {
            chosen.extend(0..peer);
        }
        while peer as usize > links && chosen.len() < links {
            let other = ends[rng.usize(0..ends.len())];
            if !chosen.contains(&other) {
                chosen.push(other);
            }
        }
        for other in chosen {
            all.push((other, peer));
            ends.extend([other, peer]);
        }
    }
    built(peers, &all)
}

/// A ring in which each peer is linked with the `degree` nearest, a tenth of the links moved
/// elsewhere (Watts and Strogatz 1998).
pub(super) fn small_world(peers: usize, degree: usize, seed: u64) -> Result<Graph, Failure> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut links = BTreeSet::new();
    for peer in 0..peers {
        for step in 1..=degree / 2 {
            let mut other = (peer + step) % peers;
            while rng.u32(0..10) == 0 || other == peer {
                other = rng.usize(0..peers);
            }
            links.insert((peer.min(other) as u32, peer.max(other) as u32));
        }
    }
    built(peers, &links.into_iter().collect::<Vec<_>>())
}

/// Ids as good as keys.
pub(super) fn ids(peers: usize, seed: u64) -> Vec<PeerId> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let id = |_| {
        let mut bytes = [0; PeerId::LEN];
        rng.fill(&mut bytes);
        PeerId::from_bytes(bytes)
    };
    (0..peers).map(id).collect()
}
