use bitcraps_types::{Epoch, MessageId, PeerId};
use bytes::{BufMut, Bytes, BytesMut};
use chacha20poly1305::aead::{AeadInPlace, KeyInit};
use chacha20poly1305::{Tag as Mac, XChaCha20Poly1305, XNonce};

use crate::Tag;

/// Bytes that a seal adds to a payload: the tag of the session and the authenticator.
pub const OVERHEAD: usize = Tag::LEN + MAC;
pub(crate) const MAC: usize = 16;

/// Longest payload that is sealed, in bytes: 16 MiB, the longest message there is. Nobody waits for
/// the authenticator of more.
pub(crate) const MAX_PAYLOAD: usize = 16 << 20;

/// A sealed message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// What every attempt and every fragment carries: [`OVERHEAD`] bytes longer than the payload.
    pub bytes: Bytes,
    /// The session it was sealed under; see [`Sessions::holds`](crate::Sessions::holds).
    pub tag: Tag,
}

/// What a seal covers beside the payload.
pub(crate) enum Cover<'a> {
    /// A message: its identity, where it goes, and how often it was sealed.
    Message { id: &'a MessageId, to: &'a PeerId, generation: u8 },
    /// An acknowledgement, by its number within the session.
    Ack { counter: u64 },
    /// The third message of a handshake, by its number.
    Confirmation { counter: u64 },
}

impl Cover<'_> {
    /// Different for any two covers under one key: it holds everything in which two messages of one
    /// source to one destination can differ, and a byte for the kind.
    fn nonce(&self) -> XNonce {
        let (kind, epoch, sequence, class, generation) = match self {
            Self::Message { id, generation, .. } => {
                (1, id.epoch, id.sequence, id.class as u8, *generation)
            }
            Self::Ack { counter } => (2, Epoch(0), *counter, 0, 0),
            Self::Confirmation { counter } => (3, Epoch(0), *counter, 0, 0),
        };
        let mut nonce = [0; 24];
        nonce[0] = kind;
        nonce[1] = class;
        nonce[2] = generation;
        nonce[8..16].copy_from_slice(&epoch.0.to_be_bytes());
        nonce[16..24].copy_from_slice(&sequence.to_be_bytes());
        nonce.into()
    }

    /// What the nonce does not hold.
    fn associated(&self) -> [u8; 64] {
        let mut data = [0; 64];
        if let Self::Message { id, to, .. } = self {
            data[..32].copy_from_slice(id.source.as_bytes());
            data[32..].copy_from_slice(to.as_bytes());
        }
        data
    }
}

/// The key of one direction of one session.
pub(crate) struct Key(XChaCha20Poly1305);

impl Key {
    pub(crate) fn new(bytes: &[u8; 32]) -> Self {
        Self(XChaCha20Poly1305::new(bytes.into()))
    }

    /// `head`, and the payload sealed. `None` when the payload is too long for the cipher.
    pub(crate) fn seal(&self, cover: &Cover<'_>, head: &[u8], payload: &[u8]) -> Option<Bytes> {
        let mut out = BytesMut::with_capacity(head.len() + payload.len() + MAC);
        out.put_slice(head);
        out.put_slice(payload);
        let nonce = cover.nonce();
        let body = &mut out[head.len()..];
        let mac = self.0.encrypt_in_place_detached(&nonce, &cover.associated(), body).ok()?;
        out.put_slice(&mac);
        Some(out.freeze())
    }

    /// The payload, or `None` when it was not sealed so.
    pub(crate) fn open(&self, cover: &Cover<'_>, sealed: &[u8]) -> Option<Bytes> {
        let (body, mac) = sealed.split_last_chunk::<MAC>()?;
        let mut out = BytesMut::from(body);
        let nonce = cover.nonce();
        let mac = Mac::from_slice(mac);
        self.0.decrypt_in_place_detached(&nonce, &cover.associated(), &mut out, mac).ok()?;
        Some(out.freeze())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bitcraps_types::TrafficClass;
    use std::collections::BTreeSet;

    #[test]
    fn no_two_covers_share_a_nonce() {
        let (source, to) = (PeerId::from_bytes([1; 32]), PeerId::from_bytes([2; 32]));
        let mut nonces = BTreeSet::new();
        let mut count = 0;
        for number in [0, 1, 255, 256, u64::MAX] {
            for cover in [Cover::Ack { counter: number }, Cover::Confirmation { counter: number }] {
                nonces.insert(cover.nonce().to_vec());
                count += 1;
            }
            for epoch in [0, 1, 256, u64::MAX] {
                for class in TrafficClass::ALL {
                    for generation in [0, 1, 255] {
                        let id = MessageId { source, epoch: Epoch(epoch), class, sequence: number };
                        let cover = Cover::Message { id: &id, to: &to, generation };
                        nonces.insert(cover.nonce().to_vec());
                        count += 1;
                    }
                }
            }
        }
        assert_eq!(nonces.len(), count);
    }
}
