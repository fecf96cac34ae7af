use std::fmt;
use std::str::FromStr;

use crate::TrafficClass;

/// A peer: its Ed25519 public key, 32 bytes. Equality of keys is identity of peers.
///
/// Shown as 64 hexadecimal digits; [`PeerId::short`] gives the first 10 for people.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId([u8; 32]);

impl PeerId {
    /// Length of the key in bytes.
    pub const LEN: usize = 32;

    /// Wraps the 32 bytes of a public key. Whether they are a point of the curve is checked where
    /// a signature is verified, not here.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes of the key.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// First ten hexadecimal digits, enough to tell peers apart on a screen, never for decisions.
    pub fn short(&self) -> String {
        hex(&self.0[..5])
    }
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|b| [DIGITS[usize::from(b >> 4)], DIGITS[usize::from(b & 15)]])
        .map(char::from)
        .collect()
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerId({})", self.short())
    }
}

/// Why a text is not a [`PeerId`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParsePeerIdError {
    /// The text has another length than 64.
    #[error("a peer id has 64 hexadecimal digits, this has {0} characters")]
    Length(usize),
    /// A character is no hexadecimal digit.
    #[error("a peer id has hexadecimal digits only, found {found:?} at position {at}")]
    Digit {
        /// The character found.
        found: char,
        /// Its position, counted in characters from 0.
        at: usize,
    },
}

impl FromStr for PeerId {
    type Err = ParsePeerIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let length = text.chars().count();
        if length != 64 {
            return Err(ParsePeerIdError::Length(length));
        }
        let mut bytes = [0; 32];
        for (at, found) in text.chars().enumerate() {
            let digit = found.to_digit(16).ok_or(ParsePeerIdError::Digit { found, at })?;
            // A hexadecimal digit is below 16 and fits.
            bytes[at / 2] = (bytes[at / 2] << 4) | u8::try_from(digit).unwrap_or_default();
        }
        Ok(Self(bytes))
    }
}

/// One incarnation of one link: (peer, path, generation) in a single number.
///
/// Never used twice in one process, so an event of a former connection cannot be taken for one of
/// its successor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

impl fmt::Display for LinkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// Incarnation of a node: incremented and made durable before its first frame, never from a clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Epoch(pub u64);

/// Position of a message in the stream (source epoch, destination, class), from 0, contiguous.
pub type Sequence = u64;

/// What makes a message itself, for life, whatever is resent, hedged, relayed or replayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId {
    /// Who sent it.
    pub source: PeerId,
    /// The sender's incarnation that numbered it.
    pub epoch: Epoch,
    /// Its class.
    pub class: TrafficClass,
    /// Its number within (source, epoch, destination, class).
    pub sequence: Sequence,
}

#[cfg(feature = "serde")]
mod as_text {
    use super::PeerId;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    impl Serialize for PeerId {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_str(self)
        }
    }

    impl<'de> Deserialize<'de> for PeerId {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
            text.parse().map_err(D::Error::custom)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_a_peer_id_is_read_back() {
        let mut bytes = [0; 32];
        for (i, b) in bytes.iter_mut().enumerate() {
            *b = u8::try_from(i * 7 % 256).unwrap();
        }
        let id = PeerId::from_bytes(bytes);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(id.to_string().to_uppercase().parse(), Ok(id));
        assert_eq!(id.short(), &id.to_string()[..10]);
    }

    #[test]
    fn a_wrong_text_names_what_is_wrong() {
        assert_eq!("ab".parse::<PeerId>(), Err(ParsePeerIdError::Length(2)));
        let text = format!("{}g", "0".repeat(63));
        let wrong = ParsePeerIdError::Digit { found: 'g', at: 63 };
        assert_eq!(text.parse::<PeerId>(), Err(wrong));
    }
}
