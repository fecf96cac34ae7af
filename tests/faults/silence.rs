//! Links that take frames and do not deliver them, or not all of them.

use std::time::Duration;

use bitcraps_coordinator::{LinkChange, Outcome, SendOptions, Tier};
use bitcraps_sim::{Fate, Fault, LinkModel, Simulation, Way};
use bitcraps_types::{TrafficClass, TransportType};
use bitcraps_wire::Frame;

use super::scene::{MS, Pair, SECOND, carrier, confirmed, each_seed, settle, single, transit};

/// Payload of most messages here.
const LEN: usize = 100;
/// Floor of the retransmission timeout of Wi-Fi; round trips here lie below it.
const TIMEOUT: Duration = Duration::from_millis(10);
const FAST: Duration = Duration::from_millis(1);
const SLOW: Duration = Duration::from_millis(3);

fn wifi() -> LinkModel {
    LinkModel::perfect(TransportType::WiFiDirect).latency(FAST)
}

fn pair(seed: u64) -> Pair {
    Pair::new(seed, wifi(), wifi().latency(SLOW))
}

fn wifi_and_bluetooth(seed: u64) -> Pair {
    Pair::new(seed, wifi(), LinkModel::perfect(TransportType::Bluetooth).latency(20 * MS))
}

#[test]
fn fault_03_lost_acks_deliver_once_and_do_not_condemn_the_link() {
    each_seed(|seed| {
        let mut pair = pair(seed);
        pair.sim.rule(pair.used, Way::From(pair.b), |frame| {
            if frame.bears_ack() { Fate::Drop } else { Fate::Pass }
        });
        let sent = pair.stream(500, 10 * MS, LEN, single(TrafficClass::Critical));
        pair.settle();
        assert!(sent.iter().all(|id| pair.sim.message(*id).is_delivered()));
        let receiver = pair.sim.core(pair.b).unwrap().counters();
        assert_eq!(
            (receiver.delivered, receiver.duplicates),
            (500, 1),
            "one repeat shows the loss"
        );
        // The peer reports over the other link what arrived on this one.
        pair.sim.run_for(5 * SECOND);
        assert_eq!(pair.status(pair.used).tier, Tier::OneWay);
        let told: Vec<_> = pair.changes(pair.used).into_iter().map(|(_, change)| change).collect();
        assert_eq!(told, [LinkChange::Suspect, LinkChange::Recovered]);
        pair.sim.clear_rules(pair.used, Way::Both);
        pair.sim.run_for(SECOND);
        assert_eq!(pair.status(pair.used).tier, Tier::Good);
        pair.settle();
    });
}

#[test]
fn fault_04_black_hole_fails_over_in_deadline_and_counts_as_failure() {
    let air = wifi().rate.air_time(LEN + Frame::DATA_OVERHEAD);
    for class in TrafficClass::ALL {
        each_seed(|seed| {
            let mut pair = pair(seed);
            pair.stream(100, 10 * MS, LEN, single(class));
            pair.sim.run_for(SECOND);
            let before = pair.status(pair.used).metrics;
            let lost = pair.sim.lane_stats(pair.used, pair.a).lost;
            pair.sim.fault(pair.used, Way::Both, Fault::BlackHole(true));
            let sent = pair.stream(500, 10 * MS, LEN, single(class));
            pair.settle();
            assert!(pair.sim.messages().iter().all(bitcraps_sim::Message::is_delivered));
            // Written, overdue, written on the standby, on its way.
            let slowest = sent.iter().filter_map(|id| transit(&pair.sim, *id)).max();
            assert_eq!(slowest, Some(air + TIMEOUT + air + SLOW));
            assert!(slowest < Some(SendOptions::new(class).deadline));
            // The adapter said `Ok` to every frame; no message that it swallowed is a success.
            let after = pair.status(pair.used).metrics;
            let swallowed = after.request_count - before.request_count;
            assert!(swallowed >= 2, "{swallowed}");
            assert_eq!(after.failure_count - before.failure_count, swallowed);
            assert_eq!(after.success_count, before.success_count);
            let lane = pair.sim.lane_stats(pair.used, pair.a);
            assert_eq!(lane.refused, 0);
            assert!(lane.lost - lost >= swallowed);
        });
    }
}

#[test]
fn fault_05_only_what_is_too_large_for_the_path_takes_another_link() {
    const LARGE: usize = 1_000;
    each_seed(|seed| {
        let mut pair = wifi_and_bluetooth(seed);
        pair.sim.fault(pair.used, Way::Both, Fault::DropLarger(Some(300)));
        let options = single(TrafficClass::Realtime);
        let small = pair.stream(500, 10 * MS, LEN, options);
        let large = pair.stream(500, 10 * MS, LARGE, options);
        pair.settle();
        let used = Some(pair.used);
        assert!(pair.sim.messages().iter().all(bitcraps_sim::Message::is_delivered));
        assert!(
            small
                .iter()
                .all(|id| carrier(&pair.sim, *id) == used && confirmed(&pair.sim, *id).0 == 1)
        );
        assert!(large.iter().all(|id| carrier(&pair.sim, *id) == Some(pair.standby)));
        let rerouted = large.iter().filter(|id| confirmed(&pair.sim, **id).0 == 1).count();
        assert!(rerouted >= 495, "{rerouted} of 500 took the other link at once");
        assert_eq!(pair.status(pair.used).tier, Tier::Good, "of small frames");
        let told: Vec<_> = pair.changes(pair.used).into_iter().map(|(_, change)| change).collect();
        assert_eq!(told, [LinkChange::Suspect], "suspect at this size, and never down");
        // Its probes find out when large frames pass again.
        pair.sim.fault(pair.used, Way::Both, Fault::DropLarger(None));
        pair.sim.run_for(60 * SECOND);
        let returned = pair.stream(1, SECOND, LARGE, options);
        pair.settle();
        assert_eq!(carrier(&pair.sim, returned[0]), used);
    });
}

#[test]
fn fault_49_half_open_link_is_as_a_black_hole_and_is_not_stormed() {
    each_seed(|seed| {
        // Alone: nothing is called delivered, and the wait for a sign of life is patient.
        let mut sim = Simulation::new(seed);
        let (a, b) = (sim.add_node(), sim.add_node());
        let link = sim.add_link(a, b, wifi());
        sim.run_for(2 * SECOND);
        sim.fault(link, Way::From(b), Fault::BlackHole(true));
        let deadline = 10 * SECOND;
        let options = single(TrafficClass::Critical).deadline(deadline);
        let sent: Vec<_> = (0..100).map(|_| sim.send(a, b, LEN, options, None)).collect();
        sim.run_for(deadline);
        for id in sent {
            let message = sim.message(id);
            let (at, outcome) = message.outcome.as_ref().unwrap();
            assert!(matches!(outcome, Outcome::Unknown { .. }), "{outcome:?}");
            assert_eq!(at.since(message.at), deadline);
        }
        let before = sim.lane_stats(link, a).frames;
        sim.run_for(60 * SECOND);
        let probes = sim.lane_stats(link, a).frames - before;
        assert!((8..=20).contains(&probes), "{probes} probes in 60 s, one each 5 s wanted");
        settle(&mut sim);
        // Beside another: the same as one that swallows frames both ways.
        let mut pair = wifi_and_bluetooth(seed);
        pair.sim.fault(pair.used, Way::From(pair.b), Fault::BlackHole(true));
        let sent = pair.stream(500, 10 * MS, LEN, single(TrafficClass::Realtime));
        pair.settle();
        assert!(sent.iter().all(|id| pair.sim.message(*id).is_delivered()));
        let before = pair.sim.lane_stats(pair.used, pair.a).frames;
        pair.sim.run_for(60 * SECOND);
        let frames = pair.sim.lane_stats(pair.used, pair.a).frames - before;
        // The peer tells over the other link that probes arrive, so the pace is the standby's: one
        // in 250 ms, less a quarter of jitter.
        assert!((160..=320).contains(&frames), "{frames} frames in 60 s");
    });
}

#[test]
fn fault_55_acks_that_can_only_come_over_another_kind_of_link() {
    each_seed(|seed| {
        // Wi-Fi carries frames to b only, Bluetooth carries frames to a only.
        let mut pair = wifi_and_bluetooth(seed);
        pair.sim.fault(pair.used, Way::From(pair.b), Fault::BlackHole(true));
        pair.sim.fault(pair.standby, Way::From(pair.a), Fault::BlackHole(true));
        let sent = pair.stream(500, 10 * MS, LEN, single(TrafficClass::Critical));
        pair.settle();
        assert!(sent.iter().all(|id| pair.sim.message(*id).is_delivered()));
        pair.sim.run_for(5 * SECOND);
        assert_eq!(pair.status(pair.used).tier, Tier::OneWay);
        let receiver = pair.sim.core(pair.b).unwrap().counters();
        assert!(
            receiver.duplicates <= 2,
            "{} repeats before the way was known",
            receiver.duplicates
        );
        let again = pair.stream(100, 10 * MS, LEN, single(TrafficClass::Critical));
        pair.settle();
        assert!(
            again.iter().all(|id| confirmed(&pair.sim, *id).0 == 1),
            "the detour is reckoned with"
        );
    });
}
