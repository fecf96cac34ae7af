//! The file that says which life a running node is in, kept above every one that others have seen.

use std::sync::{Arc, Mutex, PoisonError};

use bitcraps_coordinator::{Driver, Machine as _, Notice};
use bitcraps_engine::Engine;
use bitcraps_types::Epoch;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;

use crate::EpochFile;

/// The epoch file of a running node; `None` when it has none, or is shut down: whoever holds the file
/// holds its lock.
pub(crate) type Held = Arc<Mutex<Option<EpochFile>>>;

pub(crate) fn release(held: &Held) {
    *held.lock().unwrap_or_else(PoisonError::into_inner) = None;
}

/// Raises the epoch in the file above every one in which the node's key is seen, and tells then that
/// the node has to begin another life. Until it is raised nobody is told: a life that began before
/// would be outrun as well.
pub(crate) async fn keep_above(
    held: Held,
    driver: Driver<Engine>,
    outran: Arc<watch::Sender<Option<Epoch>>>,
) {
    let mut notices = driver.notices();
    loop {
        let seen = driver.with(|engine, _| engine.core().outran());
        if let Some(above) = seen.filter(|above| *outran.borrow() < Some(*above)) {
            let file = Arc::clone(&held);
            let raised = tokio::task::spawn_blocking(move || {
                let mut held = file.lock().unwrap_or_else(PoisonError::into_inner);
                held.as_mut().map(|file| file.raise_above(above)).transpose()
            });
            match raised.await {
                Ok(Ok(_)) => {
                    outran.send_replace(Some(above));
                }
                Ok(Err(error)) => {
                    tracing::error!(%error, "this node's epoch is over and cannot be raised");
                }
                // The runtime is shutting down.
                Err(_) => return,
            }
        }
        loop {
            match notices.recv().await {
                // A slow listener loses notices, not what was seen.
                Ok(Notice::EpochOutran { .. }) | Err(RecvError::Lagged(_)) => break,
                Ok(_) => {}
                Err(RecvError::Closed) => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{Identity, Node};

    /// Much longer than it takes, and shorter than anybody waits for.
    const SOON: Duration = Duration::from_secs(30);

    #[tokio::test]
    async fn what_is_seen_before_anybody_listens_is_told_and_in_the_file_by_then() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("epoch");
        let node = Node::builder(&Identity::from_seed(&[7; 32]), Epoch(1)).start().await.unwrap();
        let held: Held = Arc::new(Mutex::new(Some(EpochFile::open(&path).unwrap())));
        let driver = Driver::clone(&node);
        driver.with(|engine, _| engine.core_mut().outrun(Epoch(41)));
        let sender = Arc::new(watch::Sender::new(None));
        let mut told = sender.subscribe();
        let raiser = tokio::spawn(keep_above(Arc::clone(&held), driver, sender));
        tokio::time::timeout(SOON, told.changed()).await.unwrap().unwrap();
        assert_eq!(*told.borrow_and_update(), Some(Epoch(41)));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "42\n");

        node.with(|engine, _| engine.core_mut().outrun(Epoch(99)));
        tokio::time::timeout(SOON, told.changed()).await.unwrap().unwrap();
        assert_eq!(*told.borrow_and_update(), Some(Epoch(99)));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "100\n");
        raiser.abort();
    }
}
