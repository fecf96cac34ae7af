//! From a channel to a session with a peer that has proved its key.

use std::io;
use std::time::Duration;

use bitcraps_session::link::{Answerer, Caller, LinkSession};
use bitcraps_session::{HandshakeError, Identity};
use bitcraps_types::PeerId;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng as _;
use zeroize::Zeroizing;

use crate::radio::{Channel, MAX_SDU};

/// How long a caller may take to begin, and who was called to answer: either is two or three connection
/// intervals under way. A place for callers that is held by a silent one is kept from others, and a channel
/// on which nothing comes back may be one whose ends the two kernels have mistaken.
pub(crate) const SILENCE: Duration = Duration::from_secs(4);

/// Why a channel gave no session.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoSession {
    #[error("the channel broke: {0}")]
    Channel(#[from] io::Error),
    #[error("the other end closed the channel during the handshake")]
    Closed,
    #[error("the other end said nothing for {SILENCE:?}")]
    Silent,
    #[error("handshake: {0}")]
    Refused(#[from] HandshakeError),
    #[error("the operating system gives no randomness: {0}")]
    Randomness(getrandom::Error),
}

fn randomness() -> Result<ChaCha20Rng, NoSession> {
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(seed.as_mut_slice()).map_err(NoSession::Randomness)?;
    Ok(ChaCha20Rng::from_seed(*seed))
}

async fn receive(channel: &dyn Channel, buffer: &mut [u8]) -> Result<usize, NoSession> {
    match channel.receive(buffer).await? {
        0 => Err(NoSession::Closed),
        len => Ok(len),
    }
}

/// The first that the other end says.
async fn first(channel: &dyn Channel, buffer: &mut [u8]) -> Result<usize, NoSession> {
    let first = tokio::time::timeout(SILENCE, receive(channel, buffer)).await;
    first.unwrap_or(Err(NoSession::Silent))
}

/// The caller's side; it proves itself only to whom `expected` accepts, so that nobody else learns
/// who called. `Err` of the inner result: who answered instead.
pub(crate) async fn call(
    identity: &Identity,
    channel: &dyn Channel,
    expected: impl FnOnce(&PeerId) -> bool,
) -> Result<Result<LinkSession, PeerId>, NoSession> {
    let (caller, hello) = Caller::new(identity, &mut randomness()?)?;
    channel.send(&hello).await?;
    let mut buffer = [0; MAX_SDU];
    let len = first(channel, &mut buffer).await?;
    let (session, proof) = caller.finish(&buffer[..len])?;
    if !expected(&session.peer()) {
        return Ok(Err(session.peer()));
    }
    channel.send(&proof).await?;
    Ok(Ok(session))
}

/// The side that was called.
async fn answer(identity: &Identity, channel: &dyn Channel) -> Result<LinkSession, NoSession> {
    let mut buffer = [0; MAX_SDU];
    let len = first(channel, &mut buffer).await?;
    let (answerer, reply) = Answerer::answer(identity, &buffer[..len], &mut randomness()?)?;
    channel.send(&reply).await?;
    let len = receive(channel, &mut buffer).await?;
    Ok(answerer.finish(&buffer[..len])?)
}

/// The session with a caller that has proved its key within `timeout`; why there is none goes to the log.
pub(crate) async fn answered(
    identity: &Identity,
    channel: &dyn Channel,
    timeout: Duration,
) -> Option<LinkSession> {
    let device = channel.device();
    match tokio::time::timeout(timeout, answer(identity, channel)).await {
        Ok(Ok(session)) => return Some(session),
        Ok(Err(error)) => tracing::debug!(%device, %error, "caller refused"),
        Err(_) => tracing::debug!(%device, "caller proved nothing in time"),
    }
    None
}
