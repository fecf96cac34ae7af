//! Frames off a stream of a link over the LAN.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| drop(bitcraps_quic_link::fuzz::stream(data)));
