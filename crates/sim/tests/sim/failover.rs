use std::time::Duration;

use bitcraps_coordinator::{FailoverPolicy, Notice, SendOptions};
use bitcraps_sim::{Fault, LinkModel, Simulation, Way};
use bitcraps_types::{Kbps, Timestamp, TrafficClass, TransportType};
use bitcraps_wire::Frame;

/// Payload of every message here.
const LEN: usize = 100;
/// One policy for all classes, so that the link in use is known.
const FASTEST: Option<FailoverPolicy> = Some(FailoverPolicy::FastestFirst);
const FAST: Duration = Duration::from_millis(1);
const STANDBY: Duration = Duration::from_millis(3);
/// Floor of the retransmission timeout; a steady round trip of 2 ms lies below it.
const TIMEOUT: Duration = Duration::from_millis(10);

/// A link in use and a standby, measured for five seconds; the link in use turns into a black hole,
/// and one message leaves `after` that. When it arrived, counted from its `send`.
fn resume(class: TrafficClass, tick: Duration, phase: Duration, seed: u64) -> Duration {
    let mut sim = Simulation::new(seed);
    let a = sim.add_node_with(|setup| setup.tick = tick);
    let b = sim.add_node();
    let model = LinkModel::perfect(TransportType::WiFiDirect).rate(rate());
    let used = sim.add_link(a, b, model.latency(FAST));
    sim.add_link(a, b, model.latency(STANDBY));
    // One copy only: what is measured is the failover, not the second path.
    let options = SendOptions::new(class).max_copies(1);
    for i in 0..200 {
        let at = Timestamp::from_millis(1_000 + 20 * i);
        sim.send_at(at, a, b, LEN, options, FASTEST);
    }
    sim.run_until(Timestamp::from_millis(5_000) + phase);
    sim.fault(used, Way::Both, Fault::BlackHole(true));
    let sent = sim.now();
    let message = sim.send(a, b, LEN, options, FASTEST);
    assert!(sim.run_until_idle(Duration::from_secs(5)));
    sim.check_settled().unwrap();
    assert!(sim.message(message).is_delivered());
    let moved = |n: &&(Timestamp, Notice)| matches!(n.1, Notice::Failover { .. });
    assert_eq!(sim.notices(a).iter().filter(moved).count(), 1, "{class}");
    let payload = &sim.message(message).payload;
    let found = sim.app(b).delivered().iter();
    let record = found.rev().find(|d| d.delivery.payload == *payload);
    record.unwrap().at.since(sent)
}

fn rate() -> Kbps {
    Kbps::at_least_one(1_000_000)
}

#[test]
fn a_message_into_a_black_hole_is_on_the_standby_after_timeout_and_one_way() {
    let air = rate().air_time(LEN + Frame::DATA_OVERHEAD);
    // Written on the link in use, overdue there, written on the standby, on its way.
    let exactly = air + TIMEOUT + air + STANDBY;
    for class in [
        TrafficClass::Realtime,
        TrafficClass::Critical,
        TrafficClass::Background,
        TrafficClass::Bulk,
    ] {
        assert_eq!(resume(class, Duration::ZERO, Duration::ZERO, 3), exactly, "{class}");
    }
}

#[test]
fn a_timer_of_whole_milliseconds_costs_at_most_one() {
    let air = rate().air_time(LEN + Frame::DATA_OVERHEAD);
    let tick = Duration::from_millis(1);
    for tenths in 0..10 {
        let phase = Duration::from_micros(100 * tenths);
        let took = resume(TrafficClass::Critical, tick, phase, 4);
        let bound = TIMEOUT + STANDBY + tick + air;
        let least = TIMEOUT + STANDBY + air;
        assert!((least..=bound).contains(&took), "{took:?} at phase {phase:?}");
    }
}
