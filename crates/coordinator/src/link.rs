//! One link to one peer: what is measured of it, and what ranking reads.

mod probing;
mod queue;
mod trust;

use crate::budget::Budget;
use crate::config::TransportConfig;
use crate::damping::Damping;
use crate::estimator::{Delivery, Goodput, RoundTrip, SizeBucket};
use crate::flight::{Arrivals, Flight, Flights};
use crate::metrics::LinkCounters;
use crate::policy::{Candidate, Tier};
use bitcraps_types::{LinkCapabilities, LinkId, PeerId, Timestamp, TransportType};
use bitcraps_wire::HopAck;
use std::collections::VecDeque;
use std::time::Duration;

/// Consecutive expiries of one bucket that make a link suspect.
const SUSPECT_EXPIRIES: u8 = 2;
/// Consecutive lost probes that make a link down.
const DOWN_PROBES: u8 = 3;
/// Consecutive lost probes after which nobody is taken to be at the other end: one in a million where
/// one frame in twenty is lost each way. Until then they follow each other fast.
pub const SILENT_PROBES: u8 = 6;
/// Good answers that a suspect or down link needs before it is trusted again, beside the hold.
const RECOVERY_ANSWERS: u8 = 5;
/// Most that is added to the hold of a link that was down: a thousand whose access point came back
/// return to it one after the other.
const STAGGER: Duration = Duration::from_secs(4);
/// Good answers of a suspect link after which another failure is a flap.
const RELAPSE_ANSWERS: u8 = 2;
/// Good answers since frames were last lost two in a row, after which two more are no more than a rate of
/// losses makes: one in seven, or less.
const CHANCE_ANSWERS: u8 = 50;
/// Least patience with a driver's queue before the link becomes suspect.
const QUEUE_PATIENCE: Duration = Duration::from_millis(50);
/// Sojourn in the driver's queue that the dynamic limit aims at (as Linux's byte queue limits do):
/// long enough to keep a fast link busy between wake-ups.
const QUEUE_TARGET: Duration = Duration::from_millis(2);
/// How long after a realtime frame the next one is expected: dice are rolled several times a second.
const URGENT: Duration = Duration::from_secs(1);
/// Most bytes that the dynamic limit leaves to a driver's queue.
const QUEUE_LIMIT_MAX: u64 = 1 << 20;
/// Probe interval while an answer is wanted soon.
pub(crate) const PROBE_FAST: Duration = Duration::from_millis(100);
/// Longest probe interval of a link that is down.
const PROBE_DOWN_MAX: Duration = Duration::from_secs(5);
/// Standby probe interval of a radio that costs nothing, or when energy does not count.
const PROBE_MAINS: Duration = Duration::from_millis(250);
/// Standby probe interval of a radio that runs on a battery.
const PROBE_BATTERY: Duration = Duration::from_secs(1);
/// A radio whose tail is longer is never woken by a probe.
const LONG_TAIL: Duration = Duration::from_secs(2);
/// Probes a link is answered in a second: an honest peer sends ten.
const REPLIES_PER_SECOND: f64 = 50.0;
/// A link that lived shorter counts as a flap when it goes.
const SHORT_LIFE: Duration = Duration::from_secs(10);
/// Longest time before a frame that nobody asked about is given up.
pub(crate) const FLIGHT_MAX_AGE: Duration = Duration::from_secs(5);

/// A link that came up: facts from its driver.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LinkUp {
    /// Its incarnation.
    pub link: LinkId,
    /// The key at the other end, proved.
    pub peer: PeerId,
    /// Its family.
    pub transport: TransportType,
    /// What it can do.
    pub capabilities: LinkCapabilities,
}

/// What a link that passes for dead has not answered. One that flaps passes for dead while it
/// answers, until its hold is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Silence {
    /// Since the last answer.
    pub lasts: Duration,
    /// Probes in a row that were not answered, up to 255; [`SILENT_PROBES`] are no accident.
    pub lost_probes: u8,
}

/// A frame handed to the driver and not yet written.
#[derive(Debug, Clone, Copy)]
struct Unwritten {
    handed: Timestamp,
    bytes: u32,
    seq: Option<u32>,
}

/// What is known of frames of one size on one link.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bucket {
    pub(crate) rtt: RoundTrip,
    pub(crate) delivery: Delivery,
    expiries: u8,
    /// When a frame of this size last expired.
    expired_at: Timestamp,
    pub(crate) suspect: bool,
    answers: u8,
    /// Answers since two frames or more were lost in a row.
    between: u8,
    /// It is suspect for two losses that may be chance: answers are all it takes to be trusted again.
    pardoned: bool,
    lost_probes: u8,
    /// When something last spoke against frames of this size: more than a single loss.
    failed_at: Timestamp,
}

impl Bucket {
    /// Wait between probes of a size that is suspect; grows while none is answered.
    fn probe_interval(&self) -> Duration {
        let doublings = u32::from(self.lost_probes.saturating_sub(SILENT_PROBES - 1)).min(6);
        (PROBE_FAST * (1 << doublings)).min(PROBE_DOWN_MAX)
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct OutstandingProbe {
    pub(crate) nonce: u64,
    pub(crate) seq: u32,
    pub(crate) bucket: SizeBucket,
    pub(crate) due: Timestamp,
}

/// What drains from a driver's queue within [`QUEUE_TARGET`] at the nominal rate, in bytes.
fn queue_base(capabilities: &LinkCapabilities) -> u64 {
    let bits_per_ms = u64::from(capabilities.nominal_rate.get());
    (bits_per_ms * QUEUE_TARGET.as_millis() as u64 / 8).min(QUEUE_LIMIT_MAX)
}

/// How a link's standing changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    Suspect,
    Flapping,
    Down,
    Recovered,
}

/// The hello exchange of a link.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Greeting {
    pub(crate) challenge: u64,
    pub(crate) peer_challenge: Option<u64>,
    pub(crate) resend_at: Option<Timestamp>,
    pub(crate) last_sent: Option<Timestamp>,
    pub(crate) sent: u32,
}

/// One link's measured state. It is told what happened and answers what that means; nothing here
/// decides which link is used.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) facts: LinkUp,
    pub(crate) since: Timestamp,
    config: TransportConfig,
    /// Largest frame in bytes: the link's bound and the configured one.
    pub(crate) max_frame: usize,
    energy_aware: bool,
    /// This end's name for the link in detoured hop acks.
    pub(crate) tag: u32,
    /// The other end's name for it, once its hello came.
    pub(crate) peer_tag: Option<u32>,
    pub(crate) greeting: Greeting,
    /// Both ends have seen each other's hello; data may flow.
    pub(crate) ready: bool,
    pub(crate) flights: Flights,
    pub(crate) arrivals: Arrivals,
    pub(crate) buckets: [Bucket; SizeBucket::COUNT],
    pub(crate) goodput: Goodput,
    damping: Damping,
    suspect_since: Option<Timestamp>,
    down: bool,
    /// It was down since it was trusted last.
    was_down: bool,
    pub(crate) one_way: bool,
    /// Since when acks of this link's frames come over others only.
    detour_since: Option<Timestamp>,
    /// Data or probes came: the other end is ready too.
    pub(crate) peer_ready: bool,
    /// The other end was seen to receive acks that left for frames of this link.
    acks_proven: bool,
    /// Acks seen to arrive since the last that did not.
    acks_seen: u32,
    /// Acks over this link alone that did not arrive, since one did.
    acks_lost: u32,
    pub(crate) probe: Option<OutstandingProbe>,
    pub(crate) probe_at: Timestamp,
    /// How long the link may be silent before the next probe, jittered.
    probe_wait: Duration,
    last_answer: Timestamp,
    unwritten: VecDeque<Unwritten>,
    written_total: u64,
    backlog: u64,
    /// Bytes that the driver's queue may hold before traffic that can wait does so here.
    queue_limit: u64,
    /// Least `queue_limit`: what drains within the target at the nominal rate.
    queue_base: u64,
    /// Until then, traffic that can wait leaves the driver's queue to one frame.
    urgent_until: Timestamp,
    /// Frames that the driver's queue holds, as far as it has told by refusing one.
    queue_frames: usize,
    active_at: Option<Timestamp>,
    /// When a message last left over it. Probes and acks do not count: two ends would keep each
    /// other's radios awake with them.
    carried_at: Option<Timestamp>,
    load_bytes: f32,
    load_at: Timestamp,
    pub(crate) counters: LinkCounters,
    /// Probe replies that may leave: more than an honest peer asks for, and no more.
    pub(crate) replies: Budget,
    /// The timer that is set for it.
    pub(crate) timer: Option<Timestamp>,
}

impl Link {
    pub(crate) fn new(
        facts: LinkUp,
        config: TransportConfig,
        energy_aware: bool,
        tag: u32,
        challenge: u64,
        damping: Damping,
        now: Timestamp,
    ) -> Self {
        let capabilities = facts.capabilities;
        let delivery = Delivery::new(capabilities.prior_reliability);
        let bucket = Bucket {
            rtt: RoundTrip::default(),
            delivery,
            expiries: 0,
            suspect: false,
            answers: 0,
            between: 0,
            pardoned: false,
            lost_probes: 0,
            expired_at: now,
            failed_at: now,
        };
        let mut link = Self {
            facts,
            since: now,
            config,
            max_frame: capabilities.max_frame.min(config.max_packet_size),
            energy_aware,
            tag,
            peer_tag: None,
            greeting: Greeting {
                challenge,
                peer_challenge: None,
                resend_at: Some(now),
                last_sent: None,
                sent: 0,
            },
            ready: false,
            flights: Flights::new(challenge as u32),
            arrivals: Arrivals::default(),
            buckets: [bucket; SizeBucket::COUNT],
            goodput: Goodput::new(capabilities.nominal_rate.get()),
            damping,
            suspect_since: None,
            down: false,
            was_down: false,
            one_way: false,
            detour_since: None,
            peer_ready: false,
            acks_proven: false,
            acks_seen: 0,
            acks_lost: 0,
            probe: None,
            probe_at: now,
            probe_wait: Duration::ZERO,
            last_answer: now,
            unwritten: VecDeque::new(),
            written_total: 0,
            backlog: 0,
            queue_limit: 0,
            queue_base: queue_base(&capabilities),
            urgent_until: Timestamp::ZERO,
            queue_frames: usize::MAX,
            active_at: None,
            carried_at: None,
            load_bytes: 0.0,
            load_at: now,
            counters: LinkCounters::new(),
            replies: Budget::new(0.0, REPLIES_PER_SECOND, REPLIES_PER_SECOND),
            timer: None,
        };
        if damping.holds(now) {
            // The former incarnation fell too lately: this one starts out of favour.
            link.buckets[0].suspect = true;
            link.suspect_since = Some(now);
        }
        link
    }

    /// Settings changed; what was measured stays.
    pub(crate) fn reconfigure(&mut self, config: TransportConfig, energy_aware: bool) {
        self.config = config;
        self.energy_aware = energy_aware;
        self.fit(self.facts.capabilities.max_frame.min(config.max_packet_size));
    }

    /// Frames are at most `max_frame` bytes from now on. Doubts about larger ones are void.
    pub(crate) fn fit(&mut self, max_frame: usize) {
        self.max_frame = max_frame;
        let largest = SizeBucket::of(max_frame).index();
        for bucket in &mut self.buckets[largest + 1..] {
            bucket.suspect = false;
        }
        if self.buckets.iter().all(|b| !b.suspect) {
            self.suspect_since = None;
        }
    }

    pub(crate) fn active_at(&self) -> Option<Timestamp> {
        self.active_at
    }

    pub(crate) fn id(&self) -> LinkId {
        self.facts.link
    }

    pub(crate) fn connection_timeout(&self) -> Duration {
        self.config.connection_timeout
    }

    /// Retransmission timeout of frames of this size: `srtt + 4 rttvar`, floored, and the
    /// transport's cold prior before the first measurement of any size.
    pub(crate) fn timeout(&self, bucket: SizeBucket) -> Duration {
        let transport = self.facts.transport;
        let Some(rtt) = self.measured(bucket) else {
            return transport.cold_timeout();
        };
        let timeout = rtt.timeout().max(transport.timeout_floor());
        let known = self.buckets[..=bucket.index()].iter().rposition(|b| b.rtt.samples > 0);
        if known.is_none_or(|known| known == bucket.index()) {
            return timeout;
        }
        // Measured on smaller frames only: a larger one takes longer to pass, there and maybe on
        // the way.
        let bytes = bucket.limit().min(self.max_frame) as f32;
        let passing = Duration::from_nanos((self.goodput.nanos_per_byte() * bytes) as u64);
        timeout + passing * 2
    }

    /// When the answer to a frame is overdue.
    pub(crate) fn flight_due(&self, flight: &Flight) -> Timestamp {
        let timeout = self.timeout(flight.bucket);
        match flight.written {
            Some(written) => written + timeout,
            None => flight.handed + timeout.max(self.queue_patience()),
        }
    }

    /// When to look whether the answer to a frame is overdue. A frame that waits in the driver's
    /// queue is looked at as if it left at once: by then its driver has mostly told when it left,
    /// and that alone sets no timer.
    pub(crate) fn look_at(&self, flight: &Flight, now: Timestamp) -> Timestamp {
        let due = self.flight_due(flight);
        let early = flight.handed + self.timeout(flight.bucket);
        if flight.written.is_none() && early > now { early.min(due) } else { due }
    }

    /// When an answer is late enough for a hedge.
    pub(crate) fn hedge_delay(&self, bucket: SizeBucket) -> Option<Duration> {
        let rtt = self.measured(bucket)?;
        (rtt.samples >= 8).then(|| rtt.late().max(self.facts.transport.timeout_floor() / 4))
    }

    /// The round trip of this size, or of the nearest smaller, or of the nearest larger.
    fn measured(&self, bucket: SizeBucket) -> Option<&RoundTrip> {
        let (below, above) = self.buckets.split_at(bucket.index() + 1);
        let nearest = below.iter().rev().chain(above);
        nearest.map(|b| &b.rtt).find(|rtt| rtt.samples > 0)
    }

    pub(crate) fn smoothed(&self, bucket: SizeBucket) -> Option<Duration> {
        self.measured(bucket).and_then(RoundTrip::smoothed)
    }

    pub(crate) fn tier(&self, bucket: SizeBucket) -> Tier {
        let buckets = &self.buckets[..=bucket.index()];
        if !self.ready || self.down {
            Tier::Down
        } else if buckets.iter().any(|b| b.suspect) {
            Tier::Suspect
        } else if self.one_way {
            Tier::OneWay
        } else if self.evidence(bucket).is_judged()
            && f64::from(self.evidence(bucket).lower_bound())
                < self.config.reliability_threshold.get()
        {
            Tier::BelowThreshold
        } else {
            Tier::Good
        }
    }

    /// Delivery evidence for this size: its own, or the smaller sizes' while it has none.
    fn evidence(&self, bucket: SizeBucket) -> &Delivery {
        let below = &self.buckets[..=bucket.index()];
        let own = below.iter().rev().find(|b| b.delivery.samples > 0);
        &own.unwrap_or(&self.buckets[0]).delivery
    }

    /// The facts that ranking reads.
    pub(crate) fn candidate(&self) -> Candidate {
        let each = SizeBucket::ALL;
        let ppm = |p: f32| ((1.0 - p) * 1e6) as u32;
        let mut candidate = Candidate {
            link: self.id(),
            transport: self.facts.transport,
            tier: each.map(|b| self.tier(b)),
            latency_us: each.map(|b| self.expected_latency_us(b)),
            undelivered_ppm: each.map(|b| ppm(self.evidence(b).lower_bound())),
            picos_per_byte: (self.goodput.nanos_per_byte() * 1e3).min(4e9) as u32,
            backlog_bytes: 0,
            unacked_bytes: 0,
            load_bytes: 0.0,
            load_at: self.load_at,
            energy: self.facts.capabilities.energy.marginal_energy(),
            active_at: None,
            max_payload: u32::try_from(self.max_payload()).unwrap_or(u32::MAX),
        };
        self.update_load(&mut candidate);
        candidate
    }

    /// The part of [`Self::candidate`] that changes with each frame handed over or written.
    pub(crate) fn update_load(&self, candidate: &mut Candidate) {
        candidate.backlog_bytes = u32::try_from(self.backlog).unwrap_or(u32::MAX);
        candidate.unacked_bytes = u32::try_from(self.flights.unacked_bytes).unwrap_or(u32::MAX);
        candidate.load_bytes = self.load_bytes;
        candidate.load_at = self.load_at;
        candidate.active_at = self.active_at;
    }

    pub(crate) fn max_payload(&self) -> usize {
        self.max_frame.saturating_sub(bitcraps_wire::Frame::DATA_OVERHEAD).max(1)
    }

    fn expected_latency_us(&self, bucket: SizeBucket) -> u32 {
        let expected = match self.measured(bucket) {
            Some(rtt) => rtt.smoothed().unwrap_or_default(),
            None => self.facts.transport.cold_timeout() / 4,
        };
        u32::try_from(expected.as_micros()).unwrap_or(u32::MAX)
    }

    /// A message, or a part of one, was handed to the driver.
    pub(crate) fn carried(&mut self, now: Timestamp) {
        self.carried_at = Some(now);
    }

    /// The ack of what arrived and was not reported yet, to travel with another frame.
    pub(crate) fn take_report(&mut self, now: Timestamp) -> Option<HopAck> {
        self.arrivals.report_at()?;
        self.arrivals.reported();
        self.arrivals.ack(0, now)
    }

    pub(crate) fn last_answer(&self) -> Timestamp {
        self.last_answer
    }

    /// What speaks for nobody being at the other end; `None` unless the link passes for dead.
    pub(crate) fn silence(&self, now: Timestamp) -> Option<Silence> {
        let lost_probes = self.buckets[SizeBucket::Small.index()].lost_probes;
        self.down.then(|| Silence { lasts: now.since(self.last_answer), lost_probes })
    }
}

#[cfg(test)]
mod tests;
