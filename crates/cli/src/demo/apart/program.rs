//! The program of a node apart: a node known through a relay only, its store, and an application
//! that does as it is ordered and says what happens.

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;

use bitcraps_node::coordinator::{
    Delivery, GamePacketType, Machine as _, OutboxId, Receipt, SendOptions,
};
use bitcraps_node::transport_api::{Address, ConnectTarget, Hint, HintSource};
use bitcraps_node::transport_inet::{InetConfig, InetTransport, Relay};
use bitcraps_node::{BootClock, Identity, Node, Store};
use bitcraps_types::{AckLevel, Epoch, TransportType};
use bytes::Bytes;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines, Stdin, stdin};
use tokio::time::{MissedTickBehavior, interval};

use super::{Figures, Order, Seating, Word, line};
use crate::demo::FRAME;
use crate::demo::ledger::Ending;
use crate::demo::table::{FAR_ADDRESS, STORE_BYTES, payload, tag_of};
use crate::demo::view::marks;

/// Why the program ends early.
type Trouble = Box<dyn std::error::Error + Send + Sync>;

pub(crate) async fn run() -> ExitCode {
    match play().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            crate::console::complain(&format!("bitcraps {}: {error}", super::VERB));
            ExitCode::from(2)
        }
    }
}

/// One write for each word: a process that is killed has said all of it or nothing that counts.
fn say(word: &Word) {
    // When nobody listens any more, the orders end too.
    let mut out = std::io::stdout().lock();
    out.write_all(line(word).as_bytes()).and_then(|()| out.flush()).unwrap_or_default();
}

async fn play() -> Result<(), Trouble> {
    let mut orders = BufReader::new(stdin()).lines();
    let first = orders.next_line().await?.ok_or("no seating was given")?;
    let seating: Seating = serde_json::from_str(&first)?;
    let node = sit(&seating).await?;
    for delivery in node.take_doubts() {
        say(&Word::Doubted { tag: tag_of(&delivery.payload) });
    }
    for (id, receipt) in node.take_recalled() {
        let name = id.into();
        say(&Word::Recalled { name });
        tokio::spawn(async move {
            let ending = Ending::from(Ok(receipt.await));
            say(&Word::RecallEnded { name, ending });
        });
    }
    say(&Word::Seated);
    let application = tokio::spawn(receive(Arc::clone(&node)));
    obey(&node, &mut orders).await?;
    node.shutdown().await;
    application.abort();
    Ok(())
}

async fn sit(seating: &Seating) -> Result<Arc<Node>, Trouble> {
    let identity = Identity::from_seed(&seating.key);
    let epoch = Epoch(seating.epoch);
    let (store, damage) = Store::open(&seating.store, &identity, epoch, STORE_BYTES)?;
    if let Some(damage) = damage {
        return Err(damage.to_string().into());
    }
    let relay: Relay = seating.relay.parse()?;
    let mut config = InetConfig::new(vec![FAR_ADDRESS]);
    config.relays = vec![relay.clone()];
    let internet = InetTransport::new(config, identity.signing_key().clone().into())?;
    let switches = seating.switches;
    let node = Node::builder(&identity, epoch)
        .store(store)
        .configure(|config| switches.apply(config))
        .transport(Arc::new(internet))
        .start()
        .await?;
    for peer in &seating.peers {
        let target = ConnectTarget {
            transport: TransportType::Internet,
            peer: *peer,
            address: Address::new(relay.to_string()),
            via: None,
        };
        let hint = Hint { target, source: HintSource::Static };
        node.with(|engine, now| engine.discovered(hint, now));
    }
    Ok(Arc::new(node))
}

async fn receive(node: Arc<Node>) {
    let mut inbox = node.inbox();
    while let Some(Delivery { id, payload, ack, .. }) = inbox.recv().await {
        say(&Word::Delivered { tag: tag_of(&payload), nanos: BootClock.now().as_nanos() });
        if ack == AckLevel::Applied {
            inbox.answer(id, true);
        }
    }
}

async fn obey(node: &Arc<Node>, orders: &mut Lines<BufReader<Stdin>>) -> Result<(), Trouble> {
    let mut frames = interval(FRAME);
    frames.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            order = orders.next_line() => match order? {
                Some(text) => match serde_json::from_str(&text)? {
                    Order::Send { tag, to, class, len } => {
                        let packet = GamePacketType::ALL.into_iter().find(|p| p.class() == class);
                        let options = packet.map_or(SendOptions::new(class), GamePacketType::options);
                        let options = SendOptions { conflate: options.conflate.map(|_| tag), ..options };
                        follow(tag, node.send(to, Bytes::from(payload(tag, len)), options));
                    }
                    Order::Leave => return Ok(()),
                },
                // The demo is gone.
                None => return Ok(()),
            },
            _ = frames.tick() => say(&Word::Figures(figures(node))),
        }
    }
}

fn follow(tag: u64, sent: Result<Receipt, bitcraps_node::coordinator::SendError>) {
    match sent {
        Ok(receipt) => {
            if let Some(name) = receipt.outbox_id().map(OutboxId::into) {
                say(&Word::Kept { tag, name });
            }
            tokio::spawn(async move {
                let ending = Ending::from(Ok(receipt.await));
                say(&Word::Ended { tag, ending });
            });
        }
        Err(error) => say(&Word::Ended { tag, ending: Ending::from(Err(error)) }),
    }
}

fn figures(node: &Node) -> Figures {
    let stats = node.get_transport_stats();
    let internet = stats.get(&TransportType::Internet);
    Figures {
        requests: internet.map_or(0, |m| m.request_count),
        bytes: internet.map_or(0, |m| m.bytes),
        failovers: node.counters().failovers,
        marks: marks(node),
    }
}
