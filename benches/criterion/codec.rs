//! Frames to bytes and back.

use std::hint::black_box;

use bitcraps_types::{AckLevel, Epoch, TrafficClass};
use bitcraps_wire::{Body, Data, EndAck, Frame, HopAck, HopHeader, StreamAck};
use bytes::Bytes;
use criterion::{Criterion, Throughput};

fn frame(hop_ack: Option<HopAck>, body: Body) -> Frame {
    let header = HopHeader { ttl: 16, deadline_ms: 150, link_seq: 1_000, receiver_epoch: Epoch(1) };
    Frame { header, hop_ack, route: None, body }
}

fn data(len: usize) -> Frame {
    let body = Body::Data(Data {
        class: TrafficClass::Realtime,
        ack: AckLevel::PeerAcked,
        generation: 0,
        attempt: 1,
        source_epoch: Epoch(1),
        sequence: 1_000_000,
        behind_lowest_live: 3,
        total: len as u32,
        offset: 0,
        payload: vec![7; len].into(),
    });
    frame(None, body)
}

fn ack() -> Frame {
    let stream = StreamAck {
        class: TrafficClass::Realtime,
        source_epoch: Epoch(1),
        cumulative: 1_000_000,
        base: 1_000_000,
        bitmap: vec![u64::MAX - 1; 4],
        echo_sequence: 1_000_255,
        echo_attempt: 1,
        dwell_us: 0,
        results: Vec::new(),
        partials: Vec::new(),
    };
    let hop_ack = HopAck { link_tag: 0, largest: 1_000, bitmap: u64::MAX, dwell_us: 3 };
    frame(Some(hop_ack), Body::EndAck(EndAck { streams: vec![stream] }))
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("codec");
    for (name, frame) in [("data 100 B", data(100)), ("data 1 KiB", data(1_024)), ("ack", ack())] {
        let bytes: Bytes = frame.encode();
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(format!("encode {name}"), |b| b.iter(|| black_box(&frame).encode()));
        group.bench_function(format!("decode {name}"), |b| {
            b.iter(|| Frame::decode(black_box(bytes.clone())));
        });
    }
    group.finish();
    criterion.final_summary();
}
