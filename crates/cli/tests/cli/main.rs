//! The `bitcraps` command as people use it: processes that meet over loopback, answer and refuse.

mod admission;
mod analyze;
mod configuration;
#[cfg(all(feature = "bluetooth", target_os = "linux"))]
mod dbus;
mod disk;
mod doctor;
mod exits;
mod kills;
mod lives;
mod manual;
mod meeting;
mod monitoring;
mod nat;
mod network;
mod past;
mod process;
mod prometheus;
#[cfg(all(feature = "bluetooth", target_os = "linux"))]
mod radio;
#[cfg(feature = "internet")]
mod relay;
mod running;
mod sim;
mod watching;
