use std::io;

use async_trait::async_trait;
use bluer::l2cap::SeqPacket;

use crate::place::Device;
use crate::radio::{Channel, MAX_SDU};

/// An L2CAP credit-based channel of the kernel.
pub(super) struct L2cap {
    socket: SeqPacket,
    device: Device,
}

impl L2cap {
    /// Refuses a channel whose other end does not take units of [`MAX_SDU`] bytes.
    pub(super) fn new(socket: SeqPacket, device: Device) -> io::Result<Self> {
        let takes = usize::from(socket.as_ref().send_mtu()?);
        if takes < MAX_SDU {
            let why = format!("the other end takes units of {takes} bytes, {MAX_SDU} are needed");
            return Err(io::Error::new(io::ErrorKind::Unsupported, why));
        }
        Ok(Self { socket, device })
    }
}

#[async_trait]
impl Channel for L2cap {
    fn device(&self) -> Device {
        self.device
    }

    async fn send(&self, unit: &[u8]) -> io::Result<()> {
        let sent = self.socket.send(unit).await?;
        match sent == unit.len() {
            true => Ok(()),
            false => Err(io::Error::new(io::ErrorKind::WriteZero, "a unit was sent in part")),
        }
    }

    async fn receive(&self, unit: &mut [u8]) -> io::Result<usize> {
        self.socket.recv(unit).await
    }
}
