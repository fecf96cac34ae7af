//! Links, settings and minds that change while messages are on their way.

use std::collections::BTreeMap;

use bitcraps_coordinator::Machine;
use bitcraps_coordinator::{FailoverPolicy, Notice, Outcome, RejectReason, SendOptions};
use bitcraps_engine::Engine;
use bitcraps_sim::{Death, Fault, LinkModel, Message, SendId, Way};
use bitcraps_types::{DownReason, Kbps, Ratio, Timestamp, TrafficClass, TransportType};

use super::scene::{MS, Pair, SECOND, confirmed, data_sent, each_seed, single};

fn wifi() -> LinkModel {
    LinkModel::perfect(TransportType::WiFiDirect)
}

fn wifi_and_bluetooth(seed: u64) -> Pair {
    Pair::new(seed, wifi(), LinkModel::perfect(TransportType::Bluetooth).latency(20 * MS))
}

/// Puts other settings in force at `a`.
fn reload(pair: &mut Pair, change: impl FnOnce(&mut bitcraps_coordinator::Config)) {
    let a = pair.a;
    pair.sim.with_engine(a, |engine: &mut Engine, _| {
        let mut config = engine.core().config().clone();
        change(&mut config);
        engine.core_mut().reconfigure(config);
    });
}

#[test]
fn fault_43_messages_in_flight_finish_under_the_policy_they_were_sent_with() {
    each_seed(|seed| {
        let mut pair = wifi_and_bluetooth(seed);
        let peer = pair.sim.peer_id(pair.b);
        for link in [pair.used, pair.standby] {
            pair.sim.fault(link, Way::Both, Fault::BlackHole(true));
        }
        let options = single(TrafficClass::Critical);
        let (a, b) = (pair.a, pair.b);
        let policies = FailoverPolicy::ALL;
        let sent: Vec<SendId> =
            policies.iter().map(|p| pair.sim.send(a, b, 100, options, Some(*p))).collect();
        pair.sim.run_for(5 * MS);
        reload(&mut pair, |config| {
            config.default_policy = FailoverPolicy::LoadBalanced;
            config.energy_aware = false;
            for transport in &mut config.transports {
                transport.reliability_threshold = Ratio::ONE;
                transport.max_packet_size = 300;
            }
        });
        let mut again = BTreeMap::new();
        for _ in 0..2_000 {
            pair.sim.run_for(MS);
            for decision in pair.sim.core(a).unwrap().decisions(peer) {
                if decision.attempt > 1 {
                    *again.entry(decision.packet.policy.name()).or_insert(0) += 1;
                }
            }
        }
        let names: Vec<&str> = again.keys().copied().collect();
        assert_eq!(names, ["EnergyEfficient", "FastestFirst", "LoadBalanced", "MostReliable"]);
        pair.sim.heal(pair.used);
        pair.settle();
        assert!(sent.iter().all(|id| pair.sim.message(*id).is_delivered()));
    });
}

#[test]
fn fault_43_reloads_and_lost_transports_in_mid_send_lose_no_receipt() {
    each_seed(|seed| {
        let wifi = wifi().rate(Kbps::at_least_one(100_000));
        let bluetooth = LinkModel::perfect(TransportType::Bluetooth).latency(20 * MS);
        let mut pair = Pair::new(seed, wifi, bluetooth);
        pair.sim.record(pair.used, pair.a);
        // Large messages are being cut, small ones are on their way, others wait.
        for class in TrafficClass::ALL {
            pair.stream(20, MS, 20_000, single(class).deadline(60 * SECOND));
            pair.stream(200, MS, 100, single(class).deadline(60 * SECOND));
        }
        pair.sim.run_for(5 * MS);
        reload(&mut pair, |config| {
            config.transports[TransportType::WiFiDirect.index()].max_packet_size = 512;
        });
        // What the driver held by then has left.
        pair.sim.run_for(4 * MS);
        let cut = data_sent(&pair.sim, pair.used, pair.a).len();
        pair.sim.run_for(5 * MS);
        let later = data_sent(&pair.sim, pair.used, pair.a).split_off(cut);
        assert!(later.iter().any(|data| data.total == 20_000));
        assert!(
            later
                .iter()
                .all(|data| data.payload.len() <= 512 - bitcraps_wire::Frame::DATA_OVERHEAD)
        );
        reload(&mut pair, |config| config.auto_failover = false);
        pair.sim.run_for(5 * MS);
        reload(&mut pair, |config| config.auto_failover = true);
        // The whole family of links goes, as if it were not configured any more.
        pair.sim.take_down(pair.used, DownReason::ClosedHere);
        pair.sim.run_for(SECOND);
        pair.sim.bring_up(pair.used);
        pair.settle();
        assert!(pair.sim.messages().iter().all(Message::is_delivered), "0 lost, and 0 twice");
    });
}

#[test]
fn fault_44_cancel_ack_hedge_and_drop_make_exactly_one_outcome() {
    each_seed(|seed| {
        let wild = wifi().loss(0.02).duplication(0.1).jitter(2 * MS).reordering();
        let mut pair = Pair::new(seed, wild, wild.latency(3 * MS));
        let mut rng = fastrand::Rng::with_seed(seed);
        let from = pair.sim.now();
        for i in 0..3_000 {
            let class = TrafficClass::ALL[rng.usize(..TrafficClass::COUNT)];
            let deadline = MS * rng.u32(1..60);
            let mut options = SendOptions::new(class).deadline(deadline).max_copies(2);
            if i % 3 == 0 {
                // Some wait for others, so that no copy of them has left yet.
                options = options.ordered_by(7);
            }
            let at = from + MS * i;
            let id = pair.sim.send_at(at, pair.a, pair.b, 100, options, None);
            if rng.bool() {
                let cancel = at + MS * rng.u32(..20);
                pair.sim.at(cancel, move |sim| sim.cancel(id));
            }
        }
        // Links go while all that happens.
        for second in [1, 2] {
            let used = pair.used;
            pair.sim.at(from + SECOND * second, move |sim| {
                sim.take_down(used, DownReason::Failed("pulled out".to_owned()));
            });
            pair.sim.at(from + SECOND * second + 200 * MS, move |sim| sim.bring_up(used));
        }
        pair.sim.run_for(4 * SECOND);
        // The check holds one outcome against each message, and no outcome for any other ticket.
        pair.settle();
        let outcomes = pair.sim.messages().iter().filter_map(|m| m.outcome.as_ref());
        let mut kinds = BTreeMap::new();
        for (_, outcome) in outcomes {
            let kind = match outcome {
                Outcome::Delivered { .. } => "delivered",
                Outcome::Sent { .. } => "sent",
                Outcome::Expired { .. } => "expired",
                Outcome::Rejected { why: RejectReason::Cancelled } => "cancelled",
                Outcome::Rejected { .. } => "rejected",
                Outcome::Unknown { .. } => "unknown",
            };
            *kinds.entry(kind).or_insert(0) += 1;
        }
        assert!(kinds["delivered"] > 1_000 && kinds["unknown"] > 100, "{kinds:?}");
        assert!(kinds.contains_key("cancelled"), "{kinds:?}");
        assert_eq!(kinds.values().sum::<u32>(), 3_000);
        assert!(pair.sim.core(pair.a).unwrap().counters().hedges > 0, "a second copy took part");
        assert_eq!(pair.sim.core(pair.a).unwrap().unsettled(), 0);
    });
}

#[test]
fn fault_54_a_late_close_of_a_former_connection_leaves_the_new_one_alone() {
    each_seed(|seed| {
        let mut pair = wifi_and_bluetooth(seed);
        let (a, used) = (pair.a, pair.used);
        let former = pair.sim.link_id(used, a).unwrap();
        pair.sim.take_down(used, DownReason::ClosedByPeer);
        pair.sim.bring_up(used);
        pair.sim.run_for(30 * SECOND);
        let lives = pair.sim.link_id(used, a).unwrap();
        assert_ne!(former, lives);
        let from = pair.sim.now();
        pair.stream(100, 10 * MS, 100, single(TrafficClass::Realtime));
        pair.sim.run_for(500 * MS);
        // Everything that can be told of the former one comes once more.
        pair.sim.with_engine(a, |engine: &mut Engine, now: Timestamp| {
            engine.link_down(former, &DownReason::ClosedByPeer, now);
            let core = engine.core_mut();
            core.written(former, 1_000, now);
            core.frames_received(former, &mut vec![bytes::Bytes::from_static(b"late")], now);
        });
        pair.settle();
        pair.sim.run_for(SECOND);
        let since = pair.sim.notices(a).iter().filter(|(at, _)| *at >= from);
        let gone = since
            .filter(|(_, n)| matches!(n, Notice::LinkGone { .. } | Notice::LinkChanged { .. }));
        assert_eq!(gone.count(), 0);
        assert_eq!(pair.sim.link_id(used, a), Some(lives));
        for id in 0..100 {
            let message = &pair.sim.messages()[id];
            let Some((_, Outcome::Delivered { link, attempts, .. })) = &message.outcome else {
                panic!("{message:?}");
            };
            assert_eq!((link.link, *attempts), (lives, 1));
        }
    });
}

#[test]
fn fault_54_a_restarted_peer_is_not_cut_off_by_its_former_life() {
    each_seed(|seed| {
        let mut pair = wifi_and_bluetooth(seed);
        pair.sim.kill(pair.b, Death::Silent);
        pair.sim.restart(pair.b, bitcraps_sim::Return::SameLinks);
        pair.sim.run_for(5 * SECOND);
        let sent = pair.stream(100, 10 * MS, 100, single(TrafficClass::Critical));
        pair.settle();
        assert!(sent.iter().all(|id| confirmed(&pair.sim, *id).0 == 1));
    });
}
