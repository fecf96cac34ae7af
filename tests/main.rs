//! Whole-node scenarios: one binary, one module a subject.

#![expect(clippy::unwrap_used, reason = "a test ends where its premise fails")]

mod faults;
mod live;
mod obedience;
mod seed;
