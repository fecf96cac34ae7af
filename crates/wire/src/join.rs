use bytes::{BufMut, BytesMut};

use crate::DecodeError;
use crate::reader::Reader;

/// Bytes of an invitation's public name.
pub const INVITATION_NAME: usize = 8;
/// Bytes of a proof: HMAC-SHA-256.
pub const PROOF: usize = 32;

/// "I hold the secret of an invitation of yours": asks to be admitted, on a link that has
/// authenticated both ends. Repeated until a [`JoinReply`] comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Join {
    /// Which invitation. Derived from its secret, and says nothing about it.
    pub invitation: [u8; INVITATION_NAME],
    /// Shows that the sender knows the secret, here and now: bound to both keys, both epochs and
    /// both challenges of the link's hellos, so that it is of no use anywhere else.
    pub proof: [u8; PROOF],
}

impl Join {
    /// Encoded length in bytes.
    pub const LEN: usize = INVITATION_NAME + PROOF;

    pub(crate) fn encode(&self, out: &mut BytesMut) {
        out.put_slice(&self.invitation);
        out.put_slice(&self.proof);
    }

    pub(crate) fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self { invitation: reader.array()?, proof: reader.array()? })
    }
}

/// What became of a [`Join`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum JoinVerdict {
    /// Admitted, durably.
    Admitted = 0,
    /// The invitation was good until some time ago.
    Expired = 1,
    /// As many peers as it was made for have used it.
    UsedUp = 2,
    /// No such invitation was made here, or it is forgotten.
    Unknown = 3,
    /// The proof does not fit: another secret, or a proof made for another link.
    Wrong = 4,
    /// This node takes no invitations.
    Closed = 5,
    /// The decision cannot be made durable now.
    Unavailable = 6,
}

impl JoinVerdict {
    /// Every verdict.
    pub const ALL: [Self; 7] = [
        Self::Admitted,
        Self::Expired,
        Self::UsedUp,
        Self::Unknown,
        Self::Wrong,
        Self::Closed,
        Self::Unavailable,
    ];
}

/// Answers a [`Join`] on the link it came by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JoinReply {
    /// The invitation asked about.
    pub invitation: [u8; INVITATION_NAME],
    /// The answer.
    pub verdict: JoinVerdict,
}

impl JoinReply {
    /// Encoded length in bytes; less than what it answers.
    pub const LEN: usize = INVITATION_NAME + 1;

    pub(crate) fn encode(&self, out: &mut BytesMut) {
        out.put_slice(&self.invitation);
        out.put_u8(self.verdict as u8);
    }

    pub(crate) fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        let invitation = reader.array()?;
        let verdict = reader.u8()?;
        let known = JoinVerdict::ALL.get(usize::from(verdict)).copied();
        Ok(Self { invitation, verdict: known.ok_or(DecodeError::Verdict(verdict))? })
    }
}
