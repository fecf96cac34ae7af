use std::fmt;

use bitcraps_coordinator::{FailoverPolicy, Outcome, SendError, SendOptions, Ticket};
use bitcraps_types::Timestamp;
use bytes::{BufMut, Bytes, BytesMut};

use crate::NodeId;

/// Names a message of the scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SendId(pub(crate) u32);

/// What a message carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    /// This many bytes, at least eight, that no other message of the simulation carries.
    Unique(usize),
    /// These bytes.
    Bytes(Bytes),
}

impl From<usize> for Payload {
    fn from(len: usize) -> Self {
        Self::Unique(len)
    }
}

impl From<Bytes> for Payload {
    fn from(bytes: Bytes) -> Self {
        Self::Bytes(bytes)
    }
}

impl Payload {
    /// Least length of a unique payload: the number of its message.
    const LEAST: usize = 8;

    pub(crate) fn into_bytes(self, id: SendId) -> Bytes {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Unique(len) => {
                let mut bytes = BytesMut::with_capacity(len.max(Self::LEAST));
                let mut filling = fastrand::Rng::with_seed(u64::from(id.0));
                bytes.put_u64(u64::from(id.0));
                bytes.resize(len.max(Self::LEAST), 0);
                filling.fill(&mut bytes[Self::LEAST..]);
                bytes.freeze()
            }
        }
    }
}

/// What came of a message's `send`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fortune {
    /// Its time has not come.
    Scheduled,
    /// The engine took it.
    Taken(Ticket),
    /// The engine did not take it.
    Refused(SendError),
    /// Its sender was dead.
    SenderDead,
}

/// A message of the scenario, from its sender's side. Shows its payload's length only.
#[derive(Clone, PartialEq)]
pub struct Message {
    /// Who sends it.
    pub from: NodeId,
    /// To whom.
    pub to: NodeId,
    /// What.
    pub payload: Bytes,
    /// How.
    pub options: SendOptions,
    /// The policy that overrides its class's, if any.
    pub policy: Option<FailoverPolicy>,
    /// When it is sent.
    pub at: Timestamp,
    /// What came of `send`.
    pub fortune: Fortune,
    /// How it ended, and when.
    pub outcome: Option<(Timestamp, Outcome)>,
    /// Its sender died before it ended.
    pub orphaned: bool,
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("from", &self.from)
            .field("to", &self.to)
            .field("bytes", &self.payload.len())
            .field("options", &self.options)
            .field("policy", &self.policy)
            .field("at", &self.at)
            .field("fortune", &self.fortune)
            .field("outcome", &self.outcome)
            .field("orphaned", &self.orphaned)
            .finish()
    }
}

impl Message {
    /// Whether nothing more will come of it for its sender.
    pub fn is_settled(&self) -> bool {
        match self.fortune {
            Fortune::Scheduled => false,
            Fortune::Refused(_) | Fortune::SenderDead => true,
            Fortune::Taken(_) => self.outcome.is_some() || self.orphaned,
        }
    }

    /// Whether its sender was told that the destination has it.
    pub fn is_delivered(&self) -> bool {
        matches!(self.outcome, Some((_, Outcome::Delivered { .. })))
    }
}
