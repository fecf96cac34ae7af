//! Networks as GraphMl.
#![no_main]

use bitcraps_topology::{fuzz, read::Format};

libfuzzer_sys::fuzz_target!(|data: &[u8]| drop(fuzz::network(data, Some(Format::GraphMl))));
