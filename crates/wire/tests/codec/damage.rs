//! Frames and beacons that were cut, lengthened, flipped or never were any.

use bitcraps_wire::{Body, Data, DecodeError, Frame, Probe, Relayed, fuzz};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::strategies;

/// What decoding says about the first `len` bytes of `frame`. Only the bodies whose length is that
/// of the frame can be shorter and still make sense.
fn cut(frame: &Frame, len: usize) -> Result<Frame, Option<DecodeError>> {
    let with = |body| Frame { body, ..frame.clone() };
    match &frame.body {
        Body::Data(data) => {
            let head = frame.encoded_len() - data.payload.len();
            match len.checked_sub(head) {
                None => Err(None),
                Some(0) => {
                    let (offset, total) = (data.offset, data.total);
                    Err(Some(DecodeError::Range { offset, len: 0, total }))
                }
                Some(kept) => {
                    let payload = data.payload.slice(..kept);
                    Ok(with(Body::Data(Data { payload, ..data.clone() })))
                }
            }
        }
        Body::Probe(probe) => {
            let head = frame.encoded_len() - usize::from(probe.padding);
            match len.checked_sub(head).map(|kept| kept as u16) {
                None => Err(None),
                Some(kept) if kept < Probe::MIN_PADDING => {
                    let why = "a probe is smaller than its reply";
                    Err(Some(DecodeError::Inconsistent(why)))
                }
                Some(padding) => Ok(with(Body::Probe(Probe { padding, ..*probe }))),
            }
        }
        Body::Empty
        | Body::EndAck(_)
        | Body::ProbeReply(_)
        | Body::Hello(_)
        | Body::Join(_)
        | Body::JoinReply(_) => Err(None),
        Body::Relayed(relayed) => {
            match len.checked_sub(frame.encoded_len() - relayed.payload.len()) {
                Some(kept) => {
                    let payload = relayed.payload.slice(..kept);
                    Ok(with(Body::Relayed(Relayed { payload, ..relayed.clone() })))
                }
                None => Err(None),
            }
        }
        Body::LinkState(state) => match len.checked_sub(frame.encoded_len() - state.len()) {
            Some(kept) => Ok(with(Body::LinkState(state.slice(..kept)))),
            None => Err(None),
        },
    }
}

proptest! {
    #[test]
    fn a_cut_frame_is_refused_or_shorter(frame in strategies::frame()) {
        let bytes = frame.encode();
        for len in 0..bytes.len() {
            let truncated = |error| matches!(error, DecodeError::Truncated { .. });
            match (fuzz::frame(&bytes[..len]), cut(&frame, len)) {
                (Err(error), Err(None)) => prop_assert!(truncated(error), "{len}: {error}"),
                (Err(error), Err(Some(expected))) => prop_assert_eq!(error, expected),
                (Ok(read), Ok(expected)) => prop_assert_eq!(read, expected),
                (read, expected) => prop_assert!(false, "{len}: {read:?}, expected {expected:?}"),
            }
        }
    }

    #[test]
    fn a_cut_beacon_is_refused(signed in strategies::signed_beacon()) {
        let bytes = signed.encode();
        for len in 0..bytes.len() {
            let read = fuzz::beacon(&bytes[..len]);
            prop_assert!(matches!(read, Err(DecodeError::Truncated { .. })), "{len}: {read:?}");
        }
    }

    #[test]
    fn a_cut_invitation_is_refused(invitation in strategies::invitation()) {
        let bytes = invitation.encode();
        for len in 0..bytes.len() {
            let read = fuzz::invitation(&bytes[..len]);
            prop_assert!(matches!(read, Err(DecodeError::Truncated { .. })), "{len}: {read:?}");
        }
    }

    #[test]
    fn bytes_after_the_end_are_refused_or_belong(frame in strategies::frame(), tail in vec(1..=u8::MAX, 1..9)) {
        let longer = [frame.encode().as_ref(), &tail].concat();
        let read = fuzz::frame(&longer);
        match frame.body {
            Body::Data(data) => {
                let len = data.payload.len() + tail.len();
                let (offset, total) = (data.offset, data.total);
                if offset as usize + len > total as usize {
                    prop_assert_eq!(read, Err(DecodeError::Range { offset, len, total }));
                } else {
                    let payload = [data.payload.as_ref(), &tail].concat().into();
                    prop_assert_eq!(read.map(|frame| frame.body), Ok(Body::Data(Data { payload, ..data })));
                }
            }
            Body::Probe(_) => {
                let why = "padding of a probe is not zero";
                prop_assert_eq!(read, Err(DecodeError::Inconsistent(why)));
            }
            Body::Empty
            | Body::EndAck(_)
            | Body::ProbeReply(_)
            | Body::Hello(_)
            | Body::Join(_)
            | Body::JoinReply(_) => {
                prop_assert_eq!(read, Err(DecodeError::Trailing(tail.len())));
            }
            Body::Relayed(relayed) => {
                let payload = [relayed.payload.as_ref(), &tail].concat().into();
                let relayed = Relayed { payload, ..relayed };
                prop_assert_eq!(read.map(|frame| frame.body), Ok(Body::Relayed(relayed)));
            }
            Body::LinkState(state) => {
                let state = [state.as_ref(), &tail].concat().into();
                prop_assert_eq!(read.map(|frame| frame.body), Ok(Body::LinkState(state)));
            }
        }
    }

    #[test]
    fn bytes_after_a_beacon_are_refused(signed in strategies::signed_beacon(), tail in vec(any::<u8>(), 1..9)) {
        let longer = [signed.encode().as_ref(), &tail].concat();
        prop_assert_eq!(fuzz::beacon(&longer), Err(DecodeError::Trailing(tail.len())));
    }

    #[test]
    fn a_flipped_bit_changes_what_is_read_or_is_refused(frame in strategies::frame()) {
        let mut bytes = frame.encode().to_vec();
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            if let Ok(read) = fuzz::frame(&bytes) {
                prop_assert_ne!(&read, &frame, "bit {} says nothing", bit);
            }
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }

    #[test]
    fn a_flipped_bit_of_a_beacon_changes_what_is_read_or_is_refused(signed in strategies::signed_beacon()) {
        let mut bytes = signed.encode().to_vec();
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            if let Ok(read) = fuzz::beacon(&bytes) {
                prop_assert_ne!(&read, &signed, "bit {} says nothing", bit);
            }
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }

    #[test]
    fn noise_does_no_harm(noise in vec(any::<u8>(), 0..2_000), kind in 0..8_u8, flags in 0..4_u8) {
        let known = fuzz::frame(&noise).is_ok();
        prop_assert!(!known || noise[0] == 1);
        let known = fuzz::beacon(&noise).is_ok();
        prop_assert!(!known || noise.starts_with(b"bcb1"));
        // With a head that leads to every decoder.
        let framed = [&[1, flags, kind][..], &noise].concat();
        let known = fuzz::frame(&framed).is_ok();
        prop_assert!(!known || framed.len() >= 20);
        let announced = [b"bcb1", noise.as_slice()].concat();
        let known = fuzz::beacon(&announced).is_ok();
        prop_assert!(!known || announced.len() >= 109);
    }
}
