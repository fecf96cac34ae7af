//! A seeded discrete-event network in virtual time that runs the production
//! [`Engine`](bitcraps_engine::Engine) over emulated links.
//!
//! It contains no clock, no thread, no socket and no second implementation of anything that
//! decides: what is simulated are links, applications and faults. One seed gives one course of
//! events, whatever the machine; [`Simulation::trace_hash`] tells two courses apart.
//!
//! ```
//! use std::time::Duration;
//!
//! use bitcraps_coordinator::SendOptions;
//! use bitcraps_sim::{Fault, LinkModel, Simulation, Way};
//! use bitcraps_types::TrafficClass;
//!
//! let mut sim = Simulation::new(7);
//! let (alice, bob) = (sim.add_node(), sim.add_node());
//! let wifi = sim.add_link(alice, bob, LinkModel::wifi());
//! sim.add_link(alice, bob, LinkModel::bluetooth_le());
//! sim.run_for(Duration::from_secs(1));
//!
//! sim.fault(wifi, Way::Both, Fault::BlackHole(true));
//! let bet = sim.send(alice, bob, 100, SendOptions::new(TrafficClass::Critical), None);
//! sim.run_until_idle(Duration::from_secs(10));
//! assert!(sim.message(bet).is_delivered());
//! sim.check_settled().unwrap();
//! ```

mod app;
mod check;
mod dial;
mod digest;
mod event;
mod fault;
#[cfg(any(test, feature = "fuzz"))]
#[doc(hidden)]
pub mod fuzz;
mod lane;
mod link;
mod message;
mod model;
mod node;
#[cfg(feature = "transport")]
pub mod radio;
mod replay;
#[cfg(feature = "scenario")]
pub mod scenario;
mod shell;
mod simulation;
mod store;
mod trace_csv;
mod transit;

pub use app::{App, Delivered, Pace, Verdict};
pub use check::{Violation, Violations};
pub use fault::{Death, Fate, Fault, Passing, Refusal, Return, Way};
pub use lane::{LaneStats, Recorded};
pub use link::SimLink;
pub use message::{Fortune, Message, Payload, SendId};
pub use model::LinkModel;
pub use node::{NodeId, NodeSetup};
pub use replay::Outage;
pub use simulation::Simulation;
pub use store::{Records, StoreModel, Torn};
pub use trace_csv::{LinkTrace, Row, TraceError};
