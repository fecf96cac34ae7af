//! HCI's UART transport: packets, each behind a byte that says what kind it is.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;

use bt_hci::ReadHciError;
use bt_hci::transport::{PacketKind, PacketToController, PacketToHost, Transport, WithIndicator};
use embedded_io::ErrorKind;
use embedded_io_adapters::tokio_1::FromTokio;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::sync::{Mutex, mpsc};

use super::guard::{Guard, Verdict};
use super::port::{Reader, Writer};

/// Packets that wait to be written: commands are answered one at a time and data is held back by
/// the controller's own credits, so that few ever do.
const QUEUE: usize = 16;

/// Length of what is before the data of a packet of it, and of what is before an event.
const DATA: usize = 4;
const EVENT: usize = 2;

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
    /// Sees all data, in both directions.
    guard: RefCell<Guard>,
    /// What the host was given last is to be the only thing that it has.
    alone: Cell<bool>,
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
        (Self { reader, packets, guard: RefCell::default(), alone: Cell::default() }, write)
    }
}

/// A packet of a kind that says how long it is in the last bytes of its `header`, of at most `most` bytes.
async fn packet(
    reader: &mut BufReader<Reader>,
    header: usize,
    most: usize,
) -> Result<Vec<u8>, H4Error> {
    let lost = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::UnexpectedEof => H4Error::Closed,
        _ => H4Error::Line(error.to_string()),
    };
    let mut packet = vec![0; header];
    reader.read_exact(&mut packet).await.map_err(lost)?;
    let len = match packet[..] {
        [.., low, high] if header == DATA => usize::from(u16::from_le_bytes([low, high])),
        [.., len] => usize::from(len),
        [] => 0,
    };
    if header + len > most {
        return Err(H4Error::NoPacket(format!("{len} bytes, where there is room for {most}")));
    }
    packet.resize(header + len, 0);
    reader.read_exact(&mut packet[header..]).await.map_err(lost)?;
    Ok(packet)
}

impl embedded_io::ErrorType for H4 {
    type Error = H4Error;
}

impl Transport for H4 {
    async fn read<'a, P: PacketToHost<'a>>(&self, rx: &'a mut [u8]) -> Result<P, H4Error> {
        if self.alone.take() {
            // Tasks of the radio go on before this one does.
            tokio::task::yield_now().await;
        }
        let mut reader = self.reader.lock().await;
        loop {
            let kind = PacketKind::read_async(&mut *reader).await.map_err(read_error)?;
            let header = match kind {
                PacketKind::AclData => DATA,
                PacketKind::Event => EVENT,
                _ => return P::read_hci_async(kind, &mut *reader, rx).await.map_err(read_error),
            };
            let packet = packet(reader.inner_mut(), header, rx.len()).await?;
            let verdict = match kind {
                PacketKind::AclData => self.guard.borrow_mut().admits(&packet),
                _ => self.guard.borrow_mut().told(&packet),
            };
            if verdict == Verdict::Refused {
                tracing::debug!(len = packet.len(), "a packet that no correct device sends");
                continue;
            }
            self.alone.set(verdict == Verdict::Alone);
            return Ok(P::read_hci(kind, &mut &packet[..], rx)?);
        }
    }

    async fn write<P: PacketToController>(&self, tx: &P) -> Result<(), H4Error> {
        let tx = WithIndicator::new(tx);
        let mut packet = vec![0; tx.size()];
        tx.write_hci(&mut packet[..]).map_err(|error| H4Error::NoPacket(format!("{error:?}")))?;
        if P::KIND == PacketKind::AclData {
            self.guard.borrow_mut().sent(&packet[1..]);
        }
        self.packets.send(packet).await.map_err(|_| H4Error::Closed)
    }
}
