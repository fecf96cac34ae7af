//! Messages of every length, and fragments that are not what they should be.

use bitcraps_coordinator::{SendOptions, bounds};
use bitcraps_sim::{Fate, Fault, LinkModel, Message, NodeId, Passing, SimLink, Simulation, Way};
use bitcraps_types::{AckLevel, Ratio, TrafficClass, TransportType};
use bitcraps_wire::{Body, Data, Frame, HopHeader};
use bytes::Bytes;

use super::scene::{
    MS, SECOND, SEEDS, data_sent, each_seed, fragment, frame, intruder, settle, single, transit,
};

fn wifi() -> LinkModel {
    LinkModel::perfect(TransportType::WiFiDirect)
}

/// Bytes of a message that fit one frame.
fn room() -> usize {
    wifi().max_frame - Frame::DATA_OVERHEAD
}

/// Two nodes and one link, what the first sends recorded.
fn one_link(seed: u64) -> (Simulation, NodeId, NodeId, SimLink) {
    let mut sim = Simulation::new(seed);
    let (a, b) = (sim.add_node(), sim.add_node());
    let link = sim.add_link(a, b, wifi());
    sim.run_for(SECOND);
    sim.record(link, a);
    (sim, a, b, link)
}

#[test]
fn fault_12_a_length_of_a_gibibyte_is_refused_before_allocation() {
    const GIBIBYTE: u32 = 1 << 30;
    /// Position of a data body's `total`; `offset` follows.
    const TOTAL: usize = HopHeader::LEN + Data::HEADER_LEN - 8;
    each_seed(|seed| {
        let (mut sim, a, b, _) = one_link(seed);
        let (_, link) = intruder(&mut sim, b, wifi());
        let honest = sim.send(a, b, 100_000, single(TrafficClass::Critical), None);
        let body = Body::Data(fragment(0, 10, 0, Bytes::from_static(&[7; 5])));
        let sound = frame(1, body).encode();
        let mut lies = Vec::new();
        for at in [TOTAL, TOTAL + 4] {
            for length in [GIBIBYTE, u32::MAX] {
                let mut bytes = sound.to_vec();
                bytes[at..at + 4].copy_from_slice(&length.to_be_bytes());
                lies.push(Bytes::from(bytes));
            }
        }
        let count = lies.len() as u64;
        let before = sim.core(b).unwrap().counters().undecodable;
        let cost = allocation_counter::measure(|| {
            for lie in lies {
                assert!(sim.inject(link, b, lie));
            }
        });
        assert!(cost.bytes_max < 16 << 10, "{} bytes at once", cost.bytes_max);
        assert_eq!(sim.core(b).unwrap().counters().undecodable - before, count);
        settle(&mut sim);
        assert!(sim.message(honest).is_delivered());
    });
}

#[test]
fn fault_13_an_empty_payload_is_delivered() {
    each_seed(|seed| {
        let (mut sim, a, b, _) = one_link(seed);
        for class in TrafficClass::ALL {
            for ack in [AckLevel::PeerAcked, AckLevel::Applied] {
                sim.send(a, b, Bytes::new(), SendOptions::new(class).ack(ack), None);
            }
        }
        settle(&mut sim);
        assert!(sim.messages().iter().all(Message::is_delivered));
        let got: Vec<usize> =
            sim.app(b).delivered().iter().map(|d| d.delivery.payload.len()).collect();
        assert_eq!(got, [0; 2 * TrafficClass::COUNT]);
    });
}

#[test]
fn fault_14_messages_around_the_frame_size_are_cut_exactly() {
    each_seed(|seed| {
        for len in [room() - 1, room(), room() + 1, 2 * room(), 2 * room() + 1, 1 << 16] {
            let (mut sim, a, b, link) = one_link(seed);
            let id = sim.send(a, b, len, single(TrafficClass::Critical), None);
            settle(&mut sim);
            assert!(sim.message(id).is_delivered());
            let sent = data_sent(&sim, link, a);
            let cuts: Vec<(usize, usize)> =
                sent.iter().map(|d| (d.offset as usize, d.payload.len())).collect();
            let starts = (0..len).step_by(room());
            let wanted: Vec<_> = starts.map(|at| (at, room().min(len - at))).collect();
            assert_eq!(cuts, wanted, "{len} bytes");
            assert!(sent.iter().all(|data| data.total as usize == len));
        }
    });
}

/// Length of a message of ten fragments.
fn ten() -> usize {
    10 * room()
}

/// A message of ten fragments with `rule` in its way: what was sent for it.
fn fragmented(
    seed: u64,
    rule: impl FnMut(&Passing<'_>) -> Fate + Clone + Send + 'static,
) -> (Simulation, NodeId, Vec<Data>) {
    let (mut sim, a, b, link) = one_link(seed);
    sim.rule(link, Way::From(a), rule);
    let id = sim.send(a, b, ten(), single(TrafficClass::Critical), None);
    settle(&mut sim);
    assert!(sim.message(id).is_delivered());
    // What was delayed comes now.
    sim.run_for(60 * SECOND);
    sim.check_settled().unwrap();
    let sent = data_sent(&sim, link, a);
    (sim, b, sent)
}

/// The data of a frame, if it begins at the third fragment.
fn third(passing: &Passing<'_>) -> Option<Data> {
    match passing.decoded()?.body {
        Body::Data(data) if data.offset as usize == 2 * room() => Some(data),
        _ => None,
    }
}

#[test]
fn fault_15_a_lost_fragment_is_sent_again_and_no_other() {
    each_seed(|seed| {
        let mut lost = false;
        let (_, _, sent) = fragmented(seed, move |passing| {
            let now = !lost && third(passing).is_some();
            lost |= now;
            if now { Fate::Drop } else { Fate::Pass }
        });
        assert_eq!(sent.len(), 11);
        assert_eq!((sent[10].offset as usize, sent[10].payload.len()), (2 * room(), room()));
    });
}

#[test]
fn fault_15_duplicated_fragments_are_delivered_once() {
    each_seed(|seed| {
        let (mut sim, a, b, link) = one_link(seed);
        sim.fault(link, Way::Both, Fault::Duplication(Ratio::ONE));
        let id = sim.send(a, b, ten(), single(TrafficClass::Critical), None);
        settle(&mut sim);
        assert!(sim.message(id).is_delivered());
        assert_eq!(sim.core(b).unwrap().counters().bad_fragments, 0);
        assert_eq!(sim.app(b).delivered().len(), 1);
    });
}

#[test]
fn fault_15_an_overlapping_fragment_is_refused() {
    each_seed(|seed| {
        let (sim, b, sent) = fragmented(seed, |passing| match third(passing) {
            Some(data) => {
                // Other bytes for the end of the one and the beginning of the next.
                let lie = fragment(
                    data.sequence,
                    data.total,
                    data.offset + room() as u32 / 2,
                    Bytes::from(vec![0xEE; room()]),
                );
                let lie = frame(passing.decoded().unwrap().header.link_seq, Body::Data(lie));
                Fate::Replace(vec![passing.frame.clone(), lie.encode()])
            }
            None => Fate::Pass,
        });
        assert_eq!(sim.core(b).unwrap().counters().bad_fragments, 1);
        assert_eq!(sent.len(), 10, "nothing had to be sent again");
    });
}

#[test]
fn fault_15_a_late_fragment_is_a_duplicate_and_an_abandoned_message_is_forgotten() {
    each_seed(|seed| {
        let mut delayed = false;
        let (sim, b, _) = fragmented(seed, move |passing| {
            let now = !delayed && third(passing).is_some();
            delayed |= now;
            if now { Fate::Delay(40 * SECOND) } else { Fate::Pass }
        });
        let counters = sim.core(b).unwrap().counters();
        assert_eq!((counters.delivered, counters.duplicates, counters.evicted), (1, 1, 0));

        let (mut sim, _, b, _) = one_link(seed);
        let (_, link) = intruder(&mut sim, b, wifi());
        let first = fragment(0, ten() as u32, 0, Bytes::from(vec![1; room()]));
        assert!(sim.inject(link, b, frame(1, Body::Data(first)).encode()));
        let idle = bounds::REASSEMBLY_IDLE;
        sim.run_for(idle - SECOND);
        assert_eq!(sim.core(b).unwrap().counters().evicted, 0);
        sim.run_for(idle / 2 + 2 * SECOND);
        assert_eq!(sim.core(b).unwrap().counters().evicted, 1);
    });
}

/// Bytes that one forged first fragment carries.
const FORGED: usize = 200;

/// Floods `b` with `each` first fragments over every link of `over`, while an honest transfer goes
/// on. Most memory that the flood took at once.
fn flood(sim: &mut Simulation, b: NodeId, over: &[SimLink], each: u64) -> u64 {
    let payload = Bytes::from(vec![1; FORGED]);
    let cost = allocation_counter::measure(|| {
        for sequence in 0..each {
            for link in over {
                let body = Body::Data(fragment(sequence, 1 << 20, 0, payload.clone()));
                assert!(sim.inject(*link, b, frame(sequence as u32, body).encode()));
            }
            if sequence % 1_000 == 0 {
                sim.run_for(MS);
            }
        }
    });
    cost.bytes_max
}

/// A million over all seeds.
const FLOOD: u64 = 1_000_000 / (SEEDS.end - SEEDS.start);

#[test]
fn fault_16_a_million_first_fragments_of_one_peer_cost_that_peer_only() {
    each_seed(|seed| {
        let (mut sim, a, b, link) = one_link(seed);
        let (_, hostile) = intruder(&mut sim, b, wifi());
        // An honest transfer lacks its third fragment while the flood goes on.
        let mut lost = 0;
        sim.rule(link, Way::From(a), move |passing| {
            let now = third(passing).is_some();
            lost += u32::from(now);
            if now && lost < 4 { Fate::Drop } else { Fate::Pass }
        });
        let honest = sim.send(a, b, ten(), single(TrafficClass::Critical), None);
        sim.run_for(5 * MS);
        let peak = flood(&mut sim, b, &[hostile], FLOOD);
        let counters = sim.core(b).unwrap().counters();
        let kept = bounds::REASSEMBLY_PEER_MESSAGES as u64;
        assert_eq!(counters.evicted, FLOOD - kept, "each beyond the cap evicted the oldest");
        assert!(peak < 8 << 20, "{peak} bytes for {kept} messages of {FORGED}");
        settle(&mut sim);
        assert!(sim.message(honest).is_delivered());
        let sent = data_sent(&sim, link, a);
        assert_eq!(
            sent.len(),
            13,
            "what had arrived of it was kept: only the lost range is resent"
        );
        assert!(transit(&sim, honest).unwrap() < SECOND);
    });
}

#[test]
fn fault_16_first_fragments_of_many_peers_are_capped_in_total() {
    each_seed(|seed| {
        let (mut sim, a, b, _) = one_link(seed);
        let hostile: Vec<SimLink> = (0..16).map(|_| intruder(&mut sim, b, wifi()).1).collect();
        let each = 2_000;
        flood(&mut sim, b, &hostile, each);
        let counters = sim.core(b).unwrap().counters();
        let held = hostile.len() as u64 * each - counters.evicted;
        assert_eq!(held, bounds::REASSEMBLY_NODE_MESSAGES as u64);
        let honest = sim.send(a, b, ten(), single(TrafficClass::Critical), None);
        settle(&mut sim);
        assert!(sim.message(honest).is_delivered(), "the oldest incomplete gives way");
    });
}
