//! What each node knows of the whole network: production engines that publish their links.

use std::collections::BTreeSet;
use std::time::Duration;

use bitcraps_coordinator::{Notice, SendOptions, Tier};
use bitcraps_engine::{AdmissionConfig, AdmissionMode};
use bitcraps_linkstate::Config;
use bitcraps_sim::{Death, Fault, LinkModel, NodeId, NodeSetup, Return, SimLink, Simulation, Way};
use bitcraps_types::{DownReason, Epoch, PeerId, TrafficClass, TransportType};

const SECOND: Duration = Duration::from_secs(1);

type Name = (PeerId, PeerId, TransportType);

fn publishes(setup: &mut NodeSetup) {
    setup.network = Some(Config::new(Epoch(1)));
}

/// The links that a node sees, as its topology has them.
fn seen(sim: &Simulation, node: NodeId) -> BTreeSet<Name> {
    let network = sim.engine(node).unwrap().network().unwrap();
    let links = network.links().map(|link| (link.a, link.b, link.quality.transport()));
    let links: BTreeSet<Name> = links.collect();
    let named = |(a, b, link): (PeerId, PeerId, &bitcraps_topology::EdgeInfo)| {
        (a.min(b), a.max(b), link.transport())
    };
    let topology: BTreeSet<Name> = network.topology().links().map(named).collect();
    assert_eq!(topology, links, "the topology is what the database says");
    links
}

fn name(sim: &Simulation, a: NodeId, b: NodeId, transport: TransportType) -> Name {
    let (a, b) = (sim.peer_id(a), sim.peer_id(b));
    (a.min(b), a.max(b), transport)
}

/// Nodes in a row, each linked over Wi-Fi with the next.
fn row(sim: &mut Simulation, count: usize) -> (Vec<NodeId>, Vec<SimLink>) {
    let nodes: Vec<_> = (0..count).map(|_| sim.add_node_with(publishes)).collect();
    let links = nodes.windows(2).map(|pair| sim.add_link(pair[0], pair[1], LinkModel::wifi()));
    let links = links.collect();
    (nodes, links)
}

fn truth(sim: &Simulation, pairs: &[(NodeId, NodeId)]) -> BTreeSet<Name> {
    pairs.iter().map(|(a, b)| name(sim, *a, *b, TransportType::WiFiDirect)).collect()
}

/// How long it takes until these nodes see exactly these links.
fn until(
    sim: &mut Simulation,
    nodes: &[NodeId],
    truth: &BTreeSet<Name>,
    limit: Duration,
) -> Option<Duration> {
    let start = sim.now();
    while sim.now().since(start) < limit {
        if nodes.iter().all(|node| seen(sim, *node) == *truth) {
            return Some(sim.now().since(start));
        }
        sim.run_for(Duration::from_millis(10));
    }
    None
}

#[test]
fn every_node_sees_every_link_and_a_silent_death_is_known_within_three_seconds() {
    let mut sim = Simulation::new(1);
    let (nodes, _) = row(&mut sim, 6);
    // A ring, so that a death splits nothing.
    sim.add_link(nodes[5], nodes[0], LinkModel::wifi());
    let mut pairs: Vec<_> = nodes.windows(2).map(|pair| (pair[0], pair[1])).collect();
    pairs.push((nodes[5], nodes[0]));
    let all = truth(&sim, &pairs);
    assert!(until(&mut sim, &nodes, &all, 3 * SECOND).is_some());
    let me = sim.peer_id(nodes[0]);
    let network = sim.engine(nodes[0]).unwrap().network().unwrap();
    assert_eq!(network.topology().peers(), 6);
    for link in network.links() {
        let own = link.a == me || link.b == me;
        assert_eq!(link.verified, own, "with whom nothing was proved is not vouched for");
    }
    sim.kill(nodes[3], Death::Silent);
    pairs.retain(|(a, b)| *a != nodes[3] && *b != nodes[3]);
    let left = truth(&sim, &pairs);
    let alive: Vec<_> = nodes.iter().copied().filter(|node| *node != nodes[3]).collect();
    let took = until(&mut sim, &alive, &left, 10 * SECOND).unwrap();
    assert!(took <= 3 * SECOND, "{took:?}");
    sim.restart(nodes[3], Return::NewLinks);
    assert!(until(&mut sim, &nodes, &all, 15 * SECOND).is_some(), "and it is itself again");
    assert_eq!(sim.core(nodes[3]).unwrap().outran(), None);
    assert!(!sim.engine(nodes[3]).unwrap().network().unwrap().is_elsewhere());
}

#[test]
fn two_halves_know_the_same_two_probe_intervals_after_they_meet() {
    let mut sim = Simulation::new(2);
    let (nodes, links) = row(&mut sim, 8);
    let pairs: Vec<_> = nodes.windows(2).map(|pair| (pair[0], pair[1])).collect();
    let all = truth(&sim, &pairs);
    assert!(until(&mut sim, &nodes, &all, 3 * SECOND).is_some());
    sim.take_down(links[3], DownReason::ClosedHere);
    sim.run_for(5 * SECOND);
    // Each half changes on its own.
    sim.take_down(links[1], DownReason::ClosedHere);
    sim.take_down(links[5], DownReason::ClosedHere);
    sim.run_for(5 * SECOND);
    sim.bring_up(links[1]);
    sim.bring_up(links[5]);
    sim.run_for(12 * SECOND);
    let root = |sim: &Simulation, node| sim.engine(node).unwrap().network().unwrap().root();
    assert_ne!(root(&sim, nodes[0]), root(&sim, nodes[7]));
    sim.bring_up(links[3]);
    let took = until(&mut sim, &nodes, &all, 10 * SECOND).unwrap();
    assert!(took <= 2 * SECOND, "{took:?}");
    // What the links are like is told at leisure; then the databases are the same to the last byte.
    let same = |sim: &Simulation| nodes.windows(2).all(|n| root(sim, n[0]) == root(sim, n[1]));
    let equal = (0..300).any(|_| {
        sim.run_for(SECOND / 10);
        same(&sim)
    });
    assert!(equal);
}

#[test]
fn nobody_is_thought_dead_in_ten_minutes_of_losses() {
    for seed in 0..20 {
        let mut sim = Simulation::new(seed);
        let nodes: Vec<_> = (0..4).map(|_| sim.add_node_with(publishes)).collect();
        let mut pairs = Vec::new();
        for at in 0..4 {
            let (a, b) = (nodes[at], nodes[(at + 1) % 4]);
            sim.add_link(a, b, LinkModel::wifi().loss(0.05));
            pairs.push((a, b));
        }
        let all = truth(&sim, &pairs);
        assert!(until(&mut sim, &nodes, &all, 5 * SECOND).is_some());
        for _ in 0..600 {
            sim.run_for(SECOND);
            for node in &nodes {
                let network = sim.engine(*node).unwrap().network().unwrap();
                let linked = |peer| !network.topology().node(&peer).unwrap().connections.is_empty();
                let all = nodes.iter().all(|node| linked(sim.peer_id(*node)));
                assert!(all, "seed {seed} at {:?}", sim.now());
            }
        }
    }
}

#[test]
fn a_link_that_flapped_and_answers_again_is_seen_before_it_is_trusted() {
    let mut sim = Simulation::new(5);
    let (a, b) = (sim.add_node_with(publishes), sim.add_node_with(publishes));
    let link = sim.add_link(a, b, LinkModel::wifi());
    let all = truth(&sim, &[(a, b)]);
    assert!(until(&mut sim, &[a, b], &all, 5 * SECOND).is_some());
    // Each outage doubles the hold; the last is long enough to be told.
    for outage in [700, 700, 700, 700, 700, 4_000] {
        sim.fault(link, Way::Both, Fault::BlackHole(true));
        sim.run_for(Duration::from_millis(outage));
        sim.heal(link);
        if outage < 1_000 {
            sim.run_for(Duration::from_millis(500));
        }
    }
    assert!(seen(&sim, a).is_empty());
    assert!(until(&mut sim, &[a, b], &all, 4 * SECOND).is_some());
    let status = &sim.core(a).unwrap().peers(sim.now())[0];
    assert_ne!(status.links[0].tier, Tier::Good);
}

#[test]
fn strangers_are_told_nothing_and_believed_nothing() {
    let mut sim = Simulation::new(4);
    let (friend, stranger) = (sim.add_node_with(publishes), sim.add_node_with(publishes));
    let allow = [sim.peer_id(friend)].into();
    let me = sim.add_node_with(|setup| {
        publishes(setup);
        let mode = AdmissionMode::AllowList;
        setup.admission = AdmissionConfig { mode, allow, ..AdmissionConfig::default() };
    });
    sim.add_link(me, friend, LinkModel::wifi());
    sim.add_link(me, stranger, LinkModel::wifi());
    sim.run_for(5 * SECOND);
    let known = truth(&sim, &[(me, friend)]);
    assert_eq!(seen(&sim, me), known);
    assert_eq!(seen(&sim, friend), known);
    let network = sim.engine(stranger).unwrap().network().unwrap();
    assert_eq!(network.topology().peers(), 2, "itself and the end of its own link");
    // Admitted, it is one of the others.
    let peer = sim.peer_id(stranger);
    let decided = sim.with_engine(me, |engine, now| {
        engine.decide(peer, Some(bitcraps_engine::Decision::Admitted), now)
    });
    assert_eq!(decided, Some(Ok(())));
    let all = truth(&sim, &[(me, friend), (me, stranger)]);
    assert!(until(&mut sim, &[me, friend, stranger], &all, 15 * SECOND).is_some());
}

#[test]
fn a_node_restored_from_a_backup_raises_its_epoch_and_is_itself_again() {
    for seed in 40..46 {
        let mut sim = Simulation::new(seed);
        let (nodes, _) = row(&mut sim, 4);
        let mut pairs: Vec<_> = nodes.windows(2).map(|pair| (pair[0], pair[1])).collect();
        let all = truth(&sim, &pairs);
        assert!(until(&mut sim, &nodes, &all, 5 * SECOND).is_some());
        // Its sixth life is the last that others hear of.
        for _ in 0..5 {
            sim.kill(nodes[0], Death::Silent);
            sim.restart(nodes[0], Return::NewLinks);
        }
        assert!(until(&mut sim, &nodes, &all, 15 * SECOND).is_some());
        sim.kill(nodes[0], Death::Silent);
        sim.run_for(2 * SECOND);
        sim.put_back(nodes[0], Epoch(2));
        // The neighbour that it had refuses it and says why; one that never met it has heard of it.
        let refused = seed % 2 == 0;
        sim.restart(nodes[0], if refused { Return::NewLinks } else { Return::NoLinks });
        if !refused {
            sim.add_link(nodes[0], nodes[3], LinkModel::wifi());
            pairs.push((nodes[0], nodes[3]));
        }
        let all = truth(&sim, &pairs);
        assert!(until(&mut sim, &nodes, &all, 15 * SECOND).is_some(), "seed {seed}");
        let outran = sim.notices(nodes[0]).iter();
        let outran = outran.filter(|(_, n)| matches!(n, Notice::EpochOutran { .. }));
        let seen: Vec<_> = outran.map(|(_, notice)| notice.clone()).collect();
        assert_eq!(seen, [Notice::EpochOutran { above: Epoch(6) }], "once");
        assert_eq!(sim.core(nodes[0]).unwrap().config().epoch, Epoch(7));
        assert_eq!(sim.core(nodes[0]).unwrap().outran(), None);
        assert!(!sim.engine(nodes[0]).unwrap().network().unwrap().is_elsewhere());
        let options = SendOptions::new(TrafficClass::Critical);
        let sent = [1, 2, 3].map(|to| sim.send(nodes[0], nodes[to], 100, options, None));
        sim.run_for(5 * SECOND);
        assert!(sent.iter().all(|id| sim.message(*id).is_delivered()), "seed {seed}");
    }
}
