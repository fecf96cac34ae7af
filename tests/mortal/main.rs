//! A node with an application that can be told at which step it dies: the production engine, driver,
//! store and LAN transport, with a fuse between them. Scenarios run it as a process.
//!
//! What the application does it writes down, a line each, in files that outlive the process:
//! `sent` (asked, told, done), `taken` (took, doubt), `durable`, `identities`, `steps`.

#![expect(clippy::unwrap_used, reason = "who cannot go on ends, which fails the scenario")]

mod bet;
mod fuse;
mod watched;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use bitcraps_coordinator::{
    Batch, Config, Driver, Machine as _, Outcome, Receipt, RejectReason, WeakDriver, Write,
};
use bitcraps_engine::{DialerConfig, Engine};
use bitcraps_node::transport_wifi::{Identity as LinkIdentity, WifiConfig, WifiTransport};
use bitcraps_node::{BootClock, EpochFile, Identity, Store};
use bitcraps_types::{AckLevel, Address, ConnectTarget, Hint, HintSource, PeerId, TransportType};

use bet::Bet;
use fuse::{Fuse, Page, Step};
use watched::{Watch, Watched};

/// Most bytes of messages in the store.
const MOST_BYTES: usize = 64 << 20;
/// The end with the larger key dials soon: a scenario should not have to wait for that.
const GRACE: Duration = Duration::from_millis(100);

/// What a scenario asks of the process.
struct Task {
    home: PathBuf,
    key: u8,
    listen: SocketAddr,
    other: u8,
    other_listens: SocketAddr,
    bets: usize,
    dies: Option<(String, u32)>,
}

impl Task {
    fn read() -> Self {
        let mut words = std::env::args().skip(1);
        let mut word = || words.next().unwrap();
        Self {
            home: word().into(),
            key: word().parse().unwrap(),
            listen: word().parse().unwrap(),
            other: word().parse().unwrap(),
            other_listens: word().parse().unwrap(),
            bets: word().parse().unwrap(),
            dies: words.next().zip(words.next()).map(|(kind, n)| (kind, n.parse().unwrap())),
        }
    }
}

#[tokio::main(worker_threads = 2)]
async fn main() {
    let task = Task::read();
    let fuse = Arc::new(Fuse::new(&task.home, task.dies.clone()));
    let identity = Identity::from_seed(&[task.key; 32]);
    let peer = Identity::from_seed(&[task.other; 32]).peer_id();
    let mut epochs = EpochFile::open(&task.home.join("epoch")).unwrap();
    let epoch = epochs.advance().unwrap();
    let path = task.home.join("store.redb");
    let (store, damage) = Store::open(&path, &identity, epoch, MOST_BYTES).unwrap();
    assert_eq!(damage, None, "a crash is no damage");

    let seed = epoch.0 ^ u64::from(task.key) << 32;
    let config = Config::new(identity.peer_id(), epoch, seed);
    let dialer = DialerConfig { grace: GRACE, ..DialerConfig::default() };
    let engine = Engine::new(config, dialer);
    let driver = Driver::start(engine, Arc::new(|| BootClock.now()));
    let (batches, written) = channel();
    let recalled = driver.with_store(batches, store.begin(epoch).unwrap());
    let (weak, home) = (driver.downgrade(), task.home.clone());
    let writing = Arc::clone(&fuse);
    std::thread::spawn(move || write(&store, &written, &weak, &writing, &home));

    let sent = Arc::new(Page::open(&task.home.join("sent")));
    let outbox = driver.with(|engine, now| engine.core().outbox(now));
    let mut waits = Vec::new();
    for (id, receipt) in recalled {
        let entry = outbox.iter().find(|entry| entry.id == id).unwrap();
        let bet = Bet::of_len(entry.bytes);
        waits.push(tokio::spawn(wait(bet, receipt, Arc::clone(&sent), Arc::clone(&fuse))));
    }
    tokio::spawn(play(driver.clone(), task.home.join("taken"), Arc::clone(&fuse)));

    let key = LinkIdentity::from(identity.signing_key().clone());
    let lan = Arc::new(WifiTransport::new(WifiConfig::new(vec![task.listen]), key).unwrap());
    let identities = Page::open(&task.home.join("identities"));
    let watch = Arc::new(Watch { fuse: Arc::clone(&fuse), identities });
    driver.register_transport(Arc::new(Watched(lan, watch))).await.unwrap();
    meet(&driver, peer, task.other_listens);
    gamble(&task, &driver, peer, &sent, &fuse).await;
    for waiting in waits {
        waiting.await.unwrap();
    }
    sent.line("done");
    // The scenario ends it; the receiver goes on until then.
    std::future::pending::<()>().await;
}

/// Learns where the other one listens.
fn meet(driver: &Driver<Engine>, peer: PeerId, address: SocketAddr) {
    let address = Address::new(address.to_string());
    let transport = TransportType::WiFiDirect;
    let target = ConnectTarget { transport, peer, address, via: None };
    let hint = Hint { target, source: HintSource::Static };
    driver.with(|engine, now| engine.discovered(hint, now));
}

/// Makes batches durable, as a node does, with a step before and after each thing.
fn write(
    store: &Store,
    batches: &Receiver<Batch>,
    driver: &WeakDriver<Engine>,
    fuse: &Fuse,
    home: &Path,
) {
    let durable = Page::open(&home.join("durable"));
    while let Ok(batch) = batches.recv() {
        fuse.at(Step::Write);
        store.write(&batch).unwrap();
        for change in &batch {
            if let Write::Keep(kept) = change {
                durable.line(&Bet::of_len(kept.payload.len()).number().to_string());
            }
        }
        fuse.at(Step::Written);
        let Some(driver) = driver.upgrade() else { return };
        driver.with(|engine, now| engine.core_mut().committed(now));
        fuse.at(Step::Committed);
    }
}

/// The receiving application: writes down what it has, then answers. What it may have had before a
/// crash it looks up in what it wrote.
async fn play(driver: Driver<Engine>, taken: PathBuf, fuse: Arc<Fuse>) {
    let before = std::fs::read_to_string(&taken).unwrap_or_default();
    let taken = Page::open(&taken);
    let mut inbox = driver.inbox();
    for doubt in driver.with(|engine, now| engine.core_mut().take_doubts(now)) {
        let bet = Bet::of(&doubt).unwrap().number();
        taken.line(&format!("doubt {bet}"));
        if doubt.ack == AckLevel::Applied {
            inbox.answer(doubt.id, before.lines().any(|line| line == format!("took {bet}")));
        }
    }
    while let Some(delivery) = inbox.recv().await {
        fuse.at(Step::Took);
        let bet = Bet::of(&delivery).unwrap();
        taken.line(&format!("took {}", bet.number()));
        fuse.at(Step::Noted);
        if delivery.ack == AckLevel::Applied {
            inbox.answer(delivery.id, true);
            fuse.at(Step::Answered);
        }
    }
}

/// The sending application: one bet after another, and the last two at once. Bets that a former
/// incarnation asked for are not asked for again.
async fn gamble(
    task: &Task,
    driver: &Driver<Engine>,
    peer: PeerId,
    sent: &Arc<Page>,
    fuse: &Arc<Fuse>,
) {
    let text = std::fs::read_to_string(task.home.join("sent")).unwrap();
    let asked = text.lines().filter(|line| line.starts_with("asked ")).count();
    let mut last = Vec::new();
    for bet in (asked..task.bets).map(Bet::numbered) {
        sent.line(&format!("asked {}", bet.number()));
        fuse.at(Step::Ask);
        let receipt = driver.send(peer, bet.payload(), bet.options()).unwrap();
        fuse.at(Step::Accepted);
        let waiting = tokio::spawn(wait(bet, receipt, Arc::clone(sent), Arc::clone(fuse)));
        if bet.number() + 2 < task.bets {
            waiting.await.unwrap();
        } else {
            last.push(waiting);
        }
    }
    for waiting in last {
        waiting.await.unwrap();
    }
}

async fn wait(bet: Bet, receipt: Receipt, sent: Arc<Page>, fuse: Arc<Fuse>) {
    let outcome = receipt.await;
    fuse.at(Step::Told);
    let how = match outcome {
        Outcome::Delivered { .. } => "delivered",
        Outcome::Unknown { .. } => "unknown",
        Outcome::Rejected { why: RejectReason::Refused } => "refused",
        Outcome::Sent { .. } | Outcome::Expired { .. } | Outcome::Rejected { .. } => "failed",
    };
    sent.line(&format!("told {} {how}", bet.number()));
}
