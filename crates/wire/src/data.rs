use bitcraps_types::{AckLevel, Epoch, Sequence, TrafficClass};
use bytes::{BufMut, Bytes, BytesMut};

use crate::DecodeError;
use crate::reader::Reader;

/// Largest message in bytes: 16 MiB. Larger state belongs into a file transfer.
pub const MAX_MESSAGE: usize = 16 << 20;

/// A message, or the byte range of one that fits the link it was sent on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Data {
    /// The message's class.
    pub class: TrafficClass,
    /// What the sender waits for.
    pub ack: AckLevel,
    /// How often the message was sealed; two generations never share a reassembly.
    pub generation: u8,
    /// Which transmission of the message this is, from 1; echoed in acks.
    pub attempt: u16,
    /// The sender's incarnation that numbered the message.
    pub source_epoch: Epoch,
    /// The message's number.
    pub sequence: Sequence,
    /// How far behind `sequence` the lowest number lies that the sender may still send. Everything
    /// lower is settled at the sender, whatever the receiver saw of it.
    pub behind_lowest_live: u16,
    /// Length of the whole message in bytes.
    pub total: u32,
    /// Position of the payload's first byte within the message.
    pub offset: u32,
    /// The bytes of the range.
    pub payload: Bytes,
}

impl Data {
    /// Encoded length without the payload, in bytes.
    pub const HEADER_LEN: usize = 1 + 1 + 1 + 2 + 8 + 8 + 2 + 4 + 4;

    /// Lowest number that the sender may still send.
    pub fn lowest_live(&self) -> Sequence {
        self.sequence.saturating_sub(u64::from(self.behind_lowest_live))
    }

    pub(crate) fn encode(&self, out: &mut BytesMut) {
        out.put_slice(&[self.class as u8, self.ack as u8, self.generation]);
        out.put_u16(self.attempt);
        out.put_u64(self.source_epoch.0);
        out.put_u64(self.sequence);
        out.put_u16(self.behind_lowest_live);
        out.put_u32(self.total);
        out.put_u32(self.offset);
        out.put_slice(&self.payload);
    }

    pub(crate) fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        let [class, ack, generation] = reader.array()?;
        let data = Self {
            class: TrafficClass::from_wire(class).ok_or(DecodeError::Class(class))?,
            ack: AckLevel::from_wire(ack).ok_or(DecodeError::Ack(ack))?,
            generation,
            attempt: reader.u16()?,
            source_epoch: Epoch(reader.u64()?),
            sequence: reader.u64()?,
            behind_lowest_live: reader.u16()?,
            total: reader.u32()?,
            offset: reader.u32()?,
            payload: reader.rest(),
        };
        if data.total as usize > MAX_MESSAGE {
            let (value, bound) = (u64::from(data.total), MAX_MESSAGE as u64);
            return Err(DecodeError::TooMany { what: "message length", value, bound });
        }
        if u64::from(data.behind_lowest_live) > data.sequence {
            return Err(DecodeError::Inconsistent("lowest live sequence lies below zero"));
        }
        let end = u64::from(data.offset) + data.payload.len() as u64;
        let empty_part = data.payload.is_empty() && data.total > 0;
        if end > u64::from(data.total) || empty_part {
            let (offset, len, total) = (data.offset, data.payload.len(), data.total);
            return Err(DecodeError::Range { offset, len, total });
        }
        Ok(data)
    }
}
