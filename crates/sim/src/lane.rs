use std::collections::VecDeque;
use std::time::Duration;

use bitcraps_coordinator::TransmitFailure;
use bitcraps_types::Timestamp;
use bytes::Bytes;

use crate::fault::Rule;
use crate::{LinkModel, Refusal};

/// Frames that a recording holds; later ones are not recorded, so that a long run stays bounded.
const RECORDING: usize = 65_536;

/// A frame as it left one end of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// When its last byte left.
    pub at: Timestamp,
    /// Its bytes.
    pub frame: Bytes,
}

/// What one direction of a link did so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LaneStats {
    /// Frames taken.
    pub frames: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Frames given back.
    pub refused: u64,
    /// Frames on their way that never arrived, whatever the reason.
    pub lost: u64,
    /// Frames handed to the other end, copies included.
    pub arrived: u64,
    /// Most frames that waited at once.
    pub peak_frames: usize,
    /// Most bytes that waited at once.
    pub peak_bytes: usize,
}

/// The frame that is leaving: what is left of it, in kbit/s times nanoseconds.
#[derive(Debug, Clone, Copy)]
struct Service {
    work: u128,
    since: Timestamp,
}

/// One direction of a link: a queue that drains at a rate, and what is wrong with it.
pub(crate) struct Lane {
    pub(crate) model: LinkModel,
    /// As the scenario made it: what the link told when it came up.
    pub(crate) nominal: LinkModel,
    pub(crate) black_hole: bool,
    /// Nothing leaves the queue.
    pub(crate) hung: bool,
    /// A trace says that nothing gets through, or that nothing leaves.
    pub(crate) outage: bool,
    pub(crate) stalled: bool,
    pub(crate) refusal: Option<Refusal>,
    pub(crate) largest: Option<usize>,
    pub(crate) rules: Vec<Rule>,
    pub(crate) recording: Option<Vec<Recorded>>,
    pub(crate) stats: LaneStats,
    /// Frames that left since the link came up.
    pub(crate) written: u64,
    pub(crate) rng: fastrand::Rng,
    queue: VecDeque<Bytes>,
    queued_bytes: usize,
    service: Option<Service>,
    /// Counts how often the end of service was scheduled; only the latest counts.
    pub(crate) services: u64,
    last_arrival: Timestamp,
}

/// What chance has in store for one frame. Always drawn whole, so that changing one share does not
/// change the luck of later frames in the others.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Luck {
    pub(crate) lost: bool,
    pub(crate) doubled: bool,
    /// The bit to flip, as a share of the frame's length.
    pub(crate) flipped: Option<f64>,
    pub(crate) jitter: Duration,
}

impl Lane {
    pub(crate) fn new(model: LinkModel, seed: u64) -> Self {
        Self {
            model,
            nominal: model,
            black_hole: false,
            hung: false,
            outage: false,
            stalled: false,
            refusal: None,
            largest: None,
            rules: Vec::new(),
            recording: None,
            stats: LaneStats::default(),
            written: 0,
            rng: fastrand::Rng::with_seed(seed),
            queue: VecDeque::new(),
            queued_bytes: 0,
            service: None,
            services: 0,
            last_arrival: Timestamp::ZERO,
        }
    }

    /// The link begins or ends a life: nothing waits, nothing was written.
    pub(crate) fn reset(&mut self) {
        self.stats.lost += self.queue.len() as u64;
        self.queue.clear();
        self.queued_bytes = 0;
        self.service = None;
        self.services += 1;
        self.written = 0;
    }

    /// Takes a frame, or says why not.
    pub(crate) fn take(&mut self, frame: Bytes) -> Result<(), TransmitFailure> {
        let failure = if frame.len() > self.model.max_frame {
            let max = self.model.max_frame;
            Some(TransmitFailure::TooBig { max })
        } else if let Some(refusal) = self.refusal {
            Some(match refusal {
                Refusal::Closed => TransmitFailure::Closed,
                Refusal::Full => TransmitFailure::Full,
            })
        } else {
            let full = self.queued_bytes + frame.len() > self.model.queue_bytes;
            (full && !self.queue.is_empty()).then_some(TransmitFailure::Full)
        };
        if let Some(failure) = failure {
            self.stats.refused += 1;
            return Err(failure);
        }
        self.stats.frames += 1;
        self.stats.bytes += frame.len() as u64;
        self.queued_bytes += frame.len();
        self.queue.push_back(frame);
        self.stats.peak_frames = self.stats.peak_frames.max(self.queue.len());
        self.stats.peak_bytes = self.stats.peak_bytes.max(self.queued_bytes);
        Ok(())
    }

    /// Frames and bytes that wait, the one that is leaving included.
    #[cfg(feature = "transport")]
    pub(crate) fn waiting(&self) -> (usize, usize) {
        (self.queue.len(), self.queued_bytes)
    }

    /// Begins or goes on to serve the frame at the head; when it will have left, if it ever does.
    /// To be called before the rate or the hang changes and after it, and when a frame was taken.
    pub(crate) fn serve(&mut self, now: Timestamp) -> Option<Timestamp> {
        self.progress(now);
        if self.service.is_none() {
            let head = self.queue.front()?;
            self.service = Some(Service { work: head.len() as u128 * 8_000_000, since: now });
        }
        let service = self.service?;
        if self.hung || self.stalled {
            return None;
        }
        self.services += 1;
        let nanos = service.work / u128::from(self.model.rate.get());
        Some(now + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
    }

    /// Whether a frame is leaving already, so that a new one changes nothing.
    pub(crate) fn is_serving(&self) -> bool {
        self.service.is_some()
    }

    /// Takes off what was done since the last look.
    pub(crate) fn progress(&mut self, now: Timestamp) {
        let rate = u128::from(self.model.rate.get());
        if let Some(service) = &mut self.service {
            if !(self.hung || self.stalled) {
                let done = now.since(service.since).as_nanos() * rate;
                service.work = service.work.saturating_sub(done);
            }
            service.since = now;
        }
    }

    /// The head has left the queue.
    pub(crate) fn depart(&mut self, now: Timestamp) -> Option<Bytes> {
        let frame = self.queue.pop_front()?;
        self.queued_bytes -= frame.len();
        self.service = None;
        self.written += 1;
        if let Some(recording) = &mut self.recording
            && recording.len() < RECORDING
        {
            let frame = frame.clone();
            recording.push(Recorded { at: now, frame });
        }
        Some(frame)
    }

    pub(crate) fn draw(&mut self) -> Luck {
        let [lost, doubled, damaged, bit, jitter] = std::array::from_fn(|_| self.rng.f64());
        let model = &self.model;
        Luck {
            lost: lost < model.loss.get(),
            doubled: doubled < model.duplication.get(),
            flipped: (damaged < model.corruption.get()).then_some(bit),
            jitter: model.jitter.mul_f64(jitter),
        }
    }

    /// Whether frames of this length vanish for certain.
    pub(crate) fn swallows(&self, len: usize) -> bool {
        self.black_hole || self.outage || self.largest.is_some_and(|most| len > most)
    }

    /// When a frame that left at `now` is at the other end.
    pub(crate) fn arrival(&mut self, jitter: Duration, now: Timestamp) -> Timestamp {
        let at = now + self.model.latency + jitter;
        if self.model.reorder {
            return at;
        }
        self.last_arrival = self.last_arrival.max(at);
        self.last_arrival
    }
}

#[cfg(test)]
mod tests {
    use bitcraps_types::{Kbps, TransportType};

    use super::*;

    fn at(us: u64) -> Timestamp {
        Timestamp::from_micros(us)
    }

    fn lane() -> Lane {
        let model = LinkModel::perfect(TransportType::WiFiDirect)
            .rate(Kbps::at_least_one(8_000))
            .queue_bytes(1_000);
        Lane::new(model, 1)
    }

    #[test]
    fn a_queue_takes_what_fits_and_always_one() {
        let mut lane = lane();
        assert_eq!(lane.take(Bytes::from(vec![0; 600])), Ok(()));
        assert_eq!(lane.take(Bytes::from(vec![0; 400])), Ok(()));
        let full = Err(TransmitFailure::Full);
        assert_eq!(lane.take(Bytes::from(vec![0; 1])), full);
        let too_big = Err(TransmitFailure::TooBig { max: 1_400 });
        assert_eq!(lane.take(Bytes::from(vec![0; 1_401])), too_big);
        lane.reset();
        assert_eq!(lane.take(Bytes::from(vec![0; 1_400])), Ok(()));
        assert_eq!((lane.stats.refused, lane.stats.peak_bytes), (2, 1_400));
    }

    #[test]
    fn a_change_of_rate_counts_for_the_rest_of_the_frame() {
        let mut lane = lane();
        lane.take(Bytes::from(vec![0; 1_000])).unwrap();
        assert_eq!(lane.serve(at(0)), Some(at(1_000)));
        lane.progress(at(500));
        lane.model.rate = Kbps::at_least_one(4_000);
        assert_eq!(lane.serve(at(500)), Some(at(1_500)));
        lane.progress(at(600));
        lane.hung = true;
        assert_eq!(lane.serve(at(600)), None);
        lane.progress(at(9_600));
        lane.hung = false;
        assert_eq!(lane.serve(at(9_600)), Some(at(10_500)));
    }

    #[test]
    fn frames_overtake_only_where_they_may() {
        let mut lane = lane();
        let late = lane.arrival(Duration::from_micros(300), at(0));
        assert_eq!(late, at(1_300));
        assert_eq!(lane.arrival(Duration::ZERO, at(100)), at(1_300));
        lane.model.reorder = true;
        assert_eq!(lane.arrival(Duration::ZERO, at(200)), at(1_200));
    }
}
