//! Networks in files of any format.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| drop(bitcraps_topology::fuzz::network(data, None)));
