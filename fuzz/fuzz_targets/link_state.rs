//! Bodies of link state.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| drop(bitcraps_wire::fuzz::link_state(data)));
