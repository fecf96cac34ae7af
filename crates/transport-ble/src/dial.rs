//! One attempt at a session with whoever is at a place.

use std::sync::Arc;
use std::time::Duration;

use bitcraps_session::Identity;
use bitcraps_session::link::LinkSession;
use bitcraps_transport_api::ConnectError;
use bitcraps_types::PeerId;

use crate::advertisement::Tag;
use crate::handshake::{self, NoSession, SILENCE};
use crate::place::Place;
use crate::radio::{Channel, Radio};

/// Who is wanted.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Wanted {
    /// Whoever has a key of this tag.
    Tagged(Tag),
    Peer(PeerId),
}

impl Wanted {
    fn is(&self, peer: &PeerId) -> bool {
        match self {
            Self::Tagged(tag) => Tag::of(peer) == *tag,
            Self::Peer(wanted) => peer == wanted,
        }
    }

    fn shown(&self) -> String {
        match self {
            Self::Tagged(tag) => tag.to_string(),
            Self::Peer(peer) => peer.short().to_string(),
        }
    }
}

/// A session, and the channel that it is on.
pub(crate) type Dialled = Result<(LinkSession, Arc<dyn Channel>), ConnectError>;

/// Opens a channel to `place` and proves both ends on it, within what is `left` of `timeout`.
///
/// # Errors
/// [`ConnectError`]; [`ConnectError::TimedOut`] before the time is over when the other end says nothing.
pub(crate) async fn dial(
    radio: &dyn Radio,
    identity: &Identity,
    (wanted, place): (Wanted, Place),
    (left, timeout): (Duration, Duration),
) -> Dialled {
    let address = || place.to_string();
    let unreachable = |why: String| ConnectError::Unreachable { address: address(), why };
    let timed_out = |after: Duration| {
        let millis = after.as_millis() as u64;
        ConnectError::TimedOut { address: address(), millis }
    };
    let call = async {
        let channel = radio.dial(place).await.map_err(|error| unreachable(error.to_string()))?;
        match handshake::call(identity, &*channel, |peer| wanted.is(peer)).await {
            Ok(Ok(session)) => Ok((session, channel)),
            Ok(Err(other)) => Err(ConnectError::WrongPeer {
                address: address(),
                expected: wanted.shown(),
                why: format!("it is {}", other.short()),
            }),
            Err(NoSession::Silent) => Err(timed_out(SILENCE)),
            Err(error) => Err(unreachable(error.to_string())),
        }
    };
    tokio::time::timeout(left, call).await.unwrap_or_else(|_| Err(timed_out(timeout)))
}
