use std::net::SocketAddr;

use bitcraps_types::PeerId;
use bytes::{BufMut, Bytes, BytesMut};

use crate::reader::Reader;
use crate::{DecodeError, address};

/// Addresses in one beacon: more interfaces than a node has, fewer than a dial storm needs.
pub const MAX_BEACON_ADDRESSES: usize = 8;

const MAGIC: [u8; 4] = *b"bcb1";

/// "I am here": told to the local network, signed, so that only the key's owner can say it.
///
/// A replay costs the hearer at most one rate-limited dial: the dial authenticates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beacon {
    /// Who announces itself.
    pub peer: PeerId,
    /// Grows from beacon to beacon of one incarnation.
    pub sequence: u64,
    /// Where it listens, at most [`MAX_BEACON_ADDRESSES`]. An unspecified address stands for the
    /// one that the beacon came from.
    pub addresses: Vec<SocketAddr>,
}

/// A beacon as it travels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedBeacon {
    /// What is said. Not to be believed before the signature was verified.
    pub beacon: Beacon,
    /// Ed25519 signature by `beacon.peer` over [`Beacon::signed_bytes`].
    pub signature: [u8; 64],
}

impl Beacon {
    /// The bytes that the signature covers.
    pub fn signed_bytes(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(64 + self.addresses.len() * 19);
        out.put_slice(&MAGIC);
        out.put_slice(self.peer.as_bytes());
        out.put_u64(self.sequence);
        let count = self.addresses.len().min(MAX_BEACON_ADDRESSES);
        out.put_u8(u8::try_from(count).unwrap_or(u8::MAX));
        for socket in self.addresses.iter().take(MAX_BEACON_ADDRESSES) {
            address::encode(socket, &mut out);
        }
        out.freeze()
    }
}

impl SignedBeacon {
    /// The beacon as one datagram.
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::from(self.beacon.signed_bytes().as_ref());
        out.put_slice(&self.signature);
        out.freeze()
    }

    /// Reads one datagram. Verifying the signature is the caller's business.
    ///
    /// # Errors
    /// [`DecodeError`] for anything that [`Self::encode`] cannot have produced.
    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        if reader.array()? != MAGIC {
            return Err(DecodeError::Magic);
        }
        let peer = PeerId::from_bytes(reader.array()?);
        let sequence = reader.u64()?;
        let count = reader.count("beacon addresses", MAX_BEACON_ADDRESSES)?;
        let addresses =
            (0..count).map(|_| address::decode(&mut reader)).collect::<Result<_, _>>()?;
        let signature = reader.array()?;
        reader.finish()?;
        Ok(Self { beacon: Beacon { peer, sequence, addresses }, signature })
    }
}
