//! Where a peer can be reached over the internet, as configured or heard of.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| drop(bitcraps_transport_inet::fuzz::address(data)));
