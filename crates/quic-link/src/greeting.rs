//! The first words on a connection, on its only bidirectional stream: the dialler says who it is
//! now, the other end answers in kind once it has taken the connection in. Until then the dialler
//! does not know whether its own key was accepted, because TLS 1.3 ends earlier at its side.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::connection::{Connection, Lost};
use crate::precedence::{Incarnation, Tag};

pub(crate) const HELLO: usize = 17;

/// What the dialler says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hello {
    /// The dialler's run.
    pub incarnation: Incarnation,
    /// The link over the same path that the dialler holds for dead.
    pub replaces: Option<Tag>,
}

impl Hello {
    pub(crate) fn encode(self) -> [u8; HELLO] {
        let mut out = [0; HELLO];
        let (head, tag) = out.split_at_mut(9);
        head[..8].copy_from_slice(&self.incarnation);
        if let Some(replaces) = self.replaces {
            head[8] = 1;
            tag.copy_from_slice(&replaces);
        }
        out
    }

    pub(crate) fn decode(bytes: [u8; HELLO]) -> Option<Self> {
        let incarnation = *bytes.first_chunk()?;
        let tag: Tag = *bytes.last_chunk()?;
        let replaces = match (bytes[8], tag) {
            (0, tag) if tag == Tag::default() => None,
            (1, tag) => Some(tag),
            _ => return None,
        };
        Some(Self { incarnation, replaces })
    }
}

/// Why there was no greeting.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GreetingError {
    /// The connection ended first.
    #[error(transparent)]
    Lost(#[from] Lost),
    /// The other end speaks otherwise.
    #[error("it greets in another way than version 1")]
    Malformed,
}

fn broken(connection: &impl Connection) -> GreetingError {
    match connection.lost() {
        Some(reason) => GreetingError::Lost(reason),
        None => GreetingError::Malformed,
    }
}

/// Speaks first and waits for the answer: the other end's incarnation.
///
/// # Errors
/// [`GreetingError`]; the connection is of no use then.
pub async fn dial(
    connection: &impl Connection,
    hello: Hello,
) -> Result<Incarnation, GreetingError> {
    let (mut send, mut receive) = connection.open_bi().await?;
    let said = send.write_all(&hello.encode()).await;
    said.map_err(|_| broken(connection))?;
    drop(send);
    let mut welcome = Incarnation::default();
    let heard = receive.read_exact(&mut welcome).await;
    heard.map_err(|_| broken(connection))?;
    Ok(welcome)
}

/// The other end of [`dial`], up to the decision.
pub(crate) struct Caller<C: Connection> {
    pub(crate) hello: Hello,
    answer: C::Send,
}

impl<C: Connection> Caller<C> {
    /// Waits for the dialler to speak.
    pub(crate) async fn hear(connection: &C) -> Result<Self, GreetingError> {
        let (answer, mut receive) = connection.accept_bi().await?;
        let mut hello = [0; HELLO];
        let heard = receive.read_exact(&mut hello).await;
        heard.map_err(|_| broken(connection))?;
        let hello = Hello::decode(hello).ok_or(GreetingError::Malformed)?;
        Ok(Self { hello, answer })
    }

    /// Tells the dialler that its connection is a link now.
    pub(crate) async fn welcome(mut self, own: Incarnation) -> std::io::Result<()> {
        self.answer.write_all(&own).await
    }
}

/// The connection's name, equal at both ends and unknown to everyone else; `None` before the
/// handshake is complete.
pub(crate) fn tag(connection: &impl Connection) -> Option<Tag> {
    connection.tag(b"EXPORTER-bitcraps-link")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hello_is_read_back_and_nothing_else_is_one() {
        for replaces in [None, Some([9; 8]), Some([0; 8])] {
            let hello = Hello { incarnation: [7; 8], replaces };
            assert_eq!(Hello::decode(hello.encode()), Some(hello));
        }
        let mut bytes = [7; HELLO];
        bytes[8] = 2;
        assert_eq!(Hello::decode(bytes), None);
        bytes[8] = 0;
        assert_eq!(Hello::decode(bytes), None, "a tag that is not there");
    }
}
