//! Calls that come in, from whomever, directly or through a relay.

use std::sync::Arc;

use bitcraps_quic_link::{AnswerError, Triage};
use iroh::endpoint::{ConnectingError, ConnectionError, Incoming};
use tokio::task::JoinSet;

use crate::connection::Connection;
use crate::identity::peer_of;
use crate::internet::Internet;

/// Answers callers until the endpoint is closed.
pub(crate) async fn accept(internet: Arc<Internet>) {
    let mut handshakes: JoinSet<()> = JoinSet::new();
    loop {
        tokio::select! {
            incoming = internet.endpoint.accept() => {
                let Some(incoming) = incoming else { break };
                match Triage::of(handshakes.len(), incoming.remote_addr_validated()) {
                    Triage::Answer => {
                        handshakes.spawn(answer_in_time(internet.clone(), incoming));
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
enum RefusedCaller {
    #[error(transparent)]
    Lost(#[from] ConnectionError),
    #[error(transparent)]
    Handshake(#[from] ConnectingError),
    #[error(transparent)]
    Answer(#[from] AnswerError),
}

async fn answer_in_time(internet: Arc<Internet>, incoming: Incoming) {
    let from = incoming.remote_addr();
    let limit = internet.config.connection_timeout;
    let answered = tokio::time::timeout(limit, answer(&internet, incoming)).await;
    match answered {
        Ok(Ok(())) => {}
        Ok(Err(why)) => tracing::debug!(?from, %why, "caller refused"),
        Err(_) => tracing::debug!(?from, ?limit, "caller too slow"),
    }
}

async fn answer(internet: &Arc<Internet>, incoming: Incoming) -> Result<(), RefusedCaller> {
    let connection = Connection(incoming.accept()?.await?);
    let peer = peer_of(connection.0.remote_id());
    let shape = internet.shape(&connection);
    Ok(internet.exchange.answer(peer, connection, shape).await?)
}
