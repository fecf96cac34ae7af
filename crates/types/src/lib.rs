//! Vocabulary of the coordination layer: identities, traffic classes, checked units and time.
//!
//! This crate contains no I/O, no clock, no randomness and no algorithm. A value that exists is
//! valid: constructors check, and nothing here can be put into an invalid state afterwards.

mod address;
mod class;
mod energy;
mod id;
mod packet;
mod time;
mod transport;
mod units;

pub use address::{Address, ConnectTarget, DownReason, Hint, HintSource};
pub use class::{AckLevel, ParseClassError, TrafficClass};
pub use energy::{EnergyProfile, MarginalEnergy, Microjoules};
pub use id::{Epoch, LinkId, MessageId, ParsePeerIdError, PeerId, Sequence};
pub use packet::Packet;
pub use time::Timestamp;
pub use transport::{LinkCapabilities, Medium, ParseTransportError, TransportType};
pub use units::{Kbps, Ratio, UnitError};
