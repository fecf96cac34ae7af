use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bitcraps_types::{Address, ConnectTarget, DownReason, Hint, LinkId, TransportType};
use bytes::Bytes;

use crate::Link;

/// What an adapter reports.
#[derive(Clone)]
pub enum TransportEvent {
    /// A peer may be reachable.
    Discovered(Hint),
    /// A link is authenticated and takes frames.
    LinkUp(Arc<dyn Link>),
    /// A link is gone; told once, and nothing of that link after it.
    LinkDown {
        /// Which.
        link: LinkId,
        /// Why.
        reason: DownReason,
    },
}

impl fmt::Debug for TransportEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Discovered(hint) => f.debug_tuple("Discovered").field(hint).finish(),
            Self::LinkUp(link) => {
                let mut out = f.debug_struct("LinkUp");
                out.field("link", &link.id()).field("peer", &link.peer()).finish()
            }
            Self::LinkDown { link, reason } => {
                let mut out = f.debug_struct("LinkDown");
                out.field("link", link).field("reason", reason).finish()
            }
        }
    }
}

/// Where an adapter reports. Every method returns at once and may be called from any thread.
pub trait Sink: Send + Sync + 'static {
    /// A link id that was never given out before in this process.
    fn next_link_id(&self) -> LinkId;
    /// Something happened.
    fn event(&self, event: TransportEvent);
    /// Frames arrived on `link`: everything that is there already, in one call. Leaves `frames`
    /// empty, so that its memory can be used again.
    fn frames(&self, link: LinkId, frames: &mut Vec<Bytes>);
    /// `total` frames of `link` have left the adapter's queue since the link came up.
    fn written(&self, link: LinkId, total: u64);
}

/// Why a transport did not start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// It runs already.
    #[error("transport was started before")]
    AlreadyStarted,
    /// Another driver holds the adapter or address.
    #[error("{what} is in use: {why}")]
    InUse {
        /// The adapter or address.
        what: String,
        /// What the system said.
        why: String,
    },
    /// The hardware, the permission or the address is missing.
    #[error("{what} is not available: {why}")]
    Unavailable {
        /// What is missing.
        what: String,
        /// What the system said, and what to do.
        why: String,
    },
}

/// Why no link came of a dial. Nothing remains of the attempt.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// The transport does not run.
    #[error("transport is not started")]
    NotStarted,
    /// The address makes no sense to this transport.
    #[error("{address:?} is no address of this transport: {why}")]
    BadAddress {
        /// The address.
        address: String,
        /// What is wrong with it.
        why: String,
    },
    /// Nobody answered there.
    #[error("nobody answered at {address}: {why}")]
    Unreachable {
        /// The address.
        address: String,
        /// What happened.
        why: String,
    },
    /// Somebody else answered.
    #[error("{address} did not prove to be {expected}: {why}")]
    WrongPeer {
        /// The address.
        address: String,
        /// The peer asked for, shortened.
        expected: String,
        /// What it showed instead.
        why: String,
    },
    /// The dial took longer than the transport's connection timeout.
    #[error("no link to {address} within {millis} ms")]
    TimedOut {
        /// The address.
        address: String,
        /// The timeout.
        millis: u64,
    },
}

/// A family of links: the control plane.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Transport: Send + Sync + 'static {
    /// Which family.
    fn transport_type(&self) -> TransportType;
    /// Where a peer may dial this node over it, in the transport's own words, the best first; empty
    /// while it is not started, and where nobody can.
    fn listening(&self) -> Vec<Address> {
        Vec::new()
    }

    /// Starts listening and discovering; reports to `sink` until [`Self::shutdown`].
    ///
    /// # Errors
    /// [`StartError`]; nothing is left running.
    async fn start(&self, sink: Arc<dyn Sink>) -> Result<(), StartError>;

    /// Opens a link. It is also reported as up, before or after this returns.
    ///
    /// # Errors
    /// [`ConnectError`]; existing links are untouched.
    async fn connect(&self, target: ConnectTarget) -> Result<LinkId, ConnectError>;

    /// Closes every link, tells each as down, stops every task, frees every address. Does nothing
    /// when not started.
    async fn shutdown(&self);
}
