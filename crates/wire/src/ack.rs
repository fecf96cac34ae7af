use bitcraps_types::{Epoch, Sequence, TrafficClass};
use bytes::{BufMut, BytesMut};

use crate::DecodeError;
use crate::reader::Reader;

/// Streams that one end ack speaks about: one a class.
pub const MAX_ACK_BLOCKS: usize = TrafficClass::COUNT;
/// Words of 64 bits in a stream's bitmap.
pub const MAX_ACK_WORDS: usize = 4;
/// Verdicts on single messages in one stream ack.
pub const MAX_RESULTS: usize = 16;
/// Incomplete messages reported in one stream ack.
pub const MAX_PARTIALS: usize = 4;
/// Received ranges reported of one incomplete message.
pub const MAX_RANGES: usize = 8;

/// Which frames of a link arrived at its other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HopAck {
    /// 0: the link that the frame with this ack travels on. Otherwise the tag that the receiver of
    /// the ack gave the link in its hello; the ack takes a detour because its own link seems dead.
    pub link_tag: u32,
    /// Newest frame number received.
    pub largest: u32,
    /// Bit `i`: frame `largest - 1 - i` was received.
    pub bitmap: u64,
    /// Time between the arrival of `largest` and the departure of the ack, in µs.
    pub dwell_us: u32,
}

impl HopAck {
    /// Encoded length in bytes.
    pub const LEN: usize = 20;

    pub(crate) fn encode(&self, out: &mut BytesMut) {
        out.put_u32(self.link_tag);
        out.put_u32(self.largest);
        out.put_u64(self.bitmap);
        out.put_u32(self.dwell_us);
    }

    pub(crate) fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            link_tag: reader.u32()?,
            largest: reader.u32()?,
            bitmap: reader.u64()?,
            dwell_us: reader.u32()?,
        })
    }
}

/// The destination's verdict on one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// The application returned success.
    Applied = 0,
    /// The application refused it.
    Refused = 1,
    /// It came after its deadline and was not delivered.
    Late = 2,
    /// It lies below the duplicate window and was not delivered now; whether it was earlier is not
    /// known any more.
    TooOld = 3,
    /// It cannot be recorded, because the destination's store is out of order. It was not delivered
    /// and will not be.
    Unrecorded = 4,
    /// The sender is not admitted here; it was not delivered and never will be.
    NotAdmitted = 5,
    /// There is no room for it now, in its class. It was not taken; the same message may be sent
    /// again, and may be taken then.
    NoRoom = 6,
}

impl Status {
    fn from_wire(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Applied),
            1 => Some(Self::Refused),
            2 => Some(Self::Late),
            3 => Some(Self::TooOld),
            4 => Some(Self::Unrecorded),
            5 => Some(Self::NotAdmitted),
            6 => Some(Self::NoRoom),
            _ => None,
        }
    }
}

/// Verdict on one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResultEntry {
    /// The message.
    pub sequence: Sequence,
    /// The transmission that the verdict answers.
    pub attempt: u16,
    /// The verdict.
    pub status: Status,
}

/// What arrived so far of a fragmented message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partial {
    /// The message.
    pub sequence: Sequence,
    /// The generation of its seal.
    pub generation: u8,
    /// Received byte ranges `start..end`, ascending and apart, at most [`MAX_RANGES`]; more may
    /// have arrived.
    pub ranges: Vec<(u32, u32)>,
}

/// What the destination says about one stream of messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamAck {
    /// The stream's class.
    pub class: TrafficClass,
    /// The sender's incarnation that numbered the stream.
    pub source_epoch: Epoch,
    /// Every message below is in custody, or was settled by the sender itself.
    pub cumulative: Sequence,
    /// First message of the bitmap.
    pub base: Sequence,
    /// Bit `i` of word `w`: message `base + 64 w + i` is in custody. At most [`MAX_ACK_WORDS`].
    pub bitmap: Vec<u64>,
    /// The message whose arrival caused the ack.
    pub echo_sequence: Sequence,
    /// The transmission of it that arrived; makes the round trip unambiguous.
    pub echo_attempt: u16,
    /// Time from that arrival to the departure of the ack, in µs.
    pub dwell_us: u32,
    /// Verdicts, at most [`MAX_RESULTS`].
    pub results: Vec<ResultEntry>,
    /// Incomplete messages, at most [`MAX_PARTIALS`].
    pub partials: Vec<Partial>,
}

impl StreamAck {
    fn encoded_len(&self) -> usize {
        1 + 8
            + 8
            + 8
            + 1
            + self.bitmap.len() * 8
            + 8
            + 2
            + 4
            + 1
            + self.results.len() * 11
            + 1
            + self.partials.iter().map(|p| 10 + p.ranges.len() * 8).sum::<usize>()
    }

    fn encode(&self, out: &mut BytesMut) {
        out.put_u8(self.class as u8);
        out.put_u64(self.source_epoch.0);
        out.put_u64(self.cumulative);
        out.put_u64(self.base);
        put_count(out, self.bitmap.len(), MAX_ACK_WORDS);
        self.bitmap.iter().for_each(|word| out.put_u64(*word));
        out.put_u64(self.echo_sequence);
        out.put_u16(self.echo_attempt);
        out.put_u32(self.dwell_us);
        put_count(out, self.results.len(), MAX_RESULTS);
        for result in &self.results {
            out.put_u64(result.sequence);
            out.put_u16(result.attempt);
            out.put_u8(result.status as u8);
        }
        put_count(out, self.partials.len(), MAX_PARTIALS);
        for partial in &self.partials {
            out.put_u64(partial.sequence);
            out.put_u8(partial.generation);
            put_count(out, partial.ranges.len(), MAX_RANGES);
            for (start, end) in &partial.ranges {
                out.put_u32(*start);
                out.put_u32(*end);
            }
        }
    }

    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        let class = reader.u8()?;
        let class = TrafficClass::from_wire(class).ok_or(DecodeError::Class(class))?;
        let source_epoch = Epoch(reader.u64()?);
        let cumulative = reader.u64()?;
        let base = reader.u64()?;
        let words = reader.count("ack bitmap", MAX_ACK_WORDS)?;
        let bitmap = (0..words).map(|_| reader.u64()).collect::<Result<_, _>>()?;
        if base.checked_add(64 * words as u64).is_none() {
            return Err(DecodeError::Inconsistent("ack bitmap reaches beyond the last sequence"));
        }
        let echo_sequence = reader.u64()?;
        let echo_attempt = reader.u16()?;
        let dwell_us = reader.u32()?;
        let results = reader.count("ack results", MAX_RESULTS)?;
        let results = (0..results).map(|_| decode_result(reader)).collect::<Result<_, _>>()?;
        let partials = reader.count("ack partials", MAX_PARTIALS)?;
        let partials = (0..partials).map(|_| decode_partial(reader)).collect::<Result<_, _>>()?;
        Ok(Self {
            class,
            source_epoch,
            cumulative,
            base,
            bitmap,
            echo_sequence,
            echo_attempt,
            dwell_us,
            results,
            partials,
        })
    }
}

fn decode_result(reader: &mut Reader) -> Result<ResultEntry, DecodeError> {
    let sequence = reader.u64()?;
    let attempt = reader.u16()?;
    let status = reader.u8()?;
    let status = Status::from_wire(status).ok_or(DecodeError::Ack(status))?;
    Ok(ResultEntry { sequence, attempt, status })
}

fn decode_partial(reader: &mut Reader) -> Result<Partial, DecodeError> {
    let sequence = reader.u64()?;
    let generation = reader.u8()?;
    let count = reader.count("received ranges", MAX_RANGES)?;
    let mut ranges = Vec::with_capacity(count);
    let mut least = 0;
    for _ in 0..count {
        let (start, end) = (reader.u32()?, reader.u32()?);
        if start >= end || (start <= least && !ranges.is_empty()) {
            return Err(DecodeError::Inconsistent("received ranges are not ascending and apart"));
        }
        least = end;
        ranges.push((start, end));
    }
    Ok(Partial { sequence, generation, ranges })
}

fn put_count(out: &mut BytesMut, count: usize, bound: usize) {
    debug_assert!(count <= bound, "{count} things where {bound} are allowed");
    out.put_u8(u8::try_from(count.min(bound)).unwrap_or(u8::MAX));
}

/// The destination's word about messages of one source, at most one [`StreamAck`] a class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndAck {
    /// At least one, at most [`MAX_ACK_BLOCKS`].
    pub streams: Vec<StreamAck>,
}

impl EndAck {
    pub(crate) fn encoded_len(&self) -> usize {
        1 + self.streams.iter().map(StreamAck::encoded_len).sum::<usize>()
    }

    pub(crate) fn encode(&self, out: &mut BytesMut) {
        put_count(out, self.streams.len(), MAX_ACK_BLOCKS);
        self.streams.iter().for_each(|stream| stream.encode(out));
    }

    pub(crate) fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        let count = reader.count("acked streams", MAX_ACK_BLOCKS)?;
        if count == 0 {
            return Err(DecodeError::Inconsistent("an end ack names at least one stream"));
        }
        let mut streams = Vec::<StreamAck>::with_capacity(count);
        for _ in 0..count {
            let stream = StreamAck::decode(reader)?;
            if streams.iter().any(|before| before.class == stream.class) {
                return Err(DecodeError::Inconsistent("an end ack names a class twice"));
            }
            streams.push(stream);
        }
        Ok(Self { streams })
    }
}
