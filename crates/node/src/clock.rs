use std::time::Duration;

use bitcraps_types::Timestamp;
use rustix::time::{ClockId, clock_gettime};

/// The clock of a node: `CLOCK_BOOTTIME`, nanoseconds since the machine started.
///
/// It is monotonic and goes on while the machine sleeps, so that a deadline passed during suspend
/// has passed on wake-up. It never follows a change of the wall clock. Nothing below the node reads
/// time; everything takes a [`Timestamp`] read here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BootClock;

impl BootClock {
    /// Now. One vDSO call, no allocation.
    pub fn now(self) -> Timestamp {
        let read = clock_gettime(ClockId::Boottime);
        // The kernel never reports a negative time since boot.
        let seconds = u64::try_from(read.tv_sec).unwrap_or_default();
        let nanos = u32::try_from(read.tv_nsec).unwrap_or_default();
        Timestamp::ZERO + Duration::new(seconds, nanos)
    }
}

/// Seconds since 1970 by the wall clock: for what outlives a boot, and for nothing else. It may
/// jump.
pub(crate) fn wall_seconds() -> u64 {
    u64::try_from(clock_gettime(ClockId::Realtime).tv_sec).unwrap_or_default()
}

/// The clock on the wall: time since 1970, which people and networks may set.
///
/// Nothing that runs is timed by it. It carries deadlines over a restart, because the other clock
/// begins anew when the machine does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct WallClock;

impl WallClock {
    /// Now. One vDSO call, no allocation. Zero for a time before 1970.
    pub(crate) fn now(self) -> Duration {
        let read = clock_gettime(ClockId::Realtime);
        let seconds = u64::try_from(read.tv_sec).unwrap_or_default();
        let nanos = u32::try_from(read.tv_nsec).unwrap_or_default();
        Duration::new(seconds, nanos)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw_nanos() -> u64 {
        let read = clock_gettime(ClockId::Boottime);
        u64::try_from(read.tv_sec).unwrap() * 1_000_000_000 + u64::try_from(read.tv_nsec).unwrap()
    }

    #[test]
    fn a_reading_lies_between_the_kernel_readings_around_it() {
        let before = raw_nanos();
        let now = BootClock.now().as_nanos();
        let after = raw_nanos();
        assert!(before <= now, "{before} <= {now}");
        assert!(now <= after, "{now} <= {after}");
    }
}
