//! What the machine does, held against its contract in virtual time.

mod pair;

mod happy;
