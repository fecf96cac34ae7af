//! Confirmed messages one way, against bytes that quinn carries one way.

use std::collections::VecDeque;
use std::sync::Arc;

use bitcraps_coordinator::{
    Inbox, MultiTransportCoordinator, Outcome, Receipt, SendError, SendOptions,
};
use bitcraps_types::{PeerId, TrafficClass};
use bytes::Bytes;
use quinn::{Connection, RecvStream};

use super::echo::spawned;
use super::node::{self, Node, Settings};
use super::quic::{Rival, Tuning};
use crate::clock::{process, wall};
use crate::sample::median;
use crate::{Arguments, Failure, Report, Row};

const ROUNDS: usize = 5;

/// How quinn carries the same bytes.
#[derive(Clone, Copy)]
enum Manner {
    OneLongStream,
    StreamEach,
}

/// A comparison.
struct Plan {
    bytes: usize,
    messages: usize,
    /// Receipts that the sender holds before it waits for the oldest.
    in_flight: usize,
    max_packet_size: Option<usize>,
    manner: Manner,
}

/// Measures small messages.
pub(super) async fn run_small(arguments: &Arguments, report: &mut Report) -> Result<(), Failure> {
    let plan = Plan {
        bytes: 1_024,
        messages: arguments.size(200_000, 40_000),
        in_flight: 2_048,
        max_packet_size: None,
        manner: Manner::OneLongStream,
    };
    let [own, plain, alike] = compare(&plan, arguments.seed).await?;
    let name = "acked 1 KiB messages one way, nothing lost or doubled";
    let row = Row::new(name, own.rate, "messages/s");
    report.push(row.clone().beside("plain quinn, one long stream", plain.rate).ratio_at_least(0.8));
    report.push(row.beside("quinn with this transport's packet size", alike.rate));
    let row = Row::new("CPU of both ends for an acked 1 KiB message", own.cpu_us, "us");
    report.push(row.clone().beside("plain quinn, one long stream", plain.cpu_us));
    report.push(row.beside("quinn with this transport's packet size", alike.cpu_us));
    Ok(())
}

/// Measures large messages.
pub(super) async fn run_large(arguments: &Arguments, report: &mut Report) -> Result<(), Failure> {
    let plan = Plan {
        bytes: 65_536,
        messages: arguments.size(4_000, 1_000),
        in_flight: 128,
        // A message with its headers is one frame.
        max_packet_size: Some(131_072),
        manner: Manner::StreamEach,
    };
    let [own, plain, alike] = compare(&plan, arguments.seed).await?;
    let megabytes = |rate: f64| rate * plan.bytes as f64 / 1e6;
    let name = "acked 64 KiB messages one way, max_packet_size 131072";
    let row = Row::new(name, megabytes(own.rate), "MB/s");
    let beside = row.clone().beside("plain quinn, a uni stream each", megabytes(plain.rate));
    report.push(beside.ratio_at_least(0.8));
    report.push(row.beside("quinn with this transport's packet size", megabytes(alike.rate)));
    let row = Row::new("CPU of both ends for an acked 64 KiB message", own.cpu_us, "us");
    report.push(row.clone().beside("plain quinn, a uni stream each", plain.cpu_us));
    report.push(row.beside("quinn with this transport's packet size", alike.cpu_us));
    Ok(())
}

/// What one side of a comparison achieved.
#[derive(Clone, Copy)]
struct Achieved {
    /// Messages a second.
    rate: f64,
    /// CPU of the process for a message, in µs.
    cpu_us: f64,
}

/// The product, plain quinn, and quinn with the packet size of the LAN transport.
async fn compare(plan: &Plan, seed: u64) -> Result<[Achieved; 3], Failure> {
    let settings = Settings { hedging: true, max_packet_size: plan.max_packet_size, seed };
    let [near, far] = node::pair(&settings).await?;
    let rivals = [Rival::connect(Tuning::Plain).await?, Rival::connect(Tuning::Alike).await?];
    let mut inbox = far.coordinator.inbox();
    let mut taken: [Vec<Achieved>; 3] = Default::default();
    for round in 0..=ROUNDS {
        // The first round warms up, and is shorter.
        let messages = if round == 0 { plan.messages / 4 } else { plan.messages };
        let (own, back) = confirmed(&near.coordinator, far.peer, inbox, plan, messages).await?;
        inbox = back;
        let plain = carried(&rivals[0], plan, messages).await?;
        let alike = carried(&rivals[1], plan, messages).await?;
        if round > 0 {
            let measured = [own, plain, alike];
            taken.iter_mut().zip(measured).for_each(|(taken, measured)| taken.push(measured));
        }
    }
    for node in [&near, &far] {
        Node::shut_down(node).await;
    }
    for rival in rivals {
        rival.shut_down().await;
    }
    let middle = |of: &[Achieved], what: fn(&Achieved) -> f64| {
        median(&mut of.iter().map(what).collect::<Vec<_>>())
    };
    Ok(taken.map(|taken| Achieved {
        rate: middle(&taken, |a| a.rate),
        cpu_us: middle(&taken, |a| a.cpu_us),
    }))
}

/// What work that carries `messages` achieves.
async fn timed<T>(
    messages: usize,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<(Achieved, T), Failure> {
    let (start, cpu) = (wall(), process());
    let result = work.await?;
    let (took, cpu) = ((wall() - start) as f64, (process() - cpu) as f64);
    let messages = messages as f64;
    Ok((Achieved { rate: messages * 1e9 / took, cpu_us: cpu / 1e3 / messages }, result))
}

async fn confirmed(
    coordinator: &MultiTransportCoordinator,
    peer: PeerId,
    inbox: Inbox,
    plan: &Plan,
    messages: usize,
) -> Result<(Achieved, Inbox), Failure> {
    let sender = spawned(send_all(coordinator.clone(), peer, plan.bytes, messages, plan.in_flight));
    let receiver = spawned(receive_all(inbox, messages));
    let (achieved, (inbox, ())) =
        timed(messages, async { tokio::try_join!(receiver, sender) }).await?;
    Ok((achieved, inbox))
}

async fn send_all(
    coordinator: MultiTransportCoordinator,
    peer: PeerId,
    bytes: usize,
    messages: usize,
    in_flight: usize,
) -> Result<(), Failure> {
    let options = SendOptions::new(TrafficClass::Bulk);
    let mut receipts: VecDeque<Receipt> = VecDeque::with_capacity(in_flight);
    let mut body = vec![7; bytes];
    for number in 0..messages {
        body[..8].copy_from_slice(&(number as u64).to_le_bytes());
        let payload = Bytes::copy_from_slice(&body);
        while receipts.len() >= in_flight {
            settle(&mut receipts).await?;
        }
        loop {
            match coordinator.send(peer, payload.clone(), options) {
                Ok(receipt) => {
                    receipts.push_back(receipt);
                    break;
                }
                Err(SendError::QueueFull { .. }) if !receipts.is_empty() => {
                    settle(&mut receipts).await?;
                }
                Err(error) => return Err(Failure::broken("send", error)),
            }
        }
    }
    while !receipts.is_empty() {
        settle(&mut receipts).await?;
    }
    Ok(())
}

async fn settle(receipts: &mut VecDeque<Receipt>) -> Result<(), Failure> {
    let Some(receipt) = receipts.pop_front() else { return Ok(()) };
    match receipt.await {
        Outcome::Delivered { .. } => Ok(()),
        other => Err(Failure::Broken(format!("a message ended as {other:?}"))),
    }
}

/// Takes `messages`, each of them once.
async fn receive_all(mut inbox: Inbox, messages: usize) -> Result<Inbox, Failure> {
    let mut seen = vec![false; messages];
    for _ in 0..messages {
        let Some(delivery) = inbox.recv().await else {
            return Err(Failure::Broken("the inbox closed".to_owned()));
        };
        let number = delivery.payload.first_chunk().map(|head| u64::from_le_bytes(*head));
        let seen = number.and_then(|n| seen.get_mut(usize::try_from(n).ok()?));
        match seen {
            Some(seen) if !*seen => *seen = true,
            Some(_) => return Err(Failure::Broken(format!("{number:?} came twice"))),
            None => return Err(Failure::Broken("a message that was never sent".to_owned())),
        }
    }
    Ok(inbox)
}

async fn carried(rival: &Rival, plan: &Plan, messages: usize) -> Result<Achieved, Failure> {
    let (near, far, bytes) = (rival.near.clone(), rival.far.clone(), plan.bytes);
    let both = match plan.manner {
        Manner::OneLongStream => {
            let sender = spawned(write_long(near, bytes, messages));
            let receiver = spawned(read_long(far, bytes, messages));
            timed(messages, async { tokio::try_join!(sender, receiver) }).await?
        }
        Manner::StreamEach => {
            let sender = spawned(write_each(near, bytes, messages));
            let receiver = spawned(read_each(far, bytes, messages));
            timed(messages, async { tokio::try_join!(sender, receiver) }).await?
        }
    };
    Ok(both.0)
}

async fn write_long(connection: Connection, bytes: usize, messages: usize) -> Result<(), Failure> {
    let mut stream = connection.open_uni().await.map_err(|e| Failure::broken("rival", e))?;
    let message = vec![7; bytes];
    for _ in 0..messages {
        stream.write_all(&message).await.map_err(|e| Failure::broken("rival", e))?;
    }
    stream.finish().map_err(|e| Failure::broken("rival", e))
}

async fn read_long(connection: Connection, bytes: usize, messages: usize) -> Result<(), Failure> {
    let stream = connection.accept_uni().await.map_err(|e| Failure::broken("rival", e))?;
    match read(stream).await? {
        read if read == bytes * messages => Ok(()),
        read => Err(Failure::Broken(format!("rival: {read} bytes arrived"))),
    }
}

async fn read(mut stream: RecvStream) -> Result<usize, Failure> {
    let mut total = 0;
    while let Some(chunk) =
        stream.read_chunk(usize::MAX, true).await.map_err(|e| Failure::broken("rival", e))?
    {
        total += chunk.bytes.len();
    }
    Ok(total)
}

async fn write_each(connection: Connection, bytes: usize, messages: usize) -> Result<(), Failure> {
    let message = Arc::new(vec![7; bytes]);
    for _ in 0..messages {
        let mut stream = connection.open_uni().await.map_err(|e| Failure::broken("rival", e))?;
        stream.write_all(&message).await.map_err(|e| Failure::broken("rival", e))?;
        stream.finish().map_err(|e| Failure::broken("rival", e))?;
    }
    Ok(())
}

async fn read_each(connection: Connection, bytes: usize, messages: usize) -> Result<(), Failure> {
    let mut readers = tokio::task::JoinSet::new();
    for _ in 0..messages {
        let stream = connection.accept_uni().await.map_err(|e| Failure::broken("rival", e))?;
        readers.spawn(read(stream));
    }
    while let Some(read) = readers.join_next().await {
        let read = read.map_err(|e| Failure::broken("rival", e))??;
        if read != bytes {
            return Err(Failure::Broken(format!("rival: {read} bytes of a message arrived")));
        }
    }
    Ok(())
}
