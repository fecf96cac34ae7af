//! Wi-Fi Direct: with whom this machine forms a group is decided here, by pure code
//! ([`Formation`]); who forms it is wpa_supplicant, over D-Bus. In a group there is nothing
//! but another interface, with endpoints on its addresses and a beacon: a group is no proof of
//! anything, and its links are authenticated like all others.

#[cfg(target_os = "linux")]
mod beacon;
mod config;
mod device;
mod formation;
#[cfg(target_os = "linux")]
mod gathering;
mod intent;
#[cfg(target_os = "linux")]
mod power;
mod service;
#[cfg(target_os = "linux")]
mod station;
#[cfg(target_os = "linux")]
mod supplicant;

pub use config::{DirectConfig, DirectConfigError, GROUP_PORT};
pub use device::Device;
pub use formation::{Command, Company, Fact, Formation, Role};
pub use service::Tag;
#[cfg(target_os = "linux")]
pub(crate) use station::station;
#[cfg(target_os = "linux")]
pub use supplicant::{Capable, SupplicantError, examine};
