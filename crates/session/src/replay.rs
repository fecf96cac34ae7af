/// Which of the newest numbers were seen; everything older counts as seen.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ReplayWindow {
    /// One above the newest number seen.
    end: u64,
    /// Bit `i`: `end - 1 - i` was seen.
    seen: u128,
}

impl ReplayWindow {
    /// Numbers remembered: more acknowledgements than cross each other on two paths.
    pub(crate) const LEN: u64 = u128::BITS as u64;

    /// Whether it was not seen yet, as far as is remembered.
    pub(crate) const fn is_new(&self, number: u64) -> bool {
        if number >= self.end {
            return number != u64::MAX;
        }
        let back = self.end - 1 - number;
        back < Self::LEN && self.seen >> back & 1 == 0
    }

    pub(crate) fn mark(&mut self, number: u64) {
        if !self.is_new(number) {
            return;
        }
        if number >= self.end {
            let ahead = number + 1 - self.end;
            self.seen =
                u32::try_from(ahead).ok().and_then(|n| self.seen.checked_shl(n)).unwrap_or(0);
            self.end = number + 1;
        }
        self.seen |= 1 << (self.end - 1 - number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_window_agrees_with_a_set() {
        let mut rng = fastrand::Rng::with_seed(3);
        let (mut window, mut seen) = (ReplayWindow::default(), BTreeSet::new());
        for step in 0..20_000_u64 {
            let number = (step / 4 + rng.u64(0..400)).saturating_sub(200);
            let newest = seen.last().copied();
            let old = newest.is_some_and(|newest: u64| newest - newest.min(number) >= 128);
            assert_eq!(window.is_new(number), !old && !seen.contains(&number), "{number}");
            if window.is_new(number) {
                window.mark(number);
                seen.insert(number);
            }
        }
    }

    #[test]
    fn a_leap_forgets_and_the_last_number_is_never_new() {
        let mut window = ReplayWindow::default();
        window.mark(0);
        window.mark(u64::MAX - 1);
        assert!(!window.is_new(0) && !window.is_new(u64::MAX - 1) && !window.is_new(u64::MAX));
        assert!(window.is_new(u64::MAX - 2) && window.is_new(u64::MAX - 128));
        assert!(!window.is_new(u64::MAX - 129));
    }
}
