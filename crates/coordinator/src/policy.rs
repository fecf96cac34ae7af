//! Which link carries a packet: the one place where that is decided.
//!
//! [`rank`] orders the candidates of one peer for one packet. It touches no lock, allocates
//! nothing, and is pure: the same candidates, packet and time give the same order. `send` calls it
//! at every attempt, and `why` shows the scores that it computed.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use bitcraps_types::{LinkId, MarginalEnergy, Microjoules, Timestamp, TrafficClass, TransportType};
use bitcraps_wire::Frame;

use crate::config::bounds::LINKS_PER_PEER;
use crate::estimator::SizeBucket;

/// How links are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailoverPolicy {
    /// Least expected time until the packet is acknowledged.
    FastestFirst,
    /// Highest 5 % lower bound of delivery probability, then least time.
    MostReliable,
    /// Least marginal energy, given what each radio is doing now.
    EnergyEfficient,
    /// Shared by capacity: least backlog after taking the packet, in time.
    LoadBalanced,
}

impl FailoverPolicy {
    /// Every policy.
    pub const ALL: [Self; 4] =
        [Self::FastestFirst, Self::MostReliable, Self::EnergyEfficient, Self::LoadBalanced];

    /// The policy that a class uses unless a send names another.
    pub const fn of_class(class: TrafficClass) -> Self {
        match class {
            TrafficClass::Realtime => Self::FastestFirst,
            TrafficClass::Critical => Self::MostReliable,
            TrafficClass::Background => Self::EnergyEfficient,
            TrafficClass::Bulk => Self::LoadBalanced,
        }
    }

    /// The class whose traffic the policy was made for.
    pub const fn class(self) -> TrafficClass {
        match self {
            Self::FastestFirst => TrafficClass::Realtime,
            Self::MostReliable => TrafficClass::Critical,
            Self::EnergyEfficient => TrafficClass::Background,
            Self::LoadBalanced => TrafficClass::Bulk,
        }
    }

    /// The name, as in configs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::FastestFirst => "FastestFirst",
            Self::MostReliable => "MostReliable",
            Self::EnergyEfficient => "EnergyEfficient",
            Self::LoadBalanced => "LoadBalanced",
        }
    }
}

impl fmt::Display for FailoverPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A text that names no policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown policy {0:?}; one of FastestFirst, MostReliable, EnergyEfficient, LoadBalanced")]
pub struct ParsePolicyError(pub String);

impl FromStr for FailoverPolicy {
    type Err = ParsePolicyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|p| p.name() == text);
        found.ok_or_else(|| ParsePolicyError(text.to_owned()))
    }
}

/// How far a link is trusted; a lower tier always ranks first, whatever the policy says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    /// Nothing speaks against it.
    Good = 0,
    /// Its delivery probability may be below the transport's `reliability_threshold`.
    BelowThreshold = 1,
    /// It carries data, but acknowledgements need another way.
    OneWay = 2,
    /// It missed acknowledgements, or its queue or round trip grew beyond reason.
    Suspect = 3,
    /// It answers nothing. Used only when nothing else is there.
    Down = 4,
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Good => "good",
            Self::BelowThreshold => "below threshold",
            Self::OneWay => "one-way",
            Self::Suspect => "suspect",
            Self::Down => "down",
        })
    }
}

/// What ranking knows about one link: measured facts, kept current by the link's estimators.
///
/// The first 64 bytes are all that most decisions read.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Candidate {
    /// The link.
    pub link: LinkId,
    /// Expected time to an acknowledgement without queueing, in µs, by [`SizeBucket::index`].
    pub latency_us: [u32; SizeBucket::COUNT],
    /// 1 minus the 5 % lower bound of delivery probability, in parts per million, by bucket.
    pub undelivered_ppm: [u32; SizeBucket::COUNT],
    /// Inverse goodput, in picoseconds per byte.
    pub picos_per_byte: u32,
    /// Bytes handed to the link and not yet written.
    pub backlog_bytes: u32,
    /// Largest payload of one frame, in bytes.
    pub max_payload: u32,
    /// Bytes handed to the link and not yet acknowledged.
    pub unacked_bytes: u32,
    /// Trust, by bucket.
    pub tier: [Tier; SizeBucket::COUNT],
    /// Its family.
    pub transport: TransportType,
    /// Bytes given to the link lately, decayed, as of `load_at`.
    pub load_bytes: f32,
    /// When `load_bytes` was current.
    pub load_at: Timestamp,
    /// What its radio costs.
    pub energy: MarginalEnergy,
    /// When its radio was last active.
    pub active_at: Option<Timestamp>,
}

/// Half-life of [`Candidate::load_bytes`], 2^29 ns or about half a second: long against a burst,
/// short against a change of weather.
const LOAD_HALF_LIFE_BITS: u32 = 29;
/// A challenger must be this much faster to displace the link in use (5 ms, as iroh's selector).
const STICKY_LATENCY_US: u64 = 5_000;
/// A challenger must be this much more reliable to displace the link in use.
const STICKY_UNDELIVERED_PPM: u64 = 20_000;
/// A challenger must save this share of energy to displace the link in use: 1/5.
const STICKY_ENERGY_SHARE: u64 = 5;
/// From this size on, the seed's rule for `EnergyEfficient` prefers Wi-Fi to Bluetooth.
const SEED_SMALL_PACKET: usize = 1_000;

impl Candidate {
    /// Frames that `bytes` take.
    fn frames(&self, bytes: usize) -> u32 {
        let payload = self.max_payload.max(1) as usize;
        // Spares most packets a division.
        if bytes <= payload {
            return 1;
        }
        u32::try_from(bytes.div_ceil(payload).max(1)).unwrap_or(u32::MAX)
    }

    /// Energy that sending `bytes` now would add.
    #[inline]
    pub fn marginal_energy(&self, bytes: usize, now: Timestamp) -> Microjoules {
        let idle = |at: Timestamp| now.as_nanos().saturating_sub(at.as_nanos());
        let idle_nanos = self.active_at.map_or(u64::MAX, idle);
        self.energy.after(idle_nanos, bytes, self.frames(bytes))
    }

    fn transfer_us(&self, bytes: u64) -> u64 {
        bytes.min(u64::from(u32::MAX)) * u64::from(self.picos_per_byte) / 1_000_000
    }
}

/// What is left at `now` of a load of `bytes` at `at`: halved with each half-life, in between on
/// the straight line. The same on every machine, which an exponential function is not.
#[inline]
pub(crate) fn decayed(bytes: f32, at: Timestamp, now: Timestamp) -> f32 {
    let age = now.as_nanos().saturating_sub(at.as_nanos());
    let halvings = (age >> LOAD_HALF_LIFE_BITS).min(127) as u32;
    let within = (age & ((1 << LOAD_HALF_LIFE_BITS) - 1)) as u32;
    let on_the_line = 1.0 - within as f32 / (1_u64 << (LOAD_HALF_LIFE_BITS + 1)) as f32;
    // A float whose exponent says 2^-halvings, and 0 at the end.
    bytes * on_the_line * f32::from_bits((127 - halvings) << 23)
}

/// The packet that needs a link.
#[derive(Debug, Clone, Copy)]
pub struct Packet {
    /// How links are compared.
    pub policy: FailoverPolicy,
    /// Its size in bytes, without frame headers.
    pub bytes: usize,
    /// Whether energy is weighed.
    pub energy_aware: bool,
    /// The link that this class prefers now; small advantages do not displace it.
    pub incumbent: Option<LinkId>,
    /// Whether the incumbent was chosen so lately that neither speed nor reliability displaces it,
    /// only a better tier.
    pub held: bool,
    /// A link slower than this, in µs, is as good as suspect to the packet's class.
    pub ceiling_us: u32,
}

/// Latency above which a link is no use to a class: a link that is up with a round trip of half a
/// minute is worse than one that is down.
pub const fn latency_ceiling(class: TrafficClass) -> Duration {
    match class {
        TrafficClass::Realtime => Duration::from_millis(150),
        TrafficClass::Critical => Duration::from_secs(2),
        TrafficClass::Background | TrafficClass::Bulk => Duration::from_secs(10),
    }
}

/// What [`rank`] compares: the tier first, then the cost. Less is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Score {
    /// Trust.
    pub tier: Tier,
    /// µs, parts per million with µs, or µJ, by policy; the incumbent's already discounted.
    pub cost: u64,
}

const COST_BITS: u32 = 52;
const COST_MAX: u64 = (1 << COST_BITS) - 1;

/// The score of one candidate for `packet`. O(1).
pub fn score(candidate: &Candidate, packet: &Packet, now: Timestamp) -> Score {
    let bucket = bucket_of(candidate, packet, SizeBucket::of(packet.bytes + Frame::DATA_OVERHEAD));
    let cost = match packet.policy {
        FailoverPolicy::FastestFirst => fastest(candidate, packet, bucket),
        FailoverPolicy::MostReliable => most_reliable(candidate, packet, bucket),
        FailoverPolicy::EnergyEfficient => energy_efficient(candidate, packet, now),
        FailoverPolicy::LoadBalanced => load_balanced(candidate, packet, now),
    };
    Score { tier: tier(candidate, packet, bucket), cost: cost.min(COST_MAX) }
}

/// The bucket of the packet's largest frame on this link, `whole` if it needs but one.
#[inline]
fn bucket_of(candidate: &Candidate, packet: &Packet, whole: SizeBucket) -> usize {
    let most = candidate.max_payload as usize;
    let bucket =
        if packet.bytes <= most { whole } else { SizeBucket::of(most + Frame::DATA_OVERHEAD) };
    bucket.index()
}

#[inline]
fn tier(candidate: &Candidate, packet: &Packet, bucket: usize) -> Tier {
    let tier = candidate.tier[bucket];
    let slow = candidate.latency_us[bucket] > packet.ceiling_us;
    if slow { tier.max(Tier::Suspect) } else { tier }
}

#[inline]
fn sticks(candidate: &Candidate, packet: &Packet) -> bool {
    packet.incumbent == Some(candidate.link)
}

/// What a challenger has to be better by, the incumbent's own cost when it is held.
#[inline]
fn discount(candidate: &Candidate, packet: &Packet, small: u64) -> u64 {
    let most = if packet.held { u64::MAX } else { small };
    if sticks(candidate, packet) { most } else { 0 }
}

/// Expected time to the acknowledgement, in µs.
#[inline]
fn fastest(candidate: &Candidate, packet: &Packet, bucket: usize) -> u64 {
    let waiting = u64::from(candidate.backlog_bytes) + packet.bytes as u64;
    let time = u64::from(candidate.latency_us[bucket]) + candidate.transfer_us(waiting);
    time.saturating_sub(discount(candidate, packet, STICKY_LATENCY_US))
}

/// Probability that it does not arrive, in steps of 1/256 (4,096 ppm); within a step time decides.
#[inline]
fn most_reliable(candidate: &Candidate, packet: &Packet, bucket: usize) -> u64 {
    let discount = discount(candidate, packet, STICKY_UNDELIVERED_PPM);
    let undelivered = u64::from(candidate.undelivered_ppm[bucket]).saturating_sub(discount);
    let time = fastest(candidate, packet, bucket).min(u64::from(u32::MAX));
    (undelivered >> 12) << 32 | time
}

/// Energy that it adds, in µJ; when energy is not weighed, whether the seed's rule prefers another.
#[inline]
fn energy_efficient(candidate: &Candidate, packet: &Packet, now: Timestamp) -> u64 {
    if packet.energy_aware {
        let energy = candidate.marginal_energy(packet.bytes, now).0;
        let discount = if sticks(candidate, packet) { energy / STICKY_ENERGY_SHARE } else { 0 };
        return energy - discount;
    }
    let preferred = match candidate.transport {
        TransportType::Bluetooth => packet.bytes < SEED_SMALL_PACKET,
        TransportType::WiFiDirect => packet.bytes >= SEED_SMALL_PACKET,
        TransportType::Internet => false,
    };
    u64::from(!preferred)
}

/// Time that the link needs for everything given to it lately and this, in ns.
#[inline]
fn load_balanced(candidate: &Candidate, packet: &Packet, now: Timestamp) -> u64 {
    let load = decayed(candidate.load_bytes, candidate.load_at, now) as u32;
    let ahead = u64::from(candidate.unacked_bytes) + u64::from(load);
    let bytes = ahead + packet.bytes as u64;
    bytes.min(u64::from(u32::MAX)) * u64::from(candidate.picos_per_byte) / 1_000
}

/// Candidates in order of preference, as indices into the slice that was ranked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ranking {
    /// Four bits for each place, the best in the lowest: stays in a register.
    order: u32,
    len: u8,
}

const PLACE_BITS: u32 = 4;
const _: () = assert!(LINKS_PER_PEER as u32 * PLACE_BITS <= u32::BITS);

impl Ranking {
    /// No candidate.
    pub const EMPTY: Self = Self { order: 0, len: 0 };

    /// Indices, best first.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        let place = |at: u8| self.order >> (u32::from(at) * PLACE_BITS) & 0xf;
        (0..self.len).map(move |at| place(at) as usize)
    }

    /// The best.
    #[inline]
    pub fn first(&self) -> Option<usize> {
        self.iter().next()
    }
}

/// Orders `candidates` for `packet`, best first; ties keep the order of the slice.
///
/// Looks at the first [`LINKS_PER_PEER`] candidates. Three are ordered without a branch on what
/// they cost, more by insertion, O(n²) for n ≤ 8. No lock, no allocation.
#[inline]
pub fn rank(candidates: &[Candidate], packet: &Packet, now: Timestamp) -> Ranking {
    let whole = SizeBucket::of(packet.bytes + Frame::DATA_OVERHEAD);
    let bucket = |c: &Candidate| bucket_of(c, packet, whole);
    let mut keys = [0; LINKS_PER_PEER];
    let considered = candidates.len().min(LINKS_PER_PEER);
    let (keys, candidates) = (&mut keys[..considered], &candidates[..considered]);
    // One loop for each policy, so that none pays for another.
    match packet.policy {
        FailoverPolicy::FastestFirst => fill(keys, candidates, |c| {
            let bucket = bucket(c);
            (tier(c, packet, bucket), fastest(c, packet, bucket))
        }),
        FailoverPolicy::MostReliable => fill(keys, candidates, |c| {
            let bucket = bucket(c);
            (tier(c, packet, bucket), most_reliable(c, packet, bucket))
        }),
        FailoverPolicy::EnergyEfficient => fill(keys, candidates, |c| {
            (tier(c, packet, bucket(c)), energy_efficient(c, packet, now))
        }),
        FailoverPolicy::LoadBalanced => {
            fill(keys, candidates, |c| (tier(c, packet, bucket(c)), load_balanced(c, packet, now)))
        }
    }
    match *keys {
        [a, b, c] => order_three(a, b, c),
        _ => order_any(keys),
    }
}

const INDEX_BITS: u32 = LINKS_PER_PEER.ilog2();
const _: () = assert!(COST_BITS + INDEX_BITS + 3 <= u64::BITS, "tier, cost and index fit");

/// Tier, cost and place in the slice of each as one number: what is less comes first.
#[inline]
fn fill(keys: &mut [u64], candidates: &[Candidate], score: impl Fn(&Candidate) -> (Tier, u64)) {
    for (i, (key, candidate)) in keys.iter_mut().zip(candidates).enumerate() {
        let (tier, cost) = score(candidate);
        *key = ((tier as u64) << COST_BITS | cost.min(COST_MAX)) << INDEX_BITS | i as u64;
    }
}

#[inline]
fn index_of(key: u64) -> u32 {
    (key & ((1 << INDEX_BITS) - 1)) as u32
}

#[inline]
fn order_three(a: u64, b: u64, c: u64) -> Ranking {
    let (less, more) = (a.min(b), a.max(b));
    let (first, rest) = (less.min(c), less.max(c));
    let (second, third) = (more.min(rest), more.max(rest));
    let (second, third) = (index_of(second) << PLACE_BITS, index_of(third) << (2 * PLACE_BITS));
    Ranking { order: index_of(first) | second | third, len: 3 }
}

/// Out of the way of those who have three.
#[inline(never)]
fn order_any(keys: &mut [u64]) -> Ranking {
    for i in 1..keys.len() {
        let key = keys[i];
        let mut at = i;
        while at > 0 && keys[at - 1] > key {
            keys[at] = keys[at - 1];
            at -= 1;
        }
        keys[at] = key;
    }
    let order = keys.iter().rev().fold(0, |order, key| order << PLACE_BITS | index_of(*key));
    Ranking { order, len: keys.len() as u8 }
}

#[cfg(test)]
mod tests;
