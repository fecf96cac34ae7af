//! Invitations, as they are passed on between people.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| drop(bitcraps_wire::fuzz::invitation(data)));
