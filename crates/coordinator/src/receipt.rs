use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bitcraps_types::{AckLevel, PeerId};
use tokio::sync::oneshot;

use crate::{OutboxId, Outcome, Progress, RejectReason, SendError, Ticket, TriedLink};

/// What a receipt can ask of the machine behind it, whatever machine that is.
pub(crate) trait Tickets: Send + Sync {
    fn progress(&self, ticket: Ticket) -> Option<Progress>;
    fn outbox_id(&self, ticket: Ticket) -> Option<OutboxId>;
    fn cancel(&self, ticket: Ticket);
}

/// A message's future: resolves to its one [`Outcome`]. Dropping it does not cancel the message.
pub struct Receipt {
    ticket: Ticket,
    outcome: oneshot::Receiver<Outcome>,
    tickets: Arc<dyn Tickets>,
}

impl Receipt {
    pub(crate) fn new(
        ticket: Ticket,
        outcome: oneshot::Receiver<Outcome>,
        tickets: Arc<dyn Tickets>,
    ) -> Self {
        Self { ticket, outcome, tickets }
    }

    /// Where the message stands now; `None` once it has its outcome.
    pub fn progress(&self) -> Option<Progress> {
        self.tickets.progress(self.ticket)
    }

    /// The name under which the outbox keeps the message over a restart: a later incarnation finds it
    /// under the same name, with a new receipt. `None` when it is not kept, or has its outcome.
    pub fn outbox_id(&self) -> Option<OutboxId> {
        self.tickets.outbox_id(self.ticket)
    }

    /// Gives the message up. Its outcome tells whether a copy had left by then; an acknowledgement
    /// that came before wins.
    pub fn cancel(&self) {
        self.tickets.cancel(self.ticket);
    }
}

impl Future for Receipt {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        // A driver that is gone settles nothing any more; what left before is not known here.
        let lost = Outcome::Rejected { why: RejectReason::ShutDown };
        Pin::new(&mut self.outcome).poll(cx).map(|outcome| outcome.unwrap_or(lost))
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receipt").field("ticket", &self.ticket).finish_non_exhaustive()
    }
}

/// A confirmed delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Confirmed {
    /// How far the destination got.
    pub level: AckLevel,
    /// The link that carried the acknowledged copy.
    pub link: TriedLink,
    /// Transmissions.
    pub attempts: u16,
    /// From `send` to the acknowledgement.
    pub latency: Duration,
}

/// Why a packet is not known to be delivered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CoordinationError {
    /// It was not taken at all.
    #[error(transparent)]
    Send(#[from] SendError),
    /// It will not be sent, or its destination refused it.
    #[error("rejected: {0}")]
    Rejected(RejectReason),
    /// Its time ran out before a whole copy left, or the destination refused it as late.
    #[error("expired after {} links were tried", .tried.len())]
    Expired {
        /// Links it was tried on.
        tried: Vec<TriedLink>,
    },
    /// A copy left and no answer came.
    #[error("no answer; {} links were tried", .tried.len())]
    Unknown {
        /// Links it was tried on.
        tried: Vec<TriedLink>,
    },
    /// A link took it and no confirmation was asked for.
    #[error("sent, but no confirmation was asked for")]
    NotConfirmed(TriedLink),
}

impl Outcome {
    /// The outcome as a result: `Ok` only for a confirmed delivery.
    ///
    /// # Errors
    /// [`CoordinationError`] for everything else.
    pub fn confirmed(self) -> Result<Confirmed, CoordinationError> {
        match self {
            Self::Delivered { level, link, attempts, latency } => {
                Ok(Confirmed { level, link, attempts, latency })
            }
            Self::Sent { link } => Err(CoordinationError::NotConfirmed(link)),
            Self::Expired { tried } => Err(CoordinationError::Expired { tried }),
            Self::Rejected { why } => Err(CoordinationError::Rejected(why)),
            Self::Unknown { tried } => Err(CoordinationError::Unknown { tried }),
        }
    }
}

/// Receipts of one message to several peers. One peer's failure does not stop the others.
#[derive(Debug)]
pub struct GroupReceipt {
    pub(crate) receipts: Vec<(PeerId, Result<Receipt, SendError>)>,
}

/// How a group's message ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupOutcome {
    /// Each peer's, in the order they were named.
    pub outcomes: Vec<(PeerId, Result<Outcome, SendError>)>,
    /// Between the first and the last confirmed delivery; `None` when nobody confirmed.
    pub skew: Option<Duration>,
}

impl GroupReceipt {
    /// The receipts, in the order the peers were named.
    pub fn into_receipts(self) -> Vec<(PeerId, Result<Receipt, SendError>)> {
        self.receipts
    }

    /// Waits for every outcome.
    pub async fn outcomes(self) -> GroupOutcome {
        let mut outcomes = Vec::with_capacity(self.receipts.len());
        let (mut first, mut last) = (None::<Duration>, None::<Duration>);
        for (peer, receipt) in self.receipts {
            let outcome = match receipt {
                Ok(receipt) => Ok(receipt.await),
                Err(error) => Err(error),
            };
            if let Ok(Outcome::Delivered { latency, .. }) = &outcome {
                first = Some(first.map_or(*latency, |f| f.min(*latency)));
                last = Some(last.map_or(*latency, |l| l.max(*latency)));
            }
            outcomes.push((peer, outcome));
        }
        let skew = last.zip(first).map(|(last, first)| last - first);
        GroupOutcome { outcomes, skew }
    }
}
