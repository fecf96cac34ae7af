use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_serial::{FlowControl, SerialPortBuilderExt as _};

use crate::radio::RadioError;

/// Rate of a serial controller in bits per second: what Zephyr's `hci_uart` is built with.
const BAUD: u32 = 1_000_000;

/// Where a Bluetooth controller speaks HCI, in the format of its UART transport (H4). Written
/// `serial:/dev/ttyACM0` or `tcp:127.0.0.1:7300`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Port {
    /// A serial line of 1,000,000 bits per second with hardware flow control.
    Serial(String),
    /// A socket of this machine: a controller in another process.
    Tcp(SocketAddr),
}

/// A text that is no [`Port`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParsePortError {
    /// Neither kind of port.
    #[error("expected serial:/dev/ttyACM0 or tcp:127.0.0.1:7300")]
    Form,
    /// A controller does what it is told by whoever reaches it, and is told everything in the clear.
    #[error("{0} is not on this machine; a controller is reached on a loopback address only")]
    NotLoopback(SocketAddr),
}

impl FromStr for Port {
    type Err = ParsePortError;

    fn from_str(text: &str) -> Result<Self, ParsePortError> {
        match text.split_once(':') {
            Some(("serial", path)) if path.starts_with('/') => Ok(Self::Serial(path.to_owned())),
            Some(("tcp", address)) => {
                let address: SocketAddr = address.parse().map_err(|_| ParsePortError::Form)?;
                if !address.ip().is_loopback() {
                    return Err(ParsePortError::NotLoopback(address));
                }
                Ok(Self::Tcp(address))
            }
            _ => Err(ParsePortError::Form),
        }
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Serial(path) => write!(f, "serial:{path}"),
            Self::Tcp(address) => write!(f, "tcp:{address}"),
        }
    }
}

/// Bytes from a controller.
pub(super) type Reader = Box<dyn AsyncRead + Unpin>;
/// Bytes to a controller.
pub(super) type Writer = Box<dyn AsyncWrite + Unpin>;

impl Port {
    /// Opens it. Only within the runtime that uses it.
    pub(super) async fn open(&self) -> Result<(Reader, Writer), RadioError> {
        let missing = |why: String| RadioError::NoAdapter { adapter: self.to_string(), why };
        match self {
            Self::Serial(path) => {
                let line = tokio_serial::new(path, BAUD).flow_control(FlowControl::Hardware);
                let line = line.open_native_async().map_err(|error| missing(error.to_string()))?;
                let (reader, writer) = tokio::io::split(line);
                Ok((Box::new(reader), Box::new(writer)))
            }
            Self::Tcp(address) => {
                let stream = TcpStream::connect(address).await;
                let stream = stream.map_err(|error| missing(error.to_string()))?;
                stream.set_nodelay(true).map_err(|error| missing(error.to_string()))?;
                let (reader, writer) = stream.into_split();
                Ok((Box::new(reader), Box::new(writer)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_read_as_it_is_written_and_is_on_this_machine() {
        for good in ["serial:/dev/ttyACM0", "tcp:127.0.0.1:7300", "tcp:[::1]:1"] {
            assert_eq!(good.parse::<Port>().map(|port| port.to_string()).as_deref(), Ok(good));
        }
        let far = "192.0.2.1:7300";
        let refused = Err(ParsePortError::NotLoopback(far.parse().unwrap()));
        assert_eq!(format!("tcp:{far}").parse::<Port>(), refused);
        for bad in ["", "serial:", "serial:ttyACM0", "tcp:", "tcp:localhost:1", "usb:0", "/dev/x"] {
            assert_eq!(bad.parse::<Port>(), Err(ParsePortError::Form), "{bad}");
        }
    }
}
