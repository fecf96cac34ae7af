use std::future::Future;

use bitcraps_transport_api::DownReason;
use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::precedence::Tag;

/// What a closing end says, as QUIC's application error code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseCode {
    /// It wants the link no longer.
    Closed = 0,
    /// Another connection took, or keeps, the place of this one.
    Replaced = 1,
    /// It holds as many links as it may.
    NoRoom = 2,
    /// The other end broke the protocol.
    Violation = 3,
    /// Its transport shuts down.
    ShutDown = 4,
}

impl CloseCode {
    /// The number on the wire.
    pub const fn code(self) -> u32 {
        self as u32
    }

    /// Whether the other end closed with this code.
    pub fn said_in(self, lost: &Lost) -> bool {
        matches!(lost, Lost::ClosedByPeer(code) if *code == u64::from(self.code()))
    }
}

/// Why a connection is no more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Lost {
    /// The other end closed it, with this application error code.
    #[error("closed by the peer with code {0}")]
    ClosedByPeer(u64),
    /// This end closed it.
    #[error("closed here")]
    ClosedHere,
    /// Nothing was heard for the idle time.
    #[error("timed out")]
    TimedOut,
    /// The other end knows nothing of it: it has restarted.
    #[error("the peer has restarted")]
    Reset,
    /// QUIC itself failed.
    #[error("{0}")]
    Failed(String),
}

impl Lost {
    pub(crate) fn reason(&self) -> DownReason {
        match self {
            _ if CloseCode::Replaced.said_in(self) => DownReason::Replaced,
            _ if CloseCode::Violation.said_in(self) => {
                DownReason::Failed("the peer says that this end broke the framing".to_owned())
            }
            Self::ClosedByPeer(_) => DownReason::ClosedByPeer,
            Self::TimedOut => DownReason::TimedOut,
            Self::ClosedHere => DownReason::ClosedHere,
            Self::Reset | Self::Failed(_) => DownReason::Failed(self.to_string()),
        }
    }
}

/// Why a datagram was not sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DatagramError {
    /// It exceeds what the path carries now, or the peer takes none.
    #[error("the datagram does not fit")]
    DoesNotFit,
    /// The connection is gone.
    #[error(transparent)]
    Lost(#[from] Lost),
}

/// Why a stream was not written to its end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// The peer stopped reading it.
    #[error("the peer stopped reading a stream")]
    Refused,
    /// The connection is gone.
    #[error(transparent)]
    Lost(#[from] Lost),
}

/// One QUIC connection after its handshake, as this crate uses it. A clone is the same connection.
///
/// Futures may be dropped at any point: what was not done then stays undone, and nothing is lost.
pub trait Connection: Clone + Send + Sync + 'static {
    /// The writing half of a bidirectional stream; dropping it finishes the stream.
    type Send: AsyncWrite + Send + Unpin + 'static;
    /// The reading half of a stream.
    type Receive: AsyncRead + Send + Unpin + 'static;

    /// Largest datagram in bytes that the path carries now; 0 when none.
    fn max_datagram(&self) -> usize;

    /// Hands a datagram to QUIC, waiting while its buffer is full.
    fn send_datagram(
        &self,
        datagram: Bytes,
    ) -> impl Future<Output = Result<(), DatagramError>> + Send;

    /// The next datagram that arrived.
    fn read_datagram(&self) -> impl Future<Output = Result<Bytes, Lost>> + Send;

    /// Opens a stream, writes `pieces` and finishes it.
    fn write_stream(
        &self,
        pieces: Vec<Bytes>,
    ) -> impl Future<Output = Result<(), StreamError>> + Send + 'static;

    /// The next unidirectional stream that the peer opened.
    fn accept_uni(&self) -> impl Future<Output = Result<Self::Receive, Lost>> + Send;

    /// Opens a stream in both directions.
    fn open_bi(&self) -> impl Future<Output = Result<(Self::Send, Self::Receive), Lost>> + Send;

    /// The next stream in both directions that the peer opened.
    fn accept_bi(&self) -> impl Future<Output = Result<(Self::Send, Self::Receive), Lost>> + Send;

    /// A name derived from the TLS secrets for the exporter `label`, equal at both ends and unknown
    /// to everyone else.
    fn tag(&self, label: &[u8]) -> Option<Tag>;

    /// Tells the peer and ends everything.
    fn close(&self, code: CloseCode, why: &str);

    /// Why it is gone, if it is.
    fn lost(&self) -> Option<Lost>;

    /// Called once a second: fits QUIC's buffers to the path. Returns how many UDP datagrams were
    /// received in all.
    fn measure(&self) -> u64;
}
