//! Frames that lie, repeat others, or are none.

use bitcraps_coordinator::{Outcome, SendOptions};
use bitcraps_sim::{
    Death, Fault, LinkModel, Message, NodeId, Return, SimLink, Simulation, Violation, Way,
};
use bitcraps_types::{Epoch, TrafficClass, TransportType};
use bitcraps_wire::{
    Body, EndAck, Frame, Hello, HopAck, Probe, ProbeReply, Route, StreamAck, VERSION,
};
use bytes::Bytes;

use super::scene::{
    MS, Pair, SECOND, each_seed, fragment, frame, intruder, settle, single, status,
};

fn wifi() -> LinkModel {
    LinkModel::perfect(TransportType::WiFiDirect)
}

/// Says that the first `upto` critical messages are in custody.
fn end_ack(upto: u64) -> EndAck {
    let stream = StreamAck {
        class: TrafficClass::Critical,
        source_epoch: Epoch(1),
        cumulative: upto,
        base: 0,
        bitmap: Vec::new(),
        echo_sequence: 0,
        echo_attempt: 1,
        dwell_us: 0,
        results: Vec::new(),
        partials: Vec::new(),
    };
    EndAck { streams: vec![stream] }
}

#[test]
fn fault_19_a_forged_ack_is_refused_and_counted() {
    each_seed(|seed| {
        let mut sim = Simulation::new(seed);
        let (a, b) = (sim.add_node(), sim.add_node());
        let honest = sim.add_link(a, b, wifi());
        let (_, hostile) = intruder(&mut sim, a, wifi());
        sim.record(hostile, a);
        sim.run_for(SECOND);
        sim.fault(honest, Way::Both, Fault::BlackHole(true));
        let deadline = 5 * SECOND;
        let options = single(TrafficClass::Critical).deadline(deadline);
        let bet = sim.send(a, b, 100, options, None);
        sim.run_for(MS);
        let counters = |sim: &Simulation| sim.core(a).unwrap().counters();
        let before = counters(&sim);
        let pass_off = |sim: &mut Simulation, frame: Frame| {
            assert!(sim.inject(hostile, a, frame.encode()));
        };
        // Another peer's word about the message: it concerns no message to that peer.
        pass_off(&mut sim, frame(0, Body::EndAck(end_ack(1))));
        assert_eq!(counters(&sim).forged_acks, before.forged_acks + 1);
        // The same, said to come from the destination.
        let route = Route {
            source: sim.peer_id(b),
            destination: sim.peer_id(a),
            destination_epoch: Epoch(1),
        };
        let routed = Frame { route: Some(route), ..frame(0, Body::EndAck(end_ack(1))) };
        pass_off(&mut sim, routed);
        assert_eq!(counters(&sim).foreign, before.foreign + 1);
        // Hop acks: of frames that were never sent, and of every link by its tag.
        let ack = |link_tag, largest| HopAck { link_tag, largest, bitmap: u64::MAX, dwell_us: 0 };
        let sent = sim.recorded(hostile, a).iter().map(|r| Frame::decode(r.frame.clone()).unwrap());
        let probes = sent.filter(|frame| matches!(frame.body, Body::Probe(_)));
        let newest = probes.last().unwrap().header.link_seq;
        let beyond = ack(0, newest.wrapping_add(1));
        let far_ahead = Frame { hop_ack: Some(beyond), ..frame(0, Body::Empty) };
        let known = counters(&sim);
        pass_off(&mut sim, far_ahead);
        assert_eq!(counters(&sim).forged_acks, known.forged_acks + 1);
        for tag in 1..10 {
            for largest in 0..64 {
                let detour =
                    Frame { hop_ack: Some(ack(tag, largest << 26)), ..frame(0, Body::Empty) };
                pass_off(&mut sim, detour);
            }
        }
        assert_eq!(status(&sim, a, honest).metrics.success_count, 0);
        settle(&mut sim);
        let (at, outcome) = sim.message(bet).outcome.clone().unwrap();
        assert!(matches!(outcome, Outcome::Unknown { .. }), "{outcome:?}");
        assert_eq!(at.since(sim.message(bet).at), deadline);
        assert!(sim.app(b).delivered().is_empty());
    });
}

/// Injects every frame; how many the node took in.
fn replay(sim: &mut Simulation, link: SimLink, to: NodeId, frames: &[Bytes]) -> u64 {
    let heard = frames.iter().filter(|frame| sim.inject(link, to, Bytes::clone(frame))).count();
    heard as u64
}

#[test]
fn fault_20_replayed_frames_are_refused_on_any_link_and_after_any_restart() {
    each_seed(|seed| {
        let mut pair = Pair::new(seed, wifi(), wifi().latency(3 * MS));
        let (a, b) = (pair.a, pair.b);
        pair.sim.record(pair.used, a);
        pair.sim.record(pair.used, b);
        // Critical ones outlive their sender's incarnation; a store tells theirs apart.
        pair.stream(100, 10 * MS, 100, single(TrafficClass::Background));
        pair.settle();
        let frames = |pair: &Pair, from| -> Vec<Bytes> {
            pair.sim.recorded(pair.used, from).iter().map(|r| r.frame.clone()).collect()
        };
        let is_data = |frame: &Bytes| {
            matches!(Frame::decode(frame.clone()), Ok(Frame { body: Body::Data(_), .. }))
        };
        let there: Vec<Bytes> = frames(&pair, a).into_iter().filter(is_data).collect();
        let back = frames(&pair, b);
        assert_eq!(there.len(), 100);
        let counters = |pair: &Pair, node| pair.sim.core(node).unwrap().counters();
        let delivered = |pair: &Pair| pair.sim.app(b).delivered().len();
        // In the same life of both: known, and acknowledged again.
        for link in [pair.used, pair.standby] {
            let before = counters(&pair, b);
            assert_eq!(replay(&mut pair.sim, link, b, &there), 100);
            let after = counters(&pair, b);
            let refused = after.duplicates + after.too_old;
            assert_eq!(refused - before.duplicates - before.too_old, 100);
            replay(&mut pair.sim, link, a, &back);
            pair.sim.run_for(SECOND);
        }
        assert_eq!(delivered(&pair), 100);
        // After the receiver's restart they are for somebody who is no more.
        pair.sim.kill(b, Death::Told);
        pair.sim.restart(b, Return::NewLinks);
        pair.sim.run_for(SECOND);
        for link in [pair.used, pair.standby] {
            let before = counters(&pair, b).stale_epoch;
            assert_eq!(replay(&mut pair.sim, link, b, &there), 100);
            assert_eq!(counters(&pair, b).stale_epoch - before, 100);
        }
        // After the sender's they come from somebody who is no more, whoever they are for.
        pair.sim.kill(a, Death::Told);
        pair.sim.restart(a, Return::NewLinks);
        pair.sim.run_for(SECOND);
        let for_the_new: Vec<Bytes> = there
            .iter()
            .map(|frame| {
                let mut frame = Frame::decode(frame.clone()).unwrap();
                frame.header.receiver_epoch = Epoch(2);
                frame.encode()
            })
            .collect();
        for frames in [&there, &for_the_new] {
            let before = counters(&pair, b).stale_epoch;
            assert_eq!(replay(&mut pair.sim, pair.used, b, frames), 100);
            assert_eq!(counters(&pair, b).stale_epoch - before, 100);
        }
        // Acknowledgements of former lives settle nothing in this one.
        let bet = pair.stream(1, MS, 100, single(TrafficClass::Critical))[0];
        pair.sim.fault(pair.used, Way::Both, Fault::BlackHole(true));
        pair.sim.fault(pair.standby, Way::Both, Fault::BlackHole(true));
        pair.sim.run_for(MS / 2);
        let before = counters(&pair, a).stale_epoch;
        let heard = replay(&mut pair.sim, pair.used, a, &back);
        assert_eq!(counters(&pair, a).stale_epoch - before, heard);
        assert_eq!(pair.sim.message(bet).outcome, None);
        pair.settle();
        assert_eq!(delivered(&pair), 100);
    });
}

/// One frame of each kind.
fn kinds() -> Vec<Frame> {
    let hello = Hello {
        epoch: Epoch(1),
        memory: Epoch(1),
        instance: 1,
        link_tag: 1,
        challenge: 7,
        echo: None,
    };
    let ack = HopAck { link_tag: 0, largest: 3, bitmap: 5, dwell_us: 9 };
    vec![
        frame(0, Body::Empty),
        Frame { hop_ack: Some(ack), ..frame(0, Body::Empty) },
        frame(1, Body::Data(fragment(0, 5, 0, Bytes::from_static(b"bytes")))),
        frame(0, Body::EndAck(end_ack(0))),
        frame(2, Body::Probe(Probe { nonce: 7, padding: 32 })),
        frame(0, Body::ProbeReply(ProbeReply { nonce: 7, dwell_us: 0 })),
        frame(0, Body::Hello(hello)),
    ]
}

#[test]
fn fault_22_flips_truncation_and_noise_are_counted_and_disturb_nobody_else() {
    each_seed(|seed| {
        let mut sim = Simulation::new(seed);
        let (a, b) = (sim.add_node(), sim.add_node());
        sim.add_link(a, b, wifi());
        let (mut c, mut link) = intruder(&mut sim, b, wifi());
        let mut liars = vec![sim.peer_id(c)];
        let from = sim.now();
        for i in 0..200 {
            let options = SendOptions::new(TrafficClass::ALL[i as usize % 4]);
            sim.send_at(from + 10 * MS * i, a, b, 100, options, None);
        }
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut damaged = Vec::new();
        for sound in kinds().iter().map(Frame::encode) {
            for bit in 0..sound.len() * 8 {
                let mut flipped = sound.to_vec();
                flipped[bit / 8] ^= 1 << (bit % 8);
                damaged.push(Bytes::from(flipped));
            }
            damaged.extend((0..sound.len()).map(|len| sound.slice(..len)));
        }
        for _ in 0..2_000 {
            let mut noise = vec![0; rng.usize(0..1_400)];
            rng.fill(&mut noise);
            // Half of it gets past the first check.
            if let Some(version) = noise.first_mut().filter(|_| rng.bool()) {
                *version = VERSION;
            }
            damaged.push(Bytes::from(noise));
        }
        rng.shuffle(&mut damaged);
        let before = sim.core(b).unwrap().counters().undecodable;
        let mut unreadable = 0;
        for (i, bytes) in damaged.into_iter().enumerate() {
            let readable = Frame::decode(bytes.clone()).is_ok();
            if sim.link_id(link, b).is_none() {
                // One of them greeted as another incarnation, so this one is a former one now.
                (c, link) = intruder(&mut sim, b, wifi());
                liars.push(sim.peer_id(c));
            }
            assert!(sim.inject(link, b, bytes));
            unreadable += u64::from(!readable);
            if i % 10 == 0 {
                sim.run_for(MS);
            }
        }
        assert_eq!(sim.core(b).unwrap().counters().undecodable - before, unreadable);
        assert!(unreadable > 1_000);
        assert!(sim.run_until_idle(600 * SECOND));
        // What one peer passes off as its own is its own affair; everybody else's traffic is whole.
        let found = sim.check_settled().err().map_or_else(Vec::new, |violations| violations.0);
        let others = found.iter().find(|violation| match violation {
            Violation::NeverSent { id, .. } | Violation::SameIdentity { id, .. } => {
                !liars.contains(&id.source)
            }
            _ => true,
        });
        assert_eq!(others, None);
        assert!(sim.messages().iter().all(Message::is_delivered));
    });
}

#[test]
fn fault_23_what_this_version_does_not_know_is_refused_cleanly() {
    each_seed(|seed| {
        let mut sim = Simulation::new(seed);
        let (a, b) = (sim.add_node(), sim.add_node());
        let link = sim.add_link(a, b, wifi());
        sim.run_for(SECOND);
        let mut unknown = Vec::new();
        for sound in kinds().iter().map(Frame::encode) {
            let changed = |at: usize, to: u8| {
                let mut bytes = sound.to_vec();
                bytes[at] = to;
                Bytes::from(bytes)
            };
            unknown.extend([0, VERSION + 1, u8::MAX].map(|version| changed(0, version)));
            unknown.extend([4, 128].map(|flags| changed(1, sound[1] | flags)));
            unknown.extend([10, u8::MAX].map(|kind| changed(2, kind)));
            let mut trailing = sound.to_vec();
            trailing.push(1);
            unknown.push(Bytes::from(trailing));
        }
        let before = sim.core(b).unwrap().counters();
        let count = unknown.len() as u64;
        for bytes in unknown {
            assert!(sim.inject(link, b, bytes));
        }
        let after = sim.core(b).unwrap().counters();
        assert_eq!(after.undecodable - before.undecodable, count);
        let before = bitcraps_coordinator::Counters { undecodable: after.undecodable, ..before };
        assert_eq!(after, before, "and nothing else came of them");
        let bet = sim.send(a, b, 100, single(TrafficClass::Critical), None);
        settle(&mut sim);
        assert!(sim.message(bet).is_delivered());
    });
}

#[test]
fn fault_28_probe_replies_are_no_larger_than_probes_and_rate_limited() {
    /// Replies saved up, and a second's worth.
    const MOST: usize = 50 + 50;
    each_seed(|seed| {
        for padding in [Probe::MIN_PADDING, 23, 24, 100] {
            let mut sim = Simulation::new(seed);
            let b = sim.add_node();
            let (_, link) = intruder(&mut sim, b, wifi());
            sim.record(link, b);
            let request = frame(0, Body::Probe(Probe { nonce: 0, padding })).encode().len();
            let before = sim.core(b).unwrap().counters().stray_probes;
            let mut asked = 0;
            for i in 0..1_000u32 {
                for j in 0..10 {
                    let probe = Probe { nonce: u64::from(i * 10 + j), padding };
                    let frame = frame(1 << 20 | (i * 10 + j), Body::Probe(probe));
                    assert!(sim.inject(link, b, frame.encode()));
                    asked += 1;
                }
                sim.run_for(MS);
            }
            let sent: Vec<Frame> = sim
                .recorded(link, b)
                .iter()
                .map(|record| Frame::decode(record.frame.clone()).unwrap())
                .filter(|frame| !matches!(frame.body, Body::Probe(_)))
                .collect();
            let replies = sent.iter().filter(|f| matches!(f.body, Body::ProbeReply(_)));
            let count = replies.clone().count();
            assert!((MOST - 10..=MOST + 10).contains(&count), "{count} replies");
            assert!(replies.clone().all(|frame| frame.encoded_len() <= request));
            let bytes: usize = sent.iter().map(Frame::encoded_len).sum();
            assert!(bytes <= count * request + 1_000, "{bytes} bytes for {count} answers");
            let unanswered = sim.core(b).unwrap().counters().stray_probes - before;
            assert!(unanswered >= asked - MOST as u64 - 10);
            settle(&mut sim);
        }
    });
}
