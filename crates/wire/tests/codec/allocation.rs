//! What a decoder allocates is bounded by what it was given, whatever the input claims.

use allocation_counter::{AllocationInfo, measure};
use bitcraps_types::{AckLevel, Epoch, TrafficClass};
use bitcraps_wire::{Body, Data, Frame, HopHeader, MAX_MESSAGE, SignedBeacon};
use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::strategies;

/// Bytes at one time: no vector is larger than its bound allows, and one that grows holds its
/// former self while it is copied.
fn most(len: usize) -> u64 {
    256 + 8 * len as u64
}

fn decode_frame(bytes: &Bytes) -> AllocationInfo {
    let bytes = bytes.clone();
    measure(|| drop(Frame::decode(bytes)))
}

fn decode_beacon(bytes: &Bytes) -> AllocationInfo {
    let bytes = bytes.clone();
    measure(|| drop(SignedBeacon::decode(bytes)))
}

fn data(total: u32, payload: Bytes) -> Bytes {
    let header = HopHeader { ttl: 1, deadline_ms: 0, link_seq: 1, receiver_epoch: Epoch(1) };
    let body = Body::Data(Data {
        class: TrafficClass::Bulk,
        ack: AckLevel::PeerAcked,
        generation: 0,
        attempt: 1,
        source_epoch: Epoch(1),
        sequence: 1,
        behind_lowest_live: 0,
        total,
        offset: 0,
        payload,
    });
    Frame { header, hop_ack: None, route: None, body }.encode()
}

#[test]
fn data_is_decoded_without_an_allocation_whatever_its_length() {
    let whole = data(MAX_MESSAGE as u32, vec![7; MAX_MESSAGE].into());
    assert_eq!(decode_frame(&whole).count_total, 0);
    for total in [1, 1 << 30, u32::MAX] {
        let small = data(total, Bytes::from_static(b"x"));
        assert_eq!(decode_frame(&small).count_total, 0, "a message of {total} bytes is announced");
    }
}

proptest! {
    #[test]
    fn a_frame_allocates_no_more_than_it_holds(frame in strategies::frame(), cut in any::<usize>()) {
        let bytes = frame.encode();
        let bytes = bytes.slice(..cut % (bytes.len() + 1));
        let used = decode_frame(&bytes);
        prop_assert!(used.bytes_max <= most(bytes.len()), "{used:?} for {} bytes", bytes.len());
        prop_assert_eq!(used.bytes_current, 0);
    }

    #[test]
    fn noise_allocates_no_more_than_it_holds(noise in vec(any::<u8>(), 0..600), flags in 0..4_u8) {
        for kind in 0..6 {
            let bytes = Bytes::from([&[1, flags, kind][..], &noise].concat());
            let used = decode_frame(&bytes);
            prop_assert!(used.bytes_max <= most(bytes.len()), "{used:?} for {} bytes", bytes.len());
        }
        let bytes = Bytes::from([b"bcb1", noise.as_slice()].concat());
        let used = decode_beacon(&bytes);
        prop_assert!(used.bytes_max <= most(bytes.len()), "{used:?} for {} bytes", bytes.len());
    }
}
