//! Greetings of a dialler on the LAN.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    bitcraps_quic_link::fuzz::greeting(data);
});
