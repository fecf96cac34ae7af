//! The side of the command line.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::protocol::{Envelope, Refusal, Request, Response, SCHEMA};
use super::responder::MAX_WAIT;

/// Longest answer that is taken, in bytes: a thousand peers with eight links each are below.
const MAX_RESPONSE: u64 = 64 << 20;
/// How long a request may take to be taken, and the node to begin its answer.
const PATIENCE: Duration = Duration::from_secs(15);

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AdminError {
    /// Nobody listens.
    #[error("no node is running at {}; start one with `bitcraps run`", .0.display())]
    NoNode(PathBuf),
    /// The socket belongs to somebody else.
    #[error("{} belongs to another user; ask as the user who runs the node", .0.display())]
    Denied(PathBuf),
    /// The node did not answer in time.
    #[error("the node at {} gave no answer within {}", path.display(), seconds(*within))]
    TimedOut {
        /// The socket.
        path: PathBuf,
        /// How long it was given.
        within: Duration,
    },
    /// The node stopped.
    #[error("the node at {} closed the connection without an answer; it may be stopping", .0.display())]
    Closed(PathBuf),
    /// The answer makes no sense.
    #[error("the answer of the node at {} is not understood: {problem}", path.display())]
    NotUnderstood {
        /// The socket.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The socket failed.
    #[error("cannot talk to the node at {}: {reason}", path.display())]
    Failed {
        /// The socket.
        path: PathBuf,
        /// The kind of failure.
        kind: io::ErrorKind,
        /// What the system says.
        reason: String,
    },
    /// The node refused.
    #[error(transparent)]
    Refused(Refusal),
}

fn seconds(within: Duration) -> String {
    format!("{} s", within.as_secs())
}

/// How long the answer to `request` may take.
fn patience(request: &Request) -> Duration {
    match request {
        // What is waited for is bounded by the node.
        Request::Send { wait: true, .. } | Request::Ping { .. } | Request::Join { .. } => {
            MAX_WAIT + PATIENCE
        }
        Request::Status
        | Request::Peers
        | Request::Links { .. }
        | Request::Why { .. }
        | Request::Send { wait: false, .. }
        | Request::Invite { .. }
        | Request::Admit { .. }
        | Request::Block { .. }
        | Request::Forget { .. }
        | Request::Topology
        | Request::Path { .. }
        | Request::Health
        | Request::History { .. }
        | Request::Heal { .. }
        | Request::Game { .. }
        | Request::Alerts
        | Request::Silence { .. }
        | Request::Unsilence { .. }
        | Request::Acknowledge { .. }
        | Request::Metrics
        | Request::Outbox
        | Request::Reload
        | Request::Config
        | Request::Targets => PATIENCE,
    }
}

/// Asks the node that listens at `path`, and waits for its answer.
///
/// # Errors
/// [`AdminError`]; [`AdminError::Refused`] holds what the node refused, and why.
pub fn request(path: &Path, request: &Request) -> Result<Response, AdminError> {
    let within = patience(request);
    let failed = |e: io::Error| match e.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            AdminError::NoNode(path.to_owned())
        }
        io::ErrorKind::PermissionDenied => AdminError::Denied(path.to_owned()),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            AdminError::TimedOut { path: path.to_owned(), within }
        }
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
            AdminError::Closed(path.to_owned())
        }
        kind => AdminError::Failed { path: path.to_owned(), kind, reason: e.to_string() },
    };
    let strange = |problem: String| AdminError::NotUnderstood { path: path.to_owned(), problem };
    let stream = UnixStream::connect(path).map_err(failed)?;
    stream.set_write_timeout(Some(PATIENCE)).map_err(failed)?;
    stream.set_read_timeout(Some(within)).map_err(failed)?;
    let mut line = serde_json::to_vec(&Envelope::new(request))
        .map_err(|e| strange(format!("the request cannot be written: {e}")))?;
    line.push(b'\n');
    match (&stream).write_all(&line) {
        // A node that turns clients away may say so before it has read.
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => {}
        written => written.map_err(failed)?,
    }
    let mut answer = Vec::new();
    let mut reader = BufReader::new(&stream).take(MAX_RESPONSE);
    reader.read_until(b'\n', &mut answer).map_err(failed)?;
    if answer.is_empty() {
        return Err(AdminError::Closed(path.to_owned()));
    }
    let value: serde_json::Value = serde_json::from_slice(&answer)
        .map_err(|e| strange(format!("{e} (after {} bytes)", answer.len())))?;
    let schema = value.get("schema").and_then(serde_json::Value::as_u64);
    if schema != Some(u64::from(SCHEMA)) {
        let theirs = schema.map_or_else(|| "no schema".to_owned(), |n| format!("schema {n}"));
        return Err(strange(format!(
            "it has {theirs}, this program speaks schema {SCHEMA}; use the `bitcraps` of the \
             node's version"
        )));
    }
    match serde_json::from_value(value).map_err(|e| strange(e.to_string()))? {
        Response::Refused(refusal) => Err(AdminError::Refused(refusal)),
        response => Ok(response),
    }
}
