//! Which link carries a packet: the one place where that is decided.
//!
//! [`rank`] orders the candidates of one peer for one packet. It touches no lock, allocates
//! nothing, and is pure: the same candidates, packet and time give the same order. `send` calls it
//! at every attempt, and `why` shows the scores that it computed.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use bitcraps_types::{EnergyProfile, LinkId, Microjoules, Timestamp, TrafficClass, TransportType};
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
#[derive(Debug, Clone, Copy)]
pub struct Candidate {
    /// The link.
    pub link: LinkId,
    /// Its family.
    pub transport: TransportType,
    /// Trust, by [`SizeBucket::index`].
    pub tier: [Tier; SizeBucket::COUNT],
    /// Expected time to an acknowledgement without queueing, in µs, by bucket.
    pub latency_us: [u32; SizeBucket::COUNT],
    /// 1 minus the 5 % lower bound of delivery probability, in parts per million, by bucket.
    pub undelivered_ppm: [u32; SizeBucket::COUNT],
    /// Inverse goodput, in picoseconds per byte.
    pub picos_per_byte: u32,
    /// Bytes handed to the link and not yet written.
    pub backlog_bytes: u32,
    /// Bytes handed to the link and not yet acknowledged.
    pub unacked_bytes: u32,
    /// Bytes given to the link lately, decayed, as of `load_at`.
    pub load_bytes: f32,
    /// When `load_bytes` was current.
    pub load_at: Timestamp,
    /// What its radio costs.
    pub energy: EnergyProfile,
    /// When its radio was last active.
    pub active_at: Option<Timestamp>,
    /// Largest payload of one frame, in bytes.
    pub max_payload: u32,
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
    pub fn marginal_energy(&self, bytes: usize, now: Timestamp) -> Microjoules {
        let since_last = self.active_at.map(|at| now.since(at));
        self.energy.marginal(bytes, self.frames(bytes), since_last)
    }

    fn transfer_us(&self, bytes: u64) -> u64 {
        bytes.saturating_mul(u64::from(self.picos_per_byte)) / 1_000_000
    }
}

/// What is left at `now` of a load of `bytes` at `at`: halved with each half-life, in between on
/// the straight line. The same on every machine, which an exponential function is not.
#[inline]
pub(crate) fn decayed(bytes: f32, at: Timestamp, now: Timestamp) -> f32 {
    let age = now.as_nanos().saturating_sub(at.as_nanos());
    let halvings = (age >> LOAD_HALF_LIFE_BITS).min(127) as u32;
    let within = age & ((1 << LOAD_HALF_LIFE_BITS) - 1);
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
    /// The link that carried this class last; small advantages do not displace it.
    pub incumbent: Option<LinkId>,
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
#[inline]
pub fn score(candidate: &Candidate, packet: &Packet, now: Timestamp) -> Score {
    let frame = packet.bytes.min(candidate.max_payload as usize) + Frame::DATA_OVERHEAD;
    let bucket = SizeBucket::of(frame).index();
    let sticks = packet.incumbent == Some(candidate.link);
    let bytes = packet.bytes as u64;
    let time = u64::from(candidate.latency_us[bucket])
        + candidate.transfer_us(u64::from(candidate.backlog_bytes) + bytes);
    let fast = time.saturating_sub(if sticks { STICKY_LATENCY_US } else { 0 });
    let cost = match packet.policy {
        FailoverPolicy::FastestFirst => fast,
        FailoverPolicy::MostReliable => {
            let undelivered = u64::from(candidate.undelivered_ppm[bucket]);
            let discount = if sticks { STICKY_UNDELIVERED_PPM } else { 0 };
            // Compared in steps of 1/256 (4,096 ppm); within a step time decides.
            (undelivered.saturating_sub(discount) >> 12) << 32 | fast.min(u64::from(u32::MAX))
        }
        FailoverPolicy::EnergyEfficient if packet.energy_aware => {
            let energy = candidate.marginal_energy(packet.bytes, now).0;
            energy - if sticks { energy / STICKY_ENERGY_SHARE } else { 0 }
        }
        FailoverPolicy::EnergyEfficient => {
            let preferred = match candidate.transport {
                TransportType::Bluetooth => packet.bytes < SEED_SMALL_PACKET,
                TransportType::WiFiDirect => packet.bytes >= SEED_SMALL_PACKET,
                TransportType::Internet => false,
            };
            u64::from(!preferred)
        }
        FailoverPolicy::LoadBalanced => {
            let ahead = u64::from(candidate.unacked_bytes)
                + decayed(candidate.load_bytes, candidate.load_at, now) as u64;
            candidate.transfer_us((ahead + bytes) * 1_000)
        }
    };
    let tier = candidate.tier[bucket];
    let slow = candidate.latency_us[bucket] > packet.ceiling_us;
    Score { tier: if slow { tier.max(Tier::Suspect) } else { tier }, cost: cost.min(COST_MAX) }
}

/// Candidates in order of preference, as indices into the slice that was ranked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ranking {
    order: [u8; LINKS_PER_PEER],
    len: u8,
}

impl Ranking {
    /// No candidate.
    pub const EMPTY: Self = Self { order: [0; LINKS_PER_PEER], len: 0 };

    /// Indices, best first.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.order[..usize::from(self.len)].iter().map(|i| usize::from(*i))
    }

    /// The best.
    pub fn first(&self) -> Option<usize> {
        self.iter().next()
    }
}

/// Orders `candidates` for `packet`, best first; ties keep the order of the slice.
///
/// Looks at the first [`LINKS_PER_PEER`] candidates. O(n²) for n ≤ 8 by insertion, which for three
/// links is three comparisons. No lock, no allocation.
#[inline]
pub fn rank(candidates: &[Candidate], packet: &Packet, now: Timestamp) -> Ranking {
    let mut keys = [0u64; LINKS_PER_PEER];
    let mut ranking = Ranking::EMPTY;
    for (i, candidate) in candidates.iter().take(LINKS_PER_PEER).enumerate() {
        let score = score(candidate, packet, now);
        let key = (score.tier as u64) << COST_BITS | score.cost;
        let mut at = i;
        while at > 0 && keys[at - 1] > key {
            keys[at] = keys[at - 1];
            ranking.order[at] = ranking.order[at - 1];
            at -= 1;
        }
        keys[at] = key;
        ranking.order[at] = i as u8;
        ranking.len += 1;
    }
    ranking
}
