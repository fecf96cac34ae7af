use rustix::time::{ClockId, clock_gettime};

fn read(clock: ClockId) -> u64 {
    let at = clock_gettime(clock);
    // These clocks never stand before their origin.
    let seconds = u64::try_from(at.tv_sec).unwrap_or_default();
    let nanos = u64::try_from(at.tv_nsec).unwrap_or_default();
    seconds * 1_000_000_000 + nanos
}

/// Nanoseconds on the wall.
pub(crate) fn wall() -> u64 {
    read(ClockId::Monotonic)
}

/// Nanoseconds that this thread has run.
pub(crate) fn thread() -> u64 {
    read(ClockId::ThreadCPUTime)
}

/// Nanoseconds that all threads of this process have run.
pub(crate) fn process() -> u64 {
    read(ClockId::ProcessCPUTime)
}

/// Nanoseconds of this thread's CPU for each of `count` steps of `work`.
pub(crate) fn thread_each(count: usize, work: impl FnOnce()) -> f64 {
    let start = thread();
    work();
    (thread() - start) as f64 / count as f64
}
