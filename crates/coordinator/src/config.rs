use std::time::Duration;

use bitcraps_types::{Epoch, PeerId, Ratio, TrafficClass, TransportType};

use crate::FailoverPolicy;

/// What is configured of one transport.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TransportConfig {
    /// Upper bound of one frame in bytes, hop header included; larger messages are fragmented. The
    /// link's own bound holds as well. At least [`bitcraps_types::LinkCapabilities::MIN_FRAME`].
    pub max_packet_size: usize,
    /// How long a dial may take, and how long a link may stay silent after it came up before it is
    /// given up.
    pub connection_timeout: Duration,
    /// A link whose 5 % lower bound of delivery probability is below ranks after all links above.
    pub reliability_threshold: Ratio,
}

/// Everything that steers a [`Core`](crate::Core).
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Who this node is.
    pub local: PeerId,
    /// Its incarnation: grows with each start, durable before the first frame.
    pub epoch: Epoch,
    /// Seed of every random choice (probe jitter, challenges).
    pub seed: u64,
    /// Policy of sends that name neither class nor policy.
    pub default_policy: FailoverPolicy,
    /// Whether traffic may move to another link after a timeout or an error. When false a message
    /// stays on the link of its first attempt, and a class on the link it uses, while that is up.
    pub auto_failover: bool,
    /// Whether energy counts: standby links are probed as seldom as their radio's tail allows, and
    /// `EnergyEfficient` weighs marginal joules. When false, standby links are probed at full rate
    /// and `EnergyEfficient` follows the seed's size rule.
    pub energy_aware: bool,
    /// Whether a second copy may leave before the timeout.
    pub hedging: bool,
    /// Peers in the table at most. Each costs about 2 KiB, and what is exchanged with it.
    pub peers: usize,
    /// What all strangers together may send, in bytes a second; what comes beyond is not looked at.
    pub stranger_bytes_per_second: u32,
    /// Whether a repeated message is recognised. For tests that show what the verdict is worth.
    pub deduplicate: bool,
    /// Whether an unanswered message is sent again. For tests that show what the verdict is worth.
    pub resend: bool,
    /// By [`TransportType::index`].
    pub transports: [TransportConfig; TransportType::COUNT],
}

impl Config {
    /// The seed's values for a node.
    pub fn new(local: PeerId, epoch: Epoch, seed: u64) -> Self {
        let transport = |max_packet_size, seconds, threshold| TransportConfig {
            max_packet_size,
            connection_timeout: Duration::from_secs(seconds),
            reliability_threshold: Ratio::clamped(threshold),
        };
        Self {
            local,
            epoch,
            seed,
            default_policy: FailoverPolicy::FastestFirst,
            auto_failover: true,
            energy_aware: true,
            hedging: true,
            peers: bounds::PEERS,
            stranger_bytes_per_second: bounds::STRANGER_BYTES_PER_SECOND,
            deduplicate: true,
            resend: true,
            transports: [
                transport(1_024, 10, 0.8),
                transport(65_536, 5, 0.9),
                transport(1_048_576, 15, 0.95),
            ],
        }
    }

    pub(crate) fn transport(&self, transport: TransportType) -> &TransportConfig {
        &self.transports[transport.index()]
    }
}

/// Named bounds of every table and queue, each with its reason.
pub mod bounds {
    use super::{Duration, TrafficClass};

    /// Peers in the table when nobody says: a city of players. 2 GiB for all.
    pub const PEERS: usize = 1 << 20;
    /// How long a peer is known that has no link and that nobody named: as long as what is heard of
    /// places where peers may be reached.
    pub const FORGET_AFTER: Duration = Duration::from_secs(600);
    /// Links to one peer at once: two interfaces on three transports, and room for a hand-over.
    pub const LINKS_PER_PEER: usize = 8;
    /// Messages from the oldest unsettled to the newest of a stream, and bits in the duplicate
    /// window: a 16 ms round trip at a million messages a second, 2 KiB a stream.
    pub const WINDOW: u64 = 16_384;
    /// Messages waiting or in flight for one peer and class: as many as the window spans.
    pub const QUEUE_MESSAGES: usize = 16_384;
    /// Bytes waiting or in flight for one peer and class: two messages of the largest size. A peer
    /// that drains nothing costs its own share and no more.
    pub const QUEUE_BYTES: usize = 32 << 20;
    /// Bytes waiting or in flight for all peers.
    pub const NODE_BYTES: usize = 512 << 20;
    /// Frames of one link that are neither acknowledged nor given up: what a window of single-frame
    /// messages needs on top of a fragmented one.
    pub const FLIGHTS_PER_LINK: usize = 32_768;
    /// Bytes of incomplete messages from one peer.
    pub const REASSEMBLY_PEER_BYTES: usize = 32 << 20;
    /// Bytes of incomplete messages from all peers.
    pub const REASSEMBLY_NODE_BYTES: usize = 128 << 20;
    /// Incomplete messages from one peer, whatever their size: a share of the node's that leaves
    /// room for others.
    pub const REASSEMBLY_PEER_MESSAGES: usize = 1_024;
    /// Incomplete messages from all peers, whatever their size.
    pub const REASSEMBLY_NODE_MESSAGES: usize = 8_192;
    /// Separate byte ranges of one incomplete message: bounds the work a hostile order can cause.
    pub const REASSEMBLY_RANGES: usize = 4_096;
    /// How long an incomplete message may rest without progress: longer than any retransmission
    /// timeout, with failover.
    pub const REASSEMBLY_IDLE: Duration = Duration::from_secs(30);
    /// Messages handed to the application and not yet taken by it, a class.
    pub const INBOX_MESSAGES: usize = 4_096;
    /// Timers served in one call, so that a storm after resume cannot hold the caller; the rest
    /// stays due.
    pub const TIMERS_PER_TURN: usize = 4_096;
    /// Application verdicts remembered for repeats, a stream.
    pub const VERDICTS: usize = 1_024;
    /// Decisions remembered for `why`, a peer.
    pub const DECISIONS: usize = 16;
    /// Former incarnations of a peer of which it is known what was taken: as often as one may
    /// restart before its outbox is empty. Older ones are refused as too old.
    pub const FORMER_EPOCHS: usize = 32;
    /// Sources that a store remembers, about 150 bytes each while nothing is missing of what they
    /// sent. The one that was silent longest gives way, and is told so when it returns.
    pub const SOURCES: usize = 16_384;
    /// Messages that the application may have been handed and a crash would leave doubtful: what
    /// arrives while a disk makes the next offers durable, so that an application that keeps up is
    /// handed messages with the flush that holds them, and not one flush later.
    pub const OFFERED: usize = 2_048;
    /// Ordering keys in use, a peer and class.
    pub const ORDER_KEYS: usize = 4_096;

    /// Bytes a second that all strangers together may send, when nobody says: a tenth of what
    /// one Bluetooth link carries to each of a hundred.
    pub const STRANGER_BYTES_PER_SECOND: u32 = 256 << 10;

    /// How long a message may live when its sender names no deadline.
    pub const fn default_deadline(class: TrafficClass) -> Duration {
        match class {
            TrafficClass::Realtime => Duration::from_millis(150),
            TrafficClass::Critical => Duration::from_secs(300),
            TrafficClass::Background => Duration::from_secs(60),
            TrafficClass::Bulk => Duration::from_secs(30),
        }
    }

    /// Longest life a message may have: what fits the wire's remaining milliseconds.
    pub const MAX_DEADLINE: Duration = Duration::from_secs(24 * 3_600);
}
