use std::sync::Arc;
use std::time::Duration;

use bitcraps_node::coordinator::{GamePacketType, Machine as _, Receipt, SendError, SendOptions};
use bitcraps_node::{BootClock, Node};
use bitcraps_types::{PeerId, TrafficClass};
use tokio::sync::Semaphore;
use tokio::time::{MissedTickBehavior, interval};

use super::apart::Order;
use super::ledger::{Ending, Ledger, Seat, Tag};
use super::table::{Table, payload};

/// Time between two acts of a node.
const BEAT: Duration = Duration::from_millis(50);
/// Receipts awaited at once; a demo of eight nodes has some hundred.
const RECEIPTS: usize = 8_192;

/// Sends messages and notes in the ledger what became of them.
#[derive(Clone)]
pub(super) struct Sender {
    table: Arc<Table>,
    ledger: Arc<Ledger>,
    receipts: Arc<Semaphore>,
}

impl Sender {
    pub(super) fn new(table: Arc<Table>, ledger: Arc<Ledger>) -> Self {
        Self { table, ledger, receipts: Arc::new(Semaphore::new(RECEIPTS)) }
    }

    /// Sends a game's packet of `len` bytes from one node to another.
    pub(super) fn send(
        &self,
        from: usize,
        to: usize,
        packet: GamePacketType,
        len: usize,
        event: Option<usize>,
    ) {
        self.send_with(from, to, packet.options(), len, event);
    }

    /// Sends a message of `len` bytes from one node to another.
    pub(super) fn send_with(
        &self,
        from: usize,
        to: usize,
        options: SendOptions,
        len: usize,
        event: Option<usize>,
    ) {
        if from >= self.table.near() {
            return self.order(from, to, options.class, len);
        }
        let Some((node, seat)) = self.table.node(from) else { return };
        let destination = self.addressee(&node, to);
        let peer = self.table.id(to);
        let now = BootClock.now();
        let tag = self.ledger.sending(seat, &[destination], options.class, event, now);
        // Every snapshot of the demo is looked for at its destination: none may replace another.
        let options = SendOptions { conflate: options.conflate.map(|_| tag), ..options };
        let receipt = node.send(peer, payload(tag, len), options);
        self.follow(tag, receipt);
    }

    /// Has the node in a process of its own send a game's packet.
    fn order(&self, from: usize, to: usize, class: TrafficClass, len: usize) {
        let (Some(seat), Some(destination)) = (self.table.seat(from), self.table.seat(to)) else {
            return;
        };
        let tag = self.ledger.sending(seat, &[destination], class, None, BootClock.now());
        let to = self.table.id(to);
        self.table.order(from, Order::Send { tag, to, class, len });
    }

    /// A dice roll to the whole table; from a process of its own one at a time.
    fn roll(&self, from: usize) {
        if from >= self.table.near() {
            let players = (0..self.table.near()).filter(|i| *i != from);
            return players.for_each(|to| self.order(from, to, TrafficClass::Realtime, DICE));
        }
        let Some((node, seat)) = self.table.node(from) else { return };
        let players: Vec<usize> = (0..self.table.len()).filter(|i| *i != from).collect();
        let seats: Vec<Seat> = players.iter().map(|i| self.addressee(&node, *i)).collect();
        let peers: Vec<PeerId> = players.iter().map(|i| self.table.id(*i)).collect();
        let packet = GamePacketType::DiceRoll;
        let tag = self.ledger.sending(seat, &seats, packet.class(), None, BootClock.now());
        let group = node.send_group(&peers, payload(tag, DICE), packet.options());
        for (entry, (_, receipt)) in (tag..).zip(group.into_receipts()) {
            self.follow(entry, receipt);
        }
    }

    /// The incarnation that a message of `node` to `index` goes to: the one that greeted it last. A
    /// node that restarted a moment ago is not it, and what its former self missed may be lost.
    fn addressee(&self, node: &Node, index: usize) -> Seat {
        let known = node.with(|engine, _| engine.core().epoch_of(self.table.id(index)));
        Seat { index, epoch: known.map_or(0, |epoch| epoch.0) }
    }

    fn follow(&self, tag: Tag, receipt: Result<Receipt, SendError>) {
        let ledger = Arc::clone(&self.ledger);
        match receipt {
            Ok(receipt) => {
                if let Some(id) = receipt.outbox_id() {
                    ledger.kept(tag, id);
                }
                let receipts = Arc::clone(&self.receipts);
                tokio::spawn(async move {
                    let _permit = receipts.acquire_owned().await;
                    ledger.ended(tag, Ending::from(Ok(receipt.await)));
                });
            }
            Err(error) => ledger.ended(tag, Ending::from(Err(error))),
        }
    }
}

/// Size of a dice roll in bytes.
pub(super) const DICE: usize = 64;
/// Size of a bet in bytes.
pub(super) const BET: usize = 200;
const CHAT: usize = 300;
const STATE: [usize; 3] = [2_048, 4_096, 16_384];

/// One node's part of the game until `stop`: dice to the table, bets, chat and state.
pub(super) async fn play(
    sender: Sender,
    index: usize,
    seed: u64,
    mut stop: tokio::sync::watch::Receiver<bool>,
) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut beat = interval(BEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let others: Vec<usize> = (0..sender.table.len()).filter(|i| *i != index).collect();
    loop {
        tokio::select! {
            _ = beat.tick() => {}
            _ = stop.changed() => return,
        }
        let other = others[rng.usize(..others.len())];
        match rng.u32(0..100) {
            0..=9 => sender.roll(index),
            10..=39 => sender.send(index, other, GamePacketType::BetUpdate, BET, None),
            40..=49 => sender.send(index, other, GamePacketType::ChatMessage, CHAT, None),
            50..=54 => {
                let len = STATE[rng.usize(..STATE.len())];
                sender.send(index, other, GamePacketType::StateSync, len, None);
            }
            _ => {}
        }
    }
}
