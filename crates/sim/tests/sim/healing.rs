//! Networks that heal themselves: production engines that know of peers which they are not linked with.

use std::collections::BTreeSet;
use std::time::Duration;

use bitcraps_coordinator::SendOptions;
use bitcraps_engine::monitor::{
    AlertKind, HealingConfig, HealingMode, HealingPolicy, HealthIssue, MonitorConfig, Outcome,
};
use bitcraps_engine::{DialerConfig, Engine};
use bitcraps_linkstate::Config;
use bitcraps_sim::{Death, LinkModel, NodeId, NodeSetup, Return, SimLink, Simulation};
use bitcraps_types::{Epoch, HintSource, PeerId, Ratio, Timestamp, TrafficClass};

const SECOND: Duration = Duration::from_secs(1);
/// A risk that a single relay is above, and two ways are not.
const RISKY: f64 = 0.05;

fn thrifty(setup: &mut NodeSetup) {
    setup.network = Some(Config::new(Epoch(1)));
    setup.dialer = DialerConfig { dial_discovered: false, ..DialerConfig::default() };
}

fn watched(engine: &mut Engine, now: Timestamp) {
    let partition_risk_alert_threshold = Ratio::clamped(RISKY);
    let health_check_interval = SECOND;
    let config = MonitorConfig {
        partition_risk_alert_threshold,
        health_check_interval,
        ..MonitorConfig::default()
    };
    engine.watch_health(config, now);
}

fn healing(mode: HealingMode) -> HealingConfig {
    let mut policies = HealingConfig::default().policies;
    policies.iter_mut().for_each(|policy| policy.links = 0);
    policies[HealthIssue::HighPartitionRisk.index()] =
        HealingPolicy { threshold: RISKY, links: 64 };
    HealingConfig { policies, mode, ..HealingConfig::default() }
}

/// Two groups of three, joined by a relay; every pair across has found each other.
struct Barbell {
    sim: Simulation,
    nodes: Vec<NodeId>,
    spare: Vec<SimLink>,
}

fn barbell(seed: u64, mode: Option<HealingMode>) -> Barbell {
    let mut sim = Simulation::new(seed);
    let nodes: Vec<NodeId> = (0..7).map(|_| sim.add_node_with(thrifty)).collect();
    for (a, b) in [(0, 1), (1, 2), (0, 2), (3, 4), (4, 5), (3, 5), (2, 6), (3, 6)] {
        sim.add_link(nodes[a], nodes[b], LinkModel::wifi());
    }
    let mut spare = Vec::new();
    for a in 0..3 {
        for b in 3..6 {
            let link = sim.add_link_down(nodes[a], nodes[b], [LinkModel::wifi(); 2]);
            for end in [a, b] {
                sim.discover(link, nodes[end], HintSource::Beacon);
            }
            spare.push(link);
        }
    }
    for node in &nodes {
        sim.with_engine(*node, |engine, now| {
            watched(engine, now);
            if let Some(mode) = mode {
                engine.heal(healing(mode), now);
            }
        });
    }
    Barbell { sim, nodes, spare }
}

impl Barbell {
    /// Spare links that are up.
    fn made(&self) -> usize {
        let up = |link: &&SimLink| {
            let ends = self.sim.ends(**link);
            ends.iter().all(|end| self.sim.link_id(**link, *end).is_some())
        };
        self.spare.iter().filter(up).count()
    }

    fn alerted(&self) -> bool {
        self.nodes[..6].iter().any(|node| {
            let health = self.sim.engine(*node).unwrap().health().unwrap();
            let alerts = health.monitor().alerts().active(self.sim.clock(*node));
            alerts.iter().any(|alert| alert.key.kind == AlertKind::PartitionRisk)
        })
    }

    /// Peers that the first node can reach as it sees the network.
    fn reached(&self) -> BTreeSet<PeerId> {
        let engine = self.sim.engine(self.nodes[0]).unwrap();
        let network = engine.network().unwrap();
        let others = self.nodes[1..].iter().map(|node| self.sim.peer_id(*node));
        others.filter(|peer| !network.ways(peer, 1).is_empty()).collect()
    }
}

#[test]
fn a_barbell_heals_before_its_relay_is_lost_and_by_one_link() {
    for seed in 1..=10 {
        let mut barbell = barbell(seed, Some(HealingMode::Forecast));
        let mut alerted = None;
        let mut healed = None;
        for _ in 0..3_000 {
            barbell.sim.run_for(Duration::from_millis(10));
            let now = barbell.sim.now();
            if alerted.is_none() && barbell.alerted() {
                alerted = Some(now);
            }
            if healed.is_none() && barbell.made() > 0 {
                healed = Some(now);
            }
        }
        let (alerted, healed) = (alerted.unwrap(), healed.unwrap());
        assert!(healed.since(alerted) <= 2 * SECOND, "seed {seed}: {:?}", healed.since(alerted));
        assert_eq!(barbell.made(), 1, "seed {seed}: more links than are needed");
        let repairs: Vec<_> = barbell
            .nodes
            .iter()
            .flat_map(|node| {
                barbell.sim.engine(*node).unwrap().healing().unwrap().healer().repairs()
            })
            .copied()
            .collect();
        assert_eq!(repairs.len(), 1, "seed {seed}: one owner");
        assert_eq!((repairs[0].outcome, repairs[0].measured), (Outcome::Linked, Some(0.0)));
        barbell.sim.kill(barbell.nodes[6], Death::Silent);
        barbell.sim.run_for(10 * SECOND);
        let all: BTreeSet<PeerId> =
            barbell.nodes[1..6].iter().map(|node| barbell.sim.peer_id(*node)).collect();
        assert_eq!(barbell.reached(), all, "seed {seed}: split");
    }
}

#[test]
fn healing_does_without_those_who_offer_links_and_make_none() {
    // Alone, or with the word of the others' ends.
    for (seed, believed) in (1..=10).flat_map(|seed| [(seed, false), (seed, true)]) {
        let mut barbell = barbell(seed, Some(HealingMode::Forecast));
        let liars: Vec<NodeId> = (0..3).map(|_| barbell.sim.add_node_with(thrifty)).collect();
        for liar in liars {
            for near in 0..3 {
                barbell.sim.add_link(liar, barbell.nodes[near], LinkModel::wifi());
            }
            for far in 3..6 {
                let far = barbell.nodes[far];
                let link = barbell.sim.add_link_down(liar, far, [LinkModel::wifi(); 2]);
                barbell.sim.discover(link, liar, HintSource::Beacon);
                if believed {
                    barbell.sim.discover(link, far, HintSource::Beacon);
                }
            }
            barbell.sim.with_engine(liar, |engine, now| {
                watched(engine, now);
                let policies = [HealingPolicy { threshold: 1.0, links: 0 }; HealthIssue::COUNT];
                engine.heal(HealingConfig { policies, ..HealingConfig::default() }, now);
            });
        }
        // Alone, they hold up nobody.
        barbell.sim.run_for(if believed { 90 } else { 12 } * SECOND);
        assert!(believed || barbell.made() == 1, "seed {seed}: {}", barbell.made());
        barbell.sim.kill(barbell.nodes[6], Death::Silent);
        barbell.sim.run_for(10 * SECOND);
        let all: BTreeSet<PeerId> =
            barbell.nodes[1..6].iter().map(|node| barbell.sim.peer_id(*node)).collect();
        assert_eq!(barbell.reached(), all, "seed {seed}, {believed}: split");
    }
}

#[test]
fn without_healing_or_before_the_split_nothing_is_made() {
    for mode in [None, Some(HealingMode::Reactive)] {
        let mut barbell = barbell(1, mode);
        barbell.sim.run_for(30 * SECOND);
        assert_eq!(barbell.made(), 0, "{mode:?}");
        barbell.sim.kill(barbell.nodes[6], Death::Silent);
        barbell.sim.run_for(20 * SECOND);
        assert_eq!(barbell.made(), usize::from(mode.is_some()), "{mode:?}");
        assert_eq!(barbell.reached().len(), if mode.is_some() { 5 } else { 2 }, "{mode:?}");
    }
}

#[test]
fn a_peer_that_cannot_be_linked_after_all_is_planned_round() {
    let mut barbell = barbell(3, Some(HealingMode::Forecast));
    // All spare links but one lead nowhere: frames do not pass them.
    let whole = barbell.spare[4];
    for link in barbell.spare.clone().into_iter().filter(|link| *link != whole) {
        barbell.sim.fault(link, bitcraps_sim::Way::Both, bitcraps_sim::Fault::BlackHole(true));
    }
    barbell.sim.run_for(Duration::from_secs(240));
    assert_eq!(barbell.made(), 1);
}

#[test]
fn after_a_partition_healing_makes_nothing_worse() {
    // Foresight makes a second link when the first is the only one that is left.
    let (reactive, forecast) = (Some(HealingMode::Reactive), Some(HealingMode::Forecast));
    for (mode, made) in [(None, 0), (reactive, 1), (forecast, 2)] {
        let mut barbell = barbell(5, mode);
        barbell.sim.run_for(5 * SECOND);
        let (first, last) = (barbell.nodes[0], barbell.nodes[5]);
        let bet = |sim: &mut Simulation, from, to| {
            let options = SendOptions::new(TrafficClass::Critical).deadline(120 * SECOND);
            sim.send(from, to, 100, options, None)
        };
        let warm = bet(&mut barbell.sim, first, last);
        barbell.sim.run_for(5 * SECOND);
        assert!(barbell.sim.message(warm).is_delivered(), "{mode:?}");
        barbell.sim.kill(barbell.nodes[6], Death::Silent);
        barbell.sim.run_for(3 * SECOND);
        let waiting = [bet(&mut barbell.sim, first, last), bet(&mut barbell.sim, last, first)];
        barbell.sim.run_for(15 * SECOND);
        let delivered = waiting.iter().all(|id| barbell.sim.message(*id).is_delivered());
        assert_eq!(delivered, mode.is_some(), "{mode:?}");
        // The relay comes back: the network is whole again, with or without what was made.
        barbell.sim.restart(barbell.nodes[6], Return::NewLinks);
        assert!(barbell.sim.run_until_idle(60 * SECOND), "{mode:?}");
        assert!(waiting.iter().all(|id| barbell.sim.message(*id).is_delivered()), "{mode:?}");
        assert_eq!(barbell.made(), made, "{mode:?}");
        // Each once: nothing delivered twice, nothing left.
        barbell.sim.check_settled().unwrap();
    }
}

#[test]
fn a_game_needs_no_healing_and_keeps_within_the_limits_of_the_radio() {
    let game = |max_neighbours: Option<[u32; 3]>| {
        let mut barbell = barbell(2, None);
        let (asked, host) = (barbell.nodes[4], barbell.sim.peer_id(barbell.nodes[0]));
        barbell.sim.run_for(5 * SECOND);
        let game = barbell.sim.with_engine(asked, |engine, now| {
            if let Some(max_neighbours) = max_neighbours {
                let config =
                    HealingConfig { acts: false, max_neighbours, ..healing(HealingMode::Forecast) };
                engine.heal(config, now);
            }
            engine.optimize_for_gaming(&host, now)
        });
        barbell.sim.run_for(5 * SECOND);
        (game.unwrap().unwrap().asked, barbell.made())
    };
    assert_eq!(game(None), (1, 1));
    // Two links are there.
    assert_eq!(game(Some([3; 3])), (1, 1));
    assert_eq!(game(Some([2; 3])), (0, 0));
}
