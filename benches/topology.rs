//! Analysis of networks: each measure against petgraph and the first design, the measure set, one
//! change at a time, the risk of partition, the memory of a snapshot; with `--peers`, each measure
//! against other libraries instead.

mod measures;
mod naive;
mod open;
mod peers;
mod risk;
mod rival;
mod shape;
mod updates;

use crate::calibration;
use crate::{Arguments, Failure, Report};

/// Measures everything.
///
/// # Errors
/// [`Failure`] of the first measurement that could not be made.
pub fn run(arguments: &Arguments, report: &mut Report) -> Result<(), Failure> {
    calibration::run(arguments, report)?;
    if arguments.peers {
        return peers::run(arguments, report);
    }
    if arguments.wants("measures") {
        measures::run(arguments, report)?;
    }
    if arguments.wants("diameter") {
        measures::hard_diameters(arguments, report);
    }
    if arguments.wants("updates") {
        updates::run(arguments, report)?;
    }
    if arguments.wants("risk") {
        risk::run(arguments, report);
    }
    Ok(())
}
