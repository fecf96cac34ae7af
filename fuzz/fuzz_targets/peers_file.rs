//! Decisions about peers on disk.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| drop(bitcraps_node::fuzz::peers_file(data)));
