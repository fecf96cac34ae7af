use bytes::{BufMut, Bytes, BytesMut};

use crate::reader::Reader;
use crate::{Alias, DecodeError};

/// Relays that a frame names; beyond them each relay looks for the way itself.
pub const MAX_VIA: usize = 8;
/// Most bytes that are relayed in one frame: what an internet path carries in a datagram.
pub const MAX_RELAYED: usize = 1_500;

/// What a relayed frame is to its destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RelayedKind {
    /// Part of the handshake by which source and destination agree on keys.
    Handshake = 0,
    /// A frame between source and destination, sealed.
    Sealed = 1,
}

/// What is carried from a source to a destination that share no link. A relay can read the way and
/// nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relayed {
    /// What it is to the destination.
    pub kind: RelayedKind,
    /// The relays that are still ahead, the next one first; at most [`MAX_VIA`].
    pub via: Vec<Alias>,
    /// What the destination reads, at most [`MAX_RELAYED`] bytes.
    pub payload: Bytes,
}

impl Relayed {
    /// Bytes before the payload, without relays.
    pub const HEADER_LEN: usize = 2;
    /// Bytes for each relay that is named.
    pub const VIA_LEN: usize = 8;

    pub(crate) fn encoded_len(&self) -> usize {
        Self::HEADER_LEN + Self::VIA_LEN * self.via.len().min(MAX_VIA) + self.payload.len()
    }

    pub(crate) fn encode(&self, out: &mut BytesMut) {
        out.put_u8(self.kind as u8);
        out.put_u8(self.via.len().min(MAX_VIA) as u8);
        self.via.iter().take(MAX_VIA).for_each(|alias| out.put_u64(alias.0));
        out.put_slice(&self.payload);
    }

    pub(crate) fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        let kind = match reader.u8()? {
            0 => RelayedKind::Handshake,
            1 => RelayedKind::Sealed,
            unknown => return Err(DecodeError::Kind(unknown)),
        };
        let count = reader.count("relays of a frame", MAX_VIA)?;
        let mut via = Vec::with_capacity(count);
        for _ in 0..count {
            via.push(Alias(reader.u64()?));
        }
        let payload = reader.rest_up_to("relayed bytes", MAX_RELAYED)?;
        Ok(Self { kind, via, payload })
    }
}
