//! The admin socket: how the command line talks to a running node.
//!
//! A Unix socket of mode 0600 on which every line is a JSON object: a [`Request`] from the client, a
//! [`Response`] from the node, each under the number of its [`SCHEMA`]. A client may send several
//! requests, one after the other; one that closes its sending side gives up what it still waits for.
//! The number of clients, the length of a request and every wait are bounded.

mod client;
mod health;
mod live;
mod metrics;
mod name;
mod network;
mod ping;
mod protocol;
mod report;
mod responder;
mod server;
mod socket;
mod standing;
mod status;
mod store;
#[cfg(test)]
mod tests;

pub use bitcraps_engine::monitor::{Grain, HealthReport, Range};
pub use client::{AdminError, request};
pub use health::{AlertsReport, HistoryReport, SilenceReport, StepReport};
pub use live::{Follow, LiveConfig, ReloadError};
pub use metrics::{MessagesReport, MetricsReport};
pub use network::{
    HopReport, KnownLinkReport, KnownPeerReport, NetworkReport, PathReport, WayReport,
};
pub use ping::MAX_PINGS;
pub use protocol::{Ack, Envelope, Refusal, RefusalKind, Request, Response, SCHEMA};
pub use report::{
    ChangeReport, ConfigReport, ContenderReport, DecisionReport, EntryReport, InputReport,
    LatencyReport, LinkReport, LinkSummary, LinksReport, OutcomeReport, PeerReport, PeersReport,
    PingReport, PreferenceReport, ReloadReport, ReplyReport, SendReport, Stage, StageReport,
    StatusReport, TargetReport, TargetsReport, TrafficReport, TriedReport, Trust, WhyReport,
};
pub use responder::MAX_WAIT;
pub use server::{CLIENT_PATIENCE, MAX_CLIENTS, MAX_REQUEST};
pub use socket::StartAdminError;
pub use standing::{InviteReport, ListeningReport, Standing, StandingReport};
pub use status::{Health, health};
pub use store::{KeptReport, OutboxReport, StoreReport};

use std::path::Path;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::Node;
use responder::Responder;
use socket::SocketFile;

/// The admin socket of a running node. Dropping it cuts its clients off and removes the socket.
#[derive(Debug)]
pub struct Admin {
    file: SocketFile,
    stop: watch::Sender<bool>,
    server: Option<JoinHandle<()>>,
}

impl Admin {
    /// Serves `node` at `path`. A socket that a dead process left there is replaced. Call within a
    /// tokio runtime.
    ///
    /// # Errors
    /// [`StartAdminError`]; nothing has changed.
    pub fn start(
        node: &Arc<Node>,
        live: &Arc<LiveConfig>,
        path: &Path,
    ) -> Result<Self, StartAdminError> {
        let (listener, file) = socket::listen(path)?;
        let (stop, stopped) = watch::channel(false);
        let responder = Arc::new(Responder::new(Arc::clone(node), Arc::clone(live)));
        let server = tokio::spawn(server::serve(listener, responder, stopped));
        Ok(Self { file, stop, server: Some(server) })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Takes no more clients, lets those that wait have their answer, and removes the socket. Shut
    /// the node down before, which settles what they wait for.
    pub async fn shutdown(mut self) {
        self.stop.send_replace(true);
        if let Some(server) = self.server.take()
            && let Err(error) = server.await
        {
            tracing::warn!(%error, "the admin socket's task ended early");
        }
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        if let Some(server) = &self.server {
            server.abort();
        }
    }
}
