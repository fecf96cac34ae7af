//! What was heard of whom: which beacons are worth verifying, and which hints are worth telling.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use bitcraps_types::{PeerId, Timestamp};
use bitcraps_wire::MAX_BEACON_ADDRESSES;

/// Most peers remembered; the one heard longest ago makes room. A stranger who fills the table only
/// makes hints come sooner again.
pub(crate) const MAX_HEARD: usize = 256;

/// Least time between two hints of one peer at one address: a beacon played again costs a dial in
/// this time at most.
pub(crate) const HINT_INTERVAL: Duration = Duration::from_secs(3);

/// How long a peer's last sequence number binds it. After this silence a lower one is believed, for
/// it may have restarted and forgotten.
pub(crate) const MEMORY: Duration = Duration::from_secs(30);

/// Signatures verified in one second, about a tenth of a slow core; what comes beyond is dropped
/// unread.
pub(crate) const MAX_VERIFICATIONS: u32 = 200;

const SECOND: Duration = Duration::from_secs(1);

struct Heard {
    sequence: Option<u64>,
    at: Timestamp,
    hinted: Vec<(SocketAddr, Timestamp)>,
}

/// The memory of one node for beacons and for mDNS answers. Pure; time is told to it.
#[derive(Default)]
pub(crate) struct Hearing {
    peers: BTreeMap<PeerId, Heard>,
    second: Timestamp,
    verified: u32,
}

impl Hearing {
    /// Whether a beacon is new enough to be worth verifying. O(log n).
    pub(crate) fn is_new(&self, peer: PeerId, sequence: u64, now: Timestamp) -> bool {
        let Some(heard) = self.peers.get(&peer) else {
            return true;
        };
        heard.sequence.is_none_or(|last| sequence > last) || now.since(heard.at) >= MEMORY
    }

    /// Whether one more signature may be verified in this second.
    pub(crate) fn may_verify(&mut self, now: Timestamp) -> bool {
        if now.since(self.second) >= SECOND {
            self.second = now;
            self.verified = 0;
        }
        self.verified += 1;
        self.verified <= MAX_VERIFICATIONS
    }

    /// Notes a beacon whose signature was verified, or an mDNS answer (without a number); returns
    /// the addresses to hint at now. O(n) when the table is full, else O(log n).
    pub(crate) fn note(
        &mut self,
        peer: PeerId,
        sequence: Option<u64>,
        addresses: impl IntoIterator<Item = SocketAddr>,
        now: Timestamp,
    ) -> Vec<SocketAddr> {
        if !self.peers.contains_key(&peer) && self.peers.len() >= MAX_HEARD {
            let oldest = self.peers.iter().min_by_key(|(_, heard)| heard.at);
            if let Some((&oldest, _)) = oldest {
                self.peers.remove(&oldest);
            }
        }
        let heard =
            self.peers.entry(peer).or_insert(Heard { sequence: None, at: now, hinted: Vec::new() });
        heard.at = now;
        heard.sequence = sequence.or(heard.sequence);
        heard.hinted.retain(|(_, at)| now.since(*at) < HINT_INTERVAL);
        let mut due = Vec::new();
        for address in addresses.into_iter().take(MAX_BEACON_ADDRESSES) {
            let told = heard.hinted.iter().any(|(a, _)| *a == address);
            // More addresses within the interval than one beacon carries: the rest waits.
            if !told && heard.hinted.len() < MAX_BEACON_ADDRESSES {
                heard.hinted.push((address, now));
                due.push(address);
            }
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(n: u16) -> PeerId {
        let mut bytes = [0; 32];
        bytes[..2].copy_from_slice(&n.to_be_bytes());
        PeerId::from_bytes(bytes)
    }

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    const START: Timestamp = Timestamp::from_millis(5_000);

    #[test]
    fn a_beacon_played_again_is_stale_until_the_memory_fades() {
        let mut hearing = Hearing::default();
        assert!(hearing.is_new(peer(1), 7, START));
        hearing.note(peer(1), Some(7), [], START);
        let rows = [(6, false), (7, false), (8, true)];
        for (sequence, new) in rows {
            assert_eq!(hearing.is_new(peer(1), sequence, START), new, "{sequence}");
        }
        let nanosecond = Duration::from_nanos(1);
        assert!(!hearing.is_new(peer(1), 7, START + MEMORY - nanosecond));
        assert!(hearing.is_new(peer(1), 7, START + MEMORY));
        assert!(hearing.is_new(peer(2), 0, START), "others are not bound");
    }

    #[test]
    fn one_hint_for_a_peer_and_address_in_each_interval() {
        let mut hearing = Hearing::default();
        let mut note = |p, port, now| hearing.note(peer(p), Some(0), [address(port)], now);
        assert_eq!(note(1, 1, START), [address(1)]);
        assert_eq!(note(1, 1, START), []);
        assert_eq!(note(1, 2, START), [address(2)], "another address");
        assert_eq!(note(2, 1, START), [address(1)], "another peer");
        let early = START + HINT_INTERVAL - Duration::from_nanos(1);
        assert_eq!(note(1, 1, early), []);
        assert_eq!(note(1, 1, START + HINT_INTERVAL), [address(1)]);
    }

    #[test]
    fn addresses_of_one_peer_are_bounded_however_they_change() {
        let mut hearing = Hearing::default();
        let many = (1..=100).map(address);
        assert_eq!(hearing.note(peer(1), None, many, START).len(), 8);
        let others = (101..=200).map(address);
        assert_eq!(hearing.note(peer(1), None, others, START), []);
    }

    #[test]
    fn the_peer_heard_longest_ago_makes_room() {
        let mut hearing = Hearing::default();
        let most = u16::try_from(MAX_HEARD).unwrap();
        let at = |n: u16| START + Duration::from_nanos(n.into());
        for n in 0..most {
            hearing.note(peer(n), Some(1), [], at(n));
        }
        hearing.note(peer(0), Some(1), [], at(most));
        hearing.note(peer(most), Some(1), [], at(most));
        assert_eq!(hearing.peers.len(), MAX_HEARD);
        assert!(hearing.is_new(peer(1), 1, at(most)), "1 was forgotten");
        assert!(!hearing.is_new(peer(0), 1, at(most)), "0 was heard since");
    }

    #[test]
    fn verification_is_rationed_by_the_second() {
        let mut hearing = Hearing::default();
        for n in 0..MAX_VERIFICATIONS {
            assert!(hearing.may_verify(START), "{n}");
        }
        assert!(!hearing.may_verify(START));
        assert!(!hearing.may_verify(START + SECOND - Duration::from_nanos(1)));
        assert!(hearing.may_verify(START + SECOND));
    }
}
