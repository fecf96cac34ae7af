//! Both sides of every bound.

use std::time::Duration;

use bitcraps_types::{AckLevel, Epoch, Kbps, PeerId, Ratio, TrafficClass, TransportType};
use bitcraps_wire::{
    Alias, Beacon, Body, Carried, Data, DecodeError, EndAck, Frame, Hello, HopHeader, Invitation,
    JoinReply, JoinVerdict, LinkClaim, LinkState, MAX_ACK_BLOCKS, MAX_ACK_WORDS,
    MAX_BEACON_ADDRESSES, MAX_INTERNET_ADDRESS, MAX_INVITATION_ADDRESSES, MAX_LINK_STATE,
    MAX_MESSAGE, MAX_PARTIALS, MAX_RANGES, MAX_RESULTS, NO_DEADLINE, Part, Partial, Probe,
    ProbeReply, Quality, Record, ResultEntry, SignedBeacon, Status, StreamAck, Version, Want, fuzz,
};
use bytes::Bytes;

fn framed(body: Body) -> Frame {
    let header =
        HopHeader { ttl: 1, deadline_ms: NO_DEADLINE, link_seq: 7, receiver_epoch: Epoch(3) };
    Frame { header, hop_ack: None, route: None, body }
}

fn data(total: u32, offset: u32, payload: &'static [u8]) -> Data {
    Data {
        class: TrafficClass::Critical,
        ack: AckLevel::PeerAcked,
        generation: 0,
        attempt: 1,
        source_epoch: Epoch(9),
        sequence: 5,
        behind_lowest_live: 0,
        total,
        offset,
        payload: Bytes::from_static(payload),
    }
}

fn decoded(data: Data) -> Result<(), DecodeError> {
    fuzz::frame(&framed(Body::Data(data)).encode()).map(drop)
}

fn stream(class: TrafficClass) -> StreamAck {
    StreamAck {
        class,
        source_epoch: Epoch(9),
        cumulative: 5,
        base: 6,
        bitmap: vec![1; MAX_ACK_WORDS],
        echo_sequence: 6,
        echo_attempt: 1,
        dwell_us: 40,
        results: vec![ResultEntry { sequence: 6, attempt: 1, status: Status::Late }; MAX_RESULTS],
        partials: vec![partial(MAX_RANGES); MAX_PARTIALS],
    }
}

fn partial(ranges: usize) -> Partial {
    let ranges = (0..ranges as u32).map(|nth| (10 * nth, 10 * nth + 9)).collect();
    Partial { sequence: 7, generation: 2, ranges }
}

fn acked(streams: Vec<StreamAck>) -> Vec<u8> {
    framed(Body::EndAck(EndAck { streams })).encode().to_vec()
}

fn too_many(what: &'static str, bound: usize) -> DecodeError {
    DecodeError::TooMany { what, value: bound as u64 + 1, bound: bound as u64 }
}

/// Where the parts of a frame with the one full `stream` begin.
mod at {
    use bitcraps_wire::{HopHeader, MAX_ACK_WORDS, MAX_RESULTS};

    pub(super) const STREAMS: usize = HopHeader::LEN;
    pub(super) const CLASS: usize = STREAMS + 1;
    pub(super) const BASE: usize = CLASS + 1 + 8 + 8;
    pub(super) const WORDS: usize = BASE + 8;
    pub(super) const RESULTS: usize = WORDS + 1 + 8 * MAX_ACK_WORDS + 8 + 2 + 4;
    pub(super) const STATUS: usize = RESULTS + 1 + 8 + 2;
    pub(super) const PARTIALS: usize = RESULTS + 1 + 11 * MAX_RESULTS;
    pub(super) const RANGES: usize = PARTIALS + 1 + 8 + 1;
}

#[test]
fn counts_of_an_end_ack_end_at_their_bounds() {
    let full = acked(TrafficClass::ALL.map(stream).to_vec());
    assert_eq!(fuzz::frame(&full).map(drop), Ok(()));
    let rows = [
        (at::STREAMS, "acked streams", MAX_ACK_BLOCKS),
        (at::WORDS, "ack bitmap", MAX_ACK_WORDS),
        (at::RESULTS, "ack results", MAX_RESULTS),
        (at::PARTIALS, "ack partials", MAX_PARTIALS),
        (at::RANGES, "received ranges", MAX_RANGES),
    ];
    for (at, what, bound) in rows {
        let mut bytes = full.clone();
        assert_eq!(usize::from(bytes[at]), bound, "{what}");
        bytes[at] += 1;
        assert_eq!(fuzz::frame(&bytes), Err(too_many(what, bound)));
        bytes[at] = u8::MAX;
        let (value, bound) = (255, bound as u64);
        assert_eq!(fuzz::frame(&bytes), Err(DecodeError::TooMany { what, value, bound }));
    }
}

#[test]
fn an_end_ack_names_each_class_once_and_one_at_least() {
    let none = acked(vec![]);
    let why = "an end ack names at least one stream";
    assert_eq!(fuzz::frame(&none), Err(DecodeError::Inconsistent(why)));
    let twice = acked(vec![stream(TrafficClass::Bulk), stream(TrafficClass::Bulk)]);
    let why = "an end ack names a class twice";
    assert_eq!(fuzz::frame(&twice), Err(DecodeError::Inconsistent(why)));
    let mut unknown = acked(vec![stream(TrafficClass::Bulk)]);
    unknown[at::CLASS] = 4;
    assert_eq!(fuzz::frame(&unknown), Err(DecodeError::Class(4)));
    let mut unknown = acked(vec![stream(TrafficClass::Bulk)]);
    unknown[at::STATUS] = 6;
    assert_eq!(fuzz::frame(&unknown).map(drop), Ok(()));
    unknown[at::STATUS] = 7;
    assert_eq!(fuzz::frame(&unknown), Err(DecodeError::Ack(7)));
}

#[test]
fn an_ack_bitmap_ends_at_the_last_sequence() {
    for words in 0..=MAX_ACK_WORDS {
        let bitmap = vec![0; words];
        let last = u64::MAX - 64 * words as u64;
        let fits = StreamAck { base: last, bitmap, ..stream(TrafficClass::Bulk) };
        let mut bytes = acked(vec![fits]);
        assert_eq!(fuzz::frame(&bytes).map(drop), Ok(()), "{words}");
        if words > 0 {
            bytes[at::BASE..at::WORDS].copy_from_slice(&(last + 1).to_be_bytes());
            let why = "ack bitmap reaches beyond the last sequence";
            assert_eq!(fuzz::frame(&bytes), Err(DecodeError::Inconsistent(why)), "{words}");
        }
    }
}

#[test]
fn received_ranges_are_ascending_apart_and_not_empty() {
    let good: [&[(u32, u32)]; 5] =
        [&[], &[(0, 1)], &[(0, u32::MAX)], &[(0, 5), (6, 7)], &[(1, 5), (u32::MAX - 1, u32::MAX)]];
    let bad: [&[(u32, u32)]; 6] = [
        &[(0, 0)],
        &[(5, 4)],
        &[(0, 5), (5, 7)],
        &[(0, 5), (4, 7)],
        &[(6, 7), (0, 5)],
        &[(0, 5), (6, 6)],
    ];
    let read = |ranges: &[(u32, u32)]| {
        let partials = vec![Partial { ranges: ranges.to_vec(), ..partial(0) }];
        let bytes = acked(vec![StreamAck { partials, ..stream(TrafficClass::Bulk) }]);
        fuzz::frame(&bytes).map(drop)
    };
    for ranges in good {
        assert_eq!(read(ranges), Ok(()), "{ranges:?}");
    }
    for ranges in bad {
        let why = "received ranges are not ascending and apart";
        assert_eq!(read(ranges), Err(DecodeError::Inconsistent(why)), "{ranges:?}");
    }
}

#[test]
fn a_message_ends_at_its_largest_length() {
    let most = MAX_MESSAGE as u32;
    assert_eq!(decoded(data(most, 0, b"x")), Ok(()));
    assert_eq!(decoded(data(most + 1, 0, b"x")), Err(too_many("message length", MAX_MESSAGE)));
    let (value, bound) = (1 << 30, MAX_MESSAGE as u64);
    let what = "message length";
    let refused = Err(DecodeError::TooMany { what, value, bound });
    assert_eq!(decoded(data(1 << 30, 0, b"x")), refused);
}

#[test]
fn a_fragment_lies_within_its_message() {
    let most = MAX_MESSAGE as u32;
    let range = |total, offset, len| Err(DecodeError::Range { offset, len, total });
    for (total, offset, payload, expected) in [
        (0, 0, &b""[..], Ok(())),
        (1, 0, b"", range(1, 0, 0)),
        (0, 1, b"", range(0, 1, 0)),
        (0, 0, b"x", range(0, 0, 1)),
        (3, 0, b"abc", Ok(())),
        (3, 1, b"abc", range(3, 1, 3)),
        (4, 1, b"abc", Ok(())),
        (2, 0, b"abc", range(2, 0, 3)),
        (most, most - 3, b"abc", Ok(())),
        (most, most - 2, b"abc", range(most, most - 2, 3)),
        (most, u32::MAX, b"abc", range(most, u32::MAX, 3)),
    ] {
        assert_eq!(decoded(data(total, offset, payload)), expected, "{total} {offset} {payload:?}");
    }
}

#[test]
fn the_lowest_live_sequence_is_a_sequence() {
    let behind = |sequence, behind_lowest_live| {
        decoded(Data { sequence, behind_lowest_live, ..data(1, 0, b"x") })
    };
    let why = DecodeError::Inconsistent("lowest live sequence lies below zero");
    assert_eq!(behind(0, 0), Ok(()));
    assert_eq!(behind(0, 1), Err(why));
    assert_eq!(behind(65_535, u16::MAX), Ok(()));
    assert_eq!(behind(65_534, u16::MAX), Err(why));
    assert_eq!(behind(u64::MAX, u16::MAX), Ok(()));
}

#[test]
fn codes_without_a_meaning_are_refused() {
    let bytes = framed(Body::Data(data(1, 0, b"x"))).encode();
    let with = |at: usize, value: u8| {
        let mut bytes = bytes.to_vec();
        bytes[at] = value;
        fuzz::frame(&bytes).map(drop)
    };
    for version in (0..=u8::MAX).filter(|version| *version != 1) {
        assert_eq!(with(0, version), Err(DecodeError::Version(version)));
    }
    for flags in 4..=u8::MAX {
        assert_eq!(with(1, flags), Err(DecodeError::Flags(flags)));
    }
    for kind in 10..=u8::MAX {
        assert_eq!(with(2, kind), Err(DecodeError::Kind(kind)));
    }
    for class in 0..=u8::MAX {
        let known = class < 4;
        let expected = if known { Ok(()) } else { Err(DecodeError::Class(class)) };
        assert_eq!(with(HopHeader::LEN, class), expected);
    }
    for ack in 0..=u8::MAX {
        let known = ack < 3;
        let expected = if known { Ok(()) } else { Err(DecodeError::Ack(ack)) };
        assert_eq!(with(HopHeader::LEN + 1, ack), expected);
    }
}

#[test]
fn a_probe_is_no_smaller_than_its_reply_and_its_padding_is_counted() {
    let probe = |padding: usize| {
        let mut bytes = framed(Body::Probe(Probe { nonce: 1, padding: 0 })).encode().to_vec();
        bytes.resize(bytes.len() + padding, 0);
        fuzz::frame(&bytes).map(|frame| frame.body)
    };
    let small = DecodeError::Inconsistent("a probe is smaller than its reply");
    let least = usize::from(Probe::MIN_PADDING);
    assert_eq!(probe(least - 1), Err(small));
    assert_eq!(probe(least), Ok(Body::Probe(Probe { nonce: 1, padding: Probe::MIN_PADDING })));
    assert_eq!(Probe::LEN + least, ProbeReply::LEN);
    let most = usize::from(u16::MAX);
    assert_eq!(probe(most), Ok(Body::Probe(Probe { nonce: 1, padding: u16::MAX })));
    assert_eq!(probe(most + 1), Err(too_many("probe padding", most)));
}

#[test]
fn a_hello_names_its_link_and_echoes_or_does_not() {
    let hello = Hello {
        epoch: Epoch(1),
        memory: Epoch(1),
        instance: 2,
        link_tag: 1,
        challenge: 5,
        echo: None,
    };
    let bytes = framed(Body::Hello(hello)).encode();
    let tag = HopHeader::LEN + 8 + 8 + 8;
    let flag = tag + 4 + 8;
    let with = |changes: &[(usize, u8)]| {
        let mut bytes = bytes.to_vec();
        changes.iter().for_each(|(at, value)| bytes[*at] = *value);
        fuzz::frame(&bytes).map(|frame| frame.body)
    };
    let echoed = |echo| Ok(Body::Hello(Hello { echo, ..hello }));
    assert_eq!(with(&[]), echoed(None));
    assert_eq!(with(&[(flag, 1)]), echoed(Some(0)));
    assert_eq!(with(&[(flag, 1), (flag + 8, 9)]), echoed(Some(9)));
    let why = Err(DecodeError::Inconsistent("a hello without echo carries one"));
    assert_eq!(with(&[(flag + 8, 9)]), why);
    assert_eq!(with(&[(flag, 2)]), why);
    let why = Err(DecodeError::Inconsistent("link tag 0 means no link"));
    assert_eq!(with(&[(tag + 3, 0)]), why);
}

#[test]
fn a_beacon_holds_its_most_addresses_and_no_more() {
    let addresses = |count: usize| {
        let port = |nth| ([127, 0, 0, 1], nth as u16).into();
        let beacon = Beacon {
            peer: PeerId::from_bytes([7; 32]),
            sequence: 1,
            addresses: (0..count).map(port).collect(),
        };
        SignedBeacon { beacon, signature: [9; 64] }
    };
    let full = addresses(MAX_BEACON_ADDRESSES);
    let bytes = full.encode().to_vec();
    assert_eq!(fuzz::beacon(&bytes), Ok(full));
    assert_eq!(addresses(MAX_BEACON_ADDRESSES + 1).encode(), bytes, "the ninth is left out");
    let count = 4 + 32 + 8;
    let with = |at: usize, value: u8| {
        let mut bytes = bytes.clone();
        bytes[at] = value;
        fuzz::beacon(&bytes).map(drop)
    };
    assert_eq!(with(count, 9), Err(too_many("beacon addresses", MAX_BEACON_ADDRESSES)));
    let why = Err(DecodeError::Inconsistent("address family is neither 4 nor 6"));
    assert_eq!(with(count + 1, 5), why);
    assert_eq!(with(0, b'B'), Err(DecodeError::Magic));
}

#[test]
fn verdicts_that_nobody_gives_are_refused() {
    let reply = JoinReply { invitation: [5; 8], verdict: JoinVerdict::Admitted };
    let mut bytes = framed(Body::JoinReply(reply)).encode().to_vec();
    let last = bytes.len() - 1;
    for verdict in 0..=u8::MAX {
        bytes[last] = verdict;
        let read = fuzz::frame(&bytes).map(|frame| frame.body);
        let expected = match JoinVerdict::ALL.get(usize::from(verdict)) {
            Some(verdict) => Ok(Body::JoinReply(JoinReply { verdict: *verdict, ..reply })),
            None => Err(DecodeError::Verdict(verdict)),
        };
        assert_eq!(read, expected);
    }
}

#[test]
fn a_frame_carries_as_much_link_state_as_a_body_may_have() {
    let of = |len: usize| framed(Body::LinkState(vec![7; len].into()));
    assert_eq!(fuzz::frame(&of(MAX_LINK_STATE).encode()), Ok(of(MAX_LINK_STATE)));
    let refused = fuzz::frame(&of(MAX_LINK_STATE + 1).encode());
    assert_eq!(refused, Err(too_many_of(MAX_LINK_STATE + 1)));
}

fn too_many_of(len: usize) -> DecodeError {
    let (value, bound) = (len as u64, MAX_LINK_STATE as u64);
    DecodeError::TooMany { what: "bytes of link state", value, bound }
}

#[test]
fn an_invitation_holds_its_most_addresses_and_text_that_prints() {
    let address = |nth: usize| ([127, 0, 0, 1], nth as u16).into();
    let invitation = |lan: usize, internet: usize| Invitation {
        inviter: PeerId::from_bytes([7; 32]),
        secret: [8; 16],
        lan: (0..lan).map(address).collect(),
        internet: (internet > 0).then(|| "a".repeat(internet)),
    };
    let full = invitation(MAX_INVITATION_ADDRESSES, MAX_INTERNET_ADDRESS);
    let bytes = full.encode().to_vec();
    assert_eq!(fuzz::invitation(&bytes), Ok(full.clone()));
    let beyond = invitation(MAX_INVITATION_ADDRESSES + 1, MAX_INTERNET_ADDRESS);
    assert_eq!(beyond.encode(), bytes, "the fifth is left out");
    let longer = invitation(MAX_INVITATION_ADDRESSES, MAX_INTERNET_ADDRESS + 1);
    assert_eq!(longer.encode(), invitation(MAX_INVITATION_ADDRESSES, 0).encode());
    let count = 1 + 32 + 16;
    let with = |at: usize, value: u8| {
        let mut bytes = bytes.clone();
        bytes[at] = value;
        fuzz::invitation(&bytes).map(drop)
    };
    let most = MAX_INVITATION_ADDRESSES;
    assert_eq!(with(count, most as u8 + 1), Err(too_many("invitation addresses", most)));
    assert_eq!(with(0, 2), Err(DecodeError::Version(2)));
    let last = bytes.len() - 1;
    let why = Err(DecodeError::Inconsistent("an internet address is not printable"));
    for (value, expected) in [(b' ', Ok(())), (b'~', Ok(())), (0x1F, why), (0x7F, why)] {
        assert_eq!(with(last, value), expected, "{value:#x}");
    }
    assert!(!format!("{full:?}").contains('8'), "the secret is not shown");
}

fn record(sequence: u32, base: u8, neighbour: u64, quality: Quality) -> Result<(), DecodeError> {
    let version = Version { alias: Alias(5), epoch: 0, page: 0, sequence };
    let links = vec![LinkClaim { neighbour: Alias(neighbour), quality }];
    let record = Record { version, base, links, signature: [1; 64] };
    let part = Part::Record(Carried { age: 0, introduction: None, record });
    fuzz::link_state(&LinkState { parts: vec![part] }.encode()).map(drop)
}

#[test]
fn a_record_tells_of_links_of_its_own_that_are_there() {
    let gone = Quality::gone(TransportType::Bluetooth);
    let rate = Kbps::at_least_one(8);
    let there = Quality::new(TransportType::Bluetooth, Duration::ZERO, Ratio::ZERO, rate);
    let refused = |why| Err(DecodeError::Inconsistent(why));
    assert_eq!(record(3, 0, 6, there), Ok(()));
    assert_eq!(record(3, 0, 6, gone), refused("a full record tells of a link that is gone"));
    assert_eq!(record(3, 1, 6, gone), Ok(()));
    assert_eq!(record(3, 3, 6, there), Ok(()));
    assert_eq!(record(3, 4, 6, there), refused("a delta changes a record below zero"));
    assert_eq!(record(3, 0, 5, there), refused("a link leads to its origin"));
}

#[test]
fn a_link_state_body_ends_at_its_most_bytes() {
    let want = |page| Part::Want(Want { alias: Alias(1), page, introduce: false });
    let most = MAX_LINK_STATE / want(0).encoded_len();
    let body = |count: usize| LinkState { parts: vec![want(0); count] }.encode();
    assert_eq!(body(most).len(), MAX_LINK_STATE);
    assert_eq!(fuzz::link_state(&body(most)).map(drop), Ok(()));
    let (value, bound) = (MAX_LINK_STATE as u64 + 10, MAX_LINK_STATE as u64);
    let refused = Err(DecodeError::TooMany { what: "bytes of link state", value, bound });
    assert_eq!(fuzz::link_state(&body(most + 1)).map(drop), refused);
    assert_eq!(fuzz::link_state(&[]).map(|state| state.parts), Ok(Vec::new()));
}
