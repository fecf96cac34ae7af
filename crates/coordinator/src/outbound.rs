//! A message on its way out, from `send` to its timeouts.

mod attempt;
mod copies;
mod handover;
mod queue;
mod refusal;
mod room;
mod timeout;

pub(crate) use room::FullInbox;

use crate::link::Link;
use crate::message::Message;
use crate::peer::Peer;
use bitcraps_types::{Timestamp, TrafficClass};
use bitcraps_wire::NO_DEADLINE;
use std::time::Duration;

/// Hops that a frame may travel: more than the diameter of any mesh that is still of use.
const TTL: u8 = 16;
/// A retransmission timeout never grows beyond, unless the link's own is longer.
const TIMEOUT_CAP: Duration = Duration::from_secs(1);
/// Messages of one queue that are looked at for one that may go, past those that may not.
const PUMP_DEPTH: usize = 16;
/// Messages of one queue that are settled as expired in one go: after a long sleep all are.
const PUMP_EXPIRED: usize = 1_024;
/// How soon a message that every driver refused, or that waits for its budget, is tried again.
const RETRY_SOON: Duration = Duration::from_millis(10);
/// Doublings of that wait, so that many messages that wait for one budget do not keep looking.
const MOST_WAITS: u8 = 4;
/// What is sent again of a message to ask for an answer, when all of it has arrived.
const QUESTION_BYTES: u32 = 64;
/// How often a message under an energy cap looks whether a radio has woken up.
const ENERGY_RETRY: Duration = Duration::from_millis(100);
/// A driver whose oldest frame waits for less is draining.
const PATIENT: Duration = Duration::from_millis(4);
/// `LoadBalanced` waits for a draining link rather than load another one this much further ahead:
/// 4 ms in its cost's nanoseconds. Longer would idle a fast link beside a slow one.
const FAIR_SHARE_COST: u64 = 4_000_000;
/// A message is hedged only within this time of its deadline: waiting for a timeout would put it
/// at stake.
const HEDGE_HORIZON: Duration = Duration::from_millis(200);
/// What a hedge may take longer over another kind of link than over the best one: half the least
/// timeout, or waiting would have been as good.
const HEDGE_SLACK: Duration = Duration::from_millis(5);
/// Retries that Critical may borrow ahead of its budget.
const CRITICAL_CREDIT: f64 = 50.0;

/// Why a message did not leave now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Blocked {
    /// No link can take it.
    NoLink,
    /// Links there are, without room.
    NoRoom,
    /// The span of unsettled numbers is exhausted.
    Window,
    /// Every link would cost more than the message may.
    TooDear,
}

/// Why a message is transmitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    First,
    /// After a timeout.
    Timeout,
    /// A driver refused it, or its link is gone.
    LocalError,
    /// A second copy beside the one on its way.
    SecondCopy,
    /// The destination has it, and its application's answer may be lost.
    Question,
}

/// What a driver said when it did not take a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransmitFailure {
    /// Its queue is full; `written` will tell when it has room.
    Full,
    /// It cannot send at all.
    Closed,
    /// The frame exceeds what the link carries now.
    TooBig {
        /// Largest frame in bytes.
        max: usize,
    },
}

/// The link that carries the message's fragments just now, if nothing speaks against it.
fn under_way(message: &Message, state: &Peer) -> Option<usize> {
    let carrier = message.fragments.as_ref()?.link?;
    let usable = |l: &Link| l.id() == carrier && l.ready && !l.is_suspect();
    let index = state.links.iter().position(usable)?;
    (!message.refused.contains(&carrier)).then_some(index)
}

/// Whether the driver's queue may take another frame of `class`: traffic that cannot wait may go
/// ahead of the limit by two frames.
fn has_room(link: &Link, class: TrafficClass, now: Timestamp) -> bool {
    match class {
        TrafficClass::Realtime | TrafficClass::Critical => link.has_room_ahead(),
        TrafficClass::Background | TrafficClass::Bulk => link.has_room(now),
    }
}

fn remaining_ms(deadline: Timestamp, now: Timestamp) -> u32 {
    let ms = deadline.since(now).as_nanos().div_ceil(1_000_000);
    u32::try_from(ms).unwrap_or(NO_DEADLINE).min(NO_DEADLINE - 1)
}
