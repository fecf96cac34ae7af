//! Time that does not pass as it should.

use bitcraps_coordinator::{Outcome, SendOptions, bounds};
use bitcraps_sim::{Fault, LinkModel, Message, Simulation, StoreModel, Way};
use bitcraps_types::{DownReason, Timestamp, TrafficClass};

use super::scene::{MS, Pair, SECOND, data_sent, each_seed, settle, single};

/// Traffic over two links of which one turns silent; the nodes' clocks begin at `clocks`. How every
/// message ended, and when, in the simulation's own time.
fn course(seed: u64, clocks: [Timestamp; 2]) -> Vec<Message> {
    let mut sim = Simulation::new(seed);
    let [a, b] = clocks.map(|clock| sim.add_node_with(|setup| setup.clock = clock));
    let used = sim.add_link(a, b, LinkModel::wifi());
    sim.add_link(a, b, LinkModel::bluetooth_le());
    for i in 0..1_000 {
        let at = Timestamp::from_millis(1_000) + 10 * MS * i;
        let class = TrafficClass::ALL[i as usize % TrafficClass::COUNT];
        sim.send_at(at, a, b, 100 + i as usize, single(class), None);
    }
    sim.fault_at(Timestamp::from_millis(5_000), used, Way::Both, Fault::BlackHole(true));
    sim.fault_at(Timestamp::from_millis(8_000), used, Way::Both, Fault::BlackHole(false));
    sim.run_for(12 * SECOND);
    settle(&mut sim);
    sim.messages().to_vec()
}

/// Everything runs on a clock that nobody can set; what it shows at the start, and how far two
/// nodes' clocks are apart, changes nothing. (That nothing else is read is held by the lints.)
#[test]
fn fault_09_clocks_an_hour_or_a_year_apart_change_nothing() {
    let hour = Timestamp::ZERO + 3_600 * SECOND;
    let year = Timestamp::ZERO + 365 * 24 * 3_600 * SECOND;
    each_seed(|seed| {
        let usual = course(seed, [hour, hour]);
        for clocks in [[hour, year], [year, hour]] {
            let moved = course(seed, clocks);
            for (usual, moved) in usual.iter().zip(&moved) {
                assert_eq!(usual, moved);
            }
        }
    });
}

/// A machine sleeps for ten minutes with messages on their way. Those whose time is up end at once,
/// each once and before anything is sent; nothing leaves in a burst; new ones go as ever.
#[test]
fn fault_10_a_suspend_of_ten_minutes() {
    each_seed(|seed| {
        let mut pair = Pair::new(seed, LinkModel::wifi(), LinkModel::bluetooth_le());
        let (a, used) = (pair.a, pair.used);
        pair.sim.fault(used, Way::Both, Fault::BlackHole(true));
        pair.sim.fault(pair.standby, Way::Both, Fault::BlackHole(true));
        let old: Vec<_> = TrafficClass::ALL
            .iter()
            .flat_map(|class| pair.stream(5, MS, 100, single(*class)))
            .collect();
        let lasting =
            SendOptions::new(TrafficClass::Critical).max_copies(1).deadline(3_600 * SECOND);
        let lasting = pair.stream(5, MS, 200, lasting);
        pair.sim.run_for(20 * MS);
        pair.sim.suspend(a, 600 * SECOND);
        for link in [used, pair.standby] {
            pair.sim.fault(link, Way::Both, Fault::BlackHole(false));
        }
        let wakes = pair.sim.now() + 600 * SECOND;
        pair.sim.run_until(wakes - MS);
        pair.sim.record(used, a);
        pair.sim.record(pair.standby, a);
        pair.sim.run_until(wakes + 100 * MS);
        for id in &old {
            let (at, outcome) = pair.sim.message(*id).outcome.clone().unwrap();
            assert_eq!(at, wakes, "told when it wakes");
            assert!(matches!(outcome, Outcome::Unknown { .. } | Outcome::Expired { .. }));
        }
        let sent: Vec<_> =
            [used, pair.standby].iter().flat_map(|link| data_sent(&pair.sim, *link, a)).collect();
        assert!(sent.iter().all(|data| data.total == 200), "nothing that is worth nothing leaves");
        assert!(sent.len() <= 3 * lasting.len(), "{} frames at once", sent.len());
        let new = pair.stream(20, 10 * MS, 100, single(TrafficClass::Realtime));
        pair.settle();
        assert!(lasting.iter().all(|id| pair.sim.message(*id).is_delivered()));
        let late = new.iter().filter(|id| !pair.sim.message(**id).is_delivered()).count();
        assert!(late <= 2, "{late} of {} after the wake-up", new.len());
    });
}

/// Thousands of timers are due when a machine wakes up: each call serves a bounded number of them,
/// and all are served.
#[test]
fn fault_11_a_timer_storm_after_resume() {
    let mut sim = Simulation::new(1);
    let [a, b] = [(); 2].map(|()| sim.add_node_with(|setup| setup.store = Some(StoreModel::DISK)));
    let link = sim.add_link(a, b, LinkModel::wifi());
    sim.run_for(SECOND);
    sim.take_down(link, DownReason::Failed("gone".to_owned()));
    sim.run_for(SECOND);
    let mut sent = Vec::new();
    for class in TrafficClass::ALL {
        let options = SendOptions::new(class).deadline(30 * SECOND);
        sent.extend((0..12_000).map(|_| sim.send(a, b, 10, options, None)));
    }
    sim.suspend(a, 600 * SECOND);
    sim.run_for(599 * SECOND);
    let waiting = |sim: &Simulation| sim.core(a).unwrap().unsettled();
    let (mut before, mut most) = (waiting(&sim), 0);
    assert_eq!(before, 48_000);
    while before > 0 {
        assert!(sim.step(), "nothing happens any more");
        let now = waiting(&sim);
        most = most.max(before - now);
        before = now;
    }
    // Timers, and as many more that stood in the queues.
    assert!(most <= 2 * bounds::TIMERS_PER_TURN, "{most} at once");
    assert!(most >= bounds::TIMERS_PER_TURN / 2, "{most}: no storm");
    settle(&mut sim);
    let expired = |id: &&_| matches!(sim.message(**id).outcome, Some((_, Outcome::Expired { .. })));
    assert_eq!(sent.iter().filter(expired).count(), 48_000);
}
