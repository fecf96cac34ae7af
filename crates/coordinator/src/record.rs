//! What a store is told to keep, and what it gives back to the next incarnation.

use std::time::Duration;

use bitcraps_types::{AckLevel, Epoch, MessageId, PeerId, Sequence, TrafficClass};
use bytes::Bytes;

use crate::{FailoverPolicy, SendOptions};

/// Whether a message outlives its sender's process: it is in the outbox before its first copy
/// leaves. Whoever asks for no confirmation gets no outbox either.
pub const fn is_kept(class: TrafficClass, ack: AckLevel) -> bool {
    matches!((class, ack), (TrafficClass::Critical, AckLevel::PeerAcked | AckLevel::Applied))
}

/// Whether a destination with a store makes a message's identity durable before it acknowledges
/// it: critical ones, and those whose sender waits for the application's answer.
pub const fn is_recorded(class: TrafficClass, ack: AckLevel) -> bool {
    is_kept(class, ack) || matches!(ack, AckLevel::Applied)
}

/// Names a message of this node's own, for life. Its class is critical.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OutboxId {
    /// To whom.
    pub destination: PeerId,
    /// The incarnation of this node that numbered it.
    pub epoch: Epoch,
    /// Its number.
    pub sequence: Sequence,
}

/// A message in the outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Its identity.
    pub id: OutboxId,
    /// The oldest incarnation of the destination that a copy may have reached; 0 while none can.
    pub since: Epoch,
    /// How it was sent.
    pub options: SendOptions,
    /// Which links it prefers.
    pub policy: FailoverPolicy,
    /// How long it is still worth anything.
    pub remaining: Duration,
    /// Its bytes.
    pub payload: Bytes,
}

/// A message that this node acknowledged and its application has not taken for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Its identity.
    pub id: MessageId,
    /// What its sender waits for.
    pub ack: AckLevel,
    /// Whether the application may have been handed it: after a crash nobody knows.
    pub offered: bool,
    /// Its bytes.
    pub payload: Bytes,
}

/// Names a stream of messages: one incarnation of a source, one class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId {
    /// Who sends.
    pub source: PeerId,
    /// Its incarnation.
    pub epoch: Epoch,
    /// The class.
    pub class: TrafficClass,
}

/// Which messages of a stream were taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamRecord {
    /// The stream.
    pub stream: StreamId,
    /// Every message below is settled.
    pub cumulative: Sequence,
    /// One above the highest number taken or given up.
    pub end: Sequence,
    /// Number of the first of `words`. Everything between the window's lower end and it was taken.
    pub first: u64,
    /// Bit `i` of word `w`: message `64 (first + w) + i` was taken.
    pub words: Vec<u64>,
    /// The application's answers that may still be asked for, ascending: whether it applied.
    pub verdicts: Vec<(Sequence, bool)>,
}

/// What is known of a source beside its streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceRecord {
    /// Who.
    pub source: PeerId,
    /// This node remembers every recorded message of the source since this incarnation of its own.
    pub begins: Epoch,
    /// Streams of this incarnation of the source and of older ones are forgotten, and refused.
    pub forgotten: Epoch,
    /// The incarnation of this node that heard of the source last.
    pub heard: Epoch,
}

/// One change of what a store holds. Putting replaces what was there; dropping what is not there
/// changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// A message is in the outbox.
    Keep(Kept),
    /// A message of the outbox is settled.
    Settle(OutboxId),
    /// A message is in custody.
    Hold(Held),
    /// The application may be handed a message that is in custody.
    Offer(MessageId),
    /// The application took a message for good.
    Release(MessageId),
    /// The state of a stream.
    Stream(StreamRecord),
    /// A stream needs no memory any more.
    DropStream(StreamId),
    /// What is known of a source.
    Source(SourceRecord),
    /// A source is forgotten; its streams are dropped one by one.
    DropSource(PeerId),
    /// Sources without a record are remembered since this incarnation of this node.
    Begins(Epoch),
}

/// Changes that a store makes durable together: all of them or none, in their order.
pub type Batch = Vec<Write>;

/// What a store held when this incarnation began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recalled {
    /// Sources without a record are remembered since this incarnation of this node; its own for a
    /// new store.
    pub begins: Epoch,
    /// Most bytes of messages that the store is to hold at once.
    pub most_bytes: usize,
    /// The outbox, in any order.
    pub outbox: Vec<Kept>,
    /// Messages in custody, in the order in which they are to be handed over.
    pub inbox: Vec<Held>,
    /// Streams, in any order.
    pub streams: Vec<StreamRecord>,
    /// Sources, in any order.
    pub sources: Vec<SourceRecord>,
}

impl Recalled {
    /// What a new store holds in the incarnation `epoch`: nothing.
    pub const fn nothing(epoch: Epoch, most_bytes: usize) -> Self {
        Self {
            begins: epoch,
            most_bytes,
            outbox: Vec::new(),
            inbox: Vec::new(),
            streams: Vec::new(),
            sources: Vec::new(),
        }
    }
}
