use std::time::Duration;

use bitcraps_coordinator::SendOptions;
use bitcraps_sim::{Fault, LinkModel, NodeId, SendId, SimLink, Simulation, Way};
use bitcraps_types::{TrafficClass, TransportType};

const SECOND: Duration = Duration::from_secs(1);

fn two_links(seed: u64) -> (Simulation, NodeId, NodeId, [SimLink; 2]) {
    let mut sim = Simulation::new(seed);
    let (a, b) = (sim.add_node(), sim.add_node());
    let fast = LinkModel::perfect(TransportType::WiFiDirect);
    let slow = fast.latency(Duration::from_millis(4));
    let links = [sim.add_link(a, b, fast), sim.add_link(a, b, slow)];
    sim.run_for(SECOND);
    (sim, a, b, links)
}

fn one_of_each(sim: &mut Simulation, a: NodeId, b: NodeId) -> Vec<SendId> {
    let mut sent = Vec::new();
    for class in TrafficClass::ALL {
        for (from, to) in [(a, b), (b, a)] {
            for len in [8, 200, 1_337, 1_338, 70_000] {
                let options = SendOptions::new(class).deadline(Duration::from_secs(20));
                sent.push(sim.send(from, to, len, options, None));
            }
        }
    }
    sent
}

#[test]
fn messages_of_every_class_and_size_arrive() {
    let (mut sim, a, b, _) = two_links(1);
    let sent = one_of_each(&mut sim, a, b);
    assert!(sim.run_until_idle(20 * SECOND));
    sim.check_settled().unwrap();
    for id in sent {
        assert!(sim.message(id).is_delivered(), "{:?}", sim.message(id));
    }
}

#[test]
fn a_black_hole_of_the_link_in_use_loses_nothing() {
    let (mut sim, a, b, [fast, _]) = two_links(2);
    sim.fault(fast, Way::Both, Fault::BlackHole(true));
    let sent = one_of_each(&mut sim, a, b);
    assert!(sim.run_until_idle(20 * SECOND));
    sim.check_settled().unwrap();
    for id in sent {
        assert!(sim.message(id).is_delivered(), "{:?}", sim.message(id));
    }
}
