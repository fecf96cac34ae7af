//! Every value that a frame or a beacon can hold.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bitcraps_types::{AckLevel, Epoch, Kbps, PeerId, Ratio, TrafficClass, TransportType};
use bitcraps_wire::{
    Alias, Beacon, Body, Carried, Data, Digest, EndAck, Frame, Hello, HopAck, HopHeader,
    Introduction, Invitation, Join, JoinReply, JoinVerdict, LinkClaim, LinkState, Listing,
    MAX_ACK_BLOCKS, MAX_ACK_WORDS, MAX_BEACON_ADDRESSES, MAX_INTERNET_ADDRESS,
    MAX_INVITATION_ADDRESSES, MAX_LISTING, MAX_MESSAGE, MAX_PAGES, MAX_PARTIALS, MAX_RANGES,
    MAX_RECORD_LINKS, MAX_RECORD_SEQUENCE, MAX_RESULTS, MAX_SUMMARY, MAX_VIA, Part, Partial,
    Presence, Probe, ProbeReply, Quality, Record, Relayed, RelayedKind, ResultEntry, Route,
    SignedBeacon, Status, StreamAck, Summary, Version, Want,
};
use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

fn peer() -> impl Strategy<Value = PeerId> {
    any::<[u8; 32]>().prop_map(PeerId::from_bytes)
}

fn epoch() -> impl Strategy<Value = Epoch> {
    any::<u64>().prop_map(Epoch)
}

fn header() -> impl Strategy<Value = HopHeader> {
    (any::<u8>(), any::<u32>(), any::<u32>(), epoch()).prop_map(
        |(ttl, deadline_ms, link_seq, receiver_epoch)| HopHeader {
            ttl,
            deadline_ms,
            link_seq,
            receiver_epoch,
        },
    )
}

fn hop_ack() -> impl Strategy<Value = HopAck> {
    any::<(u32, u32, u64, u32)>().prop_map(|(link_tag, largest, bitmap, dwell_us)| HopAck {
        link_tag,
        largest,
        bitmap,
        dwell_us,
    })
}

fn route() -> impl Strategy<Value = Route> {
    (peer(), peer(), epoch()).prop_map(|(source, destination, destination_epoch)| Route {
        source,
        destination,
        destination_epoch,
    })
}

fn payload() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        1 => Just(Bytes::new()),
        9 => vec(any::<u8>(), 1..200).prop_map(Bytes::from),
    ]
}

pub(crate) fn data() -> impl Strategy<Value = Data> {
    let place = (any::<u32>(), any::<u32>());
    // Young streams are where the lowest live sequence can lie at the very start.
    let sequence = prop_oneof![0..100_000_u64, any::<u64>()];
    let numbers = (any::<(u8, u16, u16)>(), epoch(), sequence);
    let levels = [AckLevel::Accepted, AckLevel::PeerAcked, AckLevel::Applied];
    (select(TrafficClass::ALL.to_vec()), select(levels.to_vec()), numbers, place, payload())
        .prop_map(|(class, ack, numbers, (before, after), payload)| {
            let ((generation, attempt, behind), source_epoch, sequence) = numbers;
            // An empty payload is an empty message; any other lies within its message.
            let room = (MAX_MESSAGE - payload.len()) as u32;
            let offset = if payload.is_empty() { 0 } else { before % (room + 1) };
            let rest = if payload.is_empty() { 0 } else { after % (room - offset + 1) };
            Data {
                class,
                ack,
                generation,
                attempt,
                source_epoch,
                sequence,
                behind_lowest_live: behind.min(u16::try_from(sequence).unwrap_or(u16::MAX)),
                total: offset + payload.len() as u32 + rest,
                offset,
                payload,
            }
        })
}

fn result_entry() -> impl Strategy<Value = ResultEntry> {
    let statuses = [
        Status::Applied,
        Status::Refused,
        Status::Late,
        Status::TooOld,
        Status::Unrecorded,
        Status::NotAdmitted,
        Status::NoRoom,
    ];
    (any::<u64>(), any::<u16>(), select(statuses.to_vec()))
        .prop_map(|(sequence, attempt, status)| ResultEntry { sequence, attempt, status })
}

fn partial() -> impl Strategy<Value = Partial> {
    let steps = vec((1..1_000_000_u32, 1..1_000_000_u32), 0..=MAX_RANGES);
    (any::<(u64, u8)>(), steps, any::<bool>()).prop_map(
        |((sequence, generation), steps, from_0)| {
            let mut at = 0;
            let ranges = steps.iter().enumerate().map(|(nth, (gap, len))| {
                let start = if nth == 0 && from_0 { 0 } else { at + gap };
                at = start + len;
                (start, at)
            });
            Partial { sequence, generation, ranges: ranges.collect() }
        },
    )
}

fn stream_ack() -> impl Strategy<Value = StreamAck> {
    let heard = (any::<u64>(), any::<u16>(), any::<u32>());
    let results = vec(result_entry(), 0..=MAX_RESULTS);
    let partials = vec(partial(), 0..=MAX_PARTIALS);
    let window = (any::<u64>(), any::<u64>(), vec(any::<u64>(), 0..=MAX_ACK_WORDS));
    (epoch(), window, heard, results, partials).prop_map(
        |(source_epoch, (cumulative, base, bitmap), heard, results, partials)| {
            let (echo_sequence, echo_attempt, dwell_us) = heard;
            StreamAck {
                class: TrafficClass::Realtime,
                source_epoch,
                cumulative,
                base: base.min(u64::MAX - 64 * bitmap.len() as u64),
                bitmap,
                echo_sequence,
                echo_attempt,
                dwell_us,
                results,
                partials,
            }
        },
    )
}

pub(crate) fn end_ack() -> impl Strategy<Value = EndAck> {
    let classes = subsequence(TrafficClass::ALL.to_vec(), 1..=MAX_ACK_BLOCKS).prop_shuffle();
    (classes, vec(stream_ack(), MAX_ACK_BLOCKS)).prop_map(|(classes, streams)| {
        let streams = classes.into_iter().zip(streams);
        let streams = streams.map(|(class, stream)| StreamAck { class, ..stream });
        EndAck { streams: streams.collect() }
    })
}

pub(crate) fn probe() -> impl Strategy<Value = Probe> {
    let padding = Probe::MIN_PADDING..1_200;
    (any::<u64>(), padding).prop_map(|(nonce, padding)| Probe { nonce, padding })
}

pub(crate) fn probe_reply() -> impl Strategy<Value = ProbeReply> {
    any::<(u64, u32)>().prop_map(|(nonce, dwell_us)| ProbeReply { nonce, dwell_us })
}

pub(crate) fn hello() -> impl Strategy<Value = Hello> {
    (epoch(), epoch(), any::<u64>(), 1..=u32::MAX, any::<u64>(), any::<Option<u64>>()).prop_map(
        |(epoch, memory, instance, link_tag, challenge, echo)| Hello {
            epoch,
            memory,
            instance,
            link_tag,
            challenge,
            echo,
        },
    )
}

fn join() -> impl Strategy<Value = Join> {
    any::<([u8; 8], [u8; 32])>().prop_map(|(invitation, proof)| Join { invitation, proof })
}

fn join_reply() -> impl Strategy<Value = JoinReply> {
    (any::<[u8; 8]>(), select(JoinVerdict::ALL.to_vec()))
        .prop_map(|(invitation, verdict)| JoinReply { invitation, verdict })
}

fn relayed() -> impl Strategy<Value = Relayed> {
    let kind = select(vec![RelayedKind::Handshake, RelayedKind::Sealed]);
    let via = vec(any::<u64>().prop_map(Alias), 0..=MAX_VIA);
    (kind, via, vec(any::<u8>(), 0..64)).prop_map(|(kind, via, payload)| Relayed {
        kind,
        via,
        payload: payload.into(),
    })
}

fn body() -> impl Strategy<Value = Body> {
    prop_oneof![
        Just(Body::Empty),
        data().prop_map(Body::Data),
        end_ack().prop_map(Body::EndAck),
        probe().prop_map(Body::Probe),
        probe_reply().prop_map(Body::ProbeReply),
        hello().prop_map(Body::Hello),
        join().prop_map(Body::Join),
        join_reply().prop_map(Body::JoinReply),
        vec(any::<u8>(), 0..64).prop_map(|state| Body::LinkState(state.into())),
        relayed().prop_map(Body::Relayed),
    ]
}

/// Every shape of frame, one tenth of each body.
pub(crate) fn frame() -> impl Strategy<Value = Frame> {
    let hop_ack = proptest::option::of(hop_ack());
    let parts = (header(), hop_ack, route(), any::<bool>(), body());
    parts.prop_map(|(header, hop_ack, route, routed, body)| {
        let routed = routed || matches!(body, Body::Relayed(_));
        Frame { header, hop_ack, route: routed.then_some(route), body }
    })
}

fn address() -> impl Strategy<Value = SocketAddr> {
    (any::<IpAddr>(), any::<u16>()).prop_map(|(ip, port)| SocketAddr::new(ip, port))
}

pub(crate) fn invitation() -> impl Strategy<Value = Invitation> {
    let lan = vec(address(), 0..=MAX_INVITATION_ADDRESSES);
    let internet = vec(b' '..=b'~', 1..=MAX_INTERNET_ADDRESS)
        .prop_map(|text| String::from_utf8_lossy(&text).into_owned());
    (peer(), any::<[u8; 16]>(), lan, proptest::option::of(internet))
        .prop_map(|(inviter, secret, lan, internet)| Invitation { inviter, secret, lan, internet })
}

pub(crate) fn signed_beacon() -> impl Strategy<Value = SignedBeacon> {
    let addresses = vec(address(), 0..=MAX_BEACON_ADDRESSES);
    let signature = (any::<[u8; 32]>(), any::<[u8; 32]>());
    (peer(), any::<u64>(), addresses, signature).prop_map(|(peer, sequence, addresses, (r, s))| {
        let mut signature = [0; 64];
        signature[..32].copy_from_slice(&r);
        signature[32..].copy_from_slice(&s);
        SignedBeacon { beacon: Beacon { peer, sequence, addresses }, signature }
    })
}

fn quality() -> impl Strategy<Value = Quality> {
    let numbers = (0..7_000_000_u64, 0.0..=1.0_f64, 1..=u32::MAX);
    (select(TransportType::ALL.to_vec()), numbers).prop_map(|(transport, (us, ratio, kbps))| {
        let (ratio, rate) = (Ratio::clamped(ratio), Kbps::at_least_one(kbps));
        Quality::new(transport, Duration::from_micros(us), ratio, rate)
    })
}

fn introduction() -> impl Strategy<Value = Introduction> {
    (peer(), epoch()).prop_map(|(key, epoch)| Introduction { key, epoch })
}

/// Below the alias that strategies give to links, so that no link leads to its origin.
fn alias() -> impl Strategy<Value = Alias> {
    (0..u64::MAX / 2).prop_map(Alias)
}

fn version() -> impl Strategy<Value = Version> {
    (alias(), 0..128_u8, 0..MAX_PAGES, 0..=MAX_RECORD_SEQUENCE)
        .prop_map(|(alias, epoch, page, sequence)| Version { alias, epoch, page, sequence })
}

fn record() -> impl Strategy<Value = Record> {
    let link = (u64::MAX / 2..=u64::MAX, quality(), any::<bool>());
    let signature = (any::<[u8; 32]>(), any::<[u8; 32]>());
    (version(), any::<u8>(), vec(link, 0..=MAX_RECORD_LINKS), signature).prop_map(
        |(version, base, links, (r, s))| {
            let base = base.min(u8::try_from(version.sequence).unwrap_or(u8::MAX));
            let mut seen = BTreeSet::new();
            let mut links: Vec<_> = links
                .into_iter()
                .map(|(neighbour, quality, gone)| {
                    let quality = match gone && base > 0 {
                        true => Quality::gone(quality.transport()),
                        false => quality,
                    };
                    LinkClaim { neighbour: Alias(neighbour), quality }
                })
                .filter(|link| seen.insert((link.neighbour, link.quality.transport())))
                .collect();
            links.sort_by_key(|link| (link.neighbour, link.quality.transport()));
            let mut signature = [0; 64];
            signature[..32].copy_from_slice(&r);
            signature[32..].copy_from_slice(&s);
            Record { version, base, links, signature }
        },
    )
}

fn part() -> impl Strategy<Value = Part> {
    let carried = (any::<u16>(), proptest::option::of(introduction()), record());
    let carried = carried.prop_map(|(age, introduction, mut record)| {
        if let Some(named) = introduction {
            record.version.epoch = Version::epoch_bits(named.epoch);
        }
        Carried { age, introduction, record }
    });
    let ranges = proptest::collection::btree_map(any::<u64>(), any::<u64>(), 1..=MAX_SUMMARY);
    let summary = (any::<u64>(), ranges).prop_map(|(first, ranges)| {
        let least = ranges.keys().next().map_or(0, |least| first.min(*least));
        let ranges = ranges.into_iter().map(|(last, print)| (Alias(last), print)).collect();
        Summary { first: Alias(least), ranges }
    });
    let listing = vec(version(), 0..=MAX_LISTING).prop_map(|mut versions| {
        versions.sort();
        versions.dedup_by_key(|version| (version.alias, version.page));
        let first = versions.first().map_or(Alias(3), |version| version.alias);
        let last = versions.last().map_or(Alias(3), |version| version.alias);
        Listing { first, last, versions }
    });
    let want = (alias(), 0..MAX_PAGES, any::<bool>());
    prop_oneof![
        (introduction(), any::<bool>()).prop_map(|(introduction, listed)| {
            Part::Presence(Presence { introduction, listed })
        }),
        any::<(u64, bool, bool)>().prop_map(|(root, pending, met)| Part::Digest(Digest {
            root,
            pending,
            met
        })),
        carried.prop_map(Part::Record),
        version().prop_map(Part::Have),
        want.prop_map(|(alias, page, introduce)| Part::Want(Want { alias, page, introduce })),
        summary.prop_map(Part::Summary),
        listing.prop_map(Part::Listing),
    ]
}

pub(crate) fn link_state() -> impl Strategy<Value = LinkState> {
    vec(part(), 0..5).prop_map(|parts| LinkState { parts })
}
