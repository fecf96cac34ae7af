//! When a link is probed, and at which size.

use super::{LONG_TAIL, Link, OutstandingProbe, PROBE_BATTERY, PROBE_MAINS};
use crate::estimator::SizeBucket;
use crate::flight::FlightState;
use bitcraps_types::Timestamp;
use std::time::Duration;

impl Link {
    /// When to look whether the probe is overdue: with its frame, or when that was acknowledged
    /// and the reply is missing, when it was due at first.
    pub(crate) fn probe_due(&self, probe: &OutstandingProbe, now: Timestamp) -> Timestamp {
        let flight = self.flights.get(probe.seq).filter(|f| f.state == FlightState::Outstanding);
        flight.map_or(probe.due, |flight| self.look_at(flight, now))
    }

    /// The size to probe now: the smallest that is suspect, but small ones in between while larger
    /// ones stay without an answer, or a link that died would not be noticed.
    pub(crate) fn probe_bucket(&self, now: Timestamp) -> SizeBucket {
        let suspect = SizeBucket::ALL.into_iter().find(|b| self.buckets[b.index()].suspect);
        let silent = now.since(self.last_answer) >= self.standby_interval();
        suspect.filter(|_| !silent).unwrap_or(SizeBucket::Small)
    }

    /// How long a healthy link may go without an answer before it is probed; `None` when a probe
    /// would wake a radio that must not be woken for it, or keep it awake.
    pub(crate) fn standby_interval_at(&self, now: Timestamp) -> Option<Duration> {
        let capabilities = &self.facts.capabilities;
        let awake = self.carried_at.is_some_and(|at| now.since(at) < capabilities.energy.tail);
        let sleeper = capabilities.metered || capabilities.energy.tail > LONG_TAIL;
        let interval = self.standby_interval();
        if sleeper && (capabilities.metered || self.energy_aware) && !awake {
            return None;
        }
        Some(interval)
    }

    pub(super) fn standby_interval(&self) -> Duration {
        let free = self.facts.capabilities.energy == bitcraps_types::EnergyProfile::MAINS;
        if free || !self.energy_aware { PROBE_MAINS } else { PROBE_BATTERY }
    }

    /// When the next probe is due, if no answer comes before; `None` for never.
    pub(crate) fn next_probe(&self, now: Timestamp) -> Option<Timestamp> {
        if !self.ready || self.probe.is_some() {
            return None;
        }
        self.standby_interval_at(now)?;
        Some(match self.suspect_since {
            Some(_) => self.probe_at,
            // Traffic that is answered says as much as a probe would.
            None => self.probe_at.max(self.last_answer + self.probe_wait),
        })
    }

    /// Sets the next probe after one was sent or an answer made it needless. `jitter` lies within
    /// -1/4 to 1/4 of the interval, so that no flap can stay in step with the probes.
    pub(crate) fn schedule_probe(&mut self, jitter: f64, now: Timestamp) {
        let small = &self.buckets[SizeBucket::Small.index()];
        let interval = match self.suspect_since {
            Some(_) => self.buckets[self.probe_bucket(now).index()].probe_interval(),
            // Chance, or the first sign of its end: which of them is worth a probe.
            None if small.lost_probes > 0 => small.probe_interval(),
            None => self.standby_interval_at(now).unwrap_or(PROBE_BATTERY),
        };
        self.probe_wait = interval.mul_f64(1.0 + jitter.clamp(-0.25, 0.25));
        self.probe_at = now + self.probe_wait;
    }
}
