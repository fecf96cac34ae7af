use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bitcraps_node::coordinator::{OutboxId, Outcome, SendError};
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
    restarts: u64,
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
    /// Its name in the sender's outbox.
    kept: Option<OutboxId>,
    /// A later incarnation of the sender found it in its outbox.
    recalled: bool,
    /// The destination says after a crash that its application may have had it.
    doubted: bool,
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

/// How a message ended, as its sender was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Ending {
    Delivered,
    Expired,
    Unknown,
    Rejected,
    /// It was not taken at all.
    Refused,
}

impl From<Result<Outcome, SendError>> for Ending {
    fn from(outcome: Result<Outcome, SendError>) -> Self {
        match outcome {
            Ok(Outcome::Delivered { .. }) => Self::Delivered,
            Ok(Outcome::Expired { .. }) => Self::Expired,
            Ok(Outcome::Unknown { .. } | Outcome::Sent { .. }) => Self::Unknown,
            Ok(Outcome::Rejected { .. }) => Self::Rejected,
            Err(_) => Self::Refused,
        }
    }
}

#[derive(Debug)]
struct Event {
    onset: Timestamp,
}

/// Lost messages that are shown one by one.
const EXAMPLES: usize = 12;

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

/// What came of critical messages where a node died.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub(super) struct RestartReport {
    /// Nodes that died and came back.
    pub(super) restarts: u64,
    /// Messages that a node found in its outbox when it came back.
    pub(super) recalled: u64,
    /// Messages that a node died with before they were durable, and so before any of them had left.
    pub(super) not_durable: u64,
    /// Messages of which only the application can know whether it had them before its node died.
    pub(super) doubtful: u64,
}

/// The sums of the ledger.
#[derive(Debug, Clone, Default)]
pub(super) struct Sums {
    pub(super) classes: BTreeMap<TrafficClass, ClassReport>,
    pub(super) failover: FailoverReport,
    pub(super) restarts: RestartReport,
    /// Critical messages whose sender lived on, or kept them over its death, not delivered.
    pub(super) critical_lost: u64,
    /// The first few of them.
    pub(super) examples: Vec<String>,
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
            Sent {
                from,
                to: *to,
                class,
                at,
                delivered,
                outcome: None,
                kept: None,
                recalled: false,
                doubted: false,
                event,
                tag,
            }
        };
        book.sent.extend(to.iter().map(entry));
        tag
    }

    /// An application was handed the message with this tag.
    pub(super) fn delivered(&self, tag: Option<Tag>, to: usize, at: Timestamp) {
        self.came(tag, to, |sent| sent.delivered.push(at));
    }

    /// A node that came back says that its application may have had the message with this tag.
    pub(super) fn doubted(&self, tag: Option<Tag>, to: usize) {
        self.came(tag, to, |sent| sent.doubted = true);
    }

    fn came(&self, tag: Option<Tag>, to: usize, note: impl FnOnce(&mut Sent)) {
        let mut book = self.book();
        let entries = tag.and_then(|tag| book.sent.get_mut(usize::try_from(tag).ok()?..));
        let group = entries.into_iter().flatten().take_while(|sent| Some(sent.tag) == tag);
        match group.into_iter().find(|sent| sent.to.index == to) {
            Some(sent) => note(sent),
            None => book.altered += 1,
        }
    }

    /// The sender's outbox keeps the message of an entry under this name.
    pub(super) fn kept(&self, entry: Tag, id: OutboxId) {
        if let Some(sent) = self.book().sent.get_mut(entry as usize) {
            sent.kept = Some(id);
        }
    }

    /// A node came back.
    pub(super) fn restarted(&self) {
        self.book().restarts += 1;
    }

    /// Node `from` came back and found this message in its outbox; its entry, if it is known.
    pub(super) fn recalled(&self, from: usize, id: OutboxId) -> Option<Tag> {
        let mut book = self.book();
        let own = |sent: &Sent| sent.from.index == from && sent.kept == Some(id);
        let entry = book.sent.iter().position(own)?;
        book.sent[entry].recalled = true;
        Some(entry as Tag)
    }

    /// The sender was told how the message of an entry ended.
    pub(super) fn ended(&self, entry: Tag, ending: Ending) {
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

    /// Messages whose outcome somebody still waits for.
    pub(super) fn pending(&self, living: impl Fn(Seat) -> bool) -> usize {
        let book = self.book();
        let open = book.sent.iter().filter(|s| {
            s.outcome.is_none()
                && s.class != TrafficClass::Realtime
                && (living(s.from) || s.recalled)
                && (living(s.to) || s.class == TrafficClass::Critical)
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
                rejected: count(Ending::Rejected) + count(Ending::Refused),
                duplicates_delivered: own
                    .iter()
                    .map(|s| s.delivered.len().saturating_sub(1) as u64)
                    .sum(),
                latency_ms: quantiles(latencies, false),
            };
            sums.classes.insert(class, report);
        }
        // What a node refused at once, as for a peer that it does not know yet, it did not promise; nor
        // what it died with before that was durable, and so before any of it had left.
        let promised = |s: &Sent| match s.outcome {
            Some(Ending::Refused) => false,
            Some(Ending::Delivered) => true,
            _ => living(s.from) || s.recalled,
        };
        let lost = book.sent.iter().filter(|s| {
            s.class == TrafficClass::Critical && s.delivered.is_empty() && !s.doubted && promised(s)
        });
        let lost: Vec<&Sent> = lost.collect();
        sums.critical_lost = lost.len() as u64;
        let begun = book.sent.first().map_or(Timestamp::ZERO, |first| first.at);
        sums.examples = lost.iter().take(EXAMPLES).map(|sent| sent.shown(begun)).collect();
        let unpromised = book.sent.iter().filter(|s| {
            s.class == TrafficClass::Critical && s.delivered.is_empty() && !promised(s)
        });
        let count = |what: fn(&Sent) -> bool| book.sent.iter().filter(|s| what(s)).count() as u64;
        sums.restarts = RestartReport {
            restarts: book.restarts,
            recalled: count(|s| s.recalled),
            not_durable: unpromised.filter(|s| s.outcome.is_none()).count() as u64,
            doubtful: count(|s| s.doubted),
        };
        let resumed: Vec<Option<Duration>> =
            (0..book.events.len()).map(|event| book.resumed(event)).collect();
        let never_resumed = resumed.iter().filter(|r| r.is_none()).count();
        let resume_ms = quantiles(resumed.into_iter().flatten().collect(), true);
        sums.failover = FailoverReport { events: book.events.len(), never_resumed, resume_ms };
        sums
    }
}

impl Sent {
    fn shown(&self, begun: Timestamp) -> String {
        let seat = |seat: Seat| format!("{}:{}", seat.index, seat.epoch);
        let told = self.outcome.map_or("nothing".to_owned(), |o| format!("{o:?}").to_lowercase());
        let recalled = if self.recalled { ", recalled" } else { "" };
        let after = self.at.since(begun).as_secs_f64();
        let (from, to) = (seat(self.from), seat(self.to));
        format!("{from} -> {to} after {after:.3} s, sender told {told}{recalled}")
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
    use bitcraps_types::{Epoch, PeerId};

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

    const KEPT: OutboxId =
        OutboxId { destination: PeerId::from_bytes([7; 32]), epoch: Epoch(1), sequence: 0 };

    #[test]
    fn a_lost_critical_message_counts_when_its_sender_lived_or_kept_it() {
        let ledger = Ledger::default();
        let tag = ledger.sending(A, &[B], TrafficClass::Critical, None, at(0));
        ledger.sending(A, &[B], TrafficClass::Bulk, None, at(0));
        ledger.kept(tag, KEPT);
        assert_eq!(ledger.sums(|_| true).critical_lost, 1);
        assert_eq!(ledger.sums(|seat| seat != B).critical_lost, 1, "its destination came back");
        let sums = ledger.sums(|seat| seat != A);
        assert_eq!((sums.critical_lost, sums.restarts.not_durable), (0, 1), "it never left");
        assert_eq!(ledger.pending(|seat| seat != A), 0);
        assert_eq!(ledger.recalled(1, KEPT), None, "of another node");
        assert_eq!(ledger.recalled(0, OutboxId { sequence: 1, ..KEPT }), None);
        assert_eq!(ledger.recalled(0, KEPT), Some(tag));
        assert_eq!(ledger.sums(|seat| seat != A).critical_lost, 1);
        assert_eq!(ledger.pending(|seat| seat != A), 1);
        ledger.doubted(Some(tag), 1);
        ledger.ended(tag, Ending::Delivered);
        assert_eq!(ledger.pending(|seat| seat != A), 0);
        ledger.restarted();
        let sums = ledger.sums(|seat| seat != A);
        let restarts = RestartReport { restarts: 1, recalled: 1, not_durable: 0, doubtful: 1 };
        assert_eq!((sums.critical_lost, sums.restarts, sums.altered), (0, restarts, 0));
    }

    #[test]
    fn what_was_refused_at_once_was_not_promised() {
        let ledger = Ledger::default();
        let tag = ledger.sending(A, &[B], TrafficClass::Critical, None, at(0));
        ledger.ended(tag, Ending::Rejected);
        assert_eq!(ledger.sums(|_| true).critical_lost, 1);
        ledger.ended(tag, Ending::Refused);
        let sums = ledger.sums(|_| true);
        assert_eq!((sums.critical_lost, sums.classes[&TrafficClass::Critical].rejected), (0, 1));
    }

    #[test]
    fn what_its_sender_was_told_arrived_has_to_have_arrived() {
        let ledger = Ledger::default();
        let tag = ledger.sending(A, &[B], TrafficClass::Critical, None, at(0));
        ledger.ended(tag, Ending::Delivered);
        assert_eq!(ledger.sums(|_| false).critical_lost, 1);
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
