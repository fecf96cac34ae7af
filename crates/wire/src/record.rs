use bitcraps_types::{Epoch, PeerId};
use bytes::{BufMut, Bytes, BytesMut};

use crate::reader::Reader;
use crate::{DecodeError, Quality};

/// Links in one record. With them a record has 159 bytes, and fits the smallest frame with
/// everything that goes with it.
pub const MAX_RECORD_LINKS: usize = 8;
/// Pages of one origin: room for 64 links.
pub const MAX_PAGES: u8 = 8;
/// Highest sequence number of a record within an epoch; at one a second reached after eight years.
pub const MAX_RECORD_SEQUENCE: u32 = (1 << 28) - 1;
/// Low bits of an epoch that a record repeats.
const EPOCH_BITS: u8 = 7;
const DELTA: u8 = 1 << EPOCH_BITS;

/// Short name of whoever publishes records: eight bytes of a hash of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Alias(pub u64);

/// Whose records these are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Introduction {
    /// The key that signs them.
    pub key: PeerId,
    /// The incarnation that numbers them.
    pub epoch: Epoch,
}

impl Introduction {
    /// Encoded length in bytes.
    pub const LEN: usize = PeerId::LEN + 8;

    pub(crate) fn encode(&self, out: &mut BytesMut) {
        out.put_slice(self.key.as_bytes());
        out.put_u64(self.epoch.0);
    }

    pub(crate) fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self { key: PeerId::from_bytes(reader.array()?), epoch: Epoch(reader.u64()?) })
    }
}

/// Names one state of one page of an origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// The origin.
    pub alias: Alias,
    /// Low seven bits of its epoch.
    pub epoch: u8,
    /// The page, below [`MAX_PAGES`].
    pub page: u8,
    /// The record's number, at most [`MAX_RECORD_SEQUENCE`].
    pub sequence: u32,
}

impl Version {
    /// Encoded length in bytes.
    pub const LEN: usize = 8 + 4 + 1;

    /// The bits of an epoch that a version repeats.
    pub const fn epoch_bits(epoch: Epoch) -> u8 {
        (epoch.0 & ((1 << EPOCH_BITS) - 1)) as u8
    }

    fn encode_with(&self, flag: u8, out: &mut BytesMut) {
        out.put_u64(self.alias.0);
        out.put_u32(u32::from(self.page) << 28 | (self.sequence & MAX_RECORD_SEQUENCE));
        out.put_u8(flag | (self.epoch & !DELTA));
    }

    /// The version, and its flag.
    fn decode_with(reader: &mut Reader) -> Result<(Self, u8), DecodeError> {
        let alias = Alias(reader.u64()?);
        let number = reader.u32()?;
        let bits = reader.u8()?;
        let page = (number >> 28) as u8;
        if page >= MAX_PAGES {
            let (what, bound) = ("page of a record", u64::from(MAX_PAGES) - 1);
            return Err(DecodeError::TooMany { what, value: u64::from(page), bound });
        }
        let sequence = number & MAX_RECORD_SEQUENCE;
        Ok((Self { alias, epoch: bits & !DELTA, page, sequence }, bits & DELTA))
    }

    pub(crate) fn encode(&self, out: &mut BytesMut) {
        self.encode_with(0, out);
    }

    pub(crate) fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        match Self::decode_with(reader)? {
            (version, 0) => Ok(version),
            _ => Err(DecodeError::Inconsistent("a version has a flag")),
        }
    }
}

/// One link, as its origin sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LinkClaim {
    /// The other end.
    pub neighbour: Alias,
    /// What the link is like; a delta also tells of links that are gone.
    pub quality: Quality,
}

/// Part of what an origin says about its own links.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Which origin, page and state.
    pub version: Version,
    /// How far behind the number of the full record lies to which this one is the sum of all
    /// changes; 0 for a full record.
    pub base: u8,
    /// At most [`MAX_RECORD_LINKS`], ascending by neighbour and transport.
    pub links: Vec<LinkClaim>,
    /// Ed25519 signature by the origin's key over [`Self::signed_bytes`]. Not verified here.
    pub signature: [u8; 64],
}

impl Record {
    /// Encoded length without links, in bytes.
    pub const MIN_LEN: usize = Version::LEN + 2 + 64;
    /// Encoded length of a link, in bytes.
    pub const LINK_LEN: usize = 8 + Quality::LEN;
    /// Most bytes of a record.
    pub const MAX_LEN: usize = Self::MIN_LEN + MAX_RECORD_LINKS * Self::LINK_LEN;

    /// Encoded length in bytes.
    pub fn encoded_len(&self) -> usize {
        Self::MIN_LEN + self.links.len().min(MAX_RECORD_LINKS) * Self::LINK_LEN
    }

    /// Whether it tells changes only.
    pub const fn is_delta(&self) -> bool {
        self.base != 0
    }

    /// What the signature covers: the content, with the key and the whole epoch that the content
    /// names in short.
    pub fn signed_bytes(&self, origin: &Introduction) -> Bytes {
        let mut out = BytesMut::with_capacity(24 + Introduction::LEN + self.encoded_len());
        out.put_slice(b"bitcraps link state 1");
        origin.encode(&mut out);
        self.encode_content(&mut out);
        out.freeze()
    }

    fn encode_content(&self, out: &mut BytesMut) {
        debug_assert!(self.links.len() <= MAX_RECORD_LINKS, "{} links", self.links.len());
        let count = self.links.len().min(MAX_RECORD_LINKS);
        self.version.encode_with(if self.is_delta() { DELTA } else { 0 }, out);
        out.put_slice(&[count as u8, self.base]);
        for link in self.links.iter().take(MAX_RECORD_LINKS) {
            out.put_u64(link.neighbour.0);
            out.put_u16(link.quality.to_wire());
        }
    }

    pub(crate) fn encode(&self, out: &mut BytesMut) {
        self.encode_content(out);
        out.put_slice(&self.signature);
    }

    pub(crate) fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        let (version, flag) = Version::decode_with(reader)?;
        let count = reader.count("links of a record", MAX_RECORD_LINKS)?;
        let base = reader.u8()?;
        if (flag == 0) != (base == 0) {
            return Err(DecodeError::Inconsistent("a record is neither full nor a delta"));
        }
        if u32::from(base) > version.sequence {
            return Err(DecodeError::Inconsistent("a delta changes a record below zero"));
        }
        let mut links = Vec::<LinkClaim>::with_capacity(count);
        for _ in 0..count {
            let neighbour = Alias(reader.u64()?);
            let quality = Quality::from_wire(reader.u16()?)?;
            if neighbour == version.alias {
                return Err(DecodeError::Inconsistent("a link leads to its origin"));
            }
            if base == 0 && quality.is_gone() {
                return Err(DecodeError::Inconsistent(
                    "a full record tells of a link that is gone",
                ));
            }
            let key = (neighbour, quality.transport());
            let after = |last: &LinkClaim| (last.neighbour, last.quality.transport()) < key;
            if !links.last().is_none_or(after) {
                return Err(DecodeError::Inconsistent("links of a record are not ascending"));
            }
            links.push(LinkClaim { neighbour, quality });
        }
        Ok(Self { version, base, links, signature: reader.array()? })
    }
}
