//! The frame codec: what two nodes say to each other over a link, as bytes.
//!
//! This crate contains no I/O, no clock and no decisions: bytes in, checked values out, and back.
//! Every length is bounded before anything is allocated, payloads are slices of the input buffer,
//! and no input makes a decoder panic.
//!
//! ```text
//! frame  = hop header | [hop ack] | [route] | body
//! body   = nothing | data | end ack | probe | probe reply | hello | join | join reply | link state
//!          | relayed
//! ```
//! The hop header, the hop ack and the route are for the next hop, in clear (the link encrypts).
//! Data and end acks are for the destination: a relay forwards their bytes as they are. A sealed
//! payload takes the place of the clear one without changing the shape.
//!
//! [`LinkState`] is what neighbours tell each other about the state of links: signed records of
//! links, and what keeps databases of them equal. A frame carries it as bytes, and whoever keeps a
//! database reads them.

mod ack;
mod address;
mod beacon;
mod data;
mod error;
mod frame;
#[cfg(feature = "fuzz")]
#[doc(hidden)]
pub mod fuzz;
mod hello;
mod invitation;
mod join;
mod link_state;
mod probe;
mod quality;
mod reader;
mod record;
mod relayed;

pub use ack::{
    EndAck, HopAck, MAX_ACK_BLOCKS, MAX_ACK_WORDS, MAX_PARTIALS, MAX_RANGES, MAX_RESULTS, Partial,
    ResultEntry, Status, StreamAck,
};
pub use beacon::{Beacon, MAX_BEACON_ADDRESSES, SignedBeacon};
pub use data::{Data, MAX_MESSAGE};
pub use error::DecodeError;
pub use frame::{Body, Frame, HopHeader, NO_DEADLINE, Route, VERSION};
pub use hello::Hello;
pub use invitation::{Invitation, MAX_INTERNET_ADDRESS, MAX_INVITATION_ADDRESSES, SECRET};
pub use join::{INVITATION_NAME, Join, JoinReply, JoinVerdict, PROOF};
pub use link_state::{
    Carried, Digest, LinkState, Listing, MAX_LINK_STATE, MAX_LISTING, MAX_SUMMARY, Part, Presence,
    Summary, Want,
};
pub use probe::{Probe, ProbeReply};
pub use quality::Quality;
pub use record::{
    Alias, Introduction, LinkClaim, MAX_PAGES, MAX_RECORD_LINKS, MAX_RECORD_SEQUENCE, Record,
    Version,
};
pub use relayed::{MAX_RELAYED, MAX_VIA, Relayed, RelayedKind};
