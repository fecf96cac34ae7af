use crate::Failure;

/// The `q` quantile by nearest rank; 0 of nothing. Sorts `values`.
pub(crate) fn quantile(values: &mut [f64], q: f64) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let rank = (q * values.len() as f64).ceil() as usize;
    values.get(rank.max(1) - 1).copied().unwrap_or_default()
}

/// The median.
pub(crate) fn median(values: &mut [f64]) -> f64 {
    quantile(values, 0.5)
}

/// One measured number, taken again each round.
pub(crate) type Measurement<'a> = &'a mut dyn FnMut() -> Result<f64, Failure>;

/// Takes each measurement in turn, `rounds` times, and gives the median of each: what disturbs the
/// machine for a while disturbs all of them.
pub(crate) fn interleaved<const N: usize>(
    rounds: usize,
    mut measurements: [Measurement<'_>; N],
) -> Result<[f64; N], Failure> {
    let mut taken: [Vec<f64>; N] = std::array::from_fn(|_| Vec::with_capacity(rounds));
    for _ in 0..rounds {
        for (measure, taken) in measurements.iter_mut().zip(&mut taken) {
            taken.push(measure()?);
        }
    }
    Ok(taken.each_mut().map(|values| median(values)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_occurred() {
        let mut values = [5.0, 1.0, 4.0, 2.0, 3.0];
        assert_eq!(median(&mut values), 3.0);
        assert_eq!(quantile(&mut values, 0.0), 1.0);
        assert_eq!(quantile(&mut values, 0.8), 4.0);
        assert_eq!(quantile(&mut values, 0.81), 5.0);
        assert_eq!(quantile(&mut values, 1.0), 5.0);
        assert_eq!(median(&mut []), 0.0);
    }

    #[test]
    fn measurements_alternate() {
        let order = std::cell::RefCell::new(Vec::new());
        let mut a = || {
            order.borrow_mut().push('a');
            Ok(order.borrow().len() as f64)
        };
        let mut b = || {
            order.borrow_mut().push('b');
            Ok(-1.0)
        };
        let medians = interleaved(3, [&mut a, &mut b]).unwrap();
        assert_eq!(medians, [3.0, -1.0]);
        assert_eq!(*order.borrow(), ['a', 'b', 'a', 'b', 'a', 'b']);
    }
}
