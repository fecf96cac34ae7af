use super::*;
use crate::testing::{self, all_shapes, graph};
use crate::{Components, Diameters, Snapshot};

const FREE: Constraints<'_> = Constraints { feasible: None, max_degree: None };

fn is_two_edge_connected(graph: &Graph) -> bool {
    Components::of_graph(graph).count() <= 1 && Cuts::of(graph).bridges().is_empty()
}

fn is_two_vertex_connected(graph: &Graph) -> bool {
    Components::of_graph(graph).count() <= 1 && Cuts::of(graph).articulation_points().is_empty()
}

/// The fewest links that make `holds` true, by trying every set of each size.
fn fewest(graph: &Graph, holds: &dyn Fn(&Graph) -> bool) -> usize {
    fn some(
        graph: &Graph,
        absent: &[(u32, u32)],
        more: usize,
        chosen: &mut Vec<(u32, u32)>,
        holds: &dyn Fn(&Graph) -> bool,
    ) -> bool {
        if more == 0 {
            return holds(&with_links(graph, chosen));
        }
        (0..absent.len()).any(|at| {
            chosen.push(absent[at]);
            let found = some(graph, &absent[at + 1..], more - 1, chosen, holds);
            chosen.pop();
            found
        })
    }
    let peers = graph.peers() as u32;
    let absent: Vec<_> = (0..peers)
        .flat_map(|a| (a + 1..peers).map(move |b| (a, b)))
        .filter(|(a, b)| !graph.row(*a).contains(b))
        .collect();
    (0..=absent.len()).find(|more| some(graph, &absent, *more, &mut Vec::new(), holds)).unwrap()
}

#[test]
fn no_fewer_links_make_a_small_network_withstand_any_link_or_peer() {
    for graph in all_shapes(6).iter().filter(|graph| graph.peers() >= 3) {
        let plan = two_edge_connected(graph, &FREE);
        assert!(is_two_edge_connected(&with_links(graph, &plan)), "{graph:?} {plan:?}");
        assert_eq!(plan.len(), fewest(graph, &is_two_edge_connected), "{graph:?} {plan:?}");
        let plan = two_vertex_connected(graph, usize::MAX, &FREE);
        assert!(is_two_vertex_connected(&with_links(graph, &plan)), "{graph:?} {plan:?}");
        assert_eq!(plan.len(), fewest(graph, &is_two_vertex_connected), "{graph:?} {plan:?}");
    }
}

#[test]
fn larger_networks_withstand_any_link_or_peer_after_the_plan() {
    let mut rng = fastrand::Rng::with_seed(81);
    for _ in 0..100 {
        let peers = rng.usize(7..60);
        let graph = testing::varied(peers, &mut rng);
        let plan = two_edge_connected(&graph, &FREE);
        assert!(is_two_edge_connected(&with_links(&graph, &plan)), "{graph:?} {plan:?}");
        let plan = two_vertex_connected(&graph, usize::MAX, &FREE);
        assert!(is_two_vertex_connected(&with_links(&graph, &plan)));
    }
    // A star of 9 needs 8 - 1 links against the loss of its middle, half of that against one of a
    // link.
    let star = graph(9, &(1..9).map(|b| (0, b)).collect::<Vec<_>>());
    assert_eq!(two_edge_connected(&star, &FREE).len(), 4);
    assert_eq!(two_vertex_connected(&star, usize::MAX, &FREE).len(), 7);
    assert_eq!(two_vertex_connected(&star, 3, &FREE).len(), 3);
    assert_eq!(two_edge_connected(&graph(2, &[(0, 1)]), &FREE), []);
}

#[test]
fn only_feasible_pairs_are_planned_and_no_degree_goes_above_the_limit() {
    let path = graph(5, &[(0, 1), (1, 2), (2, 3), (3, 4)]);
    let feasible = [(0, 2), (2, 4), (1, 3)];
    let constraints = Constraints { feasible: Some(&feasible), max_degree: None };
    let plan = two_edge_connected(&path, &constraints);
    assert!(plan.iter().all(|pair| feasible.contains(pair)));
    assert!(is_two_edge_connected(&with_links(&path, &plan)));
    assert_eq!(plan.len(), 2);
    let plan = two_vertex_connected(&path, 9, &constraints);
    assert!(is_two_vertex_connected(&with_links(&path, &plan)));
    assert_eq!(plan.len(), 3);
    let constraints = Constraints { feasible: None, max_degree: Some(2) };
    for plan in
        [two_edge_connected(&path, &constraints), two_vertex_connected(&path, 9, &constraints)]
    {
        assert_eq!(plan, [(0, 4)]);
    }
    let none = Constraints { feasible: Some(&[]), max_degree: None };
    assert_eq!(two_edge_connected(&path, &none), []);
    assert_eq!(shortcuts(&path, 3, &none), []);
    assert_eq!(star(&path, 2, &none), []);
}

#[test]
fn shortcuts_shorten_and_a_star_reaches_everybody_it_may() {
    let links: Vec<_> = (1..40).map(|b| (b - 1, b)).collect();
    let path = graph(40, &links);
    let diameter = |graph: &Graph| Diameters::of_largest(&Snapshot::of(graph));
    let plan = shortcuts(&path, 3, &FREE);
    let lengths: Vec<u32> =
        (0..=plan.len()).map(|count| diameter(&with_links(&path, &plan[..count]))).collect();
    // The ring that the first makes is shortened by no single link.
    assert_eq!(lengths, [39, 20]);
    let plan = star(&path, 5, &FREE);
    assert_eq!(plan.len(), 37);
    assert_eq!(diameter(&with_links(&path, &plan)), 2);
    let limited = Constraints { feasible: None, max_degree: Some(4) };
    assert_eq!(star(&path, 5, &limited), [(0, 5), (1, 5)]);
    assert_eq!(star(&path, 99, &FREE), []);
}

#[test]
fn the_plan_for_a_game_is_a_star_shortcuts_and_the_relays_that_must_not_fail() {
    let path = graph(6, &[(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)]);
    let feasible = [(0, 2), (2, 4), (3, 5)];
    let constraints = Constraints { feasible: Some(&feasible), max_degree: None };
    let plan = optimize_for_gaming(&path, 2, 2, &constraints);
    assert_eq!(plan.star, [(0, 2), (2, 4)]);
    assert_eq!(plan.critical_relays, [1, 2, 3, 4]);
    let starred = with_links(&path, &plan.star);
    let after = with_links(&starred, &plan.shortcuts);
    let diameter = |graph: &Graph| Diameters::of_largest(&Snapshot::of(graph));
    assert_eq!((diameter(&path), diameter(&starred), diameter(&after)), (5, 3, 3));
}
