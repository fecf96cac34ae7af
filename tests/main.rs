//! Whole-node scenarios: one binary, one module a subject.

mod faults;
mod seed;
