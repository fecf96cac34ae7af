use std::future::Future;

use bitcraps_quic_link::{CloseCode, DatagramError, Lost, StreamError, Tag};
use bytes::Bytes;
use quinn::{ConnectionError, RecvStream, SendDatagramError, SendStream, VarInt, WriteError};

use crate::endpoint::send_window;

/// quinn's connection for `bitcraps-quic-link`.
#[derive(Clone)]
pub(crate) struct Connection(pub(crate) quinn::Connection);

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

pub(crate) fn close(connection: &quinn::Connection, code: CloseCode) {
    connection.close(VarInt::from_u32(code.code()), b"");
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
        let stats = self.0.stats();
        self.0.set_send_window(send_window(stats.path.cwnd));
        stats.udp_rx.datagrams
    }
}
