//! The simulator itself: links, faults, applications, determinism.

#![expect(clippy::unwrap_used, reason = "the lint knows test functions only, not what they call")]

mod basics;
mod checks;
mod determinism;
mod failover;
mod faults;
mod healing;
mod health;
mod hops;
mod network;
mod soak;
mod traces;
