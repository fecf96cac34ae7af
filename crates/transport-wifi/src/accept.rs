//! Calls that come in, from whomever.

use std::sync::Arc;

use bitcraps_quic_link::{AnswerError, CloseCode, Triage};
use quinn::{ConnectionError, Incoming};
use tokio::task::JoinSet;

use crate::connection::{Connection, close};
use crate::endpoint::LocalEndpoint;
use crate::lan::{Lan, LanPath};
use crate::tls::proved_peer;

/// Answers the callers of one endpoint until it is closed.
pub(crate) async fn accept(lan: Arc<Lan>, endpoint: LocalEndpoint) {
    let mut handshakes: JoinSet<()> = JoinSet::new();
    loop {
        tokio::select! {
            incoming = endpoint.quic.accept() => {
                let Some(incoming) = incoming else { break };
                match Triage::of(handshakes.len(), incoming.remote_address_validated()) {
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
enum RefusedCaller {
    #[error(transparent)]
    Lost(#[from] ConnectionError),
    #[error("it proved no key")]
    NoKey,
    #[error(transparent)]
    Answer(#[from] AnswerError),
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
) -> Result<(), RefusedCaller> {
    let connection = incoming.accept()?.await?;
    let Some(peer) = proved_peer(&connection) else {
        close(&connection, CloseCode::Violation);
        return Err(RefusedCaller::NoKey);
    };
    let path = LanPath { peer, local: endpoint.address, remote: connection.remote_address() };
    let answered = lan.exchange.answer(path, Connection(connection), lan.shape(path)).await;
    Ok(answered?)
}
