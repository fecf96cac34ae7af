//! Traces of links.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| drop(bitcraps_sim::fuzz::trace(data)));
