use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use bitcraps_node::admin::{Ack, OutcomeReport, Request, Response, request};
use bitcraps_types::TrafficClass;

use super::pair::{PATIENCE, Pair};
use crate::process::{LOOK, now};

/// Messages under way at a time.
const LANES: u32 = 8;

/// Time from the outcome of one message to the next in its lane: this is a load, nothing waits.
const PACE: Duration = Duration::from_millis(40);

/// Said last.
const END: &str = "the end";

/// Critical messages from the near node to the far one, [`LANES`] at a time, while something happens.
pub(super) struct Flow {
    entry: Entry,
    stop: AtomicBool,
    settled: AtomicU32,
}

/// A message that was sent.
struct Sent {
    text: String,
    outcome: OutcomeReport,
    settled: Instant,
}

impl Flow {
    /// Sends while `event` runs, and waits for every outcome. What the messages went through.
    pub(super) fn during(pair: &Pair, event: impl FnOnce(&Self)) -> Course {
        let flow = Self {
            entry: Entry::of(pair),
            stop: AtomicBool::new(false),
            settled: AtomicU32::new(0),
        };
        thread::scope(|scope| {
            let lanes: Vec<_> = (0..LANES)
                .map(|lane| {
                    let flow = &flow;
                    scope.spawn(move || flow.lane(lane))
                })
                .collect();
            // The lanes end also when the event fails.
            let stop = Stop(&flow.stop);
            event(&flow);
            drop(stop);
            let sent = lanes.into_iter().flat_map(|lane| lane.join().unwrap()).collect();
            Course { sent }
        })
    }

    fn lane(&self, lane: u32) -> Vec<Sent> {
        let mut sent = Vec::new();
        for number in 0.. {
            if self.stop.load(Ordering::Relaxed) {
                break;
            }
            sent.push(self.entry.send(format!("lane {lane}, message {number}")));
            self.settled.fetch_add(1, Ordering::Relaxed);
            thread::sleep(PACE);
        }
        sent
    }

    /// Waits until `count` more messages have an outcome than now.
    #[track_caller]
    pub(super) fn settles(&self, count: u32) {
        let start = now();
        let enough = self.settled.load(Ordering::Relaxed) + count;
        while self.settled.load(Ordering::Relaxed) < enough {
            assert!(now() - start < PATIENCE, "{count} messages are not settled");
            thread::sleep(LOOK);
        }
    }
}

/// Sets the flag when dropped.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The way into the near node for messages to the far one.
struct Entry {
    socket: PathBuf,
    to: String,
}

impl Entry {
    fn of(pair: &Pair) -> Self {
        let socket = pair.near.home.join(".local/share/bitcraps/admin.sock");
        Self { socket, to: pair.far.id.clone() }
    }

    /// Sends a message and waits for what becomes of it.
    fn send(&self, text: String) -> Sent {
        let asked = Request::Send {
            peer: self.to.clone(),
            class: TrafficClass::Critical,
            payload: text.clone(),
            ack: Ack::Applied,
            deadline_ms: Some(2 * PATIENCE.as_millis() as u64),
            wait: true,
        };
        match request(&self.socket, &asked) {
            Ok(Response::Send(report)) => Sent { text, outcome: report.outcome, settled: now() },
            other => panic!("{other:?}"),
        }
    }
}

/// Messages that lie at the near node until they can be sent.
pub(super) struct Waiting(Vec<JoinHandle<Sent>>);

impl Waiting {
    /// Sends `count` messages and waits until the near node has taken them.
    pub(super) fn new(pair: &Pair, count: u64) -> Self {
        let sends = (0..count).map(|number| {
            let entry = Entry::of(pair);
            thread::spawn(move || entry.send(format!("waiting {number}")))
        });
        let waiting = Self(sends.collect());
        pair.near
            .ask_until(&["status", "--json"], |s| s["peers"][0]["unsettled"]["critical"] == count);
        waiting
    }

    /// Waits for every outcome.
    pub(super) fn settled(self) -> Course {
        Course { sent: self.0.into_iter().map(|send| send.join().unwrap()).collect() }
    }
}

/// What became of the messages of a flow.
pub(super) struct Course {
    sent: Vec<Sent>,
}

impl Course {
    /// Every message was confirmed, and the far application was given each once and nothing else.
    #[track_caller]
    pub(super) fn delivered_once(&self, pair: &mut Pair) {
        for sent in &self.sent {
            let delivered = matches!(sent.outcome, OutcomeReport::Delivered { .. });
            assert!(delivered, "{}: {:?}", sent.text, sent.outcome);
        }
        Entry::of(pair).send(END.to_owned());
        let mut given = BTreeMap::<String, u32>::new();
        for line in pair.far.out.all_until(END) {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            *given.entry(line["message"]["text"].as_str().unwrap().to_owned()).or_default() += 1;
        }
        given.remove(END);
        let expected: BTreeMap<_, _> = self.sent.iter().map(|s| (s.text.clone(), 1)).collect();
        assert_eq!(given, expected);
    }

    /// The longest time in which no message was confirmed.
    pub(super) fn gap(&self) -> Duration {
        let mut settled: Vec<_> = self.sent.iter().map(|sent| sent.settled).collect();
        settled.sort_unstable();
        settled.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
    }
}
