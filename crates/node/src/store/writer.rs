//! The one thread that waits for the disk.

use std::sync::mpsc::Receiver;
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

use bitcraps_coordinator::{Batch, Core, Machine as _, WeakDriver};
use bitcraps_engine::Engine;
use bitcraps_types::Timestamp;

use super::Store;

/// Writes what a driver wants durable, and tells it. Ends when the driver does.
#[derive(Debug)]
pub(crate) struct Writer {
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Writes `batches` to `store`. The first failure goes into `failure`, and is the last thing
    /// that is written.
    ///
    /// # Errors
    /// When the system has no thread to give.
    pub(crate) fn start(
        store: Store,
        batches: Receiver<Batch>,
        driver: WeakDriver<Engine>,
        failure: Arc<OnceLock<String>>,
    ) -> std::io::Result<Self> {
        let thread = std::thread::Builder::new().name("store".to_owned());
        let thread = thread.spawn(move || {
            let answering = Answering { driver, failure };
            write(store, &batches, &answering);
        })?;
        Ok(Self { thread: Some(thread) })
    }

    /// Waits until everything is written; the driver must have ended. Blocks.
    pub(crate) fn finish(mut self) {
        if let Some(thread) = self.thread.take() {
            // One that panicked has told so.
            drop(thread.join());
        }
    }
}

fn write(store: Store, batches: &Receiver<Batch>, answering: &Answering) {
    while let Ok(batch) = batches.recv() {
        match store.write(&batch) {
            Ok(()) => answering.tell(Core::committed),
            Err(error) => return answering.fail(error.to_string()),
        }
    }
}

/// Tells the driver how its batches fare, even when the thread panics.
struct Answering {
    driver: WeakDriver<Engine>,
    failure: Arc<OnceLock<String>>,
}

impl Answering {
    fn tell(&self, what: impl FnOnce(&mut Core, Timestamp)) {
        if let Some(driver) = self.driver.upgrade() {
            driver.with(|engine, now| what(engine.core_mut(), now));
        }
    }

    fn fail(&self, why: String) {
        tracing::error!(%why, "store");
        let why = self.failure.get_or_init(|| why).clone();
        self.tell(|core, now| core.store_failed(why, now));
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.fail("the thread that writes it ended early".to_owned());
        }
    }
}
