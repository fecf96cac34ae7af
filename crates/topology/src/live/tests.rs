use super::*;
use crate::testing::{peer, varied};
use crate::{Cuts, Graph, hop_histogram};

const RADIO: TransportType = TransportType::WiFiDirect;

fn live_of(graph: &Graph) -> LiveTopology {
    let mut topology = Topology::new(1);
    for i in 0..graph.peers() as u64 {
        topology.add_node(peer(i), NodeType::Regular, Timestamp::ZERO).unwrap();
    }
    for (a, b) in graph.link_list() {
        let (a, b) = (peer(u64::from(a)), peer(u64::from(b)));
        topology.add_edge(&a, &b, EdgeInfo::default()).unwrap();
    }
    LiveTopology::new(topology)
}

/// Everything that is kept agrees with everything computed anew.
fn check(live: &mut LiveTopology) {
    let snapshot = live.topology.snapshot();
    let expected = MeasureSet::of(&snapshot);
    assert_eq!(live.measures(), expected);
    let cuts = Cuts::of(snapshot.graph());
    let slots = live.topology.slot_bound() as u32;
    let points: Vec<u32> = (0..slots)
        .filter(|slot| live.topology.peer(Slot(*slot)).is_some() && live.blocks.is_point(*slot))
        .collect();
    let mut told: Vec<u32> =
        cuts.articulation_points().iter().map(|p| snapshot.slot(*p).unwrap().0).collect();
    told.sort_unstable();
    assert_eq!(points, told);
    let id = |position: u32| live.topology.peer(snapshot.slot(position).unwrap()).unwrap();
    let links: Vec<_> = snapshot.graph().link_list().collect();
    let ends: Vec<_> = links.iter().map(|(a, b)| (id(*a), id(*b))).collect();
    for (link, (a, b)) in links.iter().zip(ends) {
        assert_eq!(live.is_bridge(&a, &b), cuts.bridges().contains(link));
    }
}

fn toggle(live: &mut LiveTopology, a: u64, b: u64) -> Option<Upkeep> {
    let (a, b) = (peer(a), peer(b));
    match live.add_edge(&a, &b, EdgeInfo::default()) {
        Ok(upkeep) => Some(upkeep),
        Err(_) => live.remove_edge(&a, &b, RADIO).ok().map(|(_, upkeep)| upkeep),
    }
}

#[test]
fn random_changes_agree_with_computing_anew_after_every_step() {
    let mut rng = fastrand::Rng::with_seed(71);
    let mut seen = [0; 3];
    for _ in 0..60 {
        let peers = rng.usize(2..64);
        let mut live = live_of(&varied(peers, &mut rng));
        check(&mut live);
        for _ in 0..120 {
            let a = rng.u64(0..peers as u64);
            // Mostly near, as in a mesh.
            let b = if rng.u32(0..4) > 0 { a + rng.u64(1..4) } else { rng.u64(0..peers as u64) };
            if let Some(upkeep) = toggle(&mut live, a, b) {
                seen[upkeep as usize] += 1;
            }
            check(&mut live);
        }
    }
    assert!(seen.iter().all(|count| *count > 100), "{seen:?}");
}

#[test]
fn every_graph_of_5_peers_through_every_change_of_one_link() {
    for graph in crate::testing::all_labelled(5) {
        for a in 0..5 {
            for b in a + 1..5 {
                let mut live = live_of(&graph);
                toggle(&mut live, a, b);
                check(&mut live);
                toggle(&mut live, a, b);
                check(&mut live);
            }
        }
    }
}

#[test]
fn a_grid_is_thinned_to_nothing_and_rebuilt() {
    let side = 12;
    let mut rng = fastrand::Rng::with_seed(72);
    let mut links = Vec::new();
    for x in 0..side {
        for y in 0..side {
            let at = x * side + y;
            if y + 1 < side {
                links.push((at, at + 1));
            }
            if x + 1 < side {
                links.push((at, at + side));
            }
            if x + 1 < side && y + 1 < side && rng.bool() {
                links.push((at, at + side + 1));
            }
        }
    }
    let mut live = live_of(&crate::testing::graph((side * side) as usize, &links));
    for _ in 0..2 {
        rng.shuffle(&mut links);
        for (a, b) in &links {
            toggle(&mut live, u64::from(*a), u64::from(*b));
            check(&mut live);
        }
    }
    assert_eq!(live.topology.linked_pairs(), links.len());
}

#[test]
fn what_moves_half_the_network_is_followed() {
    // A ring with some chords: without one of its links, everything behind it is farther away.
    let mut links: Vec<(u32, u32)> = (0..1_500).map(|i| (i, (i + 1) % 1_500)).collect();
    links.extend((0..1_500).step_by(50).map(|i| (i, (i + 30) % 1_500)));
    let mut live = live_of(&crate::testing::graph(1_500, &links));
    check(&mut live);
    for (a, b) in [(0, 1), (0, 30), (749, 750), (30, 0), (1, 0), (1_490, 1_491), (750, 749)] {
        toggle(&mut live, a, b);
        check(&mut live);
    }
}

#[test]
fn more_nearer_neighbours_than_are_counted_go_one_by_one() {
    // From 0 over 300 peers to 301, with a tail that makes it worth knowing.
    let middle = || 1..=300_u32;
    let mut links: Vec<(u32, u32)> = middle().flat_map(|i| [(0, i), (i, 301)]).collect();
    links.extend([(301, 302), (302, 303), (303, 304)]);
    let mut live = live_of(&crate::testing::graph(305, &links));
    for i in middle().chain(middle().rev()) {
        toggle(&mut live, u64::from(i), 301);
        if i % 10 < 2 || i > 290 {
            check(&mut live);
        }
    }
    check(&mut live);
}

#[test]
fn peers_come_and_go() {
    let mut rng = fastrand::Rng::with_seed(73);
    let mut live = live_of(&varied(20, &mut rng));
    for _ in 0..600 {
        let (a, b) = (rng.u64(0..30), rng.u64(0..30));
        match rng.u32(0..6) {
            0 => drop(live.add_node(peer(a), NodeType::Regular, Timestamp::ZERO)),
            1 => drop(live.remove_node(&peer(a))),
            _ => drop(toggle(&mut live, a, b)),
        }
        check(&mut live);
    }
}

#[test]
fn a_second_transport_changes_no_measure_and_its_loss_neither() {
    let mut live = live_of(&crate::testing::graph(3, &[(0, 1), (1, 2)]));
    let before = (live.version(), live.measures());
    let other = EdgeInfo::new(TransportType::Bluetooth, 1.0, 1.0, 0.5, Timestamp::ZERO).unwrap();
    assert_eq!(live.add_edge(&peer(0), &peer(1), other), Ok(Upkeep::Certified));
    assert!(live.is_bridge(&peer(0), &peer(1)));
    let removed = live.remove_edge(&peer(0), &peer(1), RADIO).unwrap();
    assert_eq!(removed, (EdgeInfo::default(), Upkeep::Certified));
    assert_eq!((live.version(), live.measures()), before);
    live.update_edge(&peer(0), &peer(1), other).unwrap();
    assert!(!live.is_bridge(&peer(0), &peer(2)));
}

#[test]
fn many_changes_at_once_end_where_one_by_one_ends() {
    let mut rng = fastrand::Rng::with_seed(74);
    let graph = varied(120, &mut rng);
    let links: Vec<_> = graph.link_list().collect();
    // A few of them are followed one by one, with the diameter settled at the end.
    for _ in 0..60 {
        let net = varied(rng.usize(60..160), &mut rng);
        let all: Vec<_> = net.link_list().collect();
        let count = all.len() / 50;
        let mut live = live_of(&net);
        let changes: Vec<LinkChange> = (0..count)
            .map(|_| {
                let (a, b) = all[rng.usize(0..all.len())];
                let (a, b) = (peer(u64::from(a)), peer(u64::from(b)));
                LinkChange::Remove { a, b, transport: RADIO }
            })
            .collect();
        live.apply(&changes);
        check(&mut live);
    }
    for count in [1, links.len() / 2] {
        let mut live = live_of(&graph);
        let changes: Vec<LinkChange> = links[..count]
            .iter()
            .map(|(a, b)| {
                let (a, b) = (peer(u64::from(*a)), peer(u64::from(*b)));
                LinkChange::Remove { a, b, transport: RADIO }
            })
            .collect();
        assert_eq!(live.apply(&changes), []);
        check(&mut live);
        assert_eq!(live.apply(&changes).len(), count, "they are gone already");
        check(&mut live);
    }
}

#[test]
fn what_was_computed_before_a_change_is_stale() {
    let mut live = live_of(&crate::testing::graph(4, &[(0, 1), (1, 2), (2, 3)]));
    let hops = |topology: &Topology| hop_histogram(topology.snapshot().graph());
    let mut dated = Dated::new(&live, hops);
    assert_eq!((dated.is_stale(&live), dated.value()), (false, &vec![0, 3, 2, 1]));
    live.add_edge(&peer(0), &peer(3), EdgeInfo::default()).unwrap();
    assert!(dated.is_stale(&live));
    assert_eq!(dated.value(), &[0, 3, 2, 1]);
    assert_eq!(dated.fresh(&live, hops), &[0, 4, 2]);
    assert!(!dated.is_stale(&live));
}
