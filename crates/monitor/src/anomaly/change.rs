use std::collections::VecDeque;

use super::{EARLY, MAD, REFRESH, median, push};

/// Values that say where a series stands: two minutes of looks.
const LEVEL: usize = 24;
/// Values that say whether it has moved: two of three have to, so that a single one says nothing.
pub(super) const LATE: usize = 3;
/// Moves that say how far it usually moves.
const PAST: usize = 2_016;
/// Share of the root mean square below which a scale is none; see [`super::spread`].
const LEAST: f64 = 0.1;

/// How far a series has moved of late from where it stood: what wanders slowly, or with the time of
/// day, is where it stands. Bounded: at most 17 KiB.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Change {
    resolution: f64,
    /// The last [`LEVEL`] and [`LATE`] values.
    values: VecDeque<f64>,
    /// Moves without their sign.
    past: VecDeque<f64>,
    scale: f64,
    seen: u64,
}

/// A move.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Move {
    /// Where the series stood.
    pub(super) from: f64,
    /// How far it moved, in units of how far it usually moves.
    pub(super) far: f64,
}

impl Change {
    /// Moves smaller than `resolution` mean nothing.
    pub(super) fn new(resolution: f64) -> Self {
        let resolution = resolution.max(f64::MIN_POSITIVE);
        Self {
            resolution,
            values: VecDeque::new(),
            past: VecDeque::new(),
            scale: resolution,
            seen: 0,
        }
    }

    /// Takes up a value, which must be finite; `None` before there are enough. O(1) but for every
    /// twelfth, which is O(past).
    pub(super) fn observe(&mut self, value: f64) -> Option<Move> {
        push(&mut self.values, value, LEVEL + LATE);
        if self.values.len() < LEVEL + LATE {
            return None;
        }
        let from = median(self.values.range(..LEVEL).copied());
        let moved = (median(self.values.range(LEVEL..).copied()) - from).abs();
        push(&mut self.past, moved, PAST);
        if self.seen < EARLY || self.seen.is_multiple_of(REFRESH) {
            let squares = self.past.iter().map(|moved| moved * moved).sum::<f64>();
            let root = (squares / self.past.len() as f64).sqrt();
            let usual = MAD * median(self.past.iter().copied());
            self.scale = usual.max(LEAST * root).max(self.resolution);
        }
        self.seen += 1;
        Some(Move { from, far: moved / self.scale })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_of_three_values_make_a_move_and_one_does_not() {
        let mut change = Change::new(0.5);
        // Moves to and fro by 1, which is what it usually does: 1.48 with the factor of a deviation.
        let far = (0..200).filter_map(|tick| change.observe(f64::from(tick % 2)));
        assert!(far.skip(12).all(|moved| moved.far < 1.0));
        let far = |change: &mut Change, values: &[f64]| -> Vec<f64> {
            values.iter().map(|value| change.observe(*value).unwrap().far).collect()
        };
        let single = far(&mut change.clone(), &[9.0, 1.0, 0.0, 1.0]);
        assert!(single.iter().all(|far| *far < 1.0), "{single:?}");
        let lasting = far(&mut change, &[9.0, 9.0, 9.0]);
        assert!(lasting[0] < 1.0 && lasting[1] > 5.0 && lasting[2] > 5.0, "{lasting:?}");
    }

    #[test]
    fn what_wanders_slowly_does_not_move() {
        let mut change = Change::new(0.01);
        let far = (0..5_000).filter_map(|tick| change.observe(f64::from(tick) * 0.1));
        // Always as far as ever.
        assert!(far.skip(50).all(|moved| moved.far < 1.0));
    }

    #[test]
    fn windows_are_bounded() {
        let mut change = Change::new(1.0);
        let moves = (0..5_000).filter_map(|tick| change.observe(f64::from(tick))).count();
        assert_eq!(moves, 5_000 - (LEVEL + LATE - 1));
        assert_eq!((change.values.len(), change.past.len()), (LEVEL + LATE, PAST));
    }
}
