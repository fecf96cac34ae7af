use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::core::{Collector, Desc};
use prometheus::proto::{Bucket, Histogram, LabelPair, Metric, MetricFamily, MetricType};

/// Upper bounds of the buckets, in seconds: from a queue that is empty to a message that was given up.
const BOUNDS: [f64; 14] =
    [0.000_1, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

/// A histogram of what others have counted. The crate's own takes single observations, of which
/// there are too many to hand over again.
#[derive(Debug, Clone)]
pub(crate) struct Latencies {
    desc: Desc,
    label: Option<&'static str>,
    /// By the value of the label.
    steps: Arc<Mutex<BTreeMap<String, Steps>>>,
}

/// Microseconds and how many, ascending.
type Steps = Vec<(u64, u64)>;

impl Latencies {
    /// Nothing counted yet; with one series for each value of `label`, or one alone.
    pub(crate) fn new(
        name: &str,
        help: &str,
        label: Option<&'static str>,
    ) -> Result<Self, prometheus::Error> {
        let labels = label.iter().map(|label| (*label).to_owned()).collect();
        let desc = Desc::new(name.to_owned(), help.to_owned(), labels, Default::default())?;
        Ok(Self { desc, label, steps: Arc::default() })
    }

    pub(crate) fn set(&self, value: &str, steps: &[(u64, u64)]) {
        let mut all = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(value.to_owned(), steps.to_vec());
    }
}

fn histogram(steps: &[(u64, u64)]) -> Histogram {
    let seconds = |micros: u64| micros as f64 / 1e6;
    let bucket = |bound: &f64| {
        let within = steps.iter().take_while(|(micros, _)| seconds(*micros) <= *bound);
        let mut bucket = Bucket::default();
        bucket.set_cumulative_count(within.map(|(_, count)| count).sum());
        bucket.set_upper_bound(*bound);
        bucket
    };
    let mut histogram = Histogram::default();
    histogram.set_sample_count(steps.iter().map(|(_, count)| count).sum());
    histogram.set_sample_sum(steps.iter().map(|(at, count)| seconds(*at) * *count as f64).sum());
    histogram.set_bucket(BOUNDS.iter().map(bucket).collect());
    histogram
}

impl Collector for Latencies {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let all = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        let metrics = all.iter().map(|(value, steps)| {
            let mut metric = Metric::default();
            let labels = self.label.map(|name| {
                let mut label = LabelPair::default();
                label.set_name(name.to_owned());
                label.set_value(value.clone());
                label
            });
            metric.set_label(labels.into_iter().collect());
            metric.set_histogram(histogram(steps));
            metric
        });
        let mut family = MetricFamily::default();
        family.set_name(self.desc.fq_name.clone());
        family.set_help(self.desc.help.clone());
        family.set_field_type(MetricType::HISTOGRAM);
        family.set_metric(metrics.collect());
        vec![family]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_hold_what_is_no_longer_than_they_say() {
        let shown = histogram(&[(100, 2), (101, 3), (1_000_000, 1), (40_000_000, 4)]);
        let count = |bound: f64| {
            let bucket = shown.get_bucket().iter().find(|bucket| bucket.upper_bound() == bound);
            bucket.unwrap().cumulative_count()
        };
        assert_eq!((count(0.000_1), count(0.000_5), count(0.5), count(1.0)), (2, 5, 5, 6));
        assert_eq!((count(30.0), shown.get_sample_count()), (6, 10));
        assert!((shown.get_sample_sum() - 161.000_503).abs() < 1e-9, "{shown:?}");
    }
}
