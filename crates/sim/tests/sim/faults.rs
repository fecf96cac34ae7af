use std::time::Duration;

use bitcraps_coordinator::{Notice, Outcome, SendOptions};
use bitcraps_sim::{
    App, Death, Fate, Fault, LinkModel, NodeId, Pace, Payload, Refusal, Return, SendId, SimLink,
    Simulation, Verdict, Violation, Violations, Way,
};
use bitcraps_types::{AckLevel, Kbps, Ratio, Timestamp, TrafficClass, TransportType};
use bytes::Bytes;

const SECOND: Duration = Duration::from_secs(1);
const MILLI: Duration = Duration::from_millis(1);

struct Stage {
    sim: Simulation,
    a: NodeId,
    b: NodeId,
    fast: SimLink,
    slow: SimLink,
}

/// Two links, 1 and 4 ms, measured for a second.
fn stage(seed: u64) -> Stage {
    let mut sim = Simulation::new(seed);
    let (a, b) = (sim.add_node(), sim.add_node());
    let model = LinkModel::perfect(TransportType::WiFiDirect);
    let fast = sim.add_link(a, b, model);
    let slow = sim.add_link(a, b, model.latency(4 * MILLI));
    sim.run_for(SECOND);
    Stage { sim, a, b, fast, slow }
}

fn options(class: TrafficClass) -> SendOptions {
    SendOptions::new(class).deadline(30 * SECOND)
}

impl Stage {
    /// A message of each class every 5 ms for a while.
    fn traffic(&mut self, len: usize, times: u64) -> Vec<SendId> {
        let begin = self.sim.now();
        let mut sent = Vec::new();
        for i in 0..times {
            for class in TrafficClass::ALL {
                let at = begin + 5 * MILLI * i as u32;
                sent.push(self.sim.send_at(at, self.a, self.b, len, options(class), None));
            }
        }
        sent
    }

    fn all_delivered(&mut self, sent: &[SendId]) {
        assert!(self.sim.run_until_idle(40 * SECOND), "messages without outcome");
        self.sim.check_settled().unwrap();
        for id in sent {
            assert!(self.sim.message(*id).is_delivered(), "{id:?}: {:?}", self.sim.message(*id));
        }
    }

    fn slowest(&self, sent: &[SendId]) -> Duration {
        let latency = |id: &SendId| match &self.sim.message(*id).outcome {
            Some((_, Outcome::Delivered { latency, .. })) => *latency,
            other => panic!("{id:?}: {other:?}"),
        };
        sent.iter().map(latency).max().unwrap_or_default()
    }
}

#[test]
fn a_one_way_black_hole_loses_nothing() {
    for from_sender in [true, false] {
        let mut stage = stage(11);
        let end = if from_sender { stage.a } else { stage.b };
        stage.sim.fault(stage.fast, Way::From(end), Fault::BlackHole(true));
        let sent = stage.traffic(100, 100);
        stage.all_delivered(&sent);
    }
}

#[test]
fn a_hung_driver_holds_no_message_for_long() {
    let mut stage = stage(12);
    stage.sim.fault(stage.fast, Way::Both, Fault::Hang(true));
    let sent = stage.traffic(100, 200);
    stage.all_delivered(&sent);
    assert!(stage.slowest(&sent) < 150 * MILLI, "{:?}", stage.slowest(&sent));
    let stats = stage.sim.lane_stats(stage.fast, stage.a);
    assert_eq!(stats.arrived, before_the_hang(12));
}

fn before_the_hang(seed: u64) -> u64 {
    let stage = stage(seed);
    stage.sim.lane_stats(stage.fast, stage.a).arrived
}

#[test]
fn a_driver_that_refuses_costs_nothing() {
    for refusal in [Refusal::Closed, Refusal::Full] {
        let mut stage = stage(13);
        stage.sim.fault(stage.fast, Way::Both, Fault::Refuse(Some(refusal)));
        let sent = stage.traffic(100, 50);
        stage.all_delivered(&sent);
        // One way over the standby and back, and the turn of a queue.
        assert!(stage.slowest(&sent) < 20 * MILLI, "{refusal:?}: {:?}", stage.slowest(&sent));
        stage.sim.fault(stage.fast, Way::Both, Fault::Refuse(None));
        let sent = stage.traffic(100, 50);
        stage.all_delivered(&sent);
    }
}

#[test]
fn a_message_in_parts_outlives_drivers_that_all_refuse() {
    for refusal in [Refusal::Closed, Refusal::Full] {
        let mut stage = stage(13);
        for link in [stage.fast, stage.slow] {
            stage.sim.fault(link, Way::From(stage.a), Fault::Refuse(Some(refusal)));
        }
        let sent = stage.traffic(12_000, 3);
        stage.sim.run_for(300 * MILLI);
        assert!(sent.iter().all(|id| !stage.sim.message(*id).is_settled()));
        stage.sim.heal(stage.slow);
        stage.all_delivered(&sent);
    }
}

#[test]
fn flaps_told_and_silent_lose_nothing() {
    for silent in [false, true] {
        let mut stage = stage(14);
        stage.sim.flap(stage.fast, [50 * MILLI; 2], 30, silent);
        let sent = stage.traffic(100, 600);
        stage.all_delivered(&sent);
    }
}

#[test]
fn large_frames_that_vanish_find_another_way() {
    let mut stage = stage(15);
    stage.sim.fault(stage.fast, Way::Both, Fault::DropLarger(Some(600)));
    let sent = [stage.traffic(1_300, 50), stage.traffic(5_000, 50), stage.traffic(50, 50)].concat();
    stage.all_delivered(&sent);
}

#[test]
fn loss_duplication_and_reordering_alter_nothing() {
    let mut stage = stage(16);
    for link in [stage.fast, stage.slow] {
        let share = |p| Ratio::new(p).unwrap();
        stage.sim.fault(link, Way::Both, Fault::Loss(share(0.1)));
        stage.sim.fault(link, Way::Both, Fault::Duplication(share(0.2)));
        stage.sim.fault(link, Way::Both, Fault::Jitter(30 * MILLI));
        stage.sim.fault(link, Way::Both, Fault::Reorder(true));
    }
    let sent = [stage.traffic(100, 100), stage.traffic(4_000, 20)].concat();
    assert!(stage.sim.run_until_idle(60 * SECOND));
    stage.sim.check_settled().unwrap();
    let delivered = sent.iter().filter(|id| stage.sim.message(**id).is_delivered()).count();
    assert!(delivered * 100 >= sent.len() * 99, "{delivered} of {}", sent.len());
    assert!(stage.sim.core(stage.b).unwrap().counters().duplicates > 0);
}

#[test]
fn damage_that_no_link_noticed_is_noticed_by_the_check_and_survived() {
    let mut stage = stage(30);
    for link in [stage.fast, stage.slow] {
        stage.sim.fault(link, Way::Both, Fault::Corruption(Ratio::new(0.05).unwrap()));
    }
    stage.traffic(100, 200);
    stage.sim.run_until_idle(60 * SECOND);
    let Err(Violations(found)) = stage.sim.check() else {
        panic!("altered payloads went unnoticed");
    };
    assert!(found.iter().any(|v| matches!(v, Violation::NeverSent { .. })));
    assert!(!found.contains(&Violation::Stuck));
    assert!(stage.sim.core(stage.b).unwrap().counters().undecodable > 0);
}

#[test]
fn lost_acks_deliver_nothing_twice() {
    let mut stage = stage(17);
    stage.sim.rule(stage.fast, Way::From(stage.b), |passing| match passing.bears_ack() {
        true => Fate::Drop,
        false => Fate::Pass,
    });
    let sent = stage.traffic(100, 200);
    stage.all_delivered(&sent);
    stage.sim.clear_rules(stage.fast, Way::Both);
    let sent = stage.traffic(100, 20);
    stage.all_delivered(&sent);
}

#[test]
fn a_frame_that_comes_half_a_minute_late_is_no_second_message() {
    let mut stage = stage(18);
    let mut first = true;
    stage.sim.rule(stage.fast, Way::From(stage.a), move |passing| {
        match passing.bears_data() && std::mem::take(&mut first) {
            true => Fate::Delay(30 * SECOND),
            false => Fate::Pass,
        }
    });
    let sent = stage.traffic(100, 1);
    stage.all_delivered(&sent);
    let before = stage.sim.core(stage.b).unwrap().counters();
    stage.sim.run_for(40 * SECOND);
    stage.sim.check_settled().unwrap();
    let after = stage.sim.core(stage.b).unwrap().counters();
    let refused = |c: bitcraps_coordinator::Counters| c.duplicates + c.too_old;
    assert_eq!(refused(after) - refused(before), 1);
}

#[test]
fn recorded_frames_played_again_deliver_nothing() {
    let mut stage = stage(19);
    stage.sim.record(stage.fast, stage.a);
    let sent = stage.traffic(100, 50);
    stage.all_delivered(&sent);
    let frames: Vec<Bytes> =
        stage.sim.recorded(stage.fast, stage.a).iter().map(|r| r.frame.clone()).collect();
    assert!(frames.len() > 100, "{}", frames.len());
    let handed = stage.sim.app(stage.b).delivered().len();
    for link in [stage.fast, stage.slow] {
        for frame in &frames {
            assert!(stage.sim.inject(link, stage.b, frame.clone()));
        }
    }
    stage.sim.run_for(SECOND);
    assert_eq!(stage.sim.app(stage.b).delivered().len(), handed);
    // A new incarnation of the receiver refuses them all.
    stage.sim.kill(stage.b, Death::Told);
    stage.sim.restart(stage.b, Return::NewLinks);
    stage.sim.run_for(SECOND);
    for frame in &frames {
        stage.sim.inject(stage.fast, stage.b, frame.clone());
    }
    stage.sim.run_for(SECOND);
    assert_eq!(stage.sim.app(stage.b).delivered().len(), handed);
    stage.sim.check_settled().unwrap();
}

#[test]
fn garbage_is_counted() {
    let mut stage = stage(20);
    let before = stage.sim.core(stage.b).unwrap().counters().undecodable;
    for len in 0..200 {
        stage.sim.inject(stage.fast, stage.b, Bytes::from(vec![0xA5; len]));
    }
    let after = stage.sim.core(stage.b).unwrap().counters().undecodable;
    assert_eq!(after - before, 200);
}

#[test]
fn what_was_on_its_way_to_a_node_that_dies_ends_unknown_and_the_rest_goes_on() {
    for (death, way) in [
        (Death::Told, Return::NewLinks),
        (Death::Silent, Return::NewLinks),
        (Death::Silent, Return::SameLinks),
    ] {
        let mut stage = stage(21);
        let (a, b) = (stage.a, stage.b);
        let sent = stage.traffic(100, 400);
        stage.sim.at(stage.sim.now() + 500 * MILLI, move |sim| sim.kill(b, death));
        stage.sim.at(stage.sim.now() + 1_000 * MILLI, move |sim| sim.restart(b, way));
        assert!(stage.sim.run_until_idle(40 * SECOND), "{death:?} {way:?}");
        stage.sim.check_settled().unwrap();
        let restarted =
            stage.sim.notices(a).iter().any(|(_, notice)| {
                matches!(notice, Notice::PeerIncarnation { restarted: true, .. })
            });
        assert!(restarted, "{death:?} {way:?}");
        let at = |id: &&SendId| stage.sim.message(**id).at;
        let late: Vec<_> =
            sent.iter().filter(|id| at(id) > Timestamp::from_millis(2_200)).copied().collect();
        assert!(!late.is_empty());
        for id in late {
            assert!(stage.sim.message(id).is_delivered(), "{death:?} {way:?} {id:?}");
        }
    }
}

#[test]
fn a_sender_that_dies_orphans_its_messages() {
    let mut stage = stage(22);
    stage.sim.fault(stage.fast, Way::Both, Fault::BlackHole(true));
    stage.sim.fault(stage.slow, Way::Both, Fault::BlackHole(true));
    let sent = stage.traffic(100, 2);
    stage.sim.run_for(10 * MILLI);
    stage.sim.kill(stage.a, Death::Silent);
    assert!(stage.sim.run_until_idle(SECOND));
    assert!(sent.iter().all(|id| stage.sim.message(*id).orphaned));
    stage.sim.check_settled().unwrap();
}

#[test]
fn a_node_that_sleeps_settles_what_expired_before_it_sends() {
    let mut stage = stage(23);
    stage.sim.fault(stage.fast, Way::Both, Fault::BlackHole(true));
    stage.sim.fault(stage.slow, Way::Both, Fault::BlackHole(true));
    let sent = stage.traffic(100, 10);
    stage.sim.run_for(100 * MILLI);
    stage.sim.suspend(stage.a, 600 * SECOND);
    stage.sim.run_for(599 * SECOND);
    let open =
        |stage: &Stage| sent.iter().filter(|id| !stage.sim.message(**id).is_settled()).count();
    assert_eq!(open(&stage), 40);
    stage.sim.run_for(SECOND);
    assert_eq!(open(&stage), 0);
    stage.sim.check_settled().unwrap();
    let frames = stage.sim.lane_stats(stage.fast, stage.a).frames;
    stage.sim.heal(stage.fast);
    stage.sim.heal(stage.slow);
    stage.sim.run_for(SECOND);
    let burst = stage.sim.lane_stats(stage.fast, stage.a).frames - frames;
    assert!(burst < 60, "{burst} frames in the first second");
    let sent = stage.traffic(100, 10);
    stage.all_delivered(&sent);
}

#[test]
fn an_application_that_is_absent_gets_its_messages_when_it_comes() {
    let mut sim = Simulation::new(24);
    let a = sim.add_node();
    let b = sim.add_node_with(|setup| setup.app = App::default().absent());
    sim.add_link(a, b, LinkModel::perfect(TransportType::WiFiDirect));
    sim.run_for(SECOND);
    let sent = [100, 10_000].map(|len| sim.send(a, b, len, options(TrafficClass::Critical), None));
    sim.run_for(5 * SECOND);
    assert!(sim.app(b).delivered().is_empty());
    assert!(sent.iter().all(|id| !sim.message(*id).is_settled()));
    sim.attach(b);
    assert!(sim.run_until_idle(10 * SECOND));
    sim.check_settled().unwrap();
    assert!(sent.iter().all(|id| sim.message(*id).is_delivered()));
}

#[test]
fn a_slow_application_bounds_its_inbox() {
    let mut sim = Simulation::new(25);
    let a = sim.add_node();
    let app = App::default().room(4).pace(Pace::Every(20 * MILLI));
    let b = sim.add_node_with(|setup| setup.app = app);
    sim.add_link(a, b, LinkModel::perfect(TransportType::WiFiDirect));
    sim.run_for(SECOND);
    for _ in 0..50 {
        sim.send(a, b, 100, options(TrafficClass::Critical), None);
    }
    assert!(sim.run_until_idle(30 * SECOND));
    sim.check_settled().unwrap();
    assert_eq!(sim.app(b).delivered().len(), 50);
    assert_eq!(sim.app(b).peak_inbox(), 4);
}

#[test]
fn a_verdict_is_the_outcome() {
    for (verdict, len) in [
        (Verdict::Applies, 100),
        (Verdict::AppliesAfter(300 * MILLI), 100),
        (Verdict::AppliesAfter(300 * MILLI), 9_000),
        (Verdict::Refuses, 100),
        (Verdict::Silent, 100),
    ] {
        let mut sim = Simulation::new(26);
        let a = sim.add_node();
        let b = sim.add_node_with(|setup| setup.app = App::default().verdict(verdict));
        sim.add_link(a, b, LinkModel::perfect(TransportType::WiFiDirect));
        sim.run_for(SECOND);
        let options = options(TrafficClass::Critical).ack(AckLevel::Applied).deadline(2 * SECOND);
        let id = sim.send(a, b, len, options, None);
        assert!(sim.run_until_idle(5 * SECOND));
        sim.check_settled().unwrap();
        let (_, outcome) = sim.message(id).outcome.clone().unwrap();
        let fits = match verdict {
            Verdict::Applies => {
                matches!(outcome, Outcome::Delivered { level: AckLevel::Applied, latency, .. }
                    if latency < 5 * MILLI)
            }
            Verdict::AppliesAfter(pause) => {
                matches!(outcome, Outcome::Delivered { level: AckLevel::Applied, latency, .. }
                    if latency >= pause && latency < pause + 5 * MILLI)
            }
            Verdict::Refuses => matches!(outcome, Outcome::Rejected { .. }),
            Verdict::Silent => matches!(outcome, Outcome::Unknown { .. }),
        };
        assert!(fits, "{verdict:?} {len}: {outcome:?}");
    }
}

#[test]
fn an_application_that_comes_late_may_still_answer() {
    let mut sim = Simulation::new(27);
    let a = sim.add_node();
    let b = sim.add_node_with(|setup| setup.app = App::default().absent());
    sim.add_link(a, b, LinkModel::perfect(TransportType::WiFiDirect));
    sim.run_for(SECOND);
    let applied = options(TrafficClass::Critical).ack(AckLevel::Applied);
    let sent = [100, 9_000].map(|len| sim.send(a, b, len, applied, None));
    sim.run_for(500 * MILLI);
    sim.attach(b);
    sim.run_until_idle(40 * SECOND);
    sim.check_settled().unwrap();
    for id in sent {
        assert!(sim.message(id).is_delivered(), "{:?}", sim.message(id).outcome);
    }
}

#[test]
fn an_empty_payload_is_delivered_each_time() {
    let mut stage = stage(28);
    let empty = Payload::from(Bytes::new());
    let options = options(TrafficClass::Bulk);
    for _ in 0..3 {
        stage.sim.send(stage.a, stage.b, empty.clone(), options, None);
    }
    stage.sim.run_until_idle(SECOND);
    stage.sim.check_settled().unwrap();
    assert_eq!(stage.sim.app(stage.b).delivered().len(), 3);
}

#[test]
fn a_full_queue_is_never_exceeded() {
    let mut sim = Simulation::new(29);
    let (a, b) = (sim.add_node(), sim.add_node());
    let model = LinkModel::bluetooth_le().rate(Kbps::at_least_one(100)).queue_bytes(2_000);
    let link = sim.add_link(a, b, model);
    sim.run_for(SECOND);
    for class in TrafficClass::ALL {
        for _ in 0..20 {
            sim.send(a, b, 1_000, options(class), None);
        }
    }
    sim.run_until_idle(60 * SECOND);
    sim.check_settled().unwrap();
    let stats = sim.lane_stats(link, a);
    assert!(stats.peak_bytes <= 2_000, "{}", stats.peak_bytes);
}
