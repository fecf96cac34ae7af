//! A node in a process of its own, as the table sees it: orders go to its standard input and its
//! words come from its standard output, one JSON line each.

pub(crate) mod program;

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bitcraps_node::coordinator::OutboxId;
use bitcraps_types::{Epoch, PeerId, Timestamp, TrafficClass};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::Switches;
use super::ledger::{Ending, Ledger, Tag};

/// The verb that runs [`program`].
pub(crate) const VERB: &str = "demo-seat";

/// Orders that wait for the process to read them: some seconds of traffic.
const ORDERS: usize = 1_024;

/// How long a process may take to sit down, and to leave.
const PATIENCE: Duration = Duration::from_secs(10);

/// The first line that the process is told.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Seating {
    pub(super) key: [u8; 32],
    pub(super) epoch: u64,
    pub(super) store: PathBuf,
    pub(super) relay: String,
    /// Whom it dials.
    pub(super) peers: Vec<PeerId>,
    pub(super) switches: Switches,
}

/// What it is told after that.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Order {
    /// Send the game's packet of this class.
    Send { tag: Tag, to: PeerId, class: TrafficClass, len: usize },
    /// Stop.
    Leave,
}

/// A message's name in the outbox of the node apart.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Name {
    destination: PeerId,
    epoch: u64,
    sequence: u64,
}

impl From<OutboxId> for Name {
    fn from(id: OutboxId) -> Self {
        Self { destination: id.destination, epoch: id.epoch.0, sequence: id.sequence }
    }
}

impl From<Name> for OutboxId {
    fn from(name: Name) -> Self {
        let Name { destination, epoch, sequence } = name;
        Self { destination, epoch: Epoch(epoch), sequence }
    }
}

/// What it says.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Word {
    /// The node runs, and whatever it recalled has been said.
    Seated,
    /// The outbox keeps a message that was ordered.
    Kept { tag: Tag, name: Name },
    /// A message that was ordered has its outcome.
    Ended { tag: Tag, ending: Ending },
    /// A former incarnation left this in the outbox.
    Recalled { name: Name },
    /// And this came of it.
    RecallEnded { name: Name, ending: Ending },
    /// The application was handed a message.
    Delivered { tag: Option<Tag>, nanos: u64 },
    /// The application may have had this message before the process was killed.
    Doubted { tag: Option<Tag> },
    /// What it looks like now.
    Figures(Figures),
}

/// What a node apart looks like.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Figures {
    pub(super) requests: u64,
    pub(super) bytes: u64,
    pub(super) failovers: u64,
    pub(super) marks: Vec<String>,
}

/// Why there is no process.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApartError {
    #[error("its process does not start: {0}")]
    Spawn(std::io::Error),
    #[error("its process ended, or said nothing for {PATIENCE:?}, before its node ran")]
    NotSeated,
}

/// A running process.
pub(super) struct Apart {
    child: Child,
    orders: mpsc::Sender<Order>,
    figures: Arc<Mutex<Figures>>,
    listening: JoinHandle<()>,
}

impl Apart {
    /// Starts the process of node `index`, and waits until its node runs.
    pub(super) async fn start(
        index: usize,
        seating: &Seating,
        ledger: Arc<Ledger>,
    ) -> Result<Self, ApartError> {
        let program = std::env::current_exe().map_err(ApartError::Spawn)?;
        let mut command = Command::new(program);
        command.arg(VERB).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().map_err(ApartError::Spawn)?;
        let (Some(mut input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(ApartError::NotSeated);
        };
        input.write_all(line(seating).as_bytes()).await.map_err(ApartError::Spawn)?;
        let (orders, ordered) = mpsc::channel(ORDERS);
        tokio::spawn(pass_on(ordered, input));
        let figures = Arc::default();
        let (seated, sits) = oneshot::channel();
        let listening = tokio::spawn(listen(index, output, ledger, Arc::clone(&figures), seated));
        let apart = Self { child, orders, figures, listening };
        match tokio::time::timeout(PATIENCE, sits).await {
            Ok(Ok(())) => Ok(apart),
            _ => Err(ApartError::NotSeated),
        }
    }

    /// A way to give it orders.
    pub(super) fn orders(&self) -> mpsc::Sender<Order> {
        self.orders.clone()
    }

    pub(super) fn figures(&self) -> Figures {
        self.figures.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// `kill -9`. Returns when it is gone and everything that it had said is in the ledger.
    pub(super) async fn kill(mut self) {
        // An error says that it is gone already.
        self.child.kill().await.unwrap_or_default();
        self.listening.await.unwrap_or_default();
    }

    /// Asks it to end, and ends it when it does not.
    pub(super) async fn leave(mut self) {
        if self.orders.send(Order::Leave).await.is_ok() {
            drop(tokio::time::timeout(PATIENCE, self.child.wait()).await);
        }
        self.kill().await;
    }
}

fn line(value: &impl Serialize) -> String {
    // Plain data always has a JSON form.
    serde_json::to_string(value).unwrap_or_default() + "\n"
}

async fn pass_on(mut orders: mpsc::Receiver<Order>, mut input: ChildStdin) {
    while let Some(order) = orders.recv().await {
        // A process that is gone hears nothing; what it was to send is open for ever.
        if input.write_all(line(&order).as_bytes()).await.is_err() {
            return;
        }
    }
}

/// Enters what the process says, until it ends.
async fn listen(
    index: usize,
    output: ChildStdout,
    ledger: Arc<Ledger>,
    figures: Arc<Mutex<Figures>>,
    seated: oneshot::Sender<()>,
) {
    let mut seated = Some(seated);
    let mut lines = BufReader::new(output).lines();
    while let Ok(Some(text)) = lines.next_line().await {
        // The last line of a process that was killed may be cut off.
        let Ok(word) = serde_json::from_str(&text) else { continue };
        match word {
            Word::Seated => {
                if let Some(seated) = seated.take() {
                    seated.send(()).unwrap_or_default();
                }
            }
            Word::Kept { tag, name } => ledger.kept(tag, name.into()),
            Word::Ended { tag, ending } => ledger.ended(tag, ending),
            Word::Recalled { name } => {
                ledger.recalled(index, name.into());
            }
            Word::RecallEnded { name, ending } => {
                if let Some(entry) = ledger.recalled(index, name.into()) {
                    ledger.ended(entry, ending);
                }
            }
            Word::Delivered { tag, nanos } => {
                ledger.delivered(tag, index, Timestamp::from_nanos(nanos));
            }
            Word::Doubted { tag } => ledger.doubted(tag, index),
            Word::Figures(now) => {
                *figures.lock().unwrap_or_else(PoisonError::into_inner) = now;
            }
        }
    }
}
