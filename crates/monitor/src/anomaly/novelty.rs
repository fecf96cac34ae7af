use std::collections::VecDeque;

use super::{RECENT, push, spread};

/// Values that are looked at together, as random cut forests do.
const SHINGLE: usize = 4;

/// How far the last values are from anything that came before: what is known is nothing new, however
/// far from the middle it is (discords: Keogh, Lin and Fu 2005). Bounded: at most 48 KiB.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Novelty {
    /// The last [`RECENT`] values at the end, in one piece; at most twice as many.
    past: Vec<f64>,
    /// Distances of the last ones from those before.
    distances: VecDeque<f64>,
    scale: f64,
}

impl Novelty {
    /// Takes up a value, which must be finite, and says how far it and those before it are from the
    /// nearest of the past, as a logarithm of 1 and that in units of what is usual; 0 before there are
    /// enough. Distances below `resolution` mean nothing; what is usual is taken anew when asked for a
    /// `fresh` one. O([`RECENT`]).
    pub(super) fn observe(&mut self, value: f64, resolution: f64, fresh: bool) -> f64 {
        if self.past.len() == 2 * RECENT {
            self.past.drain(..RECENT);
        }
        self.past.push(value);
        let recent = &self.past[self.past.len().saturating_sub(RECENT)..];
        let Some((before, last)) = recent.split_last_chunk::<SHINGLE>() else { return 0.0 };
        let far = |earlier: &[f64; SHINGLE]| -> f64 {
            last.iter().zip(earlier).map(|(a, b)| (a - b).abs()).sum()
        };
        let Some(nearest) = before.array_windows().map(far).reduce(f64::min) else { return 0.0 };
        push(&mut self.distances, nearest, RECENT);
        if fresh || self.distances.len() == 1 {
            self.scale = spread(&self.distances);
        }
        (nearest / self.scale.max(resolution)).ln_1p()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said of values, one after the other.
    fn said(values: impl Iterator<Item = f64>) -> (Novelty, Vec<f64>) {
        let mut novelty = Novelty::default();
        let said = values.map(|value| novelty.observe(value, 1e-9, true)).collect();
        (novelty, said)
    }

    #[test]
    fn what_came_often_before_is_nothing_new() {
        // A spike every hundred values, and one beside the beat that is as high as the others.
        let spikes = |at: usize| {
            let spike = at % 100 == 50 || at == 1_525;
            (at % 5) as f64 + if spike { 40.0 } else { 0.0 }
        };
        let (_, said) = said((0..1_600).map(spikes));
        let first = said[50];
        assert!(first > 3.0, "{first}");
        assert!(said[950..1_500].iter().all(|said| *said < first / 4.0));
        assert!(said[1_525] < first / 4.0, "{}", said[1_525]);
    }

    #[test]
    fn values_that_are_known_are_new_in_another_order() {
        let ramp = |at: usize| (at % 10) as f64;
        // 9, 8, 7, 6 where they should rise.
        let falls =
            |at: usize| if (1_000..1_010).contains(&at) { 9.0 - ramp(at) } else { ramp(at) };
        let (_, said) = said((0..1_010).map(falls));
        assert!(said[500..1_000].iter().all(|said| *said < 0.01));
        assert!(said[1_003..1_010].iter().all(|said| *said > 1.0), "{:?}", &said[1_000..]);
    }

    #[test]
    fn windows_are_bounded() {
        let (novelty, said) = said((0..3 * RECENT + 7).map(|tick| (tick % 13) as f64));
        assert!(novelty.past.len() <= 2 * RECENT && novelty.distances.len() == RECENT);
        assert_eq!(said.last(), Some(&0.0));
    }
}
