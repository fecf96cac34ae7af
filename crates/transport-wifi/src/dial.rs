//! A call that goes out.

use std::net::SocketAddr;
use std::sync::Arc;

use bitcraps_quic_link::{CallError as LinkError, Lost, Path};
use bitcraps_transport_api::{ConnectError, ConnectTarget};
use bitcraps_types::LinkId;
use quinn::ConnectionError;

use crate::connection::Connection;
use crate::endpoint::{CallError, LocalEndpoint};
use crate::lan::{Lan, LanPath};
use crate::tls::Expected;

/// Opens a link to `target`; the link that already runs over the same path counts as opened.
pub(crate) async fn dial(lan: Arc<Lan>, target: ConnectTarget) -> Result<LinkId, ConnectError> {
    let (remote, endpoint) = lan.plan(&target)?;
    let limit = lan.config.connection_timeout;
    let call = Call {
        lan: &lan,
        endpoint: &endpoint,
        remote,
        path: LanPath { peer: target.peer, local: endpoint.address, remote },
    };
    tokio::select! {
        dialled = tokio::time::timeout(limit, call.run()) => dialled.unwrap_or_else(|_| {
            Err(ConnectError::TimedOut {
                address: remote.to_string(),
                millis: u64::try_from(limit.as_millis()).unwrap_or(u64::MAX),
            })
        }),
        () = lan.stopped() => Err(ConnectError::NotStarted),
    }
}

struct Call<'a> {
    lan: &'a Arc<Lan>,
    endpoint: &'a LocalEndpoint,
    remote: SocketAddr,
    path: LanPath,
}

impl Call<'_> {
    fn unreachable(&self, why: impl ToString) -> ConnectError {
        ConnectError::Unreachable { address: self.remote.to_string(), why: why.to_string() }
    }

    fn lost(&self, why: &ConnectionError, expected: &Expected) -> ConnectError {
        if let Some(why) = expected.shown_instead() {
            return ConnectError::WrongPeer {
                address: self.remote.to_string(),
                expected: self.path.peer.short(),
                why,
            };
        }
        match why {
            ConnectionError::LocallyClosed => ConnectError::NotStarted,
            _ => self.unreachable(why),
        }
    }

    async fn run(&self) -> Result<LinkId, ConnectError> {
        let dial = match self.lan.exchange.begin_dial(self.path).await {
            Path::Taken(id) => return Ok(id),
            Path::Free(dial) => dial,
        };
        let expected = Arc::new(Expected::new(self.path.peer));
        let call = self.endpoint.call(self.remote, &self.lan.tls, expected.clone());
        let call = call.map_err(|error| match error {
            CallError::Quic(quinn::ConnectError::EndpointStopping) => ConnectError::NotStarted,
            CallError::Quic(error) => self.unreachable(error),
            CallError::Tls(error) => self.unreachable(error),
        })?;
        let connection = call.await.map_err(|why| self.lost(&why, &expected))?;
        let shape = self.lan.shape(self.path);
        let linked = self.lan.exchange.call(&dial, Connection(connection), shape).await;
        linked.map_err(|error| match error {
            LinkError::ShutDown | LinkError::Lost(Lost::ClosedHere) => ConnectError::NotStarted,
            LinkError::Lost(_)
            | LinkError::Greeting(_)
            | LinkError::NoSecret
            | LinkError::Rival
            | LinkError::NoRoom => self.unreachable(error),
        })
    }
}
