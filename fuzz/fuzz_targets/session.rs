//! What arrives in the name of a peer while a session is agreed on, and after.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bitcraps_session::fuzz::session(data));
