//! What end-to-end sealing costs: a message sealed, a message opened, a handshake.

use std::hint::black_box;

use bitcraps_session::{Command, Config, Identity, Sessions, Suite};
use bitcraps_types::{Epoch, MessageId, Timestamp, TrafficClass};
use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;

const NOW: Timestamp = Timestamp::from_millis(1);

fn node(number: u8, suite: Suite) -> Sessions {
    Sessions::new(Identity::from_seed(&[number; 32]), Config { epoch: Epoch(1), suite })
}

/// What a node wants sent first.
fn sent(node: &mut Sessions) -> Bytes {
    std::iter::from_fn(|| node.poll_command())
        .find_map(|command| match command {
            Command::Transmit { bytes, .. } => Some(bytes),
            Command::Established { .. } | Command::Failed { .. } => None,
        })
        .unwrap_or_default()
}

/// Two nodes that never met, made to have a session.
fn handshake(suite: Suite, rng: &mut ChaCha20Rng) -> (Sessions, Sessions) {
    let (mut a, mut b) = (node(1, suite), node(2, suite));
    let (from, to) = (a.peer(), b.peer());
    let connected = a.connect(to, Epoch(1), NOW, rng).is_ok();
    let answered = b.on_handshake(&from, &sent(&mut a), NOW, rng).is_ok();
    let finished = a.on_handshake(&to, &sent(&mut b), NOW, rng).is_ok();
    let confirmed = b.on_handshake(&from, &sent(&mut a), NOW, rng).is_ok();
    assert!(connected && answered && finished && confirmed, "a handshake failed");
    (a, b)
}

fn seals(criterion: &mut Criterion) {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let (mut a, mut b) = handshake(Suite::Classic, &mut rng);
    let to = b.peer();
    let id =
        MessageId { source: a.peer(), epoch: Epoch(1), class: TrafficClass::Critical, sequence: 1 };
    let mut group = criterion.benchmark_group("session");
    for len in [64, 1_024] {
        let payload = vec![7; len];
        group.throughput(Throughput::Bytes(len as u64));
        group.bench_function(format!("seal {len} B"), |bencher| {
            bencher.iter(|| a.seal(&to, &id, 0, black_box(&payload), NOW));
        });
        let Ok(sealed) = a.seal(&to, &id, 0, &payload, NOW) else { continue };
        group.bench_function(format!("open {len} B"), |bencher| {
            bencher.iter(|| b.open(&id, 0, black_box(&sealed.bytes), NOW));
        });
    }
    group.finish();
}

fn handshakes(criterion: &mut Criterion) {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let mut group = criterion.benchmark_group("session handshake, both ends");
    for suite in [Suite::Classic, Suite::Hybrid] {
        group.bench_function(suite.to_string(), |bencher| {
            bencher.iter(|| handshake(black_box(suite), &mut rng));
        });
    }
    group.finish();
}

criterion_group!(benches, seals, handshakes);
criterion_main!(benches);
