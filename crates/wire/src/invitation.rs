use std::fmt;
use std::net::SocketAddr;

use bitcraps_types::PeerId;
use bytes::{BufMut, Bytes, BytesMut};

use crate::reader::Reader;
use crate::{DecodeError, address};

/// Bytes of an invitation's secret: 128 bits cannot be guessed.
pub const SECRET: usize = 16;
/// LAN addresses in one invitation: those of a laptop, and a code that is still short.
pub const MAX_INVITATION_ADDRESSES: usize = 4;
/// Bytes of the internet address in an invitation: a few addresses and a relay's URL.
pub const MAX_INTERNET_ADDRESS: usize = 255;

const VERSION: u8 = 1;

/// What an invitation's code carries: whom to join, where, and what to prove there.
///
/// Whoever holds it may join in the invited person's place, so it travels by a way that the two
/// people trust.
#[derive(Clone, PartialEq, Eq)]
pub struct Invitation {
    /// Who invites.
    pub inviter: PeerId,
    /// Proved to the inviter, never sent.
    pub secret: [u8; SECRET],
    /// Where the inviter listens on its LAN, at most [`MAX_INVITATION_ADDRESSES`].
    pub lan: Vec<SocketAddr>,
    /// Where it is reached over the internet, in the words of that transport: printable ASCII, 1 to
    /// [`MAX_INTERNET_ADDRESS`] bytes.
    pub internet: Option<String>,
}

impl fmt::Debug for Invitation {
    /// Without the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invitation")
            .field("inviter", &self.inviter)
            .field("lan", &self.lan)
            .field("internet", &self.internet)
            .finish_non_exhaustive()
    }
}

fn is_internet_address(text: &[u8]) -> bool {
    text.iter().all(|byte| (b' '..=b'~').contains(byte))
}

impl Invitation {
    /// The invitation as bytes. Addresses beyond the bounds, and an internet address that is none,
    /// are left out.
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(1 + PeerId::LEN + SECRET + 128);
        out.put_u8(VERSION);
        out.put_slice(self.inviter.as_bytes());
        out.put_slice(&self.secret);
        let count = self.lan.len().min(MAX_INVITATION_ADDRESSES);
        out.put_u8(u8::try_from(count).unwrap_or(u8::MAX));
        for socket in self.lan.iter().take(MAX_INVITATION_ADDRESSES) {
            address::encode(socket, &mut out);
        }
        let internet = self.internet.as_deref().unwrap_or_default().as_bytes();
        let fits = internet.len() <= MAX_INTERNET_ADDRESS && is_internet_address(internet);
        let internet = if fits { internet } else { &[] };
        out.put_u8(u8::try_from(internet.len()).unwrap_or(u8::MAX));
        out.put_slice(internet);
        out.freeze()
    }

    /// Reads an invitation's bytes.
    ///
    /// # Errors
    /// [`DecodeError`] for anything that [`Self::encode`] cannot have produced.
    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        match reader.u8()? {
            VERSION => {}
            other => return Err(DecodeError::Version(other)),
        }
        let inviter = PeerId::from_bytes(reader.array()?);
        let secret = reader.array()?;
        let count = reader.count("invitation addresses", MAX_INVITATION_ADDRESSES)?;
        let lan = (0..count).map(|_| address::decode(&mut reader)).collect::<Result<_, _>>()?;
        let len = usize::from(reader.u8()?);
        let internet = reader.take(len)?;
        reader.finish()?;
        if !is_internet_address(&internet) {
            return Err(DecodeError::Inconsistent("an internet address is not printable"));
        }
        let internet = str::from_utf8(&internet).unwrap_or_default();
        let internet = (!internet.is_empty()).then(|| internet.to_owned());
        Ok(Self { inviter, secret, lan, internet })
    }
}
