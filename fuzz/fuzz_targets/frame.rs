//! Frames off a link.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| drop(bitcraps_wire::fuzz::frame(data)));
