//! Codes that people type or paste.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| drop(bitcraps_node::fuzz::invitation_code(data)));
