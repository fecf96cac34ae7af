//! Epoch files.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    bitcraps_node::fuzz::epoch(data);
});
