//! The bytes themselves, as implementations in another language make them: vectors.txt is the
//! output of vectors.py, which says from what.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;

use bitcraps_session::{Command, Config, Identity, Sessions, Suite};
use bitcraps_types::{Epoch, MessageId, PeerId, Timestamp, TrafficClass};
use bytes::Bytes;
use rand_chacha::rand_core::{TryCryptoRng, TryRng};

/// Gives the bytes it was given.
struct Script(VecDeque<u8>);

impl Script {
    fn new(parts: &[&[u8]]) -> Self {
        Self(parts.concat().into())
    }
}

impl TryRng for Script {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        unreachable!("bytes only")
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        unreachable!("bytes only")
    }

    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), Infallible> {
        for byte in dest {
            *byte = self.0.pop_front().expect("no more randomness than the vectors use");
        }
        Ok(())
    }
}

impl TryCryptoRng for Script {}

fn vectors() -> BTreeMap<&'static str, Vec<u8>> {
    let digit = |text: &str| u8::from_str_radix(text, 16).unwrap();
    let line = |line: &'static str| {
        let (name, hex) = line.rsplit_once(' ').unwrap();
        (name, (0..hex.len() / 2).map(|at| digit(&hex[2 * at..2 * at + 2])).collect())
    };
    include_str!("vectors.txt").lines().map(line).collect()
}

fn transmitted(sessions: &mut Sessions) -> Bytes {
    loop {
        match sessions.poll_command().expect("something is transmitted") {
            Command::Transmit { bytes, .. } => return bytes,
            _ => continue,
        }
    }
}

fn agrees(suite: Suite, name: &str) {
    let vectors = vectors();
    let expected = |what: &str| Bytes::from(vectors[format!("{name} {what}").as_str()].clone());
    let now = Timestamp::from_millis(1);
    let epochs = [Epoch(3), Epoch(0x0102_0304_0506_0708)];
    let mut nodes = [[0x11; 32], [0x22; 32]]
        .iter()
        .zip(epochs)
        .map(|(seed, epoch)| Sessions::new(Identity::from_seed(seed), Config { epoch, suite }));
    let (mut a, mut b) = (nodes.next().unwrap(), nodes.next().unwrap());
    let ids = [a.peer(), b.peer()];
    for (number, id) in ids.iter().enumerate() {
        assert_eq!(id.as_bytes().as_slice(), vectors[format!("peer {number}").as_str()]);
    }
    let (first, second): (Vec<u8>, Vec<u8>) = ((0..32).collect(), (100..132).collect());
    let (kem_seed, kem_random): (Vec<u8>, Vec<u8>) = ((0..64).collect(), (200..232).collect());
    let mut of_a = Script::new(&[&[0xA1, 0xA2, 0xA3, 0xA4], &first, &kem_seed]);
    let mut of_b = Script::new(&[&second, &[0xB1, 0xB2, 0xB3, 0xB4], &kem_random]);

    a.connect(ids[1], epochs[1], now, &mut of_a).unwrap();
    let initiation = transmitted(&mut a);
    assert_eq!(initiation, expected("initiation"));
    b.on_handshake(&ids[0], &initiation, now, &mut of_b).unwrap();
    let reply = transmitted(&mut b);
    assert_eq!(reply, expected("reply"));
    a.on_handshake(&ids[1], &reply, now, &mut of_a).unwrap();
    let confirmation = transmitted(&mut a);
    assert_eq!(confirmation, expected("confirmation"));
    b.on_handshake(&ids[0], &confirmation, now, &mut of_b).unwrap();

    let id = |source: PeerId, epoch, class, sequence| MessageId { source, epoch, class, sequence };
    let there = id(ids[0], epochs[0], TrafficClass::Critical, 77);
    let sealed = a.seal(&ids[1], &there, 2, b"a bet of 5", now).unwrap();
    assert_eq!(sealed.bytes, expected("message"));
    assert_eq!(b.open(&there, 2, &sealed.bytes, now).unwrap(), "a bet of 5");
    let back = id(ids[1], epochs[1], TrafficClass::Bulk, 1 << 40);
    let sealed = b.seal(&ids[0], &back, 0, b"", now).unwrap();
    assert_eq!(sealed.bytes, expected("empty message back"));
    assert_eq!(a.open(&back, 0, &sealed.bytes, now).unwrap(), "");
    let ack = b.seal_ack(&ids[0], b"taken", now).unwrap();
    assert_eq!(ack, expected("ack back"));
    assert_eq!(a.open_ack(&ids[1], &ack, now).unwrap(), "taken");
}

#[test]
fn classic_handshakes_and_seals_are_those_of_other_implementations() {
    agrees(Suite::Classic, "classic");
}

#[test]
#[cfg(feature = "hybrid")]
fn hybrid_handshakes_and_seals_are_those_of_other_implementations() {
    agrees(Suite::Hybrid, "hybrid");
}

#[test]
fn messages_have_the_lengths_that_are_told() {
    let lengths = |name: &str| {
        ["initiation", "reply", "confirmation"]
            .map(|what| vectors()[&*format!("{name} {what}")].len())
    };
    assert_eq!(lengths("classic"), [69, 57, 29]);
    assert_eq!(lengths("hybrid"), [1_253, 1_145, 29]);
}
