use std::sync::Arc;

use super::air::{Air, End, Faults};
use crate::ConnectTarget;

/// Controls a pair of mocks after they were moved. A fault holds for every link of the pair, now
/// and later, and for frames that were taken and not yet written.
#[derive(Clone)]
pub struct MockHandle {
    air: Arc<Air>,
}

impl MockHandle {
    pub(super) fn new(air: Arc<Air>) -> Self {
        Self { air }
    }

    /// What the near end sends.
    pub fn outbound(&self) -> MockDirection {
        MockDirection { air: Arc::clone(&self.air), from: End::Near }
    }

    /// What the far end sends.
    pub fn inbound(&self) -> MockDirection {
        MockDirection { air: Arc::clone(&self.air), from: End::Far }
    }

    /// [`MockDirection::set_failing`] in both directions.
    pub fn set_failing(&self, failing: bool) {
        self.outbound().set_failing(failing);
        self.inbound().set_failing(failing);
    }

    /// [`MockDirection::hang`] in both directions.
    pub fn hang(&self) {
        self.outbound().hang();
        self.inbound().hang();
    }

    /// [`MockDirection::resume`] in both directions.
    pub fn resume(&self) {
        self.outbound().resume();
        self.inbound().resume();
    }

    /// [`MockDirection::set_black_hole`] in both directions.
    pub fn set_black_hole(&self, swallowing: bool) {
        self.outbound().set_black_hole(swallowing);
        self.inbound().set_black_hole(swallowing);
    }

    /// While set, frames reach the far end and nothing comes back.
    pub fn set_one_way(&self, one_way: bool) {
        self.inbound().set_black_hole(one_way);
    }

    /// Takes every link down at both ends; dials are unreachable until [`Self::come_up`].
    pub fn go_down(&self) {
        self.air.state().broken = true;
        self.air.fail_links("the mock went down");
    }

    /// Ends [`Self::go_down`] and brings a new link up, if both ends are started.
    pub fn come_up(&self) {
        self.air.state().broken = false;
        self.air.link();
    }

    /// What dials the near end from the far end.
    pub fn near_target(&self) -> ConnectTarget {
        self.air.target(End::Near)
    }

    /// What dials the far end from the near end.
    pub fn far_target(&self) -> ConnectTarget {
        self.air.target(End::Far)
    }

    /// [`MockDirection::frames_taken`] of the near end.
    pub fn frames_taken(&self) -> u64 {
        self.outbound().frames_taken()
    }

    /// [`MockDirection::bytes_taken`] of the near end.
    pub fn bytes_taken(&self) -> u64 {
        self.outbound().bytes_taken()
    }

    /// [`MockDirection::drop_next`] of the near end.
    pub fn drop_next(&self, frames: u64) {
        self.outbound().drop_next(frames);
    }
}

/// Controls what one end sends.
#[derive(Clone)]
pub struct MockDirection {
    air: Arc<Air>,
    from: End,
}

impl MockDirection {
    fn fault(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.air.state().stations[self.from as usize].faults);
        self.air.wake();
    }

    /// While set, `try_send` gives every frame back as
    /// [`Closed`](crate::TrySendError::Closed) though no link went down: a driver that reports
    /// errors.
    pub fn set_failing(&self, failing: bool) {
        self.fault(|faults| faults.failing = failing);
    }

    /// From now on frames are taken until the queue is full, and none is written.
    pub fn hang(&self) {
        self.fault(|faults| faults.hung = true);
    }

    /// Ends [`Self::hang`]; what waited is written.
    pub fn resume(&self) {
        self.fault(|faults| faults.hung = false);
    }

    /// While set, frames are taken and written, and none arrives.
    pub fn set_black_hole(&self, swallowing: bool) {
        self.fault(|faults| faults.black_hole = swallowing);
    }

    /// The next `frames` frames are taken and written, and do not arrive. Adds to what is left of
    /// an earlier call.
    pub fn drop_next(&self, frames: u64) {
        self.fault(|faults| faults.drop_next = faults.drop_next.saturating_add(frames));
    }

    /// Frames that this end's links took since the pair was made.
    pub fn frames_taken(&self) -> u64 {
        self.air.state().stations[self.from as usize].taken.frames
    }

    /// Bytes that this end's links took since the pair was made.
    pub fn bytes_taken(&self) -> u64 {
        self.air.state().stations[self.from as usize].taken.bytes
    }
}
