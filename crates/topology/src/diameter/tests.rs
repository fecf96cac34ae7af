use super::*;
use crate::testing::{self, all_labelled, all_shapes, floyd_warshall, graph};

/// Of the components, by the lowest peer, and of the largest.
fn expected(graph: &Graph) -> (Vec<u32>, u32) {
    let distances = floyd_warshall(graph);
    let reached = |row: &[u32]| row.iter().filter(|hops| **hops != UNREACHED).count();
    let mut seen = vec![false; graph.peers()];
    let mut all = Vec::new();
    let mut largest = (0, 0);
    for at in 0..graph.peers() {
        if seen[at] {
            continue;
        }
        let mut diameter = 0;
        for other in (0..graph.peers()).filter(|other| distances[at][*other] != UNREACHED) {
            seen[other] = true;
            let far = distances[other].iter().filter(|hops| **hops != UNREACHED).max();
            diameter = diameter.max(far.copied().unwrap_or(0));
        }
        all.push(diameter);
        largest = largest.max((reached(&distances[at]), diameter));
    }
    (all, largest.1)
}

fn check(graph: &Graph) {
    let told = Diameters::of(&Snapshot::of(graph));
    let (all, largest) = expected(graph);
    assert_eq!(told.components(), all, "{graph:?}");
    assert_eq!(told.largest_component(), largest, "{graph:?}");
    assert_eq!(told.any_component(), all.iter().copied().max().unwrap_or(0));
}

#[test]
fn every_graph_of_up_to_5_peers_agrees_with_floyd_and_warshall() {
    (0..=5).flat_map(all_labelled).for_each(|graph| check(&graph));
}

#[test]
fn every_shape_of_up_to_7_peers_agrees_with_floyd_and_warshall() {
    all_shapes(7).iter().for_each(check);
}

#[test]
fn larger_graphs_agree_with_floyd_and_warshall() {
    let mut rng = fastrand::Rng::with_seed(31);
    for round in 0..400 {
        let peers = if round < 380 { rng.usize(8..90) } else { rng.usize(150..260) };
        check(&testing::varied(peers, &mut rng));
    }
    // Expanders leave most candidates to the searches side by side.
    for density in [0.02, 0.03, 0.05, 0.1] {
        check(&testing::random(200, density, &mut rng));
    }
}

#[test]
fn shapes_with_known_diameters() {
    let path: Vec<_> = (1..1_000_000).map(|b| (b - 1, b)).collect();
    let ring: Vec<_> = (0..1_001).map(|a| (a, (a + 1) % 1_001)).collect();
    let star: Vec<_> = (1..50).map(|b| (0, b)).collect();
    // A clique with a tail.
    let mut lollipop: Vec<_> = (0..20).flat_map(|a| (a + 1..20).map(move |b| (a, b))).collect();
    lollipop.extend((20..60).map(|b| (b - 1, b)));
    let caterpillar: Vec<_> =
        (1..30).map(|b| (b - 1, b)).chain((0..30).map(|a| (a, a + 30))).collect();
    for (peers, links, diameter) in [
        (1_000_000, path, 999_999),
        (1_001, ring, 500),
        (50, star, 2),
        (60, lollipop, 41),
        (60, caterpillar, 31),
        (3, vec![], 0),
        (1, vec![], 0),
    ] {
        let told = Diameters::of(&Snapshot::of(&graph(peers, &links)));
        assert_eq!(told.largest_component(), diameter);
    }
    assert_eq!(Diameters::of(&Snapshot::default()), Diameters::default());
}
