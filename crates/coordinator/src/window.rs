use bitcraps_types::Sequence;

use crate::config::bounds::WINDOW;
use crate::record::{StreamId, StreamRecord};

const WORDS: usize = (WINDOW / 64) as usize;

/// What a receiver knows about one number of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    /// Never taken, and may be.
    New,
    /// Taken before.
    Duplicate,
    /// Below the window, or given up by its sender: must not be delivered any more.
    TooOld,
}

/// Which messages of one stream were taken: a sliding bitmap of the newest [`WINDOW`] numbers.
/// Everything is O(1), or O(words passed) when the window moves.
#[derive(Debug, Clone)]
pub(crate) struct Window {
    /// Everything below is settled: taken, or given up by the sender.
    cumulative: Sequence,
    /// One above the highest number taken or given up.
    end: Sequence,
    bits: Box<[u64; WORDS]>,
}

impl Window {
    pub(crate) fn new() -> Self {
        Self { cumulative: 0, end: 0, bits: Box::new([0; WORDS]) }
    }

    /// The window that a record describes.
    pub(crate) fn recalled(record: &StreamRecord) -> Self {
        let mut window = Self::new();
        window.end = record.end;
        window.cumulative = record.cumulative.clamp(window.lowest(), record.end);
        let newest = record.end.div_ceil(64);
        for at in window.lowest() / 64..newest {
            let listed = at.checked_sub(record.first).and_then(|i| usize::try_from(i).ok());
            let word = listed.map_or(u64::MAX, |i| record.words.get(i).copied().unwrap_or(0));
            let word = word & window.mask(at);
            // The oldest and the newest numbers may share a word.
            window.bits[(at % WORDS as u64) as usize] |= word;
        }
        window
    }

    /// The window as a record: what was taken without a gap from its lower end on is left out.
    pub(crate) fn record(&self, stream: StreamId, verdicts: Vec<(Sequence, bool)>) -> StreamRecord {
        let word = |at: u64| self.bits[(at % WORDS as u64) as usize] & self.mask(at);
        let newest = self.end.div_ceil(64);
        let mut first = self.lowest() / 64;
        while first < newest && word(first) == self.mask(first) {
            first += 1;
        }
        let words = (first..newest).map(word).collect();
        let (cumulative, end) = (self.cumulative, self.end);
        StreamRecord { stream, cumulative, end, first, words, verdicts }
    }

    /// The bits of word `at` that lie within the window.
    fn mask(&self, at: u64) -> u64 {
        let below = |number: u64| match number.saturating_sub(at * 64) {
            bits @ 0..64 => (1 << bits) - 1,
            _ => u64::MAX,
        };
        below(self.end) & !below(self.lowest())
    }

    pub(crate) fn cumulative(&self) -> Sequence {
        self.cumulative
    }

    fn lowest(&self) -> Sequence {
        self.end.saturating_sub(WINDOW)
    }

    fn bit(sequence: Sequence) -> (usize, u64) {
        (((sequence / 64) % WORDS as u64) as usize, 1 << (sequence % 64))
    }

    fn contains(&self, sequence: Sequence) -> bool {
        let (word, mask) = Self::bit(sequence);
        sequence < self.end && sequence >= self.lowest() && self.bits[word] & mask != 0
    }

    /// The sender will never send anything below `lowest_live` again: holes there close.
    pub(crate) fn close_below(&mut self, lowest_live: Sequence) {
        if lowest_live > self.cumulative {
            self.extend(lowest_live);
            self.cumulative = lowest_live;
            self.advance();
        }
    }

    pub(crate) fn seen(&self, sequence: Sequence) -> Seen {
        if self.contains(sequence) {
            Seen::Duplicate
        } else if sequence < self.cumulative || sequence < self.lowest() {
            Seen::TooOld
        } else {
            Seen::New
        }
    }

    /// Marks `sequence` as taken.
    pub(crate) fn take(&mut self, sequence: Sequence) {
        self.extend(sequence.saturating_add(1));
        if sequence >= self.lowest() {
            let (word, mask) = Self::bit(sequence);
            self.bits[word] |= mask;
        }
        self.advance();
    }

    /// Moves the end up to `end`, forgetting what falls out below.
    fn extend(&mut self, end: Sequence) {
        if end <= self.end {
            return;
        }
        if end - self.end >= WINDOW {
            self.bits.fill(0);
        } else {
            let mut at = self.end;
            while at < end {
                let (word, mask) = Self::bit(at);
                if at.is_multiple_of(64) && end - at >= 64 {
                    self.bits[word] = 0;
                    at += 64;
                } else {
                    self.bits[word] &= !mask;
                    at += 1;
                }
            }
        }
        self.end = end;
        // What left the window was either taken or can never be again.
        self.cumulative = self.cumulative.max(self.lowest());
    }

    fn advance(&mut self) {
        while self.cumulative < self.end {
            let (word, _) = Self::bit(self.cumulative);
            let shift = self.cumulative % 64;
            let run = u64::from((!(self.bits[word] >> shift)).trailing_zeros()).min(64 - shift);
            if run == 0 {
                break;
            }
            self.cumulative = (self.cumulative + run).min(self.end);
        }
    }

    /// A base, a multiple of 64, and up to `words` words of bits that cover the newest numbers
    /// above the cumulative one.
    pub(crate) fn newest(&self, words: usize) -> (Sequence, Vec<u64>) {
        if self.end <= self.cumulative {
            return (self.cumulative, Vec::new());
        }
        let last = (self.end - 1) / 64;
        let first = (self.cumulative / 64).max(last.saturating_sub(words as u64 - 1));
        (first * 64, self.words(first, words))
    }

    /// [`Self::newest`] for the numbers from `sequence` on.
    pub(crate) fn around(&self, sequence: Sequence, words: usize) -> (Sequence, Vec<u64>) {
        let first = sequence.max(self.lowest()) / 64;
        (first * 64, self.words(first, words))
    }

    fn words(&self, first: u64, most: usize) -> Vec<u64> {
        let Some(last) = self.end.checked_sub(1).map(|newest| newest / 64) else {
            return Vec::new();
        };
        let mut bits: Vec<u64> =
            (first..=last).take(most).map(|w| self.bits[(w % WORDS as u64) as usize]).collect();
        // Beyond the end, the last word still holds the oldest numbers of the window.
        if let Some(newest) = bits.last_mut()
            && first + most as u64 > last
        {
            *newest &= u64::MAX >> (63 - (self.end - 1) % 64);
        }
        bits
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn inside_once_outside_never() {
        let mut window = Window::new();
        window.take(10_000);
        assert_eq!(window.seen(0), Seen::New, "10,000 late is inside");
        window.take(0);
        assert_eq!(window.seen(0), Seen::Duplicate);
        window.take(WINDOW);
        assert_eq!(window.seen(1), Seen::New, "the oldest inside");
        window.take(WINDOW + 1);
        assert_eq!(window.seen(1), Seen::TooOld, "just outside");
        assert_eq!(window.seen(2), Seen::New);
    }

    #[test]
    fn holes_close_when_the_sender_gives_up() {
        let mut window = Window::new();
        window.take(0);
        window.take(3);
        assert_eq!(window.cumulative(), 1);
        window.close_below(2);
        assert_eq!((window.cumulative(), window.seen(1)), (2, Seen::TooOld));
        window.close_below(3);
        assert_eq!(window.cumulative(), 4);
        window.close_below(1);
        assert_eq!(window.cumulative(), 4, "never backwards");
        window.close_below(u64::MAX);
        assert_eq!(window.seen(u64::MAX - 1), Seen::TooOld);
    }

    proptest! {
        #[test]
        fn agrees_with_a_set_of_everything_ever_taken(
            steps in prop::collection::vec((0u64..40_000, prop::bool::weighted(0.1)), 1..300)
        ) {
            let mut window = Window::new();
            let (mut taken, mut floor, mut end) = (BTreeSet::new(), 0u64, 0u64);
            for (number, close) in steps {
                if close {
                    window.close_below(number);
                    floor = floor.max(number);
                    end = end.max(number);
                } else {
                    let lowest = end.saturating_sub(WINDOW);
                    let expected = if taken.contains(&number) && number >= lowest {
                        Seen::Duplicate
                    } else if number < floor || number < lowest {
                        Seen::TooOld
                    } else {
                        Seen::New
                    };
                    prop_assert_eq!(window.seen(number), expected, "number {}", number);
                    if expected == Seen::New {
                        window.take(number);
                        taken.insert(number);
                        end = end.max(number + 1);
                    }
                }
                let mut cumulative = floor.max(end.saturating_sub(WINDOW));
                while taken.contains(&cumulative) {
                    cumulative += 1;
                }
                floor = cumulative;
                prop_assert_eq!(window.cumulative(), cumulative);
                let (base, words) = window.newest(4);
                for (i, word) in words.iter().enumerate() {
                    for bit in 0..64 {
                        let at = base + 64 * i as u64 + bit;
                        if at >= end.saturating_sub(WINDOW) {
                            prop_assert_eq!(word >> bit & 1 == 1, taken.contains(&at) , "bit {}", at);
                        }
                    }
                }
            }
        }
    }
}
