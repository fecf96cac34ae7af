use std::task::Poll;

use tokio::io::AsyncReadExt as _;

use super::*;
use crate::connection::CloseCode;
use crate::frame::{split, split_datagram};
use crate::testing::{DATAGRAMS, Memory, connected};

const MAX: usize = 65_536;

fn frame(length: usize) -> Bytes {
    Bytes::from(vec![7; length])
}

async fn datagram(far: &Memory) -> Vec<usize> {
    let mut frames = Vec::new();
    split_datagram(far.read_datagram().await.unwrap(), MAX, &mut frames).unwrap();
    frames.iter().map(Bytes::len).collect()
}

async fn stream(far: &Memory) -> Vec<usize> {
    let mut stream = far.accept_uni().await.unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    let mut frames = Vec::new();
    assert_eq!(split(&mut BytesMut::from(&bytes[..]), MAX, &mut frames), Ok(0));
    frames.iter().map(Bytes::len).collect()
}

#[tokio::test]
async fn a_frame_that_fits_goes_by_datagram_and_one_byte_more_by_stream() {
    let (near, far) = connected();
    let (queue, mut outbound) = (Queue::default(), Outbound::new(near.clone()));
    let fits = near.max_datagram() - PREFIX;
    queue.push(frame(fits)).unwrap();
    assert!(matches!(outbound.flush(&queue), Ok(false)));
    assert_eq!(outbound.take_written(), QueueState { frames: 1, bytes: fits });
    assert_eq!(datagram(&far).await, [fits]);

    queue.push(frame(fits + 1)).unwrap();
    assert!(matches!(outbound.flush(&queue), Ok(false)));
    assert_eq!(outbound.take_written().frames, 1);
    assert_eq!(stream(&far).await, [fits + 1]);
}

#[tokio::test]
async fn small_frames_that_wait_together_share_datagrams_up_to_a_backlog() {
    let (near, far) = connected();
    let (queue, mut outbound) = (Queue::default(), Outbound::new(near.clone()));
    for length in [100, 200, 300] {
        queue.push(frame(length)).unwrap();
    }
    assert!(matches!(outbound.flush(&queue), Ok(false)));
    assert_eq!(datagram(&far).await, [100, 200, 300]);

    let tenth = BACKLOG_BYTES / 12;
    for _ in 0..12 {
        queue.push(frame(tenth)).unwrap();
    }
    assert!(matches!(outbound.flush(&queue), Ok(false)));
    let mut arrived = 0;
    while arrived < 12 {
        arrived += datagram(&far).await.len();
    }

    for _ in 0..13 {
        queue.push(frame(tenth)).unwrap();
    }
    assert!(matches!(outbound.flush(&queue), Ok(false)));
    assert_eq!(stream(&far).await, [tenth; 13]);
}

#[tokio::test]
async fn a_stream_carries_many_frames_copied_or_not() {
    let (near, far) = connected();
    let (queue, mut outbound) = (Queue::default(), Outbound::new(near.clone()));
    let lengths = [COPY_BELOW, COPY_BELOW - 1, 60_000, 7_000, COPY_BELOW + 1, MAX];
    for length in lengths {
        queue.push(frame(length)).unwrap();
    }
    assert!(matches!(outbound.flush(&queue), Ok(false)));
    assert_eq!(stream(&far).await, lengths);
}

/// Fills every place for a stream; the peer reads none.
fn stall(queue: &Queue, outbound: &mut Outbound<Memory>) {
    while outbound.streams.len() < MAX_STREAMS || outbound.large.is_empty() {
        queue.push(frame(MAX)).unwrap();
        outbound.flush(queue).unwrap();
    }
}

#[tokio::test]
async fn stalled_streams_do_not_hold_small_frames() {
    let (near, far) = connected();
    let (queue, mut outbound) = (Queue::default(), Outbound::new(near.clone()));
    stall(&queue, &mut outbound);
    let held = queue.state();
    let written = outbound.take_written();
    assert!(held.frames > written.frames, "some frames are not written");

    queue.push(frame(100)).unwrap();
    assert!(matches!(outbound.flush(&queue), Ok(false)));
    assert_eq!(outbound.take_written(), QueueState { frames: 1, bytes: 100 });
    assert_eq!(datagram(&far).await, [100]);
}

#[tokio::test]
async fn a_backlog_waits_for_a_stream_until_none_has_moved_for_a_tick() {
    let (near, far) = connected();
    let (queue, mut outbound) = (Queue::default(), Outbound::new(near.clone()));
    stall(&queue, &mut outbound);
    outbound.take_written();
    for _ in 0..13 {
        queue.push(frame(1_024)).unwrap();
    }
    outbound.tick();
    outbound.flush(&queue).unwrap();
    assert_eq!(outbound.take_written().frames, 0, "a place may become free");
    outbound.tick();
    outbound.flush(&queue).unwrap();
    assert_eq!(outbound.take_written().frames, 13, "none did");
    assert_eq!(datagram(&far).await[0], 1_024);
}

#[tokio::test]
async fn a_full_datagram_buffer_holds_back_and_loses_nothing() {
    let (near, far) = connected();
    let (queue, mut outbound) = (Queue::default(), Outbound::new(near.clone()));
    // One at a time, so that no backlog is seen, and without letting QUIC send.
    let mut sent = 0;
    while outbound.blocked.is_none() {
        queue.push(frame(1_000)).unwrap();
        outbound.flush(&queue).unwrap();
        sent += 1;
    }
    assert_eq!(outbound.take_written().frames, sent - 1);
    assert_eq!(sent, DATAGRAMS + 1);
    for _ in 0..sent {
        assert_eq!(datagram(&far).await, [1_000]);
        let mut progress = pin!(outbound.progress());
        if let Poll::Ready(progress) = poll_once(progress.as_mut()) {
            progress.unwrap();
        }
    }
    assert_eq!(outbound.take_written().frames, 1);
}

#[tokio::test]
async fn what_no_longer_fits_after_the_path_shrank_goes_by_stream() {
    let (near, far) = connected();
    let (queue, mut outbound) = (Queue::default(), Outbound::new(near.clone()));
    while outbound.blocked.is_none() {
        queue.push(frame(1_000)).unwrap();
        outbound.flush(&queue).unwrap();
    }
    let before = outbound.take_written().frames;
    near.set_max_datagram(900);
    datagram(&far).await;
    outbound.progress().await.unwrap();
    assert_eq!(outbound.take_written().frames, 0, "the packed one is a misfit now");
    queue.push(frame(1_000)).unwrap();
    outbound.flush(&queue).unwrap();
    assert_eq!(stream(&far).await, [1_000]);
    assert_eq!(stream(&far).await, [1_000]);
    assert_eq!((before, outbound.take_written().frames), (DATAGRAMS, 2));
}

#[tokio::test]
async fn a_lost_connection_ends_the_writing() {
    let (near, _far) = connected();
    let (queue, mut outbound) = (Queue::default(), Outbound::new(near.clone()));
    near.close(CloseCode::Closed, "");
    for length in [1, MAX] {
        queue.push(frame(length)).unwrap();
        let ended = outbound.flush(&queue);
        assert!(matches!(ended, Err(OutboundEnd::Lost(Lost::ClosedHere))), "{ended:?}");
    }
}
