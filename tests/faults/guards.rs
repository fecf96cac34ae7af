//! What the scenarios' verdicts are worth: without the part of the product that guards it, each
//! finds what it looks for.

use bitcraps_coordinator::{Config, Outcome, SendOptions};
use bitcraps_sim::{Fault, LinkModel, Message, Simulation, Violation, Way};
use bitcraps_types::{TrafficClass, TransportType};

use super::scene::{MS, SECOND, each_seed, settle};

/// Bets over two lossy links, of which the one in use turns into a black hole.
fn bets(seed: u64, change: impl Fn(&mut Config)) -> Simulation {
    let mut sim = Simulation::new(seed);
    let [a, b] = [(); 2].map(|()| sim.add_node_with(|setup| change(&mut setup.config)));
    let model = LinkModel::perfect(TransportType::WiFiDirect).loss(0.1);
    let links = [model, model.latency(3 * MS)].map(|model| sim.add_link(a, b, model));
    sim.run_for(2 * SECOND);
    let from = sim.now();
    let options = SendOptions::new(TrafficClass::Critical).deadline(5 * SECOND).max_copies(1);
    for i in 0..500 {
        sim.send_at(from + 10 * MS * i, a, b, 100, options, None);
    }
    sim.at(from + 2 * SECOND, move |sim| {
        let busiest = links.into_iter().max_by_key(|link| sim.lane_stats(*link, a).bytes).unwrap();
        sim.fault(busiest, Way::Both, Fault::BlackHole(true));
    });
    assert!(sim.run_until_idle(60 * SECOND));
    sim
}

fn lost(sim: &Simulation) -> usize {
    let lost = |message: &&Message| matches!(message.outcome, Some((_, Outcome::Unknown { .. })));
    sim.messages().iter().filter(lost).count()
}

#[test]
fn with_everything_switched_on_nothing_is_lost_and_nothing_comes_twice() {
    each_seed(|seed| {
        let mut sim = bets(seed, |_| ());
        settle(&mut sim);
        assert!(sim.messages().iter().all(Message::is_delivered));
    });
}

#[test]
fn without_deduplication_messages_come_twice() {
    each_seed(|seed| {
        let sim = bets(seed, |config| config.deduplicate = false);
        let found = sim.check().unwrap_err().0;
        let twice = |v: &&Violation| matches!(v, Violation::Twice { .. });
        assert!(found.iter().filter(twice).count() > 10);
    });
}

#[test]
fn without_failover_messages_are_lost() {
    each_seed(|seed| {
        let sim = bets(seed, |config| config.auto_failover = false);
        assert!(lost(&sim) > 100, "{} lost", lost(&sim));
    });
}

#[test]
fn without_resending_messages_are_lost() {
    each_seed(|seed| {
        let sim = bets(seed, |config| config.resend = false);
        assert!(lost(&sim) > 20, "{} lost", lost(&sim));
    });
}
