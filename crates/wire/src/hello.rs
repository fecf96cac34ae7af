use bitcraps_types::Epoch;
use bytes::{BufMut, BytesMut};

use crate::DecodeError;
use crate::reader::Reader;

/// First frame of each end on a new link: who I am this time, and proof that we talk now.
///
/// Repeated until the other end's hello echoes the challenge. The other end's identity is known
/// from the link, which authenticated it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hello {
    /// The sender's incarnation.
    pub epoch: Epoch,
    /// The first of its incarnations from which on it remembers every recorded message that it took
    /// from the receiver of the hello; its own without a store. Above its own where it forgot.
    pub memory: Epoch,
    /// Random, and the same in every hello of one process: tells two processes apart that use one key
    /// in one epoch.
    pub instance: u64,
    /// The sender's name for the link, not 0; hop acks that take a detour name the link by it.
    pub link_tag: u32,
    /// Random; a hello that echoes it was made after this one.
    pub challenge: u64,
    /// The other end's challenge, if it was seen.
    pub echo: Option<u64>,
}

impl Hello {
    /// Encoded length in bytes.
    pub const LEN: usize = 8 + 8 + 8 + 4 + 8 + 1 + 8;

    pub(crate) fn encode(&self, out: &mut BytesMut) {
        out.put_u64(self.epoch.0);
        out.put_u64(self.memory.0);
        out.put_u64(self.instance);
        out.put_u32(self.link_tag);
        out.put_u64(self.challenge);
        out.put_u8(u8::from(self.echo.is_some()));
        out.put_u64(self.echo.unwrap_or(0));
    }

    pub(crate) fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        let epoch = Epoch(reader.u64()?);
        let memory = Epoch(reader.u64()?);
        let instance = reader.u64()?;
        let link_tag = reader.u32()?;
        let challenge = reader.u64()?;
        let (has_echo, echo) = (reader.u8()?, reader.u64()?);
        let echo = match (has_echo, echo) {
            (0, 0) => None,
            (1, echo) => Some(echo),
            _ => {
                return Err(DecodeError::Inconsistent("a hello without echo carries one"));
            }
        };
        if link_tag == 0 {
            return Err(DecodeError::Inconsistent("link tag 0 means no link"));
        }
        Ok(Self { epoch, memory, instance, link_tag, challenge, echo })
    }
}
