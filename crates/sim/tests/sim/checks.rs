use std::time::Duration;

use bitcraps_coordinator::{Config, Outcome, SendOptions};
use bitcraps_sim::{Fault, LinkModel, NodeId, SimLink, Simulation, Violation, Violations, Way};
use bitcraps_types::{AckLevel, HintSource, Ratio, Timestamp, TrafficClass, TransportType};

const SECOND: Duration = Duration::from_secs(1);

fn pair(seed: u64, change: impl Fn(&mut Config)) -> (Simulation, NodeId, NodeId, [SimLink; 2]) {
    let mut sim = Simulation::new(seed);
    let a = sim.add_node_with(|setup| change(&mut setup.config));
    let b = sim.add_node_with(|setup| change(&mut setup.config));
    let model = LinkModel::perfect(TransportType::WiFiDirect);
    let links = [1, 2].map(|ms| sim.add_link(a, b, model.latency(Duration::from_millis(ms))));
    sim.run_for(SECOND);
    (sim, a, b, links)
}

fn traffic(sim: &mut Simulation, a: NodeId, b: NodeId) {
    for i in 0..200 {
        let at = sim.now() + Duration::from_millis(5 * i);
        let class = TrafficClass::ALL[i as usize % 4];
        sim.send_at(at, a, b, 100, SendOptions::new(class), None);
    }
}

#[test]
fn without_recognition_of_repeats_the_check_fails() {
    for deduplicate in [true, false] {
        let (mut sim, a, b, links) = pair(1, |config| config.deduplicate = deduplicate);
        for link in links {
            sim.fault(link, Way::Both, Fault::Duplication(Ratio::clamped(0.5)));
        }
        traffic(&mut sim, a, b);
        sim.run_until_idle(10 * SECOND);
        let found = sim.check_settled().err().map_or_else(Vec::new, |Violations(found)| found);
        let twice = found.iter().filter(|v| matches!(v, Violation::Twice { .. })).count();
        let same = found.iter().filter(|v| matches!(v, Violation::SameIdentity { .. })).count();
        assert_eq!(twice > 0 && same > 0, !deduplicate, "{found:?}");
        assert_eq!(found.is_empty(), deduplicate, "{found:?}");
    }
}

#[test]
fn without_resending_messages_are_lost() {
    for resend in [true, false] {
        let (mut sim, a, b, links) = pair(2, |config| config.resend = resend);
        for link in links {
            sim.fault(link, Way::Both, Fault::Loss(Ratio::clamped(0.3)));
        }
        traffic(&mut sim, a, b);
        sim.run_until_idle(400 * SECOND);
        sim.check_settled().unwrap();
        let critical = |m: &&bitcraps_sim::Message| m.options.class == TrafficClass::Critical;
        let lost = sim.messages().iter().filter(critical).filter(|m| !m.is_delivered()).count();
        assert_eq!(lost == 0, resend, "{lost}");
    }
}

#[test]
fn a_message_without_outcome_is_found() {
    let (mut sim, a, b, links) = pair(3, |_| ());
    for link in links {
        sim.fault(link, Way::Both, Fault::BlackHole(true));
    }
    let id = sim.send(a, b, 100, SendOptions::new(TrafficClass::Critical), None);
    sim.run_for(SECOND);
    sim.check().unwrap();
    let open = Violations(vec![Violation::NoOutcome(id)]);
    assert_eq!(sim.check_settled(), Err(open));
    assert!(!sim.run_until_idle(SECOND));
    assert!(sim.run_until_idle(300 * SECOND));
    sim.check_settled().unwrap();
    assert!(matches!(sim.message(id).outcome, Some((_, Outcome::Unknown { .. }))));
}

#[test]
fn a_frame_made_up_is_found_in_the_application() {
    let (mut sim, a, b, [link, _]) = pair(4, |_| ());
    sim.record(link, a);
    sim.send(a, b, 100, SendOptions::new(TrafficClass::Critical).max_copies(1), None);
    sim.run_until_idle(SECOND);
    sim.check_settled().unwrap();
    let recorded = sim.recorded(link, a);
    let frame = recorded.iter().rev().find_map(|r| {
        let mut frame = bitcraps_wire::Frame::decode(r.frame.clone()).ok()?;
        match &mut frame.body {
            bitcraps_wire::Body::Data(data) => {
                data.sequence += 1;
                Some(frame.encode())
            }
            _ => None,
        }
    });
    assert!(sim.inject(link, b, frame.unwrap()));
    let Err(Violations(found)) = sim.check() else {
        panic!("a second message with the first one's payload went unnoticed");
    };
    assert!(matches!(found.as_slice(), [Violation::Twice { got: 2, sent: 1, .. }]), "{found:?}");
}

#[test]
fn engines_dial_what_they_discover_and_keep_dialling() {
    let mut sim = Simulation::new(5);
    let (a, b) = (sim.add_node(), sim.add_node());
    let model = LinkModel::perfect(TransportType::WiFiDirect);
    let link = sim.add_link_down(a, b, [model; 2]);
    sim.fault(link, Way::Both, Fault::BlackHole(true));
    sim.discover(link, a, HintSource::Static);
    sim.discover(link, b, HintSource::Static);
    sim.run_for(10 * SECOND);
    assert_eq!(sim.link_id(link, a), None);
    let id = sim.send(a, b, 100, SendOptions::new(TrafficClass::Critical), None);
    sim.heal(link);
    assert!(sim.run_until_idle(60 * SECOND));
    assert!(sim.message(id).is_delivered());
    // The link goes, and comes again by itself.
    sim.take_down(link, bitcraps_types::DownReason::TimedOut);
    let before = sim.link_id(link, a);
    sim.run_for(10 * SECOND);
    assert!(before.is_none() && sim.link_id(link, a).is_some());
}

#[test]
fn clocks_that_differ_change_nothing() {
    let course = |clock: Timestamp| {
        let mut sim = Simulation::new(6);
        let a = sim.add_node_with(|setup| setup.clock = clock);
        let b = sim.add_node();
        let link = sim.add_link(a, b, LinkModel::wifi());
        sim.run_for(SECOND);
        let applied = SendOptions::new(TrafficClass::Critical).ack(AckLevel::Applied);
        sim.send(a, b, 5_000, applied, None);
        sim.send(b, a, 5_000, applied, None);
        sim.run_for(SECOND);
        sim.check_settled().unwrap();
        (sim.events(), sim.lane_stats(link, a), sim.lane_stats(link, b))
    };
    assert_eq!(course(Timestamp::ZERO), course(Timestamp::from_millis(86_400_000)));
}
