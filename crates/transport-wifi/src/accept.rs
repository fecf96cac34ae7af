//! Calls that come in, from whomever.

use std::sync::Arc;

use quinn::{Connection, ConnectionError, Incoming};
use tokio::task::JoinSet;

use crate::driver::CloseCode;
use crate::endpoint::LocalEndpoint;
use crate::greeting::{Caller, GreetingError, tag};
use crate::lan::Lan;
use crate::links::{Admission, PathKey};
use crate::precedence::{Claim, Dialler};
use crate::tls::proved_peer;

/// Handshakes of one endpoint at a time: about 20 ms of work on a slow core, some hundred KiB.
pub const MAX_HANDSHAKES: usize = 64;

/// Handshakes from which a caller must first prove that it can be reached where it claims to be, so
/// that forged addresses cannot fill the rest.
pub const RETRY_FROM: usize = 16;

/// What to do with a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Triage {
    Answer,
    ProveAddress,
    Ignore,
}

fn triage(handshakes: usize, address_proved: bool) -> Triage {
    if handshakes >= MAX_HANDSHAKES {
        Triage::Ignore
    } else if handshakes >= RETRY_FROM && !address_proved {
        Triage::ProveAddress
    } else {
        Triage::Answer
    }
}

/// Answers the callers of one endpoint until it is closed.
pub(crate) async fn accept(lan: Arc<Lan>, endpoint: LocalEndpoint) {
    let mut handshakes: JoinSet<()> = JoinSet::new();
    loop {
        tokio::select! {
            incoming = endpoint.quic.accept() => {
                let Some(incoming) = incoming else { break };
                match triage(handshakes.len(), incoming.remote_address_validated()) {
                    Triage::Answer => {
                        handshakes.spawn(answer_in_time(lan.clone(), endpoint.clone(), incoming));
                    }
                    Triage::ProveAddress => {
                        // Only a proved address cannot be asked, and is not.
                        if let Err(refused) = incoming.retry() {
                            refused.into_incoming().ignore();
                        }
                    }
                    Triage::Ignore => incoming.ignore(),
                }
            }
            Some(_) = handshakes.join_next() => {}
        }
    }
}

/// Why a caller got no link.
#[derive(Debug, thiserror::Error)]
enum AnswerError {
    #[error(transparent)]
    Lost(#[from] ConnectionError),
    #[error(transparent)]
    Greeting(#[from] GreetingError),
    #[error("it proved no key")]
    NoKey,
    #[error("it has this node's own key")]
    Own,
    #[error("{0:?}")]
    Refused(Admission),
}

async fn answer_in_time(lan: Arc<Lan>, endpoint: LocalEndpoint, incoming: Incoming) {
    let from = incoming.remote_address();
    let limit = lan.config.connection_timeout;
    let answered = tokio::time::timeout(limit, answer(&lan, &endpoint, incoming)).await;
    match answered {
        Ok(Ok(())) => {}
        Ok(Err(why)) => tracing::debug!(%from, %why, "caller refused"),
        Err(_) => tracing::debug!(%from, ?limit, "caller too slow"),
    }
}

async fn answer(
    lan: &Arc<Lan>,
    endpoint: &LocalEndpoint,
    incoming: Incoming,
) -> Result<(), AnswerError> {
    let connection = incoming.accept()?.await?;
    let greeted = greet(lan, endpoint, &connection).await;
    if let Err(why) = &greeted {
        let code = match why {
            AnswerError::Refused(Admission::Yield(_)) => CloseCode::Replaced,
            AnswerError::Refused(Admission::NoRoom) => CloseCode::NoRoom,
            AnswerError::Refused(Admission::ShutDown) => CloseCode::ShutDown,
            AnswerError::Refused(Admission::Up) | AnswerError::Lost(_) => CloseCode::Closed,
            AnswerError::Greeting(_) | AnswerError::NoKey | AnswerError::Own => {
                CloseCode::Violation
            }
        };
        connection.close(code.into(), b"");
    }
    greeted
}

async fn greet(
    lan: &Arc<Lan>,
    endpoint: &LocalEndpoint,
    connection: &Connection,
) -> Result<(), AnswerError> {
    let peer = proved_peer(connection).ok_or(AnswerError::NoKey)?;
    if peer == lan.identity.peer() {
        return Err(AnswerError::Own);
    }
    let tag = tag(connection).ok_or(AnswerError::NoKey)?;
    let caller = Caller::hear(connection).await?;
    let key = PathKey { peer, local: endpoint.address, remote: connection.remote_address() };
    let claim = Claim { dialler: Dialler::Peer, incarnation: caller.hello.incarnation, tag };
    let replaces = caller.hello.replaces;
    match lan.establish(connection.clone(), key, claim, replaces).1 {
        Admission::Up => {
            // When this fails the connection is gone, and the link goes down by itself.
            if let Err(why) = caller.welcome(lan.incarnation).await {
                tracing::debug!(peer = %peer.short(), %why, "not welcomed");
            }
            Ok(())
        }
        refused @ (Admission::Yield(_) | Admission::NoRoom | Admission::ShutDown) => {
            Err(AnswerError::Refused(refused))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_are_bounded() {
        let rows = [
            (0, false, Triage::Answer),
            (RETRY_FROM - 1, false, Triage::Answer),
            (RETRY_FROM, false, Triage::ProveAddress),
            (RETRY_FROM, true, Triage::Answer),
            (MAX_HANDSHAKES - 1, true, Triage::Answer),
            (MAX_HANDSHAKES, true, Triage::Ignore),
            (MAX_HANDSHAKES, false, Triage::Ignore),
        ];
        for (handshakes, proved, expected) in rows {
            let got = triage(handshakes, proved);
            assert_eq!(got, expected, "{handshakes} handshakes, proved {proved}");
        }
    }
}
