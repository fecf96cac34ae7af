//! Messages of handshakes in parts: the hybrid ones are longer than a frame on some ways.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bitcraps_types::{Epoch, PeerId, Timestamp};
use bytes::{BufMut, Bytes, BytesMut};

/// What a message of a handshake begins with, and no other of its source does: its kind and a tag.
const NAME: usize = 5;
/// Before each part: the message's name, the part's number and how many there are.
const HEAD: usize = NAME + 2;
/// Parts of one message: the longest takes four over Bluetooth.
const MAX_PARTS: usize = 8;
/// Incomplete messages at once, of all sources together: about 100 kB. The oldest makes way.
const MAX_OPEN: usize = 64;

/// Between two parts of one message: a relay keeps no queue, and Bluetooth takes 14 ms for a frame.
const PACE: Duration = Duration::from_millis(20);
/// Parts that wait for their time: about 1 MB. What finds no room is sent again, as if it were lost.
const MAX_LATER: usize = 1_024;

type Key = (PeerId, [u8; NAME], u8);

/// Parts that came, until their messages are whole. A message that is sent again has the same parts, so
/// that what was lost of it is all that has to come.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    open: BTreeMap<Key, BTreeMap<u8, Bytes>>,
    /// Oldest first.
    order: VecDeque<Key>,
}

/// What came is no part of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoPart;

/// A message in parts of at most `room` bytes.
pub(crate) fn split(message: &Bytes, room: usize) -> Vec<Bytes> {
    let mut name = [0; NAME];
    message.iter().zip(&mut name).for_each(|(byte, place)| *place = *byte);
    let least = message.len().div_ceil(MAX_PARTS).max(1);
    let chunks = message.chunks(room.saturating_sub(HEAD).max(least));
    let count = chunks.len() as u8;
    let part = |(number, chunk): (usize, &[u8])| {
        let mut part = BytesMut::with_capacity(HEAD + chunk.len());
        part.put_slice(&name);
        part.put_slice(&[number as u8, count]);
        part.put_slice(chunk);
        part.freeze()
    };
    chunks.enumerate().map(part).collect()
}

impl Parts {
    /// Takes a part; the message when it is whole. O(log open).
    ///
    /// # Errors
    /// [`NoPart`]; nothing has changed.
    pub(crate) fn take(&mut self, source: PeerId, part: &Bytes) -> Result<Option<Bytes>, NoPart> {
        let (name, rest) = part.split_first_chunk().ok_or(NoPart)?;
        let ([number, count], _) = rest.split_first_chunk().ok_or(NoPart)?;
        if *number >= *count || usize::from(*count) > MAX_PARTS {
            return Err(NoPart);
        }
        if *count == 1 {
            return Ok(Some(part.slice(HEAD..)));
        }
        let key = (source, *name, *count);
        let parts = self.open.entry(key).or_insert_with(|| {
            self.order.push_back(key);
            BTreeMap::new()
        });
        parts.insert(*number, part.slice(HEAD..));
        if parts.len() == usize::from(*count) {
            let whole = parts.values().flatten().copied().collect();
            self.open.remove(&key);
            self.order.retain(|other| *other != key);
            return Ok(Some(whole));
        }
        if self.order.len() > MAX_OPEN
            && let Some(oldest) = self.order.pop_front()
        {
            self.open.remove(&oldest);
        }
        Ok(None)
    }
}

/// A part, and where it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) way: Vec<PeerId>,
    pub(crate) epoch: Epoch,
    pub(crate) bytes: Bytes,
}

/// Parts that leave one after the other.
#[derive(Debug, Default)]
pub(crate) struct Later {
    parts: BTreeMap<(Timestamp, u64), Part>,
    planned: u64,
}

impl Later {
    /// The parts of a message leave along `way` from now on.
    pub(crate) fn plan(&mut self, parts: Vec<Bytes>, way: &[PeerId], epoch: Epoch, now: Timestamp) {
        let mut at = now;
        for bytes in parts {
            if self.parts.len() < MAX_LATER {
                self.planned += 1;
                self.parts.insert((at, self.planned), Part { way: way.to_vec(), epoch, bytes });
            }
            at = at + PACE;
        }
    }

    /// When the next one leaves.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.parts.first_key_value().map(|((at, _), _)| *at)
    }

    /// The next one that leaves now.
    pub(crate) fn due(&mut self, now: Timestamp) -> Option<Part> {
        self.parts.first_entry().filter(|entry| entry.key().0 <= now).map(|entry| entry.remove())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(n: u8) -> PeerId {
        PeerId::from_bytes([n; 32])
    }

    fn message(tag: u8, len: usize) -> Bytes {
        (0..len).map(|at| if at == 1 { tag } else { at as u8 }).collect()
    }

    #[test]
    fn a_message_is_whole_when_each_of_its_parts_came_in_whatever_order_and_how_often() {
        for (len, room, count) in
            [(69, 354, 1), (347, 354, 1), (348, 354, 2), (1_253, 354, 4), (1_253, 1_042, 2)]
        {
            let message = message(1, len);
            let parts = split(&message, room);
            assert_eq!(parts.len(), count);
            assert!(parts.iter().all(|part| part.len() <= room));
            let mut at = Parts::default();
            for part in parts.iter().skip(1).rev().chain(parts.iter().skip(1)) {
                assert_eq!(at.take(source(1), part), Ok(None));
                assert_eq!(at.take(source(2), part), Ok(None), "of somebody else");
            }
            assert_eq!(at.take(source(1), &parts[0]), Ok(Some(message)));
            assert_eq!(at.open.len(), at.order.len());
        }
    }

    #[test]
    fn parts_of_two_messages_or_of_two_widths_are_not_mixed() {
        let mut at = Parts::default();
        let [first, second] = [1, 2].map(|tag| split(&message(tag, 700), 354));
        let wide = split(&message(1, 700), 240);
        assert_eq!((first.len(), wide.len()), (3, 4));
        for part in first[..2].iter().chain(&second[1..]).chain(&wide[2..]) {
            assert_eq!(at.take(source(1), part), Ok(None));
        }
        assert_eq!(at.take(source(1), &second[0]), Ok(Some(message(2, 700))));
        assert_eq!(at.take(source(1), &first[2]), Ok(Some(message(1, 700))));
        assert_eq!(at.order.len(), 1);
    }

    #[test]
    fn what_is_no_part_is_refused_and_what_stays_incomplete_makes_way() {
        let mut at = Parts::default();
        let part = |number, count| Bytes::from(vec![1, 2, 3, 4, 5, number, count, 9]);
        for bad in [part(0, 0), part(2, 2), part(3, 2), part(0, 9)] {
            assert_eq!(at.take(source(1), &bad), Err(NoPart), "{bad:?}");
        }
        assert_eq!(at.take(source(1), &Bytes::from_static(&[1, 2, 3, 4, 5, 0])), Err(NoPart));
        assert_eq!(at.take(source(1), &part(7, 8)), Ok(None));
        let tag = |n: u8| split(&message(n, 500), 354);
        for n in 0..MAX_OPEN as u8 {
            assert_eq!(at.take(source(3), &tag(n)[0]), Ok(None));
        }
        assert_eq!((at.open.len(), at.order.len()), (MAX_OPEN, MAX_OPEN));
        assert!(!at.open.keys().any(|key| key.0 == source(1)), "the oldest made way");
        assert_eq!(at.take(source(3), &tag(0)[1]), Ok(Some(message(0, 500))));
    }

    #[test]
    fn parts_leave_one_after_the_other_each_message_in_its_own_time() {
        let mut later = Later::default();
        let (way, epoch) = ([source(1), source(2), source(3)], Epoch(4));
        let at = |ms: u64| Timestamp::from_millis(1_000 + ms);
        let parts = |n: u8| vec![Bytes::from(vec![n]), Bytes::from(vec![n + 1])];
        later.plan(parts(10), &way, epoch, at(0));
        later.plan(parts(20), &way, epoch, at(5));
        let mut left = |ms| {
            let due = std::iter::from_fn(|| later.due(at(ms)));
            due.map(|part| part.bytes[0]).collect::<Vec<u8>>()
        };
        assert_eq!([left(0), left(4), left(5)], [vec![10], vec![], vec![20]]);
        assert_eq!([left(19), left(20), left(25)], [vec![], vec![11], vec![21]]);
        assert_eq!(later.next(), None);
        (0..MAX_LATER).for_each(|_| later.plan(parts(1), &way, epoch, at(0)));
        assert_eq!((later.parts.len(), later.next()), (MAX_LATER, Some(at(0))));
        let Part { way: along, epoch: of, .. } = later.due(at(0)).unwrap();
        assert_eq!((along.as_slice(), of), (way.as_slice(), epoch));
    }
}
