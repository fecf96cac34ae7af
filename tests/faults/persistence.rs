//! What a store keeps over restarts, and what becomes of everything else when it cannot.

use std::collections::BTreeMap;
use std::time::Duration;

use bitcraps_coordinator::{Outcome, SendOptions};
use bitcraps_sim::{
    App, Death, LinkModel, NodeId, Pace, Return, SendId, Simulation, StoreModel, Torn,
};
use bitcraps_types::{AckLevel, Epoch, PeerId, TrafficClass};
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
