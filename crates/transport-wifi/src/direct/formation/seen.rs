use std::time::Duration;

use bitcraps_types::Timestamp;

use super::{FIRST_RETRY, MAX_RETRY};
use crate::direct::service::Tag;

/// A device as far as it is known.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) here: bool,
    pub(super) owner: bool,
    /// When it was last heard of.
    pub(super) heard: Timestamp,
    pub(super) tag: Option<Tag>,
    /// When it could first have begun, being here and known.
    pub(super) known_since: Timestamp,
    pub(super) asks: u32,
    pub(super) ask_at: Timestamp,
    /// When it called or knocked.
    pub(super) called: Option<Timestamp>,
    pub(super) knocked: Option<Timestamp>,
    pub(super) failures: u32,
    pub(super) retry_at: Timestamp,
}

impl Seen {
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            here: true,
            owner: false,
            heard: now,
            tag: None,
            known_since: now,
            asks: 0,
            ask_at: now,
            called: None,
            knocked: None,
            failures: 0,
            retry_at: now,
        }
    }

    pub(super) fn failed(&mut self, now: Timestamp) {
        self.retry_at = now + doubled(FIRST_RETRY, self.failures);
        self.failures = self.failures.saturating_add(1);
        self.called = None;
    }
}

/// The wait after `times` failures, or questions.
pub(super) fn doubled(first: Duration, times: u32) -> Duration {
    (first * 2_u32.saturating_pow(times.min(16))).min(MAX_RETRY)
}
