//! The seam between the coordinator and whatever carries frames: [`Transport`] opens links and
//! tells about them, [`Link`] takes frames, [`Sink`] is where an adapter reports.
//!
//! This crate contains no transport and no decision. What an implementor must uphold is written at
//! each method, and the feature `conformance` is a test suite that holds any transport against it.
//!
//! # Contract for implementors
//!
//! - **Authenticated before up.** A link is reported with [`TransportEvent::LinkUp`] only after both
//!   ends have proved the key behind their [`PeerId`](bitcraps_types::PeerId). A peer whose key is
//!   not the one asked for is refused.
//! - **`try_send` never waits**, takes no lock that another task may hold across I/O, and either
//!   takes the whole frame or gives it back. A frame taken is written, or the link goes down; it is
//!   never dropped from a queue in silence. Delivery is not promised: that is what acknowledgements
//!   are for.
//! - **Frames keep their boundaries**; order is not promised; a frame arrives whole or not at all.
//! - **`written` is told** after a frame's last byte left the adapter's own queue, as a running
//!   total, once per batch. The coordinator's timers start there, and it hands over no more than
//!   the link drains.
//! - **Reading never waits for the coordinator**: [`Sink::frames`] returns at once. An adapter hands
//!   over everything that has already arrived in one call, so that acknowledgements can be combined.
//! - **Events name incarnations.** Each link gets a fresh [`LinkId`](bitcraps_types::LinkId) from
//!   [`Sink::next_link_id`]; `LinkDown` is told exactly once for each `LinkUp`, and nothing of that
//!   link after it.
//! - **A second link never disturbs the first**: opening, measuring or losing one leaves others to
//!   the same peer as they are.
//! - **Shutdown** closes every link, tells each as down, frees addresses and ends every task.

#[cfg(feature = "conformance")]
pub mod conformance;
mod link;
#[cfg(feature = "mock")]
pub mod mock;
mod transport;

pub use bitcraps_types::{Address, ConnectTarget, DownReason, Hint, HintSource};
pub use link::{Link, LinkPath, QueueState, TrySendError};
pub use transport::{ConnectError, Sink, StartError, Transport, TransportEvent};
