//! From `send` to the end-to-end acknowledgement, against the round trip of a datagram.

use bitcraps_coordinator::{MultiTransportCoordinator, Outcome, SendOptions};
use bitcraps_types::{PeerId, TrafficClass};
use bytes::Bytes;
use quinn::Connection;

use super::node::{self, Node, Settings};
use super::quic::{Rival, Tuning};
use crate::clock::wall;
use crate::sample::{median, quantile};
use crate::{Arguments, Failure, Report, Row};

const BYTES: usize = 100;
const ROUNDS: usize = 7;

/// Measures both in turn.
pub(super) async fn run(arguments: &Arguments, report: &mut Report) -> Result<(), Failure> {
    let settings = Settings { hedging: true, max_packet_size: None, seed: arguments.seed };
    let [near, far] = node::pair(&settings).await?;
    let rival = Rival::connect(Tuning::Alike).await?;
    let mut inbox = far.coordinator.inbox();
    let application = tokio::spawn(async move { while inbox.recv().await.is_some() {} });
    let answering = tokio::spawn(echo(rival.far.clone()));
    let times = arguments.size(3_000, 1_000);
    let mut own: [Vec<f64>; 3] = Default::default();
    let mut theirs: [Vec<f64>; 3] = Default::default();
    for round in 0..=ROUNDS {
        let coordinator = near.coordinator.clone();
        let acked = spawned(acked(coordinator, far.peer, times)).await?;
        let echoed = spawned(echoed(rival.near.clone(), times)).await?;
        // The first round warms up.
        if round > 0 {
            for (samples, into) in [(acked, &mut own), (echoed, &mut theirs)] {
                let mut samples = samples;
                for (q, into) in [0.1, 0.5, 0.99].into_iter().zip(into) {
                    into.push(quantile(&mut samples, q));
                }
            }
        }
    }
    answering.abort();
    for node in [&near, &far] {
        Node::shut_down(node).await;
    }
    rival.shut_down().await;
    application.await.map_err(|e| Failure::broken("receiving application", e))?;
    let name = |q| format!("send to end-to-end ack over the LAN, 100 B, {q}");
    let rows = own.iter_mut().zip(&mut theirs).zip(["p10", "p50", "p99"]);
    for (at, ((own, theirs), q)) in rows.enumerate() {
        let row =
            Row::new(name(q), median(own), "us").beside("quinn datagram echo", median(theirs));
        report.push(if at == 0 { row.ratio_at_most(1.3) } else { row });
    }
    Ok(())
}

/// On a worker of the runtime, where both sides of the comparison live.
pub(super) async fn spawned<T: Send + 'static>(
    work: impl Future<Output = Result<T, Failure>> + Send + 'static,
) -> Result<T, Failure> {
    tokio::spawn(work).await.map_err(|e| Failure::broken("a task", e))?
}

pub(super) async fn acked(
    coordinator: MultiTransportCoordinator,
    peer: PeerId,
    times: usize,
) -> Result<Vec<f64>, Failure> {
    let payload = Bytes::from(vec![7; BYTES]);
    let options = SendOptions::new(TrafficClass::Realtime);
    let mut samples = Vec::with_capacity(times);
    for _ in 0..times {
        let start = wall();
        let receipt = coordinator.send(peer, payload.clone(), options);
        let outcome = receipt.map_err(|e| Failure::broken("send", e))?.await;
        samples.push((wall() - start) as f64 / 1e3);
        if !matches!(outcome, Outcome::Delivered { .. }) {
            return Err(Failure::Broken(format!("a message ended as {outcome:?}")));
        }
    }
    Ok(samples)
}

async fn echoed(connection: Connection, times: usize) -> Result<Vec<f64>, Failure> {
    let payload = Bytes::from(vec![7; BYTES]);
    let mut samples = Vec::with_capacity(times);
    for _ in 0..times {
        let start = wall();
        connection.send_datagram(payload.clone()).map_err(|e| Failure::broken("rival", e))?;
        connection.read_datagram().await.map_err(|e| Failure::broken("rival", e))?;
        samples.push((wall() - start) as f64 / 1e3);
    }
    Ok(samples)
}

async fn echo(connection: Connection) {
    while let Ok(datagram) = connection.read_datagram().await {
        if connection.send_datagram(datagram).is_err() {
            return;
        }
    }
}
