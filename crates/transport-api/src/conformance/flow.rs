use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use bitcraps_types::{LinkCapabilities, LinkId};
use bytes::Bytes;

use super::scene::{Scene, Station, play};
use super::{Fixture, Violation, require};
use crate::{Link, QueueState, TrySendError};

/// How long a thread may send before it meets a full link or has sent everything.
const SEND_BOUND: Duration = Duration::from_secs(5);
/// A link that took this much without draining it has no bound.
const FLOOD_BYTES: usize = 128 << 20;

/// Frame `number` of `len` bytes; two frames of different numbers differ from 4 bytes on.
fn numbered(number: usize, len: usize) -> Bytes {
    let mut frame = Vec::with_capacity(len);
    frame.extend_from_slice(&(number as u32).to_be_bytes());
    frame.extend((0..len.saturating_sub(4)).map(|at| (at.wrapping_mul(31) ^ number) as u8));
    frame.truncate(len);
    Bytes::from(frame)
}

/// Frames of the numbers in `range`, of every length from 4 to `max` in turn.
fn varied(range: std::ops::Range<usize>, max: usize) -> Vec<Bytes> {
    range.map(|number| numbered(number, 4 + number * 7_919 % (max - 3))).collect()
}

/// The least, an ordinary and the largest frame arrive whole and unchanged, both ways.
pub async fn frames_arrive_unchanged(fixture: &dyn Fixture) -> Result<(), Violation> {
    play(fixture, async |scene: &Scene| {
        let [near, far] = scene.linked().await?;
        for (from, link, to, there) in
            [(&scene.near, &near, &scene.far, far.id()), (&scene.far, &far, &scene.near, near.id())]
        {
            let max = link.capabilities().max_frame;
            let mut sent = BTreeMap::new();
            for len in [1, LinkCapabilities::MIN_FRAME, max - 1, max] {
                let frame = numbered(len, len);
                let copies = scene.send_surely((from, link), &frame, (to, there)).await?;
                *sent.entry(frame).or_insert(0) += copies;
            }
            nothing_invented(to, there, &sent)?;
        }
        Ok(())
    })
    .await
}

/// Everything that arrived was sent, and no more often.
fn nothing_invented(
    end: &Station,
    link: LinkId,
    sent: &BTreeMap<Bytes, usize>,
) -> Result<(), Violation> {
    let log = end.told.log();
    let mut seen: BTreeMap<&Bytes, usize> = BTreeMap::new();
    for frame in log.frames(link) {
        *seen.entry(frame).or_default() += 1;
    }
    for (frame, times) in seen {
        let copies = sent.get(frame).copied().unwrap_or(0);
        require(times <= copies, || {
            let head = &frame[..frame.len().min(8)];
            let len = frame.len();
            format!(
                "a frame of {len} bytes, {head:02x?}.., was sent {copies} times, arrived {times}"
            )
        })?;
    }
    Ok(())
}

/// A frame one byte too long comes back whole, and the link goes on.
pub async fn an_oversized_frame_comes_back(fixture: &dyn Fixture) -> Result<(), Violation> {
    play(fixture, async |scene: &Scene| {
        let link = scene.linked().await?;
        let most = link[0].capabilities().max_frame;
        let frame = numbered(0, most + 1);
        let refused = link[0].try_send(frame.clone());
        require(refused == Err(TrySendError::TooBig { frame, max: most }), || {
            let said = refused.map_err(|error| error.to_string());
            format!("a frame of {} bytes on a link of {most}: {said:?}, not TooBig", most + 1)
        })?;
        scene.exchange(&link, "after an oversized frame").await
    })
    .await
}

/// An empty frame is given back or arrives empty; it does not disturb its successors.
pub async fn an_empty_frame_disturbs_nothing(fixture: &dyn Fixture) -> Result<(), Violation> {
    play(fixture, async |scene: &Scene| {
        let link = scene.linked().await?;
        let taken = link[0].try_send(Bytes::new()).is_ok();
        scene.exchange(&link, "after an empty frame").await?;
        let log = scene.far.told.log();
        let empty = log.frames(link[1].id()).iter().filter(|frame| frame.is_empty()).count();
        require(empty <= usize::from(taken), || format!("{empty} empty frames arrived"))
    })
    .await
}

/// Thousands of frames, both ways at once, arrive each for itself: none invented, none twice, and
/// as many as the carrier promises.
pub async fn many_frames_keep_their_boundaries(fixture: &dyn Fixture) -> Result<(), Violation> {
    play(fixture, async |scene: &Scene| {
        let [near, far] = scene.linked().await?;
        let max = near.capabilities().max_frame.min(far.capabilities().max_frame);
        let many = scene.many;
        let (there, back) = (varied(0..many, max), varied(many..2 * many, max));
        let (one, two) =
            tokio::join!(send_all(&scene.near, &near, &there), send_all(&scene.far, &far, &back),);
        one.and(two)?;
        all_arrive(scene, &scene.far, &far, &there).await?;
        all_arrive(scene, &scene.near, &near, &back).await
    })
    .await
}

async fn send_all(from: &Station, link: &Arc<dyn Link>, frames: &[Bytes]) -> Result<(), Violation> {
    for frame in frames {
        from.send(link, frame).await?;
    }
    Ok(())
}

async fn all_arrive(
    scene: &Scene,
    at: &Station,
    link: &Arc<dyn Link>,
    frames: &[Bytes],
) -> Result<(), Violation> {
    let (id, least) = (link.id(), scene.least_of(frames.len()));
    let what = format!("arrival of {least} out of {} frames", frames.len());
    at.told.wait(&what, |log| (log.frames(id).len() >= least).then_some(())).await?;
    let sent = frames.iter().map(|frame| (frame.clone(), 1)).collect();
    nothing_invented(at, id, &sent)
}

/// Several tasks on several threads send on one link; nothing is mixed up.
pub async fn many_senders_share_a_link(fixture: &dyn Fixture) -> Result<(), Violation> {
    play(fixture, async |scene: &Scene| {
        let [near, far] = scene.linked().await?;
        let max = near.capabilities().max_frame;
        let quarter = scene.many / 4;
        let parts = [0, 1, 2, 3].map(|part| varied(part * quarter..(part + 1) * quarter, max));
        let all: Vec<Bytes> = parts.iter().flatten().cloned().collect();
        let [one, two, three, four] = parts;
        let left = tokio::join!(
            flood(&near, one),
            flood(&near, two),
            flood(&near, three),
            flood(&near, four),
        );
        for left in [left.0?, left.1?, left.2?, left.3?] {
            send_all(&scene.near, &near, &left).await?;
        }
        all_arrive(scene, &scene.far, &far, &all).await
    })
    .await
}

/// Sends from a thread of its own until the link is full; what is left. The bound is one of real
/// time, and the thread is left behind when it passes: a `try_send` that waits cannot be ended.
async fn flood(link: &Arc<dyn Link>, frames: Vec<Bytes>) -> Result<Vec<Bytes>, Violation> {
    let link = Arc::clone(link);
    let (done, result) = std::sync::mpsc::channel();
    let waiting = tokio::task::spawn_blocking(move || {
        std::thread::spawn(move || done.send(take_while_room(&*link, frames)));
        result.recv_timeout(SEND_BOUND)
    });
    match waiting.await {
        Ok(Ok(left)) => left,
        Ok(Err(RecvTimeoutError::Disconnected)) => Err(Violation("try_send panicked".into())),
        Ok(Err(RecvTimeoutError::Timeout)) | Err(_) => {
            Err(Violation(format!("try_send waits: no frame came back within {SEND_BOUND:?}")))
        }
    }
}

fn take_while_room(link: &dyn Link, frames: Vec<Bytes>) -> Result<Vec<Bytes>, Violation> {
    let mut left = frames.into_iter();
    while let Some(frame) = left.next() {
        match link.try_send(frame.clone()) {
            Ok(()) => {}
            Err(TrySendError::Full(back)) => {
                require(back == frame, || "a full link gave another frame back".into())?;
                return Ok(std::iter::once(back).chain(left).collect());
            }
            Err(error) => return Err(Violation(format!("frame not taken: {error}"))),
        }
    }
    Ok(Vec::new())
}

/// `written` grows to the number of frames taken, at each end by itself, and the queue is empty
/// then.
pub async fn written_reaches_the_count(fixture: &dyn Fixture) -> Result<(), Violation> {
    play(fixture, async |scene: &Scene| {
        let [near, far] = scene.linked().await?;
        for (from, link, count) in [(&scene.near, &near, 300), (&scene.far, &far, 200)] {
            let max = link.capabilities().max_frame;
            send_all(from, link, &varied(0..count, max)).await?;
            written_is(from, link, count).await?;
        }
        written_is(&scene.near, &near, 300).await
    })
    .await
}

async fn written_is(from: &Station, link: &Arc<dyn Link>, count: usize) -> Result<(), Violation> {
    let (id, count) = (link.id(), count as u64);
    let what = format!("written of {count} frames");
    from.told.wait(&what, |log| (log.written(id) >= count).then_some(())).await?;
    let total = from.told.log().written(id);
    require(total == count, || format!("{count} frames were taken, {total} told as written"))?;
    let queue = link.queue();
    require(queue == QueueState::default(), || {
        format!("everything is written, and {queue:?} waits")
    })
}

/// A link that does not drain gives frames back at once, and takes them again when it drains.
pub async fn a_full_link_gives_back_and_recovers(fixture: &dyn Fixture) -> Result<(), Violation> {
    play(fixture, async |scene: &Scene| {
        let link = scene.linked().await?;
        let stall = |on| scene.ends.stall.iter().for_each(|stall| stall(on));
        stall(true);
        let frame = numbered(7, link[0].capabilities().max_frame);
        let all = FLOOD_BYTES / frame.len();
        let left = flood(&link[0], vec![frame.clone(); all]).await.map(|left| left.len());
        stall(false);
        let left = left?;
        require(left > 0, || {
            format!("{all} frames of {} bytes were taken without a break: no bound", frame.len())
        })?;
        let taken = all - left;
        written_is(&scene.near, &link[0], taken).await?;
        let (id, least) = (link[1].id(), scene.least_of(taken));
        let what = format!("arrival of {least} out of {taken} frames");
        scene.far.told.wait(&what, |log| (log.frames(id).len() >= least).then_some(())).await?;
        nothing_invented(&scene.far, id, &[(frame, taken)].into())?;
        scene.exchange(&link, "after a full queue").await
    })
    .await
}
