//! Events that take time, several at once.

use tokio::task::JoinSet;

use super::books::Record;
use crate::clock::wall;
use crate::{Arguments, Failure, Report, Row};

/// What one lane is to do.
pub(super) struct Share {
    pub(super) lane: u8,
    pub(super) events: usize,
    pub(super) hedging: bool,
    pub(super) seed: u64,
}

/// What is measured, how many events at the same time, and the bounds of its resumption in ms.
pub(super) struct Measured {
    pub(super) lanes: usize,
    pub(super) what: &'static str,
    pub(super) p50: f64,
    pub(super) p99: f64,
}

impl Measured {
    /// Reports what `run` records in all lanes, with hedging and without; `events` in all each time.
    pub(super) async fn in_lanes<F>(
        &self,
        events: usize,
        run: impl Fn(Share) -> F,
        arguments: &Arguments,
        report: &mut Report,
    ) -> Result<(), Failure>
    where
        F: Future<Output = Result<Record, Failure>> + Send + 'static,
    {
        for hedging in [true, false] {
            let start = wall();
            let mut lanes = JoinSet::new();
            for lane in 0..self.lanes {
                let seed = arguments.seed.wrapping_mul(1_000) + lane as u64;
                let events = events.div_ceil(self.lanes);
                lanes.spawn(run(Share { lane: lane as u8, events, hedging, seed }));
            }
            let mut all = Record::default();
            while let Some(lane) = lanes.join_next().await {
                all.add(lane.map_err(|e| Failure::broken("lane", e))??);
            }
            let with = if hedging { "hedging on" } else { "hedging off" };
            let what = format!("{}, {with}", self.what);
            all.report(&what, self.p50, self.p99, report);
            let seconds = (wall() - start) as f64 / 1e9;
            report.push(Row::new(format!("{what}: time taken"), seconds, "s"));
        }
        Ok(())
    }
}
