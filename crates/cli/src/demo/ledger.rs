use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bitcraps_node::coordinator::{Outcome, SendError};
use bitcraps_types::{Timestamp, TrafficClass};

/// What was sent, and what the applications were handed, independently of the nodes' own
/// bookkeeping: the verdict is computed from nothing else.
#[derive(Debug, Default)]
pub(super) struct Ledger(Mutex<Book>);

#[derive(Debug, Default)]
struct Book {
    sent: Vec<Sent>,
    events: Vec<Event>,
    altered: u64,
}

/// One message to one peer.
#[derive(Debug)]
pub(super) struct Sent {
    from: Seat,
    to: Seat,
    class: TrafficClass,
    at: Timestamp,
    delivered: Vec<Timestamp>,
    outcome: Option<Ending>,
    /// The black hole that the message was sent into.
    event: Option<usize>,
    /// The tag that travels in its payload: one for all copies of a message to a group.
    tag: Tag,
}

/// A node of the demo in one incarnation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seat {
    pub(super) index: usize,
    pub(super) epoch: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Delivered,
    Expired,
    Unknown,
    Rejected,
}

#[derive(Debug)]
struct Event {
    onset: Timestamp,
}

/// Names a message to one peer; travels in its payload.
pub(super) type Tag = u64;

/// Counts of one class.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub(super) struct ClassReport {
    pub(super) sent: u64,
    pub(super) delivered: u64,
    pub(super) expired: u64,
    pub(super) unknown: u64,
    pub(super) rejected: u64,
    pub(super) duplicates_delivered: u64,
    pub(super) latency_ms: Quantiles,
}

/// Quantiles in milliseconds; `None` without data.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub(super) struct Quantiles {
    pub(super) p50: Option<f64>,
    pub(super) p99: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) max: Option<f64>,
}

/// What came of the black holes.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub(super) struct FailoverReport {
    pub(super) events: usize,
    /// Black holes after which nothing more was delivered.
    pub(super) never_resumed: usize,
    pub(super) resume_ms: Quantiles,
}

/// The sums of the ledger.
#[derive(Debug, Clone, Default)]
pub(super) struct Sums {
    pub(super) classes: BTreeMap<TrafficClass, ClassReport>,
    pub(super) failover: FailoverReport,
    /// Critical messages between nodes that lived on, not delivered.
    pub(super) critical_lost: u64,
    /// Deliveries of what was not sent to that node.
    pub(super) altered: u64,
}

impl Ledger {
    fn book(&self) -> std::sync::MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A message is about to be sent to each of `to`, with one payload. Its tag; the entries of
    /// the peers follow each other from that number on.
    pub(super) fn sending(
        &self,
        from: Seat,
        to: &[Seat],
        class: TrafficClass,
        event: Option<usize>,
        at: Timestamp,
    ) -> Tag {
        let mut book = self.book();
        let tag = book.sent.len() as Tag;
        let entry = |to: &Seat| {
            let delivered = Vec::new();
            Sent { from, to: *to, class, at, delivered, outcome: None, event, tag }
        };
        book.sent.extend(to.iter().map(entry));
        tag
    }

    /// An application was handed the message with this tag.
    pub(super) fn delivered(&self, tag: Option<Tag>, to: usize, at: Timestamp) {
        let mut book = self.book();
        let entries = tag.and_then(|tag| book.sent.get_mut(usize::try_from(tag).ok()?..));
        let group = entries.into_iter().flatten().take_while(|sent| Some(sent.tag) == tag);
        match group.into_iter().find(|sent| sent.to.index == to) {
            Some(sent) => sent.delivered.push(at),
            None => book.altered += 1,
        }
    }

    /// The sender was told how the message of an entry ended.
    pub(super) fn ended(&self, entry: Tag, outcome: &Result<Outcome, SendError>) {
        let ending = match outcome {
            Ok(Outcome::Delivered { .. }) => Ending::Delivered,
            Ok(Outcome::Expired { .. }) => Ending::Expired,
            Ok(Outcome::Unknown { .. } | Outcome::Sent { .. }) => Ending::Unknown,
            Ok(Outcome::Rejected { .. }) | Err(_) => Ending::Rejected,
        };
        if let Some(sent) = self.book().sent.get_mut(entry as usize) {
            sent.outcome = Some(ending);
        }
    }

    /// A link in use turns into a black hole.
    pub(super) fn onset(&self, at: Timestamp) -> usize {
        let mut book = self.book();
        book.events.push(Event { onset: at });
        book.events.len() - 1
    }

    /// Time from a black hole's onset to the first delivery of a message sent after it.
    pub(super) fn resumed(&self, event: usize) -> Option<Duration> {
        self.book().resumed(event)
    }

    /// Messages sent and deliveries so far.
    pub(super) fn progress(&self) -> (usize, usize) {
        let book = self.book();
        (book.sent.len(), book.sent.iter().filter(|s| !s.delivered.is_empty()).count())
    }

    /// Messages that a living pair still waits for.
    pub(super) fn pending(&self, living: impl Fn(Seat) -> bool) -> usize {
        let book = self.book();
        let open = book.sent.iter().filter(|s| {
            s.outcome.is_none()
                && s.class != TrafficClass::Realtime
                && living(s.from)
                && living(s.to)
        });
        open.count()
    }

    /// The sums, given which incarnations lived to the end.
    pub(super) fn sums(&self, living: impl Fn(Seat) -> bool) -> Sums {
        let book = self.book();
        let mut sums = Sums { altered: book.altered, ..Sums::default() };
        for class in TrafficClass::ALL {
            let own: Vec<&Sent> = book.sent.iter().filter(|s| s.class == class).collect();
            let count = |ending| own.iter().filter(|s| s.outcome == Some(ending)).count() as u64;
            let first = |s: &&Sent| s.delivered.first().map(|at| at.since(s.at));
            let latencies: Vec<Duration> = own.iter().copied().filter_map(|s| first(&s)).collect();
            let report = ClassReport {
                sent: own.len() as u64,
                delivered: latencies.len() as u64,
                expired: count(Ending::Expired),
                unknown: count(Ending::Unknown),
                rejected: count(Ending::Rejected),
                duplicates_delivered: own
                    .iter()
                    .map(|s| s.delivered.len().saturating_sub(1) as u64)
                    .sum(),
                latency_ms: quantiles(latencies, false),
            };
            sums.classes.insert(class, report);
        }
        let lost = book.sent.iter().filter(|s| {
            s.class == TrafficClass::Critical
                && s.delivered.is_empty()
                && living(s.from)
                && living(s.to)
        });
        sums.critical_lost = lost.count() as u64;
        let resumed: Vec<Option<Duration>> =
            (0..book.events.len()).map(|event| book.resumed(event)).collect();
        let never_resumed = resumed.iter().filter(|r| r.is_none()).count();
        let resume_ms = quantiles(resumed.into_iter().flatten().collect(), true);
        sums.failover = FailoverReport { events: book.events.len(), never_resumed, resume_ms };
        sums
    }
}

impl Book {
    fn resumed(&self, event: usize) -> Option<Duration> {
        let onset = self.events.get(event)?.onset;
        let after = self.sent.iter().filter(|s| s.event == Some(event) && s.at >= onset);
        after.filter_map(|s| s.delivered.first()).min().map(|at| at.since(onset))
    }
}

fn quantiles(mut values: Vec<Duration>, with_max: bool) -> Quantiles {
    values.sort_unstable();
    let ms = |d: Duration| (d.as_secs_f64() * 1e6).round() / 1e3;
    // Nearest rank.
    let at = |q: f64| {
        let rank = (q * values.len() as f64).ceil() as usize;
        values.get(rank.saturating_sub(1)).map(|d| ms(*d))
    };
    Quantiles { p50: at(0.5), p99: at(0.99), max: at(1.0).filter(|_| with_max) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Seat = Seat { index: 0, epoch: 1 };
    const B: Seat = Seat { index: 1, epoch: 1 };

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_millis(ms)
    }

    #[test]
    fn a_delivery_counts_once_and_a_second_one_is_a_duplicate() {
        let ledger = Ledger::default();
        let tag = ledger.sending(A, &[B], TrafficClass::Critical, None, at(0));
        ledger.delivered(Some(tag), 1, at(5));
        ledger.delivered(Some(tag), 1, at(6));
        ledger.delivered(Some(tag), 0, at(6));
        ledger.delivered(Some(99), 1, at(6));
        ledger.delivered(None, 1, at(6));
        let sums = ledger.sums(|_| true);
        let report = &sums.classes[&TrafficClass::Critical];
        assert_eq!((report.sent, report.delivered, report.duplicates_delivered), (1, 1, 1));
        assert_eq!(report.latency_ms.p50, Some(5.0));
        assert_eq!(sums.altered, 3, "wrong node, unknown tag, no tag");
    }

    #[test]
    fn a_roll_is_one_payload_and_one_entry_for_each_player() {
        let ledger = Ledger::default();
        let c = Seat { index: 2, epoch: 1 };
        ledger.sending(A, &[B], TrafficClass::Bulk, None, at(0));
        let tag = ledger.sending(A, &[B, c], TrafficClass::Realtime, None, at(0));
        ledger.delivered(Some(tag), 2, at(1));
        ledger.delivered(Some(tag), 1, at(1));
        ledger.delivered(Some(tag), 0, at(1));
        let sums = ledger.sums(|_| true);
        let report = &sums.classes[&TrafficClass::Realtime];
        assert_eq!((report.sent, report.delivered, sums.altered), (2, 2, 1));
    }

    #[test]
    fn a_lost_critical_message_counts_between_the_living_only() {
        let ledger = Ledger::default();
        ledger.sending(A, &[B], TrafficClass::Critical, None, at(0));
        ledger.sending(A, &[B], TrafficClass::Bulk, None, at(0));
        assert_eq!(ledger.sums(|_| true).critical_lost, 1);
        assert_eq!(ledger.sums(|seat| seat != B).critical_lost, 0);
    }

    #[test]
    fn resumption_is_told_by_messages_sent_after_the_onset() {
        let ledger = Ledger::default();
        let event = ledger.onset(at(10));
        let before = ledger.sending(A, &[B], TrafficClass::Realtime, Some(event), at(9));
        ledger.delivered(Some(before), 1, at(11));
        assert_eq!(ledger.resumed(event), None);
        assert_eq!(ledger.sums(|_| true).failover.never_resumed, 1);
        let after = ledger.sending(A, &[B], TrafficClass::Realtime, Some(event), at(12));
        ledger.delivered(Some(after), 1, at(30));
        assert_eq!(ledger.resumed(event), Some(Duration::from_millis(20)));
    }

    #[test]
    fn quantiles_are_nearest_ranks() {
        let values = (1..=200).map(Duration::from_millis).collect();
        let q = quantiles(values, true);
        assert_eq!((q.p50, q.p99, q.max), (Some(100.0), Some(198.0), Some(200.0)));
        assert_eq!(quantiles(Vec::new(), true).p99, None);
    }
}
