//! The simulator itself: links, faults, applications, determinism.

mod basics;
mod failover;
mod faults;
