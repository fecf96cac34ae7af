use std::collections::VecDeque;
use std::time::Duration;

use bitcraps_types::{LinkCapabilities, LinkId, PeerId, Timestamp, TransportType};

use crate::Ticket;
use crate::budget::Budget;
use crate::config::TransportConfig;
use crate::damping::{Damping, Fall};
use crate::estimator::{Delivery, Goodput, RoundTrip, SizeBucket};
use crate::flight::{AckedFlight, Arrivals, Flight, FlightState, Flights};
use crate::metrics::LinkCounters;
use crate::policy::{Candidate, Tier};

/// Consecutive expiries of one bucket that make a link suspect.
const SUSPECT_EXPIRIES: u8 = 2;
/// Consecutive lost probes that make a link down.
const DOWN_PROBES: u8 = 3;
/// Good answers that a suspect or down link needs before it is trusted again, beside the hold.
const RECOVERY_ANSWERS: u8 = 5;
/// Good answers of a suspect link after which another failure is a flap.
const RELAPSE_ANSWERS: u8 = 2;
/// Least patience with a driver's queue before the link becomes suspect.
const QUEUE_PATIENCE: Duration = Duration::from_millis(50);
/// Sojourn in the driver's queue that the dynamic limit aims at (as Linux's byte queue limits do):
/// long enough to keep a fast link busy between wake-ups.
const QUEUE_TARGET: Duration = Duration::from_millis(2);
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
    pub(crate) suspect: bool,
    answers: u8,
    lost_probes: u8,
    /// When something last spoke against frames of this size.
    failed_at: Timestamp,
}

impl Bucket {
    /// Wait between probes of a size that is suspect; grows while none is answered.
    fn probe_interval(&self) -> Duration {
        let doublings = u32::from((self.lost_probes + 1).saturating_sub(DOWN_PROBES)).min(6);
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
            lost_probes: 0,
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

    pub(crate) fn written_total(&self) -> u64 {
        self.written_total
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

    /// When to look whether the probe is overdue: with its frame, or when that was acknowledged
    /// and the reply is missing, when it was due at first.
    pub(crate) fn probe_due(&self, probe: &OutstandingProbe, now: Timestamp) -> Timestamp {
        let flight = self.flights.get(probe.seq).filter(|f| f.state == FlightState::Outstanding);
        flight.map_or(probe.due, |flight| self.look_at(flight, now))
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
        Candidate {
            link: self.id(),
            transport: self.facts.transport,
            tier: each.map(|b| self.tier(b)),
            latency_us: each.map(|b| self.expected_latency_us(b)),
            undelivered_ppm: each.map(|b| ppm(self.evidence(b).lower_bound())),
            picos_per_byte: (self.goodput.nanos_per_byte() * 1e3).min(4e9) as u32,
            backlog_bytes: u32::try_from(self.backlog).unwrap_or(u32::MAX),
            unacked_bytes: u32::try_from(self.flights.unacked_bytes).unwrap_or(u32::MAX),
            load_bytes: self.load_bytes,
            load_at: self.load_at,
            energy: self.facts.capabilities.energy.marginal_energy(),
            active_at: self.active_at,
            max_payload: u32::try_from(self.max_payload()).unwrap_or(u32::MAX),
        }
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

    /// A frame was handed to the driver.
    pub(crate) fn handed(&mut self, bytes: usize, seq: Option<u32>, now: Timestamp) {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.unwritten.push_back(Unwritten { handed: now, bytes, seq });
        self.backlog += u64::from(bytes);
        let candidate_load = self.candidate_load(bytes as usize, now);
        self.load_bytes = candidate_load;
        self.load_at = now;
        self.active_at = Some(now);
        self.counters.frames += 1;
        self.counters.bytes += u64::from(bytes);
    }

    /// A message, or a part of one, was handed to the driver.
    pub(crate) fn carried(&mut self, now: Timestamp) {
        self.carried_at = Some(now);
    }

    fn candidate_load(&self, bytes: usize, now: Timestamp) -> f32 {
        crate::policy::decayed(self.load_bytes, self.load_at, now) + bytes as f32
    }

    /// The driver did not take the newest frame.
    pub(crate) fn not_taken(&mut self, seq: Option<u32>) {
        if let Some(at) = self.unwritten.iter().rposition(|u| u.seq == seq)
            && let Some(gone) = self.unwritten.remove(at)
        {
            self.backlog -= u64::from(gone.bytes);
            self.load_bytes = (self.load_bytes - gone.bytes as f32).max(0.0);
            self.counters.frames -= 1;
            self.counters.bytes -= u64::from(gone.bytes);
        }
        if let Some(seq) = seq {
            self.flights.withdraw(seq);
        }
    }

    /// `total` frames have left the driver's queue since the link came up. Frames leave in any
    /// order, but a batch has left by the time it is told; the oldest are taken as gone.
    /// `more_waits` when messages wait for room here. Calls `each` for every frame that waited for
    /// as long as its answer may take, and for those whose owner wants to know.
    pub(crate) fn written(
        &mut self,
        total: u64,
        more_waits: bool,
        now: Timestamp,
        mut each: impl FnMut(u32, Option<Ticket>),
    ) {
        let floor = self.facts.transport.timeout_floor();
        let count = total.saturating_sub(self.written_total).min(self.unwritten.len() as u64);
        self.written_total = total.max(self.written_total);
        let mut slowest = Duration::ZERO;
        for gone in self.unwritten.drain(..count as usize) {
            self.backlog -= u64::from(gone.bytes);
            let waited = now.since(gone.handed);
            slowest = slowest.max(waited);
            if let Some(seq) = gone.seq {
                self.flights.set_written(seq, now);
                let flight = self.flights.get(seq);
                if waited >= floor || flight.is_some_and(|f| f.tell_written) {
                    each(seq, flight.and_then(|f| f.owner));
                }
            }
        }
        if self.unwritten.is_empty() {
            self.queue_frames = self.queue_frames.saturating_add(1 + self.queue_frames / 8);
        }
        if slowest > QUEUE_TARGET * 2 {
            self.queue_limit = (self.queue_limit / 2).max(self.queue_base);
        } else if more_waits && self.unwritten.is_empty() && slowest < QUEUE_TARGET {
            // The limit, not the link, held traffic back.
            let grown = (self.queue_limit * 2).clamp(self.max_frame as u64, QUEUE_LIMIT_MAX);
            self.queue_limit = grown;
        }
    }

    /// Whether the driver's queue has room for another frame of a class that may be kept waiting:
    /// always for one frame, and for as much as drains within the queue target.
    pub(crate) fn has_room(&self) -> bool {
        self.unwritten.is_empty()
            || (self.backlog < self.queue_limit.max(self.queue_base)
                && self.unwritten.len() < self.queue_frames)
    }

    /// [`Self::has_room`] for traffic that cannot wait: two frames ahead of the limit.
    pub(crate) fn has_room_ahead(&self) -> bool {
        let ahead = self.queue_limit.max(self.queue_base) + 2 * self.max_frame as u64;
        self.has_room() || (self.backlog < ahead && self.unwritten.len() < self.queue_frames)
    }

    /// The driver's queue was full: it holds what waits there, and no more for now.
    pub(crate) fn queue_full(&mut self) {
        self.queue_frames = self.unwritten.len().max(1);
    }

    /// The driver cannot send: as good as two expiries.
    pub(crate) fn refused_frame(&mut self, now: Timestamp) -> Option<Change> {
        self.buckets[0].delivery.sample(false);
        self.suspect(SizeBucket::Small, now)
    }

    /// How long the oldest frame has been waiting in the driver's queue.
    pub(crate) fn queue_age(&self, now: Timestamp) -> Duration {
        self.unwritten.front().map_or(Duration::ZERO, |oldest| now.since(oldest.handed))
    }

    /// How long a frame may wait in the driver's queue before the link becomes suspect: 3 srtt.
    pub(crate) fn queue_patience(&self) -> Duration {
        let rtt = self.smoothed(SizeBucket::Small).unwrap_or_default() * 3;
        let bytes = self.max_frame as f32;
        let measured = Duration::from_nanos((self.goodput.nanos_per_byte() * bytes) as u64);
        let air = self.facts.capabilities.nominal_rate.air_time(self.max_frame).max(measured);
        rtt.max(QUEUE_PATIENCE).max(air * 3)
    }

    /// A flight was acknowledged on the link itself, or on another (`detour`).
    pub(crate) fn answered(
        &mut self,
        flight: AckedFlight,
        detour: bool,
        now: Timestamp,
    ) -> Option<Change> {
        let bucket = &mut self.buckets[flight.bucket.index()];
        // The way round is no measure of the link, but its answers are to be waited for.
        let longer = |rtt| bucket.rtt.smoothed().is_none_or(|smoothed| rtt > smoothed);
        if let Some(rtt) = flight.rtt.filter(|rtt| !detour || longer(*rtt)) {
            bucket.rtt.sample(rtt);
        }
        if flight.late {
            bucket.delivery.recant();
        } else {
            bucket.delivery.sample(true);
        }
        bucket.expiries = 0;
        bucket.answers = bucket.answers.saturating_add(1);
        let (bytes, over, limited) = flight.goodput;
        self.goodput.sample(bytes, over, limited);
        if detour {
            let since = *self.detour_since.get_or_insert(now);
            // Copies of acks take the detour while the direct ones are still on their way.
            self.one_way |= now.since(since) >= self.timeout(flight.bucket) * 2;
        }
        // What passes at this size passes at every smaller one.
        let passed = &mut self.buckets[..=flight.bucket.index()];
        passed.iter_mut().for_each(|b| b.lost_probes = 0);
        self.last_answer = now;
        self.reconsider(flight.bucket, now)
    }

    /// An end ack for a frame of this link was seen to arrive; `alone` when it left over this link
    /// only. After losses it takes ever more of them before acks travel alone again.
    pub(crate) fn ack_arrived(&mut self, alone: bool) {
        self.acks_seen = self.acks_seen.saturating_add(1);
        if alone {
            self.acks_lost = 0;
        }
        self.acks_proven = self.acks_seen >= 1 << self.acks_lost.min(10);
    }

    /// An end ack over this link alone did not arrive: its message came again.
    pub(crate) fn ack_lost(&mut self) {
        self.acks_seen = 0;
        self.acks_lost = self.acks_lost.saturating_add(1);
        self.acks_proven = false;
    }

    /// Whether the last end ack that left over this link alone was lost.
    pub(crate) fn loses_acks(&self) -> bool {
        self.acks_lost > 0
    }

    /// Whether hop acks of its frames need another way: it does not answer, or loses acks.
    pub(crate) fn needs_detour(&self) -> bool {
        self.tier(SizeBucket::Small) >= Tier::Suspect || self.loses_acks()
    }

    /// Whether end acks may leave over this link alone.
    pub(crate) fn carries_acks(&self) -> bool {
        self.acks_proven
    }

    /// A hop ack came over the link itself.
    pub(crate) fn direct_ack(&mut self) {
        self.detour_since = None;
        self.one_way = false;
    }

    /// Trusts the link again when it answered often enough for long enough.
    fn reconsider(&mut self, bucket: SizeBucket, now: Timestamp) -> Option<Change> {
        self.suspect_since?;
        // It lives: the next probes may come soon again.
        self.probe_at = self.probe_at.min(now + PROBE_FAST);
        let hold = self.damping.hold();
        let size = &mut self.buckets[bucket.index()];
        let held = now.since(size.failed_at) >= hold;
        if held && size.answers >= RECOVERY_ANSWERS {
            size.suspect = false;
            self.down = false;
        }
        if self.down || self.buckets.iter().any(|b| b.suspect) {
            return None;
        }
        self.suspect_since = None;
        Some(Change::Recovered)
    }

    /// A frame of this size was not acknowledged in time.
    pub(crate) fn expired(&mut self, bucket: SizeBucket, now: Timestamp) -> Option<Change> {
        let index = bucket.index();
        let size = &mut self.buckets[index];
        size.delivery.sample(false);
        let relapse = size.suspect && size.answers >= RELAPSE_ANSWERS;
        size.answers = 0;
        self.counters.expiries += 1;
        // Frames that were in the queue together are late together: that is one event.
        if size.expiries > 0 && now.since(size.failed_at) < QUEUE_TARGET {
            return None;
        }
        size.failed_at = now;
        size.expiries = size.expiries.saturating_add(1);
        if relapse && self.damping.fall(now) == Fall::FlappingBegins {
            return Some(Change::Flapping);
        }
        if self.buckets[index].expiries >= SUSPECT_EXPIRIES {
            self.suspect(bucket, now)
        } else {
            None
        }
    }

    /// Something speaks against frames of this size.
    pub(crate) fn suspect(&mut self, bucket: SizeBucket, now: Timestamp) -> Option<Change> {
        let bucket = &mut self.buckets[bucket.index()];
        bucket.answers = 0;
        bucket.failed_at = now;
        if bucket.suspect {
            return None;
        }
        bucket.suspect = true;
        if self.suspect_since.is_some() {
            return None;
        }
        self.suspect_since = Some(now);
        if self.probe.is_none() {
            self.probe_at = now;
        }
        Some(match self.damping.fall(now) {
            Fall::FlappingBegins => Change::Flapping,
            Fall::Single | Fall::Flapping => Change::Suspect,
        })
    }

    /// A probe was not answered in time.
    pub(crate) fn probe_lost(&mut self, bucket: SizeBucket, now: Timestamp) -> Option<Change> {
        self.probe = None;
        let size = &mut self.buckets[bucket.index()];
        size.lost_probes = size.lost_probes.saturating_add(1);
        let lost = size.lost_probes;
        let suspect = self.expired(bucket, now);
        if lost >= DOWN_PROBES && !self.down && bucket == SizeBucket::Small {
            self.down = true;
            return Some(match suspect {
                Some(Change::Flapping) => Change::Flapping,
                _ => Change::Down,
            });
        }
        suspect
    }

    pub(crate) fn is_down(&self) -> bool {
        self.down
    }

    pub(crate) fn is_suspect(&self) -> bool {
        self.suspect_since.is_some()
    }

    /// The size to probe now: the smallest that is suspect, but small ones in between while larger
    /// ones stay without an answer, or a link that died would not be noticed.
    pub(crate) fn probe_bucket(&self, now: Timestamp) -> SizeBucket {
        let suspect = SizeBucket::ALL.into_iter().find(|b| self.buckets[b.index()].suspect);
        let silent = now.since(self.last_answer) >= self.standby_interval();
        suspect.filter(|_| !silent).unwrap_or(SizeBucket::Small)
    }

    /// How long a healthy link may go without an answer before it is probed; `None` when a probe
    /// would wake a radio that must not be woken for it, or keep it awake.
    pub(crate) fn standby_interval_at(&self, now: Timestamp) -> Option<Duration> {
        let capabilities = &self.facts.capabilities;
        let awake = self.carried_at.is_some_and(|at| now.since(at) < capabilities.energy.tail);
        let sleeper = capabilities.metered || capabilities.energy.tail > LONG_TAIL;
        let interval = self.standby_interval();
        if sleeper && (capabilities.metered || self.energy_aware) && !awake {
            return None;
        }
        Some(interval)
    }

    fn standby_interval(&self) -> Duration {
        let free = self.facts.capabilities.energy == bitcraps_types::EnergyProfile::MAINS;
        if free || !self.energy_aware { PROBE_MAINS } else { PROBE_BATTERY }
    }

    /// When the next probe is due, if no answer comes before; `None` for never.
    pub(crate) fn next_probe(&self, now: Timestamp) -> Option<Timestamp> {
        if !self.ready || self.probe.is_some() {
            return None;
        }
        self.standby_interval_at(now)?;
        Some(match self.suspect_since {
            Some(_) => self.probe_at,
            // Traffic that is answered says as much as a probe would.
            None => self.probe_at.max(self.last_answer + self.probe_wait),
        })
    }

    /// Sets the next probe after one was sent or an answer made it needless. `jitter` lies within
    /// -1/4 to 1/4 of the interval, so that no flap can stay in step with the probes.
    pub(crate) fn schedule_probe(&mut self, jitter: f64, now: Timestamp) {
        let interval = match self.suspect_since {
            Some(_) => self.buckets[self.probe_bucket(now).index()].probe_interval(),
            None => self.standby_interval_at(now).unwrap_or(PROBE_BATTERY),
        };
        self.probe_wait = interval.mul_f64(1.0 + jitter.clamp(-0.25, 0.25));
        self.probe_at = now + self.probe_wait;
    }

    pub(crate) fn last_answer(&self) -> Timestamp {
        self.last_answer
    }

    pub(crate) fn backlog(&self) -> (usize, u64) {
        (self.unwritten.len(), self.backlog)
    }

    /// What a successor over the same transport inherits; and whether this one's end begins an
    /// episode of flapping.
    pub(crate) fn into_damping(mut self, now: Timestamp) -> (Damping, bool) {
        let short = now.since(self.since) < SHORT_LIFE;
        let flapping = short && self.damping.fall(now) == Fall::FlappingBegins;
        (self.damping, flapping)
    }
}
