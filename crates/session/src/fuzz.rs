//! What must hold for whatever arrives in the name of a peer. Each function panics when it does not.

use bitcraps_types::{Epoch, MessageId, PeerId, Timestamp, TrafficClass};
use bytes::Bytes;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::{Command, Config, Identity, Sessions, Suite};

/// Frames that two ends exchange at most until both are established.
const FRAMES: usize = 8;
const NOW: Timestamp = Timestamp::from_millis(1_000_000);

fn end(number: u8) -> (Sessions, PeerId, ChaCha20Rng) {
    let identity = Identity::from_seed(&[number; 32]);
    let id = identity.peer();
    let config = Config { epoch: Epoch(1), suite: Suite::Classic };
    (Sessions::new(identity, config), id, ChaCha20Rng::from_seed([number; 32]))
}

fn outgoing(sessions: &mut Sessions) -> Vec<Bytes> {
    let commands = std::iter::from_fn(|| sessions.poll_command());
    let sent = commands.filter_map(|command| match command {
        Command::Transmit { bytes, .. } => Some(bytes),
        Command::Established { .. } | Command::Failed { .. } => None,
    });
    sent.collect()
}

/// Bytes that arrive at an end before, during and after a handshake change no session: it is
/// established as if they had not come, and opens what its peer sealed. The first byte says when they
/// come.
pub fn session(data: &[u8]) {
    let Some((when, bytes)) = data.split_first() else { return };
    let bytes = Bytes::copy_from_slice(bytes);
    let ((mut a, a_id, mut a_rng), (mut b, b_id, mut b_rng)) = (end(1), end(2));
    assert_eq!(a.connect(b_id, Epoch(1), NOW, &mut a_rng), Ok(()));
    let id = |sequence| MessageId {
        source: a_id,
        epoch: Epoch(1),
        class: TrafficClass::Critical,
        sequence,
    };
    for step in 0..FRAMES {
        if step == usize::from(*when) % FRAMES {
            // Only the peer itself could have made what is taken.
            let _refused = b.on_handshake(&a_id, &bytes, NOW, &mut b_rng);
            let _refused = a.on_handshake(&b_id, &bytes, NOW, &mut a_rng);
            assert!(b.open(&id(7), 0, &bytes, NOW).is_err());
            assert!(b.open_ack(&a_id, &bytes, NOW).is_err());
        }
        for frame in outgoing(&mut a) {
            let _refused = b.on_handshake(&a_id, &frame, NOW, &mut b_rng);
        }
        for frame in outgoing(&mut b) {
            let _refused = a.on_handshake(&b_id, &frame, NOW, &mut a_rng);
        }
    }
    assert!(a.is_established(&b_id) && b.is_established(&a_id), "{when} {bytes:?}");
    let sealed = a.seal(&b_id, &id(1), 0, b"a bet", NOW);
    let opened = sealed.map(|sealed| b.open(&id(1), 0, &sealed.bytes, NOW));
    assert_eq!(opened, Ok(Ok(Bytes::from_static(b"a bet"))));
}

#[cfg(test)]
mod tests {
    use super::*;
    use fastrand::Rng;

    /// Inputs tried: two handshakes each, about a millisecond.
    const INPUTS: usize = 1_000;

    #[test]
    fn whatever_arrives_when_a_session_is_agreed_on_changes_nothing() {
        let (mut a, _, mut rng) = end(1);
        assert_eq!(a.connect(end(2).1, Epoch(1), NOW, &mut rng), Ok(()));
        let first = outgoing(&mut a).remove(0);
        let mut rng = Rng::with_seed(3);
        for _ in 0..INPUTS {
            let mut bytes = vec![rng.u8(..)];
            bytes.extend(&first);
            for _ in 0..rng.usize(1..=3) {
                let at = rng.usize(1..bytes.len());
                match rng.u8(..4) {
                    0 => bytes.truncate(at + 1),
                    1 => bytes.insert(at, rng.u8(..)),
                    _ => bytes[at] ^= 1 << rng.u8(..8),
                }
            }
            session(&bytes);
        }
        // What the peer did send, once more.
        let again: Vec<u8> = [5].into_iter().chain(first).collect();
        session(&again);
    }
}
