//! Wi-Fi Direct: with whom this machine forms a group is decided here, by pure code; who forms it is
//! wpa_supplicant, over D-Bus.

mod device;
mod formation;
mod intent;
mod service;

pub use device::Device;
pub use formation::{
    ALONE, Command, Company, EAGER, FIND, FIND_EVERY_CALM, FIND_EVERY_EAGER, FORMING, Fact,
    Formation, MAX_DEVICES, MAX_KEPT, Role,
};
pub use service::Tag;
