//! The driver's queue as the coordinator sees it: what was handed over and is not written yet.

use super::{Link, QUEUE_LIMIT_MAX, QUEUE_PATIENCE, QUEUE_TARGET, URGENT, Unwritten};
use crate::Ticket;
use crate::estimator::SizeBucket;
use bitcraps_types::Timestamp;
use std::time::Duration;

impl Link {
    pub(crate) fn written_total(&self) -> u64 {
        self.written_total
    }

    /// A frame was handed to the driver.
    pub(crate) fn handed(&mut self, bytes: usize, seq: Option<u32>, now: Timestamp) {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.unwritten.push_back(Unwritten { handed: now, bytes, seq });
        self.backlog += u64::from(bytes);
        let candidate_load = self.candidate_load(bytes as usize, now);
        self.load_bytes = candidate_load;
        self.load_at = now;
        self.active_at = Some(now);
        self.counters.frames += 1;
        self.counters.bytes += u64::from(bytes);
    }

    pub(super) fn candidate_load(&self, bytes: usize, now: Timestamp) -> f32 {
        crate::policy::decayed(self.load_bytes, self.load_at, now) + bytes as f32
    }

    /// The driver did not take the newest frame.
    pub(crate) fn not_taken(&mut self, seq: Option<u32>) {
        if let Some(at) = self.unwritten.iter().rposition(|u| u.seq == seq)
            && let Some(gone) = self.unwritten.remove(at)
        {
            self.backlog -= u64::from(gone.bytes);
            self.load_bytes = (self.load_bytes - gone.bytes as f32).max(0.0);
            self.counters.frames -= 1;
            self.counters.bytes -= u64::from(gone.bytes);
        }
        if let Some(seq) = seq {
            self.flights.withdraw(seq);
        }
    }

    /// `total` frames have left the driver's queue since the link came up. Frames leave in any
    /// order, but a batch has left by the time it is told; the oldest are taken as gone.
    /// `more_waits` when messages wait for room here. Calls `each` for every frame that waited for
    /// as long as its answer may take, and for those whose owner wants to know.
    pub(crate) fn written(
        &mut self,
        total: u64,
        more_waits: bool,
        now: Timestamp,
        mut each: impl FnMut(u32, Option<Ticket>),
    ) {
        let floor = self.facts.transport.timeout_floor();
        let count = total.saturating_sub(self.written_total).min(self.unwritten.len() as u64);
        self.written_total = total.max(self.written_total);
        let mut slowest = Duration::ZERO;
        for gone in self.unwritten.drain(..count as usize) {
            self.backlog -= u64::from(gone.bytes);
            let waited = now.since(gone.handed);
            slowest = slowest.max(waited);
            if let Some(seq) = gone.seq {
                self.flights.set_written(seq, now);
                let flight = self.flights.get(seq);
                if waited >= floor || flight.is_some_and(|f| f.tell_written) {
                    each(seq, flight.and_then(|f| f.owner));
                }
            }
        }
        if self.unwritten.is_empty() {
            self.queue_frames = self.queue_frames.saturating_add(1 + self.queue_frames / 8);
        }
        if slowest > QUEUE_TARGET * 2 {
            self.queue_limit = (self.queue_limit / 2).max(self.queue_base);
        } else if more_waits
            && self.unwritten.is_empty()
            && slowest < QUEUE_TARGET
            && now >= self.urgent_until
        {
            // The limit, not the link, held traffic back.
            let grown = (self.queue_limit * 2).clamp(self.max_frame as u64, QUEUE_LIMIT_MAX);
            self.queue_limit = grown;
        }
    }

    /// Whether the driver's queue has room for another frame of a class that may be kept waiting:
    /// always for one frame, and for as much as drains within the queue target while no realtime
    /// traffic would have to wait for that.
    pub(crate) fn has_room(&self, now: Timestamp) -> bool {
        self.unwritten.is_empty() || (now >= self.urgent_until && self.has_room_for(0))
    }

    /// [`Self::has_room`] for traffic that cannot wait: two frames ahead of the limit.
    pub(crate) fn has_room_ahead(&self) -> bool {
        self.unwritten.is_empty() || self.has_room_for(2 * self.max_frame as u64)
    }

    /// Whether the queue is less than `ahead` bytes above its limit.
    fn has_room_for(&self, ahead: u64) -> bool {
        self.backlog < self.queue_limit.max(self.queue_base) + ahead
            && self.unwritten.len() < self.queue_frames
    }

    /// Realtime traffic was handed over: more will follow, and is not to find a queue.
    pub(crate) fn urgent(&mut self, now: Timestamp) {
        self.urgent_until = now + URGENT;
    }

    /// The driver's queue was full: it holds what waits there, and no more for now.
    pub(crate) fn queue_full(&mut self) {
        self.queue_frames = self.unwritten.len().max(1);
    }

    /// How long the oldest frame has been waiting in the driver's queue.
    pub(crate) fn queue_age(&self, now: Timestamp) -> Duration {
        self.unwritten.front().map_or(Duration::ZERO, |oldest| now.since(oldest.handed))
    }

    /// How long a frame may wait in the driver's queue before the link becomes suspect: 3 srtt.
    pub(crate) fn queue_patience(&self) -> Duration {
        let rtt = self.smoothed(SizeBucket::Small).unwrap_or_default() * 3;
        let bytes = self.max_frame as f32;
        let measured = Duration::from_nanos((self.goodput.nanos_per_byte() * bytes) as u64);
        let air = self.facts.capabilities.nominal_rate.air_time(self.max_frame).max(measured);
        rtt.max(QUEUE_PATIENCE).max(air * 3)
    }

    pub(crate) fn backlog(&self) -> (usize, u64) {
        (self.unwritten.len(), self.backlog)
    }
}
