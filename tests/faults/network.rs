//! What goes wrong between nodes that share no link, and in what they tell of the network.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bitcraps_coordinator::SendOptions;
use bitcraps_engine::Engine;
use bitcraps_engine::monitor::{AlertKey, AlertKind, MonitorConfig, Subject};
use bitcraps_linkstate::forger::{Forger, body, quality};
use bitcraps_linkstate::{Config, Flag, alias_of};
use bitcraps_sim::{Fate, LinkModel, NodeId, NodeSetup, SimLink, Simulation, Way};
use bitcraps_types::{DownReason, Epoch, PeerId, TrafficClass};
use bitcraps_wire::{Body, Frame, HopAck, HopHeader, NO_DEADLINE};

use super::scene::{MS, SECOND, each_seed, frame, single};

fn relays(setup: &mut NodeSetup) {
    setup.network = Some(Config::new(Epoch(1)));
}

fn linked(
    seed: u64,
    count: usize,
    pairs: &[(usize, usize)],
) -> (Simulation, Vec<NodeId>, Vec<SimLink>) {
    let mut sim = Simulation::new(seed);
    let nodes: Vec<_> = (0..count).map(|_| sim.add_node_with(relays)).collect();
    let link = |(a, b): &(usize, usize)| sim.add_link(nodes[*a], nodes[*b], LinkModel::wifi());
    let links = pairs.iter().map(link).collect();
    sim.run_for(3 * SECOND);
    (sim, nodes, links)
}

/// The links that a node sees, and which of them it vouches for.
fn view(sim: &Simulation, node: NodeId) -> BTreeSet<(PeerId, PeerId, bool)> {
    let network = sim.engine(node).unwrap().network().unwrap();
    network.links().map(|link| (link.a, link.b, link.verified)).collect()
}

fn critical() -> SendOptions {
    SendOptions::new(TrafficClass::Critical).deadline(60 * SECOND)
}

#[test]
fn fault_24_false_link_state_changes_no_link_between_others() {
    each_seed(|seed| {
        let (mut sim, nodes, links) = linked(seed, 4, &[(0, 1), (1, 2), (2, 3), (3, 0)]);
        let watched = |engine: &mut Engine, now| engine.watch_health(MonitorConfig::default(), now);
        sim.with_engine(nodes[1], watched);
        let before = view(&sim, nodes[1]);
        assert_eq!(before.len(), 4);
        // Node 0 tells, beside the truth, of two who do not exist: that they are linked with each
        // other and with everybody, at no cost.
        let peers: Vec<PeerId> = nodes.iter().map(|node| sim.peer_id(*node)).collect();
        let invented = [Forger::new(900, 1), Forger::new(901, 1)];
        let free = quality(Duration::ZERO);
        let lies = invented.iter().enumerate().map(|(at, one)| {
            let mut links: Vec<_> = peers.iter().map(|peer| (*peer, free)).collect();
            links.push((invented[1 - at].id(), free));
            one.carried(one.record(1, 0, &links))
        });
        // And what nobody signed, of a link that is there.
        let mut unsigned = invented[0].record(9, 0, &[(peers[2], free)]);
        unsigned.version.alias = alias_of(&peers[3]);
        let lies: Vec<_> = lies.chain([invented[0].carried(unsigned)]).collect();
        let lie = body(lies);
        sim.rule(links[0], Way::From(nodes[0]), move |passing| match passing.decoded() {
            Some(Frame { header, body: Body::LinkState(_), .. }) => {
                let header = HopHeader { ttl: 1, deadline_ms: NO_DEADLINE, link_seq: 0, ..header };
                let body = Body::LinkState(lie.clone());
                let lie = Frame { header, hop_ack: None, route: None, body };
                Fate::Replace(vec![passing.frame.clone(), lie.encode()])
            }
            _ => Fate::Pass,
        });
        sim.run_for(10 * SECOND);
        let after = view(&sim, nodes[1]);
        let (a, b) = (invented[0].id(), invented[1].id());
        let (told, rest): (BTreeSet<_>, BTreeSet<_>) =
            after.into_iter().partition(|(x, y, _)| [a, b].contains(x) || [a, b].contains(y));
        assert_eq!(rest, before);
        assert_eq!(told, BTreeSet::from([(a.min(b), a.max(b), false)]), "of each other alone");
        let network = sim.engine(nodes[1]).unwrap().network().unwrap();
        assert!(network.metrics().forged > 0);
        assert!(network.flags(&peers[0]).count() > 0, "who passes on what nobody signed is named");
        let alerts = sim.engine(nodes[1]).unwrap().health().unwrap().monitor().alerts();
        let poisons = |peer: &PeerId| {
            let subject = Subject::Peer(*peer);
            alerts.fires(&AlertKey { kind: AlertKind::LinkStatePoisoning, subject })
        };
        let told: Vec<bool> = peers.iter().map(poisons).collect();
        assert_eq!(told, [true, false, false, false]);
        let ways = network.ways(&peers[3], 2);
        assert!(ways.iter().flatten().all(|peer| peers.contains(peer)), "{ways:?}");
    });
}

/// What a node finds wrong with the far end of a row of four that it talks to for five seconds. The
/// link in the middle is a tunnel that answers at once: it acknowledges, but takes that long to
/// carry what goes on from there.
fn far_end_flags(seed: u64, model: LinkModel, tunnel: Duration) -> Vec<Flag> {
    let mut sim = Simulation::new(seed);
    let nodes: Vec<_> = (0..4).map(|_| sim.add_node_with(relays)).collect();
    let row = nodes.windows(2).map(|ends| sim.add_link(ends[0], ends[1], model));
    let links: Vec<_> = row.collect();
    let held: Arc<Mutex<Vec<(NodeId, u32)>>> = Arc::default();
    let holds = Arc::clone(&held);
    sim.rule(links[1], Way::Both, move |passing| match passing.decoded() {
        Some(Frame { header, body: Body::Relayed(_), .. }) if !tunnel.is_zero() => {
            holds.lock().unwrap().push((passing.from, header.link_seq));
            Fate::Delay(tunnel)
        }
        _ => Fate::Pass,
    });
    sim.run_for(3 * SECOND);
    for step in 0..5_000 {
        if step % 100 == 0 {
            sim.send(nodes[0], nodes[3], 100, single(TrafficClass::Critical), None);
        }
        sim.run_for(MS);
        for (to, largest) in held.lock().unwrap().drain(..) {
            let ack = HopAck { link_tag: 0, largest, bitmap: u64::MAX, dwell_us: 0 };
            let ack = Frame { hop_ack: Some(ack), ..frame(0, Body::Empty) };
            assert!(sim.inject(links[1], to, ack.encode()));
        }
    }
    let network = sim.engine(nodes[0]).unwrap().network().unwrap();
    let mut others = nodes[..3].iter().flat_map(|node| network.flags(&sim.peer_id(*node)));
    assert_eq!(others.next(), None, "between honest nodes");
    network.flags(&sim.peer_id(nodes[3])).collect()
}

#[test]
fn fault_25_a_tunnel_that_makes_a_far_peer_look_near_is_flagged() {
    each_seed(|seed| {
        let near = LinkModel::wifi().jitter(Duration::ZERO);
        // Three links of 2 ms: eight times as much, and 250 ms, is what nobody wonders at.
        assert_eq!(far_end_flags(seed, near, 110 * MS), []);
        assert_eq!(far_end_flags(seed, near, 180 * MS), [Flag::TooNear]);
        assert_eq!(far_end_flags(seed, near.latency(70 * MS), Duration::ZERO), [], "far, as told");
    });
}

#[test]
fn fault_26_a_relay_that_drops_only_bets_is_left_for_the_other_way() {
    each_seed(|seed| {
        let (mut sim, nodes, links) = linked(seed, 4, &[(0, 1), (1, 3), (0, 2), (2, 3)]);
        let warm = sim.send(nodes[0], nodes[3], 20, critical(), None);
        assert!(sim.run_until_idle(5 * SECOND));
        assert!(sim.message(warm).is_delivered());
        // It cannot read what is a bet: it drops what is as long as one, and passes probes on.
        sim.rule(links[1], Way::From(nodes[1]), |passing| match passing.decoded() {
            Some(Frame { body: Body::Relayed(relayed), .. }) if relayed.payload.len() > 250 => {
                Fate::Drop
            }
            _ => Fate::Pass,
        });
        let mut bets = Vec::new();
        for _ in 0..100 {
            bets.push(sim.send(nodes[0], nodes[3], 300, critical(), None));
            sim.run_for(10 * MS);
        }
        assert!(sim.run_until_idle(20 * SECOND));
        assert!(bets.iter().all(|id| sim.message(*id).is_delivered()));
        sim.check_settled().unwrap();
    });
}

#[test]
fn fault_33_after_a_partition_views_and_outboxes_are_one_and_nothing_is_delivered_twice() {
    each_seed(|seed| {
        let row = [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)];
        let (mut sim, nodes, links) = linked(seed, 6, &row);
        let across = [(0, 5), (5, 0), (1, 4)];
        for (from, to) in across {
            let sent = sim.send(nodes[from], nodes[to], 50, critical(), None);
            assert!(sim.run_until_idle(5 * SECOND));
            assert!(sim.message(sent).is_delivered());
        }
        sim.take_down(links[2], DownReason::ClosedHere);
        sim.run_for(4 * SECOND);
        let mut waiting = Vec::new();
        for (from, to) in across {
            waiting.push(sim.send(nodes[from], nodes[to], 50, critical(), None));
        }
        // Each half changes on its own meanwhile.
        sim.take_down(links[0], DownReason::ClosedHere);
        sim.run_for(2 * SECOND);
        sim.bring_up(links[0]);
        sim.run_for(10 * SECOND);
        assert!(waiting.iter().all(|id| !sim.message(*id).is_delivered()));
        sim.bring_up(links[2]);
        assert!(sim.run_until_idle(20 * SECOND));
        assert!(waiting.iter().all(|id| sim.message(*id).is_delivered()));
        let ends = |node| -> BTreeSet<_> {
            view(&sim, node).into_iter().map(|(a, b, _)| (a, b)).collect()
        };
        assert!(nodes.iter().all(|node| ends(*node).len() == 5 && ends(*node) == ends(nodes[0])));
        sim.check_settled().unwrap();
    });
}
