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

/// Size of the smallest set out of `pairs` that keeps to the limit and makes `holds` true.
fn fewest_among(
    graph: &Graph,
    pairs: &[(u32, u32)],
    most: Option<u32>,
    holds: &dyn Fn(&Graph) -> bool,
) -> Option<usize> {
    let sets = (0..1_u32 << pairs.len()).filter_map(|set| {
        let chosen: Vec<_> = pairs
            .iter()
            .enumerate()
            .filter(|(at, _)| set >> at & 1 == 1)
            .map(|(_, pair)| *pair)
            .collect();
        let linked = with_links(graph, &chosen);
        let fits = chosen
            .iter()
            .all(|(a, b)| most.is_none_or(|most| linked.degree(*a).max(linked.degree(*b)) <= most));
        (fits && holds(&linked)).then_some(chosen.len())
    });
    sets.min()
}

#[test]
fn among_feasible_pairs_a_plan_goes_as_far_as_any_and_is_nearly_as_short() {
    let mut rng = fastrand::Rng::with_seed(82);
    let (mut planned, mut fewest, mut solved) = (0, 0, 0);
    for round in 0..400 {
        let peers = rng.usize(4..10);
        let graph = testing::varied(peers, &mut rng);
        let absent = (0..peers as u32)
            .flat_map(|a| (a + 1..peers as u32).map(move |b| (a, b)))
            .filter(|(a, b)| !graph.row(*a).contains(b));
        let mut pairs: Vec<_> = absent.collect();
        rng.shuffle(&mut pairs);
        pairs.truncate(10);
        let constraints = Constraints { feasible: Some(&pairs), max_degree: None };
        let plan = two_vertex_connected(&graph, usize::MAX, &constraints);
        assert!(plan.iter().all(|pair| pairs.contains(pair)), "round {round}");
        let (all, after) = (with_links(&graph, &pairs), with_links(&graph, &plan));
        let blocks = |graph: &Graph| {
            let alone = (0..peers as u32).filter(|peer| graph.degree(*peer) == 0).count();
            (Components::of_graph(graph).count(), Cuts::of(graph).blocks() + alone)
        };
        let goal = blocks(&all);
        assert_eq!(blocks(&after), goal, "round {round}: {graph:?} {pairs:?} {plan:?}");
        let best = fewest_among(&graph, &pairs, None, &|graph| blocks(graph) == goal).unwrap();
        assert!(plan.len() <= best + 1, "round {round}: {plan:?}, {best} are enough");
        (planned, fewest) = (planned + plan.len(), fewest + best);
        let most = Some(4);
        let constraints = Constraints { feasible: Some(&pairs), max_degree: most };
        let plan = two_vertex_connected(&graph, usize::MAX, &constraints);
        let after = with_links(&graph, &plan);
        for peer in 0..peers as u32 {
            let degree = after.degree(peer);
            assert!(degree <= 4 || degree == graph.degree(peer), "round {round}");
        }
        let holds = |graph: &Graph| blocks(graph) == (1, 1);
        if let Some(best) = fewest_among(&graph, &pairs, most, &holds).filter(|_| holds(&after)) {
            assert!(plan.len() <= best + 1, "round {round}: {plan:?}, {best} are enough");
            solved += 1;
        }
        let some = two_vertex_connected(
            &graph,
            1,
            &Constraints { feasible: Some(&pairs), max_degree: None },
        );
        assert_eq!(some.len(), goal.1.abs_diff(blocks(&graph).1).min(1), "round {round}");
    }
    assert!(100 * planned <= 103 * fewest, "{planned} planned, {fewest} are enough");
    assert!(fewest > 400 && solved > 50, "{fewest} {solved}");
}
