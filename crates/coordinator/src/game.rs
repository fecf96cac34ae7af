use bitcraps_types::{AckLevel, TrafficClass};

use crate::{FailoverPolicy, SendOptions};

/// What a game sends, and with it how it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GamePacketType {
    /// A roll, to all players of the table: use `send_group`, so that no player hears it later for
    /// another one's sake.
    DiceRoll,
    /// A bet: must arrive, once.
    BetUpdate,
    /// Talk: cheapest joule.
    ChatMessage,
    /// State of the table: newest wins.
    StateSync,
}

/// State of one table conflates; games with several tables send with their own keys.
const STATE_SYNC_KEY: u64 = 0;

impl GamePacketType {
    /// Every type.
    pub const ALL: [Self; 4] =
        [Self::DiceRoll, Self::BetUpdate, Self::ChatMessage, Self::StateSync];

    /// Its traffic class.
    pub const fn class(self) -> TrafficClass {
        match self {
            Self::DiceRoll => TrafficClass::Realtime,
            Self::BetUpdate => TrafficClass::Critical,
            Self::ChatMessage => TrafficClass::Background,
            Self::StateSync => TrafficClass::Bulk,
        }
    }

    /// Its policy.
    pub const fn policy(self) -> FailoverPolicy {
        FailoverPolicy::of_class(self.class())
    }

    /// How it is sent.
    pub const fn options(self) -> SendOptions {
        let options = SendOptions::new(self.class());
        match self {
            Self::DiceRoll | Self::BetUpdate | Self::ChatMessage => {
                options.ack(AckLevel::PeerAcked)
            }
            Self::StateSync => options.conflated_by(STATE_SYNC_KEY),
        }
    }
}
