//! Whether networks heal: `eval healing`. Real and geometric networks for an hour of healing, exact
//! search where that is possible, crowds that move, rivals with the same budget, and a thousand nodes
//! whose views are old.

mod crowds;
mod exact;
mod graphs;
mod mesh;
mod stale;

use crate::{Arguments, Failure, Report};

/// Measures every group that is wanted.
///
/// # Errors
/// [`Failure`] when a graph cannot be read or a network not be made.
pub fn run(arguments: &Arguments, report: &mut Report) -> Result<(), Failure> {
    if arguments.wants("graphs") {
        graphs::run(arguments, report)?;
    }
    if arguments.wants("crowds") {
        crowds::run(arguments, report)?;
    }
    if arguments.wants("stale") {
        stale::run(arguments, report)?;
    }
    Ok(())
}
