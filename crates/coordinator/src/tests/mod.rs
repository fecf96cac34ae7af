//! What the machine does, held against its contract in virtual time.

mod pair;

mod custody;
mod deadlines;
mod failover;
mod greeting;
mod happy;
