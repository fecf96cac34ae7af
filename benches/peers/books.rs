//! What the applications at both ends of a flow write down, and what that says about an outage.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bitcraps_coordinator::{Inbox, Outcome, SendOptions};
use bitcraps_types::{LinkId, PeerId, TrafficClass};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use super::node::Node;
use crate::clock::wall;
use crate::sample::quantile;
use crate::{Failure, Report, Row};

pub(super) const EVERY: Duration = Duration::from_millis(5);
pub(super) const BYTES: usize = 100;

/// What happened, by the applications' own books.
#[derive(Default)]
pub(super) struct Record {
    /// From onset to the first delivery of a message sent after it, in ms.
    pub(super) resumed: Vec<f64>,
    pub(super) never: usize,
    pub(super) void: usize,
    sent: usize,
    lost: usize,
    twice: usize,
    unconfirmed: usize,
    pub(super) transmissions: u64,
}

impl Record {
    pub(super) fn add(&mut self, other: Self) {
        self.resumed.extend(other.resumed);
        self.never += other.never;
        self.void += other.void;
        self.sent += other.sent;
        self.lost += other.lost;
        self.twice += other.twice;
        self.unconfirmed += other.unconfirmed;
        self.transmissions += other.transmissions;
    }

    /// Rows that begin with `what`, resumption judged by its `median` and 99 % quantile `most`, in ms.
    pub(super) fn report(mut self, what: &str, median: f64, most: f64, report: &mut Report) {
        let name = |row: &str| format!("{what}: {row}");
        let quantiles = [("p50", 0.5, Some(median)), ("p99", 0.99, Some(most)), ("max", 1.0, None)];
        for (label, q, most) in quantiles {
            let value = quantile(&mut self.resumed, q);
            let row = Row::new(name(&format!("resume {label}")), value, "ms");
            report.push(match most {
                Some(most) => row.at_most(most),
                None => row,
            });
        }
        let count = |what, value: usize| Row::new(name(what), value as f64, "");
        report.push(count("events", self.resumed.len()));
        report.push(count("events that never resumed", self.never).at_most(0.0));
        report
            .push(count("events void, the link killed not in use or its pair not back", self.void));
        report.push(count("messages sent", self.sent));
        report.push(count("messages lost", self.lost).at_most(0.0));
        report.push(count("messages received twice", self.twice).at_most(0.0));
        report.push(count("messages received and not confirmed", self.unconfirmed));
        let each = self.transmissions as f64 / self.sent.max(1) as f64;
        report.push(Row::new(name("transmissions a message"), each, "").at_most(1.10));
    }
}

/// What the two applications wrote down, by message.
#[derive(Default)]
pub(super) struct Books {
    sent_at: Vec<u64>,
    outcomes: Vec<Option<Outcome>>,
    received_at: BTreeMap<usize, Vec<u64>>,
    /// The link that carried the message confirmed last.
    pub(super) in_use: Option<LinkId>,
}

pub(super) fn lock<T>(books: &Mutex<T>) -> MutexGuard<'_, T> {
    books.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Books {
    /// By when the link in use fell silent.
    pub(super) fn record(&self, onsets: &[u64]) -> Record {
        let mut record = Record { sent: self.sent_at.len(), ..Record::default() };
        for (number, outcome) in self.outcomes.iter().enumerate() {
            let received = self.received_at.get(&number).map_or(0, Vec::len);
            record.lost += usize::from(received == 0);
            record.twice += usize::from(received > 1);
            let confirmed = matches!(outcome, Some(Outcome::Delivered { .. }));
            record.unconfirmed += usize::from(received > 0 && !confirmed);
        }
        for onset in onsets {
            let first = self.sent_at.partition_point(|at| at < onset);
            // One that arrived at the first attempt never met the hole.
            let untouched = matches!(
                self.outcomes.get(first),
                Some(Some(Outcome::Delivered { attempts: 1, .. }))
            );
            if untouched {
                record.void += 1;
                continue;
            }
            let arrivals = (first..self.sent_at.len())
                .filter_map(|number| self.received_at.get(&number)?.first().copied());
            match arrivals.min() {
                Some(at) => record.resumed.push((at - onset) as f64 / 1e6),
                None => record.never += 1,
            }
        }
        record
    }
}

/// Sends a message every 5 ms until aborted.
pub(super) fn send(
    near: Arc<Node>,
    peer: PeerId,
    books: Arc<Mutex<Books>>,
) -> JoinHandle<Result<(), Failure>> {
    tokio::spawn(async move {
        let mut tick = interval(EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            let number = {
                let mut books = lock(&books);
                books.sent_at.push(wall());
                books.outcomes.push(None);
                books.sent_at.len() - 1
            };
            let mut body = vec![7; BYTES];
            body[..8].copy_from_slice(&(number as u64).to_le_bytes());
            let options = SendOptions::new(TrafficClass::Realtime);
            let receipt = near.coordinator.send(peer, body, options);
            let receipt = receipt.map_err(|e| Failure::broken("send", e))?;
            let books = books.clone();
            // Writes its line whatever becomes of this sender.
            drop(tokio::spawn(async move {
                let outcome = receipt.await;
                let mut books = lock(&books);
                if let Outcome::Delivered { link, .. } = &outcome {
                    books.in_use = Some(link.link);
                }
                books.outcomes[number] = Some(outcome);
            }));
        }
    })
}

/// The receiving application: writes down every message that it is handed.
pub(super) async fn receive(mut inbox: Inbox, books: Arc<Mutex<Books>>) -> Result<(), Failure> {
    while let Some(delivery) = inbox.recv().await {
        let Some(head) = delivery.payload.first_chunk() else {
            return Err(Failure::Broken("a message without a number".to_owned()));
        };
        let number = usize::try_from(u64::from_le_bytes(*head)).unwrap_or(usize::MAX);
        lock(&books).received_at.entry(number).or_default().push(wall());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use bitcraps_coordinator::TriedLink;
    use bitcraps_types::{AckLevel, TransportType};

    fn delivered(attempts: u16) -> Option<Outcome> {
        let link = TriedLink { link: LinkId(1), transport: TransportType::WiFiDirect };
        let latency = Duration::from_millis(1);
        Some(Outcome::Delivered { level: AckLevel::PeerAcked, link, attempts, latency })
    }

    #[test]
    fn the_books_tell_loss_repeats_and_the_time_to_the_first_delivery() {
        let ms = |ms: u64| ms * 1_000_000;
        let books = Books {
            sent_at: (0..6).map(|i| ms(5 * i)).collect(),
            outcomes: vec![
                delivered(1),
                delivered(2),
                delivered(2),
                None,
                delivered(1),
                Some(Outcome::Unknown { tried: Vec::new() }),
            ],
            received_at: BTreeMap::from([
                (0, vec![ms(1)]),
                (1, vec![ms(30)]),
                (2, vec![ms(24), ms(25)]),
                (4, vec![ms(31)]),
                (5, vec![ms(32)]),
            ]),
            in_use: None,
        };
        let record = books.record(&[ms(4), ms(19)]);
        assert_eq!(record.resumed, [20.0], "the second message was the first to arrive");
        assert_eq!((record.void, record.never), (1, 0), "number 4 went through at once");
        assert_eq!((record.lost, record.twice, record.unconfirmed), (1, 1, 1));
    }
}
