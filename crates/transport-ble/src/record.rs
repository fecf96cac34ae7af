//! What a sealed record holds: one byte of kind, then what belongs to it.

use bytes::Bytes;

const FRAME: u8 = 0;
const CLOSE: u8 = 1;

/// Bytes that a frame grows by before it is sealed.
pub(crate) const KIND: usize = 1;

/// Why an end closes a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Farewell {
    /// It wants the link no longer, or shuts down.
    Closed = 0,
    /// Another link to the same peer took, or keeps, its place.
    Replaced = 1,
    /// It holds as many links as its radio does.
    NoRoom = 2,
}

/// An opened record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Record {
    Frame(Bytes),
    Close(Farewell),
}

impl Record {
    /// The bytes to seal for a frame.
    pub(crate) fn frame(frame: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(KIND + frame.len());
        out.push(FRAME);
        out.extend_from_slice(frame);
        out
    }

    /// The bytes to seal for a farewell.
    pub(crate) fn close(why: Farewell) -> [u8; 2] {
        [CLOSE, why as u8]
    }

    /// Reads what was sealed; `None` when no node of this version sends it.
    pub(crate) fn read(mut plain: Vec<u8>) -> Option<Self> {
        match *plain.first()? {
            FRAME => {
                plain.remove(0);
                Some(Self::Frame(plain.into()))
            }
            CLOSE => match plain[1..] {
                [0] => Some(Self::Close(Farewell::Closed)),
                [1] => Some(Self::Close(Farewell::Replaced)),
                [2] => Some(Self::Close(Farewell::NoRoom)),
                _ => None,
            },
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_as_they_are_written_and_nothing_else_is() {
        for frame in [&b""[..], b"x", &[9; 1_000]] {
            let read = Record::read(Record::frame(frame));
            assert_eq!(read, Some(Record::Frame(Bytes::copy_from_slice(frame))));
        }
        for why in [Farewell::Closed, Farewell::Replaced, Farewell::NoRoom] {
            assert_eq!(Record::read(Record::close(why).to_vec()), Some(Record::Close(why)));
        }
        for bad in [vec![], vec![2], vec![1], vec![1, 3], vec![1, 0, 0]] {
            assert_eq!(Record::read(bad.clone()), None, "{bad:?}");
        }
    }
}
