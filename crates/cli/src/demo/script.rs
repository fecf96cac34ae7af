use std::sync::Arc;
use std::time::Duration;

use bitcraps_node::BootClock;
use bitcraps_node::coordinator::GamePacketType;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

use super::ledger::Ledger;
use super::table::{Carrier, Table};
use super::traffic::{BET, DICE, Sender};

/// Time between two dice of the pair that a black hole hits.
const CLOSE_PLAY: Duration = Duration::from_millis(10);
/// Close play before the onset, so that the link in use is known.
const BEFORE: Duration = Duration::from_millis(120);
/// How long a black hole lasts.
const HOLE: Duration = Duration::from_millis(450);
/// Rest between two black holes.
const REST: Duration = Duration::from_millis(150);
/// How long a killed node stays away.
const AWAY: Duration = Duration::from_secs(2);
/// Bets each way that are sent before the far node is killed.
const BETS: usize = 24;
/// Time between two of them: a flush and a way through the relay take some, so that the first have
/// arrived when the last is not even durable.
const APART: Duration = Duration::from_millis(2);
/// How long a wire flaps or loses datagrams.
const TROUBLE: Duration = Duration::from_secs(2);
/// Half a period of a flap: 10 Hz.
const HALF_FLAP: Duration = Duration::from_millis(50);

/// What the script did, for people.
#[derive(Debug, Clone)]
pub(super) struct Act {
    pub(super) text: String,
}

/// Faults until `end`, drawn from `seed`: black holes of the link in use all the time; flapping,
/// 20 % loss, and a node killed and restarted once each in between.
pub(super) async fn run(
    table: Arc<Table>,
    ledger: Arc<Ledger>,
    sender: Sender,
    seed: u64,
    end: Instant,
    acts: mpsc::UnboundedSender<Act>,
) {
    let mut rng = fastrand::Rng::with_seed(seed ^ 0xfa17);
    let mut round = 0u32;
    while fits(end, BEFORE + HOLE + REST) {
        let (from, to) = pair(&mut rng, table.near());
        let happened = match round {
            5 if fits(end, TROUBLE * 2) => flap(&table, &sender, &acts, from, to).await,
            11 if fits(end, TROUBLE * 2) => lossy(&table, &sender, &acts, from, to).await,
            14 if fits(end, AWAY * 3) => restart(&table, &ledger, &acts, from).await,
            _ => black_hole(&table, &ledger, &sender, &acts, from, to).await,
        };
        // A pair may use a link that has no wire.
        round += u32::from(happened);
    }
}

#[expect(clippy::disallowed_methods, reason = "the script keeps to the wall, as its nodes do")]
fn clock() -> Instant {
    Instant::now()
}

fn fits(end: Instant, length: Duration) -> bool {
    clock() + length <= end
}

fn pair(rng: &mut fastrand::Rng, count: usize) -> (usize, usize) {
    let from = rng.usize(..count);
    let to = (from + rng.usize(1..count)) % count;
    (from, to)
}

fn tell(acts: &mpsc::UnboundedSender<Act>, text: String) {
    // The view may have ended before the script.
    acts.send(Act { text }).unwrap_or_default();
}

/// The wire under the link that carried the pair's last realtime message, if there is another link to
/// move to: a node that came back a moment ago may have none yet.
fn wire_in_use(table: &Table, from: usize, to: usize) -> Option<Carrier> {
    let (node, _) = table.node(from)?;
    let peer = node.peers().into_iter().find(|peer| peer.peer == table.id(to))?;
    if peer.links.iter().filter(|link| link.ready).count() < 2 {
        return None;
    }
    let decisions = node.decisions(table.id(to));
    let last =
        decisions.iter().rev().find(|d| d.packet.policy == GamePacketType::DiceRoll.policy())?;
    let (carrier, other) = table.carrier(from, last.chosen)?;
    (other == to && matches!(carrier, Carrier::Wire { .. })).then_some(carrier)
}

/// Close play between two nodes: dice, and as many bets that travel in a single copy, so that nothing
/// but sending it again can save one that leaves before the hole is noticed.
async fn dice(sender: &Sender, from: usize, to: usize, length: Duration, event: Option<usize>) {
    let end = clock() + length;
    let mut next = clock();
    let single = GamePacketType::BetUpdate.options().max_copies(1);
    while next < end {
        sender.send_with(from, to, single, BET, None);
        sender.send(from, to, GamePacketType::DiceRoll, DICE, event);
        next += CLOSE_PLAY;
        sleep_until(next).await;
    }
}

/// The link that the pair uses swallows every datagram both ways; no end is told.
async fn black_hole(
    table: &Table,
    ledger: &Ledger,
    sender: &Sender,
    acts: &mpsc::UnboundedSender<Act>,
    from: usize,
    to: usize,
) -> bool {
    dice(sender, from, to, BEFORE, None).await;
    let Some(carrier) = wire_in_use(table, from, to) else { return false };
    table.lose(carrier, 1_000);
    let event = ledger.onset(BootClock.now());
    dice(sender, from, to, HOLE, Some(event)).await;
    table.lose(carrier, 0);
    let outcome = match ledger.resumed(event) {
        Some(after) => format!("resumed after {:.1} ms", after.as_secs_f64() * 1e3),
        None => "not resumed".to_owned(),
    };
    tell(acts, format!("node {from} -> {to}: the link in use went silent; {outcome}"));
    sleep(REST).await;
    true
}

/// A wire comes and goes at 10 Hz.
async fn flap(
    table: &Table,
    sender: &Sender,
    acts: &mpsc::UnboundedSender<Act>,
    from: usize,
    to: usize,
) -> bool {
    dice(sender, from, to, BEFORE, None).await;
    let Some(carrier) = wire_in_use(table, from, to) else { return false };
    tell(acts, format!("node {from} -> {to}: the link in use flaps at 10 Hz for 2 s"));
    let flapping = async {
        for _ in 0..TROUBLE.as_millis() / (2 * HALF_FLAP.as_millis()) {
            table.lose(carrier, 1_000);
            sleep(HALF_FLAP).await;
            table.lose(carrier, 0);
            sleep(HALF_FLAP).await;
        }
    };
    tokio::join!(flapping, dice(sender, from, to, TROUBLE, None));
    true
}

/// A wire loses every fifth datagram.
async fn lossy(
    table: &Table,
    sender: &Sender,
    acts: &mpsc::UnboundedSender<Act>,
    from: usize,
    to: usize,
) -> bool {
    dice(sender, from, to, BEFORE, None).await;
    let Some(carrier) = wire_in_use(table, from, to) else { return false };
    tell(acts, format!("node {from} -> {to}: the link in use loses 20 % for 2 s"));
    table.lose(carrier, 200);
    dice(sender, from, to, TROUBLE, None).await;
    table.lose(carrier, 0);
    true
}

/// A node dies without a word and comes back in a new incarnation.
async fn restart(
    table: &Table,
    ledger: &Ledger,
    acts: &mpsc::UnboundedSender<Act>,
    index: usize,
) -> bool {
    tell(acts, format!("node {index} is killed"));
    table.kill(index).await;
    come_back(table, ledger, acts, index).await;
    true
}

async fn come_back(
    table: &Table,
    ledger: &Ledger,
    acts: &mpsc::UnboundedSender<Act>,
    index: usize,
) {
    sleep(AWAY).await;
    match table.start(index).await {
        Ok(()) => {
            table.introduce(index);
            ledger.restarted();
            tell(acts, format!("node {index} is back in a new incarnation"));
        }
        Err(error) => tell(acts, format!("node {index} does not start again: {error}")),
    }
}

/// What happens beside everything else to the node far away: its process is killed while bets are
/// on their way from it and to it, and later the relay is. Does nothing when there is no time.
pub(super) async fn far_away(
    table: Arc<Table>,
    ledger: Arc<Ledger>,
    sender: Sender,
    length: Duration,
    acts: mpsc::UnboundedSender<Act>,
) {
    let far = table.len() - 1;
    if far < table.near() || length < AWAY * 5 {
        return;
    }
    sleep(length / 4).await;
    for near in (0..table.near()).cycle().take(BETS) {
        sender.send(far, near, GamePacketType::BetUpdate, BET, None);
        sender.send(near, far, GamePacketType::BetUpdate, BET, None);
        sleep(APART).await;
    }
    tell(&acts, format!("node {far}, a process of its own, is killed by kill -9"));
    table.kill(far).await;
    come_back(&table, &ledger, &acts, far).await;
    sleep(length / 4).await;
    relay_restart(&table, &acts).await;
}

/// The relay dies and comes back; meanwhile nothing reaches the far node.
async fn relay_restart(table: &Table, acts: &mpsc::UnboundedSender<Act>) {
    tell(acts, "the relay is killed".to_owned());
    table.kill_relay().await;
    sleep(AWAY).await;
    match table.start_relay().await {
        Ok(()) => tell(acts, "the relay is back".to_owned()),
        Err(error) => tell(acts, format!("the relay does not start again: {error}")),
    }
}
