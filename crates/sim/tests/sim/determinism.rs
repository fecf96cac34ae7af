use std::process::Command;
use std::time::Duration;

use bitcraps_coordinator::SendOptions;
use bitcraps_sim::{Death, Fault, LinkModel, NodeId, Return, Simulation, Way};
use bitcraps_types::{Ratio, Timestamp, TrafficClass};

/// A ring in which each node is linked to its six nearest, over radios of every kind, with the
/// traffic of a game at every node: dice, bets, chat and state.
fn ring(seed: u64, nodes: u32, seconds: u64) -> Simulation {
    let mut sim = Simulation::new(seed);
    let ids: Vec<NodeId> = (0..nodes).map(|_| sim.add_node()).collect();
    let models = [LinkModel::wifi(), LinkModel::bluetooth_le(), LinkModel::internet()];
    let mut rng = fastrand::Rng::with_seed(seed);
    for i in 0..ids.len() {
        for step in 1..=3 {
            let other = ids[(i + step) % ids.len()];
            sim.add_link(ids[i], other, models[rng.usize(..models.len())]);
        }
    }
    let begin = Timestamp::from_millis(500);
    let traffic = [
        (TrafficClass::Realtime, 500, 64),
        (TrafficClass::Critical, 1_000, 200),
        (TrafficClass::Background, 3_333, 300),
        (TrafficClass::Bulk, 2_000, 4_000),
    ];
    for (i, from) in ids.iter().enumerate() {
        for (class, every_ms, len) in traffic {
            let mut at = begin + Duration::from_millis(rng.u64(..every_ms));
            while at < Timestamp::from_millis(seconds * 1_000) {
                let to = ids[(i + rng.usize(1..=3)) % ids.len()];
                sim.send_at(at, *from, to, len, SendOptions::new(class), None);
                at += Duration::from_millis(every_ms);
            }
        }
    }
    sim
}

/// What a short and eventful course comes to.
fn course(seed: u64) -> (u64, u64) {
    let mut sim = ring(seed, 12, 5);
    let links: Vec<_> = sim.links().collect();
    let nodes: Vec<_> = sim.nodes().collect();
    for (i, link) in links.iter().enumerate() {
        let at = Timestamp::from_millis(1_000 + 37 * i as u64);
        let fault = match i % 3 {
            0 => Fault::BlackHole(true),
            1 => Fault::Hang(true),
            _ => Fault::Loss(Ratio::new(0.2).unwrap()),
        };
        sim.fault_at(at, *link, Way::Both, fault);
        let link = *link;
        sim.at(at + Duration::from_millis(800), move |sim| sim.heal(link));
    }
    let victim = nodes[5];
    sim.at(Timestamp::from_millis(2_500), move |sim| sim.kill(victim, Death::Silent));
    sim.at(Timestamp::from_millis(3_500), move |sim| sim.restart(victim, Return::NewLinks));
    sim.run_until(Timestamp::from_millis(6_000));
    sim.check().unwrap();
    (sim.trace_hash(), sim.events())
}

#[test]
fn one_seed_gives_one_course() {
    let first = course(1);
    assert_eq!(first, course(1));
    assert!(first.1 > 4_000, "{} events", first.1);
}

#[test]
fn another_seed_gives_another_course() {
    let hashes: std::collections::BTreeSet<u64> = (1..=5).map(|seed| course(seed).0).collect();
    assert_eq!(hashes.len(), 5);
}

#[test]
fn the_hash_tells_courses_apart_that_differ_in_one_message() {
    let hash = |len: usize| {
        let mut sim = ring(3, 4, 2);
        let nodes: Vec<_> = sim.nodes().collect();
        let options = SendOptions::new(TrafficClass::Critical);
        sim.send_at(Timestamp::from_millis(900), nodes[0], nodes[1], len, options, None);
        sim.run_until(Timestamp::from_millis(2_000));
        sim.trace_hash()
    };
    assert_ne!(hash(100), hash(101));
    assert_eq!(hash(100), hash(100));
}

/// Set in the process that [`two_processes_agree`] starts of itself.
const IN_ANOTHER_PROCESS: &str = "BITCRAPS_SIM_PRINTS_ITS_COURSE";

#[test]
#[expect(clippy::print_stdout, reason = "the other process's output is its result")]
fn two_processes_agree() {
    if std::env::var_os(IN_ANOTHER_PROCESS).is_some() {
        println!("course {:?}", course(9));
        return;
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "determinism::two_processes_agree", "--nocapture"])
        .env(IN_ANOTHER_PROCESS, "1")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let expected = format!("course {:?}", course(9));
    assert!(text.lines().any(|line| line.ends_with(&expected)), "{text}");
}

#[test]
#[expect(clippy::print_stdout, clippy::disallowed_methods, reason = "states how long it took")]
fn a_hundred_nodes_live_a_minute_in_a_third_of_one() {
    let mut sim = ring(100, 100, 60);
    let begin = std::time::Instant::now();
    sim.run_until(Timestamp::from_millis(60_000));
    let took = begin.elapsed();
    println!(
        "100 nodes, 60 s: {took:?}, {} events, {} messages",
        sim.events(),
        sim.messages().len()
    );
    sim.check().unwrap();
    let settled = sim.messages().iter().filter(|m| m.is_delivered()).count();
    assert!(settled * 100 > sim.messages().len() * 98, "{settled}");
    assert!(took < Duration::from_secs(20), "{took:?}");
}
