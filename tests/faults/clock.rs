//! Time that does not pass as it should.

use bitcraps_sim::{Fault, LinkModel, Message, Simulation, Way};
use bitcraps_types::{Timestamp, TrafficClass};

use super::scene::{MS, SECOND, each_seed, settle, single};

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
