//! What the node answers, apart from what was asked.

use std::collections::BTreeMap;
use std::fmt;

use bitcraps_types::{Medium, PeerId, TrafficClass, TransportType};
use serde::{Deserialize, Serialize};

use super::protocol::Ack;
use super::standing::{ListeningReport, Standing};
use super::status::Health;
use super::store::StoreReport;

/// The node and its health.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StatusReport {
    /// Its key.
    pub node: PeerId,
    /// Its name, when it has one.
    pub name: Option<String>,
    /// Its incarnation.
    pub epoch: u64,
    /// Version of the program.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// Time since it started, in milliseconds.
    pub uptime_ms: u64,
    /// The file its configuration comes from; absent for the defaults.
    pub config_file: Option<String>,
    /// The worst finding.
    pub health: Health,
    /// What is not as it should be, for people.
    pub findings: Vec<String>,
    /// Where peers may dial it.
    #[serde(default)]
    pub listening: Vec<ListeningReport>,
    /// Who is admitted without being named: open, allow_list or invitation.
    #[serde(default)]
    pub admission: String,
    /// Every known peer.
    pub peers: Vec<PeerReport>,
    /// What happened over each family of links since the start.
    pub transports: BTreeMap<TransportType, TrafficReport>,
    /// What was delivered, refused, dropped or repeated.
    pub counters: BTreeMap<String, u64>,
    /// What is kept over restarts; absent when nothing is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<Box<StoreReport>>,
}

/// Every known peer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PeersReport {
    /// The peers, by id.
    pub peers: Vec<PeerReport>,
}

/// A peer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PeerReport {
    /// Its key.
    pub peer: PeerId,
    /// Its incarnation, once it greeted.
    pub epoch: Option<u64>,
    /// Whether a link that is not down carries data to it.
    pub reachable: bool,
    /// Its links.
    pub links: Vec<LinkSummary>,
    /// Messages to it that have no outcome yet, by class.
    pub unsettled: BTreeMap<TrafficClass, usize>,
    /// What it may do.
    pub standing: Standing,
    /// Whether traffic of others may be relayed by it and to it.
    pub may_relay: bool,
    /// The incarnation of its key that was shut out lately, because another device was using the key.
    #[serde(default)]
    pub shut_out: Option<u64>,
}

/// A link of a peer, in short.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LinkSummary {
    /// Its number in this process.
    pub link: u64,
    /// Its family.
    pub transport: TransportType,
    /// What it really runs over.
    pub medium: Medium,
    /// Whether it carries data.
    pub ready: bool,
    /// Trust in it.
    pub tier: Trust,
    /// Smoothed round trip in microseconds; absent before the first.
    pub rtt_us: Option<u64>,
}

/// How far a link is trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trust {
    /// Nothing speaks against it.
    Good,
    /// It may deliver less than its transport's threshold.
    BelowThreshold,
    /// Acknowledgements need another way.
    OneWay,
    /// It missed acknowledgements, or is far too slow.
    Suspect,
    /// It answers nothing.
    Down,
}

impl fmt::Display for Trust {
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

/// Links.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LinksReport {
    /// By peer, then by number.
    pub links: Vec<LinkReport>,
}

/// A link.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LinkReport {
    /// Whom it leads to.
    pub peer: PeerId,
    /// What that peer may do.
    pub standing: Standing,
    /// In short.
    #[serde(flatten)]
    pub summary: LinkSummary,
    /// This end, as its driver describes it; absent when it has just gone.
    pub local: Option<String>,
    /// The other end.
    pub remote: Option<String>,
    /// The relay that it runs through now; absent on a direct path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relay: Option<String>,
    /// How long it has been up, in milliseconds.
    pub up_for_ms: u64,
    /// Age of the last answer, in milliseconds.
    pub last_answer_ms: u64,
    /// Retransmission timeout of small frames, in microseconds.
    pub timeout_us: u64,
    /// Mean probability that a small frame is delivered; before any measurement the driver's prior.
    pub delivery: f64,
    /// Bytes in the driver's queue.
    pub backlog_bytes: u64,
    /// Largest frame, in bytes.
    pub max_frame: usize,
    /// Rate to reckon with before anything was measured.
    pub nominal_kbps: u32,
    /// Whether bytes cost money.
    pub metered: bool,
    /// What ranking reads, with its producers.
    pub inputs: Vec<InputReport>,
    /// What happened over it.
    pub traffic: TrafficReport,
}

/// An input of ranking.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InputReport {
    /// Its name.
    pub name: String,
    /// Its value; absent says "no data".
    pub value: Option<f64>,
    /// Measurements behind it.
    pub samples: u64,
}

/// What happened over a link, or over a family of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TrafficReport {
    /// Transmissions of messages.
    pub requests: u64,
    /// Messages that their destination acknowledged.
    pub successes: u64,
    /// Transmissions that ran into their timeout or an error.
    pub failures: u64,
    /// Messages that moved to another link.
    pub failovers: u64,
    /// Frames handed over, everything included.
    pub frames: u64,
    /// Bytes handed over, everything included.
    pub bytes: u64,
    /// From send to acknowledgement; absent before the first.
    pub latency_us: Option<LatencyReport>,
}

/// Quantiles of a latency, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LatencyReport {
    /// Median.
    pub p50: u64,
    /// 90th percentile.
    pub p90: u64,
    /// 99th percentile.
    pub p99: u64,
    /// Largest.
    pub max: u64,
}

/// Why packets to a peer went where they went.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WhyReport {
    /// The peer.
    pub peer: PeerId,
    /// The order in which a small message of each class would try the links now.
    pub preferences: Vec<PreferenceReport>,
    /// The latest decisions, newest first.
    pub decisions: Vec<DecisionReport>,
    /// The links as they are now, with the measurements behind each input.
    pub links: Vec<LinkReport>,
}

/// The order in which a message of a class would try the links.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreferenceReport {
    /// The class.
    pub class: TrafficClass,
    /// The policy that it is sent by.
    pub policy: String,
    /// Size reckoned with, in bytes.
    pub bytes: usize,
    /// Links, best first.
    pub order: Vec<u64>,
}

/// A decision as it was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DecisionReport {
    /// How long ago, in milliseconds.
    pub ago_ms: u64,
    /// The message's class.
    pub class: TrafficClass,
    /// Which transmission of the message, from 1.
    pub attempt: u16,
    /// How links were compared.
    pub policy: String,
    /// The message's size in bytes.
    pub bytes: usize,
    /// Whether energy was weighed.
    pub energy_aware: bool,
    /// The link that carried the class before; small advantages do not displace it.
    pub incumbent: Option<u64>,
    /// Latency from which on a link counts as suspect for the class, in microseconds.
    pub ceiling_us: u32,
    /// The link that took it.
    pub chosen: u64,
    /// The links, best first.
    pub contenders: Vec<ContenderReport>,
}

/// A link's part in a decision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContenderReport {
    /// The link.
    pub link: u64,
    /// Its family.
    pub transport: TransportType,
    /// Whether it took the message.
    pub chosen: bool,
    /// Its rank by trust; compared first.
    pub tier: Trust,
    /// Its cost by the policy; compared second, less is better.
    pub cost: u64,
    /// What the cost counts.
    pub cost_unit: String,
    /// The frame sizes whose estimates were read.
    pub size_bucket: String,
    /// Expected time to an acknowledgement without queueing, in microseconds.
    pub latency_us: u32,
    /// 1 minus the lower bound of delivery probability, in parts per million.
    pub undelivered_ppm: u32,
    /// Goodput reckoned with, in kbit/s.
    pub goodput_kbps: u64,
    /// Bytes in the driver's queue.
    pub backlog_bytes: u32,
    /// Bytes not acknowledged.
    pub unacked_bytes: u32,
    /// Bytes given to it lately, decayed.
    pub load_bytes: u64,
    /// Energy that the message would add, in microjoules.
    pub energy_uj: u64,
    /// Time since its radio was active, in milliseconds; absent says "never".
    pub radio_idle_ms: Option<u64>,
}

/// How a message went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SendReport {
    /// To whom.
    pub peer: PeerId,
    /// Its class.
    pub class: TrafficClass,
    /// Its size in bytes.
    pub bytes: usize,
    /// What counts as delivered.
    pub ack: Ack,
    /// How it ended.
    #[serde(flatten)]
    pub outcome: OutcomeReport,
}

/// How a message ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum OutcomeReport {
    /// The destination acknowledged it.
    Delivered {
        /// At which level.
        level: Ack,
        /// The link that carried the acknowledged copy.
        link: TriedReport,
        /// Transmissions.
        attempts: u16,
        /// From send to acknowledgement, in microseconds.
        latency_us: u64,
    },
    /// A link took it, and no more was asked for.
    Sent {
        /// The link.
        link: TriedReport,
    },
    /// No whole copy left in time, or the destination refused it as late.
    Expired {
        /// Links it was tried on.
        tried: Vec<TriedReport>,
    },
    /// It will not be sent, or the destination refused it for good.
    Rejected {
        /// Why.
        why: String,
    },
    /// A copy left and no answer came.
    Unknown {
        /// Links it was tried on.
        tried: Vec<TriedReport>,
    },
    /// It has no outcome yet.
    Unsettled,
}

/// A link that a message was tried on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TriedReport {
    /// Its number.
    pub link: u64,
    /// Its family.
    pub transport: TransportType,
}

/// The stages of a delivery to a peer, up to the first that fails.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PingReport {
    /// The peer.
    pub peer: PeerId,
    /// The stages that were reached, in order; all but the last passed.
    pub stages: Vec<StageReport>,
    /// The stage that failed; absent when a message was confirmed.
    pub failed: Option<Stage>,
    /// Messages sent.
    pub sent: u32,
    /// Confirmed ones, in order.
    pub replies: Vec<ReplyReport>,
}

/// A stage of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Somewhere to reach the peer is known.
    Address,
    /// Both ends have proved their keys.
    Handshake,
    /// Both nodes have greeted each other.
    Admission,
    /// The link acknowledges frames.
    HopAck,
    /// The destination confirms messages.
    EndAck,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Address => "address",
            Self::Handshake => "handshake",
            Self::Admission => "admission",
            Self::HopAck => "hop ack",
            Self::EndAck => "end ack",
        })
    }
}

/// How a stage went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageReport {
    /// Which.
    pub stage: Stage,
    /// Whether it passed.
    pub passed: bool,
    /// What is known of it; each entry a line for people.
    pub known: Vec<String>,
}

/// A confirmed message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplyReport {
    /// Its number in this ping, from 1.
    pub number: u32,
    /// The link that carried it.
    pub link: TriedReport,
    /// Transmissions.
    pub attempts: u16,
    /// From send to acknowledgement, in microseconds.
    pub latency_us: u64,
}

/// What a reload changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReloadReport {
    /// The file that was read; absent for the defaults.
    pub file: Option<String>,
    /// What differs from before.
    pub changes: Vec<ChangeReport>,
}

/// A key whose value changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeReport {
    /// The key.
    pub key: String,
    /// Its old value, as TOML.
    pub old: String,
    /// Its new value.
    pub new: String,
    /// Whether the old one stays in force until a restart.
    pub needs_restart: bool,
}

/// The configuration in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigReport {
    /// The file it comes from; absent for the defaults.
    pub file: Option<String>,
    /// Every key, in the order of the template.
    pub entries: Vec<EntryReport>,
}

/// A key with its value in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryReport {
    /// The key.
    pub key: String,
    /// Its value, as TOML.
    pub value: String,
    /// Where the value comes from.
    pub origin: String,
}

/// Where peers may be reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetsReport {
    /// By peer.
    pub targets: Vec<TargetReport>,
}

/// Where a peer may be reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetReport {
    /// The peer.
    pub peer: PeerId,
    /// The transport to dial with.
    pub transport: TransportType,
    /// Where it listens.
    pub address: String,
    /// How that is known: static, beacon, mdns or advertisement.
    pub source: String,
    /// Whether a link is up over it.
    pub linked: bool,
    /// Dials that failed since the last that did not.
    pub failures: u32,
    /// Time until the next dial, in milliseconds, if one is waiting.
    pub next_dial_ms: Option<u64>,
}
