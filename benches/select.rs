//! Choosing a link, and the whole way of a message, on one thread.

mod lookup;
mod ranking;
mod replay;
mod seed;

use crate::calibration;
use crate::{Arguments, Failure, Report};

/// Measures everything.
///
/// # Errors
/// [`Failure`] of the first measurement that could not be made.
pub fn run(arguments: &Arguments, report: &mut Report) -> Result<(), Failure> {
    calibration::run(arguments, report)?;
    if arguments.wants("ranking") {
        ranking::run(arguments, report)?;
    }
    if arguments.wants("send") {
        replay::run(arguments, report)?;
    }
    if arguments.wants("lookup") {
        lookup::run(arguments, report)?;
    }
    Ok(())
}
