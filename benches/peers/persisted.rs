//! Critical messages that outlive both processes: durable at the sender before the first copy leaves,
//! durable at the receiver before it is acknowledged, on one disk.

use std::collections::VecDeque;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bitcraps_coordinator::{Inbox, Outcome, Receipt, SendError, SendOptions};
use bitcraps_types::{PeerId, TrafficClass};
use bytes::Bytes;
use redb::{Database, TableDefinition};

use super::echo::spawned;
use super::keeper::{Keeper, PATIENCE};
use crate::clock::wall;
use crate::sample::{median, quantile};
use crate::{Arguments, Failure, Report, Row};

const BYTES: usize = 200;
const ROUNDS: usize = 5;
/// Receipts that the sender holds before it waits for the oldest.
const IN_FLIGHT: usize = 1_024;
/// Flushes that tell the disk's own rate.
const FLUSHES: usize = 200;
const ROWS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("rows");

/// Measures rate, latency and flushes.
pub(super) async fn run(arguments: &Arguments, report: &mut Report) -> Result<(), Failure> {
    let directory = beside_the_program()?;
    let store = |key| Keeper::store(key, directory.path());
    let [near, far] = Keeper::pair([Some(store(1)?), Some(store(2)?)]).await?;

    let messages = arguments.size(40_000, 10_000);
    let (near, far) = (Arc::new(near), Arc::new(far));
    let mut inbox = far.node.inbox();
    let (mut rates, mut tails, mut flushes) = (Vec::new(), Vec::new(), [0; 2]);
    for round in 0..=ROUNDS {
        let before = [&near, &far].map(|keeper| keeper.node.store_health().syncs);
        let start = wall();
        let sending = spawned(send_all(Arc::clone(&near), far.node.id(), messages, IN_FLIGHT));
        let (back, mut latencies) =
            tokio::try_join!(spawned(receive_all(inbox, messages)), sending)?;
        let took = (wall() - start) as f64;
        inbox = back;
        let after = [&near, &far].map(|keeper| keeper.node.store_health().syncs);
        // The first round warms up.
        if round > 0 {
            rates.push(messages as f64 * 1e9 / took);
            tails.push(quantile(&mut latencies, 0.99));
            flushes = [after[0] - before[0], after[1] - before[1]];
        }
    }
    let alone = arguments.size(500, 100);
    let sending = spawned(send_all(Arc::clone(&near), far.node.id(), alone, 1));
    let (_, mut latencies) = tokio::try_join!(spawned(receive_all(inbox, alone)), sending)?;
    for keeper in [&near, &far] {
        keeper.node.shutdown().await;
    }

    let batch = messages.div_ceil(usize::try_from(flushes[0]).unwrap_or_default().max(1));
    let path = directory.path().to_owned();
    let rivals = tokio::task::spawn_blocking(move || rivals(&path, batch, messages));
    let [rows, each] = rivals.await.map_err(|e| Failure::broken("rival", e))??;

    let name = "Critical with persistence on, 200 B, acked over the LAN, both stores on one disk";
    let rival = format!("redb alone, one table, {batch} rows a transaction");
    let row = Row::new(name, median(&mut rates), "messages/s");
    report.push(row.beside(rival, rows).at_least(5_000.0));
    let name = format!("the same, {IN_FLIGHT} in flight: send to end-to-end ack, p99");
    report.push(Row::new(name, median(&mut tails), "us"));
    let name = format!("the same: flushes of both stores for {messages} messages");
    report.push(Row::new(name, (flushes[0] + flushes[1]) as f64, "flushes"));
    for (name, q) in [("p50", 0.5), ("p99", 0.99)] {
        let name = format!("persisted Critical one at a time: send to end-to-end ack, {name}");
        let row = Row::new(name, quantile(&mut latencies, q), "us");
        report.push(row.beside("one 4 KiB write in place with its flush", each));
    }
    Ok(())
}

/// A directory on the disk that holds the program: the one for temporary files is often memory.
fn beside_the_program() -> Result<tempfile::TempDir, Failure> {
    let program = std::env::current_exe().map_err(Failure::io("directory"))?;
    let directory = program.parent().map_or_else(|| PathBuf::from("."), Path::to_owned);
    tempfile::tempdir_in(directory).map_err(Failure::io("directory"))
}

/// Microseconds from `send` to the acknowledgement of each message.
async fn send_all(
    keeper: Arc<Keeper>,
    peer: PeerId,
    messages: usize,
    in_flight: usize,
) -> Result<Vec<f64>, Failure> {
    let options = SendOptions::new(TrafficClass::Critical).deadline(PATIENCE);
    let mut receipts: VecDeque<Receipt> = VecDeque::with_capacity(in_flight);
    let mut latencies = Vec::with_capacity(messages);
    let mut body = [7; BYTES];
    for number in 0..messages {
        body[..8].copy_from_slice(&(number as u64).to_le_bytes());
        let payload = Bytes::copy_from_slice(&body);
        if receipts.len() >= in_flight {
            settle(&mut receipts, &mut latencies).await?;
        }
        loop {
            match keeper.node.send(peer, payload.clone(), options) {
                Ok(receipt) => break receipts.push_back(receipt),
                Err(SendError::QueueFull { .. }) if !receipts.is_empty() => {
                    settle(&mut receipts, &mut latencies).await?;
                }
                Err(error) => return Err(Failure::broken("send", error)),
            }
        }
    }
    while !receipts.is_empty() {
        settle(&mut receipts, &mut latencies).await?;
    }
    Ok(latencies)
}

async fn settle(receipts: &mut VecDeque<Receipt>, latencies: &mut Vec<f64>) -> Result<(), Failure> {
    let Some(receipt) = receipts.pop_front() else { return Ok(()) };
    match receipt.await {
        Outcome::Delivered { latency, .. } => latencies.push(latency.as_nanos() as f64 / 1e3),
        other => return Err(Failure::Broken(format!("a message ended as {other:?}"))),
    }
    Ok(())
}

/// Takes `messages`, each of them once.
async fn receive_all(mut inbox: Inbox, messages: usize) -> Result<Inbox, Failure> {
    let mut seen = vec![false; messages];
    for _ in 0..messages {
        let delivery = inbox.recv().await;
        let delivery = delivery.ok_or(Failure::Broken("the inbox closed".to_owned()))?;
        let number = delivery.payload.first_chunk().map(|head| u64::from_le_bytes(*head));
        match number.and_then(|n| seen.get_mut(usize::try_from(n).ok()?)) {
            Some(seen) if !*seen => *seen = true,
            _ => return Err(Failure::Broken(format!("{number:?} came twice, or was never sent"))),
        }
    }
    Ok(inbox)
}

/// What the disk and the database do by themselves: rows a second in transactions of `batch`, and
/// microseconds for one write with its flush.
fn rivals(directory: &Path, batch: usize, rows: usize) -> Result<[f64; 2], Failure> {
    let broken = |e: redb::Error| Failure::broken("redb alone", e);
    let database = Database::create(directory.join("alone.redb")).map_err(|e| broken(e.into()))?;
    let transaction = |first: usize| -> Result<(), redb::Error> {
        let write = database.begin_write()?;
        {
            let mut table = write.open_table(ROWS)?;
            for row in first..first + batch {
                table.insert(row as u64, [7; BYTES].as_slice())?;
            }
        }
        Ok(write.commit()?)
    };
    transaction(0).map_err(broken)?;
    let start = wall();
    let mut written = 0;
    while written < rows {
        transaction(written).map_err(broken)?;
        written += batch;
    }
    let rate = written as f64 * 1e9 / (wall() - start) as f64;

    let file = File::create(directory.join("flushed")).map_err(Failure::io("disk"))?;
    let mut each = Vec::with_capacity(FLUSHES);
    // The first write makes the room that the others use again.
    for _ in 0..=FLUSHES {
        let start = wall();
        file.write_all_at(&[7; 4_096], 0).map_err(Failure::io("disk"))?;
        file.sync_data().map_err(Failure::io("disk"))?;
        each.push((wall() - start) as f64 / 1e3);
    }
    Ok([rate, median(&mut each[1..])])
}
