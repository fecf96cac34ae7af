//! What a node answers to a Wi-Fi Direct service discovery: a Bonjour TXT record of the service
//! `_bitcraps._udp` with a hash of its key (Wi-Fi P2P Technical Specification 1.7, annex D).

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use bitcraps_types::PeerId;

/// `_bitcraps` under `_udp.local.` (the specification's compressed name 0xc01c), TXT, version 1.
const QUERY: [u8; 15] = *b"\x09_bitcraps\xc0\x1c\x00\x10\x01";

/// Before the hash in the record.
const KEY: &[u8] = b"k=";

/// Digits of a hash.
const DIGITS: usize = 32;

/// Protocol number of Bonjour.
const BONJOUR: u8 = 1;

/// Tells the request of this program from others'; the answer repeats it.
const TRANSACTION: u8 = 0xbc;

/// Most strings read of one record: ours has one.
const MAX_STRINGS: usize = 8;

/// What a node is called in service discovery: 128 bits of a hash of its key, so that somebody who
/// does not know the key learns nothing but that the same node is there again. A claim that only the
/// handshake of a link proves.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(pub [u8; 16]);

impl Tag {
    /// The tag of `peer`.
    pub fn of(peer: &PeerId) -> Self {
        let hash = digest(&SHA256, &[b"bitcraps wifi direct", peer.as_bytes().as_slice()].concat());
        let mut tag = [0; 16];
        tag.copy_from_slice(&hash.as_ref()[..16]);
        Self(tag)
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tag({self})")
    }
}

/// What the answer below is given to.
pub(super) fn query() -> Vec<u8> {
    QUERY.to_vec()
}

/// What the node `tag` answers: one string, `k=` and the tag's digits.
pub(super) fn answer(tag: Tag) -> Vec<u8> {
    let text = [KEY, tag.to_string().as_bytes()].concat();
    let length = (KEY.len() + DIGITS) as u8; // 34
    [&[length], text.as_slice()].concat()
}

/// The request for [`answer`], as the supplicant sends it.
pub(super) fn request() -> Vec<u8> {
    let length = (2 + QUERY.len()) as u16; // 17
    [length.to_le_bytes().as_slice(), &[BONJOUR, TRANSACTION], &QUERY].concat()
}

/// The tag in what a device answered; `None` when it is no node, or says nonsense. Reads whatever
/// anybody sends, in O(n), and allocates nothing.
pub(super) fn answered(mut tlvs: &[u8]) -> Option<Tag> {
    while let Some((length, rest)) = tlvs.split_first_chunk() {
        let (tlv, next) = rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
        if let [BONJOUR, TRANSACTION, 0, data @ ..] = tlv
            && let Some(record) = data.strip_prefix(&QUERY)
            && let Some(tag) = record_tag(record)
        {
            return Some(tag);
        }
        tlvs = next;
    }
    None
}

fn record_tag(mut record: &[u8]) -> Option<Tag> {
    for _ in 0..MAX_STRINGS {
        let (length, rest) = record.split_first()?;
        let (text, next) = rest.split_at_checked(usize::from(*length))?;
        let digits = text.strip_prefix(KEY).filter(|digits| digits.len() == DIGITS);
        if let Some(digits) = digits
            && digits.iter().all(u8::is_ascii_hexdigit)
        {
            let digits = str::from_utf8(digits).ok()?;
            return u128::from_str_radix(digits, 16).ok().map(|tag| Tag(tag.to_be_bytes()));
        }
        record = next;
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a supplicant makes of the record: length, protocol, transaction, status, query, answer.
    fn told(status: u8, record: &[u8]) -> Vec<u8> {
        let data = [&[BONJOUR, TRANSACTION, status], QUERY.as_slice(), record].concat();
        [(data.len() as u16).to_le_bytes().as_slice(), &data].concat()
    }

    #[test]
    fn the_request_is_what_the_specification_says() {
        let expected = b"\x11\x00\x01\xbc\x09_bitcraps\xc0\x1c\x00\x10\x01";
        assert_eq!(request(), expected);
        assert_eq!(query(), expected[4..]);
        let tag = Tag([0xab; 16]);
        assert_eq!(answer(tag), b"\x22k=abababababababababababababababab");
    }

    #[test]
    fn a_tag_is_a_hash_of_the_key_of_its_own_kind() {
        let (one, other) = (PeerId::from_bytes([1; 32]), PeerId::from_bytes([2; 32]));
        assert_eq!(Tag::of(&one), Tag::of(&one));
        assert_ne!(Tag::of(&one), Tag::of(&other));
        let expected = digest(&SHA256, &[b"bitcraps wifi direct".as_slice(), &[1; 32]].concat());
        assert_eq!(Tag::of(&one).0, expected.as_ref()[..16]);
    }

    #[test]
    fn the_tag_is_found_among_other_answers_and_strings() {
        let tag = Tag([7; 16]);
        let own = told(0, &answer(tag));
        assert_eq!(answered(&own), Some(tag));
        let other = [3, 0, 2, TRANSACTION, 0];
        assert_eq!(answered(&[&other, own.as_slice()].concat()), Some(tag));
        let more = [b"\x03v=1".as_slice(), &answer(tag)].concat();
        assert_eq!(answered(&told(0, &more)), Some(tag));
        assert_eq!(answered(&told(0, &[[0; 7].as_slice(), &answer(tag)].concat())), Some(tag));
        assert_eq!(answered(&told(0, &[[0; 8].as_slice(), &answer(tag)].concat())), None);
    }

    #[test]
    fn what_is_no_answer_of_a_node_is_none() {
        let good = told(0, &answer(Tag([7; 16])));
        assert_eq!(answered(&told(1, &answer(Tag([7; 16])))), None, "refused");
        for at in 0..good.len() {
            assert_eq!(answered(&good[..at]), None, "cut off at {at}");
        }
        for at in [2, 3, 5, 18, 20, 22, 53] {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            assert_eq!(answered(&bad), None, "changed at {at}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(answered(&bytes), None);
            answered(&told(0, &bytes));
        }

        #[test]
        fn every_tag_comes_back(tag in any::<[u8; 16]>()) {
            prop_assert_eq!(answered(&told(0, &answer(Tag(tag)))), Some(Tag(tag)));
        }
    }
}
