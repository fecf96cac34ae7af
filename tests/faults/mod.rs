//! The faults that every change must survive, by their number in the design: what goes wrong, and
//! what must hold nevertheless. Each runs the production engine on the simulated network, on
//! [`SEEDS`](scene::SEEDS) seeds, and ends with the simulator's own check that nothing was delivered
//! twice, invented, altered, or told wrongly. Faults of drivers run on the production driver too.

mod admission;
mod alerts;
mod changes;
mod clock;
mod crowd;
mod custody;
mod drivers;
mod flaps;
mod forgery;
mod guards;
mod network;
mod order;
mod payloads;
mod peers;
mod persistence;
mod priority;
mod reload;
mod scene;
mod silence;
