use bytes::{BufMut, Bytes, BytesMut};

use crate::reader::Reader;
use crate::{Alias, DecodeError, Introduction, Record, Version};

/// Most bytes of a link-state body: what a full Ethernet frame has room for.
pub const MAX_LINK_STATE: usize = 1_200;
/// Sub-ranges in one [`Summary`].
pub const MAX_SUMMARY: usize = 8;
/// Versions in one [`Listing`].
pub const MAX_LISTING: usize = 14;

/// A record under way, with what its signature does not cover.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Carried {
    /// Seconds since the origin made it, rounded up at each hop; [`u16::MAX`] for longer. Only ever
    /// makes a record older.
    pub age: u16,
    /// For those who may not know whose record it is.
    pub introduction: Option<Introduction>,
    /// The record.
    pub record: Record,
}

/// What a neighbour says of itself on a new link, until the other end has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Presence {
    /// Under which key and epoch it publishes.
    pub introduction: Introduction,
    /// Whether it may be named in records of others.
    pub listed: bool,
}

/// What a database holds, in a few bytes; goes with every probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digest {
    /// Equal for equal databases.
    pub root: u64,
    /// Records for the receiver are on their way already: a difference is no news.
    pub pending: bool,
    /// The sender has the receiver's [`Presence`].
    pub met: bool,
}

/// Which page of which origin to send, in its latest state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Want {
    /// The origin.
    pub alias: Alias,
    /// The page, below [`MAX_PAGES`](crate::MAX_PAGES).
    pub page: u8,
    /// Whose it is is not known here.
    pub introduce: bool,
}

/// Fingerprints of neighbouring ranges of aliases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// First alias of the first range.
    pub first: Alias,
    /// Last alias of each range, ascending, and the fingerprint of what the sender holds in it. At
    /// least one, at most [`MAX_SUMMARY`]; a range begins where the one before it ends.
    pub ranges: Vec<(Alias, u64)>,
}

/// Everything that the sender holds in a range of aliases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// First alias of the range.
    pub first: Alias,
    /// Last alias of the range.
    pub last: Alias,
    /// At most [`MAX_LISTING`], ascending by alias and page.
    pub versions: Vec<Version>,
}

/// One thing said between neighbours about the state of links.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Who I am in records.
    Presence(Presence),
    /// What I hold, in short.
    Digest(Digest),
    /// A record.
    Record(Carried),
    /// I hold this, or something newer of the same page.
    Have(Version),
    /// Send this.
    Want(Want),
    /// Which parts of our databases differ?
    Summary(Summary),
    /// What I hold in a range: send what I lack, ask for what you lack.
    Listing(Listing),
}

impl Part {
    /// Encoded length in bytes.
    pub fn encoded_len(&self) -> usize {
        1 + match self {
            Self::Presence(_) => Introduction::LEN + 1,
            Self::Digest(_) => 9,
            Self::Record(carried) => {
                2 + carried.introduction.map_or(0, |_| Introduction::LEN)
                    + carried.record.encoded_len()
            }
            Self::Have(_) => Version::LEN,
            Self::Want(_) => 9,
            Self::Summary(summary) => 8 + 1 + summary.ranges.len() * 16,
            Self::Listing(listing) => 8 + 8 + 1 + listing.versions.len() * Version::LEN,
        }
    }

    fn encode(&self, out: &mut BytesMut) {
        match self {
            Self::Presence(presence) => {
                out.put_u8(0);
                presence.introduction.encode(out);
                out.put_u8(u8::from(presence.listed));
            }
            Self::Digest(digest) => {
                out.put_u8(1);
                out.put_u64(digest.root);
                out.put_u8(u8::from(digest.pending) | u8::from(digest.met) << 1);
            }
            Self::Record(carried) => {
                out.put_u8(if carried.introduction.is_some() { 3 } else { 2 });
                out.put_u16(carried.age);
                if let Some(introduction) = &carried.introduction {
                    introduction.encode(out);
                }
                carried.record.encode(out);
            }
            Self::Have(version) => {
                out.put_u8(4);
                version.encode(out);
            }
            Self::Want(want) => {
                out.put_u8(5);
                out.put_u64(want.alias.0);
                out.put_u8(want.page | u8::from(want.introduce) << 7);
            }
            Self::Summary(summary) => {
                out.put_u8(6);
                out.put_u64(summary.first.0);
                out.put_u8(summary.ranges.len() as u8);
                for (last, fingerprint) in &summary.ranges {
                    out.put_u64(last.0);
                    out.put_u64(*fingerprint);
                }
            }
            Self::Listing(listing) => {
                out.put_u8(7);
                out.put_u64(listing.first.0);
                out.put_u64(listing.last.0);
                out.put_u8(listing.versions.len() as u8);
                listing.versions.iter().for_each(|version| version.encode(out));
            }
        }
    }

    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        match reader.u8()? {
            0 => {
                let introduction = Introduction::decode(reader)?;
                let listed = match reader.u8()? {
                    0 => false,
                    1 => true,
                    flags => return Err(DecodeError::Flags(flags)),
                };
                Ok(Self::Presence(Presence { introduction, listed }))
            }
            1 => {
                let root = reader.u64()?;
                let flags = reader.u8()?;
                if flags > 3 {
                    return Err(DecodeError::Flags(flags));
                }
                let (pending, met) = (flags & 1 != 0, flags & 2 != 0);
                Ok(Self::Digest(Digest { root, pending, met }))
            }
            kind @ 2..=3 => {
                let age = reader.u16()?;
                let introduction = match kind {
                    2 => None,
                    _ => Some(Introduction::decode(reader)?),
                };
                let record = Record::decode(reader)?;
                let named = introduction.map(|named| Version::epoch_bits(named.epoch));
                if named.is_some_and(|bits| bits != record.version.epoch) {
                    return Err(DecodeError::Inconsistent("a record is of another epoch"));
                }
                Ok(Self::Record(Carried { age, introduction, record }))
            }
            4 => Ok(Self::Have(Version::decode(reader)?)),
            5 => {
                let alias = Alias(reader.u64()?);
                let bits = reader.u8()?;
                let (page, introduce) = (bits & 0x7F, bits & 0x80 != 0);
                if page >= crate::MAX_PAGES {
                    let (value, bound) = (u64::from(page), u64::from(crate::MAX_PAGES) - 1);
                    return Err(DecodeError::TooMany { what: "wanted page", value, bound });
                }
                Ok(Self::Want(Want { alias, page, introduce }))
            }
            6 => Summary::decode(reader).map(Self::Summary),
            7 => Listing::decode(reader).map(Self::Listing),
            unknown => Err(DecodeError::Kind(unknown)),
        }
    }
}

impl Summary {
    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        let first = Alias(reader.u64()?);
        let count = reader.count("ranges of a summary", MAX_SUMMARY)?;
        let mut ranges = Vec::<(Alias, u64)>::with_capacity(count);
        for _ in 0..count {
            let (last, fingerprint) = (Alias(reader.u64()?), reader.u64()?);
            let ascends = ranges.last().map_or(first <= last, |(before, _)| *before < last);
            if !ascends {
                return Err(DecodeError::Inconsistent("ranges of a summary are not ascending"));
            }
            ranges.push((last, fingerprint));
        }
        if ranges.is_empty() {
            return Err(DecodeError::Inconsistent("a summary has no range"));
        }
        Ok(Self { first, ranges })
    }
}

impl Listing {
    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        let (first, last) = (Alias(reader.u64()?), Alias(reader.u64()?));
        if last < first {
            return Err(DecodeError::Inconsistent("a listing ends before it begins"));
        }
        let count = reader.count("versions of a listing", MAX_LISTING)?;
        let mut versions = Vec::<Version>::with_capacity(count);
        for _ in 0..count {
            let version = Version::decode(reader)?;
            if version.alias < first || last < version.alias {
                return Err(DecodeError::Inconsistent("a version lies outside of its listing"));
            }
            let key = |version: &Version| (version.alias, version.page);
            if versions.last().is_some_and(|before| key(before) >= key(&version)) {
                return Err(DecodeError::Inconsistent("versions of a listing are not ascending"));
            }
            versions.push(version);
        }
        Ok(Self { first, last, versions })
    }
}

/// What neighbours tell each other about the state of links: the body of one frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkState {
    /// In any order.
    pub parts: Vec<Part>,
}

impl LinkState {
    /// Encoded length in bytes.
    pub fn encoded_len(&self) -> usize {
        self.parts.iter().map(Part::encoded_len).sum()
    }

    /// The body as bytes.
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(self.encoded_len());
        self.parts.iter().for_each(|part| part.encode(&mut out));
        out.freeze()
    }

    /// Reads one body. Allocates at most about twice its length and the size of a part for each
    /// nine bytes.
    ///
    /// # Errors
    /// [`DecodeError`] for anything that [`Self::encode`] cannot have produced, and for bodies above
    /// [`MAX_LINK_STATE`].
    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        if bytes.len() > MAX_LINK_STATE {
            let (value, bound) = (bytes.len() as u64, MAX_LINK_STATE as u64);
            return Err(DecodeError::TooMany { what: "bytes of link state", value, bound });
        }
        let mut reader = Reader::new(bytes);
        let mut parts = Vec::new();
        while !reader.is_empty() {
            parts.push(Part::decode(&mut reader)?);
        }
        Ok(Self { parts })
    }
}
