//! What is written is read back, and nothing else has the same bytes.

use bitcraps_wire::{Body, Frame, SignedBeacon, fuzz};
use proptest::prelude::*;

use crate::strategies;

proptest! {
    #[test]
    fn a_frame_is_read_back(frame in strategies::frame()) {
        let bytes = frame.encode();
        prop_assert_eq!(frame.encoded_len(), bytes.len());
        prop_assert_eq!(fuzz::frame(&bytes), Ok(frame));
    }

    #[test]
    fn a_beacon_is_read_back(signed in strategies::signed_beacon()) {
        prop_assert_eq!(fuzz::beacon(&signed.encode()), Ok(signed));
    }

    #[test]
    fn an_invitation_is_read_back(invitation in strategies::invitation()) {
        prop_assert_eq!(fuzz::invitation(&invitation.encode()), Ok(invitation));
    }

    #[test]
    fn link_state_is_read_back(state in strategies::link_state()) {
        let bytes = state.encode();
        prop_assert_eq!(state.encoded_len(), bytes.len());
        prop_assert_eq!(fuzz::link_state(&bytes), Ok(state));
    }

    #[test]
    fn link_state_that_differs_has_different_bytes(
        one in strategies::link_state(),
        two in strategies::link_state(),
    ) {
        prop_assert_eq!(one == two, one.encode() == two.encode());
    }

    #[test]
    fn frames_that_differ_have_different_bytes(one in strategies::frame(), two in strategies::frame()) {
        prop_assert_eq!(one == two, one.encode() == two.encode());
    }

    #[test]
    fn beacons_that_differ_have_different_bytes(
        one in strategies::signed_beacon(),
        two in strategies::signed_beacon(),
    ) {
        prop_assert_eq!(one == two, one.encode() == two.encode());
    }

    #[test]
    fn a_payload_is_a_slice_of_the_frame(data in strategies::data(), frame in strategies::frame()) {
        let bytes = Frame { body: Body::Data(data.clone()), ..frame }.encode();
        let Body::Data(read) = Frame::decode(bytes.clone()).expect("it was just encoded").body else {
            panic!("data became something else");
        };
        let start = bytes.len() - data.payload.len();
        prop_assert_eq!(read.payload.as_ptr(), bytes[start..].as_ptr());
    }

    #[test]
    fn the_lowest_live_sequence_lies_behind(data in strategies::data()) {
        let behind = u64::from(data.behind_lowest_live);
        prop_assert_eq!(data.lowest_live(), data.sequence - behind);
    }

    #[test]
    fn what_a_beacon_signs_is_what_it_says(signed in strategies::signed_beacon()) {
        let other = SignedBeacon { signature: [0; 64], ..signed.clone() };
        prop_assert_eq!(other.beacon.signed_bytes(), signed.beacon.signed_bytes());
        let mut later = signed.beacon.clone();
        later.sequence = later.sequence.wrapping_add(1);
        prop_assert_ne!(later.signed_bytes(), signed.beacon.signed_bytes());
    }
}
