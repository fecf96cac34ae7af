use std::collections::BTreeMap;
use std::fmt;

use bitcraps_coordinator::{Outcome, RejectReason, is_recorded};
use bitcraps_types::{MessageId, TrafficClass};
use bytes::Bytes;

use crate::{Delivered, Fortune, Message, NodeId, SendId, Simulation};

/// Something that must never happen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// An application got more copies of a message than were sent.
    #[error("node {to:?} got {got} copies of {id:?}, {sent} were sent")]
    Twice {
        /// The application's node.
        to: NodeId,
        /// One of the copies.
        id: MessageId,
        /// Copies delivered.
        got: usize,
        /// Messages sent with this payload.
        sent: usize,
    },
    /// An application got two messages under one identity.
    #[error("node {to:?} got {id:?} twice")]
    SameIdentity {
        /// The application's node.
        to: NodeId,
        /// The identity.
        id: MessageId,
    },
    /// An application got what nobody sent to it, or not what was sent.
    #[error("node {to:?} got {len} bytes as {id:?} that were never sent to it")]
    NeverSent {
        /// The application's node.
        to: NodeId,
        /// What they were taken for.
        id: MessageId,
        /// Their number.
        len: usize,
    },
    /// An outcome came for a ticket that had one, or never was.
    #[error("{0} outcomes came for no open ticket")]
    StrayOutcomes(u64),
    /// A message has no outcome.
    #[error("message {0:?} has no outcome")]
    NoOutcome(SendId),
    /// The sender was told that the destination has a message that its application never got.
    #[error("message {0:?} is called delivered, and was not")]
    NotDelivered(SendId),
    /// The sender was told that the destination has a message; the destination died before its
    /// application took it, and told no later life of it although it has a store.
    #[error("message {0:?} is called delivered, and vanished with the life that it was handed to")]
    Vanished(SendId),
    /// The sender was told that a message certainly was not delivered, and it was.
    #[error("message {0:?} is called not delivered, and was: {1:?}")]
    DeliveredAllTheSame(SendId, Outcome),
    /// An application was handed messages that it had no room for, or while it was gone.
    #[error("node {to:?} was handed {count} messages that its application had no room for")]
    Overrun {
        /// The application's node.
        to: NodeId,
        /// How many.
        count: u64,
    },
    /// Virtual time came to a halt.
    #[error("events went on at one moment without end")]
    Stuck,
}

/// Everything that must never happen and did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violations(pub Vec<Violation>);

impl std::error::Error for Violations {}

/// Violations that a text lists.
const SHOWN: usize = 20;

impl fmt::Display for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} violations", self.0.len())?;
        for violation in self.0.iter().take(SHOWN) {
            write!(f, "\n  {violation}")?;
        }
        Ok(())
    }
}

/// What makes two deliveries the same to an application.
type Content<'a> = (NodeId, NodeId, TrafficClass, &'a Bytes);

impl Simulation {
    /// Checks what must hold at any time, from what applications were handed and senders were told
    /// alone: nothing twice, nothing invented, nothing altered, no second outcome, and every
    /// outcome true. O(messages log messages).
    ///
    /// # Errors
    /// [`Violations`] with every breach.
    pub fn check(&self) -> Result<(), Violations> {
        let mut found = Vec::new();
        let mut sent: BTreeMap<Content<'_>, usize> = BTreeMap::new();
        for message in &self.messages {
            let class = message.options.class;
            let content = (message.from, message.to, class, &message.payload);
            *sent.entry(content).or_default() += 1;
        }
        let delivered = self.delivered(&sent, &mut found);
        let overruns = self.nodes().map(|to| (to, self.app(to).overruns));
        let overruns = overruns.filter(|(_, count)| *count > 0);
        found.extend(overruns.map(|(to, count)| Violation::Overrun { to, count }));
        self.check_outcomes(&sent, &delivered, &mut found);
        if self.stray_outcomes > 0 {
            found.push(Violation::StrayOutcomes(self.stray_outcomes));
        }
        if self.stuck {
            found.push(Violation::Stuck);
        }
        if found.is_empty() { Ok(()) } else { Err(Violations(found)) }
    }

    /// [`Self::check`], and that every message has its outcome.
    ///
    /// # Errors
    /// [`Violations`] with every breach.
    pub fn check_settled(&self) -> Result<(), Violations> {
        let mut found = self.check().err().map_or_else(Vec::new, |v| v.0);
        let open = self.messages.iter().enumerate();
        let open = open.filter(|(_, message)| !message.is_settled());
        found.extend(open.map(|(at, _)| Violation::NoOutcome(SendId(at as u32))));
        if found.is_empty() { Ok(()) } else { Err(Violations(found)) }
    }

    fn delivered<'a>(
        &'a self,
        sent: &BTreeMap<Content<'a>, usize>,
        found: &mut Vec<Violation>,
    ) -> BTreeMap<Content<'a>, usize> {
        let mut delivered: BTreeMap<Content<'_>, usize> = BTreeMap::new();
        let sources: BTreeMap<_, _> = self.nodes().map(|node| (self.peer_id(node), node)).collect();
        for to in self.nodes() {
            let mut identities = BTreeMap::new();
            for record in &self.app(to).delivered {
                let id = record.delivery.id;
                let key = (record.life, id.source, id.epoch, id.class, id.sequence);
                if identities.insert(key, ()).is_some() {
                    found.push(Violation::SameIdentity { to, id });
                }
                let payload = &record.delivery.payload;
                let source = sources.get(&id.source);
                let content = source.map(|from| (*from, to, id.class, payload));
                let Some(content) = content.filter(|content| sent.contains_key(content)) else {
                    let len = payload.len();
                    found.push(Violation::NeverSent { to, id, len });
                    continue;
                };
                let got = delivered.entry(content).or_default();
                *got += 1;
                let (got, sent) = (*got, sent[&content]);
                if got > sent {
                    found.push(Violation::Twice { to, id, got, sent });
                }
            }
        }
        delivered
    }

    /// Whether a message that a store had to keep was handed to lives that took it not, and the node
    /// lives on.
    fn vanished(&self, message: &Message) -> bool {
        let node = &self.nodes[message.to.index()];
        let recorded = is_recorded(message.options.class, message.options.ack);
        let of = |d: &&Delivered| d.delivery.payload == message.payload;
        let mut handed = node.app.delivered.iter().filter(of);
        let stored = node.disk.is_some() && node.engine.is_some() && recorded;
        stored && handed.all(|d| !d.taken && d.life != node.life)
    }

    /// Outcomes of messages whose payload no other message has are held against the records.
    fn check_outcomes(
        &self,
        sent: &BTreeMap<Content<'_>, usize>,
        delivered: &BTreeMap<Content<'_>, usize>,
        found: &mut Vec<Violation>,
    ) {
        for (at, message) in self.messages.iter().enumerate() {
            let id = SendId(at as u32);
            let class = message.options.class;
            let content = (message.from, message.to, class, &message.payload);
            if sent.get(&content) != Some(&1) {
                continue;
            }
            let arrived = delivered.contains_key(&content);
            let told = &self.nodes[message.to.index()].app.doubts;
            let doubtful = told.iter().any(|doubt| doubt.payload == message.payload);
            match (&message.fortune, &message.outcome) {
                (_, Some((_, Outcome::Delivered { .. }))) if !arrived && !doubtful => {
                    found.push(Violation::NotDelivered(id));
                }
                (_, Some((_, Outcome::Delivered { .. })))
                    if !doubtful && self.vanished(message) =>
                {
                    found.push(Violation::Vanished(id));
                }
                (_, Some((_, outcome))) if arrived && rules_out_delivery(outcome) => {
                    found.push(Violation::DeliveredAllTheSame(id, outcome.clone()));
                }
                (Fortune::Refused(_) | Fortune::SenderDead, None) if arrived => {
                    let (to, len) = (message.to, message.payload.len());
                    let got = self.app(to).delivered.iter();
                    let got = got.map(|d| &d.delivery);
                    let delivery = got.filter(|d| d.payload == message.payload);
                    let ids = delivery.map(|d| d.id);
                    found.extend(ids.map(|id| Violation::NeverSent { to, id, len }));
                }
                _ => {}
            }
        }
    }
}

/// Whether an outcome says for certain that the application did not get the message.
fn rules_out_delivery(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Expired { .. } => true,
        Outcome::Rejected { why } => match why {
            RejectReason::Superseded
            | RejectReason::Cancelled
            | RejectReason::Unrecorded
            | RejectReason::NotAdmitted
            | RejectReason::ShutDown => true,
            RejectReason::Refused | RejectReason::TooOld => false,
        },
        Outcome::Delivered { .. } | Outcome::Sent { .. } | Outcome::Unknown { .. } => false,
    }
}
