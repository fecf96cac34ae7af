//! HCI's UART transport: packets, each behind a byte that says what kind it is.

use std::convert::Infallible;

use bt_hci::ReadHciError;
use bt_hci::transport::{PacketKind, PacketToController, PacketToHost, Transport, WithIndicator};
use embedded_io::ErrorKind;
use embedded_io_adapters::tokio_1::FromTokio;
use tokio::io::{AsyncWriteExt as _, BufReader};
use tokio::sync::{Mutex, mpsc};

use super::port::{Reader, Writer};

/// Packets that wait to be written: commands are answered one at a time and data is held back by
/// the controller's own credits, so that few ever do.
const QUEUE: usize = 16;

/// Why the controller cannot be spoken to any more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum H4Error {
    #[error("it closed the line")]
    Closed,
    #[error("it sent what is no packet of HCI: {0}")]
    NoPacket(String),
    #[error("{0}")]
    Line(String),
}

impl embedded_io::Error for H4Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Closed => ErrorKind::BrokenPipe,
            Self::NoPacket(_) => ErrorKind::InvalidData,
            Self::Line(_) => ErrorKind::Other,
        }
    }
}

fn read_error<E: embedded_io::Error>(error: ReadHciError<E>) -> H4Error {
    match error {
        ReadHciError::Read(embedded_io::ReadExactError::UnexpectedEof) => H4Error::Closed,
        ReadHciError::Read(embedded_io::ReadExactError::Other(error)) => {
            H4Error::Line(format!("{error:?}"))
        }
        error => H4Error::NoPacket(format!("{error:?}")),
    }
}

impl From<ReadHciError<Infallible>> for H4Error {
    fn from(error: ReadHciError<Infallible>) -> Self {
        read_error(error)
    }
}

/// The line to a controller.
pub(super) struct H4 {
    reader: Mutex<FromTokio<BufReader<Reader>>>,
    /// Whole packets: whoever writes one may be dropped at any point, and half a packet would make
    /// nonsense of everything behind it.
    packets: mpsc::Sender<Vec<u8>>,
}

impl H4 {
    /// The line, and what writes to it for as long as it is polled.
    pub(super) fn new(
        reader: Reader,
        mut writer: Writer,
    ) -> (Self, impl Future<Output = std::io::Error>) {
        let (packets, mut queue) = mpsc::channel::<Vec<u8>>(QUEUE);
        let write = async move {
            while let Some(packet) = queue.recv().await {
                if let Err(error) = writer.write_all(&packet).await {
                    return error;
                }
            }
            std::future::pending().await
        };
        let reader = Mutex::new(FromTokio::new(BufReader::new(reader)));
        (Self { reader, packets }, write)
    }
}

impl embedded_io::ErrorType for H4 {
    type Error = H4Error;
}

impl Transport for H4 {
    async fn read<'a, P: PacketToHost<'a>>(&self, rx: &'a mut [u8]) -> Result<P, H4Error> {
        let mut reader = self.reader.lock().await;
        let kind = PacketKind::read_async(&mut *reader).await.map_err(read_error)?;
        P::read_hci_async(kind, &mut *reader, rx).await.map_err(read_error)
    }

    async fn write<P: PacketToController>(&self, tx: &P) -> Result<(), H4Error> {
        let tx = WithIndicator::new(tx);
        let mut packet = vec![0; tx.size()];
        tx.write_hci(&mut packet[..]).map_err(|error| H4Error::NoPacket(format!("{error:?}")))?;
        self.packets.send(packet).await.map_err(|_| H4Error::Closed)
    }
}
