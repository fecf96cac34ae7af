use std::time::Duration;

use bitcraps_types::{Kbps, Medium, PeerId, Ratio, Timestamp, TrafficClass, TransportType};

use crate::link::{Link, Silence};
use crate::peer::Peer;
use crate::{Core, LinkUp, SizeBucket, Standing, Tier, TransportMetrics};

impl Core {
    /// Every peer that was ever known.
    pub fn peers(&self, now: Timestamp) -> Vec<PeerStatus> {
        let known = self.peers.iter().filter(|peer| !peer.vacant);
        known.map(|peer| self.status(peer, now)).collect()
    }

    /// What is measured of the links to a peer that have greeted, in the order they came up; none
    /// that lead through relays. O(1).
    pub fn measures(&self, id: PeerId, now: Timestamp) -> impl Iterator<Item = LinkMeasures> + '_ {
        let known = self.peer(id).map(|handle| &self.peers[handle.0 as usize].links);
        let small = SizeBucket::Small;
        let own = |link: &&Link| link.ready && !crate::is_relayed(link.id());
        known.into_iter().flatten().filter(own).map(move |link| LinkMeasures {
            transport: link.facts.transport,
            medium: link.facts.capabilities.medium,
            round_trip: link.smoothed(small),
            delivery: Ratio::clamped(f64::from(link.buckets[small.index()].delivery.mean())),
            goodput: Kbps::at_least_one(link.goodput.kbps()),
            max_frame: link.max_frame,
            silence: link.silence(now),
            awake: link.standby_interval_at(now).is_some(),
        })
    }

    fn status(&self, peer: &Peer, now: Timestamp) -> PeerStatus {
        let waiting = TrafficClass::ALL.map(|class| peer.outgoing[class.index()].messages);
        PeerStatus {
            peer: peer.id,
            epoch: peer.epoch,
            links: peer.links.iter().map(|link| link_status(link, now)).collect(),
            unsettled: waiting,
            standing: peer.standing,
            shut_out: peer.shut_out(now),
        }
    }
}

/// One peer as seen from outside.
#[derive(Debug, Clone, PartialEq)]
pub struct PeerStatus {
    /// Its key.
    pub peer: PeerId,
    /// Its incarnation, once it greeted.
    pub epoch: Option<bitcraps_types::Epoch>,
    /// Its links.
    pub links: Vec<LinkStatus>,
    /// Unsettled messages to it, by class.
    pub unsettled: [usize; TrafficClass::COUNT],
    /// What it may do.
    pub standing: Standing,
    /// The incarnation of its key that was shut out lately, because another one was alive.
    pub shut_out: Option<bitcraps_types::Epoch>,
}

/// What is measured of a link that has greeted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LinkMeasures {
    /// Its family.
    pub transport: TransportType,
    /// What it really runs over.
    pub medium: Medium,
    /// Smoothed round trip of small frames; `None` before the first answer.
    pub round_trip: Option<Duration>,
    /// Mean delivery probability of small frames.
    pub delivery: Ratio,
    /// What it carries in a second.
    pub goodput: Kbps,
    /// Largest frame in bytes.
    pub max_frame: usize,
    /// What it has not answered, when it passes for dead.
    pub silence: Option<Silence>,
    /// Its radio is not woken by a frame now, or may be.
    pub awake: bool,
}

/// An input of ranking: its value, and how often its producer spoke.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Input {
    /// What it is.
    pub name: &'static str,
    /// Its value; `None` says "no data".
    pub value: Option<f64>,
    /// Measurements behind it.
    pub samples: u64,
}

/// One link as seen from outside.
#[derive(Debug, Clone, PartialEq)]
pub struct LinkStatus {
    /// Its facts.
    pub facts: LinkUp,
    /// How long it has been up.
    pub up_for: Duration,
    /// Whether it carries data.
    pub ready: bool,
    /// Trust in small frames.
    pub tier: Tier,
    /// Smoothed round trip of small frames.
    pub smoothed_rtt: Option<Duration>,
    /// Retransmission timeout of small frames.
    pub timeout: Duration,
    /// Mean delivery probability of small frames.
    pub delivery: Ratio,
    /// Bytes waiting in the driver's queue.
    pub backlog_bytes: u64,
    /// Age of the last answer.
    pub last_answer: Duration,
    /// What ranking reads, with its producers.
    pub inputs: Vec<Input>,
    /// What happened over it.
    pub metrics: TransportMetrics,
}

fn link_status(link: &Link, now: Timestamp) -> LinkStatus {
    let small = SizeBucket::Small;
    let bucket = &link.buckets[small.index()];
    let (frames, backlog) = link.backlog();
    let measured = |samples: u32, value: f64| (samples > 0).then_some(value);
    let rtt_us = bucket.rtt.smoothed().map(|d| d.as_micros() as f64);
    let samples = u64::from(bucket.rtt.samples);
    let input = |name, value, samples| Input { name, value, samples };
    LinkStatus {
        facts: link.facts,
        up_for: now.since(link.since),
        ready: link.ready,
        tier: link.tier(small),
        smoothed_rtt: link.smoothed(small),
        timeout: link.timeout(small),
        delivery: Ratio::clamped(f64::from(bucket.delivery.mean())),
        backlog_bytes: backlog,
        last_answer: now.since(link.last_answer()),
        inputs: vec![
            input("smoothed_rtt_us", rtt_us, samples),
            input(
                "delivery_lower_bound",
                measured(bucket.delivery.samples, f64::from(bucket.delivery.lower_bound())),
                u64::from(bucket.delivery.samples),
            ),
            input(
                "goodput_kbps",
                measured(link.goodput.samples, f64::from(link.goodput.kbps())),
                u64::from(link.goodput.samples),
            ),
            input("backlog_frames", Some(frames as f64), link.written_total()),
            input("radio_active", link.active_at().map(|_| 1.0), link.counters.frames),
        ],
        metrics: link.counters.metrics(),
    }
}
