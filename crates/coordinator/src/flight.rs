use std::collections::VecDeque;
use std::time::Duration;

use bitcraps_types::Timestamp;
use bitcraps_wire::HopAck;

use crate::Ticket;
use crate::config::bounds::FLIGHTS_PER_LINK;
use crate::estimator::SizeBucket;

/// One numbered frame on its way over one link.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Flight {
    pub(crate) handed: Timestamp,
    /// When its last byte left the driver's queue; timers start here.
    pub(crate) written: Option<Timestamp>,
    pub(crate) bytes: u32,
    pub(crate) bucket: SizeBucket,
    pub(crate) state: FlightState,
    /// The message it belongs to; probes belong to none.
    pub(crate) owner: Option<Ticket>,
    /// First byte of the message that it carries.
    pub(crate) offset: u32,
    /// Its owner wants to know when it is written.
    pub(crate) tell_written: bool,
    /// Bytes that the link had delivered when this was handed over, for goodput.
    delivered_before: u64,
    sender_limited: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FlightState {
    Outstanding,
    /// A timer gave it up; a late ack may still come.
    Expired,
    Acked,
}

/// What a hop ack said about one flight for the first time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AckedFlight {
    pub(crate) bucket: SizeBucket,
    /// Round trip, only for the frame that the ack's dwell belongs to.
    pub(crate) rtt: Option<Duration>,
    pub(crate) goodput: (u64, Duration, bool),
    /// It had been given up.
    pub(crate) late: bool,
}

/// The numbered frames of one link, newest last, in serial arithmetic (RFC 1982): the number may
/// wrap, the distance between any two live flights is far below 2^31.
#[derive(Debug)]
pub(crate) struct Flights {
    base: u32,
    ring: VecDeque<Flight>,
    /// No flight before this position of the ring is outstanding.
    settled: usize,
    pub(crate) unacked_bytes: u64,
    delivered: u64,
}

impl Flights {
    /// Numbering starts at `first`.
    pub(crate) fn new(first: u32) -> Self {
        Self { base: first, ring: VecDeque::new(), settled: 0, unacked_bytes: 0, delivered: 0 }
    }

    /// Whether no more may be pushed: the oldest of as many as are kept still waits.
    pub(crate) fn is_full(&self) -> bool {
        let oldest = self.ring.front().filter(|_| self.ring.len() >= FLIGHTS_PER_LINK);
        oldest.is_some_and(|flight| flight.state == FlightState::Outstanding)
    }

    pub(crate) fn next_seq(&self) -> u32 {
        self.base.wrapping_add(self.ring.len() as u32)
    }

    /// A frame of `bytes` is handed over; `sender_limited` when nothing more waits behind it.
    pub(crate) fn push(
        &mut self,
        bytes: usize,
        owner: Option<Ticket>,
        sender_limited: bool,
        now: Timestamp,
    ) -> u32 {
        if self.ring.len() >= FLIGHTS_PER_LINK && !self.is_full() {
            self.pop();
        }
        let seq = self.next_seq();
        self.unacked_bytes += bytes as u64;
        self.ring.push_back(Flight {
            handed: now,
            written: None,
            bytes: u32::try_from(bytes).unwrap_or(u32::MAX),
            bucket: SizeBucket::of(bytes),
            state: FlightState::Outstanding,
            owner,
            offset: 0,
            tell_written: false,
            delivered_before: self.delivered,
            sender_limited,
        });
        seq
    }

    /// Notes what the newest flight carries.
    pub(crate) fn describe_newest(&mut self, offset: u32, tell_written: bool) {
        if let Some(flight) = self.ring.back_mut() {
            flight.offset = offset;
            flight.tell_written = tell_written;
        }
    }

    fn index(&self, seq: u32) -> Option<usize> {
        let index = seq.wrapping_sub(self.base) as usize;
        (index < self.ring.len()).then_some(index)
    }

    pub(crate) fn get(&self, seq: u32) -> Option<&Flight> {
        self.index(seq).map(|i| &self.ring[i])
    }

    /// The flight was not taken by the link after all.
    pub(crate) fn withdraw(&mut self, seq: u32) {
        if let Some(i) = self.index(seq) {
            let flight = &mut self.ring[i];
            if flight.state == FlightState::Outstanding {
                self.unacked_bytes -= u64::from(flight.bytes);
            }
            // Counts as answered: nothing will come, and nothing was lost.
            flight.state = FlightState::Acked;
            self.trim();
        }
    }

    pub(crate) fn set_written(&mut self, seq: u32, now: Timestamp) {
        if let Some(i) = self.index(seq) {
            self.ring[i].written.get_or_insert(now);
        }
    }

    /// Gives `seq` up for the timers. Tells whether it was outstanding.
    pub(crate) fn expire(&mut self, seq: u32) -> bool {
        let Some(i) = self.index(seq) else {
            return false;
        };
        let flight = &mut self.ring[i];
        let outstanding = flight.state == FlightState::Outstanding;
        if outstanding {
            flight.state = FlightState::Expired;
            self.unacked_bytes -= u64::from(flight.bytes);
        }
        outstanding
    }

    /// Applies a hop ack; calls `each` for every flight that it acknowledges for the first time.
    /// False when it names a frame that was never sent, or one long forgotten.
    pub(crate) fn acknowledge(
        &mut self,
        ack: &HopAck,
        now: Timestamp,
        mut each: impl FnMut(AckedFlight),
    ) -> bool {
        let Some(largest) = self.index(ack.largest) else {
            // Frames below the base were answered before: a late or repeated ack, not a lie.
            return (self.base.wrapping_sub(ack.largest) as i32) > 0;
        };
        let dwell = Duration::from_micros(u64::from(ack.dwell_us));
        for back in 0..=64usize {
            let named = back == 0 || ack.bitmap >> (back - 1) & 1 == 1;
            let Some(i) = largest.checked_sub(back) else {
                break;
            };
            let flight = &mut self.ring[i];
            if !named || flight.state == FlightState::Acked {
                continue;
            }
            let was_expired = flight.state == FlightState::Expired;
            flight.state = FlightState::Acked;
            if !was_expired {
                self.unacked_bytes -= u64::from(flight.bytes);
            }
            self.delivered += u64::from(flight.bytes);
            let sent = flight.written.unwrap_or(flight.handed);
            let goodput = (
                self.delivered - flight.delivered_before,
                now.since(flight.handed),
                flight.sender_limited,
            );
            each(AckedFlight {
                bucket: flight.bucket,
                rtt: (back == 0).then(|| now.since(sent).saturating_sub(dwell)),
                goodput,
                late: was_expired,
            });
        }
        self.trim();
        true
    }

    /// The oldest flight that nobody has acknowledged or given up. Amortised O(1).
    pub(crate) fn oldest_outstanding(&mut self) -> Option<(u32, Flight)> {
        while let Some(flight) = self.ring.get(self.settled) {
            if flight.state == FlightState::Outstanding {
                return Some((self.base.wrapping_add(self.settled as u32), *flight));
            }
            self.settled += 1;
        }
        None
    }

    /// Forgets flights given up that were handed over before `before`: no ack will come for them.
    pub(crate) fn forget(&mut self, before: Timestamp) {
        while self.ring.front().is_some_and(|f| {
            f.state == FlightState::Acked || (f.state == FlightState::Expired && f.handed < before)
        }) {
            self.pop();
        }
    }

    fn trim(&mut self) {
        while self.ring.front().is_some_and(|f| f.state == FlightState::Acked) {
            self.pop();
        }
    }

    fn pop(&mut self) {
        self.ring.pop_front();
        self.base = self.base.wrapping_add(1);
        self.settled = self.settled.saturating_sub(1);
    }
}

/// Numbered frames of a link after which an ack leaves although more frames are there, or it could
/// wait: what one hop ack's bitmap covers.
const ACK_EVERY: u32 = 64;

/// Which numbered frames of a link arrived here, for the hop acks that go back.
#[derive(Debug, Default)]
pub(crate) struct Arrivals {
    newest: Option<(u32, u64, Timestamp)>,
    /// Frames since the last ack left.
    unreported: u32,
    /// When the ack for them is to leave alone; `None` when there are none.
    report_at: Option<Timestamp>,
}

impl Arrivals {
    /// A frame arrived whose ack may wait for as long as `hold` for a frame to travel with.
    pub(crate) fn record(&mut self, seq: u32, hold: Duration, now: Timestamp) {
        self.unreported += 1;
        let due = now + hold;
        self.report_at = Some(self.report_at.map_or(due, |at| at.min(due)));
        self.newest = Some(match self.newest {
            None => (seq, 0, now),
            Some((largest, bitmap, at)) => {
                let ahead = seq.wrapping_sub(largest) as i32;
                match ahead {
                    1.. => {
                        let shifted = if ahead >= 64 { 0 } else { bitmap << ahead };
                        let own = if ahead > 64 { 0 } else { 1 << (ahead - 1) };
                        (seq, shifted | own, now)
                    }
                    0 => (largest, bitmap, at),
                    -64..=-1 => (largest, bitmap | 1 << (-ahead - 1), at),
                    _ => (largest, bitmap, at),
                }
            }
        });
    }

    /// When the ack for what arrived is to leave alone, if anything did since the last.
    pub(crate) fn report_at(&self) -> Option<Timestamp> {
        self.report_at
    }

    /// Whether an ack has no room for more.
    pub(crate) fn are_many(&self) -> bool {
        self.unreported >= ACK_EVERY
    }

    /// Whether an ack is to leave now, even if it leaves alone.
    pub(crate) fn is_due(&self, now: Timestamp) -> bool {
        self.are_many() || self.report_at.is_some_and(|at| at <= now)
    }

    /// The frame that arrived last gets no ack of its own.
    pub(crate) fn forgo(&mut self) {
        self.unreported = self.unreported.saturating_sub(1);
        self.report_at = self.report_at.filter(|_| self.unreported > 0);
    }

    /// An ack left that names everything that arrived.
    pub(crate) fn reported(&mut self) {
        (self.unreported, self.report_at) = (0, None);
    }

    /// The ack to send now, on the link itself (`tag` 0) or on another.
    pub(crate) fn ack(&self, tag: u32, now: Timestamp) -> Option<HopAck> {
        self.newest.map(|(largest, bitmap, at)| HopAck {
            link_tag: tag,
            largest,
            bitmap,
            dwell_us: u32::try_from(now.since(at).as_micros()).unwrap_or(u32::MAX),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_millis(ms)
    }

    fn acked(flights: &mut Flights, ack: HopAck, now: Timestamp) -> (bool, Vec<AckedFlight>) {
        let mut seen = Vec::new();
        let known = flights.acknowledge(&ack, now, |flight| seen.push(flight));
        (known, seen)
    }

    #[test]
    fn numbers_wrap_without_notice() {
        let mut flights = Flights::new(u32::MAX - 1);
        let mut arrivals = Arrivals::default();
        for i in 0..4 {
            let seq = flights.push(100, None, false, at(i));
            arrivals.record(seq, Duration::ZERO, at(10 + i));
        }
        assert_eq!(flights.next_seq(), 2);
        let ack = arrivals.ack(0, at(15)).unwrap();
        assert_eq!((ack.largest, ack.bitmap, ack.dwell_us), (1, 0b111, 2_000));
        let (known, seen) = acked(&mut flights, ack, at(20));
        assert!(known);
        assert_eq!(seen.len(), 4);
        assert_eq!(seen[0].rtt, Some(Duration::from_millis(20 - 3 - 2)));
        assert!(seen[1..].iter().all(|f| f.rtt.is_none()));
        assert_eq!(flights.unacked_bytes, 0);
        let (known, seen) = acked(&mut flights, ack, at(30));
        assert!(known && seen.is_empty(), "a repeated ack says nothing new");
    }

    #[test]
    fn an_ack_of_a_frame_never_sent_is_known_as_such() {
        let mut flights = Flights::new(7);
        flights.push(1, None, false, at(0));
        let ack = HopAck { link_tag: 0, largest: 8, bitmap: 0, dwell_us: 0 };
        assert!(!acked(&mut flights, ack, at(1)).0);
    }

    #[test]
    fn a_late_ack_still_counts_once() {
        let mut flights = Flights::new(0);
        let seq = flights.push(10, None, false, at(0));
        assert!(flights.expire(seq) && !flights.expire(seq));
        assert_eq!(flights.unacked_bytes, 0);
        let ack = HopAck { link_tag: 0, largest: seq, bitmap: 0, dwell_us: 0 };
        assert_eq!(acked(&mut flights, ack, at(9)).1.len(), 1);
        assert_eq!(flights.unacked_bytes, 0);
    }

    #[test]
    fn the_round_trip_starts_when_the_frame_was_written() {
        let mut flights = Flights::new(0);
        let seq = flights.push(10, None, false, at(0));
        flights.set_written(seq, at(50));
        let ack = HopAck { link_tag: 0, largest: seq, bitmap: 0, dwell_us: 1_000 };
        assert_eq!(acked(&mut flights, ack, at(60)).1[0].rtt, Some(Duration::from_millis(9)));
    }

    #[test]
    fn the_bitmap_covers_64_frames_before_the_newest() {
        let mut arrivals = Arrivals::default();
        arrivals.record(100, Duration::ZERO, at(0));
        arrivals.record(164, Duration::ZERO, at(0));
        assert_eq!(arrivals.ack(0, at(0)).unwrap().bitmap, 1 << 63);
        arrivals.record(165, Duration::ZERO, at(0));
        assert_eq!(arrivals.ack(0, at(0)).unwrap().bitmap, 1);
        arrivals.record(101, Duration::ZERO, at(0));
        assert_eq!(arrivals.ack(0, at(0)).unwrap().bitmap, 1 | 1 << 63);
        arrivals.record(100, Duration::ZERO, at(0));
        assert_eq!(arrivals.ack(0, at(0)).unwrap().bitmap, 1 | 1 << 63);
    }

    #[test]
    fn what_was_given_up_is_forgotten_when_it_is_old() {
        let mut flights = Flights::new(0);
        let first = flights.push(1_000, None, false, at(0));
        let second = flights.push(100, None, false, at(5));
        assert_eq!(flights.oldest_outstanding().map(|(seq, _)| seq), Some(first));
        flights.expire(first);
        assert_eq!(flights.oldest_outstanding().map(|(seq, _)| seq), Some(second));
        flights.forget(at(0));
        assert!(flights.get(first).is_some(), "not older than its hand-over");
        flights.forget(at(1));
        assert!(flights.get(first).is_none());
        assert_eq!(flights.oldest_outstanding().map(|(seq, _)| seq), Some(second));
        assert_eq!(flights.unacked_bytes, 100);
    }

    #[test]
    fn the_table_is_full_while_its_oldest_flight_waits_and_never_grows_beyond() {
        let mut flights = Flights::new(0);
        for _ in 0..FLIGHTS_PER_LINK - 1 {
            flights.push(1, None, false, at(0));
        }
        assert!(!flights.is_full());
        flights.push(1, None, false, at(0));
        assert!(flights.is_full());
        flights.expire(0);
        assert!(!flights.is_full(), "one that nobody waits for makes room");
        flights.push(1, None, false, at(1));
        assert_eq!(flights.ring.len(), FLIGHTS_PER_LINK);
        assert!(flights.get(0).is_none() && flights.get(1).is_some());
        assert!(flights.is_full());
    }
}
