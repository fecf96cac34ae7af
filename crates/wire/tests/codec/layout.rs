//! The bytes themselves: a change here is a new version of the protocol.

use std::time::Duration;

use bitcraps_types::{AckLevel, Epoch, Kbps, PeerId, Ratio, TrafficClass, TransportType};
use bitcraps_wire::{
    Alias, Beacon, Body, Carried, Data, Digest, EndAck, Frame, Hello, HopAck, HopHeader,
    Introduction, Invitation, Join, JoinReply, JoinVerdict, LinkClaim, LinkState, Listing, Part,
    Partial, Presence, Probe, ProbeReply, Quality, Record, ResultEntry, Route, SignedBeacon,
    Status, StreamAck, Summary, VERSION, Version, Want,
};
use bytes::Bytes;

fn frame(body: Body) -> Frame {
    let header = HopHeader {
        ttl: 0x0A,
        deadline_ms: 0x0B0C_0D0E,
        link_seq: 0x1112_1314,
        receiver_epoch: Epoch(0x2122_2324_2526_2728),
    };
    Frame { header, hop_ack: None, route: None, body }
}

const HEAD: &str = "0a 0b0c0d0e 11121314 2122232425262728";

fn hex(bytes: &Bytes) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn expected(parts: &[&str]) -> String {
    parts.concat().replace(' ', "")
}

#[test]
fn the_header_is_followed_by_hop_ack_and_route() {
    assert_eq!(VERSION, 1);
    assert_eq!(hex(&frame(Body::Empty).encode()), expected(&["01 00 00", HEAD]));
    let hop_ack = HopAck { link_tag: 1, largest: 2, bitmap: 3, dwell_us: 4 };
    let route = Route {
        source: PeerId::from_bytes([0xAA; 32]),
        destination: PeerId::from_bytes([0xBB; 32]),
        destination_epoch: Epoch(5),
    };
    let ack = "00000001 00000002 0000000000000003 00000004";
    let way = [&"aa".repeat(32), &"bb".repeat(32), "0000000000000005"].concat();
    let empty = frame(Body::Empty);
    let acking = Frame { hop_ack: Some(hop_ack), ..empty.clone() };
    assert_eq!(hex(&acking.encode()), expected(&["01 01 00", HEAD, ack]));
    let routed = Frame { route: Some(route), ..empty };
    assert_eq!(hex(&routed.encode()), expected(&["01 02 00", HEAD, &way]));
    let both = Frame { route: Some(route), ..acking };
    assert_eq!(hex(&both.encode()), expected(&["01 03 00", HEAD, ack, &way]));
    let lens = [HopHeader::LEN, HopHeader::LEN + HopAck::LEN + Route::LEN];
    assert_eq!([frame(Body::Empty).encode().len(), both.encode().len()], lens);
}

#[test]
fn data_is_laid_out_as_ever() {
    let data = Data {
        class: TrafficClass::Bulk,
        ack: AckLevel::Applied,
        generation: 4,
        attempt: 5,
        source_epoch: Epoch(6),
        sequence: 0x0100,
        behind_lowest_live: 7,
        total: 9,
        offset: 6,
        payload: Bytes::from_static(b"abc"),
    };
    let bytes = frame(Body::Data(data)).encode();
    let body = "03 02 04 0005 0000000000000006 0000000000000100 0007 00000009 00000006 616263";
    assert_eq!(hex(&bytes), expected(&["01 00 01", HEAD, body]));
    assert_eq!(bytes.len(), Frame::DATA_OVERHEAD + 3);
}

#[test]
fn an_end_ack_is_laid_out_as_ever() {
    let stream = StreamAck {
        class: TrafficClass::Critical,
        source_epoch: Epoch(2),
        cumulative: 3,
        base: 4,
        bitmap: vec![0xF0, 0x0F],
        echo_sequence: 5,
        echo_attempt: 6,
        dwell_us: 7,
        results: vec![ResultEntry { sequence: 8, attempt: 9, status: Status::TooOld }],
        partials: vec![Partial { sequence: 10, generation: 11, ranges: vec![(12, 13), (14, 15)] }],
    };
    let body = "01 01 0000000000000002 0000000000000003 0000000000000004 \
                02 00000000000000f0 000000000000000f 0000000000000005 0006 00000007 \
                01 0000000000000008 0009 03 \
                01 000000000000000a 0b 02 0000000c 0000000d 0000000e 0000000f";
    let bytes = frame(Body::EndAck(EndAck { streams: vec![stream] })).encode();
    assert_eq!(hex(&bytes), expected(&["01 00 02", HEAD, body]));
}

#[test]
fn probes_and_hellos_are_laid_out_as_ever() {
    let probe = Body::Probe(Probe { nonce: 1, padding: 5 });
    let reply = Body::ProbeReply(ProbeReply { nonce: 1, dwell_us: 2 });
    let hello = Hello {
        epoch: Epoch(1),
        memory: Epoch(9),
        instance: 8,
        link_tag: 2,
        challenge: 3,
        echo: None,
    };
    let known = "0000000000000001 0000000000000009 0000000000000008 00000002 0000000000000003";
    for (body, kind, expected_body) in [
        (probe, "03", "0000000000000001 0000000000".to_owned()),
        (reply, "04", "0000000000000001 00000002".to_owned()),
        (Body::Hello(hello), "05", format!("{known} 00 0000000000000000")),
        (
            Body::Hello(Hello { echo: Some(4), ..hello }),
            "05",
            format!("{known} 01 0000000000000004"),
        ),
    ] {
        let bytes = frame(body).encode();
        assert_eq!(hex(&bytes), expected(&["01 00", kind, HEAD, &expected_body]));
    }
}

#[test]
fn joins_are_laid_out_as_ever() {
    let join = Join { invitation: [0xAB; 8], proof: [0xCD; 32] };
    let body = ["ab".repeat(8), "cd".repeat(32)].concat();
    assert_eq!(hex(&frame(Body::Join(join)).encode()), expected(&["01 00 06", HEAD, &body]));
    for (at, verdict) in JoinVerdict::ALL.into_iter().enumerate() {
        let reply = JoinReply { invitation: [0xAB; 8], verdict };
        let body = format!("{} {at:02x}", "ab".repeat(8));
        let bytes = frame(Body::JoinReply(reply)).encode();
        assert_eq!(hex(&bytes), expected(&["01 00 07", HEAD, &body]));
    }
}

#[test]
fn an_invitation_is_laid_out_as_ever() {
    let invitation = Invitation {
        inviter: PeerId::from_bytes([0xEE; 32]),
        secret: [0x77; 16],
        lan: vec![([192, 0, 2, 1], 0x1234).into()],
        internet: Some("ab c".to_owned()),
    };
    let said = ["01", &"ee".repeat(32), &"77".repeat(16), "01 04 c0000201 1234", "04 61622063"];
    assert_eq!(hex(&invitation.encode()), expected(&said));
    let bare = Invitation { lan: Vec::new(), internet: None, ..invitation };
    let said = ["01", &"ee".repeat(32), &"77".repeat(16), "00 00"];
    assert_eq!(hex(&bare.encode()), expected(&said));
}

#[test]
fn a_beacon_is_laid_out_as_ever() {
    let v4 = ([192, 0, 2, 1], 0x1234).into();
    let v6 = ([0x2001, 0xDB8, 0, 0, 0, 0, 0, 1], 0x5678).into();
    let beacon =
        Beacon { peer: PeerId::from_bytes([0xCC; 32]), sequence: 3, addresses: vec![v4, v6] };
    let said = expected(&[
        "62636231",
        &"cc".repeat(32),
        "0000000000000003 02 04 c0000201 1234 06 20010db8000000000000000000000001 5678",
    ]);
    assert_eq!(hex(&beacon.signed_bytes()), said);
    let signed = SignedBeacon { beacon, signature: [0xDD; 64] };
    assert_eq!(hex(&signed.encode()), said + &"dd".repeat(64));
}

const BLUETOOTH: &str = "1ff4";

/// 21.5 ms, 0.999, 312 kbit/s over Bluetooth.
fn bluetooth() -> Quality {
    let (latency, rate) = (Duration::from_millis(20), Kbps::at_least_one(400));
    Quality::new(TransportType::Bluetooth, latency, Ratio::ONE, rate)
}

fn record(sequence: u32, base: u8, links: Vec<LinkClaim>) -> Record {
    let version = Version { alias: Alias(0x0A0B), epoch: 5, page: 2, sequence };
    Record { version, base, links, signature: [0xDD; 64] }
}

#[test]
fn records_are_laid_out_as_ever() {
    let link = |neighbour| LinkClaim { neighbour: Alias(neighbour), quality: bluetooth() };
    let origin = Introduction { key: PeerId::from_bytes([0xCC; 32]), epoch: Epoch(0x0105) };
    let delta = record(9, 3, vec![link(7)]);
    let content = expected(&["0000000000000a0b 20000009 85 01 03 0000000000000007", BLUETOOTH]);
    let label: String = b"bitcraps link state 1".iter().map(|b| format!("{b:02x}")).collect();
    let who = ["cc".repeat(32).as_str(), "0000000000000105"].concat();
    assert_eq!(hex(&delta.signed_bytes(&origin)), [label, who.clone(), content.clone()].concat());
    let carried = Carried { age: 60, introduction: None, record: delta.clone() };
    let signature = "dd".repeat(64);
    let said = |parts: Vec<Part>| hex(&LinkState { parts }.encode());
    let plain = expected(&["02 003c", &content, &signature]);
    assert_eq!(said(vec![Part::Record(carried.clone())]), plain);
    let introduced = Carried { introduction: Some(origin), ..carried };
    let with = expected(&["03 003c", &who, &content, &signature]);
    assert_eq!(said(vec![Part::Record(introduced)]), with);
    assert_eq!(delta.encoded_len(), 89);
    assert_eq!(record(9, 0, (10..18).map(link).collect()).encoded_len(), 159);
    assert_eq!((Record::MIN_LEN, Record::MAX_LEN), (79, 159));
    let gone = Quality::gone(TransportType::Internet);
    let gone = record(9, 1, vec![LinkClaim { neighbour: Alias(1), quality: gone }]);
    let carried = Carried { age: 0, introduction: None, record: gone };
    let content = "02 0000 0000000000000a0b 20000009 85 01 01 0000000000000001 8000";
    assert_eq!(said(vec![Part::Record(carried)]), expected(&[content, &signature]));
}

#[test]
fn parts_of_link_state_are_laid_out_as_ever() {
    let version = Version { alias: Alias(1), epoch: 127, page: 7, sequence: 0x0FFF_FFFF };
    let introduction = Introduction { key: PeerId::from_bytes([0xCC; 32]), epoch: Epoch(2) };
    let presence = Part::Presence(Presence { introduction, listed: true });
    let digest = |pending, met| Part::Digest(Digest { root: 0x0102, pending, met });
    let want = |introduce| Part::Want(Want { alias: Alias(3), page: 6, introduce });
    let ranges = vec![(Alias(5), 6), (Alias(u64::MAX), 7)];
    let listing = Listing { first: Alias(0), last: Alias(9), versions: vec![version] };
    for (part, bytes) in [
        (presence, ["00", &"cc".repeat(32), "0000000000000002 01"].concat()),
        (digest(true, false), "01 0000000000000102 01".to_owned()),
        (digest(false, true), "01 0000000000000102 02".to_owned()),
        (Part::Have(version), "04 0000000000000001 7fffffff 7f".to_owned()),
        (want(false), "05 0000000000000003 06".to_owned()),
        (want(true), "05 0000000000000003 86".to_owned()),
        (
            Part::Summary(Summary { first: Alias(4), ranges }),
            "06 0000000000000004 02 0000000000000005 0000000000000006 ffffffffffffffff \
             0000000000000007"
                .to_owned(),
        ),
        (
            Part::Listing(listing),
            "07 0000000000000000 0000000000000009 01 0000000000000001 7fffffff 7f".to_owned(),
        ),
    ] {
        assert_eq!(hex(&LinkState { parts: vec![part] }.encode()), expected(&[&bytes]));
    }
}
