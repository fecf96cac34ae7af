//! Nodes over real sockets on loopback.

mod alone;
mod books;
mod echo;
mod gate;
mod hops;
mod internet;
pub(crate) mod keeper;
mod lanes;
mod memory;
mod node;
mod outage;
mod persisted;
mod quic;
mod relay;
mod throughput;

use self::echo::Workers;
use crate::calibration;
use crate::{Arguments, Failure, Report};

/// Measures everything.
///
/// # Errors
/// [`Failure`] of the first measurement that could not be made.
pub fn run(arguments: &Arguments, report: &mut Report) -> Result<(), Failure> {
    calibration::run(arguments, report)?;
    if arguments.wants("memory") {
        memory::run(arguments, report)?;
    }
    for workers in [Workers::One, Workers::EachCore] {
        workers.runtime()?.block_on(async {
            if arguments.wants("echo") {
                echo::run(arguments, workers, report).await?;
            }
            if arguments.wants("internet echo") {
                alone::run_echo(arguments, workers, report).await?;
            }
            Ok(())
        })?;
    }
    Workers::EachCore.runtime()?.block_on(async {
        if arguments.wants("throughput of 1 KiB") {
            throughput::run_small(arguments, report).await?;
        }
        if arguments.wants("throughput of 64 KiB") {
            throughput::run_large(arguments, report).await?;
        }
        if arguments.wants("persisted") {
            persisted::run(arguments, report).await?;
        }
        if arguments.wants("black hole") {
            outage::run(arguments, report).await?;
        }
        if arguments.wants("failover internet") {
            internet::run(arguments, report).await?;
            alone::run_failover(arguments, report).await?;
        }
        Ok(())
    })
}

/// What a message costs across relays, and how soon it goes another way when one dies.
///
/// # Errors
/// [`Failure`] of the first measurement that could not be made.
pub(crate) fn across_relays(arguments: &Arguments, report: &mut Report) -> Result<(), Failure> {
    Workers::EachCore.runtime()?.block_on(hops::run(arguments, report))
}
