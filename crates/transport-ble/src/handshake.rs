//! From a channel to a session with a peer that has proved its key.

use std::io;

use bitcraps_session::link::{Answerer, Caller, LinkSession};
use bitcraps_session::{HandshakeError, Identity};
use bitcraps_types::PeerId;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng as _;
use zeroize::Zeroizing;

use crate::radio::{Channel, MAX_SDU};

/// Why a channel gave no session.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoSession {
    #[error("the channel broke: {0}")]
    Channel(#[from] io::Error),
    #[error("the other end closed the channel during the handshake")]
    Closed,
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
    let len = receive(channel, &mut buffer).await?;
    let (session, proof) = caller.finish(&buffer[..len])?;
    if !expected(&session.peer()) {
        return Ok(Err(session.peer()));
    }
    channel.send(&proof).await?;
    Ok(Ok(session))
}

/// The side that was called.
pub(crate) async fn answer(
    identity: &Identity,
    channel: &dyn Channel,
) -> Result<LinkSession, NoSession> {
    let mut buffer = [0; MAX_SDU];
    let len = receive(channel, &mut buffer).await?;
    let (answerer, reply) = Answerer::answer(identity, &buffer[..len], &mut randomness()?)?;
    channel.send(&reply).await?;
    let len = receive(channel, &mut buffer).await?;
    Ok(answerer.finish(&buffer[..len])?)
}
