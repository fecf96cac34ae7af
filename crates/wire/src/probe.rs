use bytes::{BufMut, BytesMut};

use crate::DecodeError;
use crate::reader::Reader;

/// Asks the other end of a link for a sign of life, at the size of real frames if wanted: a link
/// may pass small frames and swallow large ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probe {
    /// Never used twice on a link; the reply echoes it.
    pub nonce: u64,
    /// Zero bytes after the nonce. At least [`Probe::MIN_PADDING`], so that no reply is larger than
    /// its request.
    pub padding: u16,
}

impl Probe {
    /// Least padding in bytes: what a reply holds beyond the nonce.
    pub const MIN_PADDING: u16 = 4;
    /// Encoded length without padding, in bytes.
    pub const LEN: usize = 8;

    pub(crate) fn encoded_len(&self) -> usize {
        Self::LEN + usize::from(self.padding)
    }

    pub(crate) fn encode(&self, out: &mut BytesMut) {
        out.put_u64(self.nonce);
        out.put_bytes(0, usize::from(self.padding));
    }

    pub(crate) fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        let nonce = reader.u64()?;
        let padding = reader.rest();
        let len = padding.len();
        if padding.iter().any(|byte| *byte != 0) {
            return Err(DecodeError::Inconsistent("padding of a probe is not zero"));
        }
        let (value, bound) = (len as u64, u64::from(u16::MAX));
        let padding = u16::try_from(len).map_err(|_| DecodeError::TooMany {
            what: "probe padding",
            value,
            bound,
        })?;
        if padding < Self::MIN_PADDING {
            return Err(DecodeError::Inconsistent("a probe is smaller than its reply"));
        }
        Ok(Self { nonce, padding })
    }
}

/// Answers a probe on the link it came by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProbeReply {
    /// The probe's.
    pub nonce: u64,
    /// Time between the probe's arrival and the reply's departure, in µs.
    pub dwell_us: u32,
}

impl ProbeReply {
    /// Encoded length in bytes.
    pub const LEN: usize = 12;

    pub(crate) fn encode(&self, out: &mut BytesMut) {
        out.put_u64(self.nonce);
        out.put_u32(self.dwell_us);
    }

    pub(crate) fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self { nonce: reader.u64()?, dwell_us: reader.u32()? })
    }
}
