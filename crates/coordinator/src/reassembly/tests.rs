use super::*;
use bitcraps_types::Epoch;
use proptest::prelude::*;

fn peer(n: u8) -> PeerId {
    PeerId::from_bytes([n; 32])
}

fn key(of: u8, sequence: Sequence) -> Key {
    (peer(of), (Epoch(1), TrafficClass::Bulk), sequence)
}

fn at(ms: u64) -> Timestamp {
    Timestamp::from_millis(ms)
}

fn arrival(attempt: u16) -> Arrival {
    Arrival { ack: AckLevel::PeerAcked, attempt, link: LinkId(1), due: Timestamp::MAX }
}

fn fragment(sequence: Sequence, total: u32, offset: u32, payload: &[u8]) -> Data {
    Data {
        class: TrafficClass::Bulk,
        ack: AckLevel::PeerAcked,
        generation: 0,
        attempt: 1,
        source_epoch: Epoch(1),
        sequence,
        behind_lowest_live: 0,
        total,
        offset,
        payload: Bytes::copy_from_slice(payload),
    }
}

/// What the tables hold agrees with what they say they hold.
fn check(all: &Reassembly) {
    let bytes: usize = all.messages.values().map(|a| a.bytes.len()).sum();
    assert_eq!(all.bytes, bytes);
    assert_eq!(all.by_age.len(), all.messages.len());
    let held: usize = all.per_peer.values().map(|h| h.bytes).sum();
    let count: usize = all.per_peer.values().map(|h| h.by_age.len()).sum();
    assert_eq!((held, count), (bytes, all.messages.len()));
    let whole = all.messages.iter().filter(|(_, a)| a.is_whole()).count();
    assert_eq!(all.whole.len(), whole);
    assert!(all.bytes <= REASSEMBLY_NODE_BYTES && all.messages.len() <= REASSEMBLY_NODE_MESSAGES);
}

#[test]
fn a_peer_keeps_to_its_bytes_and_its_own_oldest_gives_way() {
    let mut all = Reassembly::default();
    let part = vec![0; REASSEMBLY_PEER_BYTES / 4];
    let total = part.len() as u32 + 1;
    let add = |all: &mut Reassembly, peer, sequence, time| {
        all.add(peer, &fragment(sequence, total, 0, &part), arrival(1), at(time))
    };
    for sequence in 0..4 {
        assert_eq!(add(&mut all, peer(1), sequence, sequence), Added::Incomplete);
    }
    assert_eq!(add(&mut all, peer(2), 9, 5), Added::Incomplete);
    assert_eq!(all.evicted, 0, "exactly full");
    // The oldest is touched again, so the second is the oldest now.
    let touch = fragment(0, total, total - 1, &[0]);
    assert_eq!(all.add(peer(1), &touch, arrival(1), at(6)), Added::Complete);
    check(&all);
    let left: Vec<Sequence> = all.messages.keys().filter(|k| k.0 == peer(1)).map(|k| k.2).collect();
    assert_eq!((all.evicted, left), (1, vec![0, 2, 3]), "one byte too much costs the oldest");
    assert!(all.messages.contains_key(&key(2, 9)), "of its own");
}

#[test]
fn a_message_alone_too_large_for_its_peer_is_refused() {
    let mut all = Reassembly::default();
    let data = fragment(0, u32::MAX, REASSEMBLY_PEER_BYTES as u32, &[1]);
    assert_eq!(all.add(peer(1), &data, arrival(1), at(0)), Added::Refused);
    let fits = fragment(0, u32::MAX, REASSEMBLY_PEER_BYTES as u32 - 1, &[1]);
    assert_eq!(all.add(peer(2), &fits, arrival(1), at(0)), Added::Incomplete);
    all.add(peer(1), &fragment(0, u32::MAX, 0, &[1]), arrival(1), at(0));
    assert_eq!(all.add(peer(1), &data, arrival(1), at(0)), Added::Refused);
    check(&all);
}

#[test]
fn all_peers_together_keep_to_the_bytes_of_the_node() {
    let mut all = Reassembly::default();
    let part = vec![0; REASSEMBLY_PEER_BYTES];
    let total = part.len() as u32 + 1;
    let peers = (REASSEMBLY_NODE_BYTES / REASSEMBLY_PEER_BYTES) as u8;
    for n in 0..peers {
        all.add(peer(n), &fragment(0, total, 0, &part), arrival(1), at(u64::from(n)));
    }
    assert_eq!(all.evicted, 0, "exactly full");
    all.add(peer(99), &fragment(0, 2, 0, &[1]), arrival(1), at(100));
    check(&all);
    assert_eq!(all.evicted, 1);
    assert!(!all.per_peer.contains_key(&peer(0)), "the oldest of all");
}

#[test]
fn the_number_of_messages_is_bounded_for_a_peer_and_for_the_node() {
    let mut all = Reassembly::default();
    let peers = REASSEMBLY_NODE_MESSAGES / REASSEMBLY_PEER_MESSAGES;
    for n in 0..peers as u8 {
        for sequence in 0..=REASSEMBLY_PEER_MESSAGES as u64 {
            let time = at(u64::from(n) * 10_000 + sequence);
            all.add(peer(n), &fragment(sequence, 2, 0, &[1]), arrival(1), time);
        }
        assert_eq!(all.per_peer[&peer(n)].by_age.len(), REASSEMBLY_PEER_MESSAGES);
        assert!(!all.messages.contains_key(&key(n, 0)));
        assert_eq!(all.evicted, u64::from(n) + 1);
    }
    assert_eq!(all.messages.len(), REASSEMBLY_NODE_MESSAGES);
    all.add(peer(200), &fragment(0, 2, 0, &[1]), arrival(1), at(1_000_000));
    check(&all);
    assert_eq!(all.messages.len(), REASSEMBLY_NODE_MESSAGES);
    assert!(!all.messages.contains_key(&key(0, 1)), "the oldest of all");
}

#[test]
fn the_holes_of_a_message_are_bounded() {
    let mut all = Reassembly::default();
    let total = 4 * REASSEMBLY_RANGES as u32;
    for i in 0..REASSEMBLY_RANGES as u32 {
        let added = all.add(peer(1), &fragment(0, total, 2 * i, &[0]), arrival(1), at(0));
        assert_eq!(added, Added::Incomplete);
    }
    let apart = fragment(0, total, 3 * REASSEMBLY_RANGES as u32, &[0]);
    assert_eq!(all.add(peer(1), &apart, arrival(1), at(0)), Added::Refused);
    assert_eq!(
        all.add(peer(1), &fragment(0, total, 1, &[0]), arrival(1), at(0)),
        Added::Incomplete
    );
    assert_eq!(all.add(peer(1), &apart, arrival(1), at(0)), Added::Incomplete, "two holes closed");
    check(&all);
}

#[test]
fn what_rests_for_thirty_seconds_is_given_up() {
    let mut all = Reassembly::default();
    all.add(peer(1), &fragment(0, 3, 0, &[1]), arrival(1), at(0));
    all.add(peer(1), &fragment(1, 3, 0, &[1]), arrival(1), at(10));
    all.add(peer(1), &fragment(0, 3, 1, &[1]), arrival(1), at(5));
    all.add(peer(1), &fragment(0, 3, 1, &[1]), arrival(1), at(9));
    all.sweep(at(30_004));
    assert_eq!(all.evicted, 0);
    all.sweep(at(30_005));
    assert_eq!(all.evicted, 1, "a repetition is no progress");
    all.sweep(at(30_010));
    assert!(all.is_empty());
    check(&all);
}

#[test]
fn a_restart_of_the_peer_forgets_its_messages_alone() {
    let mut all = Reassembly::default();
    for n in 1..=2 {
        all.add(peer(n), &fragment(0, 3, 0, &[1]), arrival(1), at(0));
        all.add(peer(n), &fragment(1, 1, 0, &[1]), arrival(1), at(0));
    }
    all.remove_peer(peer(1));
    check(&all);
    let left: Vec<u8> = all.messages.keys().map(|k| k.0.as_bytes()[0]).collect();
    assert_eq!(left, [2, 2]);
}

#[test]
fn a_whole_message_is_taken_once_and_an_incomplete_one_never() {
    let mut all = Reassembly::default();
    let key = key(1, 0);
    all.add(peer(1), &fragment(0, 4, 2, b"cd"), arrival(1), at(0));
    assert_eq!(all.take(&key), None);
    assert_eq!(all.complete(TrafficClass::Bulk), []);
    let partial = all.partial(&key).unwrap();
    assert_eq!((partial.sequence, partial.ranges), (0, vec![(2, 4)]));
    assert_eq!(all.add(peer(1), &fragment(0, 4, 0, b"ab"), arrival(7), at(0)), Added::Complete);
    assert_eq!(all.complete(TrafficClass::Bulk), [(key, arrival(7))]);
    assert_eq!(all.complete(TrafficClass::Critical), []);
    assert_eq!(all.take(&key), Some(Bytes::from_static(b"abcd")));
    assert_eq!(all.take(&key), None);
    check(&all);
}

proptest! {
    /// Against a plain array: a byte once known never changes, and the message is whole when every
    /// byte is known.
    #[test]
    fn agrees_with_an_array(parts in prop::collection::vec((0u32..60, 1u32..20, any::<bool>()), 1..80)) {
        let truth: Vec<u8> = (0..64).map(|i| i * 3).collect();
        let mut all = Reassembly::default();
        let mut known = [false; 64];
        let key = key(1, 0);
        for (i, (start, len, honest)) in parts.into_iter().enumerate() {
            let (start, end) = (start as usize, (start + len).min(64) as usize);
            let mut bytes = truth[start..end].to_vec();
            if !honest {
                bytes.iter_mut().for_each(|b| *b ^= 0xff);
            }
            let contradicts = !honest && known[start..end].iter().any(|k| *k);
            // A lie about bytes that nobody knows yet cannot be told; keep to the truth there.
            if !honest && !contradicts {
                continue;
            }
            let data = fragment(0, 64, start as u32, &bytes);
            let added = all.add(peer(1), &data, arrival(1), at(i as u64));
            if contradicts {
                prop_assert_eq!(added, Added::Refused);
            } else {
                known[start..end].fill(true);
                let whole = known.iter().all(|k| *k);
                prop_assert_eq!(added == Added::Complete, whole);
                prop_assert_ne!(added, Added::Refused);
            }
            check(&all);
        }
        let whole = known.iter().all(|k| *k);
        prop_assert_eq!(all.take(&key), whole.then(|| Bytes::from(truth)));
    }
}
