use std::cmp::Reverse;
use std::time::Duration;

use bitcraps_coordinator::{Outcome, SendOptions};
use bitcraps_types::Timestamp;

use super::course::Course;
use super::tale::Happening;
use super::{Scenario, Stream};
use crate::Fortune;

/// When, of which stream, which of its sources.
pub(super) type Due = Reverse<(Duration, usize, usize)>;

impl Stream {
    fn options(&self) -> SendOptions {
        let mut options = SendOptions::new(self.class);
        if let Some(deadline) = self.deadline {
            options = options.deadline(deadline);
        }
        if let Some(copies) = self.copies {
            options = options.max_copies(copies);
        }
        options
    }
}

/// The first message of each source: somewhere in its first interval.
pub(super) fn first(scenario: &Scenario, rng: &mut fastrand::Rng) -> Vec<Due> {
    let mut due = Vec::new();
    for (number, stream) in scenario.streams.iter().enumerate() {
        for source in 0..stream.from.len() {
            let at = stream.begin + stream.every.mul_f64(rng.f64());
            due.push(Reverse((at, number, source)));
        }
    }
    due
}

impl Course<'_> {
    /// Schedules what is sent before `until`.
    pub(super) fn send(&mut self, until: Duration) {
        let scenario = self.scenario;
        while let Some(Reverse((at, number, source))) = self.due.peek().copied() {
            if at >= until {
                break;
            }
            self.due.pop();
            let stream = &scenario.streams[number];
            if at >= stream.end {
                continue;
            }
            self.due.push(Reverse((at + stream.every, number, source)));
            let from = stream.from[source];
            let to = self.destination(number, source, from);
            let Some(to) = to else { continue };
            let (from, to) = (self.nodes[from], self.nodes[to]);
            let at = Timestamp::ZERO + at;
            self.sim.send_at(at, from, to, stream.bytes, stream.options(), None);
            self.streams.push((number, source));
            if self.traced {
                self.open.push(self.streams.len() - 1);
            }
        }
    }

    /// Anybody of the stream's destinations but the source.
    fn destination(&mut self, number: usize, source: usize, from: usize) -> Option<usize> {
        let stream = &self.scenario.streams[number];
        if stream.fixed
            && let Some(kept) = self.partners.get(&(number, source))
        {
            return Some(*kept);
        }
        let own = stream.to.binary_search(&from).ok();
        let others = stream.to.len() - usize::from(own.is_some());
        if others == 0 {
            return None;
        }
        let mut at = self.rng.usize(..others);
        at += usize::from(own.is_some_and(|own| at >= own));
        let to = stream.to[at];
        if stream.fixed {
            self.partners.insert((number, source), to);
        }
        Some(to)
    }

    /// Tells of the messages that have their outcome.
    pub(super) fn tell_messages(&mut self) {
        let (sim, scenario, tale) = (&self.sim, self.scenario, &mut self.tale);
        let seconds = |at: Timestamp| at.since(Timestamp::ZERO).as_secs_f64();
        self.open.retain(|number| {
            let message = &sim.messages()[*number];
            if !message.is_settled() {
                return true;
            }
            let now = message.outcome.as_ref().map_or(message.at, |(at, _)| *at);
            tale.push(Happening::Message {
                at: seconds(now),
                number: *number,
                from: scenario.name_of(message.from.index()),
                to: scenario.name_of(message.to.index()),
                class: message.options.class.name(),
                sent: seconds(message.at),
                outcome: match (&message.fortune, &message.outcome) {
                    (Fortune::SenderDead, _) => "sender_dead",
                    (Fortune::Refused(_), _) => "refused",
                    (Fortune::Scheduled | Fortune::Taken(_), None) => "sender_died",
                    (_, Some((_, Outcome::Delivered { .. }))) => "delivered",
                    (_, Some((_, Outcome::Sent { .. }))) => "sent",
                    (_, Some((_, Outcome::Expired { .. }))) => "expired",
                    (_, Some((_, Outcome::Rejected { .. }))) => "rejected",
                    (_, Some((_, Outcome::Unknown { .. }))) => "unknown",
                },
            });
            false
        });
    }
}
