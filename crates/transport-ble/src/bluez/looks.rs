//! Looks for others, on a connection to the bus of their own.

use std::time::Duration;

use super::bus::{Adapter, Bus};
use crate::radio::RadioError;

/// How long bluetoothd may take to begin or end a look: a thousand times what it takes when it is well.
const ANSWER: Duration = Duration::from_secs(1);
/// Calls without an answer in a row that are taken for a bluetoothd that hangs.
const MAX_UNANSWERED: u32 = 5;

/// bluetoothd remembers one program that waits for a look to begin or end, and never answers the one before
/// when two programs ask at once (`adapter.c`, `adapter->client`; seen with 5.66). That one's look then neither
/// ends nor begins anew until its connection to the bus is closed, which must not take the advertisement
/// along.
#[derive(Default)]
pub(super) struct Looks {
    bus: Option<Bus>,
    unanswered: u32,
}

impl Looks {
    /// Begins or ends a look. One that bluetoothd says nothing about ends; the next one begins as any other.
    ///
    /// # Errors
    /// What bluetoothd says; [`RadioError::NoDaemon`] when it has said nothing [`MAX_UNANSWERED`] times.
    pub(super) async fn set(&mut self, adapter: &Adapter, on: bool) -> Result<(), RadioError> {
        let bus = match self.bus.take() {
            Some(bus) => bus,
            None if on => Bus::connect().await?,
            None => return Ok(()),
        };
        if let Ok(done) = tokio::time::timeout(ANSWER, bus.discover(adapter, on)).await {
            (self.bus, self.unanswered) = (Some(bus), 0);
            return done;
        }
        bus.hang_up().await;
        self.unanswered += 1;
        tracing::debug!(on, unanswered = self.unanswered, "bluetoothd says nothing of a look");
        if self.unanswered < MAX_UNANSWERED {
            return Ok(());
        }
        let why = format!("it has not answered {MAX_UNANSWERED} times within {ANSWER:?}");
        Err(RadioError::NoDaemon(why))
    }

    /// Ends the look there is, and has bluetoothd say so: it would count a look that begins while it ends one
    /// whose program has gone as ended too, and the other for ever as one that lasts.
    pub(super) async fn end(self, adapter: &Adapter) {
        let Some(bus) = self.bus else { return };
        let ended = tokio::time::timeout(ANSWER, bus.discover(adapter, false)).await;
        tracing::trace!(?ended, "the last look");
        bus.hang_up().await;
    }
}
