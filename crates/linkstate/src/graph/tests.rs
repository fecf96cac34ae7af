use std::collections::BTreeSet;

use super::hops::WATCHED;
use super::*;

fn random(rng: &mut fastrand::Rng, nodes: u64, links: usize) -> (Graph, BTreeSet<(u64, u64)>) {
    let (mut graph, mut model) = (Graph::new(7), BTreeSet::new());
    for _ in 0..links * 2 {
        let (a, b) = (rng.u64(0..nodes), rng.u64(0..nodes));
        let (a, b) = (a.min(b), a.max(b));
        if a == b {
            continue;
        }
        if model.len() > links && rng.bool() {
            model.remove(&(a, b));
            graph.remove(Alias(a), Alias(b));
        } else {
            model.insert((a, b));
            graph.insert(Alias(b), Alias(a));
        }
    }
    (graph, model)
}

fn ends(model: &BTreeSet<(u64, u64)>, of: u64) -> Vec<Alias> {
    let other = |(a, b): &(u64, u64)| match of {
        _ if *a == of => Some(Alias(*b)),
        _ if *b == of => Some(Alias(*a)),
        _ => None,
    };
    model.iter().filter_map(other).collect()
}

#[test]
fn the_graph_agrees_with_a_set_of_pairs() {
    let mut rng = fastrand::Rng::with_seed(1);
    for _ in 0..50 {
        let (graph, model) = random(&mut rng, 12, 20);
        for a in 0..12 {
            for b in 0..12 {
                let linked = model.contains(&(a.min(b), a.max(b)));
                assert_eq!(graph.contains(Alias(a), Alias(b)), linked && a != b);
            }
        }
    }
}

#[test]
fn distances_that_are_kept_are_those_that_a_search_finds() {
    let mut rng = fastrand::Rng::with_seed(3);
    let (mut kept, mut searched) = (0, 0);
    for round in 0..60 {
        // Among many nodes with many links each there is no room for all that are near.
        let (nodes, links) = if round % 3 == 0 { (150, 1_500) } else { (40, 60) };
        let (mut graph, mut model) = random(&mut rng, nodes, links);
        let mut near: Vec<Alias> = (0..4).map(|_| Alias(rng.u64(0..nodes))).collect();
        for _ in 0..200 {
            let (a, b) = (rng.u64(0..nodes), rng.u64(0..nodes));
            let pair = (a.min(b), a.max(b));
            if a != b && model.remove(&pair) {
                graph.remove(Alias(a), Alias(b));
            } else if a != b && model.len() < links {
                model.insert(pair);
                graph.insert(Alias(a), Alias(b));
            }
            if rng.u8(..10) == 0 {
                near = (0..rng.usize(0..5)).map(|_| Alias(rng.u64(0..nodes))).collect();
            }
            let origin = Alias(rng.u64(0..nodes));
            let starts: Vec<_> = (0..rng.u64(0..3)).map(|_| Alias(rng.u64(0..nodes))).collect();
            let watched = near.iter().filter_map(|alias| graph.slots.get(alias).copied());
            let watched: BTreeSet<u16> = watched.collect();
            let is_asked = |slot: &u16| graph.slots.get(&origin) != Some(slot);
            if !watched.iter().any(is_asked) {
                continue;
            }
            let expected = graph.measure(origin, &starts, watched.iter().copied());
            let distances = graph.tree(origin, &starts, Alias(0), near.iter().copied()).distances;
            let row = |slot: &u16| graph.rows[usize::from(*slot)].iter().copied();
            let all: BTreeSet<u16> =
                watched.iter().flat_map(|slot| row(slot).chain([*slot])).collect();
            let is_kept = graph.reach.sources().iter().map(|(slot, _)| slot).eq(&all);
            (kept, searched) = (kept + usize::from(is_kept), searched + usize::from(!is_kept));
            for slot in all {
                let expected = Some(expected[usize::from(slot)]).filter(|d| *d < WATCHED);
                let found = distances.iter().find(|(other, _)| *other == slot);
                assert_eq!(found.map(|(_, distance)| *distance), expected, "{slot}");
            }
        }
    }
    assert!(kept > 5_000 && searched > 500, "both happen: {kept}, {searched}");
}

#[test]
fn hops_are_counted_again_when_links_change_and_only_then() {
    let mut graph = Graph::new(7);
    graph.insert(Alias(1), Alias(2));
    let mut hops = Hops::default();
    let count = |graph: &Graph, hops: &mut Hops, ends: &[u64]| {
        graph.count(hops, Alias(1), ends.iter().copied().map(Alias))
    };
    assert!(!count(&Graph::new(7), &mut hops, &[]), "there is nothing");
    assert!(count(&graph, &mut hops, &[2]));
    graph.insert(Alias(2), Alias(3));
    assert_eq!(graph.distance(&hops, Alias(3)), FAR);
    assert!(count(&graph, &mut hops, &[2]));
    assert_eq!(graph.distance(&hops, Alias(3)), 2);
    graph.insert(Alias(2), Alias(3));
    assert!(!count(&graph, &mut hops, &[2]), "nothing is new");
    assert!(count(&graph, &mut hops, &[2, 3]));
    assert_eq!(graph.distance(&hops, Alias(3)), 1);
    graph.remove(Alias(2), Alias(3));
    assert!(count(&graph, &mut hops, &[2, 3]));
    assert_eq!(graph.distance(&hops, Alias(3)), FAR);
}

#[test]
fn each_node_that_can_be_reached_has_one_parent_and_all_are_reached() {
    let mut rng = fastrand::Rng::with_seed(2);
    for _ in 0..100 {
        let (mut graph, model) = random(&mut rng, 20, 24);
        let origin = rng.u64(0..20);
        let mut reached = BTreeSet::from([origin]);
        let mut open = vec![origin];
        let (mut sends, mut tells) = (0, 0);
        while let Some(me) = open.pop() {
            let near = |of| ends(&model, of).into_iter();
            let starts = ends(&model, origin);
            let tree = graph.tree(Alias(origin), &starts, Alias(me), near(me));
            for Alias(neighbour) in ends(&model, me) {
                let duty = tree.duty(Alias(neighbour));
                tells += usize::from(duty == Duty::Tell);
                if duty == Duty::Mine {
                    sends += 1;
                    assert!(reached.insert(neighbour), "{neighbour} is sent it twice");
                    open.push(neighbour);
                }
            }
        }
        let mut hops = Hops::default();
        graph.count(&mut hops, Alias(origin), ends(&model, origin).into_iter());
        let near =
            (0..20).filter(|node| *node == origin || graph.distance(&hops, Alias(*node)) != FAR);
        assert_eq!(near.collect::<BTreeSet<_>>(), reached);
        assert_eq!(sends, reached.len() - 1);
        let others = reached.iter().filter(|node| **node != origin);
        let twice = others.filter(|node| ends(&model, **node).len() > 1).count();
        assert_eq!(tells, twice, "who has two neighbours hears it from two");
    }
}

#[test]
fn a_neighbour_that_nobody_else_can_reach_is_this_nodes_duty_and_one_more_tells_of_it() {
    let mut graph = Graph::new(7);
    let node = |alias: u64| Alias(alias);
    for (a, b) in [(1, 2), (2, 3), (2, 4)] {
        graph.insert(node(a), node(b));
    }
    let ends = [node(2)];
    let all = || (1..=9).map(Alias);
    let tree = graph.tree(node(1), &ends, node(2), all());
    assert_eq!(tree.duty(node(3)), Duty::Mine);
    assert_eq!(tree.duty(node(9)), Duty::Unknown, "a node that no record names");
    assert_eq!(tree.duty(node(1)), Duty::Others, "the origin has its own record");
    graph.insert(node(3), node(4));
    let tree = graph.tree(node(1), &ends, node(3), all());
    assert_eq!(tree.duty(node(4)), Duty::Tell, "2 is nearer to the origin, nobody else is there");
    graph.insert(node(2), node(5));
    graph.insert(node(5), node(4));
    let told = [3, 5].map(|me| graph.tree(node(1), &ends, node(me), all()).duty(node(4)));
    let tells = told.iter().filter(|duty| **duty == Duty::Tell).count();
    assert_eq!(tells, 1, "of the two, one: {told:?}");
    assert!(!told.contains(&Duty::Mine));
}
