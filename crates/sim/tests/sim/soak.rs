use std::time::Duration;

use bitcraps_coordinator::SendOptions;
use bitcraps_sim::{
    App, Death, Fate, Fault, LinkModel, NodeId, Pace, Refusal, Return, SimLink, Simulation,
    Verdict, Way,
};
use bitcraps_types::{AckLevel, Kbps, Ratio, Timestamp, TrafficClass, TransportType};

/// Worlds that are played; each takes about 10 ms.
const WORLDS: u64 = 200;
/// Faults end by then, and everything gets a chance.
const QUIET: Timestamp = Timestamp::from_millis(20_000);

fn model(rng: &mut fastrand::Rng) -> LinkModel {
    let model = match rng.u8(..4) {
        0 => LinkModel::wifi(),
        1 => LinkModel::bluetooth_le(),
        2 => LinkModel::internet(),
        _ => LinkModel::perfect(TransportType::WiFiDirect),
    };
    if rng.bool() { model.reordering() } else { model }
}

fn fault(rng: &mut fastrand::Rng) -> Fault {
    let share = Ratio::clamped(rng.f64() * 0.5);
    let pause = Duration::from_millis(rng.u64(1..300));
    match rng.u8(..12) {
        0..=2 => Fault::BlackHole(true),
        3 => Fault::Hang(true),
        4 => Fault::Refuse(Some(Refusal::Closed)),
        5 => Fault::Refuse(Some(Refusal::Full)),
        6 => Fault::DropLarger(Some(rng.usize(100..1_400))),
        7 => Fault::Loss(share),
        8 => Fault::Duplication(share),
        9 => Fault::Latency(pause),
        10 => Fault::Jitter(pause),
        _ => Fault::Rate(Kbps::at_least_one(rng.u32(5..2_000))),
    }
}

struct World {
    sim: Simulation,
    nodes: Vec<NodeId>,
    links: Vec<SimLink>,
    /// Nodes that die on the way: what concerns them may end unknown.
    mortal: Vec<NodeId>,
}

/// A few nodes of every temper, links of every kind, traffic of every class, and trouble.
fn world(seed: u64) -> World {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut sim = Simulation::new(seed);
    let nodes: Vec<NodeId> = (0..rng.usize(2..5))
        .map(|_| {
            let tick = Duration::from_millis(rng.u64(0..2));
            let clock = Timestamp::from_millis(rng.u64(..1 << 30));
            let slow = rng.u8(..4) == 0;
            let (energy_aware, hedging) = (rng.bool(), rng.bool());
            sim.add_node_with(|setup| {
                (setup.tick, setup.clock) = (tick, clock);
                (setup.config.energy_aware, setup.config.hedging) = (energy_aware, hedging);
                if slow {
                    let pace = Pace::Every(Duration::from_millis(5));
                    let verdict = Verdict::AppliesAfter(Duration::from_millis(30));
                    setup.app = App::default().room(16).pace(pace).verdict(verdict);
                }
            })
        })
        .collect();
    let mut links = Vec::new();
    for i in 0..nodes.len() {
        for j in 0..i {
            for _ in 0..rng.usize(1..4) {
                links.push(sim.add_link(nodes[i], nodes[j], model(&mut rng)));
            }
        }
    }
    let mut mortal = Vec::new();
    if rng.u8(..3) == 0 {
        let victim = nodes[rng.usize(..nodes.len())];
        let death = if rng.bool() { Death::Told } else { Death::Silent };
        let way = if rng.bool() { Return::NewLinks } else { Return::SameLinks };
        let at = Timestamp::from_millis(rng.u64(3_000..12_000));
        sim.at(at, move |sim| sim.kill(victim, death));
        let back = at + Duration::from_millis(rng.u64(1..4_000));
        sim.at(back, move |sim| sim.restart(victim, way));
        mortal.push(victim);
    }
    let mut world = World { sim, nodes, links, mortal };
    world.trouble(&mut rng);
    world.traffic(&mut rng);
    world
}

impl World {
    fn trouble(&mut self, rng: &mut fastrand::Rng) {
        for _ in 0..rng.usize(..30) {
            let link = self.links[rng.usize(..self.links.len())];
            let at = Timestamp::from_millis(rng.u64(1_000..17_000));
            let end = self.sim.ends(link)[rng.usize(..2)];
            let way = if rng.bool() { Way::Both } else { Way::From(end) };
            let length = Duration::from_millis(rng.u64(1..3_000));
            match rng.u8(..11) {
                10 => {
                    self.sim.at(at, move |sim| sim.detach(end));
                    self.sim.at(at + length, move |sim| sim.attach(end));
                }
                0 => {
                    let pause = Duration::from_millis(rng.u64(10..200));
                    let silent = rng.bool();
                    self.sim.at(at, move |sim| sim.flap(link, [pause; 2], 6, silent));
                }
                1 => self.sim.at(at, move |sim| sim.suspend(end, length)),
                2 => {
                    self.sim.at(at, move |sim| {
                        sim.rule(link, way, move |passing| match passing.bears_ack() {
                            true => Fate::Drop,
                            false => Fate::Pass,
                        });
                    });
                }
                3 => {
                    let mut dice = fastrand::Rng::with_seed(rng.u64(..));
                    self.sim.at(at, move |sim| {
                        sim.rule(link, way, move |_| match dice.u8(..8) {
                            0 => Fate::Delay(length),
                            _ => Fate::Pass,
                        });
                    });
                }
                _ => {
                    let fault = fault(rng);
                    self.sim.fault_at(at, link, way, fault);
                    self.sim.at(at + length, move |sim| sim.heal(link));
                }
            }
        }
        for link in self.links.clone() {
            self.sim.at(QUIET, move |sim| {
                sim.heal(link);
                sim.bring_up(link);
            });
        }
    }

    fn traffic(&mut self, rng: &mut fastrand::Rng) {
        for _ in 0..rng.usize(100..800) {
            let from = rng.usize(..self.nodes.len());
            let to = (from + rng.usize(1..self.nodes.len())) % self.nodes.len();
            let class = TrafficClass::ALL[rng.usize(..4)];
            let at = Timestamp::from_millis(rng.u64(1_000..18_000));
            let len = match rng.u8(..10) {
                0 => rng.usize(8..20_000),
                1 => rng.usize(1_200..1_500),
                _ => rng.usize(8..300),
            };
            let mut options = SendOptions::new(class).max_copies(rng.u8(1..4));
            options = match rng.u8(..10) {
                0 => options.ordered_by(rng.u64(..3)),
                1 => options.conflated_by(rng.u64(..3)),
                2 => options.ack(AckLevel::Applied),
                3 => options.ack(AckLevel::Accepted),
                4 => options.deadline(Duration::from_millis(rng.u64(1..500))),
                _ => options,
            };
            let id = self.sim.send_at(at, self.nodes[from], self.nodes[to], len, options, None);
            if rng.u8(..20) == 0 {
                let later = at + Duration::from_millis(rng.u64(..50));
                self.sim.at(later, move |sim| sim.cancel(id));
            }
        }
    }
}

/// Plays [`WORLDS`] worlds, or as many as `BITCRAPS_SOAK_WORLDS` says.
#[test]
fn no_world_breaks_a_promise() {
    let range = match std::env::var("BITCRAPS_SOAK_WORLDS").ok().and_then(|n| n.parse().ok()) {
        Some(worlds) => 0..worlds,
        None => 0..WORLDS,
    };
    for seed in range {
        let mut world = world(seed);
        world.sim.run_until(QUIET);
        world.sim.run_until_idle(Duration::from_secs(400));
        world.sim.check_settled().unwrap_or_else(|broken| panic!("world {seed}: {broken}"));
        let kept = |m: &&bitcraps_sim::Message| {
            m.options.class == TrafficClass::Critical
                && m.options.deadline > Duration::from_secs(100)
                && m.options.conflate.is_none()
                && !world.mortal.contains(&m.to)
                && !world.mortal.contains(&m.from)
        };
        for message in world.sim.messages().iter().filter(kept) {
            let fine = matches!(
                message.outcome,
                Some((_, bitcraps_coordinator::Outcome::Delivered { .. }))
                    | Some((_, bitcraps_coordinator::Outcome::Sent { .. }))
            );
            let cancelled = message
                .outcome
                .as_ref()
                .is_some_and(|(at, _)| at.since(message.at) <= Duration::from_millis(50));
            assert!(fine || cancelled, "world {seed}: {message:?}");
        }
    }
}
