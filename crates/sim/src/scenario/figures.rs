use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bitcraps_coordinator::Outcome;
use bitcraps_types::{PeerId, Timestamp, TrafficClass, TransportType};
use serde::Serialize;

use super::course::Course;
use crate::Fortune;

/// What came of messages.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct ClassFigures {
    /// Messages that their nodes took.
    pub sent: u64,
    /// Of these, messages that the destination's application was handed.
    pub delivered: u64,
    /// Messages that it was not handed, though their senders lived on.
    pub undelivered: u64,
    /// Messages whose senders were told that they certainly did not arrive.
    pub expired: u64,
    /// Messages whose senders were told that nobody knows.
    pub unknown: u64,
    /// Messages that the destination or the sender's node would not have.
    pub rejected: u64,
    /// Messages without an outcome at the end.
    pub open: u64,
    /// Messages that their own node refused at once.
    pub refused: u64,
    /// From sending to confirmation, the median, in milliseconds.
    pub p50_ms: Option<f64>,
    /// The same for the slowest of a hundred.
    pub p99_ms: Option<f64>,
    /// Longest time in which nothing arrived of a source that sent to one destination, from its first
    /// arrival on and while it sent, in milliseconds.
    pub longest_gap_ms: Option<f64>,
}

/// What a course came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figures {
    /// The scenario.
    pub name: String,
    /// Its seed.
    pub seed: u64,
    /// Virtual seconds that it took.
    pub seconds: f64,
    /// Nodes.
    pub nodes: usize,
    /// Nodes that live at the end.
    pub alive: usize,
    /// Links that were there at any time, each with all its incarnations.
    pub links: usize,
    /// Links that carry at the end.
    pub links_up: usize,
    /// Messages of every class.
    pub all: ClassFigures,
    /// Messages by class, those that were sent alone.
    pub classes: BTreeMap<&'static str, ClassFigures>,
    /// Nodes that see, at the end, another network than there is where they are.
    pub wrong_views: usize,
    /// Spare links that carry at the end, because nodes made them.
    pub healed: usize,
    /// Frames that nodes carried for others.
    pub relayed: u64,
    /// Frames that links were given.
    pub frames: u64,
    /// Their bytes, a second and node.
    pub bytes_per_node_second: f64,
    /// Events of the simulation.
    pub events: u64,
    /// Digest of everything that happened and was decided.
    pub trace_hash: String,
}

impl Figures {
    pub(super) fn of(course: &Course<'_>) -> Self {
        let (sim, scenario) = (&course.sim, course.scenario);
        let messages = Messages::of(course);
        let sent = |class: &TrafficClass| scenario.streams.iter().any(|s| s.class == *class);
        let classes = TrafficClass::ALL.into_iter().filter(sent);
        let mut lanes = (0, 0);
        for joint in &course.joints {
            for node in joint.ends {
                let stats = sim.lane_stats(joint.link, course.nodes[node]);
                lanes = (lanes.0 + stats.frames, lanes.1 + stats.bytes);
            }
        }
        let seconds = scenario.length.as_secs_f64();
        let engines = || course.nodes.iter().filter_map(|node| sim.engine(*node));
        Self {
            name: scenario.name.clone(),
            seed: scenario.seed,
            seconds,
            nodes: course.nodes.len(),
            alive: engines().count(),
            links: course.joints.len(),
            links_up: course.joints.iter().filter(|joint| joint.carries).count(),
            all: messages.figures(course, |_| true),
            classes: classes.map(|c| (c.name(), messages.figures(course, |is| is == c))).collect(),
            wrong_views: wrong_views(course),
            healed: course.joints.iter().filter(|joint| joint.spare && joint.carries).count(),
            relayed: course.relayed
                + (0..course.nodes.len()).map(|node| course.relayed_by(node)).sum::<u64>(),
            frames: lanes.0,
            bytes_per_node_second: lanes.1 as f64 / seconds / course.nodes.len() as f64,
            events: sim.events(),
            trace_hash: format!("{:016x}", sim.trace_hash()),
        }
    }
}

/// When each message was handed to its destination, if it was.
struct Messages {
    arrived: Vec<Option<Timestamp>>,
}

impl Messages {
    fn of(course: &Course<'_>) -> Self {
        let mut arrived = vec![None; course.streams.len()];
        for node in &course.nodes {
            for record in course.sim.app(*node).delivered() {
                // A payload begins with the number of its message.
                let head = record.delivery.payload.first_chunk();
                let number = head.and_then(|head| usize::try_from(u64::from_be_bytes(*head)).ok());
                if let Some(arrived) = number.and_then(|number| arrived.get_mut(number)) {
                    arrived.get_or_insert(record.at);
                }
            }
        }
        Self { arrived }
    }

    fn figures(&self, course: &Course<'_>, is: impl Fn(TrafficClass) -> bool) -> ClassFigures {
        let mut figures = ClassFigures::default();
        let mut latencies: Vec<Duration> = Vec::new();
        let mut gaps: BTreeMap<(usize, usize), Vec<Timestamp>> = BTreeMap::new();
        let mut last_sent: BTreeMap<(usize, usize), Timestamp> = BTreeMap::new();
        for (number, message) in course.sim.messages().iter().enumerate() {
            if !is(message.options.class) {
                continue;
            }
            match message.fortune {
                Fortune::Taken(_) => figures.sent += 1,
                Fortune::Refused(_) => {
                    figures.refused += 1;
                    continue;
                }
                Fortune::Scheduled | Fortune::SenderDead => continue,
            }
            let arrived = self.arrived[number];
            figures.delivered += u64::from(arrived.is_some());
            figures.undelivered += u64::from(arrived.is_none() && !message.orphaned);
            match &message.outcome {
                None => figures.open += u64::from(!message.orphaned),
                Some((at, Outcome::Delivered { .. })) => latencies.push(at.since(message.at)),
                Some((_, Outcome::Sent { .. })) => {}
                Some((_, Outcome::Expired { .. })) => figures.expired += 1,
                Some((_, Outcome::Rejected { .. })) => figures.rejected += 1,
                Some((_, Outcome::Unknown { .. })) => figures.unknown += 1,
            }
            let source = course.streams[number];
            if course.scenario.streams[source.0].fixed {
                // The first message that was sent counts as an arrival, and so does the last.
                let moments = gaps.entry(source).or_insert_with(|| vec![message.at]);
                moments.extend(arrived);
                last_sent.insert(source, message.at);
            }
        }
        latencies.sort_unstable();
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        let at = |percent: usize| {
            let at = (latencies.len() * percent).div_ceil(100).saturating_sub(1);
            latencies.get(at).copied().map(ms)
        };
        figures.p50_ms = at(50);
        figures.p99_ms = at(99);
        let longest = |(source, mut arrivals): (_, Vec<Timestamp>)| {
            arrivals.sort_unstable();
            // Messages on their way at the end count from the last one that was sent.
            arrivals.extend(last_sent.get(&source).copied());
            arrivals.windows(2).map(|pair| pair[1].since(pair[0])).max()
        };
        figures.longest_gap_ms = gaps.into_iter().filter_map(longest).max().map(ms);
        figures
    }
}

/// Ends, the lower first, and what carries it.
type Name = (PeerId, PeerId, TransportType);

/// Nodes that do not see exactly the links that there are among those whom they reach.
fn wrong_views(course: &Course<'_>) -> usize {
    let (sim, scenario) = (&course.sim, course.scenario);
    let sees = |node: usize| course.is_alive(node) && scenario.group_of(node).view;
    let mut parts: Vec<usize> = (0..course.nodes.len()).collect();
    let carrying = course.joints.iter().filter(|j| j.carries && j.ends.iter().all(|n| sees(*n)));
    let carrying: Vec<_> = carrying.collect();
    for joint in &carrying {
        let [a, b] = joint.ends.map(|node| root(&mut parts, node));
        parts[a.max(b)] = a.min(b);
    }
    let mut truth: BTreeMap<usize, BTreeSet<Name>> = BTreeMap::new();
    for joint in carrying {
        let [a, b] = joint.ends.map(|node| sim.peer_id(course.nodes[node]));
        let name = (a.min(b), a.max(b), scenario.radios[joint.radio].model.transport);
        truth.entry(root(&mut parts, joint.ends[0])).or_default().insert(name);
    }
    let nothing = BTreeSet::new();
    let mut wrong = 0;
    for node in (0..course.nodes.len()).filter(|node| sees(*node)) {
        let truth = truth.get(&root(&mut parts, node)).unwrap_or(&nothing);
        let network = sim.engine(course.nodes[node]).and_then(|engine| engine.network());
        let Some(network) = network else { continue };
        let seen = |(count, right): (usize, bool), (a, b, transport): Name| {
            (count + 1, right && truth.contains(&(a, b, transport)))
        };
        let links = network.links().map(|link| (link.a, link.b, link.quality.transport()));
        let (count, right) = links.fold((0, true), seen);
        wrong += usize::from(!right || count != truth.len());
    }
    wrong
}

/// Who stands for the part of the network that a node is in (union and find, with halving).
fn root(parts: &mut [usize], mut node: usize) -> usize {
    while parts[node] != node {
        parts[node] = parts[parts[node]];
        node = parts[node];
    }
    node
}
