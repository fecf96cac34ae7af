//! Serves clients of the admin socket.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::protocol::{Envelope, Refusal, RefusalKind, Request, Response, SCHEMA};
use super::responder::Responder;

/// Clients served at once: people and scripts of one machine, some of which wait for outcomes.
pub const MAX_CLIENTS: usize = 64;
/// Longest request in bytes: the longest argument of a Linux command is 128 KiB, and JSON at most
/// doubles readable text.
pub const MAX_REQUEST: usize = 256 << 10;
/// How long a client may take for its next request, or to take an answer.
pub const CLIENT_PATIENCE: Duration = Duration::from_secs(10);
/// How long answers under way may take when the node stops: its messages are settled by then.
const CLOSING: Duration = Duration::from_millis(500);
/// Wait after a failed accept, which may fail again at once while the process is out of files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Accepts clients until `stop` says so, then lets answers under way finish.
pub(super) async fn serve(
    listener: UnixListener,
    responder: Arc<Responder>,
    mut stop: watch::Receiver<bool>,
) {
    let mut clients = JoinSet::new();
    let stopping = stop.clone();
    loop {
        tokio::select! {
            () = stopped(&mut stop) => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if clients.len() < MAX_CLIENTS => {
                    clients.spawn(client(stream, Arc::clone(&responder), stopping.clone()));
                }
                Ok((stream, _)) => turn_away(&stream),
                Err(error) => {
                    tracing::warn!(%error, "admin socket cannot accept");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(ended) = clients.join_next() => told(ended),
        }
    }
    drop(listener);
    let finish = async {
        while let Some(ended) = clients.join_next().await {
            told(ended);
        }
    };
    if timeout(CLOSING, finish).await.is_err() {
        tracing::debug!("admin clients were cut off");
    }
}

/// Returns when the node stops; a sender that is gone has stopped, too.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    drop(stop.wait_for(|stop| *stop).await);
}

fn told(ended: Result<io::Result<()>, tokio::task::JoinError>) {
    match ended {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "admin client"),
        Err(error) => tracing::warn!(%error, "an admin client's task ended early"),
    }
}

fn turn_away(stream: &UnixStream) {
    let message = format!("{MAX_CLIENTS} clients are served already; try again");
    let refusal = Refusal { kind: RefusalKind::Busy, message, candidates: Vec::new() };
    // A client that cannot take a line at once learns it from the closed socket.
    drop(stream.try_write(&line(Response::Refused(refusal))));
}

fn line(response: Response) -> Vec<u8> {
    // Every map has text for keys and every number is finite or absent, so this cannot fail.
    let mut line = serde_json::to_vec(&Envelope::new(response)).unwrap_or_default();
    line.push(b'\n');
    line
}

async fn client(
    stream: UnixStream,
    responder: Arc<Responder>,
    mut stop: watch::Receiver<bool>,
) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    loop {
        let mut request = Vec::new();
        let read = async {
            let mut limited = (&mut reader).take(MAX_REQUEST as u64 + 1);
            limited.read_until(b'\n', &mut request).await
        };
        let read = tokio::select! {
            () = stopped(&mut stop) => return Ok(()),
            read = timeout(CLIENT_PATIENCE, read) => read,
        };
        // One that says nothing more is let go without a word.
        let Ok(read) = read else { return Ok(()) };
        if read? == 0 {
            return Ok(());
        }
        let response = match Request::parse(&request) {
            Ok(request) => match answer(&responder, request, &mut reader).await? {
                Some(response) => response,
                None => return Ok(()),
            },
            Err(refusal) => {
                // What follows a line that was cut off is no request.
                return write(&mut writer, Response::Refused(refusal)).await;
            }
        };
        write(&mut writer, response).await?;
    }
}

/// The answer; `None` when the client left while it was waited for.
async fn answer(
    responder: &Responder,
    request: Request,
    reader: &mut BufReader<OwnedReadHalf>,
) -> io::Result<Option<Response>> {
    let mut answer = pin!(responder.answer(request));
    tokio::select! {
        biased;
        response = &mut answer => return Ok(Some(response)),
        more = reader.fill_buf() => if more?.is_empty() {
            return Ok(None);
        },
    }
    Ok(Some(answer.await))
}

impl Request {
    /// Reads a line from a client, of any content.
    pub(crate) fn parse(line: &[u8]) -> Result<Self, Refusal> {
        let bad =
            |message| Refusal { kind: RefusalKind::BadRequest, message, candidates: Vec::new() };
        if line.len() > MAX_REQUEST {
            return Err(bad(format!("the request is longer than {MAX_REQUEST} bytes")));
        }
        let value: serde_json::Value = serde_json::from_slice(line)
            .map_err(|e| bad(format!("the request is no JSON: {e}")))?;
        match value.get("schema") {
            Some(schema) if schema.as_u64() == Some(u64::from(SCHEMA)) => {}
            Some(other) => {
                return Err(bad(format!(
                    "the request has schema {other}, this node speaks schema {SCHEMA}; use the \
                     `bitcraps` of its version, {}",
                    env!("CARGO_PKG_VERSION")
                )));
            }
            None => return Err(bad(format!("the request has no \"schema\":{SCHEMA}"))),
        }
        serde_json::from_value(value)
            .map_err(|e| bad(format!("the request is not understood: {e}")))
    }
}

async fn write(writer: &mut OwnedWriteHalf, response: Response) -> io::Result<()> {
    match timeout(CLIENT_PATIENCE, writer.write_all(&line(response))).await {
        Ok(written) => written,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(line: &str) -> String {
        let refusal = Request::parse(line.as_bytes()).unwrap_err();
        assert_eq!(refusal.kind, RefusalKind::BadRequest);
        refusal.message
    }

    #[test]
    fn a_request_is_read_and_anything_else_named() {
        assert_eq!(Request::parse(br#"{"schema":1,"request":"status"}"#), Ok(Request::Status));
        assert_eq!(
            Request::parse(br#"{"schema":1,"request":"links","peer":"abcd"}"#),
            Ok(Request::Links { peer: Some("abcd".to_owned()) })
        );
        assert_eq!(refused(r#"{"request":"status"}"#), r#"the request has no "schema":1"#);
        assert_eq!(
            refused(r#"{"schema":2,"request":"status"}"#),
            "the request has schema 2, this node speaks schema 1; use the `bitcraps` of its \
             version, 0.1.0"
        );
        assert!(refused("{").starts_with("the request is no JSON: "));
        let unknown = refused(r#"{"schema":1,"request":"dance"}"#);
        assert!(unknown.contains("unknown variant `dance`"), "{unknown}");
        let missing = refused(r#"{"schema":1,"request":"why"}"#);
        assert!(missing.contains("missing field `peer`"), "{missing}");
    }

    #[test]
    fn a_request_may_be_as_long_as_the_bound_and_no_longer() {
        let request = |length: usize| {
            let text = r#"{"schema":1,"request":"status","#;
            format!("{text}\"x\":\"{}\"}}", "y".repeat(length - text.len() - 7))
        };
        assert_eq!(request(MAX_REQUEST).len(), MAX_REQUEST);
        assert_eq!(Request::parse(request(MAX_REQUEST).as_bytes()), Ok(Request::Status));
        let longer = refused(&request(MAX_REQUEST + 1));
        assert_eq!(longer, "the request is longer than 262144 bytes");
    }
}
