use std::collections::{BTreeMap, VecDeque};

use bitcraps_types::PeerId;

/// Frames remembered: more than pass a relay in the time that a frame may live on its way.
const FRAMES: usize = 4_096;
/// Bytes at the start of what is sealed that no two frames of one source share: the session and the
/// frame's number in it.
const NAME: usize = 16;

/// What names a frame on its way: its source and the start of what is sealed.
pub(crate) type FrameName = (PeerId, [u8; NAME]);

/// Frames that were relayed: none is relayed more than twice.
#[derive(Debug, Default)]
pub(crate) struct Loops {
    /// How often each was.
    seen: BTreeMap<FrameName, u8>,
    order: VecDeque<FrameName>,
}

impl Loops {
    /// The name of a frame; `None` when it is too short to be one.
    pub(crate) fn name(source: PeerId, sealed: &[u8]) -> Option<FrameName> {
        Some((source, *sealed.first_chunk()?))
    }

    /// How often a frame was relayed.
    pub(crate) fn times(&self, name: &FrameName) -> u8 {
        self.seen.get(name).copied().unwrap_or_default()
    }

    /// It was relayed. One that was not may come again.
    pub(crate) fn note(&mut self, name: FrameName) {
        let times = self.seen.entry(name).or_insert(0);
        if *times == 0 {
            self.order.push_back(name);
        }
        *times = times.saturating_add(1);
        while self.order.len() > FRAMES {
            if let Some(oldest) = self.order.pop_front() {
                self.seen.remove(&oldest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_remembered_until_enough_others_came() {
        let mut loops = Loops::default();
        let name = |number: u64| {
            let mut sealed = [7; 20];
            sealed[8..16].copy_from_slice(&number.to_be_bytes());
            Loops::name(PeerId::from_bytes([1; 32]), &sealed).unwrap()
        };
        assert_eq!(Loops::name(PeerId::from_bytes([1; 32]), &[0; 15]), None);
        loops.note(name(0));
        assert_eq!([0, 1].map(|number| loops.times(&name(number))), [1, 0]);
        (1..FRAMES as u64).for_each(|number| loops.note(name(number)));
        assert_eq!(loops.times(&name(0)), 1);
        loops.note(name(0));
        assert_eq!(loops.times(&name(0)), 2);
        loops.note(name(FRAMES as u64));
        assert_eq!([0, 1].map(|number| loops.times(&name(number))), [0, 1]);
        assert_eq!(loops.seen.len(), FRAMES);
    }
}
