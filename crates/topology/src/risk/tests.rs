use super::*;
use crate::component::DisjointSets;
use crate::testing::{self, graph};

/// All ways in which the links may live and fail: (p_split, p_any, expected pairs, p_cut).
fn enumerated(graph: &Graph, lives: &[LinkLife], material: u32, set: &[u32]) -> [f64; 4] {
    let links: Vec<_> = graph.link_list().collect();
    let peers = graph.peers() as u32;
    let mut told = [0.0; 4];
    for alive in 0_u32..1 << links.len() {
        let mut probability = 1.0;
        let mut sets = DisjointSets::new(graph.peers());
        for (at, (link, life)) in links.iter().zip(lives).enumerate() {
            let survival = life.survival.get();
            if alive >> at & 1 == 1 {
                probability *= survival;
                sets.union(link.0, link.1);
            } else {
                probability *= 1.0 - survival;
            }
        }
        let sizes: Vec<u32> = sets.sizes().collect();
        let largest = sizes.iter().copied().max().unwrap_or(0);
        let cut = set.iter().any(|peer| sets.find(*peer) != sets.find(set[0]));
        told[0] += if peers - largest >= material { probability } else { 0.0 };
        told[1] += if sizes.len() > 1 { probability } else { 0.0 };
        told[2] += probability * sizes.iter().map(|size| pairs_within(*size)).sum::<f64>();
        told[3] += if cut { probability } else { 0.0 };
    }
    told
}

fn some_lives(graph: &Graph, rng: &mut fastrand::Rng) -> Vec<LinkLife> {
    let life = |_| {
        let survival = if rng.u32(0..8) == 0 { 1.0 } else { 0.4 + 0.6 * rng.f64() };
        LinkLife { key: rng.u64(..), survival: Ratio::clamped(survival) }
    };
    (0..graph.links()).map(life).collect()
}

fn small(rng: &mut fastrand::Rng) -> Graph {
    loop {
        let peers = rng.usize(2..9);
        let graph = testing::varied(peers, rng);
        if (1..=12).contains(&graph.links()) {
            return graph;
        }
    }
}

#[test]
fn the_exact_reckoning_is_that_of_all_cases() {
    let mut rng = fastrand::Rng::with_seed(41);
    for _ in 0..150 {
        let graph = small(&mut rng);
        let lives = some_lives(&graph, &mut rng);
        let set: Vec<u32> = (0..graph.peers() as u32).filter(|_| rng.bool()).collect();
        let material = rng.u32(1..4);
        let [split, any, pairs, cut] = enumerated(&graph, &lives, material, &set);
        let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a} {b} {graph:?}");
        let told = frontier::outcome(&graph, &lives, material).unwrap();
        near(told.split, split);
        near(told.any, any);
        near(told.pairs, pairs);
        if Components::of_graph(&graph).count() == 1 {
            near(frontier::all_reach_all(&graph, &lives).unwrap(), 1.0 - any);
        }
        let snapshot = Snapshot::of(&graph);
        // Positions are other numbers than those of the graph, so lives go with links.
        let index = crate::LinkIndex::new(&graph);
        let moved: Vec<LinkLife> = snapshot
            .graph()
            .link_list()
            .map(|(a, b)| {
                let back = |position| snapshot.slot(position).unwrap().0;
                lives[index.find(&graph, back(a), back(b)).unwrap() as usize]
            })
            .collect();
        let set: Vec<u32> =
            set.iter().map(|peer| snapshot.position(crate::Slot(*peer)).unwrap()).collect();
        let told = p_cut(&snapshot, &moved, &set, &RiskOptions::default());
        near(told.value, cut);
        assert_eq!(told.standard_error, 0.0);
        let material = Material::Peers(material);
        let options = RiskOptions { material, ..RiskOptions::default() };
        let risk = PartitionRisk::of(&snapshot, &moved, &options);
        near(risk.p_split.value, split);
        near(risk.p_any.value, any);
        let connected = Components::of(&snapshot).connected_pairs() as f64;
        near(risk.pairs_lost.value, 1.0 - pairs / connected);
    }
}

#[test]
fn samples_come_near_the_exact_reckoning() {
    let mut rng = fastrand::Rng::with_seed(42);
    let mut far = 0;
    for round in 0..60 {
        let graph = small(&mut rng);
        let snapshot = Snapshot::of(&graph);
        let graph = snapshot.graph();
        let lives = some_lives(graph, &mut rng);
        let set = [0, graph.row(0).first().copied().unwrap_or(0)];
        let [split, any, pairs, cut] = enumerated(graph, &lives, 2, &set);
        let options =
            RiskOptions { samples: 4_096, passes: 4_096, seed: round, ..Default::default() };
        for sampled in [
            lanes::outcome(&snapshot, &lives, 2, &options),
            passes::outcome(graph, &lives, 2, &options),
        ] {
            for (told, expected) in [(sampled.p_split, split), (sampled.pairs_left, pairs)] {
                let error = told.standard_error.max(1e-9);
                far += usize::from((told.value - expected).abs() > 3.0 * error);
                assert!((told.value - expected).abs() < 6.0 * error + 1e-9, "{told:?} {expected}");
            }
            // Being split now is for the caller to say.
            if Components::of(&snapshot).count() == 1 {
                let told = sampled.p_any;
                assert!((told.value - any).abs() < 6.0 * told.standard_error, "{told:?} {any}");
            }
        }
        for told in [
            lanes::cut(&snapshot, &lives, &set, &options),
            passes::cut(graph, &lives, &set, &options),
        ] {
            assert!((told.value - cut).abs() < 6.0 * told.standard_error, "{told:?} {cut}");
        }
    }
    assert!(far <= 6, "{far} of 240 are off by more than three standard errors");
}

#[test]
fn larger_networks_are_sampled_alike_by_both_ways() {
    let mut rng = fastrand::Rng::with_seed(43);
    let graph = testing::random(120, 0.06, &mut rng);
    let snapshot = Snapshot::of(&graph);
    let lives: Vec<LinkLife> = (0..graph.links())
        .map(|_| LinkLife { key: rng.u64(..), survival: Ratio::clamped(0.6) })
        .collect();
    let options = RiskOptions { samples: 16_384, passes: 16_384, ..Default::default() };
    let one = lanes::outcome(&snapshot, &lives, 6, &options);
    let other = passes::outcome(snapshot.graph(), &lives, 6, &options);
    for (a, b) in
        [(one.p_split, other.p_split), (one.p_any, other.p_any), (one.pairs_left, other.pairs_left)]
    {
        let error = a.standard_error.hypot(b.standard_error);
        assert!((a.value - b.value).abs() < 4.0 * error, "{a:?} {b:?}");
    }
    assert!(one.p_split.value > 0.0 && one.p_split.value < one.p_any.value);
    assert_eq!(PartitionRisk::of(&snapshot, &lives, &options).p_split, one.p_split);
}

#[test]
fn a_network_that_is_split_says_so() {
    // A path of three and one peer alone, of twenty the fifth part.
    let links: Vec<_> = (1..19).map(|b| (b - 1, b)).collect();
    let snapshot = Snapshot::of(&graph(20, &links));
    let sure = |count| vec![LinkLife { key: 1, survival: Ratio::ONE }; count];
    let risk = PartitionRisk::of(&snapshot, &sure(18), &RiskOptions::default());
    let split = CurrentSplit { components: 2, peers_outside: 1, material: true };
    assert_eq!((risk.material, risk.split_now), (1, Some(split)));
    assert_eq!((risk.p_split, risk.p_any), (Estimate::exact(1.0), Estimate::exact(1.0)));
    assert_eq!(risk.pairs_lost, Estimate::exact(0.0));
    let options = RiskOptions { material: Material::Peers(2), ..RiskOptions::default() };
    let risk = PartitionRisk::of(&snapshot, &sure(18), &options);
    assert_eq!((risk.p_split.value, risk.p_any.value), (0.0, 1.0));
    assert!(!risk.split_now.unwrap().material);
    let alone = Snapshot::of(&graph(1, &[]));
    let risk = PartitionRisk::of(&alone, &[], &RiskOptions::default());
    assert_eq!((risk.p_split.value, risk.p_any.value, risk.split_now), (0.0, 0.0, None));
    let nobody = PartitionRisk::of(&Snapshot::default(), &[], &RiskOptions::default());
    assert_eq!((nobody.p_split.value, nobody.pairs_lost.value), (0.0, 0.0));
}

#[test]
fn a_set_across_components_is_cut_and_a_set_of_one_never() {
    let snapshot = Snapshot::of(&graph(3, &[(0, 1)]));
    let lives = [LinkLife { key: 1, survival: Ratio::clamped(0.75) }];
    let of = |set: &[u32]| p_cut(&snapshot, &lives, set, &RiskOptions::default()).value;
    assert_eq!(
        [of(&[0, 2]), of(&[1]), of(&[]), of(&[1, 1]), of(&[0, 1]), of(&[9])],
        [1.0, 0.0, 0.0, 0.0, 0.25, 0.0]
    );
}

#[test]
fn material_is_a_share_rounded_up_or_a_number() {
    let share = |peers| Material::default().peers(peers);
    assert_eq!(
        [share(0), share(1), share(20), share(21), share(100), share(101)],
        [1, 1, 1, 2, 5, 6]
    );
    assert_eq!((Material::Peers(0).peers(9), Material::Peers(4).peers(9)), (1, 4));
}

#[test]
fn a_curve_never_falls_and_agrees_with_each_horizon() {
    let mut rng = fastrand::Rng::with_seed(44);
    let snapshot = Snapshot::of(&testing::random(60, 0.08, &mut rng));
    let links = snapshot.links();
    let keys: Vec<u64> = (0..links).map(|_| rng.u64(..)).collect();
    let survivals: Vec<Vec<Ratio>> =
        [0.95, 0.8, 0.5].iter().map(|s| vec![Ratio::clamped(*s); links]).collect();
    let options = RiskOptions { passes: 500, ..Default::default() };
    let curve = PartitionRisk::curve(&snapshot, &keys, &survivals, &options);
    assert_eq!(curve.len(), 3);
    for (risk, survivals) in curve.iter().zip(&survivals) {
        let lives: Vec<LinkLife> = keys
            .iter()
            .zip(survivals)
            .map(|(key, survival)| LinkLife { key: *key, survival: *survival })
            .collect();
        let material = options.material.peers(60);
        let alone = passes::outcome(snapshot.graph(), &lives, material, &options);
        assert_eq!(risk.p_split, alone.p_split);
    }
    assert!(curve[0].pairs_lost.value < curve[1].pairs_lost.value);
    assert!(curve[1].pairs_lost.value < curve[2].pairs_lost.value);
}

#[test]
fn losses_are_ranked_by_what_they_cost_times_how_likely_they_are() {
    // 0 - 1 - 2 - 3: the middle link costs four pairs, an outer one three.
    let path = graph(4, &[(0, 1), (1, 2), (2, 3)]);
    let lives = [0.5, 0.99, 0.9].map(|s| LinkLife { key: 0, survival: Ratio::clamped(s) });
    let ranking = LossRanking::of(&path, &lives, Ratio::clamped(0.75));
    let links: Vec<_> = ranking.links.iter().map(|loss| loss.critical.what).collect();
    assert_eq!(links, [(0, 1), (2, 3), (1, 2)]);
    assert_eq!(ranking.links[0].pairs, 1.5);
    assert_eq!(ranking.peers[0].pairs, 0.5);
}

#[test]
fn lives_of_a_topology_have_keys_of_their_own_and_shrink_with_the_horizon() {
    use crate::{EdgeInfo, NodeType};
    use bitcraps_types::{Timestamp, TransportType};
    let mut topology = Topology::new(1);
    let peer = testing::peer;
    for i in 0..3 {
        topology.add_node(peer(i), NodeType::Regular, Timestamp::ZERO).unwrap();
    }
    for (a, b, reliability) in [(0, 1, 0.81), (1, 2, 0.5)] {
        let transport = TransportType::Internet;
        let link = EdgeInfo::new(transport, 1.0, 1.0, reliability, Timestamp::ZERO).unwrap();
        topology.add_edge(&peer(a), &peer(b), link).unwrap();
    }
    let snapshot = topology.snapshot();
    let half = topology.lives(&snapshot, RELIABILITY_PERIOD / 2);
    assert!((half[0].survival.get() - 0.9).abs() < 1e-12);
    let twice = topology.lives(&snapshot, 2 * RELIABILITY_PERIOD);
    assert!((twice[1].survival.get() - 0.25).abs() < 1e-12);
    assert_eq!(half[0].key, twice[0].key);
    assert_ne!(half[0].key, half[1].key);
}
