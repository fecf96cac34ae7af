//! What the applications send each other: known by its length, and by each of its bytes.

use bitcraps_coordinator::{Delivery, SendOptions};
use bitcraps_types::{AckLevel, TrafficClass};
use bytes::Bytes;
use std::time::Duration;

/// How long a bet is worth anything: longer than any scenario.
const DEADLINE: Duration = Duration::from_secs(300);
/// Bets have numbers below this.
const MOST: usize = 100;

/// A bet by its number.
#[derive(Clone, Copy)]
pub(crate) struct Bet(usize);

impl Bet {
    pub(crate) const fn numbered(number: usize) -> Self {
        Self(number % MOST)
    }

    pub(crate) const fn of_len(len: usize) -> Self {
        Self(len % MOST)
    }

    /// The bet that was delivered, if every byte of it is its own.
    pub(crate) fn of(delivery: &Delivery) -> Option<Self> {
        let bet = Self::of_len(delivery.payload.len());
        (bet.payload() == delivery.payload).then_some(bet)
    }

    pub(crate) const fn number(self) -> usize {
        self.0
    }

    /// Every third one is large enough for fragments.
    pub(crate) fn payload(self) -> Bytes {
        let hundreds = if self.0 % 3 == 2 { 2_000 } else { 1 };
        Bytes::from(vec![self.0 as u8; hundreds * MOST + self.0])
    }

    /// Every other one asks for the application's word.
    pub(crate) fn options(self) -> SendOptions {
        let ack = if self.0 % 2 == 1 { AckLevel::Applied } else { AckLevel::PeerAcked };
        SendOptions::new(TrafficClass::Critical).ack(ack).deadline(DEADLINE)
    }
}
