//! Transports that tests control, in two kinds.
//!
//! [`MockTransport`] is one end of an in-memory network of two. Mocks come with a [`MockHandle`]
//! that still controls them after they were moved into a coordinator:
//!
//! ```
//! use bitcraps_transport_api::mock::MockNetwork;
//! use bitcraps_types::{PeerId, TransportType};
//!
//! let (alice, bob) = (PeerId::from_bytes([1; 32]), PeerId::from_bytes([2; 32]));
//! let (near, far, handle) = MockNetwork::new(TransportType::Bluetooth, alice, bob)
//!     .with_reliability(0.9)
//!     .pair();
//! handle.set_failing(true);
//! # drop((near, far));
//! ```
//!
//! [`expect`] holds what mockall generates, for the narrow question whether a call was made.
//!
//! Nothing here uses a socket. Delivery happens in one tokio task for each end, never inside
//! [`Link::try_send`](crate::Link::try_send), whose caller may hold a lock that its
//! [`Sink`](crate::Sink) takes; time is tokio's, so a paused clock works.

mod air;
mod handle;
mod link;
mod network;
mod transport;

pub use handle::{MockDirection, MockHandle};
pub use network::{DEFAULT_QUEUE_FRAMES, MockNetwork};
pub use transport::MockTransport;

/// The mocks that mockall generates: every call must have been expected.
pub mod expect {
    pub use crate::link::MockLink;
    pub use crate::transport::MockTransport;
}
