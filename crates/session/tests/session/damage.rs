//! Bytes that nobody meant: no panic, no change.

use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;

use crate::pair::Pair;

const INPUTS: usize = 20_000;

fn mutated(rng: &mut Rng, seeds: &[Bytes]) -> Bytes {
    let mut bytes = rng.choice(seeds).map_or_else(Vec::new, |seed| seed.to_vec());
    for _ in 0..rng.usize(1..=3) {
        let at = rng.usize(..=bytes.len());
        match rng.u8(..5) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, rng.u8(..)),
            2 => bytes.extend((0..rng.usize(..40)).map(|_| rng.u8(..))),
            _ if at == bytes.len() => {}
            3 => bytes[at] ^= 1 << rng.u8(..8),
            _ => bytes[at] = rng.u8(..8),
        }
    }
    bytes.into()
}

#[test]
fn mutated_handshakes_and_seals_neither_panic_nor_change_a_session() {
    let mut rng = Rng::with_seed(11);
    let mut pair = Pair::new();
    let mut seeds = Vec::new();
    pair.a.connect(&pair.b, pair.now);
    pair.b.connect(&pair.a, pair.now);
    pair.settle_with(|bytes| {
        seeds.push(bytes.clone());
        true
    });
    assert!(pair.both_established());
    let (id, to, from, now) = (pair.a.message(5), pair.b.id(), pair.a.id(), pair.now);
    let sealed = pair.a.sessions.seal(&to, &id, 0, b"a bet", now).unwrap();
    let ack = pair.a.sessions.seal_ack(&to, b"taken", now).unwrap();
    seeds.extend([sealed.bytes.clone(), ack.clone()]);
    let mut refused = 0;
    for _ in 0..INPUTS {
        let bytes = mutated(&mut rng, &seeds);
        pair.now += Duration::from_millis(20);
        let now = pair.now;
        refused += usize::from(pair.b.take(from, &bytes, now).is_err());
        if bytes != sealed.bytes {
            assert!(pair.b.sessions.open(&id, 0, &bytes, now).is_err());
        }
        if bytes != ack {
            assert!(pair.b.sessions.open_ack(&from, &bytes, now).is_err());
        }
        drop(pair.b.outgoing());
        assert_eq!(pair.b.sessions.len(), 1);
    }
    assert!(refused > INPUTS / 2, "{refused}");
    assert_eq!(pair.b.sessions.open(&id, 0, &sealed.bytes, pair.now).unwrap(), "a bet");
}
