//! Frames for others between two neighbours.

use bitcraps_types::{Epoch, Timestamp};
use bitcraps_wire::{Body, Frame, HopHeader, NO_DEADLINE, Relayed, RelayedKind, Route};
use bytes::Bytes;

use super::pair::{Pair, Profile, ms, peer_id, us};

fn passing() -> Frame {
    let payload = Bytes::from_static(&[7; 100]);
    let header = HopHeader {
        ttl: 9,
        deadline_ms: NO_DEADLINE,
        link_seq: 0,
        receiver_epoch: Epoch::default(),
    };
    let route =
        Route { source: peer_id(8), destination: peer_id(9), destination_epoch: Epoch::default() };
    let relayed = Relayed { kind: RelayedKind::Sealed, via: Vec::new(), payload };
    Frame { header, hop_ack: None, route: Some(route), body: Body::Relayed(relayed) }
}

fn forward(pair: &mut Pair, side: usize) {
    let (next, now) = (pair.id(1 - side), pair.now);
    pair.nodes[side].core.forward(next, passing(), false, now).unwrap();
    pair.obey(side);
}

fn outstanding(pair: &mut Pair, side: usize) -> u64 {
    pair.link_state(side, 0).flights.unacked_bytes
}

/// When the frames of a side left that carry a hop ack, and whether they are for others.
fn acks(pair: &Pair, side: usize) -> Vec<(Timestamp, bool)> {
    let log = pair.log(side, 0).iter().filter(|(_, frame)| frame.hop_ack.is_some());
    log.map(|(at, frame)| (*at, frame.route.is_some())).collect()
}

#[test]
fn the_hop_ack_of_a_frame_for_others_travels_with_the_next_one_that_goes_back() {
    let mut pair = Pair::new(&[Profile::wifi(us(300))]);
    let start = pair.now;
    forward(&mut pair, 0);
    pair.drive_for(us(900));
    assert_eq!((acks(&pair, 1), outstanding(&mut pair, 0) > 0), (vec![], true));
    forward(&mut pair, 1);
    pair.drive_for(us(300));
    assert_eq!(acks(&pair, 1), [(start + us(900), true)]);
    assert_eq!(outstanding(&mut pair, 0), 0);
    // The wait is no part of the round trip.
    let rtt = pair.link_state(0, 0).smoothed(crate::SizeBucket::Small);
    assert_eq!(rtt, Some(us(600)));
    pair.drive_for(ms(20));
    let back = acks(&pair, 1).len();
    assert_eq!(back, 1, "it is told once");
}

#[test]
fn a_hop_ack_that_finds_no_frame_to_travel_with_leaves_alone_after_an_eighth_of_the_least_timeout()
{
    for (profile, hold) in
        [(Profile::wifi(us(300)), us(1_250)), (Profile::bluetooth(us(300)), us(7_500))]
    {
        let mut pair = Pair::new(&[profile]);
        let arrived = pair.now + us(300);
        forward(&mut pair, 0);
        pair.drive_for(ms(20));
        assert_eq!(acks(&pair, 1)[0], (arrived + hold, false));
        assert_eq!(outstanding(&mut pair, 0), 0);
    }
}

#[test]
fn as_many_frames_for_others_as_one_ack_names_wait_no_longer() {
    let mut pair = Pair::new(&[Profile::wifi(us(300))]);
    (0..63).for_each(|_| forward(&mut pair, 0));
    pair.drive_for(us(400));
    assert_eq!(acks(&pair, 1), []);
    pair.drive_for(ms(10));
    pair.clear();
    let arrived = pair.now + us(300);
    (0..64).for_each(|_| forward(&mut pair, 0));
    pair.drive_for(us(400));
    assert_eq!(acks(&pair, 1), [(arrived, false)]);
    pair.drive_for(us(300));
    assert_eq!(outstanding(&mut pair, 0), 0);
}
