use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bitcraps_transport_api::{QueueState, TrySendError};
use bytes::Bytes;
use tokio::sync::Notify;

/// Most frames that one link holds unwritten: some milliseconds of small frames, so that a link
/// that drains never runs dry, and one that does not is seen at once.
pub const MAX_QUEUE_FRAMES: usize = 4_096;

/// Most bytes that one link holds unwritten: four frames of the largest size, or sixty-four of the
/// default size. What has waited this long belongs on another link.
pub const MAX_QUEUE_BYTES: usize = 4 * crate::link::MAX_FRAME_LIMIT;

/// Why this end takes a link down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    Closed,
    Replaced,
}

/// Frames from [`Link::try_send`](bitcraps_transport_api::Link::try_send) to the link's driver.
///
/// The lock is held for a push or a swap only, never over an await or a call into QUIC.
#[derive(Default)]
pub(crate) struct Queue {
    inner: Mutex<Inner>,
    /// Whether the driver sleeps and wants to be woken.
    parked: AtomicBool,
    wake: Notify,
}

#[derive(Default)]
struct Inner {
    waiting: VecDeque<Bytes>,
    /// Taken from `try_send` and not yet written, `waiting` included.
    held: QueueState,
    ending: Option<Ending>,
    sealed: bool,
}

/// What [`Queue::take`] found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    Frames,
    /// Nothing; the next push wakes the driver.
    Nothing,
    End(Ending),
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        if self.parked.swap(false, Ordering::AcqRel) {
            self.wake.notify_one();
        }
    }

    pub(crate) fn push(&self, frame: Bytes) -> Result<(), TrySendError> {
        let mut inner = self.lock();
        if inner.sealed || inner.ending.is_some() {
            return Err(TrySendError::Closed(frame));
        }
        let bytes = inner.held.bytes + frame.len();
        if inner.held.frames >= MAX_QUEUE_FRAMES || bytes > MAX_QUEUE_BYTES {
            return Err(TrySendError::Full(frame));
        }
        inner.held.frames += 1;
        inner.held.bytes = bytes;
        inner.waiting.push_back(frame);
        drop(inner);
        self.wake();
        Ok(())
    }

    pub(crate) fn state(&self) -> QueueState {
        self.lock().held
    }

    /// Asks the driver to take the link down. The first to ask decides why.
    pub(crate) fn end(&self, ending: Ending) {
        self.lock().ending.get_or_insert(ending);
        self.wake();
    }

    /// Whether the link goes down, or is.
    pub(crate) fn is_ending(&self) -> bool {
        let inner = self.lock();
        inner.sealed || inner.ending.is_some()
    }

    /// Swaps what waits into the empty `into`.
    pub(crate) fn take(&self, into: &mut VecDeque<Bytes>) -> Taken {
        let mut inner = self.lock();
        if let Some(ending) = inner.ending {
            return Taken::End(ending);
        }
        if inner.waiting.is_empty() {
            self.parked.store(true, Ordering::Release);
            return Taken::Nothing;
        }
        std::mem::swap(&mut inner.waiting, into);
        Taken::Frames
    }

    /// Resolves after a push or [`Self::end`] that followed a [`Taken::Nothing`].
    pub(crate) async fn woken(&self) {
        self.wake.notified().await;
    }

    /// The driver is awake for another reason and will [`Self::take`] before it sleeps again.
    pub(crate) fn unpark(&self) {
        self.parked.store(false, Ordering::Release);
    }

    /// `written` has left the adapter's hands.
    pub(crate) fn release(&self, written: QueueState) {
        let mut inner = self.lock();
        inner.held.frames = inner.held.frames.saturating_sub(written.frames);
        inner.held.bytes = inner.held.bytes.saturating_sub(written.bytes);
    }

    /// The link is down: takes nothing any more and frees what waits.
    pub(crate) fn seal(&self) {
        let mut inner = self.lock();
        inner.sealed = true;
        inner.waiting = VecDeque::new();
        inner.held = QueueState::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(frames: usize, bytes: usize) -> QueueState {
        QueueState { frames, bytes }
    }

    #[test]
    fn the_frame_bound_counts_what_is_taken_and_not_yet_written() {
        let queue = Queue::default();
        for _ in 0..MAX_QUEUE_FRAMES {
            queue.push(Bytes::from_static(b"x")).unwrap();
        }
        let frame = Bytes::from_static(b"y");
        let full = Err(TrySendError::Full(frame.clone()));
        assert_eq!(queue.push(frame.clone()), full);
        let mut taken = VecDeque::new();
        assert_eq!(queue.take(&mut taken), Taken::Frames);
        assert_eq!(taken.len(), MAX_QUEUE_FRAMES);
        assert_eq!(queue.push(frame.clone()), full, "taken is not written");
        queue.release(state(1, 1));
        assert_eq!(queue.push(frame), Ok(()));
    }

    #[test]
    fn the_byte_bound_holds_exactly() {
        let queue = Queue::default();
        let most = Bytes::from(vec![0; MAX_QUEUE_BYTES - 1]);
        queue.push(most).unwrap();
        let two = Bytes::from_static(b"yz");
        assert_eq!(queue.push(two.clone()), Err(TrySendError::Full(two)));
        assert_eq!(queue.push(Bytes::from_static(b"y")), Ok(()));
        assert_eq!(queue.state(), state(2, MAX_QUEUE_BYTES));
    }

    #[test]
    fn an_ended_or_sealed_queue_gives_frames_back() {
        let queue = Queue::default();
        queue.push(Bytes::from_static(b"x")).unwrap();
        queue.end(Ending::Replaced);
        queue.end(Ending::Closed);
        let frame = Bytes::from_static(b"y");
        let closed = Err(TrySendError::Closed(frame.clone()));
        assert_eq!(queue.push(frame.clone()), closed);
        let ended = queue.take(&mut VecDeque::new());
        assert_eq!(ended, Taken::End(Ending::Replaced));
        let sealed = Queue::default();
        sealed.push(Bytes::from_static(b"x")).unwrap();
        sealed.seal();
        assert_eq!(sealed.push(frame), closed);
        assert_eq!(sealed.state(), QueueState::default());
    }

    #[tokio::test]
    async fn a_push_wakes_a_parked_driver_and_nobody_else() {
        let queue = Queue::default();
        queue.push(Bytes::from_static(b"x")).unwrap();
        let mut taken = VecDeque::new();
        assert_eq!(queue.take(&mut taken), Taken::Frames);
        assert_eq!(queue.take(&mut VecDeque::new()), Taken::Nothing);
        queue.push(Bytes::from_static(b"y")).unwrap();
        queue.woken().await;
        assert_eq!(queue.take(&mut VecDeque::new()), Taken::Frames);
        assert_eq!(queue.take(&mut VecDeque::new()), Taken::Nothing);
        queue.unpark();
        queue.push(Bytes::from_static(b"z")).unwrap();
        let mut woken = std::pin::pin!(queue.woken());
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(woken.as_mut().poll(&mut context).is_pending());
    }
}
