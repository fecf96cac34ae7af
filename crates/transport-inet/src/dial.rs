//! A call that goes out, over everything that is known of the peer at once.

use std::sync::Arc;

use bitcraps_quic_link::{CallError, Lost, Path};
use bitcraps_transport_api::{ConnectError, ConnectTarget};
use bitcraps_types::{LinkId, TransportType};
use iroh::endpoint::{ConnectWithOptsError, ConnectingError, ConnectionError, TransportErrorCode};
use iroh::{EndpointAddr, EndpointId, TransportAddr};

use crate::address::PeerAddress;
use crate::connection::Connection;
use crate::endpoint::ALPN;
use crate::identity::{endpoint_of, peer_of};
use crate::internet::Internet;

/// What TLS says when a peer shows another key than the one expected: the alert `unknown_ca`.
const WRONG_KEY_ALERT: u8 = 48;

/// Opens a link to `target`; the link that already runs to the same peer counts as opened.
pub(crate) async fn dial(
    internet: Arc<Internet>,
    target: ConnectTarget,
) -> Result<LinkId, ConnectError> {
    let (peer, address) = plan(&internet, &target)?;
    let limit = internet.config.connection_timeout;
    let call = Call { internet: &internet, peer, address, target: &target };
    tokio::select! {
        dialled = tokio::time::timeout(limit, call.run()) => dialled.unwrap_or_else(|_| {
            Err(ConnectError::TimedOut {
                address: target.address.to_string(),
                millis: u64::try_from(limit.as_millis()).unwrap_or(u64::MAX),
            })
        }),
        () = internet.stopped() => Err(ConnectError::NotStarted),
    }
}

/// Whom to call, and where.
fn plan(
    internet: &Internet,
    target: &ConnectTarget,
) -> Result<(EndpointId, PeerAddress), ConnectError> {
    let bad = |why: String| {
        let address = target.via.as_ref().unwrap_or(&target.address);
        Err(ConnectError::BadAddress { address: address.to_string(), why })
    };
    if target.transport != TransportType::Internet {
        return bad(format!("it belongs to {}", target.transport));
    }
    if target.peer == peer_of(internet.endpoint.id()) {
        return bad("that is this node itself".to_owned());
    }
    if target.via.is_some() {
        return bad("this transport finds the way itself; leave out via".to_owned());
    }
    let address: PeerAddress = match target.address.as_str().parse() {
        Ok(address) => address,
        Err(error) => return bad(format!("{error}")),
    };
    match endpoint_of(target.peer) {
        Some(peer) => Ok((peer, address)),
        None => Err(ConnectError::WrongPeer {
            address: target.address.to_string(),
            expected: target.peer.short(),
            why: "no secret key belongs to that name".to_owned(),
        }),
    }
}

struct Call<'a> {
    internet: &'a Arc<Internet>,
    peer: EndpointId,
    address: PeerAddress,
    target: &'a ConnectTarget,
}

impl Call<'_> {
    fn unreachable(&self, why: impl ToString) -> ConnectError {
        ConnectError::Unreachable { address: self.target.address.to_string(), why: why.to_string() }
    }

    fn lost(&self, why: &ConnectionError) -> ConnectError {
        match why {
            ConnectionError::LocallyClosed => ConnectError::NotStarted,
            ConnectionError::TransportError(error)
                if error.code == TransportErrorCode::crypto(WRONG_KEY_ALERT) =>
            {
                ConnectError::WrongPeer {
                    address: self.target.address.to_string(),
                    expected: self.target.peer.short(),
                    why: "another key answered".to_owned(),
                }
            }
            _ => self.unreachable(why),
        }
    }

    fn endpoint_address(&self) -> EndpointAddr {
        let direct = self.address.direct().iter().copied().map(TransportAddr::Ip);
        let relays = self.address.relays().iter().map(|r| TransportAddr::Relay(r.url().clone()));
        EndpointAddr::from_parts(self.peer, direct.chain(relays))
    }

    async fn run(&self) -> Result<LinkId, ConnectError> {
        let dial = match self.internet.exchange.begin_dial(self.target.peer).await {
            Path::Taken(id) => return Ok(id),
            Path::Free(dial) => dial,
        };
        let endpoint = &self.internet.endpoint;
        let options = Default::default();
        let call = endpoint.connect_with_opts(self.endpoint_address(), ALPN, options).await;
        let call = call.map_err(|error| match error {
            ConnectWithOptsError::EndpointClosed { .. } => ConnectError::NotStarted,
            error => self.unreachable(error),
        })?;
        let connection = Connection(call.await.map_err(|error| match error {
            ConnectingError::ConnectionError { source, .. } => self.lost(&source),
            error => self.unreachable(error),
        })?);
        let shape = self.internet.shape(&connection);
        let linked = self.internet.exchange.call(&dial, connection, shape).await;
        linked.map_err(|error| match error {
            CallError::ShutDown | CallError::Lost(Lost::ClosedHere) => ConnectError::NotStarted,
            CallError::Lost(_)
            | CallError::Greeting(_)
            | CallError::NoSecret
            | CallError::Rival
            | CallError::NoRoom => self.unreachable(error),
        })
    }
}
