//! One peer, one link or one driver misbehaves; everybody else is as well off as without it.

use std::time::Duration;

use bitcraps_coordinator::{Outcome, SendError, SendOptions, bounds};
use bitcraps_sim::{Fault, Fortune, LinkModel, NodeId, Refusal, SendId, SimLink, Simulation, Way};
use bitcraps_types::{DownReason, HintSource, Kbps, TrafficClass, TransportType};

use super::scene::{MS, SECOND, confirmed, each_seed, settle, single, transit};

fn wifi() -> LinkModel {
    LinkModel::perfect(TransportType::WiFiDirect)
}

/// `a` speaks with `b`, who is in trouble, and with `c`, who is not.
struct Three {
    sim: Simulation,
    a: NodeId,
    b: NodeId,
    c: NodeId,
    trouble: SimLink,
}

impl Three {
    fn new(seed: u64) -> Self {
        let mut sim = Simulation::new(seed);
        let [a, b, c] = std::array::from_fn(|_| sim.add_node());
        let trouble = sim.add_link(a, b, wifi());
        sim.add_link(a, c, wifi());
        sim.run_for(2 * SECOND);
        Self { sim, a, b, c, trouble }
    }

    /// Traffic of all classes to `c` for 30 s, the first now.
    fn control(&mut self) -> Vec<SendId> {
        let from = self.sim.now();
        let mut sent = Vec::new();
        for i in 0..3_000 {
            let class = TrafficClass::ALL[i % TrafficClass::COUNT];
            let at = from + 10 * MS * i as u32;
            sent.push(self.sim.send_at(at, self.a, self.c, 100, single(class), None));
        }
        sent
    }

    /// How long each of them took.
    fn transits(&self, sent: &[SendId]) -> Vec<Duration> {
        sent.iter().map(|id| transit(&self.sim, *id).unwrap()).collect()
    }
}

/// What `c`'s traffic takes while `b` is in no trouble.
fn undisturbed(seed: u64) -> Vec<Duration> {
    let mut three = Three::new(seed);
    let sent = three.control();
    settle(&mut three.sim);
    three.transits(&sent)
}

/// Holds `c`'s traffic against what it takes without trouble: the same but for a probe that left
/// just before a message, because chance is shared by all links of a node.
fn assert_undisturbed(three: &Three, sent: &[SendId], seed: u64) {
    let probe = wifi().rate.air_time(64);
    let took = three.transits(sent);
    for (took, usual) in took.iter().zip(undisturbed(seed)) {
        assert!(took.abs_diff(usual) <= probe, "{took:?} instead of {usual:?}");
    }
}

#[test]
fn fault_06_a_peer_that_reads_one_byte_a_second_costs_its_own_share() {
    const MIB: usize = 1 << 20;
    each_seed(|seed| {
        let mut three = Three::new(seed);
        let (a, b, trouble) = (three.a, three.b, three.trouble);
        let way = Way::From(a);
        // One byte a millisecond, for a millisecond in each second.
        three.sim.fault(trouble, way, Fault::Rate(Kbps::at_least_one(8)));
        three.sim.fault(trouble, way, Fault::Hang(true));
        let from = three.sim.now();
        for second in 0..60 {
            three.sim.fault_at(from + SECOND * second, trouble, way, Fault::Hang(false));
            three.sim.fault_at(from + SECOND * second + MS, trouble, way, Fault::Hang(true));
        }
        let sent = three.control();
        let options = SendOptions::new(TrafficClass::Bulk);
        let flood: Vec<SendId> =
            (0..100).map(|_| three.sim.send(a, b, MIB, options, None)).collect();
        let taken = bounds::QUEUE_BYTES / MIB;
        let fortunes: Vec<Fortune> =
            flood.iter().map(|id| three.sim.message(*id).fortune).collect();
        assert!(fortunes[..taken].iter().all(|f| matches!(f, Fortune::Taken(_))));
        let full = SendError::QueueFull {
            class: TrafficClass::Bulk,
            messages: taken,
            bytes: bounds::QUEUE_BYTES,
        };
        assert!(fortunes[taken..].iter().all(|f| *f == Fortune::Refused(full)));
        // Another class of the same peer is not refused for it.
        let options = SendOptions::new(TrafficClass::Critical).deadline(20 * SECOND);
        let bet = three.sim.send(a, b, 100, options, None);
        assert!(matches!(three.sim.message(bet).fortune, Fortune::Taken(_)));
        settle(&mut three.sim);
        assert_undisturbed(&three, &sent, seed);
        for id in &flood[..taken] {
            let outcome = &three.sim.message(*id).outcome.as_ref().unwrap().1;
            assert!(matches!(outcome, Outcome::Unknown { .. } | Outcome::Expired { .. }));
        }
    });
}

#[test]
fn fault_07_a_driver_that_blocks_for_30_s_delays_only_its_own_link() {
    each_seed(|seed| {
        let mut three = Three::new(seed);
        let (a, b) = (three.a, three.b);
        let bluetooth = LinkModel::perfect(TransportType::Bluetooth).latency(20 * MS);
        three.sim.add_link(a, b, bluetooth);
        three.sim.run_for(2 * SECOND);
        three.sim.fault(three.trouble, Way::Both, Fault::Hang(true));
        let from = three.sim.now();
        three.sim.fault_at(from + 30 * SECOND, three.trouble, Way::Both, Fault::Hang(false));
        let sent = three.control();
        let moved: Vec<SendId> = (0..3_000)
            .map(|i| {
                let options = single(TrafficClass::Critical);
                three.sim.send_at(from + 10 * MS * i, a, b, 100, options, None)
            })
            .collect();
        settle(&mut three.sim);
        assert_undisturbed(&three, &sent, seed);
        // The peer in trouble is reached over its other link, within the driver's patience.
        let slowest = moved.iter().map(|id| confirmed(&three.sim, *id).1).max().unwrap();
        assert!(slowest < 200 * MS, "{slowest:?}");
        // What waited in the driver left in the end, and was recognised.
        three.sim.run_for(SECOND);
        settle(&mut three.sim);
    });
}

#[test]
fn fault_08_a_dead_driver_is_dialled_again_with_back_off_and_its_messages_move_on() {
    each_seed(|seed| {
        let mut three = Three::new(seed);
        let (a, b, trouble) = (three.a, three.b, three.trouble);
        let bluetooth = LinkModel::perfect(TransportType::Bluetooth).latency(20 * MS);
        let other = three.sim.add_link(a, b, bluetooth);
        three.sim.discover(trouble, a, HintSource::Static);
        three.sim.run_for(2 * SECOND);
        // Frames wait in the driver when it dies.
        three.sim.fault(trouble, Way::Both, Fault::Hang(true));
        let options = single(TrafficClass::Critical);
        let sent: Vec<SendId> = (0..50).map(|_| three.sim.send(a, b, 100, options, None)).collect();
        three.sim.run_for(5 * MS);
        let died = three.sim.now();
        three.sim.take_down(trouble, DownReason::Failed("its task ended".to_owned()));
        three.sim.fault(trouble, Way::Both, Fault::Refuse(Some(Refusal::Closed)));
        three.sim.run_for(SECOND);
        for id in &sent {
            assert_eq!(confirmed(&three.sim, *id).0, 2, "moved once");
            let at = three.sim.message(*id).outcome.as_ref().unwrap().0;
            assert!(at.since(died) < 100 * MS, "at once, no timeout: {:?}", at.since(died));
        }
        // The dials end 5 s after they begin; the waits between them double.
        let mut ends = Vec::new();
        for _ in 0..12_000 {
            three.sim.run_for(10 * MS);
            let now = three.sim.clock(a);
            let targets = three.sim.engine(a).unwrap().targets(now);
            let failures = targets[0].failures as usize;
            ends.extend((ends.len()..failures).map(|_| three.sim.now()));
        }
        let timeout = Duration::from_secs(5);
        for (n, pair) in ends.windows(2).enumerate() {
            let wait = pair[1].since(pair[0]).saturating_sub(timeout);
            let wanted = SECOND * (1 << n.min(6)).min(60);
            let bounds = wanted.mul_f64(0.75) - 20 * MS..wanted.mul_f64(1.25) + 20 * MS;
            assert!(bounds.contains(&wait), "wait {n} took {wait:?}");
        }
        assert!((6..=8).contains(&ends.len()), "{} dials in two minutes", ends.len());
        // With no link left nothing is lost in silence either.
        three.sim.take_down(other, DownReason::Failed("its task ended".to_owned()));
        three.sim.run_for(MS);
        let options = options.deadline(2 * SECOND);
        let stuck = three.sim.send(a, b, 100, options, None);
        three.sim.run_for(3 * SECOND);
        let outcome = &three.sim.message(stuck).outcome.as_ref().unwrap().1;
        assert_eq!(*outcome, Outcome::Expired { tried: Vec::new() });
        // It comes back when a driver answers again.
        three.sim.heal(trouble);
        three.sim.run_for(100 * SECOND);
        assert!(three.sim.link_id(trouble, a).is_some());
        let again = three.sim.send(a, b, 100, single(TrafficClass::Critical), None);
        settle(&mut three.sim);
        assert_eq!(confirmed(&three.sim, again).0, 1);
    });
}

#[test]
fn fault_57_a_write_that_never_completes_costs_its_own_peer_only() {
    each_seed(|seed| {
        let mut three = Three::new(seed);
        let (a, b) = (three.a, three.b);
        three.sim.fault(three.trouble, Way::From(a), Fault::Hang(true));
        let sent = three.control();
        let deadline = 10 * SECOND;
        let stuck: Vec<SendId> = TrafficClass::ALL
            .into_iter()
            .cycle()
            .take(100)
            .map(|class| three.sim.send(a, b, 1_000, single(class).deadline(deadline), None))
            .collect();
        settle(&mut three.sim);
        assert_undisturbed(&three, &sent, seed);
        for id in stuck {
            let message = three.sim.message(id);
            let (at, outcome) = message.outcome.as_ref().unwrap();
            assert_eq!(at.since(message.at), deadline, "its own timer");
            // What never left the class queue certainly was not delivered; what a driver holds may
            // still come.
            assert!(matches!(outcome, Outcome::Unknown { .. } | Outcome::Expired { .. }));
        }
        // Two milliseconds at the nominal rate, two frames for what cannot wait, and probes.
        let most = wifi().rate.get() as usize * 2 / 8 + 4 * wifi().max_frame;
        let held = three.sim.lane_stats(three.trouble, a).peak_bytes;
        assert!(held <= most, "{held} bytes were left to a driver that writes nothing");
    });
}
