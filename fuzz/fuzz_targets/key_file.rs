//! Key files.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| drop(bitcraps_node::fuzz::key_file(data)));
