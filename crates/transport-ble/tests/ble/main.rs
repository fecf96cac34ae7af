//! The transport over radios that exist in this process only.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod air;
mod conformance;
mod hostile;
mod meeting;
