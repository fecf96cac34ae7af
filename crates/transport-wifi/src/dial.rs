//! A call that goes out.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bitcraps_transport_api::{ConnectError, ConnectTarget};
use bitcraps_types::LinkId;
use quinn::ConnectionError;

use crate::driver::CloseCode;
use crate::endpoint::{CallError, LocalEndpoint};
use crate::greeting::{self, GreetingError, Hello};
use crate::lan::Lan;
use crate::links::{Admission, Path, PathKey};
use crate::precedence::{Claim, Dialler};
use crate::tls::Expected;

/// How long to wait for the link in whose favour a peer refused this one. Both were dialled at the
/// same time, so it is a round trip away.
const RIVAL_WAIT: Duration = Duration::from_secs(1);

/// Opens a link to `target`; the link that already runs over the same path counts as opened.
pub(crate) async fn dial(lan: Arc<Lan>, target: ConnectTarget) -> Result<LinkId, ConnectError> {
    let (remote, endpoint) = lan.plan(&target)?;
    let limit = lan.config.connection_timeout;
    let call = Call {
        lan: &lan,
        endpoint: &endpoint,
        remote,
        key: PathKey { peer: target.peer, local: endpoint.address, remote },
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
    key: PathKey,
}

impl Call<'_> {
    fn unreachable(&self, why: impl ToString) -> ConnectError {
        ConnectError::Unreachable { address: self.remote.to_string(), why: why.to_string() }
    }

    fn lost(&self, why: &ConnectionError, expected: &Expected) -> ConnectError {
        if let Some(why) = expected.shown_instead() {
            return ConnectError::WrongPeer {
                address: self.remote.to_string(),
                expected: self.key.peer.short(),
                why,
            };
        }
        match why {
            ConnectionError::LocallyClosed => ConnectError::NotStarted,
            _ if CloseCode::NoRoom.said_in(why) => {
                self.unreachable("it holds as many links as it may")
            }
            _ if CloseCode::ShutDown.said_in(why) => self.unreachable("it is shutting down"),
            _ => self.unreachable(why),
        }
    }

    async fn run(&self) -> Result<LinkId, ConnectError> {
        let dial = match self.lan.links.begin_dial(self.key).await {
            Path::Taken(id) => return Ok(id),
            Path::Free(dial) => dial,
        };
        let expected = Arc::new(Expected::new(self.key.peer));
        let call = self.endpoint.call(self.remote, &self.lan.tls, expected.clone());
        let call = call.map_err(|error| match error {
            CallError::Quic(quinn::ConnectError::EndpointStopping) => ConnectError::NotStarted,
            CallError::Quic(error) => self.unreachable(error),
            CallError::Tls(error) => self.unreachable(error),
        })?;
        let connection = call.await.map_err(|why| self.lost(&why, &expected))?;
        let hello = Hello { incarnation: self.lan.incarnation, replaces: dial.replaces };
        let incarnation = match greeting::dial(&connection, hello).await {
            Ok(incarnation) => incarnation,
            Err(GreetingError::Lost(why)) if CloseCode::Replaced.said_in(&why) => {
                let rival = self.lan.links.link_over(self.key);
                let rival = tokio::time::timeout(RIVAL_WAIT, rival).await;
                return rival.map_err(|_| {
                    self.unreachable("it still trusts an earlier link over this path; dial again")
                });
            }
            Err(GreetingError::Lost(why)) => return Err(self.lost(&why, &expected)),
            Err(GreetingError::Malformed) => {
                return Err(self.unreachable(GreetingError::Malformed));
            }
        };
        let Some(tag) = greeting::tag(&connection) else {
            return Err(self.unreachable("the handshake gave no secret"));
        };
        let claim = Claim { dialler: Dialler::Us, incarnation, tag };
        let lan = self.lan;
        let (id, admission) = lan.establish(connection.clone(), self.key, claim, dial.replaces);
        let refuse = |code: CloseCode| connection.close(code.into(), b"");
        match admission {
            Admission::Up => Ok(id),
            Admission::Yield(rival) => {
                refuse(CloseCode::Replaced);
                Ok(rival)
            }
            Admission::NoRoom => {
                refuse(CloseCode::NoRoom);
                Err(self.unreachable("this node holds as many links as it may"))
            }
            Admission::ShutDown => {
                refuse(CloseCode::ShutDown);
                Err(ConnectError::NotStarted)
            }
        }
    }
}
