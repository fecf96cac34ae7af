use std::time::Duration;

use bitcraps_types::{LinkId, Timestamp, TransportType};
use hdrhistogram::Histogram;

/// Latency quantiles of confirmed deliveries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Latency {
    /// Median.
    pub p50: Duration,
    /// 90th percentile.
    pub p90: Duration,
    /// 99th percentile.
    pub p99: Duration,
    /// Largest.
    pub max: Duration,
}

/// What happened over one transport, or over one link to one peer, since it came to be.
///
/// A success is an acknowledgement by the destination, never a local `Ok`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TransportMetrics {
    /// Transmissions of messages handed over: first ones, repeats and copies; fragments of one
    /// transmission count once, probes and acknowledgements do not.
    pub request_count: u64,
    /// Messages acknowledged by their destination after a transmission here.
    pub success_count: u64,
    /// Transmissions that ran into their timeout or a local error.
    pub failure_count: u64,
    /// Messages that moved away from here to another link.
    pub failover_count: u64,
    /// Frames handed over, everything included.
    pub frames: u64,
    /// Bytes handed over, everything included.
    pub bytes: u64,
    /// From `send` to acknowledgement, of messages delivered here; `None` before the first.
    pub latency: Option<Latency>,
}

/// Counts of one link or transport.
#[derive(Debug, Clone)]
pub(crate) struct LinkCounters {
    pub(crate) requests: u64,
    pub(crate) successes: u64,
    pub(crate) failures: u64,
    pub(crate) failovers: u64,
    pub(crate) expiries: u64,
    pub(crate) frames: u64,
    pub(crate) bytes: u64,
    latencies: Latencies,
}

/// Range of recorded latencies: 1 µs to 100 s; longer ones count as that.
const LATENCY_MAX_US: u64 = 100_000_000;

/// How often each latency was seen. There from the first one on: most links of a large table carry
/// nothing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Latencies(Option<Box<Histogram<u32>>>);

impl Latencies {
    pub(crate) fn record(&mut self, latency: Duration) {
        let us = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.histogram().saturating_record(us.clamp(1, LATENCY_MAX_US));
    }

    fn histogram(&mut self) -> &mut Histogram<u32> {
        self.0.get_or_insert_with(|| {
            // One significant figure: 10 % error, 3 KB.
            let histogram = Histogram::new_with_bounds(1, LATENCY_MAX_US, 1)
                .expect("1 µs to 100 s at one figure is a valid range");
            Box::new(histogram)
        })
    }

    fn absorb(&mut self, other: &Self) {
        if let Some(other) = &other.0 {
            // Both have the same range, so nothing can fail to fit.
            self.histogram().add(&**other).unwrap_or_default();
        }
    }

    fn quantiles(&self) -> Option<Latency> {
        self.0.as_ref().map(|latency_us| {
            let at = |q| Duration::from_micros(latency_us.value_at_quantile(q));
            let max = Duration::from_micros(latency_us.max());
            Latency { p50: at(0.5), p90: at(0.9), p99: at(0.99), max }
        })
    }

    /// Each latency that was seen, up to 10 % too long, and how often; ascending. No more than some
    /// hundred.
    pub(crate) fn steps(&self) -> Vec<(Duration, u64)> {
        let steps = self.0.iter().flat_map(|histogram| histogram.iter_recorded());
        steps
            .map(|step| {
                (Duration::from_micros(step.value_iterated_to()), step.count_since_last_iteration())
            })
            .collect()
    }
}

impl LinkCounters {
    pub(crate) fn new() -> Self {
        Self {
            requests: 0,
            successes: 0,
            failures: 0,
            failovers: 0,
            expiries: 0,
            frames: 0,
            bytes: 0,
            latencies: Latencies::default(),
        }
    }

    pub(crate) fn delivered(&mut self, latency: Duration) {
        self.successes += 1;
        self.latencies.record(latency);
    }

    /// Adds what `other` counted.
    pub(crate) fn absorb(&mut self, other: &Self) {
        self.requests += other.requests;
        self.successes += other.successes;
        self.failures += other.failures;
        self.failovers += other.failovers;
        self.expiries += other.expiries;
        self.frames += other.frames;
        self.bytes += other.bytes;
        self.latencies.absorb(&other.latencies);
    }

    pub(crate) fn latency_steps(&self) -> Vec<(Duration, u64)> {
        self.latencies.steps()
    }

    pub(crate) fn metrics(&self) -> TransportMetrics {
        TransportMetrics {
            request_count: self.requests,
            success_count: self.successes,
            failure_count: self.failures,
            failover_count: self.failovers,
            frames: self.frames,
            bytes: self.bytes,
            latency: self.latencies.quantiles(),
        }
    }
}

/// Messages of one class that asked for an answer and came to an end. Grows only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClassMetrics {
    /// Those that their destination acknowledged.
    pub delivered: u64,
    /// Those, and those that expired or of which nobody knows; none that were rejected.
    pub settled: u64,
}

/// What a node refused, dropped or repeated, each with its reason. Grows only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Messages handed to the application.
    pub delivered: u64,
    /// Copies of messages that had been taken before; acknowledged again, not delivered.
    pub duplicates: u64,
    /// Messages below the duplicate window, or given up by their sender before they came.
    pub too_old: u64,
    /// Messages that came after their deadline.
    pub late: u64,
    /// Messages that nobody took custody of: no application, or its inbox full.
    pub no_custody: u64,
    /// Messages from peers that are not admitted; refused with an answer.
    pub not_admitted: u64,
    /// Frames from strangers beyond what they may send.
    pub stranger_frames: u64,
    /// Frames that are none.
    pub undecodable: u64,
    /// Frames for another incarnation of this node, or from a former one of the peer.
    pub stale_epoch: u64,
    /// Frames before the greeting, or on links that are gone.
    pub unexpected: u64,
    /// Frames whose ends are not those of the link.
    pub foreign: u64,
    /// Acknowledgements of what was never sent to that peer.
    pub forged_acks: u64,
    /// Acknowledgements that came after their message was settled.
    pub late_acks: u64,
    /// Probe replies that nobody asked for, and probes beyond the rate that is answered.
    pub stray_probes: u64,
    /// Fragments that contradict others of their message.
    pub bad_fragments: u64,
    /// Incomplete messages given up for room or age.
    pub evicted: u64,
    /// Messages that left on another link than the one before, after a timeout or an error.
    pub failovers: u64,
    /// Second copies sent before the timeout.
    pub hedges: u64,
    /// Retransmissions that waited for their budget.
    pub budget_waits: u64,
    /// Times the preferred link of a peer and class changed.
    pub switches: u64,
}

/// The last link that a message was confirmed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastSuccess {
    /// The link.
    pub link: LinkId,
    /// Its family.
    pub transport: TransportType,
    /// When.
    pub at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_are_counted_in_steps_and_links_add_up() {
        let mut link = LinkCounters::new();
        assert_eq!(link.latency_steps(), []);
        for micros in [0, 1, 10, 10, 10] {
            link.delivered(Duration::from_micros(micros));
        }
        let mut sum = LinkCounters::new();
        sum.absorb(&link);
        sum.delivered(Duration::from_secs(1_000));
        sum.absorb(&LinkCounters::new());
        let steps = sum.latency_steps();
        let micros = Duration::from_micros;
        assert_eq!(steps[..2], [(micros(1), 2), (micros(10), 3)]);
        // What is longer than the range counts as its end.
        assert_eq!((steps.len(), steps[2].1), (3, 1));
        let end = steps[2].0.as_secs_f64();
        assert!((100.0..110.0).contains(&end), "{end}");
        assert_eq!(sum.metrics().success_count, 6);
    }
}
