//! How good probabilities are, once it is known what happened.

/// A forecast, and whether the event came.
pub(super) type Outcome = (f64, bool);

/// The probability that a forecast ranks an event above what was none, ties counting half (Mann and
/// Whitney 1947). NaN unless both occur.
pub(super) fn area_under_curve(outcomes: &[Outcome]) -> f64 {
    let mut sorted = outcomes.to_vec();
    sorted.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let (mut below, mut ranked) = (0.0, 0.0);
    for tied in sorted.chunk_by(|a, b| a.0.total_cmp(&b.0).is_eq()) {
        let events = tied.iter().filter(|outcome| outcome.1).count() as f64;
        let others = tied.len() as f64 - events;
        ranked += events * (below + others / 2.0);
        below += others;
    }
    ranked / (below * (outcomes.len() as f64 - below))
}

/// Mean squared error (Brier 1950).
pub(super) fn brier(outcomes: &[Outcome]) -> f64 {
    let errors = outcomes.iter().map(|(forecast, event)| (forecast - f64::from(*event)).powi(2));
    errors.sum::<f64>() / outcomes.len() as f64
}

/// Share of the error of always forecasting `climate` that these forecasts avoid.
pub(super) fn brier_skill(outcomes: &[Outcome], climate: f64) -> f64 {
    let climatology: Vec<Outcome> = outcomes.iter().map(|(_, event)| (climate, *event)).collect();
    1.0 - brier(outcomes) / brier(&climatology)
}

/// Mean difference between forecast and frequency over ten bins of forecasts.
pub(super) fn calibration_error(outcomes: &[Outcome]) -> f64 {
    let mut bins = [0.0; 10];
    for (forecast, event) in outcomes {
        bins[((forecast * 10.0) as usize).min(9)] += forecast - f64::from(*event);
    }
    bins.iter().map(|bin: &f64| bin.abs()).sum::<f64>() / outcomes.len() as f64
}

/// The rising step function nearest to outcomes, by pooling adjacent violators (Ayer et al. 1955).
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Isotonic {
    /// Highest forecast of each step, and the frequency of the event in it.
    steps: Vec<(f64, f64)>,
}

impl Isotonic {
    /// O(n log n).
    pub(super) fn fitted(outcomes: &[Outcome]) -> Self {
        let mut sorted = outcomes.to_vec();
        sorted.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        // Highest forecast, events, outcomes.
        let mut pools: Vec<(f64, f64, f64)> = Vec::new();
        for tied in sorted.chunk_by(|a, b| a.0.total_cmp(&b.0).is_eq()) {
            let events = tied.iter().filter(|outcome| outcome.1).count() as f64;
            let mut pool = (tied[0].0, events, tied.len() as f64);
            while let Some(before) = pools.last().copied() {
                if before.1 * pool.2 < pool.1 * before.2 {
                    break;
                }
                pools.pop();
                pool = (pool.0, pool.1 + before.1, pool.2 + before.2);
            }
            pools.push(pool);
        }
        Self { steps: pools.into_iter().map(|pool| (pool.0, pool.1 / pool.2)).collect() }
    }

    /// The frequency that goes with a forecast.
    pub(super) fn of(&self, forecast: f64) -> f64 {
        let at = self.steps.partition_point(|step| step.0 < forecast);
        self.steps.get(at).or(self.steps.last()).map_or(0.0, |step| step.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_count_ties_half() {
        let all = [(0.1, false), (0.4, true), (0.4, false), (0.9, true)];
        assert_eq!(area_under_curve(&all), 3.5 / 4.0);
        assert_eq!(area_under_curve(&[(0.5, true), (0.5, false)]), 0.5);
        assert!(area_under_curve(&[(0.5, true)]).is_nan());
    }

    #[test]
    fn errors_are_squared_and_compared_with_the_climate() {
        let outcomes = [(0.5, true), (0.0, false), (0.0, false), (0.5, false)];
        assert_eq!(brier(&outcomes), 0.125);
        // The climate of 1/4 errs by 3/16.
        assert!((brier_skill(&outcomes, 0.25) - 1.0 / 3.0).abs() < 1e-12);
        let flat: Vec<_> = outcomes.iter().map(|(_, event)| (0.25, *event)).collect();
        assert_eq!(brier_skill(&flat, 0.25), 0.0);
    }

    #[test]
    fn calibration_is_judged_bin_by_bin() {
        // The first bin says 0.05 and gets 0; the last says 1.0 twice and gets it once.
        let outcomes = [(0.05, false), (0.05, false), (1.0, true), (1.0, false)];
        assert!((calibration_error(&outcomes) - 1.1 / 4.0).abs() < 1e-12);
    }

    #[test]
    fn steps_rise_and_pool_what_falls() {
        let outcomes = [(0.1, false), (0.2, true), (0.3, false), (0.4, true), (0.4, true)];
        let map = Isotonic::fitted(&outcomes);
        assert_eq!(map.steps, vec![(0.1, 0.0), (0.3, 0.5), (0.4, 1.0)]);
        assert_eq!(
            [0.0, 0.1, 0.15, 0.3, 0.31, 2.0].map(|f| map.of(f)),
            [0.0, 0.0, 0.5, 0.5, 1.0, 1.0]
        );
    }
}
