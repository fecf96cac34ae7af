use std::fmt;

use bitcraps_types::PeerId;
use sha2::{Digest as _, Sha256};

/// The service under whose UUID nodes advertise: d1ce0001-6c62-4372-a150-73b1c7a95e5c.
pub const SERVICE: u128 = 0xd1ce_0001_6c62_4372_a150_73b1_c7a9_5e5c;

const VERSION: u8 = 1;

/// Channel numbers that Bluetooth leaves to applications on LE (Core 5.4, vol. 3, part A, 4.22).
const PSM: std::ops::RangeInclusive<u16> = 0x80..=0xff;

/// What a node is called in its advertisement: 64 bits of a hash of its key, for which there is no
/// room. A claim that only a handshake proves.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(pub [u8; 8]);

impl Tag {
    /// The tag of `peer`.
    pub fn of(peer: &PeerId) -> Self {
        let hash = Sha256::new().chain_update(b"bitcraps bluetooth").chain_update(peer.as_bytes());
        let hash: [u8; 32] = hash.finalize().into();
        let mut tag = [0; 8];
        tag.copy_from_slice(&hash[..8]);
        Self(tag)
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tag({self})")
    }
}

/// The service data of an advertisement: 10 bytes, which with a 128-bit UUID and the flags are the
/// 31 bytes of a legacy advertisement.
///
/// ```text
/// version 1 | channel number 1 | tag 8
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Advertisement {
    /// Number of the L2CAP channel on which the node listens, 0x80 to 0xff.
    pub psm: u16,
    /// Who it says it is.
    pub tag: Tag,
}

/// Why service data was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AdvertisementError {
    /// Not the length of an advertisement.
    #[error("service data of {0} bytes, {len} were expected", len = Advertisement::LEN)]
    Length(usize),
    /// Of another version.
    #[error("advertisement of version {0}, this node knows {VERSION}")]
    Version(u8),
    /// A channel number that no application may have.
    #[error("channel number {0:#x} lies outside 0x80 to 0xff")]
    Psm(u16),
}

impl Advertisement {
    /// Length in bytes.
    pub const LEN: usize = 10;

    /// The service data.
    pub fn encode(&self) -> [u8; Self::LEN] {
        let mut out = [0; Self::LEN];
        out[0] = VERSION;
        out[1] = self.psm as u8;
        out[2..].copy_from_slice(&self.tag.0);
        out
    }

    /// Reads service data.
    ///
    /// # Errors
    /// [`AdvertisementError`] for the first thing that is wrong.
    pub fn decode(data: &[u8]) -> Result<Self, AdvertisementError> {
        let data: &[u8; Self::LEN] =
            data.try_into().map_err(|_| AdvertisementError::Length(data.len()))?;
        let [version, psm, tag @ ..] = *data;
        if version != VERSION {
            return Err(AdvertisementError::Version(version));
        }
        let psm = u16::from(psm);
        if !PSM.contains(&psm) {
            return Err(AdvertisementError::Psm(psm));
        }
        Ok(Self { psm, tag: Tag(tag) })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TAG: Tag = Tag([1, 2, 3, 4, 5, 6, 7, 8]);

    #[test]
    fn the_layout_is_this_one() {
        let sent = Advertisement { psm: 0x81, tag: TAG };
        assert_eq!(sent.encode(), [1, 0x81, 1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(Advertisement::decode(&sent.encode()), Ok(sent));
    }

    #[test]
    fn the_tag_of_a_key_is_this_one() {
        assert_eq!(Tag::of(&PeerId::from_bytes([7; 32])).to_string(), "8e5ff3a6cf152003");
        assert_ne!(Tag::of(&PeerId::from_bytes([7; 32])), Tag::of(&PeerId::from_bytes([8; 32])));
    }

    #[test]
    fn everything_else_is_refused() {
        use AdvertisementError::{Length, Psm, Version};
        let good = Advertisement { psm: 0x80, tag: TAG }.encode();
        for len in (0..10).chain([11, 200]) {
            assert_eq!(Advertisement::decode(&vec![1; len]), Err(Length(len)));
        }
        let with = |at: usize, byte| {
            let mut changed = good;
            changed[at] = byte;
            Advertisement::decode(&changed)
        };
        assert_eq!(with(0, 0), Err(Version(0)));
        assert_eq!(with(0, 2), Err(Version(2)));
        assert_eq!(with(1, 0x7f), Err(Psm(0x7f)));
        assert_eq!(with(1, 0xff).map(|a| a.psm), Ok(0xff));
    }

    proptest! {
        #[test]
        fn what_is_read_is_what_is_written(data in prop::collection::vec(any::<u8>(), 0..20)) {
            if let Ok(read) = Advertisement::decode(&data) {
                prop_assert_eq!(read.encode().to_vec(), data);
            }
        }
    }
}
