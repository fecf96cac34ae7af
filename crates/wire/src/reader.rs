use bytes::Bytes;

use crate::DecodeError;

/// Reads big-endian fields off the front of a buffer; never beyond its end.
pub(crate) struct Reader {
    bytes: Bytes,
}

impl Reader {
    pub(crate) fn new(bytes: Bytes) -> Self {
        Self { bytes }
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let left = self.bytes.len();
        let Some(head) = self.bytes.first_chunk::<N>() else {
            return Err(DecodeError::Truncated { needed: N, left });
        };
        let head = *head;
        bytes::Buf::advance(&mut self.bytes, N);
        Ok(head)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, DecodeError> {
        Ok(u8::from_be_bytes(self.array()?))
    }

    pub(crate) fn u16(&mut self) -> Result<u16, DecodeError> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, DecodeError> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, DecodeError> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    /// A count of things that follow, refused above `bound`.
    pub(crate) fn count(&mut self, what: &'static str, bound: usize) -> Result<usize, DecodeError> {
        let value = usize::from(self.u8()?);
        if value > bound {
            return Err(DecodeError::TooMany { what, value: value as u64, bound: bound as u64 });
        }
        Ok(value)
    }

    /// The next `len` bytes, without a copy.
    pub(crate) fn take(&mut self, len: usize) -> Result<Bytes, DecodeError> {
        let left = self.bytes.len();
        if left < len {
            return Err(DecodeError::Truncated { needed: len, left });
        }
        Ok(self.bytes.split_to(len))
    }

    /// Everything that is left, without a copy.
    pub(crate) fn rest(&mut self) -> Bytes {
        std::mem::take(&mut self.bytes)
    }

    /// Everything that is left, refused above `bound` bytes.
    pub(crate) fn rest_up_to(
        &mut self,
        what: &'static str,
        bound: usize,
    ) -> Result<Bytes, DecodeError> {
        let rest = self.rest();
        match rest.len() {
            len if len > bound => {
                Err(DecodeError::TooMany { what, value: len as u64, bound: bound as u64 })
            }
            _ => Ok(rest),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(crate) fn finish(self) -> Result<(), DecodeError> {
        match self.bytes.len() {
            0 => Ok(()),
            left => Err(DecodeError::Trailing(left)),
        }
    }
}
