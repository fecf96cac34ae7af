use std::sync::Arc;
use std::time::Duration;

use bitcraps_dashboard::{ListenError, Server};
use bitcraps_node::admin::{Admin, LiveConfig};
use bitcraps_node::config::Change;
use bitcraps_node::coordinator::{Delivery, Inbox, LinkChange, Notice};
use bitcraps_node::{Config, Environment, Node};
use bitcraps_types::{AckLevel, Epoch};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{sleep, timeout};

use crate::console::{self, counted};
use crate::context::{Context, Source};
use crate::failure::{Exit, Failure};
use crate::log::{self, Filter};
use crate::message::{self, MessageFormat};

/// How long the node may take to tell its peers that it stops.
const STOPPING: Duration = Duration::from_secs(3);

/// How long a life lasts at least that began because a former one was outrun: two devices with one
/// key would outrun each other for ever.
const BETWEEN_LIVES: Duration = Duration::from_secs(600);

/// Arguments of `bitcraps run`.
#[derive(Debug, clap::Args)]
pub(crate) struct Run {
    /// Print messages that arrive, one a line
    #[arg(long, value_name = "FORMAT", num_args = 0..=1, default_missing_value = "text", require_equals = true)]
    print_messages: Option<MessageFormat>,
}

/// The signals that a node obeys.
pub(crate) struct Signals {
    hangup: Signal,
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    pub(crate) fn listen() -> Result<Self, Failure> {
        let listen = |kind| signal(kind).map_err(Failure::Runtime);
        Ok(Self {
            hangup: listen(SignalKind::hangup())?,
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    /// Waits for one that says stop.
    #[cfg(feature = "internet")]
    pub(crate) async fn stop(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Why a life of the node is over.
enum Over {
    /// Somebody wants it so.
    Stopped,
    /// Its key was seen in a higher epoch: the next life is taken by those who saw it.
    Outran(Epoch),
}

pub(crate) async fn run(run: &Run, context: &Context) -> Result<Exit, Failure> {
    let (mut config, source) = context.load()?;
    let filter = log::start(&config)?;
    let mut signals = Signals::listen()?;
    let mut patient = false;
    loop {
        let (over, last) =
            live(run, context, config, &source, &filter, &mut signals, patient).await?;
        let Over::Outran(above) = over else { return Ok(Exit::Healthy) };
        console::complain(&format!(
            "this node's key was seen in epoch {}: it begins anew",
            above.0
        ));
        (config, patient) = (last, true);
    }
}

/// A life of the node, with the configuration that was in force at its end.
async fn live(
    run: &Run,
    context: &Context,
    config: Config,
    source: &Source,
    filter: &Filter,
    signals: &mut Signals,
    patient: bool,
) -> Result<(Over, Config), Failure> {
    let node = Arc::new(Node::configured(&config)?.start().await?);
    // Taken before anybody can be told that the node runs: messages are acknowledged from now on.
    let inbox = node.inbox();
    let dashboard = match dashboard(&node, &config).await {
        Ok(dashboard) => dashboard,
        Err(error) => {
            node.shutdown().await;
            return Err(error.into());
        }
    };
    let socket = context.socket.clone().unwrap_or_else(|| config.admin().socket.clone());
    let filter = filter.clone();
    let follow = Box::new(move |config: &Config| {
        let new = log::filter(config).map_err(|e| e.to_string())?;
        filter.reload(new).map_err(|e| e.to_string())
    });
    let file = source.file().map(ToOwned::to_owned);
    let environment = Environment::of_process();
    let live = Arc::new(LiveConfig::new(Arc::clone(&node), file, environment, config, follow));
    let admin = match Admin::start(&node, &live, &socket) {
        Ok(admin) => admin,
        Err(error) => {
            node.shutdown().await;
            return Err(error.into());
        }
    };
    console::complain(&format!("node {} runs, epoch {}", node.id(), node.epoch().0));
    if let Some(dashboard) = &dashboard {
        console::complain(&format!("metrics at http://{}/metrics", dashboard.address()));
    }
    console::complain(&format!("config {source}; admin socket {}", socket.display()));

    for doubt in node.take_doubts() {
        doubtful(&doubt, run.print_messages);
    }
    let outrun = outrun(&node, patient);
    let over = serve(run, &node, inbox, &live, source, signals, outrun).await;
    console::complain("stopping");
    if timeout(STOPPING, node.shutdown()).await.is_err() {
        tracing::warn!("peers were not told in {} s", STOPPING.as_secs());
    }
    admin.shutdown().await;
    if let Some(dashboard) = dashboard {
        dashboard.stop().await;
    }
    Ok((over?, live.current().as_ref().clone()))
}

/// Waits until the key of the node is seen in a higher epoch, which a node that is `patient` lets go
/// on for [`BETWEEN_LIVES`].
async fn outrun(node: &Node, patient: bool) -> Epoch {
    if patient {
        sleep(BETWEEN_LIVES).await;
    }
    let mut outran = node.outran();
    loop {
        if let Some(above) = *outran.borrow_and_update() {
            return above;
        }
        if outran.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Shows the node over HTTP where the configuration says so.
async fn dashboard(node: &Arc<Node>, config: &Config) -> Result<Option<Server>, ListenError> {
    match config.dashboard().listen {
        Some(address) => Server::start(node, address).await.map(Some),
        None => Ok(None),
    }
}

/// Works until a signal says otherwise, the node is `outrun`, or nobody reads the messages any more.
/// What was begun is done first: a reload, a message.
async fn serve(
    run: &Run,
    node: &Node,
    mut inbox: Inbox,
    live: &Arc<LiveConfig>,
    source: &Source,
    signals: &mut Signals,
    outrun: impl Future<Output = Epoch>,
) -> Result<Over, Failure> {
    let mut notices = node.notices();
    tokio::pin!(outrun);
    loop {
        tokio::select! {
            _ = signals.interrupt.recv() => return Ok(Over::Stopped),
            _ = signals.terminate.recv() => return Ok(Over::Stopped),
            above = &mut outrun => return Ok(Over::Outran(above)),
            _ = signals.hangup.recv() => reload(live, source).await,
            delivery = inbox.recv() => match delivery {
                Some(delivery) => take(&delivery, &inbox, run.print_messages)?,
                None => return Ok(Over::Stopped),
            },
            notice = notices.recv() => match notice {
                Ok(notice) => tell(&notice),
                Err(RecvError::Lagged(missed)) => tracing::warn!(missed, "too many events to tell"),
                Err(RecvError::Closed) => return Ok(Over::Stopped),
            },
        }
    }
}

/// Takes a message; it counts as applied once its line is written, or at once without lines.
fn take(delivery: &Delivery, inbox: &Inbox, format: Option<MessageFormat>) -> Result<(), Failure> {
    let line = format.and_then(|format| message::line(delivery, format));
    let written = line.map_or(Ok(()), |line| console::print(&line));
    if delivery.ack == AckLevel::Applied {
        inbox.answer(delivery.id, written.is_ok());
    }
    Ok(written?)
}

/// Tells of a message that may have been printed before a crash, and is not printed as one again.
fn doubtful(delivery: &Delivery, format: Option<MessageFormat>) {
    let format = format.unwrap_or(MessageFormat::Text);
    if let Some(line) = message::line(delivery, format) {
        console::complain(&format!(
            "doubtful since a crash, perhaps taken before: {}",
            line.trim_end()
        ));
    }
}

async fn reload(live: &Arc<LiveConfig>, source: &Source) {
    match live.reload().await {
        Ok(changes) => console::complain(&reloaded(source, &changes)),
        Err(error) => console::complain(&format!(
            "bitcraps: reload refused, the configuration stays as it was: {error}"
        )),
    }
}

fn reloaded(source: &Source, changes: &[Change]) -> String {
    let count = counted(changes.len() as u64, "change", "changes");
    let mut text = format!("reloaded {source}: {count}");
    for change in changes {
        text.push_str(&format!("\n  {change}"));
    }
    text
}

fn tell(notice: &Notice) {
    match notice {
        Notice::LinkReady { peer, link, transport } => {
            tracing::info!(peer = %peer.short(), %link, %transport, "link carries data");
        }
        Notice::LinkGone { peer, link, transport } => {
            tracing::info!(peer = %peer.short(), %link, %transport, "link is gone");
        }
        Notice::LinkChanged { peer, link, transport, change } => {
            let peer = peer.short();
            match change {
                LinkChange::Suspect => tracing::warn!(%peer, %link, %transport, "link is suspect"),
                LinkChange::Flapping => tracing::warn!(%peer, %link, %transport, "link flaps"),
                LinkChange::Down => tracing::warn!(%peer, %link, %transport, "link is down"),
                LinkChange::Recovered => {
                    tracing::info!(%peer, %link, %transport, "link has recovered");
                }
            }
        }
        Notice::Failover { peer, class, from, to, after } => {
            let after_ms = after.as_secs_f64() * 1e3;
            tracing::info!(peer = %peer.short(), %class, %from, %to, after_ms, "message moved");
        }
        Notice::PeerIncarnation { peer, epoch, restarted } => {
            tracing::info!(peer = %peer.short(), epoch = epoch.0, restarted, "peer greeted");
        }
        Notice::StoreFailed { why } => {
            tracing::error!(%why, "the store failed: nothing that has to be in it is taken");
        }
        Notice::PeerUnreachable { peer } => {
            tracing::warn!(peer = %peer.short(), "peer is out of reach");
        }
        Notice::PeerForgotten { peer } => tracing::debug!(peer = %peer.short(), "peer forgotten"),
        Notice::PeerStanding { peer, standing } => {
            tracing::info!(peer = %peer.short(), %standing, "peer's standing changed");
        }
        Notice::LookDue => {}
        Notice::EpochOutran { above } => {
            tracing::warn!(above = above.0, "this node's key was seen in a higher epoch");
        }
        Notice::Admission { peer } => tracing::debug!(peer = %peer.short(), "invitation"),
        Notice::KeyConflict { peer, epoch, shut_out } => {
            let (epoch, shut_out) = (epoch.0, shut_out.0);
            tracing::warn!(peer = %peer.short(), epoch, shut_out, "two devices use one key");
        }
    }
}
