//! Looks at the network's health, judged beside the machine, and the gates that follow from them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bitcraps_coordinator::{Driver, Notice};
use bitcraps_engine::Engine;
use bitcraps_engine::monitor::{Betting, TableId, WatchTableError};
use bitcraps_types::PeerId;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Takes every look that is due. Ends with the driver.
pub(crate) async fn take(driver: Driver<Engine>, gates: Arc<Gates>) {
    let mut notices = driver.notices();
    loop {
        while let Some(look) = driver.with(|engine, now| engine.begin_look(now)) {
            let judgement = match tokio::task::spawn_blocking(move || look.judge()).await {
                Ok(judgement) => judgement,
                Err(error) => {
                    if error.is_panic() {
                        tracing::error!("a look at the network was not finished; bets pause");
                        gates.pause();
                    }
                    return;
                }
            };
            driver.with(|engine, now| engine.end_look(judgement, now));
            gates.follow(&driver);
        }
        match notices.recv().await {
            // Asked anew with every notice: a slow listener loses notices, not the state.
            Ok(Notice::LookDue) | Err(RecvError::Lagged(_)) => {}
            Ok(_) => continue,
            Err(RecvError::Closed) => return,
        }
    }
}

/// Who wants to know of which gate.
pub(crate) struct Gates {
    network: watch::Sender<Betting>,
    tables: Mutex<BTreeMap<TableId, watch::Sender<Betting>>>,
}

impl Default for Gates {
    fn default() -> Self {
        Self { network: watch::Sender::new(Betting::Open), tables: Mutex::default() }
    }
}

fn tell(sender: &watch::Sender<Betting>, betting: Betting) {
    sender.send_if_modified(|told| std::mem::replace(told, betting) != betting);
}

impl Gates {
    pub(crate) fn network(&self) -> watch::Receiver<Betting> {
        self.network.subscribe()
    }

    fn tables(&self) -> MutexGuard<'_, BTreeMap<TableId, watch::Sender<Betting>>> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes every gate: nobody judges the network any more.
    fn pause(&self) {
        tell(&self.network, Betting::Paused);
        self.tables().values().for_each(|sender| tell(sender, Betting::Paused));
    }

    /// Tells every gate that has moved.
    fn follow(&self, driver: &Driver<Engine>) {
        let tables = self.tables();
        let (network, moved) = driver.with(|engine, _| {
            let watched = engine.health().map(|health| &health.monitor().tables);
            let betting = |id: &TableId| Some((*id, watched?.betting(*id)?));
            (engine.betting(), tables.keys().filter_map(betting).collect::<Vec<_>>())
        });
        tell(&self.network, network);
        for (id, betting) in moved {
            if let Some(sender) = tables.get(&id) {
                tell(sender, betting);
            }
        }
    }
}

/// The betting gate of a table, watched until this is dropped.
pub struct Table {
    id: TableId,
    driver: Driver<Engine>,
    gates: Arc<Gates>,
    betting: watch::Receiver<Betting>,
    callbacks: Vec<JoinHandle<()>>,
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table").field("id", &self.id).field("betting", &self.betting).finish()
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        self.callbacks.iter().for_each(JoinHandle::abort);
        self.gates.tables().remove(&self.id);
        self.driver.with(|engine, _| {
            if let Some(health) = engine.health_mut() {
                health.monitor_mut().tables.end(self.id);
            }
        });
    }
}

impl Table {
    pub(crate) fn watch(
        driver: &Driver<Engine>,
        gates: &Arc<Gates>,
        players: BTreeSet<PeerId>,
    ) -> Result<Self, WatchTableError> {
        // Held all the while, so that no look comes between the table and its sender.
        let mut tables = gates.tables();
        let watched = driver.with(|engine, _| {
            let monitor = engine.health_mut().map(|health| health.monitor_mut());
            monitor.map(|monitor| {
                let gate = monitor.config().gate;
                monitor.tables.watch(players, gate)
            })
        });
        // Every node watches its network from its start on.
        let id = watched.unwrap_or(Err(WatchTableError::TooManyTables))?;
        let (sender, betting) = watch::channel(Betting::Open);
        tables.insert(id, sender);
        let (driver, gates) = (driver.clone(), Arc::clone(gates));
        Ok(Self { id, driver, gates, betting, callbacks: Vec::new() })
    }

    /// Whether the table takes bets now.
    pub fn betting(&self) -> Betting {
        *self.betting.borrow()
    }

    /// The same, to wait for changes.
    pub fn watcher(&self) -> watch::Receiver<Betting> {
        self.betting.clone()
    }

    /// Calls `callback` whenever the gate moves, until the table is dropped. Moves faster than it
    /// returns are one. Call within a tokio runtime.
    pub fn on_change(&mut self, mut callback: impl FnMut(Betting) + Send + 'static) {
        let mut betting = self.betting.clone();
        self.callbacks.push(tokio::spawn(async move {
            while betting.changed().await.is_ok() {
                let now = *betting.borrow_and_update();
                callback(now);
            }
        }));
    }
}
