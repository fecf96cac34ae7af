//! What a storm of alerts costs those who send messages meanwhile: two whole nodes on loopback.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bitcraps_coordinator::{Outcome, SendOptions};
use bitcraps_monitor::{AlertKey, AlertKind, Level, Signal, Subject};
use bitcraps_types::{PeerId, TrafficClass};

use crate::clock::wall;
use crate::peers::keeper::Keeper;
use crate::sample::{median, quantile};
use crate::{Arguments, Failure, Report, Row};

const ROUNDS: usize = 7;
/// Anomalies that are told at once, and how often: 100,000 a second.
const BATCH: u64 = 10;
const EVERY: Duration = Duration::from_micros(100);

/// Tells a node of one anomaly after the other until it is stopped.
fn storm(keeper: &Keeper, stop: &AtomicBool, told: &AtomicU64) {
    let start = wall();
    let mut number = 0_u64;
    while !stop.load(Ordering::Relaxed) {
        keeper.node.with(|engine, now| {
            let Some(health) = engine.health_mut() else { return };
            for _ in 0..BATCH {
                number += 1;
                let mut id = [0; 32];
                id[..8].copy_from_slice(&number.to_be_bytes());
                let subject = Subject::Peer(PeerId::from_bytes(id));
                let signal = Signal {
                    key: AlertKey { kind: AlertKind::AnomalyDetected, subject },
                    level: Level::Breach,
                    value: 1.0,
                    what: "what it is, what would be usual, and by how much it strays".to_owned(),
                    split_off: false,
                };
                health.monitor_mut().alerts_mut().signal(signal, now);
            }
        });
        told.store(number, Ordering::Relaxed);
        let due = start + number / BATCH * EVERY.as_nanos() as u64;
        if let Some(early) = due.checked_sub(wall()) {
            std::thread::sleep(Duration::from_nanos(early));
        }
    }
}

/// How long messages take from `send` to their acknowledgement, one at a time, in microseconds.
async fn exchanges(near: &Keeper, to: PeerId, messages: usize) -> Result<Vec<f64>, Failure> {
    let mut took = Vec::with_capacity(messages);
    for _ in 0..messages {
        let start = wall();
        let options = SendOptions::new(TrafficClass::Critical);
        let receipt = near.node.send(to, vec![0; 100], options);
        let outcome = receipt.map_err(|e| Failure::broken("message", e))?.await;
        if !matches!(outcome, Outcome::Delivered { .. }) {
            return Err(Failure::Broken(format!("a message ended as {outcome:?}")));
        }
        took.push((wall() - start) as f64 / 1e3);
    }
    Ok(took)
}

/// Measures exchanges with and without a storm in turn.
pub(super) async fn run(arguments: &Arguments, report: &mut Report) -> Result<(), Failure> {
    let [near, far] = Keeper::pair([None, None]).await?;
    let (near, to) = (Arc::new(near), far.node.id());
    let mut inbox = far.node.inbox();
    // What nobody takes fills the receiver's room.
    let taking = tokio::spawn(async move { while inbox.recv().await.is_some() {} });
    let messages = arguments.size(5_000, 1_000);
    let (mut calm, mut stormy) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    let (mut rates, mut held) = (Vec::new(), 0);
    for round in 0..=ROUNDS {
        let mut quiet = exchanges(&near, to, messages).await?;
        let (stop, told) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (node, ends, count) = (Arc::clone(&near), Arc::clone(&stop), Arc::clone(&told));
        let start = wall();
        let thread = std::thread::spawn(move || storm(&node, &ends, &count));
        let during = exchanges(&near, to, messages).await;
        stop.store(true, Ordering::Relaxed);
        let ended = thread.join();
        ended.map_err(|_| Failure::Broken("the storm ended early".to_owned()))?;
        let mut during = during?;
        let active = near.node.with(|engine, now| {
            engine.health().map_or(0, |health| health.monitor().alerts().active(now).len())
        });
        held = held.max(active);
        // The first round warms up.
        if round > 0 {
            rates.push(told.load(Ordering::Relaxed) as f64 * 1e9 / (wall() - start) as f64);
            for (at, q) in [0.5, 0.99].into_iter().enumerate() {
                calm[at].push(quantile(&mut quiet, q));
                stormy[at].push(quantile(&mut during, q));
            }
        }
    }
    near.node.shutdown().await;
    far.node.shutdown().await;
    taking.abort();
    report.push(Row::new("storm of alerts", median(&mut rates), "anomalies/s"));
    report.push(Row::new("the same: alerts held", held as f64, "alerts").at_most(1_024.0));
    for (at, name) in ["p50", "p99"].into_iter().enumerate() {
        let name = format!("the same: send to end-to-end ack over the LAN, 100 B, {name}");
        let row = Row::new(name, median(&mut stormy[at]), "us");
        report.push(row.beside("without a storm", median(&mut calm[at])).ratio_at_most(1.3));
    }
    Ok(())
}
