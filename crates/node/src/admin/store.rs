//! What a node says of what it keeps over restarts.

use bitcraps_coordinator::{OutboxEntry, Progress, StoreState};
use bitcraps_types::PeerId;
use serde::{Deserialize, Serialize};

use super::status::{Health, millis};
use crate::{Node, StoreHealth};

/// Share of the store's bytes above which it is told that it will be full.
const NEARLY_FULL: f64 = 0.9;

/// What is kept over restarts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreReport {
    /// Its file; absent when it could not be opened.
    pub file: Option<String>,
    /// Whether what must be durable can be.
    pub works: bool,
    /// Why it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// What was found damaged when the node started, and where that is now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub damage: Option<String>,
    /// Critical messages that have no outcome yet.
    pub outbox: usize,
    /// Messages that were acknowledged and that the application has not taken for good.
    pub inbox: usize,
    /// Messages that the application may have had before a crash, and was not told of yet.
    pub doubts: usize,
    /// Bytes reckoned for all of them.
    pub bytes: usize,
    /// Most bytes that may be.
    pub max_bytes: usize,
    /// Batches made durable since the start.
    pub commits: u64,
    /// Flushes of the disk since the start.
    pub syncs: u64,
}

/// The outbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxReport {
    /// Its messages: by destination, then oldest first.
    pub messages: Vec<KeptReport>,
}

/// A message of the outbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptReport {
    /// To whom.
    pub peer: PeerId,
    /// The incarnation of this node that took it.
    pub epoch: u64,
    /// Its number.
    pub sequence: u64,
    /// Its length in bytes.
    pub bytes: usize,
    /// How long it is still worth anything, in milliseconds.
    pub remaining_ms: u64,
    /// Transmissions in this life of the node; absent while it waits.
    pub attempts: Option<u16>,
    /// Whether a former life of the node took it.
    pub recalled: bool,
}

/// What is not as it should be with the store.
pub(super) fn finding(health: &StoreHealth) -> Option<(Health, String)> {
    let status = &health.status;
    if let (StoreState::Failed, Some(why)) = (status.state, &health.failure) {
        return Some((Health::Critical, format!("{why}; critical messages are refused")));
    }
    if let Some(damage) = &health.damage {
        return Some((Health::Warning, damage.to_string()));
    }
    if status.doubts > 0 {
        let finding = format!("{} messages are doubtful since a crash", status.doubts);
        return Some((Health::Warning, finding));
    }
    let full = status.bytes as f64 > NEARLY_FULL * status.most_bytes as f64;
    (status.state == StoreState::Ready && full).then(|| {
        let (bytes, most) = (status.bytes, status.most_bytes);
        (Health::Warning, format!("the store is nearly full: {bytes} of {most} bytes"))
    })
}

/// What is kept over restarts.
pub(super) fn report(health: &StoreHealth) -> Option<Box<StoreReport>> {
    let status = health.status;
    let report = || StoreReport {
        file: health.path.as_ref().map(|path| path.display().to_string()),
        works: status.state == StoreState::Ready,
        failure: health.failure.clone(),
        damage: health.damage.as_ref().map(ToString::to_string),
        outbox: status.outbox,
        inbox: status.inbox,
        doubts: status.doubts,
        bytes: status.bytes,
        max_bytes: status.most_bytes,
        commits: status.commits,
        syncs: health.syncs,
    };
    (status.state != StoreState::Absent).then(|| Box::new(report()))
}

/// The outbox, by destination, then oldest first.
pub(super) fn outbox(node: &Node) -> OutboxReport {
    let message = |entry: OutboxEntry| KeptReport {
        peer: entry.id.destination,
        epoch: entry.id.epoch.0,
        sequence: entry.id.sequence,
        bytes: entry.bytes,
        remaining_ms: millis(entry.remaining),
        attempts: match entry.progress {
            Progress::Queued => None,
            Progress::InFlight { attempts } | Progress::PeerAcked { attempts } => Some(attempts),
        },
        recalled: entry.recalled,
    };
    OutboxReport { messages: node.outbox().into_iter().map(message).collect() }
}
