use std::future::Future;
use std::sync::{Mutex, PoisonError};

use bitcraps_quic_link::{CloseCode, DatagramError, Lost, PathView, StreamError, Tag};
use bitcraps_transport_api::LinkPath;
use bytes::Bytes;
use iroh::endpoint::{
    self, ConnectionError, LocalTransportAddr, RecvStream, SendDatagramError, SendStream, VarInt,
    WriteError,
};
use iroh::{EndpointId, TransportAddr};

use crate::identity::peer_of;

/// iroh's connection for `bitcraps-quic-link`.
#[derive(Clone)]
pub(crate) struct Connection(pub(crate) endpoint::Connection);

pub(crate) fn lost(error: &ConnectionError) -> Lost {
    match error {
        ConnectionError::ApplicationClosed(close) => {
            Lost::ClosedByPeer(close.error_code.into_inner())
        }
        ConnectionError::TimedOut => Lost::TimedOut,
        ConnectionError::LocallyClosed => Lost::ClosedHere,
        ConnectionError::Reset => Lost::Reset,
        ConnectionError::VersionMismatch
        | ConnectionError::TransportError(_)
        | ConnectionError::ConnectionClosed(_)
        | ConnectionError::CidsExhausted => Lost::Failed(error.to_string()),
    }
}

impl bitcraps_quic_link::Connection for Connection {
    type Send = SendStream;
    type Receive = RecvStream;

    fn max_datagram(&self) -> usize {
        self.0.max_datagram_size().unwrap_or(0)
    }

    async fn send_datagram(&self, datagram: Bytes) -> Result<(), DatagramError> {
        let sent = self.0.send_datagram_wait(datagram).await;
        sent.map_err(|error| match error {
            SendDatagramError::ConnectionLost(why) => DatagramError::Lost(lost(&why)),
            SendDatagramError::TooLarge
            | SendDatagramError::UnsupportedByPeer
            | SendDatagramError::Disabled => DatagramError::DoesNotFit,
        })
    }

    async fn read_datagram(&self) -> Result<Bytes, Lost> {
        self.0.read_datagram().await.map_err(|error| lost(&error))
    }

    fn write_stream(
        &self,
        mut pieces: Vec<Bytes>,
    ) -> impl Future<Output = Result<(), StreamError>> + Send + 'static {
        let connection = self.0.clone();
        async move {
            let mut stream = connection.open_uni().await.map_err(|error| lost(&error))?;
            let written = stream.write_all_chunks(&mut pieces).await;
            // Dropping the stream finishes it.
            written.map_err(|error| match error {
                WriteError::ConnectionLost(why) => StreamError::Lost(lost(&why)),
                WriteError::Stopped(_) | WriteError::ClosedStream | WriteError::ZeroRttRejected => {
                    StreamError::Refused
                }
            })
        }
    }

    async fn accept_uni(&self) -> Result<RecvStream, Lost> {
        self.0.accept_uni().await.map_err(|error| lost(&error))
    }

    async fn open_bi(&self) -> Result<(SendStream, RecvStream), Lost> {
        self.0.open_bi().await.map_err(|error| lost(&error))
    }

    async fn accept_bi(&self) -> Result<(SendStream, RecvStream), Lost> {
        self.0.accept_bi().await.map_err(|error| lost(&error))
    }

    fn tag(&self, label: &[u8]) -> Option<Tag> {
        let mut tag = Tag::default();
        let exported = self.0.export_keying_material(&mut tag, label, b"");
        exported.ok().map(|()| tag)
    }

    fn close(&self, code: CloseCode, why: &str) {
        self.0.close(VarInt::from_u32(code.code()), why.as_bytes());
    }

    fn lost(&self) -> Option<Lost> {
        self.0.close_reason().map(|error| lost(&error))
    }

    fn measure(&self) -> u64 {
        self.0.stats().udp_rx.datagrams
    }
}

impl Connection {
    /// The path that it uses now; `None` for a moment at its beginning, and after its end.
    pub(crate) fn path(&self, own: EndpointId) -> Option<LinkPath> {
        let paths = self.0.paths();
        let used =
            paths.iter().find(endpoint::Path::is_selected).or_else(|| paths.iter().next())?;
        let by_key = |id: EndpointId| peer_of(id).short();
        Some(match used.remote_addr() {
            TransportAddr::Ip(remote) => LinkPath {
                local: match used.local_addr() {
                    LocalTransportAddr::Ip(Some(local)) => local.to_string(),
                    _ => by_key(own),
                },
                remote: remote.to_string(),
                relay: None,
            },
            TransportAddr::Relay(url) => LinkPath {
                local: by_key(own),
                remote: by_key(self.0.remote_id()),
                relay: Some(url.as_str().trim_end_matches('/').to_owned()),
            },
            // Nothing else is switched on.
            _ => return None,
        })
    }

    /// Tells the path in use whenever asked, without keeping the connection open.
    pub(crate) fn path_view(&self, own: EndpointId) -> PathView {
        let handle = self.0.weak_handle();
        let first = self.path(own).unwrap_or_else(|| LinkPath {
            local: peer_of(own).short(),
            remote: peer_of(self.0.remote_id()).short(),
            relay: None,
        });
        let last = Mutex::new(first);
        Box::new(move || {
            let now = handle.upgrade().and_then(|connection| Self(connection).path(own));
            let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(now) = now {
                *last = now;
            }
            last.clone()
        })
    }
}
