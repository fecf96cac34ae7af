//! Where the host keeps packets: a bounded number for each radio.

use std::cell::Cell;

use trouble_host::{Packet, PacketPool};

use super::host::CHANNELS;
use crate::radio::MAX_SDU;

/// What L2CAP puts before the first part of a unit: length 2, channel 2, length of the unit 2.
const HEADER: usize = 6;

/// Packets of one radio at once: all that wait to be received, were every channel in use, and some
/// for each that is being put together or sent. 740 kB at most; one that is lacking would be a unit lost.
const CAPACITY: usize = CHANNELS * (trouble_host::config::L2CAP_RX_QUEUE_SIZE + 4);

thread_local! {
    // Each radio has a thread of its own, and packets do not leave it.
    static IN_USE: Cell<usize> = const { Cell::new(0) };
}

/// Packets that hold a whole unit each, so that a unit costs one credit.
pub(super) struct Pool;

pub(super) struct Buffer(Box<[u8; Pool::MTU]>);

impl PacketPool for Pool {
    type Packet = Buffer;

    const MTU: usize = MAX_SDU + HEADER;

    fn allocate() -> Option<Buffer> {
        IN_USE.with(|in_use| {
            let free = in_use.get() < CAPACITY;
            in_use.set(in_use.get() + usize::from(free));
            free.then(|| Buffer(Box::new([0; Self::MTU])))
        })
    }

    fn capacity() -> usize {
        CAPACITY
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        IN_USE.with(|in_use| in_use.set(in_use.get() - 1));
    }
}

impl Packet for Buffer {}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.0[..]
    }
}

impl AsMut<[u8]> for Buffer {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.0[..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_bounded_and_come_back() {
        let held: Vec<_> = std::iter::from_fn(Pool::allocate).collect();
        assert_eq!(held.len(), CAPACITY);
        assert!(Pool::allocate().is_none());
        drop(held);
        assert!(Pool::allocate().is_some());
    }
}
