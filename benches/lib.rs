//! Measurements of the workspace against stated bounds and against rivals in the same run.
//!
//! Nothing of the product depends on this crate. Its own bounds: every run ends by itself, and all
//! traffic stays on loopback.

pub mod anomaly;
mod arguments;
mod calibration;
mod clock;
mod coupling;
mod failure;
pub mod graphs;
pub mod healing;
pub mod health;
pub mod linkstate;
pub mod peers;
mod report;
pub mod risk;
mod sample;
pub mod select;
pub mod topology;

pub use arguments::{Arguments, USAGE};
pub use coupling::{Coupling, Event};
pub use failure::Failure;
pub use report::{Report, Row};
