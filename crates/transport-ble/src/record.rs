//! What a sealed record holds: one byte of kind, then what belongs to it.
//!
//! ```text
//! 0 | a frame
//! 1 | why the link closes 1
//! 2 | (length 2 | a frame) twice or more
//! ```

use bitcraps_session::link::RECORD_OVERHEAD;
use bytes::{Buf as _, Bytes};

use crate::radio::MAX_SDU;

const FRAME: u8 = 0;
const CLOSE: u8 = 1;
const FRAMES: u8 = 2;

/// Bytes that a frame grows by before it is sealed, when it goes alone.
pub(crate) const KIND: usize = 1;
const LENGTH: usize = 2;
/// Largest content of a record that fits into a unit.
const MAX_PLAIN: usize = MAX_SDU - RECORD_OVERHEAD;

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

/// The bytes to seal for a farewell.
pub(crate) fn close(why: Farewell) -> [u8; 2] {
    [CLOSE, why as u8]
}

/// The bytes to seal for frames that go together.
pub(crate) struct Batch {
    /// Begins with the kind and the first length, of which a frame alone takes less.
    plain: Vec<u8>,
    /// How many frames it holds.
    pub(crate) frames: usize,
}

impl Batch {
    /// Begins with a frame, which is no longer than a link's longest.
    pub(crate) fn of(frame: &[u8]) -> Self {
        let mut plain = Vec::with_capacity(MAX_PLAIN);
        plain.push(FRAMES);
        let mut batch = Self { plain, frames: 0 };
        batch.push(frame);
        batch
    }

    fn push(&mut self, frame: &[u8]) {
        self.plain.extend_from_slice(&(frame.len() as u16).to_be_bytes()); // below MAX_SDU
        self.plain.extend_from_slice(frame);
        self.frames += 1;
    }

    /// Adds a frame if there is room; whether there was.
    pub(crate) fn add(&mut self, frame: &[u8]) -> bool {
        let fits = self.plain.len() + LENGTH + frame.len() <= MAX_PLAIN;
        if fits {
            self.push(frame);
        }
        fits
    }

    /// The bytes to seal.
    pub(crate) fn bytes(&mut self) -> &[u8] {
        match self.frames {
            1 => {
                self.plain[LENGTH] = FRAME;
                &self.plain[LENGTH..]
            }
            _ => &self.plain,
        }
    }
}

/// Reads what was sealed: frames, none longer than `max_frame`, are put behind `frames`, or there is a
/// farewell. `None` when no node of this version sends it; no frame of it is taken then.
pub(crate) fn read(
    plain: Vec<u8>,
    max_frame: usize,
    frames: &mut Vec<Bytes>,
) -> Option<Option<Farewell>> {
    let before = frames.len();
    let read = read_frames(plain.into(), max_frame, frames);
    if read.is_none() {
        frames.truncate(before);
    }
    read
}

fn read_frames(
    mut rest: Bytes,
    max_frame: usize,
    frames: &mut Vec<Bytes>,
) -> Option<Option<Farewell>> {
    match rest.try_get_u8().ok()? {
        FRAME if rest.len() <= max_frame => frames.push(rest),
        FRAMES => {
            let before = frames.len();
            while !rest.is_empty() {
                let len = usize::from(rest.try_get_u16().ok()?);
                if len > rest.len() || len > max_frame {
                    return None;
                }
                frames.push(rest.split_to(len));
            }
            // One goes without its length.
            if frames.len() - before < 2 {
                return None;
            }
        }
        CLOSE => {
            return match rest[..] {
                [0] => Some(Some(Farewell::Closed)),
                [1] => Some(Some(Farewell::Replaced)),
                [2] => Some(Some(Farewell::NoRoom)),
                _ => None,
            };
        }
        _ => return None,
    }
    Some(None)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn taken(plain: &[u8], max_frame: usize) -> Option<(Option<Farewell>, Vec<Bytes>)> {
        let standing = Bytes::from_static(b"before");
        let mut frames = vec![standing.clone()];
        let farewell = read(plain.to_vec(), max_frame, &mut frames);
        assert_eq!(frames.remove(0), standing);
        match farewell {
            Some(farewell) => Some((farewell, frames)),
            None => {
                assert!(frames.is_empty(), "{plain:?} is refused, and {frames:?} of it taken");
                None
            }
        }
    }

    #[test]
    fn a_frame_alone_and_farewells_look_like_this_and_nothing_else_is_read() {
        assert_eq!(Batch::of(b"xy").bytes(), [0, b'x', b'y']);
        assert_eq!(taken(&[0], 1), Some((None, vec![Bytes::new()])));
        assert_eq!(taken(&[0, 7, 8], 2), Some((None, vec![Bytes::from_static(&[7, 8])])));
        assert_eq!(taken(&[0, 7, 8], 1), None, "too long");
        for why in [Farewell::Closed, Farewell::Replaced, Farewell::NoRoom] {
            assert_eq!(taken(&close(why), 9), Some((Some(why), vec![])));
        }
        for bad in [&[][..], &[3], &[1], &[1, 3], &[1, 0, 0]] {
            assert_eq!(taken(bad, 9), None, "{bad:?}");
        }
    }

    #[test]
    fn several_frames_look_like_this_and_none_of_a_broken_record_is_taken() {
        let mut batch = Batch::of(b"xy");
        assert!(batch.add(b"") && batch.add(b"z"));
        assert_eq!(batch.frames, 3);
        let plain = batch.bytes().to_vec();
        assert_eq!(plain, [2, 0, 2, b'x', b'y', 0, 0, 0, 1, b'z']);
        let frames = [&b"xy"[..], b"", b"z"].map(Bytes::from_static).to_vec();
        assert_eq!(taken(&plain, 2), Some((None, frames)));
        assert_eq!(taken(&plain, 1), None, "one is too long");
        // Cut behind the second frame it is a whole record of two.
        for cut in (1..plain.len()).filter(|cut| *cut != 7) {
            assert_eq!(taken(&plain[..cut], 2), None, "cut at {cut}");
        }
    }

    #[test]
    fn a_batch_holds_what_fits_into_a_unit() {
        let mut batch = Batch::of(&[1; 600]);
        // 3 + 600, then 2 and the frame.
        let room = MAX_SDU - RECORD_OVERHEAD - 605;
        assert!(!batch.add(&vec![2; room + 1]));
        assert!(batch.add(&vec![2; room]));
        assert!(!batch.add(b""));
        assert_eq!((batch.bytes().len() + RECORD_OVERHEAD, batch.frames), (MAX_SDU, 2));
    }

    proptest! {
        #[test]
        fn what_is_batched_is_what_is_read(
            frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..20),
        ) {
            let mut batch = Batch::of(&frames[0]);
            let added = frames[1..].iter().take_while(|frame| batch.add(frame)).count();
            prop_assert_eq!(batch.frames, added + 1);
            let sent: Vec<Bytes> = frames[..=added].iter().cloned().map(Bytes::from).collect();
            prop_assert_eq!(taken(batch.bytes(), 300), Some((None, sent)));
        }

        #[test]
        fn no_bytes_break_it(plain in prop::collection::vec(any::<u8>(), 0..40)) {
            if let Some((_, frames)) = taken(&plain, 16) {
                prop_assert!(frames.iter().all(|frame| frame.len() <= 16));
            }
        }
    }
}
