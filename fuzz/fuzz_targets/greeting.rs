//! Greetings of a dialler on the LAN.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    bitcraps_transport_wifi::fuzz::greeting(data);
});
