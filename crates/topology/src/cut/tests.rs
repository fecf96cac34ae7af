use super::*;
use crate::Components;
use crate::testing::{self, all_labelled, all_shapes, graph};

/// The component sizes without a peer, or without a link.
fn without(graph: &Graph, gone: impl Fn(u32, u32) -> bool) -> Components {
    let links: Vec<_> = graph.link_list().filter(|(a, b)| !gone(*a, *b)).collect();
    Components::of_graph(&testing::graph(graph.peers(), &links))
}

fn check(graph: &Graph) {
    let (cuts, criticality) = (Cuts::of(graph), Criticality::of(graph));
    let whole = Components::of_graph(graph);
    let mut points = Vec::new();
    let mut critical = Vec::new();
    for peer in 0..graph.peers() as u32 {
        let left = without(graph, |a, b| a == peer || b == peer);
        // Without its links the peer is a component of its own.
        let more = left.count() - 1 > whole.count() - usize::from(graph.degree(peer) == 0);
        let own = hops(graph, peer);
        let pairs_lost = whole.connected_pairs() - left.connected_pairs() - (own - 1);
        assert_eq!(more, pairs_lost > 0);
        if more {
            points.push(peer);
            critical.push((peer, pairs_lost));
        }
    }
    assert_eq!(cuts.articulation_points(), points, "{graph:?}");
    let mut told: Vec<_> = criticality.peers.iter().map(|c| (c.what, c.pairs_lost)).collect();
    assert!(told.is_sorted_by_key(|c| std::cmp::Reverse(c.1)));
    told.sort_unstable();
    assert_eq!(told, critical);
    let mut bridges = Vec::new();
    for link in graph.link_list() {
        let left = without(graph, |a, b| (a, b) == link);
        if left.count() > whole.count() {
            bridges.push((link, whole.connected_pairs() - left.connected_pairs()));
        }
    }
    assert!(cuts.bridges().iter().eq(bridges.iter().map(|(link, _)| link)));
    let mut told: Vec<_> = criticality.links.iter().map(|c| (c.what, c.pairs_lost)).collect();
    told.sort_unstable();
    assert_eq!(told, bridges);
    assert_eq!(cuts.blocks(), blocks(graph), "{graph:?}");
}

/// Peers that can be reached, the peer included.
fn hops(graph: &Graph, peer: u32) -> u64 {
    let all = crate::hop_distances(graph, peer);
    all.iter().filter(|hops| **hops != crate::UNREACHED).count() as u64
}

/// Blocks by definition: links are in the same one when no peer's loss parts them.
fn blocks(graph: &Graph) -> usize {
    let links: Vec<_> = graph.link_list().collect();
    let together = |x: (u32, u32), y: (u32, u32)| {
        (0..graph.peers() as u32).all(|peer| {
            let left: Vec<_> =
                links.iter().copied().filter(|(a, b)| *a != peer && *b != peer).collect();
            let end = |link: (u32, u32)| if link.0 == peer { link.1 } else { link.0 };
            let left = testing::graph(graph.peers(), &left);
            let reached = crate::hop_distances(&left, end(x));
            reached[end(y) as usize] != crate::UNREACHED
        })
    };
    let firsts = (0..links.len()).filter(|at| (0..*at).all(|b| !together(links[*at], links[b])));
    firsts.count()
}

#[test]
fn every_graph_of_up_to_5_peers_agrees_with_removing_each_peer_and_link() {
    for peers in 0..=5 {
        all_labelled(peers).for_each(|graph| check(&graph));
    }
}

#[test]
fn every_shape_of_up_to_7_peers_agrees_with_removing_each_peer_and_link() {
    all_shapes(7).iter().for_each(check);
}

#[test]
fn larger_graphs_agree_with_removing_each_peer_and_link() {
    let mut rng = fastrand::Rng::with_seed(11);
    for _ in 0..60 {
        let peers = rng.usize(8..26);
        check(&testing::varied(peers, &mut rng));
    }
}

#[test]
fn a_lost_peer_cuts_off_all_but_the_largest_part() {
    // 0 - 1 - 2 - 3 - 4, and a triangle 4 5 6.
    let line = graph(7, &[(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (5, 6), (4, 6)]);
    let criticality = Criticality::of(&line);
    let at = |peer| *criticality.peers.iter().find(|c| c.what == peer).unwrap();
    assert_eq!((at(4).pairs_lost, at(4).peers_cut_off), (8, 2));
    assert_eq!((at(2).pairs_lost, at(2).peers_cut_off), (8, 2));
    assert_eq!((at(1).pairs_lost, at(1).peers_cut_off), (5, 1));
    let bridge = criticality.links[0];
    assert_eq!((bridge.what, bridge.pairs_lost, bridge.peers_cut_off), ((2, 3), 12, 3));
}

#[test]
fn a_path_of_a_million_peers_does_not_exhaust_the_stack() {
    let peers = 1_000_000;
    let links: Vec<_> = (1..peers).map(|b| (b - 1, b)).collect();
    let path = graph(peers as usize, &links);
    let cuts = Cuts::of(&path);
    assert_eq!(cuts.articulation_points().len(), 999_998);
    assert_eq!((cuts.bridges().len(), cuts.blocks()), (999_999, 999_999));
    let most = Criticality::of(&path).peers[0];
    assert_eq!(most.pairs_lost, 499_999 * 500_000);
}
