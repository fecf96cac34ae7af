//! A node's side of its store: what became of it, and what the application has not asked for yet.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bitcraps_coordinator::{Driver, Machine as _, OutboxId, Receipt, StoreState, StoreStatus};
use bitcraps_engine::Engine;
use bitcraps_types::Epoch;

use super::{Damage, Store, StoreError, Writer};

/// What is known of a node's store, whether it works or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreHealth {
    /// What it holds, and whether it works.
    pub status: StoreStatus,
    /// Its file.
    pub path: Option<PathBuf>,
    /// Flushes of its disk since it was opened.
    pub syncs: u64,
    /// Why it does not work.
    pub failure: Option<String>,
    /// What it took the place of.
    pub damage: Option<Damage>,
}

/// Where a node has its store.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    path: Option<PathBuf>,
    syncs: Arc<AtomicU64>,
    failure: Arc<OnceLock<String>>,
    damage: Option<Damage>,
    recalled: Mutex<Vec<(OutboxId, Receipt)>>,
    writer: Mutex<Option<Writer>>,
}

impl Shelf {
    /// Gives what the store holds to `driver`, which has done nothing yet, and has its batches
    /// written. A store that does not work is told as such: the node runs, and refuses what would
    /// have to be in it.
    pub(crate) fn start(
        opened: Result<(Store, Option<Damage>), StoreError>,
        driver: &Driver<Engine>,
        epoch: Epoch,
    ) -> Self {
        let began = opened.and_then(|(store, damage)| Ok((store.begin(epoch)?, store, damage)));
        let mut shelf = Self::default();
        match began {
            Ok((recalled, store, damage)) => {
                shelf.path = Some(store.path().to_owned());
                shelf.syncs = store.syncs();
                shelf.damage = damage;
                if let Some(damage) = &shelf.damage {
                    tracing::error!("{damage}");
                }
                let (batches, written) = channel();
                let recalled = driver.with_store(batches, recalled);
                shelf.recalled = Mutex::new(recalled);
                let failure = Arc::clone(&shelf.failure);
                match Writer::start(store, written, driver.downgrade(), failure) {
                    Ok(writer) => shelf.writer = Mutex::new(Some(writer)),
                    Err(error) => shelf.fail(driver, error.to_string()),
                }
            }
            Err(error) => {
                tracing::error!("{error}");
                shelf.fail(driver, error.to_string());
            }
        }
        shelf
    }

    fn fail(&self, driver: &Driver<Engine>, why: String) {
        let why = self.failure.get_or_init(|| why).clone();
        driver.with(|engine, now| engine.core_mut().store_failed(why, now));
    }

    /// The receipts of what a former incarnation left in the outbox, once.
    pub(crate) fn take_recalled(&self) -> Vec<(OutboxId, Receipt)> {
        let mut recalled = self.recalled.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *recalled)
    }

    pub(crate) fn health(&self, status: StoreStatus) -> StoreHealth {
        let lost = status.state == StoreState::Failed;
        StoreHealth {
            status,
            path: self.path.clone(),
            syncs: self.syncs.load(Ordering::Relaxed),
            failure: self.failure.get().filter(|_| lost).cloned(),
            damage: self.damage.clone(),
        }
    }

    /// Waits until everything is written; the driver must have ended.
    pub(crate) async fn finish(&self) {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = writer {
            // A runtime that ends meanwhile takes the wait with it, and not the thread.
            drop(tokio::task::spawn_blocking(|| writer.finish()).await);
        }
    }
}
