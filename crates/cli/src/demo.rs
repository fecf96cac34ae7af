//! `bitcraps demo`: nodes in one process that talk over real encrypted sockets on loopback, lose the
//! link in use silently, and lose no message.

pub(crate) mod apart;
mod barbell;
mod forwarder;
mod ledger;
mod pulse;
mod rehearsal;
mod report;
mod script;
mod table;
mod traffic;
mod view;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use bitcraps_node::{Damage, StartNodeError, StoreError, coordinator};
use bitcraps_node::{transport_inet, transport_wifi};
use bitcraps_types::{Medium, TransportType};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use ledger::Ledger;
use pulse::Pulse;
use rehearsal::Scene;
use report::{HopReport, Report, TransportReport, Verdict};
use table::Table;
use traffic::Sender;
use view::View;

/// Longest wait for what is still on its way when the traffic ends.
const DRAIN: Duration = Duration::from_secs(10);
/// Longest wait for the first links.
const GATHER: Duration = Duration::from_secs(20);
/// Time between two pictures of the live view.
const FRAME: Duration = Duration::from_millis(250);

/// Arguments of `bitcraps demo`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct DemoArgs {
    /// Nodes, 2 to 40; every pair is linked twice over the LAN and once over emulated Bluetooth, all
    /// with the first over the internet transport as well; the last of more than two runs in a process
    /// of its own and is reached through a relay only; the one before it, of more than five, is linked
    /// with the first two alone and reached by others across hops
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(2..=40))]
    nodes: u64,
    /// How long the traffic lasts, 5 to 600
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(5..=600))]
    seconds: u64,
    /// Fixes traffic and faults
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print only the result, as JSON
    #[arg(long)]
    json: bool,
    /// Switch a part off, to see that the verdict notices
    #[arg(long, value_name = "PART")]
    without: Vec<Part>,
    /// Play one scene alone
    #[arg(long, conflicts_with_all = ["nodes", "seconds", "without"])]
    scene: Option<Scene>,
    /// How often it is played, 1 to 100: with this seed, and the next ones
    #[arg(long, requires = "scene", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=100))]
    runs: u64,
}

/// A part that the demo can do without, and its verdict cannot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Recognising repeats
    Dedup,
    /// Moving to another link
    Failover,
    /// Sending again what was not answered
    Resend,
}

/// Which parts are on.
#[derive(Debug, Clone, Copy, serde::Serialize, serde::Deserialize)]
struct Switches {
    deduplicate: bool,
    failover: bool,
    resend: bool,
}

impl Switches {
    fn apply(self, config: &mut coordinator::Config) {
        config.deduplicate = self.deduplicate;
        config.auto_failover = self.failover;
        config.resend = self.resend;
    }
}

/// Why the demo did not run.
#[derive(Debug, thiserror::Error)]
enum DemoError {
    #[error(transparent)]
    Node(#[from] StartNodeError),
    #[error("local network: {0}")]
    Lan(transport_wifi::ConfigError),
    #[error("internet: {0}")]
    Internet(transport_inet::ConfigError),
    #[error("relay: {0}")]
    Relay(#[from] transport_inet::RelayServerError),
    #[error("no directory for the stores: {0}")]
    Stores(std::io::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{0}")]
    Damaged(Damage),
    #[error("node {index}: {why}")]
    Apart { index: usize, why: apart::ApartError },
    #[error("no socket for a wire on loopback: {0}")]
    Wire(std::io::Error),
    #[error("after {after:?} only {ready} of {wanted} links were up")]
    NotGathered { after: Duration, ready: usize, wanted: usize },
}

/// Runs the demo; the exit code is 0 when its verdict is pass, 2 when it is not.
pub(crate) async fn run(args: DemoArgs) -> ExitCode {
    let told = match args.scene {
        Some(scene) => rehearsal::play(scene, args.seed, args.runs).await.map(|rehearsal| {
            (rehearsal.verdict(), told(args.json, &rehearsal, || rehearsal.text()))
        }),
        None => play(&args, &mut View::new(args.json, args.seconds)).await.map(|report| {
            let text = || format!("\n{}", report.text());
            (report.verdict(), told(args.json, &report, text))
        }),
    };
    match told {
        Ok((verdict, text)) => {
            view::print(&format!("{}\n", text.trim_end_matches('\n')));
            match verdict {
                Verdict::Pass => ExitCode::SUCCESS,
                Verdict::Fail => ExitCode::from(2),
            }
        }
        Err(error) => {
            crate::console::complain(&format!("bitcraps demo: {error}"));
            ExitCode::from(2)
        }
    }
}

fn told<R: serde::Serialize>(json: bool, report: &R, text: impl Fn() -> String) -> String {
    if json { serde_json::to_string(report).unwrap_or_default() } else { text() }
}

#[expect(
    clippy::disallowed_methods,
    reason = "progress is shown in the time of the person watching"
)]
fn clock() -> Instant {
    Instant::now()
}

async fn play(args: &DemoArgs, view: &mut View) -> Result<Report, DemoError> {
    let on = |part| !args.without.contains(&part);
    let switches = Switches {
        deduplicate: on(Part::Dedup),
        failover: on(Part::Failover),
        resend: on(Part::Resend),
    };
    let count = args.nodes as usize;
    let ledger = Arc::new(Ledger::default());
    view.say(&format!(
        "{count} nodes on loopback; each pair has two LAN links (QUIC, 127.0.0.x) and a Bluetooth \
         link (emulated).{}",
        if count > 2 {
            " All have a direct internet link (iroh) to node 0. The last node is far away, in a process \
             of its own: it is reached over the internet transport, through a relay in this process."
        } else {
            ""
        }
    ));
    if let Some(behind) = table::behind(count) {
        view.say(&format!(
            "Node {behind} has links to the first two alone: the others reach it across hops, sealed \
             from end to end."
        ));
    }
    let table = Table::set(count, args.seed, Arc::clone(&ledger), switches).await?;
    let table = Arc::new(table);
    gather(&table).await?;
    let start = clock();
    let end = start + Duration::from_secs(args.seconds);
    let sender = Sender::new(Arc::clone(&table), Arc::clone(&ledger));
    let (stop, stopped) = watch::channel(false);
    let mut players = tokio::task::JoinSet::new();
    for index in 0..count {
        let seed = args.seed.wrapping_mul(1_000_003).wrapping_add(index as u64);
        players.spawn(traffic::play(sender.clone(), index, seed, stopped.clone()));
    }
    let (told, mut acts) = mpsc::unbounded_channel();
    let script = script::run(
        Arc::clone(&table),
        Arc::clone(&ledger),
        sender.clone(),
        args.seed,
        end,
        told.clone(),
    );
    players.spawn(script);
    let length = Duration::from_secs(args.seconds);
    let far = script::far_away(
        Arc::clone(&table),
        Arc::clone(&ledger),
        sender.clone(),
        length,
        told.clone(),
    );
    players.spawn(far);
    let mut frames = interval(FRAME);
    frames.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut pulse = Pulse::default();
    while clock() < end {
        tokio::select! {
            _ = frames.tick() => pulse.feel(&table),
            Some(act) = acts.recv() => view.act(&act, start.elapsed()),
        }
        view.draw(&table, &ledger, &pulse, start.elapsed());
    }
    // The players' end may come before they look.
    stop.send(true).unwrap_or_default();
    while players.join_next().await.is_some() {}
    view.say("traffic ends; waiting for what is still on its way");
    drain(&table, &ledger).await;
    let transports = transports(&table);
    let hops = HopReport::of(&table);
    pulse.feel(&table);
    let sums = ledger.sums(|seat| table.lives(seat));
    table.clear().await;
    view.say("two groups of three, joined by one relay: the risk alert fires, a link is made, the relay is killed");
    let healing = barbell::play(args.seed).await?;
    Ok(Report::new((count, args.seconds, args.seed), sums, transports, (hops, healing), pulse))
}

/// Waits until every pair has all its links, as the nodes of this process see them.
async fn gather(table: &Table) -> Result<(), DemoError> {
    let mut look = interval(Duration::from_millis(20));
    let gathered = timeout(GATHER, async {
        loop {
            let (ready, wanted) = table.gathered();
            if ready == wanted {
                return;
            }
            look.tick().await;
        }
    });
    gathered.await.map_err(|_| {
        let (ready, wanted) = table.gathered();
        DemoError::NotGathered { after: GATHER, ready, wanted }
    })
}

/// Waits until every message but dice has its outcome, and no longer than [`DRAIN`].
async fn drain(table: &Table, ledger: &Ledger) {
    let mut look = interval(Duration::from_millis(50));
    let drained = timeout(DRAIN, async {
        while ledger.pending(|seat| table.lives(seat)) > 0 {
            look.tick().await;
        }
    });
    // What is missing then is missing in the verdict.
    drained.await.unwrap_or_default();
}

/// What each family of links did, over all nodes that run at the end.
fn transports(table: &Table) -> BTreeMap<String, TransportReport> {
    let mut sums = BTreeMap::new();
    for transport in TransportType::ALL {
        let medium = match transport {
            TransportType::Bluetooth => Medium::Emulated,
            _ => Medium::Loopback,
        };
        let mut sum = TransportReport { requests: 0, bytes: 0, medium };
        if transport == TransportType::Internet {
            for figures in (0..table.len()).filter_map(|index| table.figures(index)) {
                sum.requests += figures.requests;
                sum.bytes += figures.bytes;
            }
        }
        for (node, _) in (0..table.len()).filter_map(|index| table.node(index)) {
            if let Some(metrics) = node.get_transport_stats().get(&transport) {
                sum.requests += metrics.request_count;
                sum.bytes += metrics.bytes;
            }
        }
        sums.insert(transport.name().to_owned(), sum);
    }
    sums
}
