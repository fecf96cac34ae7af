//! From `send` to the end-to-end acknowledgement, against the round trip of a datagram.

use bitcraps_coordinator::{MultiTransportCoordinator, Outcome, SendOptions};
use bitcraps_types::{PeerId, TrafficClass};
use bytes::Bytes;
use quinn::Connection;
use tokio::runtime::{Builder, Runtime};

use super::node::{self, Node, Settings};
use super::quic::{Rival, Tuning};
use crate::clock::wall;
use crate::sample::{median, quantile};
use crate::{Arguments, Failure, Report, Row};

const BYTES: usize = 100;
const ROUNDS: usize = 7;

/// Workers of the runtime on which both ends and the rival live.
#[derive(Clone, Copy)]
pub(super) enum Workers {
    /// The exchange is a chain: what it costs, wherever the scheduler would have put its links.
    One,
    /// As applications run. The application is woken beside the acknowledgement, and with both ends
    /// in one process the chain then moves between idle cores, which costs more than the exchange.
    EachCore,
}

impl Workers {
    pub(super) fn runtime(self) -> Result<Runtime, Failure> {
        let mut builder = Builder::new_multi_thread();
        match self {
            Self::One => builder.worker_threads(1),
            Self::EachCore => &mut builder,
        };
        builder.enable_all().build().map_err(Failure::io("runtime"))
    }

    /// One row a quantile of `own` beside `theirs`, the times of each round in microseconds.
    pub(super) fn report(self, over: &str, rival: &str, rounds: Rounds, report: &mut Report) {
        let workers = match self {
            Self::One => "one worker thread",
            Self::EachCore => "a worker a core",
        };
        let Rounds { mut own, mut theirs } = rounds;
        for (at, (q, (own, theirs))) in
            QUANTILES.iter().zip(own.iter_mut().zip(&mut theirs)).enumerate()
        {
            let name = format!("send to end-to-end ack over {over}, 100 B, {}, {workers}", q.0);
            let row = Row::new(name, median(own), "us").beside(rival, median(theirs));
            let judged = at == 0 && matches!(self, Self::One);
            report.push(if judged { row.ratio_at_most(1.3) } else { row });
        }
    }
}

const QUANTILES: [(&str, f64); 3] = [("p10", 0.1), ("p50", 0.5), ("p99", 0.99)];

/// The quantiles of each round, of both sides.
#[derive(Default)]
pub(super) struct Rounds {
    own: [Vec<f64>; QUANTILES.len()],
    theirs: [Vec<f64>; QUANTILES.len()],
}

impl Rounds {
    /// Measures both sides in turn.
    pub(super) async fn of<A, B>(
        mut acked: impl FnMut() -> A,
        mut echoed: impl FnMut() -> B,
    ) -> Result<Self, Failure>
    where
        A: Future<Output = Result<Vec<f64>, Failure>> + Send + 'static,
        B: Future<Output = Result<Vec<f64>, Failure>> + Send + 'static,
    {
        let mut rounds = Self::default();
        for round in 0..=ROUNDS {
            let own = spawned(acked()).await?;
            let theirs = spawned(echoed()).await?;
            // The first round warms up.
            if round > 0 {
                for (mut samples, into) in [(own, &mut rounds.own), (theirs, &mut rounds.theirs)] {
                    for ((_, q), into) in QUANTILES.into_iter().zip(into) {
                        into.push(quantile(&mut samples, q));
                    }
                }
            }
        }
        Ok(rounds)
    }
}

/// Over the LAN, against quinn.
pub(super) async fn run(
    arguments: &Arguments,
    workers: Workers,
    report: &mut Report,
) -> Result<(), Failure> {
    let settings = Settings { hedging: true, max_packet_size: None, seed: arguments.seed };
    let [near, far] = node::pair(&settings).await?;
    let rival = Rival::connect(Tuning::Alike).await?;
    let mut inbox = far.coordinator.inbox();
    let application = tokio::spawn(async move { while inbox.recv().await.is_some() {} });
    let answering = tokio::spawn(echo(rival.far.clone()));
    let times = arguments.size(3_000, 1_000);
    let rounds = Rounds::of(
        || acked(near.coordinator.clone(), far.peer, times),
        || echoed(rival.near.clone(), times),
    );
    let rounds = rounds.await?;
    answering.abort();
    for node in [&near, &far] {
        Node::shut_down(node).await;
    }
    rival.shut_down().await;
    application.await.map_err(|e| Failure::broken("receiving application", e))?;
    workers.report("the LAN", "quinn datagram echo", rounds, report);
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
