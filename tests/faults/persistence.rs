//! What a store keeps over restarts, and what becomes of everything else when it cannot.

use std::collections::BTreeMap;
use std::time::Duration;

use bitcraps_coordinator::{Notice, Outcome, RejectReason, SendError, SendOptions};
use bitcraps_sim::{
    App, Death, Fortune, LinkModel, NodeId, Pace, Return, SendId, Simulation, StoreModel, Torn,
    Violation,
};
use bitcraps_types::{AckLevel, DownReason, Epoch, PeerId, TrafficClass};
use bitcraps_wire::{Body, Frame};
use bytes::Bytes;

use super::scene::{MS, SECOND};

/// Two nodes with stores and two links, and messages that have to survive.
struct Course {
    sim: Simulation,
    nodes: [NodeId; 2],
    sent: Vec<SendId>,
}

impl Course {
    /// The nodes have met; from now on a bet each way, one that asks for the application's word, and
    /// one that is fragmented, with pauses between them.
    fn new(seed: u64, torn: Torn, pace: Pace) -> Self {
        let mut sim = Simulation::new(seed);
        let nodes = [(); 2].map(|()| {
            sim.add_node_with(|setup| {
                setup.store = Some(StoreModel { torn, ..StoreModel::DISK });
                setup.app = App::default().pace(pace);
            })
        });
        let [a, b] = nodes;
        let wifi = sim.add_link(a, b, LinkModel::wifi());
        let ble = sim.add_link(a, b, LinkModel::bluetooth_le());
        sim.run_for(2 * SECOND);
        for link in [wifi, ble] {
            nodes.iter().for_each(|node| sim.record(link, *node));
        }
        let bet = SendOptions::new(TrafficClass::Critical).deadline(60 * SECOND);
        let now = sim.now();
        let plan = [
            (0, a, b, 100, bet),
            (3, b, a, 100, bet),
            (4, a, b, 200, bet.ack(AckLevel::Applied)),
            (9, a, b, 3_000, bet),
            (10, a, b, 50, bet.ordered_by(1)),
            (10, a, b, 51, bet.ordered_by(1)),
        ];
        let sent = plan
            .map(|(ms, from, to, len, options)| {
                sim.send_at(now + MS * ms, from, to, len, options, None)
            })
            .to_vec();
        Self { sim, nodes, sent }
    }

    /// The dead node comes back, everything ends, and no promise was broken.
    fn judge(mut self, dead: NodeId, what: &dyn std::fmt::Debug) -> Self {
        let sim = &mut self.sim;
        sim.run_for(300 * MS);
        sim.restart(dead, Return::NewLinks);
        assert!(sim.run_until_idle(120 * SECOND), "{what:?}: messages stay open");
        // The applications take what is left, and acknowledgements in the air land.
        sim.run_for(2 * SECOND);
        if let Err(broken) = sim.check_settled() {
            panic!("{what:?}: {broken}");
        }
        for id in &self.sent {
            let message = sim.message(*id);
            let handed = sim.app(message.to).delivered().iter();
            let handed = handed.filter(|d| d.delivery.payload == message.payload).count();
            let doubtful = sim.doubts(message.to).iter().any(|d| d.payload == message.payload);
            // One whose sender died before it was durable was never sent; everything else is.
            let lost = handed == 0 && !doubtful;
            let never_left = message.outcome.is_none();
            assert!(!lost || never_left, "{what:?}: {id:?} is lost: {message:?}");
        }
        self.no_number_twice(what);
        self
    }

    /// Every number that ever travelled stands for one message.
    fn no_number_twice(&self, what: &dyn std::fmt::Debug) {
        let sim = &self.sim;
        let mut bytes: BTreeMap<(PeerId, Epoch, TrafficClass, u64), BTreeMap<u32, Bytes>> =
            BTreeMap::new();
        for link in sim.links() {
            for node in self.nodes {
                for record in sim.recorded(link, node) {
                    let Ok(Frame { body: Body::Data(data), .. }) =
                        Frame::decode(record.frame.clone())
                    else {
                        continue;
                    };
                    let key = (sim.peer_id(node), data.source_epoch, data.class, data.sequence);
                    let ranges = bytes.entry(key).or_default();
                    let before = ranges.insert(data.offset, data.payload.clone());
                    if let Some(before) = before {
                        let common = before.len().min(data.payload.len());
                        let same = before[..common] == data.payload[..common];
                        assert!(same, "{what:?}: {key:?} stands for two messages");
                    }
                }
            }
        }
    }
}

/// The course runs to its end when nothing happens to it; how many commands each node does in it.
fn undisturbed(seed: u64, pace: Pace) -> [u64; 2] {
    let most = 1 << 30;
    let mut course = Course::new(seed, Torn::Lost, pace);
    let nodes = course.nodes;
    nodes.iter().for_each(|node| course.sim.kill_after(*node, most, Death::Silent));
    let end = course.sim.now() + 400 * MS;
    course.sim.run_until(end);
    nodes.map(|node| most - course.sim.fuse_left(node).unwrap())
}

fn killed_everywhere(seed: u64, death: Death, torn: Torn, pace: Pace) {
    let commands = undisturbed(seed, pace);
    for (side, commands) in commands.into_iter().enumerate() {
        assert!((20..2_000).contains(&commands), "{commands}");
        for at in 0..commands {
            let mut course = Course::new(seed, torn, pace);
            let victim = course.nodes[side];
            course.sim.kill_after(victim, at, death);
            course.sim.run_for(400 * MS);
            if course.sim.engine(victim).is_some() {
                course.sim.kill(victim, death);
            }
            course.judge(victim, &(seed, death, torn, pace, side, at));
        }
    }
}

#[test]
fn fault_47_killed_at_every_step_and_told() {
    killed_everywhere(1, Death::Told, Torn::Lost, Pace::AtOnce);
    killed_everywhere(2, Death::Told, Torn::Written, Pace::AtOnce);
}

#[test]
fn fault_47_killed_at_every_step_without_a_word() {
    killed_everywhere(3, Death::Silent, Torn::Lost, Pace::AtOnce);
    killed_everywhere(4, Death::Silent, Torn::Written, Pace::AtOnce);
}

#[test]
fn fault_47_killed_at_every_step_with_messages_in_the_inbox() {
    let slow = Pace::Every(Duration::from_millis(7));
    killed_everywhere(5, Death::Told, Torn::Lost, slow);
    killed_everywhere(6, Death::Told, Torn::Written, slow);
}

/// Frames of former incarnations, rewritten as if an outbox sent them again: known, whoever
/// restarted how often.
#[test]
fn fault_20_replayed_critical_frames_are_known_after_any_restart() {
    let mut course = Course::new(8, Torn::Lost, Pace::AtOnce);
    let [a, b] = course.nodes;
    assert!(course.sim.run_until_idle(SECOND));
    let link = course.sim.links().next().unwrap();
    let sent: Vec<Frame> = course
        .sim
        .recorded(link, a)
        .iter()
        .filter_map(|r| Frame::decode(r.frame.clone()).ok())
        .filter(|frame| matches!(frame.body, Body::Data(_)))
        .collect();
    assert!(sent.len() >= 5);
    let delivered = course.sim.app(b).delivered().len();
    for restarts in [&[b][..], &[a], &[a, b], &[b, a, a]] {
        for node in restarts {
            course.sim.kill(*node, Death::Told);
            course.sim.restart(*node, Return::NewLinks);
            course.sim.run_for(SECOND);
        }
        let epoch = course.sim.core(b).unwrap().config().epoch;
        for frame in &sent {
            let mut frame = frame.clone();
            frame.header.receiver_epoch = epoch;
            assert!(course.sim.inject(link, b, frame.encode()));
        }
        course.sim.run_for(SECOND);
        assert_eq!(course.sim.app(b).delivered().len(), delivered);
    }
    course.sim.check_settled().unwrap();
}

/// Without trouble everything is delivered once, acknowledged after it is durable, and nothing is
/// left in the stores.
#[test]
fn a_store_changes_nothing_but_the_latency() {
    let mut course = Course::new(7, Torn::Lost, Pace::AtOnce);
    assert!(course.sim.run_until_idle(SECOND));
    course.sim.check_settled().unwrap();
    for id in &course.sent {
        let message = course.sim.message(*id);
        let Some((at, Outcome::Delivered { .. })) = &message.outcome else {
            panic!("{message:?}");
        };
        // Durable here, durable there, a round trip.
        assert!((9 * MS..60 * MS).contains(&at.since(message.at)), "{message:?}");
    }
    course.sim.run_for(SECOND);
    for node in course.nodes {
        let status = course.sim.core(node).unwrap().store_status();
        assert_eq!((status.outbox, status.inbox, status.doubts, status.bytes), (0, 0, 0, 0));
        let recalled = course.sim.records(node).unwrap().recalled(0, course.sim.now());
        assert_eq!((recalled.outbox, recalled.inbox), (Vec::new(), Vec::new()));
    }
}

/// What must hold even when a store is lost: nothing twice, nothing invented, no false certainty.
fn nothing_twice(sim: &Simulation, what: &dyn std::fmt::Debug) {
    let found = sim.check().err().map_or_else(Vec::new, |v| v.0);
    let grave = |violation: &Violation| match violation {
        // What only the lost store knew.
        Violation::Vanished(_) | Violation::NotDelivered(_) => false,
        Violation::Twice { .. }
        | Violation::SameIdentity { .. }
        | Violation::NeverSent { .. }
        | Violation::StrayOutcomes(_)
        | Violation::NoOutcome(_)
        | Violation::DeliveredAllTheSame(..)
        | Violation::Overrun { .. }
        | Violation::Stuck => true,
    };
    let grave: Vec<_> = found.into_iter().filter(grave).collect();
    assert!(grave.is_empty(), "{what:?}: {grave:?}");
}

/// A node that comes back without its store says so: what it may have taken before ends unknown, and
/// is not delivered again.
#[test]
fn a_store_that_is_lost_in_a_crash_makes_nothing_arrive_twice() {
    let commands = undisturbed(9, Pace::AtOnce);
    let mut unknown = 0;
    for (side, commands) in commands.into_iter().enumerate() {
        for at in 0..commands {
            let mut course = Course::new(9, Torn::Written, Pace::AtOnce);
            let victim = course.nodes[side];
            let sim = &mut course.sim;
            sim.kill_after(victim, at, Death::Told);
            sim.run_for(400 * MS);
            if sim.engine(victim).is_some() {
                sim.kill(victim, Death::Told);
            }
            sim.lose_store(victim);
            sim.restart(victim, Return::NewLinks);
            assert!(sim.run_until_idle(120 * SECOND), "{side} {at}");
            sim.run_for(2 * SECOND);
            nothing_twice(sim, &(side, at));
            let outcomes =
                course.sent.iter().filter_map(|id| course.sim.message(*id).outcome.clone());
            unknown += outcomes.filter(|(_, o)| matches!(o, Outcome::Unknown { .. })).count();
        }
    }
    assert!(unknown > 50, "{unknown}");
}

/// Both nodes die again and again, at any time, while links fail as well.
#[test]
fn fault_47_both_ends_killed_at_random_while_links_fail() {
    for seed in 100..140 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut sim = Simulation::new(seed);
        let nodes = [(); 2].map(|()| {
            let pace = [Pace::AtOnce, Pace::Every(MS * rng.u32(1..30))][rng.usize(..2)];
            let torn = [Torn::Lost, Torn::Written][rng.usize(..2)];
            sim.add_node_with(|setup| {
                setup.store = Some(StoreModel { torn, ..StoreModel::DISK });
                setup.app = App::default().pace(pace);
            })
        });
        let links = [LinkModel::wifi(), LinkModel::bluetooth_le()]
            .map(|model| sim.add_link(nodes[0], nodes[1], model));
        sim.run_for(SECOND);
        let start = sim.now();
        for i in 0..150 {
            let [from, to] = if rng.bool() { nodes } else { [nodes[1], nodes[0]] };
            let ack = [AckLevel::PeerAcked, AckLevel::Applied][rng.usize(..2)];
            let mut options =
                SendOptions::new(TrafficClass::Critical).ack(ack).deadline(300 * SECOND);
            if rng.u8(..4) == 0 {
                options = options.ordered_by(rng.u64(..3));
            }
            let len = [20, 300, 4_000][rng.usize(..3)] + i;
            sim.send_at(start + MS * rng.u32(..12_000), from, to, len, options, None);
        }
        for _ in 0..8 {
            let node = nodes[rng.usize(..2)];
            let death = [Death::Told, Death::Silent][rng.usize(..2)];
            let at = start + MS * rng.u32(..12_000);
            let back = at + MS * rng.u32(1..1_500);
            sim.at(at, move |sim| sim.kill(node, death));
            sim.at(back, move |sim| sim.restart(node, Return::NewLinks));
        }
        let [down, up] = [MS * rng.u32(10..800), MS * rng.u32(10..800)];
        sim.flap(links[rng.usize(..2)], [down, up], 10, rng.bool());
        sim.run_for(14 * SECOND);
        for node in nodes {
            sim.restart(node, Return::NewLinks);
        }
        assert!(sim.run_until_idle(400 * SECOND), "seed {seed}: messages stay open");
        sim.run_for(2 * SECOND);
        if let Err(broken) = sim.check_settled() {
            panic!("seed {seed}: {broken}");
        }
        // Nobody's deadline passed, so nothing that was durable is less than delivered.
        for message in sim.messages() {
            let ended = match &message.outcome {
                Some((_, Outcome::Delivered { .. })) => true,
                // It died with its sender before it was durable.
                None => true,
                // Handed over before a crash, and in doubt: the application never answered.
                Some((_, Outcome::Unknown { .. })) => message.options.ack == AckLevel::Applied,
                Some(_) => false,
            };
            assert!(ended, "seed {seed}: {message:?}");
        }
    }
}

/// A hundred messages in flight when the receiver dies: each is delivered once, none is unknown.
#[test]
fn fault_59_a_hundred_pending_outlive_the_receivers_restart() {
    for (seed, at) in [(1, 0), (2, 3), (3, 6), (4, 12)] {
        let mut course = Course::new(seed, Torn::Lost, Pace::AtOnce);
        let [a, b] = course.nodes;
        let options = SendOptions::new(TrafficClass::Critical);
        course.sim.run_for(SECOND);
        let sent: Vec<_> =
            (0..100).map(|i| course.sim.send(a, b, 1_000 + i, options, None)).collect();
        course.sim.run_for(MS * at);
        course.sim.kill(b, Death::Told);
        course.sim.run_for(SECOND);
        course.sim.restart(b, Return::NewLinks);
        assert!(course.sim.run_until_idle(60 * SECOND));
        course.sim.check_settled().unwrap();
        let delivered = sent.iter().filter(|id| course.sim.message(**id).is_delivered()).count();
        assert_eq!(delivered, 100, "killed after {at} ms");
    }
}

/// Every link is down for a minute: one alert, what is critical waits, across a restart too, and
/// leaves in the order in which it would end; what is not worth waiting for ends.
#[test]
fn fault_42_every_link_down_for_a_minute() {
    for restart in [false, true] {
        let mut sim = Simulation::new(11);
        let [a, b] =
            [(); 2].map(|()| sim.add_node_with(|setup| setup.store = Some(StoreModel::DISK)));
        let links = [LinkModel::wifi(), LinkModel::bluetooth_le()].map(|m| sim.add_link(a, b, m));
        sim.run_for(2 * SECOND);
        for link in links {
            sim.take_down(link, DownReason::Failed("gone".to_owned()));
        }
        sim.run_for(SECOND);
        let bet =
            |seconds: u32| SendOptions::new(TrafficClass::Critical).deadline(SECOND * seconds);
        let deadlines = [200, 90, 150, 120, 100];
        let bets = deadlines.map(|seconds| sim.send(a, b, 100, bet(seconds), None));
        let short = sim.send(a, b, 100, bet(30), None);
        let chat = SendOptions::new(TrafficClass::Background).deadline(200 * SECOND);
        let chats = [(); 50].map(|()| sim.send(a, b, 300, chat, None));
        let roll = sim.send(a, b, 64, SendOptions::new(TrafficClass::Realtime), None);
        sim.run_for(30 * SECOND);
        if restart {
            sim.kill(a, Death::Told);
            sim.restart(a, Return::NoLinks);
        }
        sim.run_for(30 * SECOND);
        let alone = |notice: &&(_, Notice)| matches!(notice.1, Notice::PeerUnreachable { .. });
        assert_eq!(sim.notices(a).iter().filter(alone).count(), 1);
        assert!(bets.iter().all(|id| sim.message(*id).outcome.is_none()));
        for link in links {
            sim.bring_up(link);
        }
        assert!(sim.run_until_idle(10 * SECOND), "restart {restart}");
        sim.check_settled().unwrap();
        for id in [roll, short] {
            let outcome = sim.message(id).outcome.as_ref().map(|(_, outcome)| outcome);
            let expired = matches!(outcome, Some(Outcome::Expired { .. }));
            assert!(expired, "restart {restart}: {outcome:?}");
        }
        assert!(bets.iter().all(|id| sim.message(*id).is_delivered()), "restart {restart}");
        let mut order: Vec<_> = bets.iter().zip(deadlines).collect();
        order.sort_by_key(|(_, seconds)| *seconds);
        let arrived = |id: SendId| {
            let payload = &sim.message(id).payload;
            sim.app(b).delivered().iter().position(|d| d.delivery.payload == *payload)
        };
        let arrivals: Vec<_> = order.iter().map(|(id, _)| arrived(**id).unwrap()).collect();
        assert!(arrivals.is_sorted(), "restart {restart}: {arrivals:?}");
        let waited = chats.iter().filter(|id| sim.message(**id).is_delivered()).count();
        // Only what is critical outlives the process.
        assert_eq!(waited, if restart { 0 } else { 50 });
    }
}

/// The disk of one end is full: what would have to be recorded is refused with a reason, everything
/// else goes on, one alert tells, and what was acknowledged before stays known.
#[test]
fn fault_46_a_store_that_fails_refuses_what_it_would_have_to_record() {
    for seed in 1..6 {
        let mut course = Course::new(seed, Torn::Lost, Pace::AtOnce);
        let [a, b] = course.nodes;
        course.sim.run_until_idle(SECOND);
        course.sim.run_for(SECOND);
        course.sim.break_store(b);
        let critical = SendOptions::new(TrafficClass::Critical).deadline(5 * SECOND);
        let chat = SendOptions::new(TrafficClass::Background);
        let refused = [critical, critical.ack(AckLevel::Applied), chat.ack(AckLevel::Applied)]
            .map(|options| course.sim.send(a, b, 100, options, None));
        let goes = [chat, SendOptions::new(TrafficClass::Realtime)]
            .map(|options| course.sim.send(a, b, 100, options, None));
        assert!(course.sim.run_until_idle(10 * SECOND));
        for id in refused {
            let outcome = course.sim.message(id).outcome.as_ref().map(|(_, outcome)| outcome);
            let why = RejectReason::Unrecorded;
            assert_eq!(outcome, Some(&Outcome::Rejected { why }));
        }
        assert!(goes.iter().all(|id| course.sim.message(*id).is_delivered()));
        // Its own critical messages are not even taken.
        let own = course.sim.send(b, a, 100, critical, None);
        let Fortune::Refused(error) = course.sim.message(own).fortune else { panic!() };
        assert_eq!(error, SendError::StoreFailed);
        let own = course.sim.send(b, a, 100, chat, None);
        assert!(course.sim.run_until_idle(SECOND));
        assert!(course.sim.message(own).is_delivered());
        let told = |notice: &&(_, Notice)| matches!(notice.1, Notice::StoreFailed { .. });
        assert_eq!(course.sim.notices(b).iter().filter(told).count(), 1);
        // With room again, and a restart, it is as before, and knows what it took before.
        course.sim.kill(b, Death::Told);
        course.sim.mend_store(b);
        course.sim.restart(b, Return::NewLinks);
        course.sim.run_for(SECOND);
        let again = course.sim.send(a, b, 100, critical, None);
        assert!(course.sim.run_until_idle(SECOND));
        assert!(course.sim.message(again).is_delivered());
        course.sim.check_settled().unwrap();
    }
}

/// Nobody takes messages for five minutes: nothing is acknowledged meanwhile, store or not; then
/// they are delivered, or were not in time.
#[test]
fn fault_56_an_application_that_is_absent_for_five_minutes() {
    for store in [None, Some(StoreModel::DISK)] {
        let mut sim = Simulation::new(12);
        let a = sim.add_node_with(|setup| setup.store = store);
        let b = sim.add_node_with(|setup| {
            setup.store = store;
            setup.app = App::default().absent();
        });
        sim.add_link(a, b, LinkModel::wifi());
        sim.run_for(SECOND);
        let bet =
            |seconds: u32| SendOptions::new(TrafficClass::Critical).deadline(SECOND * seconds);
        let [patient, hasty] = [600, 60].map(|seconds| sim.send(a, b, 100, bet(seconds), None));
        let chat = SendOptions::new(TrafficClass::Background).deadline(600 * SECOND);
        let chat = sim.send(a, b, 3_000, chat, None);
        sim.run_for(300 * SECOND);
        assert!(sim.app(b).delivered().is_empty());
        for id in [patient, chat] {
            assert_eq!(sim.message(id).outcome, None, "nothing is acknowledged that nobody took");
        }
        let (at, outcome) = sim.message(hasty).outcome.clone().unwrap();
        assert!(matches!(outcome, Outcome::Unknown { .. } | Outcome::Expired { .. }));
        assert_eq!(at.since(sim.message(hasty).at).as_secs(), 60);
        sim.attach(b);
        assert!(sim.run_until_idle(30 * SECOND), "{store:?}");
        assert!(sim.message(patient).is_delivered() && sim.message(chat).is_delivered());
        assert_eq!(sim.app(b).delivered().len(), 2);
        for id in [patient, chat] {
            // A question a second, and one of two in the first minute.
            let attempts = super::scene::confirmed(&sim, id).0;
            assert!((230..330).contains(&attempts), "{attempts}");
        }
        sim.check_settled().unwrap();
    }
}
