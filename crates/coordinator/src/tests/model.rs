//! Random courses against a plain model of what was promised.

use std::collections::BTreeMap;

use bitcraps_types::{AckLevel, TrafficClass};
use bytes::Bytes;
use proptest::prelude::*;

use super::pair::{Fate, Pair, Profile, ROOM, ms, us};
use crate::{Outcome, RejectReason, SendOptions, Ticket, TransmitFailure};

/// What may happen.
#[derive(Debug, Clone)]
enum Op {
    Send {
        side: usize,
        class: usize,
        len: usize,
        applied: u8,
        key: Option<u64>,
        copies: u8,
        ms: u64,
    },
    Conflate {
        side: usize,
        class: usize,
        key: u64,
    },
    Cancel {
        side: usize,
        back: usize,
    },
    Pass(u64),
    Weather {
        side: usize,
        wire: usize,
        lose: u8,
        twice: u8,
        late: u64,
    },
    Refuse {
        side: usize,
        wire: usize,
        how: u8,
    },
    Stall {
        side: usize,
        wire: usize,
    },
    Down {
        wire: usize,
    },
    Up {
        wire: usize,
    },
    Absent {
        side: usize,
    },
    Present {
        side: usize,
    },
    Restart {
        side: usize,
    },
}

const WIRES: usize = 3;

fn op() -> impl Strategy<Value = Op> {
    let send = (
        0..2usize,
        0..4usize,
        0..6_000usize,
        0..3u8,
        prop::option::of(0..3u64),
        0..3u8,
        1..9_000u64,
    );
    let weather = (0..2usize, 0..WIRES, 0..=10u8, 0..4u8, 0..80u64);
    prop_oneof![
        12 => send.prop_map(|(side, class, len, applied, key, copies, ms)| {
            // Most are small.
            let len = if len % 4 == 0 { len * 5 } else { len % 300 };
            Op::Send { side, class, len, applied, key, copies, ms }
        }),
        2 => (0..2usize, 0..4usize, 0..3u64)
            .prop_map(|(side, class, key)| Op::Conflate { side, class, key }),
        2 => (0..2usize, 0..6usize).prop_map(|(side, back)| Op::Cancel { side, back }),
        8 => (0..120u64).prop_map(Op::Pass),
        2 => (0..5_000u64).prop_map(Op::Pass),
        4 => weather.prop_map(|(side, wire, lose, twice, late)| Op::Weather {
            side, wire, lose, twice, late
        }),
        1 => (0..2usize, 0..WIRES, 0..4u8)
            .prop_map(|(side, wire, how)| Op::Refuse { side, wire, how }),
        1 => (0..2usize, 0..WIRES).prop_map(|(side, wire)| Op::Stall { side, wire }),
        1 => (0..WIRES).prop_map(|wire| Op::Down { wire }),
        2 => (0..WIRES).prop_map(|wire| Op::Up { wire }),
        1 => (0..2usize).prop_map(|side| Op::Absent { side }),
        1 => (0..2usize).prop_map(|side| Op::Present { side }),
        1 => (0..2usize).prop_map(|side| Op::Restart { side }),
    ]
}

/// A message as the model knows it.
#[derive(Debug, Clone)]
struct Sent {
    side: usize,
    ticket: Ticket,
    payload: Bytes,
    ack: AckLevel,
    order: Option<(TrafficClass, u64)>,
    /// Its sender was shut down by a restart before it had an outcome.
    orphan: bool,
}

struct Course {
    pair: Pair,
    sent: Vec<Sent>,
    up: [bool; WIRES],
    epochs: [u64; 2],
    rng: fastrand::Rng,
    /// Outcomes of messages by their place in `sent`.
    outcomes: BTreeMap<usize, Outcome>,
    /// Payloads by receiving side, in order.
    got: [Vec<Bytes>; 2],
}

impl Course {
    fn new(seed: u64) -> Self {
        let profiles = [
            Profile::wifi(ms(2)).rate(20_000).max_frame(1_400).queue(64),
            Profile::internet(ms(15)).rate(5_000),
            Profile::bluetooth(ms(30)).rate(300).max_frame(512).queue(8),
        ];
        Self {
            pair: Pair::new(&profiles),
            sent: Vec::new(),
            up: [true; WIRES],
            epochs: [1, 2],
            rng: fastrand::Rng::with_seed(seed),
            outcomes: BTreeMap::new(),
            got: [Vec::new(), Vec::new()],
        }
    }

    /// Tells every payload apart, and whether it was altered.
    fn payload(&self, len: usize) -> Bytes {
        let number = (self.sent.len() as u64).to_be_bytes();
        let body = (0..len).map(|i| (i as u64 * 7 + self.sent.len() as u64) as u8);
        number.into_iter().chain(body).collect()
    }

    fn send(&mut self, side: usize, len: usize, options: SendOptions, order: Option<u64>) {
        let payload = self.payload(len);
        let Ok(ticket) = self.pair.try_send(side, payload.clone(), options) else {
            return;
        };
        let order = order.map(|key| (options.class, key));
        self.sent.push(Sent { side, ticket, payload, ack: options.ack, order, orphan: false });
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Send { side, class, len, applied, key, copies, ms: deadline } => {
                let ack = [AckLevel::PeerAcked, AckLevel::Applied, AckLevel::Accepted];
                let mut options = SendOptions::new(TrafficClass::ALL[class])
                    .ack(ack[usize::from(applied)])
                    .deadline(ms(deadline))
                    .max_copies(copies);
                if let Some(key) = key {
                    options = options.ordered_by(key);
                }
                self.send(side, len, options, key);
            }
            Op::Conflate { side, class, key } => {
                let options = SendOptions::new(TrafficClass::ALL[class]).conflated_by(key);
                self.send(side, 50, options.deadline(ms(4_000)), None);
            }
            Op::Cancel { side, back } => {
                let mut own = self.sent.iter().rev().filter(|s| s.side == side && !s.orphan);
                if let Some(ticket) = own.nth(back).map(|s| s.ticket) {
                    self.pair.cancel(side, ticket);
                }
            }
            Op::Pass(time) => self.pair.drive_for(ms(time)),
            Op::Weather { side, wire, lose, twice, late } => {
                let mut rng = self.rng.fork();
                self.pair.hook(side, wire, move |_, _| match rng.u8(0..10) {
                    n if n < lose => Fate::Lose,
                    n if n >= 10 - twice => Fate::Twice(ms(rng.u64(0..=late * 10))),
                    _ => Fate::Late(us(rng.u64(0..=late * 1_000))),
                });
            }
            Op::Refuse { side, wire, how } => {
                self.pair.wires[wire].lanes[side].refuses = match how {
                    0 => Some(TransmitFailure::Full),
                    1 => Some(TransmitFailure::Closed),
                    2 => Some(TransmitFailure::TooBig { max: 300 }),
                    _ => None,
                };
            }
            Op::Stall { side, wire } => self.pair.wires[wire].lanes[side].stalled = true,
            Op::Down { wire } if self.up[wire] => {
                self.up[wire] = false;
                self.pair.down(wire);
            }
            Op::Up { wire } if !self.up[wire] => {
                self.up[wire] = true;
                self.pair.up(wire);
            }
            Op::Down { .. } | Op::Up { .. } => {}
            Op::Absent { side } => self.pair.with(side, |core, _| core.detach()),
            Op::Present { side } => self.pair.with(side, |core, now| {
                core.detach();
                core.attach(ROOM, now);
            }),
            Op::Restart { side } => {
                self.collect();
                for (i, sent) in self.sent.iter_mut().enumerate() {
                    sent.orphan |= sent.side == side && !self.outcomes.contains_key(&i);
                }
                self.epochs[side] += 2;
                self.pair.restart(side, self.epochs[side]);
            }
        }
        self.collect();
    }

    /// Moves what the pair recorded into the model.
    fn collect(&mut self) {
        for side in [0, 1] {
            for (_, ticket, outcome) in std::mem::take(&mut self.pair.nodes[side].outcomes) {
                let mut of = self.sent.iter().enumerate().rev().filter(|(i, s)| {
                    s.side == side
                        && s.ticket == ticket
                        && !s.orphan
                        && !self.outcomes.contains_key(i)
                });
                let (i, _) = of.next().expect("an outcome for a message without one");
                assert_eq!(of.next().map(|(i, _)| i), None, "two live messages of one ticket");
                self.outcomes.insert(i, outcome);
            }
            let delivered = std::mem::take(&mut self.pair.nodes[side].delivered);
            self.got[side].extend(delivered.into_iter().map(|(_, d)| d.payload));
        }
    }

    /// The weather clears, and everything runs out.
    fn end(&mut self) {
        for wire in 0..WIRES {
            for side in [0, 1] {
                self.pair.hook(side, wire, |_, _| Fate::Pass);
                self.pair.wires[wire].lanes[side].refuses = None;
            }
            if self.up[wire] {
                // A stalled lane has lost its frames; only a new link makes up for it.
                self.pair.down(wire);
            }
            self.pair.up(wire);
        }
        for side in [0, 1] {
            self.apply(Op::Present { side });
        }
        self.pair.drive_for(ms(20_000));
        self.collect();
    }

    fn check(&self) {
        for (i, sent) in self.sent.iter().enumerate() {
            let copies = self.got[1 - sent.side].iter().filter(|p| **p == sent.payload).count();
            let outcome = self.outcomes.get(&i);
            assert!(copies <= 1, "message {i} was delivered {copies} times: {outcome:?}");
            if sent.orphan {
                continue;
            }
            match outcome {
                None => panic!("message {i} has no outcome: {sent:?}"),
                Some(Outcome::Delivered { level, .. }) => {
                    assert_eq!((copies, *level), (1, sent.ack), "message {i}: {outcome:?}");
                }
                Some(Outcome::Sent { .. }) => assert_eq!(sent.ack, AckLevel::Accepted),
                Some(Outcome::Expired { .. }) => {
                    assert_eq!(copies, 0, "message {i} expired for certain");
                }
                Some(Outcome::Rejected { why }) => {
                    assert!(
                        matches!(why, RejectReason::Superseded | RejectReason::Cancelled),
                        "message {i}: {why:?}"
                    );
                    assert_eq!(copies, 0, "message {i}: {why:?}");
                }
                Some(Outcome::Unknown { .. }) => {}
            }
        }
        for side in [0, 1] {
            for payload in &self.got[side] {
                let known = self.sent.iter().filter(|s| s.side != side && s.payload == *payload);
                assert_eq!(known.count(), 1, "what was delivered was sent");
            }
            assert_eq!(self.pair.nodes[side].core.unsettled(), 0);
            assert_eq!(self.pair.nodes[side].core.node_bytes, 0);
            self.in_order(side);
        }
    }

    /// Messages of one key came in the order they were sent.
    fn in_order(&self, side: usize) {
        let mut last = BTreeMap::new();
        for payload in &self.got[side] {
            let number = self.sent.iter().position(|s| s.payload == *payload).unwrap();
            if let Some(key) = self.sent[number].order {
                let before = last.insert(key, number);
                assert!(before < Some(number), "message {number} of {key:?} came after {before:?}");
            }
        }
    }
}

/// The courses are eventful, or what they keep would be no promise.
#[test]
fn courses_see_every_outcome() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let strategy = prop::collection::vec(op(), 60..120);
    let mut seen = BTreeMap::<String, u32>::new();
    let mut count = |what: &str, times: u64| {
        *seen.entry(what.to_owned()).or_default() += times as u32;
    };
    for seed in 0..100 {
        let mut course = Course::new(seed);
        for op in strategy.new_tree(&mut runner).unwrap().current() {
            course.apply(op);
        }
        course.end();
        course.check();
        for outcome in course.outcomes.values() {
            let name = format!("{outcome:?}");
            count(name.split([' ', '{']).next().unwrap_or_default(), 1);
        }
        for node in &course.pair.nodes {
            let counters = node.core.counters();
            for (what, times) in [
                ("failovers", counters.failovers),
                ("duplicates", counters.duplicates),
                ("no custody", counters.no_custody),
                ("hedges", counters.hedges),
                ("delivered", counters.delivered),
            ] {
                count(what, times);
            }
        }
    }
    let expected =
        ["Delivered", "Sent", "Expired", "Rejected", "Unknown", "failovers", "duplicates"];
    for what in expected.into_iter().chain(["no custody"]) {
        assert!(seen.get(what).is_some_and(|n| *n >= 3), "{what}: {seen:?}");
    }
    // Rare where links are either good or gone.
    assert!(seen["hedges"] >= 1, "{seen:?}");
    assert!(seen["delivered"] >= 300, "{seen:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_course_keeps_its_promises(seed in any::<u64>(), ops in prop::collection::vec(op(), 1..120)) {
        let mut course = Course::new(seed);
        for op in ops {
            course.apply(op);
        }
        course.end();
        course.check();
    }

    /// Cancel, ack, hedge and loss of the link within one round trip, in every interleaving.
    #[test]
    fn cancel_ack_hedge_and_drop_leave_one_outcome(
        events in prop::collection::vec((0u8..5, 0u64..50_000), 1..6),
        class in 0usize..4, applied in any::<bool>()
    ) {
        let mut pair = Pair::new(&[Profile::wifi(ms(10)), Profile::internet(ms(12))]);
        pair.drive_for(ms(3_000));
        let ack = if applied { AckLevel::Applied } else { AckLevel::PeerAcked };
        let options = SendOptions::new(TrafficClass::ALL[class]).ack(ack).deadline(ms(150));
        let start = pair.now;
        let ticket = pair.send(0, "x", options);
        let mut events = events;
        events.sort_by_key(|(_, at)| *at);
        for (what, at) in events {
            pair.drive_until(start + us(at));
            match what {
                0 => pair.cancel(0, ticket),
                1 => pair.down_at(0, 0),
                2 => pair.down_at(0, 1),
                3 => pair.black_hole(0),
                _ => pair.hook(1, 0, |_, _| Fate::Late(ms(9))),
            }
        }
        pair.drive_for(ms(2_000));
        prop_assert_eq!(pair.nodes[0].outcomes.len(), 1);
        let delivered = pair.nodes[1].delivered.len();
        prop_assert!(delivered <= 1);
        match pair.outcome(0, ticket) {
            Some(Outcome::Delivered { .. }) => prop_assert_eq!(delivered, 1),
            Some(Outcome::Unknown { .. }) => {}
            Some(Outcome::Expired { .. } | Outcome::Rejected { .. }) => prop_assert_eq!(delivered, 0),
            other => prop_assert!(false, "{:?}", other),
        }
        prop_assert_eq!(pair.nodes[0].core.unsettled(), 0);
    }
}
