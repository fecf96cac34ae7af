//! Sessions from outside: two or more machines and the messages between them.

#![expect(clippy::unwrap_used, reason = "the lint knows test functions only, not what they call")]

mod bounds;
mod damage;
mod handshakes;
mod pair;
mod renewal;
mod sealing;
mod vectors;
