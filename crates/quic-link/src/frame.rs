//! Frames in bytes: each behind its length, as four bytes big endian. The same in a datagram and in
//! a stream, so that a packed datagram that no longer fits can travel by stream as it is.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Bytes before each frame.
pub(crate) const PREFIX: usize = 4;

/// How a peer broke the framing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FramingError {
    /// A length above the bound; refused before its bytes arrive.
    #[error("a frame of {length} bytes where {max} is the most")]
    TooLong {
        /// As announced.
        length: usize,
        /// The bound.
        max: usize,
    },
    /// A datagram or stream ended inside a frame.
    #[error("{missing} bytes of a frame are missing at the end")]
    CutShort {
        /// At least so many.
        missing: usize,
    },
}

/// Appends the prefix of a frame of `length` bytes. Lengths come from the queue, which takes no
/// frame above `MAX_FRAME_LIMIT`.
pub(crate) fn put_prefix(out: &mut BytesMut, length: usize) {
    out.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
}

fn next_length(buffer: &[u8], max: usize) -> Result<Option<usize>, FramingError> {
    let Some(prefix) = buffer.first_chunk::<PREFIX>() else {
        return Ok(None);
    };
    let length = usize::try_from(u32::from_be_bytes(*prefix)).unwrap_or(usize::MAX);
    if length > max {
        return Err(FramingError::TooLong { length, max });
    }
    Ok(Some(length))
}

/// Splits every whole frame off the front of `buffer`, without copying. Returns how many more bytes
/// the frame begun at the end needs at least; 0 when none is begun.
pub(crate) fn split(
    buffer: &mut BytesMut,
    max: usize,
    frames: &mut Vec<Bytes>,
) -> Result<usize, FramingError> {
    loop {
        let missing = match next_length(buffer, max)? {
            None if buffer.is_empty() => return Ok(0),
            None => PREFIX - buffer.len(),
            Some(length) => (PREFIX + length).saturating_sub(buffer.len()),
        };
        if missing > 0 {
            return Ok(missing);
        }
        if let Some(length) = next_length(buffer, max)? {
            buffer.advance(PREFIX);
            frames.push(buffer.split_to(length).freeze());
        }
    }
}

/// Splits a datagram into its frames, without copying.
pub(crate) fn split_datagram(
    mut datagram: Bytes,
    max: usize,
    frames: &mut Vec<Bytes>,
) -> Result<(), FramingError> {
    while let Some(length) = next_length(&datagram, max)? {
        let end = PREFIX + length;
        if end > datagram.len() {
            let missing = end - datagram.len();
            return Err(FramingError::CutShort { missing });
        }
        datagram.advance(PREFIX);
        frames.push(datagram.split_to(length));
    }
    match datagram.len() {
        0 => Ok(()),
        some => Err(FramingError::CutShort { missing: PREFIX - some }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(frames: &[&[u8]]) -> BytesMut {
        let mut out = BytesMut::new();
        for frame in frames {
            put_prefix(&mut out, frame.len());
            out.put_slice(frame);
        }
        out
    }

    #[test]
    fn frames_come_back_wherever_the_bytes_are_cut() {
        let frames: [&[u8]; 4] = [b"a", b"", b"four", b"the last"];
        let whole = framed(&frames);
        for cut in 0..=whole.len() {
            let mut got = Vec::new();
            let mut buffer = BytesMut::from(&whole[..cut]);
            let missing = split(&mut buffer, 8, &mut got).unwrap();
            assert!(missing <= whole.len() - cut, "cut at {cut}");
            buffer.put_slice(&whole[cut..]);
            assert_eq!(split(&mut buffer, 8, &mut got), Ok(0), "cut at {cut}");
            assert_eq!(got, frames, "cut at {cut}");
        }
    }

    #[test]
    fn a_length_is_refused_before_its_bytes_arrive() {
        let mut got = Vec::new();
        let mut prefix = BytesMut::from(&[0, 0, 0, 9][..]);
        let error = FramingError::TooLong { length: 9, max: 8 };
        assert_eq!(split(&mut prefix, 8, &mut got), Err(error));
        assert_eq!(split_datagram(Bytes::from_static(&[0, 0, 0, 9]), 8, &mut got), Err(error));
        let mut prefix = BytesMut::from(&[0, 0, 0, 8][..]);
        assert_eq!(split(&mut prefix, 8, &mut got), Ok(8));
        assert!(got.is_empty());
    }

    #[test]
    fn a_datagram_holds_whole_frames_only() {
        let whole = framed(&[b"one", b"two"]).freeze();
        let mut got = Vec::new();
        assert_eq!(split_datagram(whole.clone(), 8, &mut got), Ok(()));
        assert_eq!(got, [&b"one"[..], b"two"]);
        for cut in [8, 10, 13] {
            let missing = if cut < 11 { 11 - cut } else { 14 - cut };
            let cut_short = split_datagram(whole.slice(..cut), 8, &mut got);
            assert_eq!(cut_short, Err(FramingError::CutShort { missing }), "{cut}");
        }
    }
}
